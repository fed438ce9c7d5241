#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace weir {

enum class Packing { none, zstd, gzip };

/// `` `.zst` `.gz`
std::string_view packing_suffix(Packing packing);

/// What stands between a file's name and its number: `20261122T030405Z`. `wall_ns` since the epoch.
std::string rotation_stamp(int64_t wall_ns);

/// The name of a rotated file (interface.md section 7): `<base>.<YYYYMMDDTHHMMSSZ>.<n>`, behind it `.zst` or
/// `.gz`, and behind that `.part` while it is being written.
struct RotatedName {
  std::string_view base, stamp;  ///< within the text that was parsed
  uint64_t number = 0;
  Packing packing = Packing::none;
  bool part = false;
};

/// Exactly that form, nothing near it; false otherwise.
bool parse_rotated_name(std::string_view name, RotatedName& out);
std::string rotated_name(std::string_view base, std::string_view stamp, uint64_t number);

/// Gives out stamps and numbers of one sink: none twice, and ascending even when the clock goes back, so that
/// the order of names is the order of records.
class RotationNumbers {
 public:
  struct Next {
    std::string stamp;
    uint64_t number;
  };
  Next next(int64_t wall_ns);
  /// A name that is there already: what follows is above it.
  void pass(std::string_view stamp, uint64_t number);

 private:
  std::string stamp_;
  uint64_t number_ = 0;
};

}  // namespace weir
