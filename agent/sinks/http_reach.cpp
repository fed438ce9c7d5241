// Can the receiver of an `http` sink be connected to? Asked before a reload that requires it.
#include <poll.h>

#include <algorithm>

#include "agent/net/connector.h"
#include "agent/sinks/http_sink.h"

namespace weir {

Result<void> reach_http(const Settings& settings, const Clock& clock, std::stop_token stop) {
  const auto endpoint = http_endpoint(settings);
  if (!endpoint) return tl::unexpected(endpoint.error());
  const std::string where = endpoint->url.shown() + ": ";
  const StopSignal stopped(std::move(stop));
  Connector connector(*endpoint, clock);
  connector.start();
  while (true) {
    switch (connector.step()) {
      case Connector::State::waiting:
        break;
      case Connector::State::connected:
        return {};
      case Connector::State::failed:
      case Connector::State::untrusted:
        return fail(where + connector.error());
      case Connector::State::refused:
        return fail(where + "the proxy answers " + std::to_string(connector.answer().status));
    }
    pollfd waits[] = {connector.waits_for(), {stopped.fd(), POLLIN, 0}};
    const int64_t left_ms = (connector.wake_at_ns() - clock.monotonic_ns()) / 1'000'000 + 1;
    ::poll(waits, 2, int(std::clamp<int64_t>(left_ms, 0, INT32_MAX)));
    if (waits[1].revents != 0) return fail(where + "the agent is about to stop");
  }
}

}  // namespace weir
