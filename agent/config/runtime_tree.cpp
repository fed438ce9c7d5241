#include <algorithm>

#include "agent/config/node.h"
#include "agent/config/schema.h"

/// records.md section 8: the framework's `runtime.tracing`, said again in weir's own words. What is moved
/// keeps the place and the path it was written under, so that a mistake in it is shown where the reader finds
/// it.
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

  Node component;
  component.kind = Node::Kind::map;
  component.where = sink.where;
  component.origin = path + ".settings";
  component.child("type", name->where) = make_scalar(std::string(type), name->where, path + ".name");
  if (const Node* settings = sink.find("settings"); settings && !settings->is_null()) {
    component.where = settings->where;
    if (!settings->is_map()) report.error(settings->where, path + ".settings", "must be a map");
    for (const Entry& entry : settings->entries) {
      if (entry.key == "type")
        report.error(entry.where, path + ".settings.type", "is not known here");
      else
        component.entries.push_back(entry);
    }
  }
  Node& sinks = tree.child("sinks", sink.where);
  if (const Entry* taken = sinks.find_entry(name->text)) {
    report.error(taken->where, "sinks." + name->text,
                 "runtime.tracing.sink has this name already: rename this sink");
    return false;
  }
  sinks.child(name->text, name->where) = std::move(component);
  return true;
}

Node translate_context_diff(const Node* written, const Location& where) {
  Node out;
  if (written && !written->is_null()) out = *written;
  if (out.where.file.empty()) out.where = where;
  out.origin = "runtime.tracing.context_diff";
  if (!out.is_null() && !out.is_map()) return out;  // judged later, at its place
  // The framework's default, not weir's (records.md section 5).
  if (!out.find("mode")) out.child("mode", out.where) = make_scalar("none", out.where);
  return out;
}

void translate_tracing(const Entry& tracing, Node& tree, Report& report) {
  const Node& from = tracing.value;
  const std::string path = "runtime.tracing";
  Node* streams = tree.find("streams");
  if (const Entry* both = streams ? streams->find_entry("trace") : nullptr) {
    report.error(both->where, "streams.trace",
                 "runtime.tracing sets up this stream already: keep one of the two");
    return;
  }
  if (!from.is_null() && !from.is_map()) {
    report.error(from.where, path, "must be a map");
    return;
  }
  Node trace;
  trace.kind = Node::Kind::map;
  trace.where = tracing.where;
  trace.origin = path;
  for (const Entry& entry : from.entries) {
    if (entry.key == "sink") continue;
    if (entry.key == "sinks")  // a word of streams.trace, not of this tree
      report.error(entry.where, path + ".sinks", "is not known here", "sink");
    else if (entry.key != "context_diff")
      trace.entries.push_back(entry);
  }
  trace.child("context_diff", tracing.where) =
      translate_context_diff(from.find("context_diff"), tracing.where);
  const Node* sink = from.find("sink");
  if (sink && !sink->is_null() && translate_sink(*sink, tree, report)) {
    Node& sinks = trace.child("sinks", sink->where);
    sinks.kind = Node::Kind::list;
    sinks.items.push_back(make_scalar(sink->find("name")->text, sink->find("name")->where));
  }
  tree.child("streams", tracing.where).child("trace", tracing.where) = std::move(trace);
}

}  // namespace

void translate_runtime(Node& tree, Report& report) {
  if (!tree.find("runtime")) return;
  drop_foreign_top_level(tree, report);
  const Node runtime = std::move(*tree.find("runtime"));
  tree.erase("runtime");
  if (!runtime.is_null() && !runtime.is_map()) {
    report.error(runtime.where, "runtime", "must be a map");
    return;
  }
  note_foreign_runtime(runtime, report);
  for (const Entry& entry : runtime.entries) {
    if (entry.key == "observability")
      report.error(entry.where, "runtime.observability",
                   "is not in this build yet: write runtime.tracing, or weir's own streams and sinks");
    if (entry.key == "tracing") translate_tracing(entry, tree, report);
  }
}

}  // namespace weir::config
