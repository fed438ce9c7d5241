#include "agent/core/stream.h"

namespace weir {

std::string_view stream_name(Stream stream) {
  constexpr std::array<std::string_view, kStreamCount> names{"trace", "log", "telemetry", "monitoring"};
  return names[size_t(stream)];
}

std::optional<Stream> parse_stream(std::string_view t) {
  if (t == "trace" || t == "traces" || t == "tracing") return Stream::trace;
  if (t == "log" || t == "logs" || t == "logging") return Stream::log;
  if (t == "telemetry" || t == "metric" || t == "metrics") return Stream::telemetry;
  if (t == "monitoring" || t == "alert" || t == "alerts") return Stream::monitoring;
  return std::nullopt;
}

}  // namespace weir
