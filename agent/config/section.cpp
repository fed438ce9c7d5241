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
    case OptionType::secret:
      return "a reference such as ${env:TOKEN} or ${file:/run/secrets/token}";
    case OptionType::secret_map:
      return "a map such as {name: value}";
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

/// One reference and nothing else, without a default: then there is no secret in the file.
bool is_pure_reference(std::string_view text) {
  return text.starts_with("${") && text.find('}') == text.size() - 1 && text.find(":-") == text.npos;
}

/// What a reference holds is never shown; a secret that stands in the file itself is a warning (security.md).
Secret read_secret(const Node& node, const std::string& path, Report& report) {
  if (is_pure_reference(node.reference)) return {node.text, node.reference};
  report.note(node.where, path,
              "a secret stands in the file itself: put it elsewhere and write ${env:NAME}, ${file:/path} or "
              "${cred:name}");
  return {node.text};
}

/// As it would stand in the file: a dollar sign is written twice.
std::string as_written(std::string_view text) {
  std::string out;
  for (char c : text) out += c == '$' ? "$$" : std::string(1, c);
  return out;
}

/// A name that says that its value is a secret (`Authorization`, `X-Api-Key`).
bool names_secret(std::string_view name) {
  std::string lower;
  for (char c : name) lower += c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c;
  for (std::string_view word : {"auth", "cookie", "key", "pass", "secret", "token"})
    if (lower.find(word) != std::string::npos) return true;
  return false;
}

std::optional<OptionValue> read_secret_map(const Node& node, const std::string& path, Report& report) {
  if (!node.is_map()) {
    report.error(node.where, path,
                 "must be a map such as {name: value}, not " + std::string(kind_word(node)));
    return std::nullopt;
  }
  SecretMap out;
  for (const Entry& entry : node.entries) {
    const std::string at = path_of(entry.value, path, entry.key);
    if (!entry.value.is_scalar()) {
      report.error(entry.where, at, "must be a word, not " + std::string(kind_word(entry.value)));
      continue;
    }
    if (entry.value.unusable) return std::nullopt;
    const bool open = entry.value.reference.empty() && !names_secret(entry.key);
    Secret value{entry.value.text};
    if (!open)
      value = read_secret(entry.value, at, report);
    else
      value.shown = as_written(entry.value.text);
    out.emplace_back(entry.key, std::move(value));
  }
  return OptionValue(std::move(out));
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
  if (option.type == OptionType::secret_map) return read_secret_map(node, path, report);
  if (!node.is_scalar()) {
    report.error(node.where, path,
                 "must be " + std::string(type_word(option.type)) + ", not " + std::string(kind_word(node)));
    return std::nullopt;
  }
  // A quoted or substituted "null" is a string like any other.
  if (option.type == OptionType::string) return OptionValue(node.text);
  if (option.type == OptionType::secret) return OptionValue(read_secret(node, path, report));
  auto value = parse_option(option, node.text);
  if (value) return *value;
  if (!node.reference.empty()) {  // what it holds may be a secret
    report.error(node.where, path,
                 "must be " + std::string(type_word(option.type)) + "; what " + node.reference +
                     " holds is not, and is not shown");
    return std::nullopt;
  }
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
  for (size_t i = 0; i < table.size(); ++i) {
    const Option& option = table[i];
    if (const std::string_view group = option_group(option); !group.empty()) {
      OptionTable own;
      for (; i < table.size() && option_group(table[i]) == group; ++i) {
        in_groups_.push_back(table[i].name);
        own.push_back(table[i]);
        own.back().name.remove_prefix(group.size() + 1);
      }
      --i;
      const Node* written = section(group);
      if (written && written->is_map() && written->entries.empty())
        report_.note(written->where, path_to(group), "is empty: it changes nothing");
      Section inner(written, path_to(group), future_where_ + "." + std::string(group), report_);
      const Settings nested = inner.settings(own);
      for (const auto& [name, read] : nested.values()) out.set(join_path(group, name), read);
      inner.finish();
      continue;
    }
    const Node* node = value(option.name);
    if (!node) {
      if (option.required)
        report_.error(where_, join_path(path_, option.name),
                      std::string(option.name) + " is missing. " + std::string(option.sentence));
      continue;
    }
    const std::string future = future_where_ + "." + std::string(option.name);
    if (auto read = read_option(option, *node, path_to(option.name), future, report_))
      out.set(option.name, *read);
  }
  return out;
}

void Section::finish() {
  if (!node_) return;
  const auto meant = [this](const std::string& key) {
    if (const std::string_view near = did_you_mean(key, known_); !near.empty()) return near;
    std::vector<std::string_view> words;
    for (std::string_view name : in_groups_) words.push_back(name.substr(name.rfind('.') + 1));
    auto at = std::ranges::find(words, key);
    if (at == words.end()) at = std::ranges::find(words, did_you_mean(key, words));
    return at == words.end() ? std::string_view() : in_groups_[size_t(at - words.begin())];
  };
  for (const Entry& entry : node_->entries) {
    if (std::find(known_.begin(), known_.end(), entry.key) != known_.end()) continue;
    const std::string path = path_of(entry.value, path_, entry.key);
    if (is_future(future_where_, entry.key))
      report_.error(entry.where, path, "is not in this build yet: leave it out");
    else
      report_.error(entry.where, path, "is not known here", meant(entry.key));
  }
}

const Node* find_option_node(const Node& component, std::string_view name) {
  const Node* node = &component;
  for (size_t dot; node && (dot = name.find('.')) != std::string_view::npos; name.remove_prefix(dot + 1))
    node = node->find(name.substr(0, dot));
  return node ? node->find(name) : nullptr;
}

const Node* find_path(const Node& tree, std::initializer_list<std::string_view> keys) {
  const Node* node = &tree;
  for (std::string_view key : keys) {
    node = node->find(key);
    if (!node) return nullptr;
  }
  return node;
}

Place place_of(const Node& tree, std::string_view group, const ComponentConfig& component,
               std::string_view option) {
  const Node* node = find_path(tree, {group, component.name});
  if (!node) return {component.where, join_path(join_path(group, component.name), option)};
  const std::string parent = path_of(*node, group, component.name);
  const Node* value = find_option_node(*node, option);
  if (!value) return {node->where, join_path(parent, option)};
  return {value->where, path_of(*value, parent, option)};
}

bool is_component_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  };
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), allowed);
}

}  // namespace weir::config
