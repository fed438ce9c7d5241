#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/config/config.h"
#include "agent/ingest/source.h"

namespace weir {

struct ApplyOptions {
  bool drain = false;              ///< a removed sink may deliver what it has, however long it takes
  bool drop_lag = false;           ///< or its records are given up
  bool require_reachable = false;  ///< a receiver that cannot be connected to is a reason to refuse
  bool operator==(const ApplyOptions&) const = default;
};

/// What becomes of one listener, stream, sink or section of the configuration: as planned, and after an apply
/// as it went.
struct ComponentChange {
  std::string action;                       ///< create | keep | change | drain | remove
  std::string result = "ok";                ///< ok | draining | failed | refused | needs a restart
  std::string message = {};                 ///< what that means for records and connections, or why not
  std::vector<std::string> options = {};    ///< change: those that differ
  uint64_t lag_records = 0, lag_bytes = 0;  ///< what waited for a sink that ran when the plan was made
};

/// A listener that runs, or is to.
struct RunningSource {
  ComponentConfig config;
  std::shared_ptr<Source> source;
};

/// How to come from what runs to a configuration. Topology makes it without touching anything, and what
/// Topology::apply() does is this and nothing else. `weir plan` shows it.
struct TopologyPlan {
  ApplyOptions options;
  std::map<std::string, ComponentChange> components;  ///< `listen.NAME`, `streams.NAME`, `sinks.NAME`, `log`
  std::vector<std::string> refused;                   ///< why it must not be applied; empty: it may

  std::vector<RunningSource> sources;        ///< all that will be; those of `created` are not started
  std::vector<RunningSource> created, kept;  ///< parts of `sources`
  std::vector<std::shared_ptr<Source>> removed;

  void refuse(const std::string& component, const std::string& why) {
    components[component].result = "refused";
    components[component].message = why;
    refused.push_back(component + ": " + why);
  }
};

}  // namespace weir
