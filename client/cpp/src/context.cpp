#include "weir/context.h"

#include <algorithm>

#include "client/cpp/src/ids.h"
#include "client/cpp/src/json_text.h"
#include "client/cpp/src/process.h"

namespace weir {
namespace detail {

bool parse_hex(std::string_view text, uint8_t* bytes, size_t count) noexcept {
  uint8_t made[16];
  if (text.size() != 2 * count || count > sizeof made) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return false;
    made[i / 2] = uint8_t(i % 2 ? made[i / 2] << 4 | digit : digit);
  }
  std::memcpy(bytes, made, count);
  return true;
}

double ticks_to_ns(uint64_t ticks) noexcept {
  static const struct Base { uint64_t ns = monotonic_ns(), ticks = clock_now_slow(); } base;
  if (clock_kind_of_process() == ring::ClockKind::realtime) return double(ticks);
  uint64_t ns = monotonic_ns();
  while (ns - base.ns < 50'000) ns = monotonic_ns();  // at the very first call only: for a rate that is good
  return double(ticks) * double(ns - base.ns) / double(clock_now_slow() - base.ticks);
}

void change_ids(Context& c, const uint8_t* trace_id, const uint8_t* span_id, uint8_t has) noexcept {
  const auto copy = [&] {
    std::memcpy(c.trace_id, trace_id, sizeof c.trace_id);
    std::memcpy(c.span_id, span_id, sizeof c.span_id);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
  };
  c.has = uint8_t(c.has & ~kBothIds);
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  copy();
  c.has = uint8_t(c.has | (has & kBothIds));
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  copy();
}

void set_correlation(Context& c, std::string_view id) noexcept {
  c.correlation_bytes = uint8_t(TextWire::kept(id, sizeof c.correlation));
  put_bytes(c.correlation, id.data(), c.correlation_bytes);
  c.has = uint8_t((c.has & ~ring::kCorrelationId) | (c.correlation_bytes ? ring::kCorrelationId : 0));
}

}  // namespace detail

using namespace detail;

namespace {

bool all_zero(const uint8_t* bytes, size_t count) {
  return std::all_of(bytes, bytes + count, [](uint8_t b) { return b == 0; });
}

bool lower_hex(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'F'; });
}

/// `VERSION-TRACE_ID-PARENT_ID-FLAGS` (Trace Context, section 3.2); a later version may have more behind it.
bool parse_traceparent(std::string_view text, TraceContext& to) {
  uint8_t version = 0, trace[16], span[8], flags = 0;
  if (text.size() < 55 || text[2] != '-' || text[35] != '-' || text[52] != '-' ||
      !lower_hex(text.substr(0, 55)))
    return false;
  if (!parse_hex(text.substr(0, 2), &version, 1) || version == 0xff ||
      (version == 0 ? text.size() != 55 : text.size() > 55 && text[55] != '-'))
    return false;
  if (!parse_hex(text.substr(3, 32), trace, 16) || !parse_hex(text.substr(36, 16), span, 8) ||
      !parse_hex(text.substr(53, 2), &flags, 1) || all_zero(trace, 16) || all_zero(span, 8))
    return false;
  std::memcpy(to.trace_id, trace, 16);
  std::memcpy(to.span_id, span, 8);
  to.flags = flags;
  to.has_trace = to.has_span = true;
  return true;
}

}  // namespace

CorrelationScope::CorrelationScope(std::string_view id) noexcept {
  Context& c = thread.context;
  had_ = c.has & ring::kCorrelationId;
  bytes_ = c.correlation_bytes;
  std::memcpy(before_, c.correlation, bytes_);
  set_correlation(c, id);
}

CorrelationScope::~CorrelationScope() {
  set_correlation(thread.context, {before_, had_ ? bytes_ : size_t(0)});
}

TraceContext extract(const GetHeader& get) {
  TraceContext out;
  if (parse_traceparent(get("traceparent"), out)) {
    out.tracestate = get("tracestate");
  } else if (const std::string_view id = get("X-Trace-ID"); !id.empty()) {
    out.has_trace = parse_hex(id, out.trace_id, 16) && !all_zero(out.trace_id, 16);
    if (!out.has_trace) out.trace_text = id;
  }
  out.baggage = get("baggage");
  out.correlation_id = get("X-Correlation-ID");
  return out;
}

void inject(const SetHeader& set) {
  const Context& c = thread.context;
  constexpr uint8_t both = ring::kTraceId | ring::kSpanId;
  if ((c.has & both) == both) {
    std::string text = "00-";
    append_hex(text, reinterpret_cast<const char*>(c.trace_id), 16);
    const std::string trace = text.substr(3);
    append_hex(text += '-', reinterpret_cast<const char*>(c.span_id), 8);
    const char flags = char(c.remote && c.remote->has_span ? c.flags : 1);  // sampled
    append_hex(text += '-', &flags, 1);
    set("traceparent", text);
    set("X-Trace-ID", trace);
    if (c.remote && !c.remote->tracestate.empty()) set("tracestate", c.remote->tracestate);
  } else if (c.remote && !c.remote->trace_text.empty()) {
    set("X-Trace-ID", c.remote->trace_text);
  }
  if (c.remote && !c.remote->baggage.empty()) set("baggage", c.remote->baggage);
  if (c.has & ring::kCorrelationId) set("X-Correlation-ID", {c.correlation, c.correlation_bytes});
}

ContextScope::ContextScope(const TraceContext& context) noexcept : before_(thread.context) {
  Context& c = thread.context;
  const int has = (context.has_trace ? ring::kTraceId : 0) | (context.has_span ? ring::kSpanId : 0);
  change_ids(c, context.trace_id, context.span_id, uint8_t(has));
  c.flags = context.flags;
  c.remote = &context;
  if (!context.correlation_id.empty()) set_correlation(c, context.correlation_id);
}

ContextScope::~ContextScope() {
  Context& c = thread.context;
  change_ids(c, before_.trace_id, before_.span_id, before_.has);
  c.flags = before_.flags;
  c.remote = before_.remote;
  set_correlation(
      c, {before_.correlation, before_.has & ring::kCorrelationId ? before_.correlation_bytes : size_t(0)});
}

}  // namespace weir
