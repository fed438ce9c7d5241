#include "agent/net/proxy.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "agent/core/text.h"

namespace weir {
namespace {

constexpr uint16_t kProxyPort = 1080;  // curl's, where none is named

std::string lower(std::string_view text) {
  std::string out;
  for (char c : text) out += c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c;
  return out;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char l = char(c | 0x20);
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool coded =
        text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0;
    out += coded ? char(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2])) : text[i];
    if (coded) i += 2;
  }
  return out;
}

struct Address {
  int bits = 0;  ///< 32 or 128; 0: none
  std::array<unsigned char, 16> bytes{};
};

Address parse_address(const std::string& text) {
  Address out;
  if (inet_pton(AF_INET, text.c_str(), out.bytes.data()) == 1) out.bits = 32;
  if (out.bits == 0 && inet_pton(AF_INET6, text.c_str(), out.bytes.data()) == 1) out.bits = 128;
  return out;
}

bool in_block(const Address& address, std::string_view block) {
  const size_t slash = block.find('/');
  const Address base = parse_address(std::string(block.substr(0, slash)));
  if (base.bits == 0 || base.bits != address.bits) return false;
  int bits = base.bits;
  if (slash != std::string_view::npos) {
    const std::string_view text = block.substr(slash + 1);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits);
    if (error != std::errc{} || end != text.data() + text.size() || bits < 0 || bits > base.bits)
      return false;
  }
  for (int i = 0; i < bits; i += 8) {
    const int mask = bits - i >= 8 ? 0xff : 0xff << (8 - (bits - i)) & 0xff;
    if (((address.bytes[size_t(i / 8)] ^ base.bytes[size_t(i / 8)]) & mask) != 0) return false;
  }
  return true;
}

/// One word of the list, without its `:port`. False: it has one, and it is another.
bool strip_port(std::string_view& word, uint16_t port) {
  std::string_view digits;
  if (word.starts_with('[')) {
    const size_t close = std::min(word.find(']'), word.size());
    if (word.substr(close).starts_with("]:")) digits = word.substr(close + 2);
    word = word.substr(1, close - 1);
  } else if (std::ranges::count(word, ':') == 1) {
    const size_t colon = word.find(':');
    digits = word.substr(colon + 1);
    word = word.substr(0, colon);
  }
  return digits.empty() || digits == std::to_string(port);
}

bool word_holds(std::string_view word, const std::string& host, const Address& address, uint16_t port) {
  if (word == "*") return true;
  if (!strip_port(word, port)) return false;
  if (address.bits > 0) return in_block(address, word);
  while (word.starts_with('.') || word.starts_with("*.")) word.remove_prefix(1);
  std::string_view name(host);
  if (word.ends_with('.')) word.remove_suffix(1);
  if (name.ends_with('.')) name.remove_suffix(1);
  if (word.empty() || !name.ends_with(word)) return false;
  return name.size() == word.size() || name[name.size() - word.size() - 1] == '.';
}

Result<HttpProxy> parse_proxy(std::string_view text) {
  if (const size_t colon = text.find("://"); colon != std::string_view::npos) {
    const std::string scheme = lower(text.substr(0, colon));
    if (scheme != "http") return fail("only http:// proxies are taken, not " + scheme + "://");
    text.remove_prefix(colon + 3);
  }
  text = text.substr(0, text.find('/'));
  HttpProxy out;
  if (const size_t at = text.rfind('@'); at != std::string_view::npos) {
    const std::string_view user = text.substr(0, at);
    const size_t colon = std::min(user.find(':'), user.size());
    out.password = percent_decoded(user.substr(std::min(colon + 1, user.size())));
    out.authorization = "Basic ";
    append_base64(out.authorization, percent_decoded(user.substr(0, colon)) + ":" + out.password);
    text.remove_prefix(at + 1);
  }
  auto host = parse_host_port(text, kProxyPort);
  if (!host) return tl::unexpected(host.error());
  out.host = std::move(host->host), out.port = host->port;
  return out;
}

}  // namespace

bool in_no_proxy(std::string_view list, const std::string& host, uint16_t port) {
  const std::string name = lower(host);
  const Address address = parse_address(name);
  const std::string words = lower(list);
  for (size_t at = 0; (at = words.find_first_not_of(", \t", at)) != std::string::npos;) {
    const size_t end = std::min(words.find_first_of(", \t", at), words.size());
    if (word_holds(std::string_view(words).substr(at, end - at), name, address, port)) return true;
    at = end;
  }
  return false;
}

Result<std::optional<HttpProxy>> proxy_for(const HttpUrl& url, const Environment& environment) {
  // HTTP_PROXY is not read: in a CGI program a client could set it by sending a header `Proxy`.
  static constexpr std::array kHttp{"http_proxy", "all_proxy", "ALL_PROXY"};
  static constexpr std::array kHttps{"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
  for (const char* name : {"no_proxy", "NO_PROXY"})
    if (const char* list = environment(name)) {
      if (in_no_proxy(list, url.host, url.port)) return std::optional<HttpProxy>{};
      break;
    }
  const auto first_set = [&](const auto& names) -> const char* {
    for (const char* name : names)
      if (environment(name)) return name;
    return nullptr;
  };
  const char* name = url.tls ? first_set(kHttps) : first_set(kHttp);
  if (!name || !*environment(name)) return std::optional<HttpProxy>{};
  auto proxy = parse_proxy(environment(name));
  if (!proxy) return fail("$" + std::string(name) + " is of no use: " + proxy.error().message);
  return std::optional<HttpProxy>(std::move(*proxy));
}

}  // namespace weir
