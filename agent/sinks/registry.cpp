#include <algorithm>

#include "agent/sinks/file_sink.h"
#include "agent/sinks/sink.h"
#include "agent/sinks/stdout_sink.h"

namespace weir {

const std::vector<SinkType>& sink_types() {
  static const std::vector<SinkType> types{
      kFileSinkType,
      kStdoutSinkType,
  };
  return types;
}

const SinkType* find_sink_type(std::string_view name) {
  for (const SinkType& t : sink_types())
    if (t.type.name == name || std::ranges::count(t.type.aliases, name)) return &t;
  return nullptr;
}

std::vector<ComponentType> sink_component_types() {
  std::vector<ComponentType> types;
  for (const SinkType& t : sink_types()) types.push_back(t.type);
  return types;
}

}  // namespace weir
