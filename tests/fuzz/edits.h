#pragma once
#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

namespace weir::test {

/// What the input makes of a file: `R` and bytes stand in place of all of it; else each five bytes (what, two
/// places of two bytes) flip bits, copy 40 bytes to another place, zero them, or cut the file.
inline std::string edited(std::string file, std::string_view input) {
  if (input.starts_with('R')) return std::string(input.substr(1));
  for (; input.size() >= 5 && !file.empty(); input.remove_prefix(5)) {
    uint16_t from, to;
    std::memcpy(&from, input.data() + 1, 2), std::memcpy(&to, input.data() + 3, 2);
    const size_t a = from % file.size(), b = to % file.size();
    const size_t bytes = std::min<size_t>(40, file.size() - std::max(a, b));
    switch (static_cast<unsigned char>(input[0]) % 4) {
      case 0:
        file[a] = char(file[a] ^ char(1 + to % 255));
        break;
      case 1:
        file.replace(b, bytes, file.substr(a, bytes));
        break;
      case 2:
        file.replace(a, bytes, bytes, '\0');
        break;
      default:
        file.resize(a);
    }
  }
  return file;
}

}  // namespace weir::test
