#include <algorithm>

#include "agent/config/section.h"

namespace weir::config {
namespace {

std::vector<std::string_view> type_names(const std::vector<ComponentType>& types) {
  std::vector<std::string_view> names;
  for (const ComponentType& type : types) {
    names.push_back(type.name);
    names.insert(names.end(), type.aliases.begin(), type.aliases.end());
  }
  return names;
}

std::string joined(const std::vector<std::string_view>& words) {
  std::string out;
  for (std::string_view word : words) out += (out.empty() ? "" : ", ") + std::string(word);
  return out;
}

const ComponentType* read_type(const Node* node, const Location& where, const std::string& path,
                               std::string_view group, const std::vector<ComponentType>& types,
                               Report& report) {
  const auto names = type_names(types);
  if (!node || !node->is_scalar()) {
    report.error(node ? node->where : where, path, "type is missing: write one of " + joined(names));
    return nullptr;
  }
  if (node->unusable) return nullptr;
  if (const ComponentType* type = find_type(types, node->text)) return type;
  if (is_future(std::string(group) + ".*.type", node->text))
    report.error(node->where, path, node->text + " is not in this build yet: write one of " + joined(names));
  else
    report.error(node->where, path, "\"" + node->text + "\" is not a type: write one of " + joined(names),
                 did_you_mean(node->text, names));
  return nullptr;
}

}  // namespace

const ComponentType* find_type(const std::vector<ComponentType>& types, std::string_view name_or_alias) {
  for (const ComponentType& type : types) {
    const bool alias =
        std::find(type.aliases.begin(), type.aliases.end(), name_or_alias) != type.aliases.end();
    if (type.name == name_or_alias || alias) return &type;
  }
  return nullptr;
}

std::optional<ComponentConfig> read_component(const std::string& name, const Node& node,
                                              std::string_view group, const std::vector<ComponentType>& types,
                                              Report& report) {
  const std::string path = path_of(node, group, name);
  if (!is_component_name(name))
    report.error(node.where, path, "is not a name: up to 64 letters, digits, _ . and - are taken");
  if (!node.is_map()) {
    if (!node.unusable)
      report.error(node.where, path, "must be a map such as {type: " + std::string(types.front().name) + "}");
    return std::nullopt;
  }
  const std::string future = std::string(group) + ".*";
  Section section(&node, path, future, report);
  const Node* type_node = section.value("type");
  const ComponentType* type = read_type(type_node, node.where, section.path_to("type"), group, types, report);
  if (!type) return std::nullopt;

  ComponentConfig out;
  out.name = name;
  out.type = type->name;
  out.where = node.where;
  const size_t mistakes = report.errors.size();
  out.settings = section.settings(type->options);
  section.finish();
  // The type's own check may rely on every single value being right; one whose reference could not be
  // replaced is missing without a mistake of its own here.
  const bool complete = std::ranges::all_of(type->options, [&](const Option& option) {
    return !option.required || !out.settings.null(option.name);
  });
  if (type->validate && complete && report.errors.size() == mistakes) {
    for (auto& [option, text] : type->validate(out.settings)) {
      const Node* at = find_option_node(node, option);
      const Option* declared = find_option(type->options, option);
      const bool may_echo = declared && declared->type != OptionType::secret;  // what its value is
      if (at && !at->reference.empty() && may_echo)
        text = "what " + at->reference + " holds is not valid here, and is not shown";
      report.error(at ? at->where : node.where, section.path_to(option), std::move(text));
    }
  }
  return out;
}

}  // namespace weir::config
