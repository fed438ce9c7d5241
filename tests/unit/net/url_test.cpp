#include "agent/net/url.h"

#include <doctest/doctest.h>

using namespace weir;

TEST_CASE("a URL is taken apart as RFC 9110 says") {
  auto url = parse_http_url("http://h");
  REQUIRE(url);
  CHECK(url->host == "h");
  CHECK(url->port == 80);
  CHECK(url->target == "/");
  CHECK_FALSE(url->tls);
  url = parse_http_url("HTTPS://Logs.Example:8443/a/b?c=d&e");
  REQUIRE(url);
  CHECK(url->tls);
  CHECK(url->host == "Logs.Example");
  CHECK(url->port == 8443);
  CHECK(url->target == "/a/b?c=d&e");
  CHECK(url->authority() == "Logs.Example:8443");
  CHECK(url->shown() == "https://Logs.Example:8443/a/b");
  url = parse_http_url("https://[::1]?x");
  REQUIRE(url);
  CHECK(url->host == "::1");
  CHECK(url->port == 443);
  CHECK(url->target == "/?x");
  CHECK(url->authority() == "[::1]");
}

TEST_CASE("the port of the scheme is not written, any other is") {
  CHECK(parse_http_url("http://h:80/")->authority() == "h");
  CHECK(parse_http_url("https://h:443/")->authority() == "h");
  CHECK(parse_http_url("https://h:80/")->authority() == "h:80");
  CHECK(parse_http_url("http://[fe80::1]:443/")->authority() == "[fe80::1]:443");
}

TEST_CASE("what is no http URL is refused, and a user name is never repeated") {
  for (const char* text : {"",
                           "h",
                           "//h/",
                           "ftp://h/",
                           "http:/h",
                           "http://",
                           "http:///x",
                           "http://:80/",
                           "http://h:/",
                           "http://h:0/",
                           "http://h:65536/",
                           "http://h:1x/",
                           "http://[::1/",
                           "http://[h]/",
                           "http://[::1]x/",
                           "http://::1/",
                           "http://a b/",
                           "http://h/a b",
                           "http://h/\r\n",
                           "http://h/#f",
                           "http://h\xc3\xa9/",
                           "http://h%41/"})
    CHECK_MESSAGE(!parse_http_url(text).has_value(), text);
  const auto url = parse_http_url("https://joe:hunter2@h/");
  REQUIRE_FALSE(url);
  CHECK(url.error().message.find("hunter2") == std::string::npos);
  CHECK(url.error().message.find("auth: {basic:") != std::string::npos);
}
