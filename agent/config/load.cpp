#include <openssl/sha.h>

#include <algorithm>
#include <filesystem>

#include "agent/config/section.h"
#include "agent/core/listen_port.h"

namespace weir {
namespace config {
namespace {

constexpr int64_t kDiskJournalBytes = int64_t(4) << 30;
constexpr size_t kSocketPathMax = 107;  // sun_path less its zero byte

/// Reads every section of a tree that has been merged and substituted. One per load.
class Loader {
 public:
  Loader(const Node& tree, const ConfigRequest& request, const std::vector<ComponentType>& listener_types,
         const std::vector<ComponentType>& sink_types, Report& report)
      : tree_(tree),
        request_(request),
        listener_types_(listener_types),
        sink_types_(sink_types),
        report_(report) {}

  Config load() {
    Section top(&tree_, "", "", report_);
    const Settings plain = top.settings(top_section().options);
    config_.drain_timeout_ns = plain.integer("drain_timeout");
    if (!plain.null("data_dir")) config_.data_dir = plain.text("data_dir");
    config_.journal = read_fixed(top, journal_section());
    if (config_.journal.text("type") == "disk" && !find_path(tree_, {"journal", "max_bytes"}))
      config_.journal.set("max_bytes", kDiskJournalBytes);
    config_.limits = read_fixed(top, limits_section());
    config_.metrics = read_fixed(top, metrics_section());
    config_.clients = read_fixed(top, clients_section());
    config_.quarantine = read_fixed(top, quarantine_section());
    config_.log = read_fixed(top, log_section());
    if (top.section("sandbox")) config_.sandbox = read_fixed(top, sandbox_section());
    config_.listen = read_components(top, "listen", listener_types_);
    config_.sinks = read_components(top, "sinks", sink_types_);
    const Settings control = read_fixed(top, control_section());
    if (!control.null("path")) config_.control_path = control.text("path");
    read_streams(top);
    top.finish();
    fill_in_places();
    check_metrics();
    apply_command_line();
    cross_check(tree_, config_, report_);
    return std::move(config_);
  }

 private:
  Settings read_fixed(Section& top, const SectionType& type) {
    Section section(top.section(type.path), std::string(type.path), type.path, report_);
    Settings settings = section.settings(type.options);
    section.finish();
    return settings;
  }

  std::vector<ComponentConfig> read_components(Section& top, std::string_view group,
                                               const std::vector<ComponentType>& types) {
    std::vector<ComponentConfig> out;
    const Node* node = top.section(group);
    Section all(node, std::string(group), group, report_);  // says so where it is not a map
    if (!node || !node->is_map()) return out;
    for (const Entry& entry : node->entries)
      if (auto component = read_component(entry.key, entry.value, group, types, report_))
        out.push_back(std::move(*component));
    if (group == "listen" && node->entries.empty())
      report_.note(node->where, "listen", "names no listener: nothing can come in");
    return out;
  }

  void read_streams(Section& top) {
    Section streams(top.section("streams"), "streams", "streams", report_);
    for (Stream stream : kStreams) {
      const std::string path = streams.path_to(stream_name(stream));
      const Node* node = streams.section(stream_name(stream));
      read_stream(node, path, stream == Stream::trace, config_.streams[size_t(stream)]);
    }
    report_synonyms(streams);
    streams.finish();
  }

  /// `streams.logs` is near no name by its letters alone, but the wire understands it.
  void report_synonyms(Section& streams) {
    const Node* node = tree_.find("streams");
    if (!node) return;
    for (const Entry& entry : node->entries) {
      const auto stream = parse_stream(entry.key);
      if (!stream || stream_name(*stream) == entry.key) continue;
      streams.value(entry.key);
      report_.error(entry.where, "streams." + entry.key, "is not a stream's name here", stream_name(*stream));
    }
  }

  void read_stream(const Node* node, const std::string& path, bool is_trace, StreamConfig& out) {
    Section section(node, path, "streams.*", report_);
    const Settings plain = section.settings(stream_section().options);
    out.enabled = plain.boolean("enabled");
    out.sinks = plain.list("sinks");
    const Node* signature = section.section("signature");
    if (signature || is_trace) out.signature = read_signature(signature, section.path_to("signature"));
    const Node* diff = section.section("context_diff");
    if (diff || is_trace) out.context_diff = read_context_diff(diff, section.path_to("context_diff"));
    if (const Node* set = section.section("set")) out.set = read_set(*set, section.path_to("set"), report_);
    if (const Node* redact = section.section("redact"))
      out.redact = read_redact(*redact, section.path_to("redact"), report_);
    if (const Node* sample = section.section("sample"))
      out.sample = read_sample(*sample, section.path_to("sample"), report_);
    section.finish();
  }

  SignatureOptions read_signature(const Node* node, const std::string& path) {
    Section section(node, path, "streams.*.signature", report_);
    const std::string mode = section.settings(signature_section().options).text("mode");
    section.finish();
    if (mode == "hash") return {SignatureMode::hash};
    return {mode == "type_and_identity" ? SignatureMode::type_and_identity : SignatureMode::type_only};
  }

  ContextDiffOptions read_context_diff(const Node* node, const std::string& path) {
    Section section(node, path, "streams.*.context_diff", report_);
    const Settings read = section.settings(context_diff_section().options);
    section.finish();
    const std::string& mode = read.text("mode");
    ContextDiffOptions out;
    out.mode = mode == "none"        ? ContextDiffMode::none
               : mode == "whitelist" ? ContextDiffMode::whitelist
                                     : ContextDiffMode::full;
    out.whitelist = read.list("whitelist");
    out.max_value_len = read.integer("max_value_len");
    out.snapshots = read.boolean("snapshots");
    out.max_traces = read.integer("max_traces");
    out.max_context_bytes = read.integer("max_context_bytes");
    out.idle_ns = read.integer("idle");
    return out;
  }

  /// What is not named: interface.md section 1.
  void fill_in_places() {
    if (const Node* listen = tree_.find("listen"); !listen || listen->is_null()) add_default_listener();
    if (config_.data_dir.empty()) config_.data_dir = place_or_error(default_data_dir(), "data_dir");
    if (config_.journal.text("type") == "disk" && config_.journal.null("path"))
      config_.journal.set("path", config_.data_dir + "/journal");
    if (config_.control_path.empty()) config_.control_path = default_control_path();
    if (config_.control_path.size() > kSocketPathMax) {
      const Node* written = find_path(tree_, {"control", "path"});
      report_.error(written ? written->where : tree_.where, "control.path",
                    "is longer than " + std::to_string(kSocketPathMax) +
                        " bytes, too long for a socket: choose a shorter one");
    }
  }

  void check_metrics() {
    if (config_.metrics.null("bind")) return;
    const Node* written = find_path(tree_, {"metrics", "bind"});
    const auto error = [&](const std::string& text) {
      report_.error(written ? written->where : tree_.where, "metrics.bind", text);
    };
    const auto address = split_address(config_.metrics.text("bind"));
    if (!address)
      error(address.error().message);
    else if (!is_loopback(address->host) && !config_.metrics.boolean("insecure"))
      error(address->host +
            " can be reached from outside: bind 127.0.0.1, or write `insecure: true` next to it "
            "if the network is trusted");
  }

  std::string place_or_error(const Result<std::string>& place, const std::string& path) {
    if (place) return *place;
    report_.error(tree_.where, path, place.error().message);
    return {};
  }

  void add_default_listener() {
    const std::string path = place_or_error(default_ingest_socket(), "listen");
    const ComponentType* type = find_type(listener_types_, "unix");
    if (path.empty() || !type) return;
    ComponentConfig local{"local", std::string(type->name), default_settings(type->options), tree_.where};
    local.settings.set("path", path);
    validate_given(*type, local.settings, tree_.where, "listen.local");
    config_.listen.push_back(std::move(local));
  }

  std::string default_control_path() {
    std::string beside;
    for (const ComponentConfig& listener : config_.listen) {
      if (listener.type != "unix") continue;
      // After a mistake in `path` there is none; the mistake itself has been reported.
      if (listener.settings.null("path")) return {};
      beside = listener.settings.text("path");
      break;
    }
    if (beside.empty() && !report_.errors.empty()) return {};
    if (beside.empty()) beside = place_or_error(default_ingest_socket(), "control.path");
    if (beside.empty()) return {};
    return (std::filesystem::path(beside).parent_path() / "control.sock").string();
  }

  void validate_given(const ComponentType& type, const Settings& settings, const Location& where,
                      const std::string& path) {
    if (!type.validate) return;
    for (auto& [option, text] : type.validate(settings))
      report_.error(where, join_path(path, option), std::move(text));
  }

  /// --trace-path and --tracing, whatever the file says (records.md section 8).
  void apply_command_line() {
    StreamConfig& trace = config_.streams[size_t(Stream::trace)];
    if (request_.trace_path) {
      trace.enabled = true;
      replace_trace_sinks(trace);
    }
    if (request_.tracing) trace.enabled = *request_.tracing;
  }

  void replace_trace_sinks(StreamConfig& trace) {
    constexpr std::string_view kName = "trace_jsonl";
    const ComponentType* type = find_type(sink_types_, "file");
    const Location where{"--trace-path", 1, 1};
    if (!type || request_.trace_path->empty()) {
      report_.error(where, "", "must be a path");
      return;
    }
    // A sink that only this stream named goes, so that its file is not made either.
    const auto still_named = [&](const std::string& name) {
      for (Stream stream : kStreams) {
        const auto& sinks = config_.streams[size_t(stream)].sinks;
        if (stream != Stream::trace && std::find(sinks.begin(), sinks.end(), name) != sinks.end())
          return true;
      }
      return false;
    };
    if (still_named(std::string(kName))) {
      report_.error(where, "sinks.trace_jsonl",
                    "another stream uses the sink of this name: rename it in the configuration");
      return;
    }
    std::erase_if(config_.sinks, [&](const ComponentConfig& sink) {
      const bool of_trace = std::find(trace.sinks.begin(), trace.sinks.end(), sink.name) != trace.sinks.end();
      return sink.name == kName || (of_trace && !still_named(sink.name));
    });
    ComponentConfig sink{std::string(kName), std::string(type->name), default_settings(type->options), where};
    sink.settings.set("path", *request_.trace_path);
    validate_given(*type, sink.settings, where, "sinks.trace_jsonl");
    config_.sinks.push_back(std::move(sink));
    trace.sinks = {std::string(kName)};
  }

  const Node& tree_;
  const ConfigRequest& request_;
  const std::vector<ComponentType>& listener_types_;
  const std::vector<ComponentType>& sink_types_;
  Report& report_;
  Config config_;
};

std::string hash_of(const std::string& text) {
  constexpr size_t kShownBytes = 8;
  constexpr char kHex[] = "0123456789abcdef";
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  std::string out;
  for (size_t i = 0; i < kShownBytes; ++i) {
    out += kHex[digest[i] >> 4];
    out += kHex[digest[i] & 15];
  }
  return out;
}

/// By file in the order of reading, then by place, as one reads them.
void sort_errors(std::vector<ConfigError>& errors, const std::vector<std::string>& files) {
  const auto rank = [&](const ConfigError& e) {
    return std::find(files.begin(), files.end(), e.where.file) - files.begin();
  };
  std::stable_sort(errors.begin(), errors.end(), [&](const ConfigError& a, const ConfigError& b) {
    if (rank(a) != rank(b)) return rank(a) < rank(b);
    return std::pair(a.where.line, a.where.column) < std::pair(b.where.line, b.where.column);
  });
}

}  // namespace
}  // namespace config

LoadedConfig load_config(const ConfigRequest& request, const std::vector<ComponentType>& listener_types,
                         const std::vector<ComponentType>& sink_types) {
  config::Report report;
  std::vector<std::string> files;
  config::Node tree = config::read_files(request, files, report);
  // The framework's tree is translated with its own --set, then weir's own --set goes on top of the
  // translation.
  config::apply_sets(tree, request.sets, true, report);
  config::translate_runtime(tree, request, report);
  config::name_default_listener(tree, request.sets, report);
  config::apply_sets(tree, request.sets, false, report);
  config::substitute(tree, "", report);

  Config config = config::Loader(tree, request, listener_types, sink_types, report).load();
  LoadedConfig out;
  out.paths = config::path_uses(tree, config, report);
  config::sort_errors(report.errors, files);
  out.errors = std::move(report.errors);
  out.inputs = std::move(report.inputs);
  if (!out.errors.empty()) return out;
  config.files = std::move(files);
  config.notes = std::move(report.notes);
  config.hash = config::hash_of(config_fingerprint(config, listener_types, sink_types));
  out.config = std::move(config);
  return out;
}

}  // namespace weir
