#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <unordered_map>

#include "agent/config/node.h"

namespace weir::config {
namespace {

constexpr size_t kDepthMax = 64;
constexpr size_t kNodesMax = 50'000;

/// A mistake after which the rest of the text cannot be read.
struct Unreadable {
  Location where;
  std::string path, message;
};

size_t count_nodes(const Node& node) {
  size_t n = 1;
  for (const Node& item : node.items) n += count_nodes(item);
  for (const Entry& entry : node.entries) n += count_nodes(entry.value);
  return n;
}

/// Builds the tree from the parser's events, not from yaml-cpp's nodes: those accept duplicate keys silently.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(const Location& start, Report& report) : start_(start), report_(report) {}
  Node take_root() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) stop(mark, "a second document begins here: one document in a file");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    put(make(mark, Node::Kind::null), anchor);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check_tag(mark, tag);
    Node node = make(mark, Node::Kind::scalar);
    node.text = value;
    node.plain = tag == "?";
    put(std::move(node), anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto it = anchors_.find(anchor);
    if (it == anchors_.end()) stop(mark, "this alias stands inside the value it refers to");
    count(mark, it->second.nodes);
    put(Node(it->second.value), 0);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::list);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::map);
  }
  void OnMapEnd() override { close(); }

  /// yaml-cpp counts from 0, and knows nothing of what stands before the text it was given.
  Location locate(const YAML::Mark& mark) const {
    Location where = start_;
    if (mark.line > 0) where.column = 1;
    where.line += std::max(mark.line, 0);
    where.column += std::max(mark.column, 0);
    return where;
  }

 private:
  struct Frame {
    Node node;
    YAML::anchor_t anchor = 0;
    bool have_key = false, key_is_good = false;
    std::string key;
    Location key_where;
    std::unordered_map<std::string, Location> seen;
  };
  struct Anchored {
    Node value;
    size_t nodes = 0;
  };

  [[noreturn]] void stop(const YAML::Mark& mark, std::string message) const {
    throw Unreadable{locate(mark), path_here(), std::move(message)};
  }

  std::string path_here() const {
    std::string path;
    for (const Frame& frame : frames_) {
      if (frame.node.is_list())
        path += "[" + std::to_string(frame.node.items.size()) + "]";
      else if (frame.have_key)
        path = join_path(path, frame.key);
    }
    return path;
  }

  Node make(const YAML::Mark& mark, Node::Kind kind) {
    count(mark, 1);
    Node node;
    node.kind = kind;
    node.where = locate(mark);
    return node;
  }

  void count(const YAML::Mark& mark, size_t nodes) {
    nodes_ += nodes;
    if (nodes_ > kNodesMax)
      stop(mark, "more than " + std::to_string(kNodesMax) + " values, aliases counted in full");
  }

  void check_tag(const YAML::Mark& mark, const std::string& tag) {
    constexpr std::string_view kStandard = "tag:yaml.org,2002:";
    // "?" is a plain value, "!" a quoted one.
    if (tag.empty() || tag == "?" || tag == "!" || tag == "tag:yaml.org,2002:str") return;
    const std::string written = tag.starts_with(kStandard) ? "!!" + tag.substr(kStandard.size()) : tag;
    report_.error(locate(mark), path_here(),
                  "tags such as " + written + " are not taken: write the value alone");
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Node::Kind kind) {
    check_tag(mark, tag == "tag:yaml.org,2002:str" ? "!!str" : tag);
    if (frames_.size() >= kDepthMax) stop(mark, "deeper than " + std::to_string(kDepthMax) + " levels");
    Frame frame;
    frame.node = make(mark, kind);
    frame.anchor = anchor;
    frames_.push_back(std::move(frame));
  }

  void close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    put(std::move(frame.node), frame.anchor);
  }

  void put(Node node, YAML::anchor_t anchor) {
    if (anchor != 0) {
      const size_t nodes = count_nodes(node);
      anchors_[anchor] = {node, nodes};
    }
    if (frames_.empty()) {
      root_ = std::move(node);
    } else if (frames_.back().node.is_list()) {
      frames_.back().node.items.push_back(std::move(node));
    } else if (frames_.back().have_key) {
      put_value(frames_.back(), std::move(node));
    } else {
      put_key(frames_.back(), std::move(node));
    }
  }

  void put_key(Frame& frame, Node node) {
    const std::string parent = path_here();
    frame.have_key = true;
    frame.key_is_good = false;
    frame.key = node.text;
    frame.key_where = node.where;
    if (!node.is_scalar()) {
      report_.error(node.where, parent,
                    node.is_null() ? "a key must not be null: put it in quotes" : "a key must be a word");
      return;
    }
    const std::string path = join_path(parent, node.text);
    if (node.text == "<<") {
      report_.error(node.where, path, "merge keys are not taken: write the keys out");
      return;
    }
    const auto [it, fresh] = frame.seen.emplace(node.text, node.where);
    if (!fresh)
      report_.error(node.where, path,
                    "named twice, first in line " + std::to_string(it->second.line) + ": keep one");
    frame.key_is_good = fresh;
  }

  void put_value(Frame& frame, Node node) {
    frame.have_key = false;
    if (!frame.key_is_good) return;
    // The mark of a value that is not there is that of whatever comes next.
    if (node.is_null() && node.where.line != frame.key_where.line) node.where = frame.key_where;
    frame.node.entries.push_back({frame.key, frame.key_where, std::move(node)});
  }

  const Location start_;
  Report& report_;
  Node root_;
  std::vector<Frame> frames_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  size_t nodes_ = 0;
  int documents_ = 0;
};

/// What stands from the beginning of that line (from 0) on; empty behind the last one.
std::string_view from_line(std::string_view text, int line) {
  for (int i = 0; i < line; ++i) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  return text;
}

/// Says what is most often behind a syntax error, where the line shows it.
std::string hint(std::string_view text, int line) {
  text = from_line(text, line);
  const size_t content = text.find_first_not_of(" \t");
  if (text.substr(0, content).find('\t') != std::string_view::npos)
    return " (indent with spaces, not with tabs)";
  const std::string_view written = text.substr(0, text.find('\n'));
  const size_t flow = written.find_first_of("{[");
  if (flow == std::string_view::npos) return {};
  if (const size_t at = written.find("${"); at != std::string_view::npos && at > flow)
    return " (within { } and [ ] put \"${...}\" in quotes)";
  for (size_t at = written.find('{', flow + 1); at != std::string_view::npos; at = written.find('{', at + 1))
    if (std::string_view(" [{,:\"'").find(written[at - 1]) == std::string_view::npos)
      return " (within { } and [ ] put what has a { in it in quotes)";
  return {};
}

}  // namespace

Node read_yaml(std::string_view text, const Location& start, Report& report) {
  TreeBuilder builder(start, report);
  try {
    std::istringstream input{std::string(text)};
    YAML::Parser parser(input);
    while (parser.HandleNextDocument(builder)) {
    }
    Node root = builder.take_root();
    if (root.where.file.empty()) root.where = start;
    return root;
  } catch (const Unreadable& e) {
    report.error(e.where, e.path, e.message);
  } catch (const YAML::Exception& e) {
    YAML::Mark mark = e.mark.is_null() ? YAML::Mark() : e.mark;
    const std::string_view line = from_line(text, mark.line);
    mark.column =
        std::min(mark.column, int(line.substr(0, line.find('\n')).size()));  // it counts on at the end
    report.error(builder.locate(mark), "", "not YAML: " + e.msg + hint(text, mark.line));
  } catch (const std::exception& e) {
    report.error(start, "", std::string("cannot be read: ") + e.what());
  }
  report.set_incomplete();
  Node nothing;
  nothing.where = start;
  nothing.unusable = true;
  return nothing;
}

}  // namespace weir::config
