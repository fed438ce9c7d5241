#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/core/result.h"

namespace weir {

/// `http://host:port/path?query` or https (RFC 3986, RFC 9110 section 4.2).
struct HttpUrl {
  bool tls = false;
  std::string host;  ///< an IPv6 address without its brackets
  uint16_t port = 80;
  std::string target = "/";  ///< path and query, as they go into the request line

  /// `host` or `host:port` as the Host header wants it: without the scheme's own port.
  std::string authority() const;
  /// For people: without the query, which may hold a token.
  std::string shown() const;
};

/// `host`, in brackets when it is an IPv6 address.
std::string bracketed(const std::string& host);

/// Error: what is wrong and what to write instead. A user name in it is one: secrets do not belong into URLs.
Result<HttpUrl> parse_http_url(std::string_view text);

/// `host:port`, `host`, `[::1]:port`. `default_port` where none is named.
struct HostPort {
  std::string host;
  uint16_t port = 0;
};
Result<HostPort> parse_host_port(std::string_view text, uint16_t default_port);

}  // namespace weir
