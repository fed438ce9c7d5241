// What the `http` sink can be told, and what of that cannot be (interface.md section 7).
#include <algorithm>

#include "agent/net/url.h"
#include "agent/sinks/http_sink.h"

namespace weir {
namespace {

using Mistakes = std::vector<std::pair<std::string, std::string>>;
constexpr int64_t kMillisecond = 1'000'000, kHour = 3'600'000 * kMillisecond;

std::string lower(std::string_view text) {
  std::string out;
  for (char c : text) out += c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c;
  return out;
}

/// A token of RFC 9110 section 5.6.2.
bool is_header_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return letter || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

bool is_header_value(std::string_view value) {
  const auto bad = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  return std::ranges::none_of(value, bad) && !value.starts_with(' ') && !value.ends_with(' ');
}

void check_headers(const Settings& s, Mistakes& out) {
  static constexpr std::string_view kOurs[] = {
      "host", "content-length", "transfer-encoding", "content-encoding", "connection", "keep-alive",
      "te",   "trailer",        "idempotency-key",   "expect",           "upgrade",    "proxy-authorization"};
  const bool auth = !s.null("auth.bearer") || !s.null("auth.basic.user");
  std::vector<std::string> seen;
  for (const auto& [name, value] : s.secrets("headers")) {
    const std::string option = "headers." + name, word = lower(name);
    if (!is_header_name(name))
      out.emplace_back(option, "is not the name of a header: letters, digits and - are taken");
    else if (std::ranges::find(kOurs, word) != std::end(kOurs))
      out.emplace_back(option, "is a header that weir sets itself: leave it out");
    else if (std::ranges::find(seen, word) != seen.end())
      out.emplace_back(option, "is there twice: case makes no difference in the names of headers");
    else if (word == "authorization" && auth)
      out.emplace_back(option, "is what `auth` sets: keep one of them");
    if (!is_header_value(value.value))
      out.emplace_back(option, "has a value with a line break, a control character, or a space at an end");
    seen.push_back(word);
  }
}

void check_auth(const Settings& s, Mistakes& out) {
  const bool bearer = !s.null("auth.bearer"), user = !s.null("auth.basic.user");
  const bool password = !s.null("auth.basic.password");
  if (bearer && (user || password))
    out.emplace_back("auth.bearer", "and `basic` exclude each other: keep one");
  if (user != password)
    out.emplace_back("auth.basic",
                     user ? "needs a password beside the user" : "needs a user beside the password");
  if (bearer && (!is_header_value(s.secret("auth.bearer")) || s.secret("auth.bearer").empty()))
    out.emplace_back("auth.bearer",
                     "is empty, or has a line break, a control character, or a space at an end");
  if (user && s.text("auth.basic.user").find(':') != std::string::npos)
    out.emplace_back("auth.basic.user", "must not hold a colon (RFC 7617)");
}

void check_tls(const Settings& s, bool https, Mistakes& out) {
  for (const char* option : {"tls.ca", "tls.cert", "tls.key", "tls.server_name"})
    if (!https && !s.null(option)) out.emplace_back(option, "is of no use with an http URL: write https://");
  if (s.null("tls.cert") != s.null("tls.key"))
    out.emplace_back(s.null("tls.cert") ? "tls.key" : "tls.cert",
                     "stands alone: a certificate and its private key come together");
}

Mistakes validate(const Settings& s) {
  Mistakes out;
  const auto url = parse_http_url(s.text("url"));
  if (!url) out.emplace_back("url", url.error().message);
  check_headers(s, out);
  check_auth(s, out);
  if (url) check_tls(s, url->tls, out);
  if (s.integer("backoff.min") > s.integer("backoff.max"))
    out.emplace_back("backoff.min", "must not be longer than `max`");
  return out;
}

std::unique_ptr<Sink> make_http(const Settings& settings, const SinkContext& context) {
  return std::make_unique<HttpSink>(settings, context);
}

Option duration(std::string_view name, std::string_view default_text, std::string_view sentence, int64_t min,
                int64_t max) {
  return {.name = name,
          .type = OptionType::duration,
          .default_text = default_text,
          .sentence = sentence,
          .min = min,
          .max = max};
}

OptionTable options() {
  return {
      {.name = "url",
       .type = OptionType::string,
       .sentence = "Where records are posted to: `http://HOST:PORT/PATH` or `https://HOST/PATH`. Secrets do "
                   "not belong here: use `auth` or `headers`.",
       .required = true},
      {.name = "format",
       .type = OptionType::choice,
       .default_text = "ndjson",
       .sentence = "`ndjson`: one record per line (`application/x-ndjson`). `json_array`: one array per "
                   "request (`application/json`).",
       .choices = {"ndjson", "json_array"}},
      {.name = "headers",
       .type = OptionType::secret_map,
       .sentence = "Headers to send along; `Content-Type` and `User-Agent` replace weir's own."},
      {.name = "auth.bearer",
       .type = OptionType::secret,
       .sentence = "Token for `Authorization: Bearer`. Null: none."},
      {.name = "auth.basic.user",
       .type = OptionType::string,
       .sentence = "User for `Authorization: Basic`. Null: none."},
      {.name = "auth.basic.password", .type = OptionType::secret, .sentence = "The user's password."},
      {.name = "tls.ca",
       .type = OptionType::path,
       .sentence = "PEM file of the issuers that are trusted. Null: those of the system."},
      {.name = "tls.cert",
       .type = OptionType::path,
       .sentence = "PEM file of our own certificate, with its chain. Null: none is shown."},
      {.name = "tls.key", .type = OptionType::path, .sentence = "PEM file of its private key."},
      {.name = "tls.server_name",
       .type = OptionType::string,
       .sentence = "The name the server's certificate must have. Null: the host of `url`."},
      {.name = "compress",
       .type = OptionType::choice,
       .default_text = "none",
       .sentence = "`gzip`: bodies are sent compressed.",
       .choices = {"none", "gzip"}},
      {.name = "batch.records",
       .type = OptionType::integer,
       .default_text = "500",
       .sentence = "Records in one request at most.",
       .min = 1,
       .max = 100'000},
      {.name = "batch.bytes",
       .type = OptionType::bytes,
       .default_text = "1MiB",
       .sentence = "Bytes of records in one request at most, before compression; one record may be more.",
       .min = 1 << 10,
       .max = 64 << 20},
      duration("batch.linger", "100ms", "How long a record may wait for the rest of its request.", 0, kHour),
      duration("timeout", "10s", "From the first byte of a request sent to the last byte of its answer.",
               kMillisecond, kHour),
      duration("connect_timeout", "3s", "For name, connection, proxy and TLS handshake together.",
               kMillisecond, kHour),
      {.name = "in_flight",
       .type = OptionType::integer,
       .default_text = "1",
       .sentence =
           "Requests under way at once, each on a connection of its own. 1 keeps the order of records.",
       .min = 1,
       .max = 64},
      duration("backoff.min", "100ms",
               "The first wait after a failure that may pass; then twice that, and so on.", kMillisecond,
               kHour),
      duration("backoff.max", "30s",
               "The longest such wait. A `Retry-After` of the server counts up to 5 min.", kMillisecond,
               kHour),
      duration(
          "misconfigured_retry", "10s",
          "The wait after an answer that will not change by itself, such as 401, a redirect or an expired "
          "certificate.",
          kMillisecond, kHour),
  };
}

}  // namespace

const SinkType kHttpSinkType{
    {"http",
     {},
     "Forwards records over HTTP or HTTPS, by way of the proxies the environment names.",
     options(),
     validate},
    make_http,
    "drop_oldest",
    [](const Settings& s) -> Result<void> {
      auto tls = http_tls(s);
      if (!tls) return tl::unexpected(tls.error());
      return {};
    },
    reach_http};

}  // namespace weir
