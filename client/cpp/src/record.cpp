#include "client/cpp/src/record.h"

#include <cstdlib>

#include "client/cpp/src/json_text.h"
#include "client/cpp/src/process.h"
#include "weir/log.h"
#include "weir/step.h"

namespace weir {
namespace detail {

using ring::ValueType;

constexpr std::string_view kMark{"\x09shortened\x06\x01", 12};

DynamicRecord::DynamicRecord(DynamicStream stream) noexcept : stream_(stream) {
  Thread& t = thread;
  const Busy busy(t);
  failed_ = !busy || (!t.data && !open_ring(t));
  const size_t most = failed_ ? 0 : t.record_bytes_max;
  budget_ = most - (failed_ ? 0 : sizeof(ring::RecordHeader) + kMark.size() + 2 * ring::kAlign);
}

DynamicRecord::~DynamicRecord() {
  if (data_ != inline_) std::free(data_);
}

/// Name and type, when `bytes` of a value still fit behind them.
bool DynamicRecord::member(const char* name, ValueType type, size_t bytes) noexcept {
  const size_t name_bytes = std::strlen(name), all = 2 + name_bytes + bytes;
  if (failed_) return false;
  if (size_ + all > budget_) return shortened_ = true, false;
  if (size_ + all > room_) {
    size_t room = room_;
    while (room < size_ + all) room *= 2;
    char* const more = static_cast<char*>(data_ == inline_ ? std::malloc(room) : std::realloc(data_, room));
    if (!more) return shortened_ = true, false;
    if (data_ == inline_) std::memcpy(more, inline_, size_);
    data_ = more;
    room_ = room;
  }
  data_[size_++] = char(name_bytes);
  put(name, name_bytes);
  data_[size_++] = char(type);
  return true;
}

void DynamicRecord::put(const void* from, size_t count) noexcept {
  put_bytes(data_ + size_, static_cast<const char*>(from), count);
  size_ += count;
}

void DynamicRecord::text(const char* name, std::string_view value) noexcept {
  const size_t fixed = 4 + std::strlen(name);
  size_t cap = budget_ > size_ + fixed ? budget_ - size_ - fixed : 0;
  cap = TextWire::kept(value, cap < kTextBytesMax ? cap : kTextBytesMax);
  if (cap < value.size()) shortened_ = true;
  if (!member(name, ValueType::text, 2 + cap)) return;
  const uint16_t bytes = uint16_t(cap);
  put(&bytes, sizeof bytes);
  put(value.data(), bytes);
}

void DynamicRecord::integer(const char* name, int64_t value) noexcept {
  if (member(name, ValueType::i64, sizeof value)) put(&value, sizeof value);
}

void DynamicRecord::number(const char* name, double value) noexcept {
  if (member(name, ValueType::f64, sizeof value)) put(&value, sizeof value);
}

void DynamicRecord::time(const char* name, uint64_t clock) noexcept {
  if (member(name, ValueType::time, sizeof clock)) put(&clock, sizeof clock);
}

void DynamicRecord::id(const char* name, const uint8_t* bytes, size_t count) noexcept {
  if (member(name, count == 16 ? ValueType::id16 : ValueType::id8, count)) put(bytes, count);
}

void DynamicRecord::json(const char* name, std::string_view value) noexcept {
  const uint32_t bytes = uint32_t(value.size());
  if (member(name, ValueType::json, sizeof bytes + value.size())) {
    put(&bytes, sizeof bytes);
    put(value.data(), bytes);
  } else {
    member(name, ValueType::null, 0);
  }
}

void DynamicRecord::ids(bool trace, bool span) noexcept {
  const Context& c = thread.context;
  if (trace && (c.has & ring::kTraceId)) id("trace_id", c.trace_id, 16);
  if (span && (c.has & ring::kSpanId)) id("span_id", c.span_id, 8);
  if (c.has & ring::kCorrelationId) text("correlation_id", {c.correlation, c.correlation_bytes});
}

void DynamicRecord::write(bool important) noexcept {
  Thread& t = thread;
  const Busy busy(t);
  if (failed_ || !busy || !t.data) return count_drop(t);
  const size_t bytes = aligned(sizeof(ring::RecordHeader) + size_ + (shortened_ ? kMark.size() : 0));
  char* const at = reserve(t, bytes, important);
  if (!at) return;
  char* const to = at + sizeof(ring::RecordHeader);
  std::memcpy(to, data_, size_);
  if (shortened_) std::memcpy(to + size_, kMark.data(), kMark.size());
  char* const end = to + size_ + (shortened_ ? kMark.size() : 0);
  std::memset(end, 0, size_t(at + bytes - end));
  commit(t, at, bytes, ring::kDynamic | uint32_t(stream_));
}

void append_value(std::string& out, const Value& value) {
  switch (value.type()) {
    case ValueType::boolean:
      return append(out, value.bits() ? "true" : "false");
    case ValueType::i64:
      return append_integer(out, int64_t(value.bits()));
    case ValueType::u64:
      return append_integer(out, value.bits());
    case ValueType::f64: {
      double number;
      const uint64_t bits = value.bits();
      std::memcpy(&number, &bits, sizeof number);
      return append_double(out, number);
    }
    case ValueType::text:
      return append_quoted(out, value.text());
    case ValueType::json:
      return append(out, value.text().empty() ? "null" : value.text());
    default:
      return append(out, "null");
  }
}

}  // namespace detail

void log(Level level, std::string_view message, std::string_view logger, std::string_view where) noexcept {
  constexpr const char* kNames[] = {"trace", "debug", "info", "warn", "error", "fatal"};
  detail::DynamicRecord record(detail::DynamicStream::log);
  record.text("level", kNames[size_t(level) < 6 ? size_t(level) : 2]);
  record.ids(true, true);
  record.text_if("logger", logger);
  record.text_if("where", where);
  record.text("message", message);
  record.write(level >= Level::error);
}

void monitor(const Alert& alert) noexcept {
  detail::DynamicRecord record(detail::DynamicStream::monitoring);
  record.text("rule", alert.rule);
  record.text_if("severity", alert.severity);
  record.text_if("state", alert.state);
  record.number("value", alert.value);
  record.number("threshold", alert.threshold);
  record.ids(true, false);
  record.text_if("message", alert.message);
  record.write(true);
}

}  // namespace weir
