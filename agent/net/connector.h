#pragma once
#include <poll.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/core/clock.h"
#include "agent/net/byte_stream.h"
#include "agent/net/http_response.h"
#include "agent/net/proxy.h"
#include "agent/net/resolver.h"
#include "agent/net/tls.h"
#include "agent/net/url.h"

namespace weir {

/// Where requests go, and how.
struct HttpEndpoint {
  HttpUrl url;
  std::optional<HttpProxy> proxy = {};
  std::shared_ptr<Tls> tls = {};               ///< for https
  std::string server_name = {};                ///< whom the certificate must name
  std::shared_ptr<Resolver> resolver = {};     ///< of the server, or of the proxy
  int64_t connect_timeout_ns = 3'000'000'000;  ///< name, connection, proxy and TLS together
  int64_t timeout_ns = 10'000'000'000;         ///< from the first byte sent to the last byte of the answer
};

/// Makes one connection: looks the name up, tries the addresses in their order, asks the proxy for a tunnel
/// (https), shakes hands. Never waits; poll waits_for() and call step().
class Connector {
 public:
  enum class State {
    waiting,
    connected,
    failed,     ///< error() says why
    untrusted,  ///< certificates do not allow it
    refused,    ///< the proxy has said no: answer()
  };
  /// `endpoint` and `clock` outlive it.
  Connector(const HttpEndpoint& endpoint, const Clock& clock) : endpoint_(endpoint), clock_(clock) {}
  ~Connector() { cancel(); }
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

  void start();
  State step();
  pollfd waits_for() const;
  int64_t wake_at_ns() const { return phase_ == Phase::connecting ? address_deadline_ns_ : deadline_ns_; }
  std::unique_ptr<ByteStream> take() { return std::move(stream_); }  ///< once connected
  HttpAnswer& answer() { return reader_.answer(); }
  const std::string& error() const { return error_; }
  void cancel() noexcept;

 private:
  enum class Phase { idle, resolving, connecting, tunnel_request, tunnel_answer, handshake };
  State step_once();
  State resolved();
  State try_next_address();
  State check_connected();
  State connected_tcp();
  State step_tunnel_request();
  State step_tunnel_answer();
  State step_handshake();
  State failed(std::string error);
  std::string timeout_text() const;

  const HttpEndpoint& endpoint_;
  const Clock& clock_;
  Phase phase_ = Phase::idle;
  int64_t deadline_ns_ = 0, address_deadline_ns_ = 0;
  std::shared_ptr<Lookup> lookup_;
  std::vector<SocketAddress> addresses_;
  size_t next_address_ = 0;
  int fd_ = -1;  ///< while connecting
  std::unique_ptr<ByteStream> stream_;
  std::string tunnel_request_;
  size_t sent_ = 0;
  bool want_write_ = false;
  HttpResponseReader reader_;
  std::string error_;
};

}  // namespace weir
