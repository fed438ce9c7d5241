#include <array>
#include <charconv>
#include <limits>

#include "agent/core/options.h"

namespace weir {
namespace {

struct Unit {
  std::string_view name;
  int64_t factor;
};

// Largest first: formatting takes the first unit that divides without remainder.
constexpr std::array<Unit, 7> kByteUnits{{{"GiB", 1LL << 30},
                                          {"GB", 1'000'000'000},
                                          {"MiB", 1LL << 20},
                                          {"MB", 1'000'000},
                                          {"KiB", 1LL << 10},
                                          {"KB", 1000},
                                          {"B", 1}}};
constexpr std::array<Unit, 7> kDurationUnits{{{"d", 86'400'000'000'000},
                                              {"h", 3'600'000'000'000},
                                              {"m", 60'000'000'000},
                                              {"s", 1'000'000'000},
                                              {"ms", 1'000'000},
                                              {"us", 1000},
                                              {"ns", 1}}};

const Unit* find_unit(const std::array<Unit, 7>& units, std::string_view name) {
  for (const Unit& unit : units)
    if (unit.name == name) return &unit;
  return nullptr;
}

struct Quantity {
  int64_t number = 0;
  std::string_view unit;
};

/// Digits, then whatever follows them. `what` and `example` name the kind of value in the error.
Result<Quantity> split_quantity(std::string_view text, std::string_view what, std::string_view example) {
  const auto describe = [&](std::string_view wrong) {
    return fail("\"" + std::string(text) + "\" is not " + std::string(what) + ": " + std::string(wrong) +
                " such as " + std::string(example));
  };
  Quantity out;
  const char* const end = text.data() + text.size();
  if (text.empty() || text.front() < '0' || text.front() > '9') return describe("write a whole number");
  const auto [rest, ec] = std::from_chars(text.data(), end, out.number);
  if (ec != std::errc{}) return fail("\"" + std::string(text) + "\" is too large");
  out.unit = std::string_view(rest, size_t(end - rest));
  if (out.unit.starts_with('.')) return describe("fractions are not taken, write a whole number");
  return out;
}

Result<int64_t> multiply(const Quantity& quantity, int64_t factor, std::string_view text) {
  if (quantity.number > std::numeric_limits<int64_t>::max() / factor)
    return fail("\"" + std::string(text) + "\" is too large");
  return quantity.number * factor;
}

std::string format_with(const std::array<Unit, 7>& units, int64_t value) {
  for (const Unit& unit : units)
    if (value % unit.factor == 0) return std::to_string(value / unit.factor) + std::string(unit.name);
  return std::to_string(value);  // not reached: every table ends in factor 1
}

}  // namespace

Result<int64_t> parse_bytes(std::string_view text) {
  const auto quantity = split_quantity(text, "a size", "64MiB");
  if (!quantity) return tl::unexpected(quantity.error());
  if (quantity->unit.empty()) return quantity->number;
  const Unit* unit = find_unit(kByteUnits, quantity->unit);
  if (!unit)
    return fail("\"" + std::string(text) +
                "\" has a unit that is not known: write B, KB, MB, GB (thousands) or KiB, MiB, GiB (1024)");
  return multiply(*quantity, unit->factor, text);
}

Result<int64_t> parse_duration_ns(std::string_view text) {
  const auto quantity = split_quantity(text, "a duration", "250ms");
  if (!quantity) return tl::unexpected(quantity.error());
  if (quantity->unit.empty()) {
    if (quantity->number == 0) return 0;
    return fail("needs a unit: write " + std::to_string(quantity->number) + "ms or " +
                std::to_string(quantity->number) + "s");
  }
  const Unit* unit = find_unit(kDurationUnits, quantity->unit);
  if (!unit)
    return fail("\"" + std::string(text) + "\" has a unit that is not known: write ns, us, ms, s, m, h or d");
  return multiply(*quantity, unit->factor, text);
}

Result<double> parse_ratio(std::string_view text) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, ec] = std::from_chars(text.data(), end, value);
  if (ec != std::errc{} || rest != end || !(value >= 0 && value <= 1))
    return fail("must be a number from 0 to 1 such as 0.1, not \"" + std::string(text) + "\"");
  return value;
}

std::string format_bytes(int64_t bytes) { return bytes == 0 ? "0" : format_with(kByteUnits, bytes); }

std::string format_duration_ns(int64_t ns) { return ns == 0 ? "0" : format_with(kDurationUnits, ns); }

}  // namespace weir
