#pragma once
// A value of a context or an attribute, as one argument of a call: not kept beyond it.
#include "weir/arg.h"

namespace weir {

class Value {
 public:
  Value(std::nullptr_t) noexcept {}
  Value(bool b) noexcept : type_(ring::ValueType::boolean), bits_(b) {}
  template <class T, std::enable_if_t<std::is_arithmetic_v<T> && !std::is_same_v<T, bool>, int> = 0>
  Value(T number) noexcept {
    if constexpr (std::is_floating_point_v<T>) {
      const double d = double(number);
      type_ = ring::ValueType::f64;
      std::memcpy(&bits_, &d, sizeof d);
    } else {
      type_ = std::is_signed_v<T> ? ring::ValueType::i64 : ring::ValueType::u64;
      bits_ = uint64_t(int64_t(number));
    }
  }
  Value(std::string_view text) noexcept : type_(ring::ValueType::text), text_(text) {}
  Value(const std::string& text) noexcept : Value(std::string_view(text)) {}
  Value(const char* text) noexcept : Value(std::string_view(text ? text : "")) {}
  Value(Json json) noexcept : type_(ring::ValueType::json), text_(json.text) {}

  ring::ValueType type() const noexcept { return type_; }  ///< null, boolean, i64, u64, f64, text or json
  uint64_t bits() const noexcept { return bits_; }
  std::string_view text() const noexcept { return text_; }

 private:
  ring::ValueType type_ = ring::ValueType::null;
  uint64_t bits_ = 0;
  std::string_view text_;
};

}  // namespace weir
