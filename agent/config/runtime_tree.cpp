#include "agent/config/runtime_tree.h"

#include <algorithm>

#include "agent/config/schema.h"

/// records.md section 8: the framework's trees, said again in weir's own words. What is moved keeps the place
/// and the path it was written under, so that a mistake in it is shown where the reader finds it.
namespace weir::config {
namespace {

struct Adapter {
  std::string_view name, sink_type;
};
constexpr Adapter kAdapters[] = {{"trace_stdout", "stdout"}, {"trace_jsonl", "file"}};
constexpr std::string_view kOtherStreams[] = {"log_", "telemetry_", "monitoring_"};

std::string join_words(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

/// Top-level keys of the framework that weir does not know, out of the tree.
void drop_foreign_top_level(Node& tree, Report& report) {
  std::vector<std::string> names;
  Location first;
  for (const Entry& entry : tree.entries) {
    const auto& known = top_level_names();
    if (std::find(known.begin(), known.end(), entry.key) != known.end() || is_future("", entry.key)) continue;
    if (names.empty()) first = entry.where;
    names.push_back(entry.key);
  }
  for (const std::string& name : names) tree.erase(name);
  if (!names.empty()) report.note(first, "", "ignored, belongs to the framework: " + join_words(names));
}

void note_foreign_runtime(const Node& runtime, Report& report) {
  std::vector<std::string> names;
  Location first;
  for (const Entry& entry : runtime.entries) {
    if (entry.key == "tracing" || entry.key == "observability") continue;
    if (names.empty()) first = entry.where;
    names.push_back(entry.key);
  }
  if (!names.empty())
    report.note(first, "runtime", "ignored, belongs to the framework: " + join_words(names));
}

std::string_view adapter_type(const Node& name, Report& report) {
  const std::string path = "runtime.tracing.sink.name";
  for (const Adapter& adapter : kAdapters)
    if (adapter.name == name.text) return adapter.sink_type;
  for (std::string_view prefix : kOtherStreams) {
    if (!name.text.starts_with(prefix)) continue;
    report.error(name.where, path,
                 name.text + " is an adapter of another stream: write trace_stdout or trace_jsonl");
    return {};
  }
  if (is_future("sinks.*.type", name.text) || name.text.starts_with("otel_") ||
      name.text.starts_with("trace_otel")) {
    report.error(name.where, path,
                 name.text + " is not in this build yet: write trace_stdout or trace_jsonl");
    return {};
  }
  report.error(name.where, path,
               "\"" + name.text + "\" is not a trace adapter: write trace_stdout or trace_jsonl",
               did_you_mean(name.text, {"trace_stdout", "trace_jsonl"}));
  return {};
}

/// `sink: {name, settings}` to `sinks.<name>: {type, ...settings}`; false after a mistake.
bool translate_sink(const Node& sink, Node& tree, Report& report) {
  const std::string path = "runtime.tracing.sink";
  if (!sink.is_map()) {
    report.error(sink.where, path, "must be a map of name and settings");
    return false;
  }
  for (const Entry& entry : sink.entries)
    if (entry.key != "name" && entry.key != "settings")
      report.error(entry.where, path + "." + entry.key, "is not known here",
                   did_you_mean(entry.key, {"name", "settings"}));
  const Node* name = sink.find("name");
  if (!name || !name->is_scalar()) {
    report.error(name ? name->where : sink.where, path + ".name",
                 "must name an adapter: trace_stdout or trace_jsonl");
    return false;
  }
  const std::string_view type = adapter_type(*name, report);
  if (type.empty()) return false;

  Node component =
      translate_settings(sink.find("settings"), type, name->where, sink.where, path + ".settings", report);
  component.find("type")->origin = path + ".name";
  Node& sinks = tree.child("sinks", sink.where);
  if (const Entry* taken = sinks.find_entry(name->text)) {
    report.error(taken->where, "sinks." + name->text,
                 "runtime.tracing.sink has this name already: rename this sink");
    return false;
  }
  sinks.child(name->text, name->where) = std::move(component);
  return true;
}

void translate_tracing(const Entry& tracing, Node& tree, Report& report) {
  const std::string path = "runtime.tracing";
  const RuntimeStream& of = kRuntimeStreams[0];
  const Node& from = tracing.value;
  if (!claim_stream(of, tracing, path, tree, report)) return;
  if (!from.is_null() && !from.is_map()) {
    report.error(from.where, path, "must be a map");
    return;
  }
  Node trace = translate_stream(of, tracing, path, "sink");
  if (const Entry* wrong = trace.find_entry("sinks")) {  // a word of streams.trace, not of this tree
    report.error(wrong->where, path + ".sinks", "is not known here", "sink");
    trace.erase("sinks");
  }
  const Node* sink = from.find("sink");
  if (sink && !sink->is_null() && translate_sink(*sink, tree, report)) {
    Node& sinks = trace.child("sinks", sink->where);
    sinks.kind = Node::Kind::list;
    sinks.items.push_back(make_scalar(sink->find("name")->text, sink->find("name")->where));
  }
  tree.child("streams", tracing.where).child("trace", tracing.where) = std::move(trace);
}

Node translate_context_diff(const Node* written, const Location& where, const std::string& path) {
  Node out;
  if (written && !written->is_null()) out = *written;
  if (out.where.file.empty()) out.where = where;
  out.origin = path;
  if (!out.is_null() && !out.is_map()) return out;  // judged later, at its place
  // The framework's default, not weir's (records.md section 5).
  if (!out.find("mode")) out.child("mode", out.where) = make_scalar("none", out.where);
  return out;
}

/// weir's word for a slice, when it is an alias.
std::string_view slice_word(std::string_view word) {
  if (word == "full") return "all";
  if (word == "logical") return "business_logic";
  return word == "topology" ? "platform_internals" : std::string_view();
}

}  // namespace

std::string place_text(const Location& where) {
  return where.file + ":" + std::to_string(where.line) + ":" + std::to_string(where.column);
}

bool claim_stream(const RuntimeStream& of, const Entry& section, const std::string& path, const Node& tree,
                  Report& report) {
  const Node* streams = tree.find("streams");
  const Entry* taken = streams ? streams->find_entry(stream_name(of.stream)) : nullptr;
  if (!taken) return true;
  // The other tree has left its path there.
  const std::string& tree_path = taken->value.origin;
  const bool own = !tree_path.starts_with("runtime.");
  if (own)
    report.error(
        taken->where, "streams." + std::string(stream_name(of.stream)),
        path + " at " + place_text(section.where) + " sets up this stream already: keep one of the two");
  else
    report.error(
        section.where, path,
        tree_path + " at " + place_text(taken->where) + " sets up this stream already: keep one of the two");
  return false;
}

Node translate_stream(const RuntimeStream& of, const Entry& section, const std::string& path,
                      std::string_view sinks_word) {
  Node out;
  out.kind = Node::Kind::map;
  out.where = section.where;
  out.origin = path;
  for (const Entry& entry : section.value.entries)
    if (entry.key != sinks_word && !(of.stream == Stream::trace && entry.key == "context_diff"))
      out.entries.push_back(entry);
  if (of.stream == Stream::trace)
    out.child("context_diff", section.where) =
        translate_context_diff(section.value.find("context_diff"), section.where, path + ".context_diff");
  return out;
}

Node translate_settings(const Node* settings, std::string_view type, const Location& type_where,
                        const Location& where, const std::string& path, Report& report) {
  Node component;
  component.kind = Node::Kind::map;
  component.where = where;
  component.origin = path;
  component.child("type", type_where) = make_scalar(std::string(type), type_where);
  if (!settings || settings->is_null()) return component;
  component.where = settings->where;
  if (!settings->is_map()) report.error(settings->where, path, "must be a map");
  for (const Entry& entry : settings->entries) {
    if (entry.key == "type") {
      report.error(entry.where, path + ".type", "is not known here");
      continue;
    }
    component.entries.push_back(entry);
    if (entry.key != "trace_slice" || !entry.value.is_scalar()) continue;
    Node word = entry.value;
    Report elsewhere;  // a mistake in a reference is reported when the whole tree is substituted
    substitute(word, path, elsewhere);
    if (const std::string_view known = slice_word(word.text); !known.empty())
      component.entries.back().value.text = known;
  }
  return component;
}

void translate_runtime(Node& tree, const ConfigRequest& request, Report& report) {
  if (!tree.find("runtime")) return;
  drop_foreign_top_level(tree, report);
  const Node runtime = std::move(*tree.find("runtime"));
  tree.erase("runtime");
  if (!runtime.is_null() && !runtime.is_map()) {
    report.error(runtime.where, "runtime", "must be a map");
    return;
  }
  note_foreign_runtime(runtime, report);
  // Whatever their order in the file, so that a stream of both is reported in one way.
  for (const Entry& entry : runtime.entries)
    if (entry.key == "tracing") translate_tracing(entry, tree, report);
  for (const Entry& entry : runtime.entries)
    if (entry.key == "observability") translate_observability(entry, request, tree, report);
}

}  // namespace weir::config
