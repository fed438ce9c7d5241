#pragma once
// Call sites: what never changes about a record is said once, in the process's arena (proto/RING.md), and the
// record itself holds a number for it. Internal: programs use the macros of log.h and span.h.
#include "weir/arg.h"

namespace weir::detail {

/// A static object for each call. Constant-initialised: usable before any constructor has run.
struct Site {
  ring::RecordKind kind;
  ring::Level level;            ///< of a log
  const char* name;             ///< message of a log, name of a span or metric
  const char* text;             ///< logger of a log, unit of a metric
  const char* where;            ///< FILE:LINE
  std::atomic<uint32_t> id{0};  ///< 0: not in the arena yet
};
/// Site::id when the arena has no room: its records are counted as dropped.
inline constexpr uint32_t kNoSite = UINT32_MAX;

/// The id of a site, which is written to the arena if it is not there. kNoSite: no room.
uint32_t register_site(Site& site, const ArgName* args, size_t count) noexcept;

/// A ring, and an id for the site; 0 when one of them cannot be had, and that is counted.
uint32_t prepare(Thread& t, Site& site, const ArgName* args, size_t count) noexcept;

inline bool ready(const Thread& t, uint32_t id) noexcept {
  return __builtin_expect(t.data && id && id != kNoSite, 1);
}

template <class... T>
size_t values_bytes([[maybe_unused]] size_t cap, const Arg<T>&... args) noexcept {
  return (size_t(0) + ... + Wire<T>::bytes(args.value, cap));
}
template <class... T>
char* put_values(char* to, [[maybe_unused]] size_t cap, const Arg<T>&... args) noexcept {
  ((to = Wire<T>::put(to, args.value, cap)), ...);
  return to;
}

/// How long each text may be when a record is too long as it is: they share what is left.
template <class... T>
size_t shortened_cap(const Thread& t, size_t fixed, const Arg<T>&... args) noexcept {
  const size_t texts = (size_t(0) + ... + (Wire<T>::kText ? 1 : 0));
  const size_t others = fixed + (size_t(0) + ... + (Wire<T>::kText ? 8 : Wire<T>::bytes(args.value, 0)));
  const size_t room = t.record_bytes_max > others + 16 ? t.record_bytes_max - others - 16 : 0;
  const size_t cap = texts ? room / texts : 0;
  return cap < kTextBytesMax ? cap : kTextBytesMax;
}

template <class T>
bool too_long(const T& value) noexcept {
  if constexpr (std::is_same_v<T, std::string_view>)
    return value.size() > kTextBytesMax;
  else if constexpr (std::is_same_v<T, Json>)
    return value.text.size() > kTextBytesMax;
  else
    return false;
}

/// Site::id, or what prepare() makes of it.
template <class... T>
uint32_t site_id(Thread& t, Site& site, const Arg<T>&... args) noexcept {
  static_assert(sizeof...(T) <= 64, "at most 64 arguments");
  const uint32_t id = site.id.load(std::memory_order_acquire);
  if (ready(t, id)) return id;
  const ArgName names[sizeof...(T) + 1] = {{args.name, Wire<T>::kType}..., {"", ring::ValueType::null}};
  return prepare(t, site, names, sizeof...(T));
}

/// A log: the context, then the arguments. The site has the message.
template <class... T>
WEIR_INLINE void write_log(Site& site, const char*, const Arg<T>&... args) noexcept {
  Thread& t = thread;
  const Busy busy(t);
  if (!busy) return count_drop(t);
  const uint32_t id = site_id(t, site, args...);
  if (!id) return;
  const size_t fixed = sizeof(ring::RecordHeader) + context_bytes(t.context);
  size_t cap = kTextBytesMax;
  size_t bytes = aligned(fixed + values_bytes(cap, args...));
  uint8_t more = 0;
  if (__builtin_expect(bytes > t.record_bytes_max || (false || ... || too_long(args.value)), 0)) {
    cap = shortened_cap(t, fixed, args...);
    bytes = aligned(fixed + values_bytes(cap, args...));
    more = ring::kShortened;
  }
  char* const at = reserve(t, bytes, site.level >= ring::Level::error);
  if (!at) return;
  put_values(put_context(at + sizeof(ring::RecordHeader), t.context, more), cap, args...);
  commit(t, at, bytes, id);
}

}  // namespace weir::detail
