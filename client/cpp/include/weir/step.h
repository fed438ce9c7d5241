#pragma once
// What one step of a pipeline did with one message, and where messages enter and leave.
//   weir::Step step("price");
//   step.trace_id(order.trace).scenario("orders").msg_in({"Order", order.id});
//   step.ctx_set("total", 12.5);            // the agent remembers the rest and computes before, after and
//   diff if (!found) step.error("PriceNotFound", "no price for x", "pricing.cpp:87");
// What the agent's configuration throws away of contexts is not written (its policy says what).
#include <string_view>

#include "weir/log.h"
#include "weir/value.h"

namespace weir {

/// Of a message: the type alone, or with what identifies it, or with a hash of its contents. Empty: not
/// there.
struct Signature {
  std::string_view type_name, identity = {}, hash = {};
};

/// From now to its end() or destruction. In one thread. Allocates; without memory the record is a drop. An
/// exception that leaves the scope says nothing of itself: call error() where it is caught.
class Step {
 public:
  explicit Step(std::string_view step_name) noexcept;
  ~Step() { end(); }
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

  /// Any text. Else it is the thread's trace, or a new one. Logs and spans in the step carry it where it is
  /// 32 hexadecimal digits.
  Step& trace_id(std::string_view id) noexcept;
  Step& scenario(std::string_view name) noexcept;
  Step& line_no(int64_t number) noexcept;
  Step& index(int64_t step_index) noexcept;
  Step& work_index(int64_t number) noexcept;
  Step& msg_in(const Signature& message) noexcept;
  Step& msg_out(const Signature& message) noexcept;  ///< one call for each
  /// The contexts around the step, key by key. Of a key that comes again the last value counts. Long texts
  /// are cut when the record would be too long, and it says so.
  Step& ctx_before(std::string_view key, const Value& value) noexcept;
  Step& ctx_after(std::string_view key, const Value& value) noexcept;
  /// Instead: the context after the step alone. The first step of a trace sends it.
  Step& ctx(std::string_view key, const Value& value) noexcept;
  /// Instead: only the keys that the step changed or took away.
  Step& ctx_set(std::string_view key, const Value& value) noexcept;
  Step& ctx_unset(std::string_view key) noexcept;
  Step& ctx_id(std::string_view id) noexcept;                    ///< of a parallel branch of the trace
  Step& set(std::string_view key, const Value& value) noexcept;  ///< an attribute
  /// Its status becomes `error`. The last call counts.
  Step& error(std::string_view type, std::string_view message, std::string_view where = {},
              std::string_view stack = {}) noexcept;
  /// Writes the record; what comes later has no effect.
  void end() noexcept;

 private:
  struct State;
  State* state_;
};

/// A message enters the program: before the first step of its trace. `port` is where.
void ingress(std::string_view port, const Signature& message, std::string_view trace_id = {}) noexcept;
/// A message leaves: after the step that made it.
void egress(std::string_view port, const Signature& message, std::string_view trace_id = {}) noexcept;

/// A monitoring record (records.md section 6): `state` is `firing` or `resolved`.
struct Alert {
  std::string_view rule, severity, state, message = {};
  double value = 0, threshold = 0;
};
void monitor(const Alert& alert) noexcept;

}  // namespace weir
