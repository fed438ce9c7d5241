#pragma once
// Spans of a trace: Span around a piece of work, WEIR_SPAN for one whose start is known.
//   weir::Span span("charge card");
//   span.set("amount", 12.5).set("currency", "EUR");
//   if (!ok) span.error("Declined", "no funds");
// A span inside another one of the same thread is its child; logs in it carry its ids.
#include "weir/log.h"

namespace weir {

/// From now to its end() or destruction. A few hundred bytes: keep it on the stack. One thread at a time;
/// spans that lie within each other end in the reverse order of their beginning. An exception that leaves the
/// scope says nothing of itself: call error() where it is caught.
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
  WEIR_INLINE Span& set(const char* key, const T& value) noexcept {
    const auto a = arg(key, value);
    using V = std::decay_t<decltype(a.value)>;
    if constexpr (std::is_same_v<V, std::string_view>)
      set_text(key, a.value.data(), a.value.size());
    else
      add<detail::Wire<V>>(key, a.value);
    if constexpr (std::is_same_v<V, Json>) shortened_ |= detail::too_long(a.value);
    return *this;
  }
  /// Its status becomes `error`. At most 255 bytes of type and 2,048 of message are kept; the last call
  /// counts.
  Span& error(std::string_view type, std::string_view message) noexcept;
  /// Writes the record; what comes later has no effect.
  void end() noexcept;

  const uint8_t* trace_id() const noexcept { return bytes_at(kTraceIdAt); }  ///< 16 bytes
  const uint8_t* span_id() const noexcept { return bytes_at(kSpanIdAt); }    ///< 8 bytes

  static constexpr size_t kSetsMax = 32, kValuesBytesMax = 12 << 10;

 private:
  /// A literal's few bytes are stored where it is set; for other texts a call costs less than their code.
  WEIR_INLINE void set_text(const char* key, const char* text, size_t bytes) noexcept {
    if (__builtin_constant_p(bytes) && bytes <= detail::LiteralWire::kBytesMax)
      add<detail::LiteralWire>(key, std::string_view(text, bytes));
    else
      add_text(key, std::string_view(text, bytes));
  }
  template <class W, class T>
  WEIR_INLINE void add(const char* key, const T value) noexcept {
    const size_t bytes = W::bytes(value, detail::kTextBytesMax);
    const detail::ArgName* const next = next_;
    char* const to = to_;
    if (__builtin_expect(next->name != key || next->type != W::kType || bytes > size_t(end_ - to), 0))
      return add_otherwise<W>(key, value);
    next_ = next + 1;
    to_ = to + bytes;
    W::put(to, value, detail::kTextBytesMax);
  }
  template <class W, class T>
  __attribute__((noinline, cold)) void add_otherwise(const char* key, const T value) noexcept {
    size_t cap = detail::kTextBytesMax;
    if (!make_way({key, W::kType}, W::bytes(value, cap), cap)) return;
    to_ = W::put(to_, value, cap);
    ++next_;
  }
  void add_text(const char* key, std::string_view value) noexcept;
  bool make_way(detail::ArgName key, size_t bytes, size_t& cap) noexcept;
  bool make_room(size_t bytes, size_t& cap) noexcept;
  uint32_t site(detail::Thread& t) noexcept;
  const detail::SpanShape* whole_shape(detail::Thread& t) noexcept;
  const detail::SpanShape* other_shape(size_t count, const detail::ArgName& key) const noexcept;
  void write(detail::Thread& t, uint32_t site) noexcept;
  void write_more(char* at, size_t bytes) const noexcept;
  void give_back() noexcept;
  size_t start_at() const noexcept { return kParentIdAt + (had_ & ring::kSpanId ? 8 : 0); }
  size_t more_bytes(const detail::Context& c) const noexcept;
  const uint8_t* bytes_at(size_t at) const noexcept { return reinterpret_cast<const uint8_t*>(inline_ + at); }

  static constexpr size_t kHasAt = sizeof(ring::RecordHeader), kTraceIdAt = kHasAt + 1,
                          kSpanIdAt = kTraceIdAt + 16, kParentIdAt = kSpanIdAt + 8;
  static constexpr size_t kInline = 448;
  struct Failure {
    uint8_t type_bytes;
    uint16_t message_bytes;
    char type[255];
    char message[2048];
  };

  // The record as it will lie in the ring, if no correlation id and no error come in between: one copy at the
  // end. And which keys come: those of the last span from here, until another one is set.
  const detail::ArgName* next_;  ///< the key that is expected now; in keys_ once it was another one
  char* end_;                    ///< of the room for values
  char* to_;  ///< where the next one goes; not beside next_, else both are moved as one vector
  char* record_ = inline_;
  const detail::SpanShape* shape_;  ///< whose keys are expected; null: keys_ are this span's own
  const char* name_;
  const char* file_;
  int line_;
  uint8_t had_;  ///< Context::has before
  bool shortened_ = false;
  detail::Thread* thread_;
  Failure* failure_ = nullptr;
  alignas(16) char inline_[kInline];
  detail::ArgName keys_[kSetsMax + 1];
};

namespace detail {

/// A span that has ended now.
template <class... T>
WEIR_INLINE void write_span(Site& site, uint64_t start, const Arg<T>&... args) noexcept {
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
#define WEIR_SPAN(name_, ...)                                                                       \
  do {                                                                                              \
    static ::weir::detail::Site weir_call_site{::weir::ring::RecordKind::span, ::weir::Level::info, \
                                               "" name_, "", WEIR_HERE};                            \
    ::weir::detail::write_span(weir_call_site, __VA_ARGS__);                                        \
  } while (false)

}  // namespace weir
