#include "agent/process/set_fields.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "agent/core/check.h"
#include "agent/core/json.h"
#include "agent/decode/reserved.h"

namespace weir {
namespace {

const decode::Reserved* find_reserved(std::string_view name) {
  for (const decode::Reserved& reserved : decode::kReserved.entries) {
    if (reserved.name == name) return &reserved;
  }
  return nullptr;
}

/// One component of the paths. Those with children are objects.
struct Node {
  std::string key, quoted_key;
  std::string value;           // of a leaf, as JSON
  std::optional<Field> field;  // of a reserved name at the top
  size_t depth = 0;            // bytes of a leaf's path before this component
  size_t first_leaf = 0, leaf_count = 0;
  std::vector<Node> children;
  bool is_leaf() const { return children.empty(); }
};

Node& child_of(std::vector<Node>& siblings, std::string_view key) {
  for (Node& node : siblings) {
    if (node.key == key) return node;
  }
  Node& node = siblings.emplace_back();
  node.key = key;
  json::append_quoted(node.quoted_key, key);
  return node;
}

class SetFields final : public Processor {
 public:
  explicit SetFields(const SetOptions& options) : overwrite_(options.overwrite) {
    for (const SetOptions::Entry& entry : options.entries) add(entry);
    for (Node& root : roots_) number_leaves(root, root.key);
    for (Node& root : roots_) {
      if (const decode::Reserved* reserved = find_reserved(root.key)) root.field = reserved->field;
      plain_roots_ |= !root.field;
    }
    done_.resize(paths_.size());
    found_.resize(roots_.size());
  }

  Verdict process(const RecordView& record, EditList& edits) override {
    std::fill(done_.begin(), done_.end(), false);
    if (plain_roots_ || may_hold_path_as_key(record.line)) look_at_top(record.line, edits);
    for (size_t i = 0; i < roots_.size(); ++i) {
      const Node& root = roots_[i];
      if (root.field) {
        const bool sent = record.fields.sent(*root.field);
        found_[i] = sent ? record.fields[*root.field].value : Span();
      }
      set_root(root, record.line, found_[i], edits);
    }
    return Verdict::keep();
  }

 private:
  void add(const SetOptions::Entry& entry) {
    std::vector<Node>* siblings = &roots_;
    Node* node = nullptr;
    for (size_t begin = 0; begin <= entry.path.size();) {
      const size_t end = std::min(entry.path.find('.', begin), entry.path.size());
      node = &child_of(*siblings, std::string_view(entry.path).substr(begin, end - begin));
      node->depth = begin;
      siblings = &node->children;
      begin = end + 1;
    }
    WEIR_CHECK(node != nullptr && node->children.empty());
    node->value = entry.value;
  }

  void number_leaves(Node& node, const std::string& path) {
    node.first_leaf = paths_.size();
    if (node.is_leaf()) {
      WEIR_CHECK(!node.value.empty());
      paths_.push_back(path);
      leaves_.push_back(&node);
    }
    for (Node& child : node.children) number_leaves(child, path + "." + child.key);
    node.leaf_count = paths_.size() - node.first_leaf;
  }

  /// Could a key of the record be a whole path? Rarely, and a glance tells.
  bool may_hold_path_as_key(std::string_view line) const {
    if (paths_.size() == roots_.size()) return false;
    if (std::memchr(line.data(), '\\', line.size()) != nullptr) return true;
    for (size_t leaf = 0; leaf < paths_.size(); ++leaf) {
      if (leaves_[leaf]->depth > 0 &&
          ::memmem(line.data(), line.size(), paths_[leaf].data(), paths_[leaf].size()) != nullptr)
        return true;
    }
    return false;
  }

  /// One pass over the members of the record: those that a path begins with, and whole paths written as one
  /// key.
  void look_at_top(std::string_view line, EditList& edits) {
    std::fill(found_.begin(), found_.end(), Span());
    const auto begin = uint32_t(json::skip_space(line.data()) - line.data());
    for (json::Members m(line.data(), {begin, uint32_t(line.size())}); m.next();) {
      const std::string_view key = m.member().key.of(line);
      for (size_t i = 0; i < roots_.size(); ++i) {
        if (!roots_[i].field && json::string_is(key, roots_[i].key)) found_[i] = m.member().value;
      }
      if (!m.member().key_escaped && key.find('.') == key.npos) continue;
      for (size_t leaf = 0; leaf < paths_.size(); ++leaf) {
        if (leaves_[leaf]->depth > 0 && json::string_is(key, paths_[leaf]))
          take_present(leaf, m.member().value, edits);
      }
    }
  }

  void take_present(size_t leaf, Span value, EditList& edits) {
    done_[leaf] = true;
    if (overwrite_) replace(value, leaves_[leaf]->value, edits);
  }

  static void replace(Span where, std::string_view text, EditList& edits) {
    edits.replace(where);
    edits.text(text);
    edits.end();
  }

  void set_root(const Node& root, std::string_view line, Span found, EditList& edits) {
    if (all_done(root)) return;
    const bool absent = found.size() == 0;
    const JsonType type = absent ? JsonType::null : json::type_of(line[found.begin]);
    if (absent || (root.field && type == JsonType::null)) {
      text_.clear();
      write_value(root);
      if (absent) {
        edits.append({root.quoted_key.data() + 1, root.quoted_key.size() - 2});
        edits.text(text_);
        edits.end();
      } else {
        replace(found, text_, edits);
      }
    } else if (root.is_leaf()) {
      if (overwrite_) replace(found, root.value, edits);
    } else if (type == JsonType::object) {
      merge(root, line, found, edits);
    }
  }

  /// Into an object that was sent.
  void merge(const Node& node, std::string_view line, Span object, EditList& edits) {
    const std::string_view whole = object.of(line);
    const auto span_of = [&](std::string_view value) {
      const auto begin = uint32_t(value.data() - line.data());
      return Span{begin, begin + uint32_t(value.size())};
    };
    for (const Node& child : node.children) {
      for (size_t leaf = child.first_leaf; leaf < child.first_leaf + child.leaf_count; ++leaf) {
        if (done_[leaf]) continue;
        const auto path = std::string_view(paths_[leaf]).substr(child.depth);
        if (const auto value = json::find_key(whole, path); !value.empty())
          take_present(leaf, span_of(value), edits);
      }
      if (child.is_leaf() || all_done(child)) continue;
      const auto value = json::find_key(whole, child.key);
      if (value.empty()) continue;
      if (value.front() == '{') merge(child, line, span_of(value), edits);
      for (size_t leaf = child.first_leaf; leaf < child.first_leaf + child.leaf_count; ++leaf)
        done_[leaf] = true;
    }
    text_.clear();
    if (all_done(node)) return;
    write_members(node, *json::skip_space(whole.data() + 1) != '}');
    replace({object.end - 1, object.end - 1}, text_, edits);
  }

  bool all_done(const Node& node) const {
    for (size_t leaf = node.first_leaf; leaf < node.first_leaf + node.leaf_count; ++leaf) {
      if (!done_[leaf]) return false;
    }
    return true;
  }

  void write_value(const Node& node) {
    if (node.is_leaf()) {
      text_ += node.value;
      return;
    }
    text_ += '{';
    write_members(node, false);
    text_ += '}';
  }

  void write_members(const Node& node, bool comma) {
    for (const Node& child : node.children) {
      if (all_done(child)) continue;
      if (comma) text_ += ',';
      comma = true;
      text_ += child.quoted_key;
      text_ += ':';
      write_value(child);
    }
  }

  const bool overwrite_;
  bool plain_roots_ = false;  // some begin with a name that the field table does not know
  std::vector<Node> roots_;
  std::vector<std::string> paths_;  // of all leaves, in the order of the tree
  std::vector<const Node*> leaves_;
  // Of the record under way.
  std::vector<bool> done_;   // by leaf: nothing is to be added any more
  std::vector<Span> found_;  // by root: its value, empty when it is absent
  std::string text_;
};

}  // namespace

std::string refuse_set(std::string_view path, std::string_view value) {
  if (path.empty() || path.front() == '.' || path.back() == '.' || path.find("..") != path.npos)
    return "is not a path: write names with single dots between them";
  const std::string_view top = path.substr(0, path.find('.'));
  if (top == "stream") return "cannot be set: use default_stream of the listener";
  if (top == "trace_id") return "cannot be set: all records would become one trace";
  if (top == "ctx" || top.starts_with("ctx_")) return "cannot be set: the context is what the producer says";
  if (top.starts_with("msg_")) return "cannot be set: messages are what the producer says";
  if (top == "ts") return "cannot be set: the agent adds the time of receipt where it is missing";
  if (top.starts_with('_')) return "cannot be set: names that begin with _ are the agent's own";
  const decode::Reserved* const reserved = find_reserved(top);
  if (reserved == nullptr || reserved->allowed == decode::kAnyType) return {};
  const auto takes = [&](JsonType type) { return (reserved->allowed & decode::type_bit(type)) != 0; };
  if (top.size() < path.size())
    return takes(JsonType::object) ? "" : "cannot be set: " + std::string(top) + " is no object";
  const bool integer = value.find_first_not_of("-0123456789") == value.npos;
  if (takes(json::type_of(value.front())) && (reserved->extra != decode::Extra::integer || integer))
    return {};
  if (takes(JsonType::object)) return "is an object: name a field in it, as " + std::string(top) + ".name";
  if (takes(JsonType::string)) return "takes text: put the value in quotes";
  return reserved->extra == decode::Extra::integer ? "takes a whole number" : "takes a number";
}

std::unique_ptr<Processor> make_set(const SetOptions& options) {
  return std::make_unique<SetFields>(options);
}

}  // namespace weir
