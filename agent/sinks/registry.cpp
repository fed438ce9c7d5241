#include <algorithm>

#include "agent/sinks/common_options.h"
#include "agent/sinks/file_sink.h"
#include "agent/sinks/http_sink.h"
#include "agent/sinks/sink.h"
#include "agent/sinks/stdout_sink.h"

namespace weir {

namespace {

SinkType complete(SinkType kind) {
  kind.type.options = with_common_options(std::move(kind.type.options), kind.when_full);
  kind.type.validate = [own = std::move(kind.type.validate)](const Settings& settings) {
    auto mistakes = check_common_options(settings);
    if (!own) return mistakes;
    for (auto& mistake : own(settings)) mistakes.push_back(std::move(mistake));
    return mistakes;
  };
  return kind;
}

}  // namespace

const std::vector<SinkType>& sink_types() {
  static const std::vector<SinkType> types{
      complete(kFileSinkType),
      complete(kStdoutSinkType),
      complete(kHttpSinkType),
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
