#include "agent/config/section.h"
#include "agent/core/brace_word.h"

namespace weir::config {
namespace {

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == path.npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// The directory that no field of a record is part of.
std::string fixed_directory(const std::string& path, bool may_hold_fields) {
  std::string fixed;
  size_t at = 0;
  for (BraceWord found; may_hold_fields; at = found.end) {
    found = find_brace_word(path, at);
    if (found.begin == std::string::npos) break;
    fixed += path.substr(at, found.begin - at);
    if (!found.doubled) return directory_of(fixed);
    fixed += "{" + std::string(found.word) + "}";
  }
  return directory_of(fixed + path.substr(at));
}

/// Of a component with a path as its address or its output; other paths are those of files that it reads.
void add_component(const Node& tree, std::string_view group, const ComponentConfig& component,
                   std::vector<PathUse>& out) {
  const bool sink = group == "sinks";
  for (const auto& [option, value] : component.settings.values()) {
    const auto* text = std::get_if<std::string>(&value);
    if (!text || text->empty()) continue;
    Place place = place_of(tree, group, component, option);
    if (option == "tls.ca" || option == "tls.cert" || option == "tls.key")
      out.push_back({PathUse::Kind::read, *text, place.where, place.path});
    else if (option == "path" && sink)
      out.push_back(
          {PathUse::Kind::output, fixed_directory(*text, component.type == "file"), place.where, place.path});
    else if (option == "path" && component.type == "unix")
      out.push_back({PathUse::Kind::socket, directory_of(*text), place.where, place.path});
  }
}

}  // namespace

std::vector<PathUse> path_uses(const Node& tree, const Config& config, const Report& report) {
  std::vector<PathUse> out = report.paths;
  const auto add = [&](PathUse::Kind kind, std::string path, std::initializer_list<std::string_view> keys) {
    const Node* node = find_path(tree, keys);
    std::string key;
    for (std::string_view part : keys) key = join_path(key, part);
    out.push_back({kind, std::move(path), node ? node->where : tree.where, std::move(key)});
  };
  add(PathUse::Kind::data, config.data_dir, {"data_dir"});
  if (config.journal.text("type") == "disk")
    add(PathUse::Kind::data, config.journal.text("path"), {"journal", "path"});
  add(PathUse::Kind::socket, directory_of(config.control_path), {"control", "path"});
  for (const ComponentConfig& listener : config.listen) add_component(tree, "listen", listener, out);
  for (const ComponentConfig& sink : config.sinks) add_component(tree, "sinks", sink, out);
  return out;
}

}  // namespace weir::config
