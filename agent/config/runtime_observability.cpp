#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "agent/config/runtime_tree.h"
#include "agent/config/section.h"
#include "agent/core/clock.h"

/// records.md section 8: `runtime.observability`, a list of exporters for each stream.
namespace weir::config {
namespace {

struct Kind {
  std::string_view name, sink_type, format;
};
constexpr Kind kKinds[] = {{"jsonl", "file", ""},
                           {"stdout", "stdout", ""},
                           {"stdout_plain", "stdout", "text"},
                           {"file_plain", "file", "text"}};
constexpr std::string_view kKindsText = "jsonl, stdout, stdout_plain or file_plain";
constexpr std::string_view kFutureKinds[] = {"otel_otlp", "otel_otlp_logical", "otel_otlp_topology",
                                             "opentracing_bridge"};
/// Settings for other kinds, which the framework writes beside ours.
constexpr std::string_view kOtherKindsSettings[] = {"service", "otlp"};

const Kind* find_kind(std::string_view name) {
  const auto it = std::ranges::find(kKinds, name, &Kind::name);
  return it == std::end(kKinds) ? nullptr : it;
}

/// The value with its references replaced: what is decided here cannot wait until the whole tree is.
Node replaced(const Node& node, const std::string& path, Report& report) {
  Node out = node;
  substitute(out, path, report);
  return out;
}

/// One section, as `tracing`.
class SectionTranslator {
 public:
  SectionTranslator(const RuntimeStream& of, const ConfigRequest& request, Node& tree, Report& report)
      : of_(of),
        path_("runtime.observability." + std::string(of.section)),
        request_(request),
        tree_(tree),
        report_(report) {}

  void translate(const Entry& section) {
    if (!claim_stream(of_, section, path_, tree_, report_)) return;
    const Node& from = section.value;
    if (!from.is_null() && !from.is_map()) return report_.error(from.where, path_, "must be a map");
    Node stream = translate_stream(of_, section, path_, "exporters");
    if (const Entry* wrong = stream.find_entry("sinks")) {  // a word of streams.<name>, not of this tree
      report_.error(wrong->where, path_ + ".sinks", "is not known here", "exporters");
      stream.erase("sinks");
    }
    if (const Node* exporters = from.find("exporters"); exporters && !exporters->is_null()) {
      Node& sinks = stream.child("sinks", exporters->where);
      sinks.kind = Node::Kind::list;
      translate_exporters(*exporters, sinks);
    }
    tree_.child("streams", section.where).child(stream_name(of_.stream), section.where) = std::move(stream);
  }

 private:
  void translate_exporters(const Node& exporters, Node& sinks) {
    const std::string path = path_ + ".exporters";
    if (!exporters.is_list())
      return report_.error(exporters.where, path,
                           "must be a list such as [{kind: jsonl, settings: {path: a.jsonl}}]");
    for (size_t i = 0; i < exporters.items.size(); ++i)
      translate_exporter(exporters.items[i], path + "[" + std::to_string(i) + "]", sinks);
  }

  void translate_exporter(const Node& exporter, const std::string& path, Node& sinks) {
    if (!exporter.is_map())
      return report_.error(exporter.where, path, "must be a map of kind, enabled and settings");
    if (!enabled(exporter, path)) return;
    for (const Entry& entry : exporter.entries)
      if (entry.key != "kind" && entry.key != "enabled" && entry.key != "settings")
        report_.error(entry.where, path + "." + entry.key, "is not known here",
                      did_you_mean(entry.key, {"kind", "enabled", "settings"}));
    const Node* kind_node = exporter.find("kind");
    if (!kind_node || !kind_node->is_scalar())
      return report_.error(kind_node ? kind_node->where : exporter.where, path + ".kind",
                           "must name a kind: " + std::string(kKindsText));
    const Kind* kind = read_kind(*kind_node, path + ".kind");
    if (!kind) return;

    Node sink = translate_settings(exporter.find("settings"), kind->sink_type, kind_node->where,
                                   exporter.where, path + ".settings", report_);
    sink.find("type")->origin = path + ".kind";
    for (std::string_view other : kOtherKindsSettings) sink.erase(other);
    if (!kind->format.empty()) set_format(sink, *kind, kind_node->where, path + ".kind");
    if (kind->sink_type == "file") fill_in_path(sink, *kind, path + ".settings");

    const std::string name = free_name(kind->name);
    tree_.child("sinks", exporter.where).child(name, kind_node->where) = std::move(sink);
    sinks.items.push_back(make_scalar(name, kind_node->where));
  }

  /// An exporter that is off is not looked at any further, whatever it holds.
  bool enabled(const Node& exporter, const std::string& path) {
    const Node* written = exporter.find("enabled");
    if (!written || written->is_null()) return true;
    static const Option option{.name = "enabled", .type = OptionType::boolean, .default_text = "true"};
    const auto value =
        read_option(option, replaced(*written, path + ".enabled", report_), path + ".enabled", "", report_);
    return !value || std::get<bool>(*value);
  }

  /// A kind, or the adapter's name for it (`log_jsonl`). Null after a mistake.
  const Kind* read_kind(const Node& written, const std::string& path) {
    const Node node = replaced(written, path, report_);
    if (node.unusable) return nullptr;
    std::string_view name = node.text;
    if (const Kind* kind = find_kind(name)) return kind;
    for (const RuntimeStream& stream : kRuntimeStreams) {
      if (!name.starts_with(stream.adapter_prefix)) continue;
      const std::string_view rest = name.substr(stream.adapter_prefix.size());
      if (rest != "jsonl" && rest != "stdout") continue;
      if (stream.stream == of_.stream) return find_kind(rest);
      report_.error(node.where, path,
                    node.text + " is an adapter of another stream: write " + std::string(of_.adapter_prefix) +
                        std::string(rest) + ", or " + std::string(rest));
      return nullptr;
    }
    if (std::ranges::count(kFutureKinds, name) > 0)
      report_.error(node.where, path,
                    node.text + " is not in this build yet: write " + std::string(kKindsText) +
                        ", or enabled: false beside it");
    else
      report_.error(node.where, path, "\"" + node.text + "\" is not a kind: write " + std::string(kKindsText),
                    did_you_mean(name, {"jsonl", "stdout", "stdout_plain", "file_plain"}));
    return nullptr;
  }

  void set_format(Node& sink, const Kind& kind, const Location& where, const std::string& path) {
    if (const Entry* written = sink.find_entry("format"))
      report_.error(written->where, sink.origin + ".format",
                    "is text with kind " + std::string(kind.name) + ": leave it out");
    sink.child("format", where) = make_scalar(std::string(kind.format), where, path);
  }

  /// `logs/<file_prefix>_<YYYYMMDDTHHMMSSZ>_pid<PID>.jsonl`, of the agent's start: a reload names the same
  /// file.
  void fill_in_path(Node& sink, const Kind& kind, const std::string& path) {
    std::string prefix(of_.section);
    Location where = sink.where;
    if (const Entry* written = sink.find_entry("file_prefix")) {
      const Node node = replaced(written->value, path + ".file_prefix", report_);
      where = written->value.where;
      if (node.is_scalar() && !node.unusable && !is_component_name(node.text))
        report_.error(node.where, path + ".file_prefix",
                      "must be part of a file's name: up to 64 letters, digits, _ . and - are taken");
      else if (node.is_scalar())
        prefix = node.text;
      else if (!node.is_null())
        report_.error(node.where, path + ".file_prefix", "must be a word");
      sink.erase("file_prefix");
    }
    if (sink.find("path")) return;
    const int64_t started_ns =
        request_.started_wall_ns > 0 ? request_.started_wall_ns : system_clock().wall_ns();
    const time_t seconds = time_t(started_ns / 1'000'000'000);
    tm parts{};
    gmtime_r(&seconds, &parts);
    char time[sizeof "YYYYMMDDTHHMMSSZ"];
    std::strftime(time, sizeof time, "%Y%m%dT%H%M%SZ", &parts);
    const int64_t pid = request_.pid > 0 ? request_.pid : getpid();
    sink.child("path", where) = make_scalar("logs/" + prefix + "_" + time + "_pid" + std::to_string(pid) +
                                                (kind.format.empty() ? ".jsonl" : ".log"),
                                            where, path + ".path");
  }

  /// `tracing_jsonl`, `tracing_jsonl_2`...
  std::string free_name(std::string_view kind) const {
    const std::string first = std::string(of_.section) + "_" + std::string(kind);
    const Node* sinks = tree_.find("sinks");
    std::string name = first;
    for (int n = 2; sinks && sinks->find(name); ++n) name = first + "_" + std::to_string(n);
    return name;
  }

  const RuntimeStream& of_;
  const std::string path_;
  const ConfigRequest& request_;
  Node& tree_;
  Report& report_;
};

}  // namespace

void translate_observability(const Entry& observability, const ConfigRequest& request, Node& tree,
                             Report& report) {
  const std::string path = "runtime.observability";
  const Node& from = observability.value;
  if (from.is_null()) return;
  if (!from.is_map()) return report.error(from.where, path, "must be a map");
  for (const Entry& entry : from.entries) {
    const auto of = std::ranges::find(kRuntimeStreams, entry.key, &RuntimeStream::section);
    if (of != std::end(kRuntimeStreams))
      SectionTranslator(*of, request, tree, report).translate(entry);
    else
      report.error(entry.where, path + "." + entry.key, "is not known here",
                   did_you_mean(entry.key, {"tracing", "logging", "telemetry", "monitoring"}));
  }
}

}  // namespace weir::config
