#pragma once
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/verb.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

using ControlRequest = boost::beast::http::request<boost::beast::http::string_body>;
using ControlResponse = boost::beast::http::response<boost::beast::http::string_body>;

ControlResponse answer(const ControlRequest& request, boost::beast::http::status status, std::string body,
                       std::string_view type = "application/json");
/// application/problem+json (RFC 9457).
ControlResponse problem(const ControlRequest& request, boost::beast::http::status status,
                        std::string_view detail);
/// 405, with what is allowed.
ControlResponse wrong_method(const ControlRequest& request, std::string_view allowed);
/// `there is no sink archve; did you mean archive? There are: archive, console`. `what`: `sink`.
std::string unknown_text(std::string_view what, std::string_view word, const std::vector<std::string>& known);

}  // namespace weir
