#pragma once
#include <string>
#include <string_view>

#include "agent/config/node.h"
#include "agent/core/stream.h"

/// Inside of translate_runtime(): what both trees of the framework share.
namespace weir::config {

/// A section of `runtime.observability`, and how adapters of its stream begin.
struct RuntimeStream {
  std::string_view section, adapter_prefix;
  Stream stream;
};
inline constexpr RuntimeStream kRuntimeStreams[] = {{"tracing", "trace_", Stream::trace},
                                                    {"logging", "log_", Stream::log},
                                                    {"telemetry", "telemetry_", Stream::telemetry},
                                                    {"monitoring", "monitoring_", Stream::monitoring}};

/// False after a mistake: the stream is set up at a second place, too.
bool claim_stream(const RuntimeStream& of, const Entry& section, const std::string& path, const Node& tree,
                  Report& report);

/// `streams.<name>` from a section of a tree, less the words that say where its records go; `path` is where
/// it was written.
Node translate_stream(const RuntimeStream& of, const Entry& section, const std::string& path,
                      std::string_view sinks_word);

/// Moves `settings` (may be null) into a component of this type. Aliases of `trace_slice` become weir's
/// words.
Node translate_settings(const Node* settings, std::string_view type, const Location& type_where,
                        const Location& where, const std::string& path, Report& report);

/// `weir.yaml:3:5`
std::string place_text(const Location& where);

/// `runtime.observability` to streams and sinks.
void translate_observability(const Entry& observability, const ConfigRequest& request, Node& tree,
                             Report& report);

}  // namespace weir::config
