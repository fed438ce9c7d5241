#include "agent/ingest/waiting_list.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace weir {
namespace {

/// Goes on waiting as often as it is told to, by leaving and coming again.
struct Again final : Waiter {
  Again(WaitingList& the_list, int times) : list(the_list), left(times) { list.add(*this); }
  void on_progress() override {
    unlink();
    ++looked;
    if (--left > 0) list.add(*this);
  }
  WaitingList& list;
  int left, looked = 0;
};

/// Stays where it is.
struct Stays final : Waiter {
  void on_progress() override { ++looked; }
  int looked = 0;
};

TEST_CASE("everybody who waits looks once each time, whether it goes on waiting or not") {
  WaitingList list;
  Again two(list, 2), five(list, 5);
  Stays stays;
  list.add(stays);
  for (int i = 1; i <= 3; ++i) {
    list.on_progress();
    CHECK(five.looked == i);
    CHECK(stays.looked == i);
    CHECK(two.looked == std::min(i, 2));
  }
}

}  // namespace
}  // namespace weir
