#pragma once
// Spans of a trace: Span around a piece of work, WEIR_SPAN for one whose start is known.
//   weir::Span span("charge card");
//   span.set("amount", 12.5).set("currency", "EUR");
//   if (!ok) span.error("Declined", "no funds");
// A span inside another one of the same thread is its child; logs in it carry its ids.
#include "weir/log.h"

namespace weir {

/// From now to its end() or destruction. A few hundred bytes: keep it on the stack. One thread at a time.
class Span {
 public:
  /// `name` is a string literal.
  explicit Span(const char* name, const char* file = __builtin_FILE(), int line = __builtin_LINE()) noexcept;
  ~Span() { end(); }
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

  /// `key` is a string literal; a text is copied. What is beyond kSetsMax or kValuesBytesMax is left out or
  /// cut, and the record says that it was shortened.
  template <class T>
  Span& set(const char* key, const T& value) noexcept {
    const auto a = arg(key, value);
    add<detail::Wire<std::decay_t<decltype(a.value)>>>(key, a.value);
    return *this;
  }
  /// Its status becomes `error`. At most 255 bytes of type and 2,048 of message are kept; the last call
  /// counts.
  Span& error(std::string_view type, std::string_view message) noexcept;
  /// Writes the record; what comes later has no effect.
  void end() noexcept;

  const uint8_t* trace_id() const noexcept { return trace_id_; }  ///< 16 bytes
  const uint8_t* span_id() const noexcept { return span_id_; }    ///< 8 bytes

  static constexpr size_t kSetsMax = 32, kValuesBytesMax = 12 << 10;

 private:
  template <class W, class T>
  void add(const char* key, const T& value) noexcept {
    size_t cap = detail::kTextBytesMax;
    size_t bytes = W::bytes(value, cap);
    if (__builtin_expect(count_ == kSetsMax || used_ + bytes > room_, 0)) {
      if (!make_room(bytes, cap)) return;
      bytes = W::bytes(value, cap);
    }
    W::put(values_ + used_, value, cap);
    used_ += uint32_t(bytes);
    keys_[count_] = {key, W::kType};
    ++count_;
    // The product is off the chain from call to call.
    const uint64_t mine = (reinterpret_cast<uintptr_t>(key) + (uint64_t(W::kType) << 56)) * kMix;
    shape_ = (shape_ << 13 | shape_ >> 51) ^ mine;
  }
  bool make_room(size_t bytes, size_t& cap) noexcept;
  size_t error_bytes() const noexcept;
  uint32_t site(detail::Thread& t) noexcept;

  static constexpr uint64_t kMix = 0xff51afd7ed558ccd;
  static constexpr uint32_t kInline = 384;
  struct Failure {
    uint8_t type_bytes;
    uint16_t message_bytes;
    char type[255];
    char message[2048];
  };

  const char* name_;
  const char* file_;
  int line_;
  uint8_t parent_has_;
  bool done_ = false, shortened_ = false;
  uint32_t count_ = 0, used_ = 0, room_ = kInline;
  uint64_t shape_;  ///< of name, place, keys and types
  detail::Thread* thread_;
  uint64_t start_;
  Failure* failure_ = nullptr;
  char* values_ = inline_;
  uint8_t trace_id_[16], span_id_[8], parent_id_[8];
  detail::ArgName keys_[kSetsMax];
  char inline_[kInline];
};

namespace detail {

/// A span that has ended now.
template <class... T>
__attribute__((always_inline)) inline void write_span(Site& site, uint64_t start,
                                                      const Arg<T>&... args) noexcept {
  Thread& t = thread;
  const Busy busy(t);
  if (!busy) return count_drop(t);
  const uint32_t id = site_id(t, site, args...);
  if (!id) return;
  const Context& c = t.context;
  const uint8_t correlation = c.has & ring::kCorrelationId;
  const uint8_t parent = c.has & ring::kSpanId ? ring::kParentId : 0;
  const size_t fixed = sizeof(ring::RecordHeader) + 1 + 24 + (parent ? 8 : 0) +
                       (correlation ? 1 + c.correlation_bytes : 0) + 8;
  size_t cap = kTextBytesMax;
  size_t bytes = aligned(fixed + values_bytes(cap, args...));
  uint8_t has = ring::kTraceId | ring::kSpanId | parent | correlation;
  if (__builtin_expect(bytes > t.record_bytes_max || (false || ... || too_long(args.value)), 0)) {
    cap = shortened_cap(t, fixed, args...);
    bytes = aligned(fixed + values_bytes(cap, args...));
    has |= ring::kShortened;
  }
  char* const at = reserve(t, bytes, false);
  if (!at) return;
  char* to = put(at + sizeof(ring::RecordHeader), has);
  if (c.has & ring::kTraceId)
    std::memcpy(to, c.trace_id, 16), to += 16;
  else
    to = put(put(to, random_number(t)), random_number(t));
  to = put(to, random_number(t));
  if (parent) std::memcpy(to, c.span_id, 8), to += 8;
  if (correlation) to = put_correlation(to, c);
  put_values(put(to, start), cap, args...);
  commit(t, at, bytes, id);
}

}  // namespace detail

/// The start of a WEIR_SPAN.
inline uint64_t span_clock() noexcept { return detail::clock_now(); }

/// A span from `start` (span_clock()) to now, with arguments as of a log:
///   WEIR_SPAN("decode", start, weir::arg("bytes", n));
#define WEIR_SPAN(name_, start_, ...)                                                               \
  do {                                                                                              \
    static ::weir::detail::Site weir_call_site{::weir::ring::RecordKind::span, ::weir::Level::info, \
                                               "" name_, "", WEIR_HERE};                            \
    ::weir::detail::write_span(weir_call_site, start_, ##__VA_ARGS__);                              \
  } while (false)

}  // namespace weir
