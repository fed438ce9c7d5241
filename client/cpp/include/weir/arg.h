#pragma once
// Arguments of records: a name and a value, as they lie in the ring (proto/ring.h, ValueType).
//   WEIR_INFO("order {id} accepted", weir::arg("id", id), weir::arg("ms", 3.5));
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include "weir/thread.h"

namespace weir {

/// One JSON value as text; whoever makes it answers for its being one.
struct Json {
  std::string_view text;
};

template <class T>
struct Arg {
  const char* name;  ///< at most 255 bytes; lives as long as the program
  T value;
};

namespace detail {

template <class T, class Enable = void>
struct Wire;  // no such argument type: give a number, a bool, a text, an enumeration or a weir::Json

template <class T, ring::ValueType type>
struct PlainWire {
  using Stored = T;
  static constexpr ring::ValueType kType = type;
  static constexpr bool kText = false;
  static size_t bytes(T, size_t) noexcept { return sizeof(T); }
  static char* put(char* to, T value, size_t) noexcept { return detail::put(to, value); }
};

template <>
struct Wire<bool> : PlainWire<bool, ring::ValueType::boolean> {};
template <class T>
struct Wire<T, std::enable_if_t<std::is_integral_v<T> && std::is_signed_v<T> && sizeof(T) <= 4>>
    : PlainWire<int32_t, ring::ValueType::i32> {};
template <class T>
struct Wire<T, std::enable_if_t<std::is_integral_v<T> && std::is_unsigned_v<T> && sizeof(T) <= 4 &&
                                !std::is_same_v<T, bool>>> : PlainWire<uint32_t, ring::ValueType::u32> {};
template <class T>
struct Wire<T, std::enable_if_t<std::is_integral_v<T> && std::is_signed_v<T> && sizeof(T) == 8>>
    : PlainWire<int64_t, ring::ValueType::i64> {};
template <class T>
struct Wire<T, std::enable_if_t<std::is_integral_v<T> && std::is_unsigned_v<T> && sizeof(T) == 8>>
    : PlainWire<uint64_t, ring::ValueType::u64> {};
template <class T>
struct Wire<T, std::enable_if_t<std::is_floating_point_v<T>>> : PlainWire<double, ring::ValueType::f64> {};
template <class T>
struct Wire<T, std::enable_if_t<std::is_enum_v<T>>> : Wire<std::underlying_type_t<T>> {};

struct TextWire {
  using Stored = std::string_view;
  static constexpr ring::ValueType kType = ring::ValueType::text;
  static constexpr bool kText = true;
  static size_t kept(std::string_view s, size_t cap) noexcept {
    if (__builtin_expect(s.size() <= cap, 1)) return s.size();
    while (cap > 0 && (s[cap] & 0xc0) == 0x80) --cap;  // not within a code point
    return cap;
  }
  static size_t bytes(std::string_view s, size_t cap) noexcept { return 2 + kept(s, cap); }
  static char* put(char* to, std::string_view s, size_t cap) noexcept {
    const size_t n = kept(s, cap);
    return put_bytes(detail::put(to, uint16_t(n)), s.data(), n);
  }
};
/// A text whose few bytes the compiler knows: stores of constants.
struct LiteralWire : TextWire {
  static constexpr size_t kBytesMax = 16;
  WEIR_INLINE static char* put(char* to, std::string_view s, size_t cap) noexcept {
    const size_t n = s.size();
    if (n > cap || n < 2) return TextWire::put(to, s, cap);
    to = detail::put(to, uint16_t(n));
    return n >= 8   ? put_ends<uint64_t>(to, s)
           : n >= 4 ? put_ends<uint32_t>(to, s)
                    : put_ends<uint16_t>(to, s);
  }

 private:
  template <class T>
  WEIR_INLINE static char* put_ends(char* to, std::string_view s) noexcept {
    T first, last;
    std::memcpy(&first, s.data(), sizeof first);
    std::memcpy(&last, s.data() + s.size() - sizeof last, sizeof last);
    detail::put(to, first);
    return detail::put(to + s.size() - sizeof last, last);
  }
};
template <>
struct Wire<std::string_view> : TextWire {};
template <>
struct Wire<std::string> : TextWire {};
template <>
struct Wire<const char*> : TextWire {};
template <>
struct Wire<char*> : TextWire {};

template <>
struct Wire<std::nullptr_t> {
  using Stored = std::nullptr_t;
  static constexpr ring::ValueType kType = ring::ValueType::null;
  static constexpr bool kText = false;
  static size_t bytes(std::nullptr_t, size_t) noexcept { return 0; }
  static char* put(char* to, std::nullptr_t, size_t) noexcept { return to; }
};

template <>
struct Wire<Json> {
  using Stored = Json;
  static constexpr ring::ValueType kType = ring::ValueType::json;
  static constexpr bool kText = true;
  /// What does not fit cannot be cut: it becomes null.
  static std::string_view kept(Json j, size_t cap) noexcept {
    return !j.text.empty() && j.text.size() <= cap ? j.text : std::string_view("null");
  }
  static size_t bytes(Json j, size_t cap) noexcept { return 4 + kept(j, cap).size(); }
  static char* put(char* to, Json j, size_t cap) noexcept {
    const std::string_view text = kept(j, cap);
    return put_bytes(detail::put(to, uint32_t(text.size())), text.data(), text.size());
  }
};

/// A text may be longer than u16 can say.
inline constexpr size_t kTextBytesMax = 65535;

}  // namespace detail

/// `name` is a string literal. A text is not copied: it must live until the call that takes the argument is
/// over.
template <class T>
auto arg(const char* name, const T& value) noexcept {
  using W = detail::Wire<std::decay_t<const T&>>;
  if constexpr (std::is_array_v<T>)
    return Arg<std::string_view>{name, std::string_view(value)};
  else if constexpr (std::is_pointer_v<T>)
    return Arg<std::string_view>{name, value ? std::string_view(value) : std::string_view()};
  else
    return Arg<typename W::Stored>{name, static_cast<typename W::Stored>(value)};
}

}  // namespace weir
