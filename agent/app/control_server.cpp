#include "agent/app/control_server.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>

#include "agent/app/control_answer.h"
#include "agent/app/metrics.h"
#include "agent/app/query.h"
#include "agent/app/sink_control.h"
#include "agent/app/status_json.h"
#include "agent/app/tail_stream.h"
#include "agent/core/listen_port.h"
#include "agent/core/log.h"
#include "agent/core/passed_sockets.h"
#include "agent/core/socket_path.h"
#include "agent/ingest/intake_gate.h"
#include "agent/ingest/listeners.h"
#include "agent/sinks/sink.h"

namespace weir {
namespace {

namespace http = boost::beast::http;
using Socket = asio::local::stream_protocol::socket;
using Request = ControlRequest;
using Response = ControlResponse;

constexpr uint32_t kHeaderBytesMax = 16 << 10;
constexpr uint64_t kBodyBytesMax = 4 << 20;
constexpr auto kIdle = std::chrono::seconds(30);

}  // namespace

struct ControlServer::Shared {
  asio::io_context& io;
  Topology& topology;
  Reloader& reloader;
  const Clock& clock;
  int64_t started_ns;
  std::string path;  ///< empty: the socket is the service manager's
  ino_t inode = 0;
  asio::local::stream_protocol::acceptor acceptor{io};
  asio::ip::tcp::acceptor metrics_acceptor{io};
};

namespace {

using Shared = ControlServer::Shared;

/// Waits for the apply thread's answer without holding up the main one.
asio::awaitable<ReloadResult> ask(Shared& shared, ReloadRequest request) {
  auto timer = std::make_shared<asio::steady_timer>(shared.io, asio::steady_timer::time_point::max());
  auto result = std::make_shared<ReloadResult>();
  shared.reloader.request(std::move(request), [timer, result, &io = shared.io](const ReloadResult& r) {
    *result = r;
    asio::post(io, [timer] { timer->cancel(); });
  });
  co_await timer->async_wait(kAwait);
  co_return *result;
}

/// Both take the options of a reload; a plan may name other files.
asio::awaitable<Response> on_reload(Shared& shared, const Request& request, ReloadRequest::Kind kind) {
  nlohmann::json body = nlohmann::json::object();
  if (!request.body().empty()) body = nlohmann::json::parse(request.body(), nullptr, false);
  if (!body.is_object())
    co_return problem(request, http::status::bad_request, "the body must be a JSON object, or empty");
  auto flag = [&](const char* name) { return body.contains(name) && body[name] == true; };
  ReloadRequest asked{kind, {flag("drain"), flag("drop_lag"), flag("require_reachable")}, flag("wait")};
  if (kind == ReloadRequest::Kind::plan && body.contains("files")) {
    const nlohmann::json& files = body["files"];
    const bool texts = files.is_array() && std::ranges::all_of(files, [](auto& f) { return f.is_string(); });
    if (!texts) co_return problem(request, http::status::bad_request, "`files` must be a list of paths");
    asked.files = files.get<std::vector<std::string>>();
  }
  ReloadResult result = co_await ask(shared, std::move(asked));
  co_return answer(request, http::status::ok, reload_json(result));
}

/// Ready: records are taken. What keeps it from that, or a sink from delivering, is said.
Response ready(const Request& request, const TopologyStatus& status) {
  nlohmann::ordered_json reasons = nlohmann::ordered_json::array();
  const bool taken = status.journal.state == "ok";
  if (!taken) {
    const std::string why = status.journal.error.empty() ? "" : ": " + status.journal.error;
    reasons.push_back("journal: " + status.journal.state + why);
  }
  for (const SinkStatus& s : status.sinks)
    if (s.state != "ok" && s.state != "draining")
      reasons.push_back("sink " + s.name + ": " + s.state +
                        (s.last_error.empty() ? "" : ": " + s.last_error));
  const nlohmann::ordered_json body = {{"status", taken ? "ready" : "not ready"}, {"reasons", reasons}};
  return answer(request, taken ? http::status::ok : http::status::service_unavailable,
                body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

/// The configuration that runs, secrets as `***`: `yaml` is what load_config takes.
Response running_config(const Request& request, Shared& shared) {
  const ReloadState state = shared.reloader.state();
  const nlohmann::ordered_json body = {
      {"generation", state.generation},
      {"config_hash", state.config_hash},
      {"config_files", state.config_files},
      {"yaml", print_config(shared.topology.config(), listener_component_types(), sink_component_types())}};
  return answer(request, http::status::ok,
                body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

Response explained(const Request& request, Shared& shared, std::string_view target) {
  std::string key;
  for (const auto& [name, value] : query_of(target))
    if (name == "key") key = value;
  if (key.empty()) return problem(request, http::status::bad_request, "name a key: ?key=sinks.out.path");
  auto explanation = shared.reloader.explain(key);
  if (!explanation) return problem(request, http::status::not_found, explanation.error().message);
  return answer(request, http::status::ok, explanation_json(*explanation));
}

/// Of the agent's own log, until the next start or a reload that changes `log`.
Response log_level(const Request& request) {
  const std::string before(log::level_name(log::level()));
  if (request.method() == http::verb::get)
    return answer(request, http::status::ok, nlohmann::json{{"level", before}}.dump());
  if (request.method() != http::verb::post) return wrong_method(request, "GET, POST");
  const auto body = nlohmann::json::parse(request.body(), nullptr, false);
  if (!body.is_object() || body.size() != 1 || !body.contains("level") || !body["level"].is_string())
    return problem(request, http::status::bad_request, R"(the body must be such as {"level":"debug"})");
  const std::string level = body["level"];
  if (!log::set_level(level)) {
    std::vector<std::string> known;
    for (const std::string_view name : log::level_names()) known.emplace_back(name);
    return problem(request, http::status::bad_request, unknown_text("level", level, known));
  }
  log::info("log level: {}, before {}", level, before);
  return answer(request, http::status::ok, nlohmann::json{{"level", level}, {"before", before}}.dump());
}

asio::awaitable<Response> respond(Shared& shared, const Request& request) {
  std::string_view target(request.target().data(), request.target().size());
  std::string_view path = target.substr(0, target.find('?'));
  bool get = request.method() == http::verb::get;
  if (path == "/v1/reload" || path == "/v1/plan") {
    const auto kind = path == "/v1/plan" ? ReloadRequest::Kind::plan : ReloadRequest::Kind::reload;
    if (request.method() == http::verb::post) co_return co_await on_reload(shared, request, kind);
    co_return wrong_method(request, "POST");
  }
  if (path.starts_with(kSinksPath))
    co_return co_await control_sink(shared.io, shared.topology, request, path);
  if (path == "/v1/log-level") co_return log_level(request);
  if (get && path == "/v1/config") co_return running_config(request, shared);
  if (get && path == "/v1/config/explain") co_return explained(request, shared, target);
  if (path != "/v1/status" && path != "/healthz" && path != "/readyz" && path != "/metrics")
    co_return problem(
        request, http::status::not_found,
        "known: GET /v1/status /v1/config /v1/config/explain?key= /v1/tail /v1/log-level /metrics /healthz "
        "/readyz, POST /v1/plan /v1/reload /v1/sinks/{name}/pause|resume|flush /v1/log-level");
  if (!get) co_return wrong_method(request, "GET");
  TopologyStatus status = shared.topology.status();
  if (path == "/healthz") {
    bool failed = status.journal.state == "failed";
    co_return answer(request, failed ? http::status::service_unavailable : http::status::ok,
                     "{\"status\":\"" + std::string(failed ? "failed" : "ok") + "\",\"journal\":\"" +
                         status.journal.state + "\"}");
  }
  if (path == "/readyz") co_return ready(request, status);
  double uptime_s = double(shared.clock.monotonic_ns() - shared.started_ns) / 1e9;
  if (path == "/metrics") {
    const auto accept = request[http::field::accept];
    const MetricsFormat format = metrics_format({accept.data(), accept.size()});
    co_return answer(request, http::status::ok,
                     metrics_text(status, shared.reloader.state(), uptime_s, format),
                     metrics_content_type(format));
  }
  co_return answer(request, http::status::ok, status_json(status, shared.reloader.state(), uptime_s));
}

/// What others may see who cannot open the control socket.
asio::awaitable<bool> serve(Shared& shared, asio::ip::tcp::socket& socket, const Request& request) {
  const std::string_view target(request.target().data(), request.target().size());
  const std::string_view path = target.substr(0, target.find('?'));
  const bool known = path == "/metrics" || path == "/healthz" || path == "/readyz";
  Response response;  // no co_await within ?: (g++ 12 destroys its result twice)
  if (known)
    response = co_await respond(shared, request);
  else
    response = problem(request, http::status::not_found, "known: GET /metrics /healthz /readyz");
  auto [error, bytes] = co_await http::async_write(socket, response, kAwait);
  co_return !error && response.keep_alive();
}

/// True: the connection may be used again.
asio::awaitable<bool> serve(Shared& shared, Socket& socket, const Request& request) {
  std::string_view target(request.target().data(), request.target().size());
  if (target.substr(0, target.find('?')) == "/v1/tail" && request.method() == http::verb::get) {
    auto tail = parse_tail_request(target);
    if (tail) {
      co_await stream_tail(socket, std::move(*tail), shared.topology.journal());
      co_return false;
    }
    Response response = problem(request, http::status::bad_request, tail.error().message);
    co_await http::async_write(socket, response, kAwait);
    co_return false;
  }
  Response response = co_await respond(shared, request);
  auto [error, bytes] = co_await http::async_write(socket, response, kAwait);
  co_return !error && response.keep_alive();
}

template <class AnySocket>
void close_when_idle(asio::steady_timer& timer, const std::shared_ptr<AnySocket>& socket) {
  timer.expires_after(kIdle);
  timer.async_wait([socket](boost::system::error_code error) {
    boost::system::error_code ignored;
    if (!error) socket->cancel(ignored);
  });
}

template <class AnySocket>
asio::awaitable<void> serve_connection(std::shared_ptr<Shared> shared, std::shared_ptr<AnySocket> socket) {
  boost::beast::flat_buffer buffer;
  asio::steady_timer idle(shared->io);
  for (bool again = true; again;) {
    http::request_parser<http::string_body> parser;
    parser.header_limit(kHeaderBytesMax);
    parser.body_limit(kBodyBytesMax);
    close_when_idle(idle, socket);
    auto [error, bytes] = co_await http::async_read(*socket, buffer, parser, kAwait);
    idle.cancel();
    if (error == http::error::end_of_stream || error == asio::error::operation_aborted) break;
    if (error) {
      Response response = problem(Request{}, http::status::bad_request,
                                  "not a request that is understood: " + error.message());
      response.keep_alive(false);
      co_await http::async_write(*socket, response, kAwait);
      break;
    }
    again = co_await serve(*shared, *socket, parser.get());
  }
  boost::system::error_code ignored;
  socket->shutdown(AnySocket::shutdown_both, ignored);
}

template <class Acceptor>
asio::awaitable<void> accept_connections(std::shared_ptr<Shared> shared, Acceptor& acceptor) {
  while (acceptor.is_open()) {
    auto socket = std::make_shared<typename Acceptor::protocol_type::socket>(shared->io);
    auto [error] = co_await acceptor.async_accept(*socket, kAwait);
    if (!error)
      asio::co_spawn(shared->io, serve_connection(shared, socket), asio::detached);
    else if (error == asio::error::operation_aborted)
      break;
    else {
      log::sampled(log::Level::error, "control.accept", "control socket: {}", error.message());
      asio::steady_timer timer(shared->io, std::chrono::milliseconds(100));
      co_await timer.async_wait(kAwait);
    }
  }
}

}  // namespace

ControlServer::ControlServer(asio::io_context& io, Topology& topology, Reloader& reloader, const Clock& clock)
    : shared_(new Shared{io, topology, reloader, clock, clock.monotonic_ns(), {}}) {}

ControlServer::~ControlServer() { stop(); }

Result<void> ControlServer::start(const std::string& path) {
  if (auto passed = passed_socket("control", path)) {
    shared_->acceptor.assign(asio::local::stream_protocol(), passed->fd);
  } else {
    UnixSocketOptions options;
    options.mode = 0600;
    auto fd = listen_unix(path, options);
    if (!fd) return fail("control: " + fd.error().message);
    shared_->path = path;
    struct stat st;
    if (lstat(path.c_str(), &st) == 0) shared_->inode = st.st_ino;
    shared_->acceptor.assign(asio::local::stream_protocol(), *fd);
  }
  asio::co_spawn(shared_->io, accept_connections(shared_, shared_->acceptor), asio::detached);
  return {};
}

Result<void> ControlServer::serve_metrics(const std::string& bind, std::string& address) {
  auto port = listen_port("metrics", bind);
  if (!port) return tl::unexpected(port.error());
  const auto family = port->address.front() == '[' ? asio::ip::tcp::v6() : asio::ip::tcp::v4();
  shared_->metrics_acceptor.assign(family, port->fd);
  address = port->address;
  asio::co_spawn(shared_->io, accept_connections(shared_, shared_->metrics_acceptor), asio::detached);
  return {};
}

void ControlServer::stop() {
  boost::system::error_code ignored;
  shared_->metrics_acceptor.close(ignored);
  if (!shared_->acceptor.is_open()) return;
  shared_->acceptor.close(ignored);
  struct stat st;
  if (!shared_->path.empty() && lstat(shared_->path.c_str(), &st) == 0 && st.st_ino == shared_->inode)
    unlink(shared_->path.c_str());
}

}  // namespace weir
