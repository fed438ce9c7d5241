#include "agent/app/control_answer.h"

#include <nlohmann/json.hpp>

#include "agent/core/options.h"

namespace weir {

namespace http = boost::beast::http;

ControlResponse answer(const ControlRequest& request, http::status status, std::string body,
                       std::string_view type) {
  ControlResponse response{status, request.version()};
  response.set(http::field::server, "weir/" WEIR_VERSION);
  response.set(http::field::content_type, {type.data(), type.size()});
  response.keep_alive(request.keep_alive());
  response.body() = std::move(body);
  response.prepare_payload();
  return response;
}

ControlResponse problem(const ControlRequest& request, http::status status, std::string_view detail) {
  nlohmann::ordered_json body = {{"type", "about:blank"},
                                 {"title", std::string(http::obsolete_reason(status))},
                                 {"status", unsigned(status)},
                                 {"detail", detail}};
  return answer(request, status, body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace),
                "application/problem+json");
}

ControlResponse wrong_method(const ControlRequest& request, std::string_view allowed) {
  ControlResponse response =
      problem(request, http::status::method_not_allowed, "use " + std::string(allowed));
  response.set(http::field::allow, {allowed.data(), allowed.size()});
  return response;
}

std::string unknown_text(std::string_view what, std::string_view word,
                         const std::vector<std::string>& known) {
  const std::vector<std::string_view> words(known.begin(), known.end());
  std::string text = "there is no " + std::string(what) + " " + std::string(word);
  if (const std::string_view near = did_you_mean(word, words); !near.empty())
    text += "; did you mean " + std::string(near) + "?";
  text += known.empty() ? "; there is none at all" : text.back() == '?' ? " There are: " : "; there are: ";
  for (const std::string& name : known) text += (&name == &known.front() ? "" : ", ") + name;
  return text;
}

}  // namespace weir
