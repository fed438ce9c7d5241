#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace weir {

/// Takes secrets out of what others say: a server may echo a header back in its error (security.md).
class SecretMask {
 public:
  /// Also in the forms a server may echo it: in JSON, percent-encoded.
  void add(std::string_view secret);
  /// Every occurrence becomes `***`.
  std::string masked(std::string text) const;
  /// The first `length` characters of masked text, in one line: runs of what is not printable ASCII or UTF-8
  /// become one space.
  std::string excerpt(std::string_view untrusted, size_t length) const;

 private:
  std::vector<std::string> secrets_;  ///< longest first
};

}  // namespace weir
