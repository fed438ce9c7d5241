#include "agent/config/node.h"

#include <algorithm>

namespace weir {

std::string ConfigError::text() const {
  std::string out = where.file;
  if (where.line > 0) out += ":" + std::to_string(where.line) + ":" + std::to_string(where.column);
  out += ": ";
  if (!path.empty()) out += path + ": ";
  out += message;
  if (!suggestion.empty()) out += " (did you mean " + suggestion + "?)";
  return out;
}

namespace config {

Entry* Node::find_entry(std::string_view key) {
  const auto it = std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.key == key; });
  return it == entries.end() ? nullptr : &*it;
}

const Entry* Node::find_entry(std::string_view key) const { return const_cast<Node*>(this)->find_entry(key); }

Node* Node::find(std::string_view key) {
  Entry* entry = find_entry(key);
  return entry ? &entry->value : nullptr;
}

const Node* Node::find(std::string_view key) const { return const_cast<Node*>(this)->find(key); }

Node& Node::child(std::string_view key, const Location& where_if_new) {
  if (kind != Kind::map) {
    kind = Kind::map;
    text.clear();
    items.clear();
    if (where.file.empty()) where = where_if_new;
  }
  if (Node* found = find(key)) return *found;
  Node value;
  value.where = where_if_new;
  entries.push_back({std::string(key), where_if_new, std::move(value)});
  return entries.back().value;
}

void Node::erase(std::string_view key) {
  std::erase_if(entries, [&](const Entry& entry) { return entry.key == key; });
}

Node make_scalar(std::string text, Location where, std::string origin) {
  Node node;
  node.kind = Node::Kind::scalar;
  node.text = std::move(text);
  node.where = std::move(where);
  node.origin = std::move(origin);
  return node;
}

void Report::error(const Location& where, std::string path, std::string message,
                   std::string_view suggestion) {
  errors.push_back({where, std::move(path), std::move(message), std::string(suggestion)});
}

void Report::note(const Location& where, std::string path, std::string message) {
  notes.push_back(ConfigError{where, std::move(path), std::move(message), {}}.text());
}

std::string join_path(std::string_view parent, std::string_view key) {
  return parent.empty() ? std::string(key) : std::string(parent) + "." + std::string(key);
}

std::string path_of(const Node& node, std::string_view parent, std::string_view key) {
  return node.origin.empty() ? join_path(parent, key) : node.origin;
}

void merge(Node& base, Node&& over) {
  // A section whose lines are all commented out names nothing, so it takes nothing away.
  if (over.is_null() && base.is_map()) return;
  if (!base.is_map() || !over.is_map()) {
    base = std::move(over);
    return;
  }
  for (Entry& entry : over.entries) {
    if (Entry* known = base.find_entry(entry.key)) {
      known->where = entry.where;
      merge(known->value, std::move(entry.value));
    } else {
      base.entries.push_back(std::move(entry));
    }
  }
}

}  // namespace config
}  // namespace weir
