#include "agent/cli/control_client.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "agent/cli/command.h"
#include "agent/cli/connect.h"
#include "agent/cli/json_text.h"

namespace weir::cli {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

constexpr uint64_t kBodyBytesMax = 64 << 20;

/// The few operations that Beast asks of a stream, with a limit on silence that Asio's blocking sockets lack.
class BlockingStream {
 public:
  BlockingStream(Fd fd, int timeout_ms) : fd_(std::move(fd)), timeout_ms_(timeout_ms) {}

  template <class Buffers>
  size_t read_some(const Buffers& buffers, error_code& ec) {
    const auto part = first_part<boost::asio::mutable_buffer>(buffers);
    const size_t n =
        attempt(POLLIN, ec, [&] { return recv(fd_.get(), part.data(), part.size(), MSG_DONTWAIT); });
    if (!ec && n == 0 && part.size() > 0) ec = boost::asio::error::eof;
    return n;
  }
  template <class Buffers>
  size_t write_some(const Buffers& buffers, error_code& ec) {
    const auto part = first_part<boost::asio::const_buffer>(buffers);
    return attempt(POLLOUT, ec,
                   [&] { return send(fd_.get(), part.data(), part.size(), MSG_DONTWAIT | MSG_NOSIGNAL); });
  }
  template <class Buffers>
  size_t read_some(const Buffers& buffers) {
    return or_throw([&](error_code& ec) { return read_some(buffers, ec); });
  }
  template <class Buffers>
  size_t write_some(const Buffers& buffers) {
    return or_throw([&](error_code& ec) { return write_some(buffers, ec); });
  }

 private:
  template <class Part, class Buffers>
  static Part first_part(const Buffers& buffers) {
    for (auto it = boost::asio::buffer_sequence_begin(buffers);
         it != boost::asio::buffer_sequence_end(buffers); ++it)
      if (Part part = *it; part.size() > 0) return part;
    return {};
  }

  template <class Operation>
  size_t attempt(short events, error_code& ec, Operation operation) {
    for (ec = {};;) {
      const ssize_t n = operation();
      if (n >= 0) return size_t(n);
      if (errno == EAGAIN) {
        pollfd ready{fd_.get(), events, 0};
        const int count = poll(&ready, 1, timeout_ms_);
        if (count == 0) return ec = boost::asio::error::timed_out, 0;
        if (count > 0 || errno == EINTR) continue;
      }
      if (errno == EINTR) continue;
      return ec.assign(errno, boost::system::system_category()), 0;
    }
  }

  template <class Operation>
  static size_t or_throw(Operation operation) {
    error_code ec;
    const size_t n = operation(ec);
    if (ec) throw boost::system::system_error(ec);
    return n;
  }

  Fd fd_;
  int timeout_ms_;
};

tl::unexpected<ControlError> control_fail(int exit_code, std::string message) {
  return tl::unexpected<ControlError>(ControlError{exit_code, std::move(message)});
}

/// Who asks at the socket for records waits for ever.
std::string hint_beside(const std::string& path) {
  const auto control = std::filesystem::path(path).parent_path() / "control.sock";
  std::error_code error;
  if (control == path || !std::filesystem::is_socket(control, error)) return {};
  return fmt::format("; is it the socket for records? There is {} beside it", control.string());
}

}  // namespace

/// One connection with its request sent.
struct ControlClient::Exchange {
  BlockingStream stream;
  boost::beast::flat_buffer buffer{64 << 10};

  static ControlResult<Exchange> begin(const std::string& path, http::verb method, const std::string& target,
                                       const std::string& body, int timeout_ms) {
    Result<Fd> fd = connect_unix(path, timeout_ms);
    if (!fd)
      return control_fail(
          kUnreachable,
          fmt::format("no agent answers at {} ({}); start one with `weir agent`, or name its control "
                      "socket with --control or $WEIR_CONTROL",
                      path, fd.error().message));
    Exchange exchange{BlockingStream(std::move(*fd), timeout_ms)};
    http::request<http::string_body> request{method, target, 11, body};
    request.set(http::field::host, "localhost");
    request.set(http::field::user_agent, "weir/" WEIR_VERSION);
    request.keep_alive(false);
    if (method == http::verb::post) request.set(http::field::content_type, "application/json");
    request.prepare_payload();
    error_code ec;
    http::write(exchange.stream, request, ec);
    // A refusal may come before all of the request was read: what the agent says is worth more than EPIPE.
    if (ec && ec != boost::system::errc::broken_pipe) return broken(path, ec);
    return exchange;
  }

  static tl::unexpected<ControlError> broken(const std::string& path, const error_code& ec) {
    if (ec == boost::asio::error::timed_out)
      return control_fail(kFailure,
                          fmt::format("what listens at {} does not answer{}", path, hint_beside(path)));
    if (ec == http::error::end_of_stream)
      return control_fail(kFailure,
                          fmt::format("the agent at {} closed the connection without an answer", path));
    return control_fail(kFailure,
                        fmt::format("the answer of the agent at {} broke off: {}", path, ec.message()));
  }
};

ControlResult<HttpAnswer> ControlClient::request(const char* method, const std::string& target,
                                                 const std::string& body, int timeout_ms) const {
  auto exchange = Exchange::begin(path_, http::string_to_verb(method), target, body, timeout_ms);
  if (!exchange) return tl::unexpected(exchange.error());
  http::response_parser<http::string_body> parser;
  parser.body_limit(kBodyBytesMax);
  error_code ec;
  http::read(exchange->stream, exchange->buffer, parser, ec);
  if (ec) return Exchange::broken(path_, ec);
  return HttpAnswer{parser.get().result_int(), std::move(parser.get().body())};
}

ControlResult<HttpAnswer> ControlClient::get(const std::string& target, int timeout_ms) const {
  return request("GET", target, {}, timeout_ms);
}

ControlResult<HttpAnswer> ControlClient::post(const std::string& target, const std::string& json,
                                              int timeout_ms) const {
  return request("POST", target, json, timeout_ms);
}

ControlResult<std::string> ControlClient::status(int timeout_ms) const {
  auto answer = get("/v1/status", timeout_ms);
  if (!answer) return tl::unexpected(answer.error());
  if (answer->status != 200) return control_fail(kFailure, problem_text(*answer));
  return std::move(answer->body);
}

ControlResult<void> ControlClient::stream(const std::string& target,
                                          const std::function<bool(std::string_view)>& on_bytes) const {
  auto exchange = Exchange::begin(path_, http::verb::get, target, {}, -1);
  if (!exchange) return tl::unexpected(exchange.error());
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  error_code ec;
  http::read_header(exchange->stream, exchange->buffer, parser, ec);
  const bool begun = !ec;
  HttpAnswer refusal{parser.get().result_int(), {}};
  std::array<char, 64 << 10> bytes;
  while (!ec && !parser.is_done()) {
    parser.get().body().data = bytes.data();
    parser.get().body().size = bytes.size();
    http::read_some(exchange->stream, exchange->buffer, parser, ec);
    if (ec == http::error::need_buffer) ec = {};
    const std::string_view got(bytes.data(), bytes.size() - parser.get().body().size);
    if (refusal.status != 200) {
      if (refusal.body.size() < 64 << 10) refusal.body += got;
    } else if (!got.empty() && !on_bytes(got)) {
      return {};
    }
  }
  if (ec && begun) return control_fail(kFailure, "the agent ended the stream");
  if (ec) return Exchange::broken(path_, ec);
  if (refusal.status != 200)
    return control_fail(refusal.status == 400 ? kUsage : kFailure, problem_text(refusal));
  return {};
}

ControlResult<std::string> control_path(const std::string& flag) {
  if (!flag.empty()) return flag;
  if (const char* path = std::getenv("WEIR_CONTROL"); path && *path) return std::string(path);
  Result<std::string> ingest = default_ingest_socket();
  if (!ingest)
    return control_fail(kUnreachable, ingest.error().message + ", or name the control socket with --control");
  const size_t slash = ingest->rfind('/');
  return (slash == ingest->npos ? "" : ingest->substr(0, slash + 1)) + "control.sock";
}

std::string problem_text(const HttpAnswer& answer) {
  const nlohmann::json problem = nlohmann::json::parse(answer.body, nullptr, false);
  const std::string detail = text_of(problem, "detail"), title = text_of(problem, "title");
  if (!detail.empty()) return detail;
  if (!title.empty()) return title;
  return fmt::format("the agent answered with HTTP status {}", answer.status);
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (unsigned char c : text) {
    if (std::isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~')
      out += char(c);
    else
      out += fmt::format("%{:02X}", c);
  }
  return out;
}

}  // namespace weir::cli
