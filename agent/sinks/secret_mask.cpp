#include "agent/sinks/secret_mask.h"

#include <algorithm>

#include "agent/core/json.h"
#include "agent/core/text.h"

namespace weir {
namespace {

std::string percent_encoded(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~").find(c) != std::string_view::npos;
    const auto byte = static_cast<unsigned char>(c);
    if (plain)
      out += c;
    else
      out += '%', out += kHex[byte >> 4], out += kHex[byte & 15];
  }
  return out;
}

}  // namespace

void SecretMask::add(std::string_view secret) {
  if (secret.empty()) return;
  std::string quoted;
  json::append_quoted(quoted, secret);
  for (std::string form : {std::string(secret), quoted.substr(1, quoted.size() - 2), percent_encoded(secret)})
    if (std::ranges::find(secrets_, form) == secrets_.end()) secrets_.push_back(std::move(form));
  std::ranges::stable_sort(secrets_, std::ranges::greater{}, &std::string::size);
}

std::string SecretMask::masked(std::string text) const {
  for (const std::string& secret : secrets_)
    for (size_t at = 0; (at = text.find(secret, at)) != std::string::npos; at += 3)
      text.replace(at, secret.size(), "***");
  return text;
}

std::string SecretMask::excerpt(std::string_view untrusted, size_t length) const {
  const std::string text = masked(std::string(untrusted));
  const bool utf8 = is_utf8(text);
  std::string out;
  bool space = false;
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte == 0x7f || (byte >= 0x80 && !utf8)) {
      space = !out.empty();
      continue;
    }
    const bool begins = (byte & 0xc0) != 0x80;  // a character is not cut
    if (begins && out.size() + (space ? 1 : 0) >= length) break;
    if (space) out += ' ';
    space = false;
    out += c;
  }
  return out;
}

}  // namespace weir
