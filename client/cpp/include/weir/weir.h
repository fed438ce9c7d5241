#pragma once
// The client of weir, an observability agent: logs, spans, pipeline steps, metrics. C++17, no dependency.
// No call throws, waits or fails: what has no room is counted (weir::stats()). All of it may be used from any
// thread, before and after main, and from signal handlers once the thread has written a record.
#include "weir/client.h"
#include "weir/context.h"
#include "weir/log.h"
#include "weir/metrics.h"
#include "weir/span.h"
#include "weir/step.h"
