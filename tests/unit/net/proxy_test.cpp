#include "agent/net/proxy.h"

#include <doctest/doctest.h>

#include <map>

using namespace weir;

namespace {

Environment environment(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const char* name) -> const char* {
    const auto it = variables.find(name);
    return it == variables.end() ? nullptr : it->second.c_str();
  };
}

std::string proxy_of(const char* url, std::map<std::string, std::string> variables) {
  auto proxy = proxy_for(*parse_http_url(url), environment(std::move(variables)));
  if (!proxy) return "error";
  return *proxy ? (*proxy)->shown() : "none";
}

}  // namespace

TEST_CASE("each scheme has its variable, and small letters come first") {
  CHECK(proxy_of("http://h/", {}) == "none");
  CHECK(proxy_of("http://h/", {{"http_proxy", "http://p:1"}}) == "p:1");
  CHECK(proxy_of("http://h/", {{"HTTP_PROXY", "http://p:1"}}) == "none");
  CHECK(proxy_of("http://h/", {{"https_proxy", "http://p:1"}}) == "none");
  CHECK(proxy_of("https://h/", {{"https_proxy", "http://p:1"}, {"HTTPS_PROXY", "http://q:1"}}) == "p:1");
  CHECK(proxy_of("https://h/", {{"HTTPS_PROXY", "http://q:1"}, {"all_proxy", "r:1"}}) == "q:1");
  CHECK(proxy_of("https://h/", {{"all_proxy", "r:1"}, {"ALL_PROXY", "s:1"}}) == "r:1");
  CHECK(proxy_of("http://h/", {{"ALL_PROXY", "s:1"}}) == "s:1");
  CHECK(proxy_of("http://h/", {{"http_proxy", ""}, {"all_proxy", "r:1"}}) == "none");
}

TEST_CASE("forms of a proxy") {
  CHECK(proxy_of("http://h/", {{"http_proxy", "p"}}) == "p:1080");
  CHECK(proxy_of("http://h/", {{"http_proxy", "http://[::1]:3128/"}}) == "[::1]:3128");
  CHECK(proxy_of("http://h/", {{"http_proxy", "socks5://p:1"}}) == "error");
  CHECK(proxy_of("http://h/", {{"http_proxy", "https://p:1"}}) == "error");
  CHECK(proxy_of("http://h/", {{"http_proxy", "http://p:x"}}) == "error");
  auto proxy =
      proxy_for(*parse_http_url("http://h/"), environment({{"http_proxy", "http://a%3Ab:c@d%zz@p:1"}}));
  REQUIRE(proxy);
  CHECK((*proxy)->password == "c@d%zz");
  CHECK((*proxy)->authorization == "Basic YTpiOmNAZCV6eg==");
}

TEST_CASE("no_proxy holds names with all below them, addresses, blocks, ports") {
  struct Row {
    const char *list, *host;
    uint16_t port;
    bool held;
  };
  for (const Row& row : std::initializer_list<Row>{{"example.com", "example.com", 80, true},
                                                   {"example.com", "a.example.com", 80, true},
                                                   {"example.com", "badexample.com", 80, false},
                                                   {".example.com", "example.com", 80, true},
                                                   {"*.example.com", "a.example.com", 80, true},
                                                   {"EXAMPLE.com", "A.Example.COM.", 80, true},
                                                   {"example.com.", "example.com", 80, true},
                                                   {"x, example.com ,y", "example.com", 80, true},
                                                   {"x example.com", "example.com", 80, true},
                                                   {"example.com:81", "example.com", 80, false},
                                                   {"example.com:80", "example.com", 80, true},
                                                   {"*", "anything", 80, true},
                                                   {"", "anything", 80, false},
                                                   {",,", "anything", 80, false},
                                                   {".", "anything", 80, false},
                                                   {"10.0.0.1", "10.0.0.1", 80, true},
                                                   {"10.0.0.1", "10.0.0.11", 80, false},
                                                   {"0.0.1", "10.0.0.1", 80, false},
                                                   {"10.0.0.0/8", "10.9.9.9", 80, true},
                                                   {"10.0.0.0/15", "10.2.0.0", 80, false},
                                                   {"10.0.0.0/33", "10.0.0.0", 80, false},
                                                   {"10.0.0.1:8080", "10.0.0.1", 8080, true},
                                                   {"::1", "::1", 80, true},
                                                   {"[::1]", "::1", 80, true},
                                                   {"[::1]:81", "::1", 80, false},
                                                   {"fd00::/8", "fd12::1", 80, true},
                                                   {"fd00::/8", "fe80::1", 80, false}}) {
    CAPTURE(row.list);
    CAPTURE(row.host);
    CHECK(in_no_proxy(row.list, row.host, row.port) == row.held);
  }
  CHECK(proxy_of("http://a.b/", {{"http_proxy", "p:1"}, {"no_proxy", "b"}}) == "none");
  CHECK(proxy_of("http://a.b/", {{"http_proxy", "p:1"}, {"no_proxy", ""}, {"NO_PROXY", "b"}}) == "p:1");
}
