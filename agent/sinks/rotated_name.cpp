#include "agent/sinks/rotated_name.h"

#include <charconv>
#include <ctime>

namespace weir {
namespace {

constexpr std::string_view kPart = ".part";
constexpr size_t kStampBytes = 16;
constexpr size_t kNumberDigitsMax = 9;

bool digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
}

bool is_stamp(std::string_view text) {
  return text.size() == kStampBytes && digits(text.substr(0, 8)) && text[8] == 'T' &&
         digits(text.substr(9, 6)) && text[15] == 'Z';
}

bool drop_suffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

}  // namespace

std::string_view packing_suffix(Packing packing) {
  constexpr std::string_view suffixes[] = {"", ".zst", ".gz"};
  return suffixes[size_t(packing)];
}

std::string rotation_stamp(int64_t wall_ns) {
  const time_t seconds = time_t(wall_ns / 1'000'000'000);
  tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  return {text, strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts)};
}

bool parse_rotated_name(std::string_view name, RotatedName& out) {
  RotatedName found;
  found.part = drop_suffix(name, kPart);
  if (drop_suffix(name, packing_suffix(Packing::zstd)))
    found.packing = Packing::zstd;
  else if (drop_suffix(name, packing_suffix(Packing::gzip)))
    found.packing = Packing::gzip;
  if (found.part && found.packing == Packing::none) return false;
  const size_t dot = name.rfind('.');
  if (dot == name.npos || dot < kStampBytes + 2) return false;
  const std::string_view number = name.substr(dot + 1);
  if (!digits(number) || number.size() > kNumberDigitsMax || number[0] == '0') return false;
  std::from_chars(number.data(), number.data() + number.size(), found.number);
  const size_t base_bytes = dot - kStampBytes - 1;
  found.stamp = name.substr(base_bytes + 1, kStampBytes);
  if (name[base_bytes] != '.' || !is_stamp(found.stamp)) return false;
  found.base = name.substr(0, base_bytes);
  out = found;
  return true;
}

std::string rotated_name(std::string_view base, std::string_view stamp, uint64_t number) {
  std::string name(base);
  name += '.';
  name += stamp;
  name += '.';
  name += std::to_string(number);
  return name;
}

RotationNumbers::Next RotationNumbers::next(int64_t wall_ns) {
  std::string now = rotation_stamp(wall_ns);
  if (now > stamp_)
    stamp_ = std::move(now), number_ = 1;
  else
    ++number_;
  return {stamp_, number_};
}

void RotationNumbers::pass(std::string_view stamp, uint64_t number) {
  if (stamp < stamp_ || (stamp == stamp_ && number <= number_)) return;
  stamp_ = stamp, number_ = number;
}

}  // namespace weir
