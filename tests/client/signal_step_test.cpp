// A signal handler that writes spans, at every single instruction of a span of the program: the processor's
// trap flag stops there.
#include <doctest/doctest.h>

#include "client/cpp/src/json_text.h"
#include "tests/client/fake_reader.h"
#include "weir/weir.h"

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#include <ucontext.h>

#include <csignal>
#include <set>

namespace {

using weir::test::take_all;

constexpr greg_t kTrapFlag = 0x100;
volatile int step, stop_at;

[[gnu::noinline]] void work_of_handler() {
  weir::Span span("handler");
  span.set("h", 1);
}

void on_trap(int, siginfo_t*, void* at) {
  step = step + 1;
  if (step != stop_at) return;
  work_of_handler();
  static_cast<ucontext_t*>(at)->uc_mcontext.gregs[REG_EFL] &= ~kTrapFlag;
}

class TrapHandler {
 public:
  TrapHandler() {
    struct sigaction action {};
    action.sa_sigaction = on_trap;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGTRAP, &action, &before_);
  }
  ~TrapHandler() { sigaction(SIGTRAP, &before_, nullptr); }

 private:
  struct sigaction before_ {};
};

// Past the red zone.
[[gnu::always_inline]] inline void start_stepping() {
  asm volatile("sub $128,%%rsp; pushfq; orq $0x100,(%%rsp); popfq; add $128,%%rsp" ::: "memory", "cc");
}
[[gnu::always_inline]] inline void stop_stepping() {
  asm volatile("sub $128,%%rsp; pushfq; andq $~0x100,(%%rsp); popfq; add $128,%%rsp" ::: "memory", "cc");
}

/// Of steps after which something was wrong.
struct Faults {
  int trace_id = 0, span_id = 0, left_behind = 0, same_id = 0, record = 0;
};

[[gnu::noinline]] void work(Faults& faults) {
  const weir::detail::Context& context = weir::detail::thread.context;
  start_stepping();
  weir::Span span("stepped");
  span.set("a", 1).set("b", "literal").set("c", 2.5);
  stop_stepping();
  faults.trace_id += std::memcmp(context.trace_id, span.trace_id(), 16) != 0;
  faults.span_id += std::memcmp(context.span_id, span.span_id(), 8) != 0;
  start_stepping();
  span.end();
  stop_stepping();
}

}  // namespace

TEST_CASE("a span in a signal handler leaves the ids of the span alone that it interrupts") {
  const TrapHandler handler;
  take_all();
  const auto add_line = [](Faults& faults, std::set<std::string>& ids, const std::string& line) {
    faults.record +=
        line.find(R"({"a":1,"b":"literal","c":2.5})") == line.npos && line.find(R"({"h":1})") == line.npos;
    faults.same_id += !ids.insert(line.substr(line.find(R"("span_id":")") + 11, 16)).second;
  };
  Faults faults;
  stop_at = 0;
  for (int i = 0; i < 2; ++i) work_of_handler(), work(faults);
  take_all();
  const uint64_t dropped_before = weir::detail::thread.header->dropped;
  std::set<std::string> ids;
  size_t records = 0;
  int steps = 0;
  for (stop_at = 1;; stop_at = stop_at + 1, ++steps) {
    step = 0;
    work(faults);
    faults.left_behind += weir::detail::thread.context.has != 0;
    weir::detail::thread.context.has = 0;
    const auto lines = take_all();
    for (const auto& line : lines)  // the connection's thread may have written counters of other tests
      if (line.find(R"("stream":"trace")") != line.npos) ++records, add_line(faults, ids, line);
    if (step < stop_at) break;
  }
  CHECK(steps > 100);
  CHECK(faults.trace_id == 0);
  CHECK(faults.span_id == 0);
  CHECK(faults.left_behind == 0);
  CHECK(faults.same_id == 0);
  CHECK(faults.record == 0);
  CHECK(records + (weir::detail::thread.header->dropped - dropped_before) == 2 * size_t(steps) + 1);
}

TEST_CASE("a span in a signal handler is of one trace, whatever it interrupts") {
  const TrapHandler handler;
  weir::TraceContext remote;
  remote.has_trace = remote.has_span = true;
  std::memset(remote.trace_id, 0xaa, sizeof remote.trace_id);
  std::memset(remote.span_id, 0xbb, sizeof remote.span_id);
  uint8_t others[24];  // a Step comes and goes by the same function
  std::memset(others, 0xcc, sizeof others);
  const weir::Span outer("outer");
  const std::string outer_ids(reinterpret_cast<const char*>(outer.trace_id()), 24);
  const auto member = [](const std::string& line, const std::string& key) {
    const size_t at = line.find("\"" + key + "\":\"");
    return at == line.npos
               ? std::string()
               : line.substr(at + key.size() + 4, line.find('"', at + key.size() + 4) - at - key.size() - 4);
  };
  const auto hex = [](const std::string& ids) {
    std::string out;
    weir::detail::append_hex(out, ids.data(), ids.size());
    return out;
  };
  int steps = 0, wrong = 0, left = 0;
  for (stop_at = 1;; stop_at = stop_at + 1, ++steps) {
    step = 0;
    start_stepping();
    {
      const weir::ContextScope scope(remote);
      weir::detail::change_ids(weir::detail::thread.context, others, others + 16, weir::detail::kBothIds);
    }
    stop_stepping();
    left += std::memcmp(weir::detail::thread.context.trace_id, outer_ids.data(), 24) != 0;
    const std::map<std::string, std::string> trace_of{
        {"bbbbbbbbbbbbbbbb", std::string(32, 'a')},
        {"cccccccccccccccc", std::string(32, 'c')},
        {hex(outer_ids.substr(16)), hex(outer_ids.substr(0, 16))}};
    for (const auto& line : take_all()) {
      const std::string parent = member(line, "parent_span_id");
      if (line.find("\"handler\"") != line.npos && !parent.empty())
        wrong += trace_of.at(parent) != member(line, "trace_id");
    }
    if (step < stop_at) break;
  }
  CHECK(steps > 50);
  CHECK(wrong == 0);
  CHECK(left == 0);
}
#endif
