#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace weir::cli {

/// Why a request came to nothing, and what the command exits with.
struct ControlError {
  int exit_code;
  std::string message;
};
template <class T>
using ControlResult = tl::expected<T, ControlError>;

struct HttpAnswer {
  unsigned status = 0;
  std::string body;
};

/// HTTP/1.1 over the agent's control socket, one connection per request. Blocking.
class ControlClient {
 public:
  explicit ControlClient(std::string path) : path_(std::move(path)) {}

  /// Any status. `timeout_ms`: how long the agent may be silent; -1: for ever.
  ControlResult<HttpAnswer> get(const std::string& target, int timeout_ms = 10'000) const;
  ControlResult<HttpAnswer> post(const std::string& target, const std::string& json, int timeout_ms) const;
  /// The body of GET /v1/status.
  ControlResult<std::string> status(int timeout_ms = 10'000) const;
  /// Hands over the bytes of a long answer as they come, until the agent ends it or `on_bytes` answers false.
  /// Only for status 200; any other becomes an error with what the agent said.
  ControlResult<void> stream(const std::string& target,
                             const std::function<bool(std::string_view)>& on_bytes) const;

 private:
  struct Exchange;
  ControlResult<HttpAnswer> request(const char* method, const std::string& target, const std::string& body,
                                    int timeout_ms) const;

  std::string path_;
};

/// --control, else $WEIR_CONTROL, else control.sock beside the ingest socket.
ControlResult<std::string> control_path(const std::string& flag);
/// What an `application/problem+json` answer says; usable for any other body too.
std::string problem_text(const HttpAnswer& answer);
/// For query strings (RFC 3986).
std::string percent_encode(std::string_view text);

}  // namespace weir::cli
