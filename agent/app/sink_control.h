#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <string_view>

#include "agent/app/control_answer.h"
#include "agent/app/topology.h"

namespace weir {

inline constexpr std::string_view kSinksPath = "/v1/sinks/";

/// `POST /v1/sinks/{name}/pause|resume|flush`: `path` begins with kSinksPath. On the main thread, which it
/// does not hold up. The body may be `{"timeout":"5s"}`: how long the answer waits for the sink.
boost::asio::awaitable<ControlResponse> control_sink(boost::asio::io_context& io, Topology& topology,
                                                     const ControlRequest& request, std::string_view path);

}  // namespace weir
