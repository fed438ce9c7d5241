#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <memory>
#include <string>

#include "agent/app/reloader.h"
#include "agent/core/result.h"

namespace weir {

/// HTTP/JSON on the control socket (interface.md section 6), on the main thread.
class ControlServer {
 public:
  ControlServer(boost::asio::io_context& io, Topology& topology, Reloader& reloader, const Clock& clock);
  ~ControlServer();
  /// Listening when it returns. The socket is 0600.
  Result<void> start(const std::string& path);
  /// /metrics, /healthz and /readyz over TCP, too. `address` is what is listened on.
  Result<void> serve_metrics(const std::string& bind, std::string& address);
  /// Takes no new connection; those that are open end with the io_context.
  void stop();

  struct Shared;

 private:
  std::shared_ptr<Shared> shared_;
};

}  // namespace weir
