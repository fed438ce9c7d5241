// Where a value of the effective configuration comes from.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/config/node.h"

namespace weir {
namespace config {
namespace {

constexpr std::string_view kHidden = "***";

/// As one would write it on one line.
std::string flow_text(const Node& node) {
  std::string out;
  switch (node.kind) {
    case Node::Kind::null:
      return "null";
    case Node::Kind::scalar:
      return node.reference.empty() ? node.text : node.reference;
    case Node::Kind::list:
      for (const Node& item : node.items) out += (out.empty() ? "" : ", ") + flow_text(item);
      return "[" + out + "]";
    case Node::Kind::map:
      for (const Entry& e : node.entries)
        out += (out.empty() ? "" : ", ") + e.key + ": " + flow_text(e.value);
      return "{" + out + "}";
  }
  return out;
}

const Node* find_key(const Node& tree, const std::vector<std::string>& parts) {
  const Node* node = &tree;
  for (const std::string& part : parts) {
    node = node->is_map() ? node->find(part) : nullptr;
    if (!node) return nullptr;
  }
  return node;
}

void all_keys(const Node& node, const std::string& path, std::vector<std::string>& out) {
  for (const Entry& e : node.entries) {
    const std::string key = join_path(path, e.key);
    out.push_back(key);
    all_keys(e.value, key, out);
  }
}

/// What one file, or one --set, says by itself.
struct Layer {
  Node tree;
  std::string name;
};

std::vector<Layer> layers_of(const ConfigRequest& request, const std::vector<std::string>& files) {
  std::vector<Layer> layers;
  Report ignored;  // load_config() has found no mistake
  const auto add = [&](Node tree, std::string name) {
    translate_runtime(tree, request, ignored);
    layers.push_back({std::move(tree), std::move(name)});
  };
  std::vector<std::string> read;
  if (files.empty()) add(read_files({}, read, ignored), "");
  for (const std::string& file : files) add(read_files({.files = {file}}, read, ignored), "");
  for (const std::string& text : request.sets) {
    Node tree;
    tree.kind = Node::Kind::map;
    apply_sets(tree, {text}, true, ignored);
    apply_sets(tree, {text}, false, ignored);
    add(std::move(tree), "--set " + text.substr(0, text.find('=')));
  }
  return layers;
}

std::string place_of(const Layer& layer, const Node& node) {
  if (!layer.name.empty()) return layer.name;
  const Location& w = node.where;
  return w.file + ":" + std::to_string(w.line) + ":" + std::to_string(w.column);
}

}  // namespace
}  // namespace config

std::optional<ConfigExplanation> explain_config(const ConfigRequest& request, const Config& config,
                                                const std::vector<ComponentType>& listener_types,
                                                const std::vector<ComponentType>& sink_types,
                                                std::string_view key, std::vector<std::string>& known) {
  using namespace config;
  Report ignored;
  const Node effective =
      read_yaml(print_config(config, listener_types, sink_types), Location{"", 1, 1}, ignored);
  const std::vector<std::string> parts = split_key(key);
  const Node* const value = parts.empty() ? nullptr : find_key(effective, parts);
  if (!value) {
    all_keys(effective, "", known);
    return {};
  }
  ConfigExplanation out;
  out.key = key, out.value = flow_text(*value);
  const bool secret = out.value.find(kHidden) != out.value.npos;
  for (const Layer& layer : layers_of(request, config.files)) {
    const Node* const node = find_key(layer.tree, parts);
    if (!node || (node->is_null() && !value->is_null())) continue;
    const bool shown = !secret || !node->reference.empty();
    out.written.insert(out.written.begin(),
                       {place_of(layer, *node), shown ? flow_text(*node) : std::string(kHidden)});
  }
  // What stands in several places of a map is merged, not lost.
  out.merged = value->is_map();
  if ((request.trace_path || request.tracing) && (parts[0] == "streams" || parts[0] == "sinks"))
    out.note = "--tracing and --trace-path of the command line come on top";
  return out;
}

std::string explanation_json(const ConfigExplanation& e) {
  nlohmann::ordered_json written = nlohmann::ordered_json::array();
  for (const auto& w : e.written) written.push_back({{"place", w.place}, {"text", w.text}});
  const nlohmann::ordered_json json = {{"key", e.key},
                                       {"value", e.value},
                                       {"source", e.written.empty() ? "default" : e.written[0].place},
                                       {"written", written}};
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace weir
