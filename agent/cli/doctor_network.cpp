#include <fmt/format.h>
#include <poll.h>

#include <algorithm>

#include "agent/cli/doctor.h"
#include "agent/core/clock.h"
#include "agent/net/connector.h"
#include "agent/sinks/http_sink.h"

namespace weir::cli {
namespace {

/// As the sink connects: name, proxy, TLS with its certificates, its own time limit.
void check_http(const ComponentConfig& sink, Findings& out) {
  const std::string check = "sinks." + sink.name;
  const Result<HttpEndpoint> endpoint = http_endpoint(sink.settings);
  if (!endpoint) return out.fail(check, endpoint.error().message, "correct it; the sink is down until then");
  std::string where = endpoint->url.shown();
  if (endpoint->proxy) where += " by way of the proxy " + endpoint->proxy->shown();
  weir::Connector connector(*endpoint, system_clock());
  connector.start();
  for (;;) {
    const weir::Connector::State state = connector.step();
    if (state == weir::Connector::State::connected) return out.ok(check, where + " can be reached");
    if (state == weir::Connector::State::untrusted)
      return out.fail(check, where + ": " + connector.error(),
                      "see to its certificate, or to tls.ca and tls.server_name");
    if (state == weir::Connector::State::refused)
      return out.fail(check, where + ": the proxy does not let us through",
                      "check the proxy variables and no_proxy");
    if (state == weir::Connector::State::failed)
      return out.warn(check, where + ": " + connector.error(),
                      "start its receiver, or see to the network; records wait in the journal");
    pollfd ready = connector.waits_for();
    const int64_t left_ms = (connector.wake_at_ns() - system_clock().monotonic_ns()) / 1'000'000;
    poll(&ready, 1, int(std::clamp<int64_t>(left_ms + 1, 1, 1000)));
  }
}

}  // namespace

void check_receivers(const Config& config, Findings& out) {
  for (const ComponentConfig& sink : config.sinks)
    if (sink.type == "http") check_http(sink, out);
}

}  // namespace weir::cli
