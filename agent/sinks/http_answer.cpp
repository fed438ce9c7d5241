#include "agent/sinks/http_answer.h"

namespace weir {
namespace {

constexpr size_t kReasonLengthMax = 60, kBodyLengthMax = 200, kLocationLengthMax = 200;

bool is_transient(int status) { return status == 408 || status == 429 || (status >= 500 && status < 600); }

/// What to look at. Empty: nothing to say.
std::string hint(const HttpAnswer& answer, const SecretMask& mask) {
  const int status = answer.status;
  if (status == 407) return "the proxy wants a user and password: put them into the proxy variable's URL";
  if (answer.from_proxy) return "the proxy does not let us through: check the proxy variables and no_proxy";
  if (status / 100 == 3) {
    const std::string_view place = std::string_view(answer.location).substr(0, answer.location.find('?'));
    const std::string to = place.empty() ? "" : " to " + mask.excerpt(place, kLocationLengthMax);
    return "redirects are not followed: it points" + to + ", put the right address into `url`";
  }
  switch (status) {
    case 401:
      return "check `auth` and `headers`";
    case 403:
      return "these credentials may not write there";
    case 404:
    case 405:
    case 410:
      return "check the path of `url`";
    case 406:
    case 415:
      return "check `format`, `compress` and the Content-Type header";
    default:
      return "no records are given up; check the sink's options against what the server wants";
  }
}

}  // namespace

HttpVerdict verdict_of(const HttpOutcome& outcome) {
  if (outcome.kind == HttpOutcome::Kind::failed) return HttpVerdict::retry;
  if (outcome.kind == HttpOutcome::Kind::untrusted) return HttpVerdict::misconfigured;
  const int status = outcome.answer.status;
  if (is_transient(status)) return HttpVerdict::retry;
  if (outcome.answer.from_proxy) return HttpVerdict::misconfigured;
  if (status / 100 == 2) return HttpVerdict::delivered;
  const bool about_the_records = status == 400 || status == 413 || status == 422;
  return about_the_records ? HttpVerdict::split : HttpVerdict::misconfigured;
}

std::string text_of(const HttpOutcome& outcome, const HttpUrl& url, const SecretMask& mask) {
  std::string out = "POST " + url.shown() + ": ";
  if (outcome.kind == HttpOutcome::Kind::failed) return out + outcome.error;
  if (outcome.kind == HttpOutcome::Kind::untrusted) return out + outcome.error + " (check `tls` and `url`)";
  const HttpAnswer& answer = outcome.answer;
  if (answer.from_proxy) out += "CONNECT at the proxy: ";
  out += std::to_string(answer.status);
  if (const std::string reason = mask.excerpt(answer.reason, kReasonLengthMax); !reason.empty())
    out += " " + reason;
  if (const std::string body = mask.excerpt(answer.body, kBodyLengthMax); !body.empty()) out += ": " + body;
  if (verdict_of(outcome) == HttpVerdict::misconfigured) out += " (" + hint(answer, mask) + ")";
  return out;
}

}  // namespace weir
