#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/config.h"

/// The configuration as it was written, before anybody has judged it. A tree of our own instead of
/// yaml-cpp's: every key and value keeps its place through merging, substitution and the translation of
/// the trees under `runtime`.
namespace weir::config {

struct Entry;

struct Node {
  enum class Kind { null, scalar, list, map };
  Kind kind = Kind::null;
  Location where;
  std::string text;            ///< scalar: unquoted
  bool plain = false;          ///< scalar: written without quotes, and nothing substituted in it
  std::string origin;          ///< the path it was written under, when it stands elsewhere now
  std::string reference;       ///< scalar: the text before `${...}` was replaced; empty: nothing was
  bool unusable = false;       ///< a mistake in it has been reported: no second one
  std::vector<Node> items;     ///< list
  std::vector<Entry> entries;  ///< map, in the order written, each key once

  bool is_null() const { return kind == Kind::null; }
  bool is_scalar() const { return kind == Kind::scalar; }
  bool is_list() const { return kind == Kind::list; }
  bool is_map() const { return kind == Kind::map; }
  Node* find(std::string_view key);
  const Node* find(std::string_view key) const;
  Entry* find_entry(std::string_view key);
  const Entry* find_entry(std::string_view key) const;
  /// The value under `key`, made as null where it is missing. A scalar, list or null becomes a map first.
  Node& child(std::string_view key, const Location& where_if_new);
  void erase(std::string_view key);
};

struct Entry {
  std::string key;
  Location where;
  Node value;
};

Node make_scalar(std::string text, Location where, std::string origin = {});

/// Collects mistakes and notes; nothing stops at the first.
class Report {
 public:
  void error(const Location& where, std::string path, std::string message, std::string_view suggestion = {});
  void note(const Location& where, std::string path, std::string message);
  /// Something could not be read, so that what refers to it must not be called a mistake.
  void set_incomplete() { incomplete_ = true; }
  bool incomplete() const { return incomplete_; }
  std::vector<ConfigError> errors;
  std::vector<std::string> notes;
  std::vector<ConfigInput> inputs;
  std::vector<PathUse> paths;  ///< of `${file:...}`

 private:
  bool incomplete_ = false;
};

/// `a.b`, or `b` at the top.
std::string join_path(std::string_view parent, std::string_view key);
/// Where a value stands: the path it was written under, else `parent.key`.
std::string path_of(const Node& node, std::string_view parent, std::string_view key);

/// Parses one YAML document: duplicate keys, keys that are not text, tags, `<<`, a second document, more than
/// 64 levels and more than 50,000 nodes (aliases counted as often as they are used) are errors. An empty text
/// is null. `start` is the place of the first character. On a syntax error: a null node, and the report is
/// incomplete.
Node read_yaml(std::string_view text, const Location& start, Report& report);

/// `over` on top of `base`: maps deep, everything else replaced. A key without a value leaves a map as it is.
void merge(Node& base, Node&& over);

/// Replaces `${...}` and `$$` in every scalar (architecture.md section 7).
void substitute(Node& node, const std::string& path, Report& report);

/// Takes `runtime` out of the tree: `runtime.tracing` and `runtime.observability` become streams and sinks
/// (records.md section 8). Of the request it reads when and as which process the agent was started.
void translate_runtime(Node& tree, const ConfigRequest& request, Report& report);

/// The files of a request, merged; their names go to `files`. Without any: /etc/weir/weir.yaml or the
/// embedded default.
Node read_files(const ConfigRequest& request, std::vector<std::string>& files, Report& report);

/// `a.b."c.d"` in parts; empty when it is not one.
std::vector<std::string> split_key(std::string_view key);

/// Where no file names a listener, `--set listen.local.mode=0666` means the one that is there then: it is
/// written into the tree.
void name_default_listener(Node& tree, const std::vector<std::string>& sets, Report& report);
/// Applies the --set of a request whose key is under `runtime` (`runtime` true), or all others.
void apply_sets(Node& tree, const std::vector<std::string>& sets, bool runtime, Report& report);

}  // namespace weir::config
