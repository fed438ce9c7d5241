#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/node.h"
#include "agent/config/schema.h"

namespace weir::config {

/// Reads one map against what is known there. Ask for every known key, then call finish(), which reports the
/// rest.
class Section {
 public:
  /// `node` may be null or missing: then nothing is named. `future_where` is the key of is_future().
  Section(const Node* node, std::string path, std::string_view future_where, Report& report);

  const std::string& path() const { return path_; }
  /// The value under `key`, or null when it is not written. A key that is there without a value counts as not
  /// written.
  const Node* section(std::string_view key);
  /// As above, but a value of null is given back.
  const Node* value(std::string_view key);
  std::string path_to(std::string_view key) const;
  /// Every option of the table, defaults filled in; mistakes are reported and leave the default.
  Settings settings(const OptionTable& table);
  /// Reports the keys nobody has asked for.
  void finish();

 private:
  const Node* node_ = nullptr;
  Location where_;
  std::string path_;
  std::string future_where_;
  Report& report_;
  std::vector<std::string_view> known_;
  std::vector<std::string_view> in_groups_;  ///< `rotate.max_bytes`
};

/// One value by its option; empty after a mistake, which has been reported. `future` as in is_future().
std::optional<OptionValue> read_option(const Option& option, const Node& node, const std::string& path,
                                       std::string_view future, Report& report);

/// Where `rotate.max_bytes` of a component was written, null where it was not.
const Node* find_option_node(const Node& component, std::string_view name);

/// The value at a path such as {"journal", "max_bytes"}, null where nothing is written.
const Node* find_path(const Node& tree, std::initializer_list<std::string_view> keys);

struct Place {
  Location where;
  std::string path;
};
/// Where an option of a component was written, else where the component was.
Place place_of(const Node& tree, std::string_view group, const ComponentConfig& component,
               std::string_view option);

/// `[A-Za-z0-9_.-]{1,64}`: names of sinks and listeners end up in file names, metrics and log lines.
bool is_component_name(std::string_view name);

/// A listener or a sink; absent when its type is not known. Its checks of its own are run, too.
std::optional<ComponentConfig> read_component(const std::string& name, const Node& node,
                                              std::string_view group, const std::vector<ComponentType>& types,
                                              Report& report);

const ComponentType* find_type(const std::vector<ComponentType>& types, std::string_view name_or_alias);

/// `streams.<name>.set`, `redact` and `sample`; `node` is what is written there.
SetOptions read_set(const Node& node, const std::string& path, Report& report);
RedactOptions read_redact(const Node& node, const std::string& path, Report& report);
std::optional<SampleOptions> read_sample(const Node& node, const std::string& path, Report& report);

/// Checks that see several sections at once; `tree` gives the places.
void cross_check(const Node& tree, const Config& config, Report& report);

/// All places in the file system that a configuration names, but for its own files.
std::vector<PathUse> path_uses(const Node& tree, const Config& config, const Report& report);

}  // namespace weir::config
