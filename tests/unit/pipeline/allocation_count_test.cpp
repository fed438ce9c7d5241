#include "tests/support/allocation_count.h"
