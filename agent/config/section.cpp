#include "agent/config/section.h"

#include <algorithm>

namespace weir::config {
namespace {

std::string_view kind_word(const Node& node) {
  if (node.is_null()) return "empty";
  if (node.is_list()) return "a list";
  return node.is_map() ? "a map" : "one value";
}

std::string_view type_word(OptionType type) {
  switch (type) {
    case OptionType::boolean:
      return "true or false";
    case OptionType::integer:
      return "a whole number";
    case OptionType::bytes:
      return "a size such as 64MiB";
    case OptionType::duration:
      return "a duration such as 250ms";
    case OptionType::path:
      return "a path";
    case OptionType::file_mode:
      return "a file mode such as 0640";
    case OptionType::string_list:
      return "a list such as [a, b]";
    case OptionType::ratio:
      return "a number from 0 to 1";
    case OptionType::string:
    case OptionType::choice:
      break;
  }
  return "a word";
}

std::optional<OptionValue> read_list(const Node& node, const std::string& path, Report& report) {
  if (!node.is_list()) {
    const std::string remedy =
        node.is_scalar() ? "write [" + node.text + "]" : "not " + std::string(kind_word(node));
    report.error(node.where, path, "must be a list: " + remedy);
    return std::nullopt;
  }
  std::vector<std::string> out;
  bool good = true;
  for (size_t i = 0; i < node.items.size(); ++i) {
    const Node& item = node.items[i];
    if (!item.is_scalar())
      report.error(item.where, path + "[" + std::to_string(i) + "]",
                   "must be a word, not " + std::string(kind_word(item)));
    good = good && item.is_scalar() && !item.unusable;
    out.push_back(item.text);
  }
  if (!good) return std::nullopt;
  return OptionValue(std::move(out));
}

bool null_is_default(const Option& option) {
  return option.nullable ||
         (option.default_text.empty() && !option.required && option.type != OptionType::string_list);
}

}  // namespace

std::optional<OptionValue> read_option(const Option& option, const Node& node, const std::string& path,
                                       std::string_view future, Report& report) {
  if (node.unusable) return std::nullopt;
  if (node.is_null() && null_is_default(option)) return OptionValue(std::monostate{});
  if (node.is_null()) {
    report.error(node.where, path,
                 "has no value: write " + std::string(type_word(option.type)) + ", or leave the line out");
    return std::nullopt;
  }
  if (option.type == OptionType::string_list) return read_list(node, path, report);
  if (!node.is_scalar()) {
    report.error(node.where, path,
                 "must be " + std::string(type_word(option.type)) + ", not " + std::string(kind_word(node)));
    return std::nullopt;
  }
  // A quoted or substituted "null" is a string like any other.
  if (option.type == OptionType::string) return OptionValue(node.text);
  auto value = parse_option(option, node.text);
  if (value) return *value;
  if (is_future(future, node.text))
    report.error(node.where, path, node.text + " is not in this build yet: " + value.error().message);
  else
    report.error(
        node.where, path, value.error().message,
        option.type == OptionType::choice ? did_you_mean(node.text, option.choices) : std::string_view{});
  return std::nullopt;
}

Section::Section(const Node* node, std::string path, std::string_view future_where, Report& report)
    : path_(std::move(path)), future_where_(future_where), report_(report) {
  if (!node) return;
  where_ = node->where;
  if (node->is_map())
    node_ = node;
  else if (!node->is_null() && !node->unusable)
    report_.error(node->where, path_, "must be a map, not " + std::string(kind_word(*node)));
}

const Node* Section::value(std::string_view key) {
  known_.push_back(key);
  return node_ ? node_->find(key) : nullptr;
}

const Node* Section::section(std::string_view key) {
  const Node* node = value(key);
  return node && node->is_null() ? nullptr : node;
}

std::string Section::path_to(std::string_view key) const {
  const Node* node = node_ ? node_->find(key) : nullptr;
  return node ? path_of(*node, path_, key) : join_path(path_, key);
}

Settings Section::settings(const OptionTable& table) {
  Settings out = default_settings(table);
  for (const Option& option : table) {
    const Node* node = value(option.name);
    if (!node) {
      if (option.required)
        report_.error(where_, join_path(path_, option.name),
                      std::string(option.name) + " is missing. " + std::string(option.sentence));
      continue;
    }
    const std::string future = std::string(future_where_) + "." + std::string(option.name);
    if (auto read = read_option(option, *node, path_to(option.name), future, report_))
      out.set(option.name, *read);
  }
  return out;
}

void Section::finish() {
  if (!node_) return;
  for (const Entry& entry : node_->entries) {
    if (std::find(known_.begin(), known_.end(), entry.key) != known_.end()) continue;
    const std::string path = path_of(entry.value, path_, entry.key);
    if (is_future(future_where_, entry.key))
      report_.error(entry.where, path, "is not in this build yet: leave it out");
    else
      report_.error(entry.where, path, "is not known here", did_you_mean(entry.key, known_));
  }
}

const Node* find_path(const Node& tree, std::initializer_list<std::string_view> keys) {
  const Node* node = &tree;
  for (std::string_view key : keys) {
    node = node->find(key);
    if (!node) return nullptr;
  }
  return node;
}

bool is_component_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  };
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), allowed);
}

}  // namespace weir::config
