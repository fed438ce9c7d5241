#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "agent/core/result.h"
#include "agent/net/url.h"

namespace weir {

struct HttpProxy {
  std::string host;
  uint16_t port = 0;
  std::string authorization;  ///< value of Proxy-Authorization, a secret; empty: none
  std::string password;       ///< a secret
  std::string shown() const { return bracketed(host) + ":" + std::to_string(port); }
};

/// std::getenv, or a test's.
using Environment = std::function<const char*(const char* name)>;

/// The proxy that the environment names for `url`, by curl's rules: `http_proxy` (lower case only),
/// `https_proxy` or `HTTPS_PROXY`, else `all_proxy` or `ALL_PROXY`, unless `no_proxy` or `NO_PROXY` holds the
/// host. Error: the variable and what is wrong with it, without what it holds.
Result<std::optional<HttpProxy>> proxy_for(const HttpUrl& url, const Environment& environment);

/// Whether a no_proxy list (comma or space) names the host: `*`, a name and all below it (a leading dot is
/// the same), an address, a CIDR block; each may have a `:port`.
bool in_no_proxy(std::string_view list, const std::string& host, uint16_t port);

}  // namespace weir
