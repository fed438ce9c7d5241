#include "agent/process/expression_literal.h"

#include <array>
#include <charconv>
#include <cstdint>

namespace weir {
namespace {

/// factor * 10^exponent of the base unit: seconds for durations, bytes for sizes.
struct Unit {
  std::string_view name;
  int64_t factor;
  int exponent;
  bool duration;
};
constexpr std::array<Unit, 13> kUnits{{{"ns", 1, -9, true},
                                       {"us", 1, -6, true},
                                       {"ms", 1, -3, true},
                                       {"s", 1, 0, true},
                                       {"m", 60, 0, true},
                                       {"h", 3600, 0, true},
                                       {"B", 1, 0, false},
                                       {"KB", 1, 3, false},
                                       {"MB", 1, 6, false},
                                       {"GB", 1, 9, false},
                                       {"KiB", 1 << 10, 0, false},
                                       {"MiB", 1 << 20, 0, false},
                                       {"GiB", 1 << 30, 0, false}}};

const Unit* find_unit(std::string_view name) {
  for (const Unit& unit : kUnits) {
    if (unit.name == name) return &unit;
  }
  return nullptr;
}

/// The unit that a field's name tells, nullptr when it tells none. `duration` stands for duration_ms.
const Unit* unit_of(const ExpressionPath& path) {
  if (path.is_name("duration")) return find_unit("ms");
  const std::string_view name = path.steps.back().text;
  for (const std::string_view suffix : {"ns", "us", "ms", "s"}) {
    if (name.size() > suffix.size() && name.ends_with(suffix) &&
        name[name.size() - suffix.size() - 1] == '_') {
      return find_unit(suffix);
    }
  }
  return nullptr;
}

tl::unexpected<std::string> error(std::string message) { return tl::unexpected(std::move(message)); }

/// Exact for up to 18 digits; more than that is no number of a unit that anyone means.
bool scale(std::string_view number, int64_t factor, int exponent, std::string& out) {
  const bool negative = number.front() == '-';
  if (negative) number.remove_prefix(1);
  const size_t e = number.find_first_of("eE");
  if (e != number.npos) {
    std::string_view digits = number.substr(e + 1);
    if (digits.front() == '+') digits.remove_prefix(1);
    int written = 0;
    const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), written);
    if (fault != std::errc() || written > 1000 || written < -1000) return false;
    exponent += written;
    number = number.substr(0, e);
  }
  int64_t mantissa = 0;
  int digits = 0;
  bool fraction = false;
  for (const char c : number) {
    if (c == '.') {
      fraction = true;
      continue;
    }
    if (++digits > 18) return false;
    mantissa = mantissa * 10 + (c - '0');
    exponent -= fraction;
  }
  if (__builtin_mul_overflow(mantissa, factor, &mantissa)) return false;
  out = (negative ? "-" : "") + std::to_string(mantissa) + "e" + std::to_string(exponent);
  return true;
}

}  // namespace

tl::expected<std::string, std::string> number_in_unit_of(const ExpressionPath& path, std::string_view number,
                                                         std::string_view unit_name) {
  const std::string written(number);
  if (unit_name.empty()) {
    if (path.is_name("duration")) {
      return error("`duration` needs a unit: write `" + written + "ms`, or compare `duration_ms`");
    }
    return written;
  }
  const Unit* unit = find_unit(unit_name);
  if (unit == nullptr) {
    return error("no unit `" + std::string(unit_name) +
                 "`; durations have ns us ms s m h, sizes B KB MB GB KiB MiB GiB");
  }
  const Unit* target = unit_of(path);
  if (unit->duration && target == nullptr) {
    return error(
        "a duration compares with `duration` or a name that ends in _ms, _us, _ns or _s; write the plain "
        "number here");
  }
  if (!unit->duration && path.is_name("duration")) {
    return error("`duration` compares with a duration such as `5ms`");
  }
  std::string out;
  if (!scale(number, unit->factor, unit->exponent - (unit->duration ? target->exponent : 0), out)) {
    return error("this number has too many digits for a unit");
  }
  return out;
}

}  // namespace weir
