#include "agent/net/url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace weir {
namespace {

bool is_host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_';
}

bool is_visible_ascii(char c) { return c > ' ' && c < 0x7f; }

std::string lower(std::string_view text) {
  std::string out;
  for (char c : text) out += c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c;
  return out;
}

}  // namespace

std::string bracketed(const std::string& host) {
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

std::string HttpUrl::authority() const {
  const std::string name = bracketed(host);
  return port == (tls ? 443 : 80) ? name : name + ":" + std::to_string(port);
}

std::string HttpUrl::shown() const {
  return (tls ? "https://" : "http://") + authority() + target.substr(0, target.find('?'));
}

Result<HostPort> parse_host_port(std::string_view text, uint16_t default_port) {
  HostPort out{{}, default_port};
  std::string_view port;
  bool port_named = false;
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return fail("the bracket of the IPv6 address is not closed");
    out.host = text.substr(1, close - 1);
    in6_addr any;
    if (inet_pton(AF_INET6, out.host.c_str(), &any) != 1)
      return fail("holds no IPv6 address in its brackets");
    text.remove_prefix(close + 1);
    if (!text.empty() && text.front() != ':') return fail("has something other than a port behind its host");
    port_named = !text.empty();
    if (port_named) port = text.substr(1);
  } else {
    const size_t colon = text.find(':');
    out.host = text.substr(0, colon);
    port_named = colon != std::string_view::npos;
    if (port_named) port = text.substr(colon + 1);
    if (port.find(':') != std::string_view::npos) return fail("must have an IPv6 address in brackets: [::1]");
    if (out.host.empty()) return fail("names no host");
    if (out.host.size() > 253 || !std::ranges::all_of(out.host, is_host_character))
      return fail("has a character in its host that no host name has");
  }
  if (!port_named) return out;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (error != std::errc{} || end != port.data() + port.size() || out.port == 0)
    return fail("must have a port between 1 and 65535");
  return out;
}

Result<HttpUrl> parse_http_url(std::string_view text) {
  const std::string form = ": write http://HOST:PORT/PATH or https://HOST/PATH";
  const size_t colon = text.find("://");
  if (colon == std::string_view::npos) return fail("must be a URL" + form);
  const std::string scheme = lower(text.substr(0, colon));
  if (scheme != "http" && scheme != "https") return fail("must be an http or https URL" + form);
  HttpUrl out;
  out.tls = scheme == "https";
  text.remove_prefix(colon + 3);
  if (!std::ranges::all_of(text, is_visible_ascii))
    return fail("must not hold spaces, control characters or letters beyond ASCII: write them as %XX");
  if (text.find('#') != std::string_view::npos) return fail("must not have a fragment (#): leave it out");
  const size_t slash = std::min(text.find_first_of("/?"), text.size());
  const std::string_view authority = text.substr(0, slash);
  if (authority.find('@') != std::string_view::npos)
    return fail("must not hold a user name: write auth: {basic: {user: ..., password: ${env:...}}}");
  auto host = parse_host_port(authority, out.tls ? 443 : 80);
  if (!host) return fail(host.error().message + form);
  out.host = std::move(host->host), out.port = host->port;
  out.target = text.substr(slash);
  if (out.target.empty() || out.target.front() == '?') out.target.insert(out.target.begin(), '/');
  return out;
}

}  // namespace weir
