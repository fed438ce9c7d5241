#pragma once
// What belongs together: the ids that the records of a thread carry, and how they travel between programs
// (W3C Trace Context, W3C Baggage, X-Correlation-ID, X-Trace-ID).
//   weir::CorrelationScope scope(order.id);
//   weir::TraceContext from = weir::extract([&](const char* name) { return request.header(name); });
//   weir::ContextScope trace(from);
//   weir::inject([&](const char* name, std::string_view value) { next.set_header(name, value); });
#include <functional>
#include <string>
#include <string_view>

#include "weir/thread.h"

namespace weir {

/// Until the scope ends, this thread's records carry this correlation id (at most 128 bytes; empty: none).
class CorrelationScope {
 public:
  explicit CorrelationScope(std::string_view id) noexcept;
  ~CorrelationScope();
  CorrelationScope(const CorrelationScope&) = delete;
  CorrelationScope& operator=(const CorrelationScope&) = delete;

 private:
  uint8_t had_, bytes_;
  char before_[sizeof detail::Context::correlation];
};

/// Of a request that came in.
struct TraceContext {
  bool has_trace = false, has_span = false;
  uint8_t trace_id[16] = {}, span_id[8] = {};  ///< the caller's span
  uint8_t flags = 0;
  std::string tracestate, baggage, correlation_id;
  std::string trace_text;  ///< X-Trace-ID that is not 32 hexadecimal digits: for Step::trace_id
};

/// Gives a header's value by its name (names are to be compared without regard to case); empty: it is not
/// there.
using GetHeader = std::function<std::string_view(const char* name)>;
using SetHeader = std::function<void(const char* name, std::string_view value)>;

/// Of traceparent, tracestate, baggage, X-Correlation-ID, X-Trace-ID. What is malformed is as if it were not
/// there (Trace Context, section 3.2.2).
TraceContext extract(const GetHeader& get);
/// The same headers for a request that goes out, from this thread's ids: nothing where there are none.
void inject(const SetHeader& set);

/// Until the scope ends, this thread goes on with that trace: its spans are children of the caller's span.
class ContextScope {
 public:
  explicit ContextScope(const TraceContext& context) noexcept;  ///< which must outlive the scope
  ~ContextScope();
  ContextScope(const ContextScope&) = delete;
  ContextScope& operator=(const ContextScope&) = delete;

 private:
  detail::Context before_;
};

}  // namespace weir
