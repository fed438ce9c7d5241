#include <charconv>

#include "agent/config/section.h"
#include "agent/core/json.h"

namespace weir {
namespace {

using config::SectionType;

/// `key: value` of one option, without indentation.
std::string line_of(const Option& option, const OptionValue& value) {
  return std::string(option.name) + ": " + format_option(option, value) + "\n";
}

void print_settings(std::string& out, const OptionTable& table, const Settings& settings,
                    const std::string& indent) {
  for (size_t i = 0; i < table.size(); ++i) {
    const Option& option = table[i];
    const auto it = settings.values().find(option.name);
    const OptionValue value = it == settings.values().end() ? OptionValue{} : it->second;
    if (const std::string_view group = option_group(option); !group.empty()) {
      OptionTable own;
      Settings own_settings;
      for (; i < table.size() && option_group(table[i]) == group; ++i) {
        const auto found = settings.values().find(table[i].name);
        own.push_back(table[i]);
        own.back().name.remove_prefix(group.size() + 1);
        own_settings.set(own.back().name, found == settings.values().end() ? OptionValue{} : found->second);
      }
      --i;
      std::string inner;
      print_settings(inner, own, own_settings, indent + "  ");
      if (!inner.empty()) out += indent + std::string(group) + ":\n" + inner;
      continue;
    }
    if (std::holds_alternative<std::monostate>(value) && !option.nullable)
      continue;  // not written and without a default: nothing to say
    out += indent + line_of(option, value);
  }
}

void print_fixed(std::string& out, const SectionType& section, const Settings& settings) {
  out += std::string(section.path) + ":  # " + std::string(section.sentence) + "\n";
  print_settings(out, section.options, settings, "  ");
}

void print_components(std::string& out, std::string_view group,
                      const std::vector<ComponentConfig>& components,
                      const std::vector<ComponentType>& types) {
  if (components.empty()) {
    out += std::string(group) + ": {}\n";
    return;
  }
  out += std::string(group) + ":\n";
  for (const ComponentConfig& component : components) {
    out += "  " + format_yaml_string(component.name) + ":\n    type: " + component.type + "\n";
    if (const ComponentType* type = config::find_type(types, component.type))
      print_settings(out, type->options, component.settings, "    ");
  }
}

void append_secrets(std::string& out, const Settings& settings) {
  for (const auto& [name, value] : settings.values()) {
    if (const auto* secret = std::get_if<Secret>(&value)) out += name + '=' + secret->value + '\n';
    if (const auto* map = std::get_if<SecretMap>(&value))
      for (const auto& [key, secret] : *map) out += name + '.' + key + '=' + secret.value + '\n';
  }
}

std::string_view mode_name(SignatureMode mode) {
  if (mode == SignatureMode::hash) return "hash";
  return mode == SignatureMode::type_only ? "type_only" : "type_and_identity";
}

std::string_view mode_name(ContextDiffMode mode) {
  if (mode == ContextDiffMode::none) return "none";
  return mode == ContextDiffMode::whitelist ? "whitelist" : "full";
}

Settings settings_of(const ContextDiffOptions& diff) {
  Settings out;
  out.set("mode", std::string(mode_name(diff.mode)));
  out.set("whitelist", diff.whitelist);
  out.set("max_value_len", diff.max_value_len);
  out.set("snapshots", diff.snapshots);
  out.set("max_traces", diff.max_traces);
  out.set("max_context_bytes", diff.max_context_bytes);
  out.set("idle", diff.idle_ns);
  return out;
}

/// Dollar signs mean nothing in keys.
std::string yaml_key(std::string_view key) {
  std::string out = format_yaml_string(key);
  for (size_t at = out.find("$$"); at != out.npos; at = out.find("$$", at + 1)) out.erase(at, 1);
  return out;
}

void print_set(std::string& out, const SetOptions& set) {
  out += "    set:\n";
  out += std::string("      overwrite: ") + (set.overwrite ? "true" : "false") + "\n";
  for (const SetOptions::Entry& entry : set.entries) {
    std::string value = entry.value;
    if (value.front() == '"') {
      std::string text;
      json::decode_string(value, text);
      value = format_yaml_string(text);
    }
    out += "      " + yaml_key(entry.path) + ": " + value + "\n";
  }
}

void print_rules(std::string& out, const StreamConfig& stream) {
  if (!stream.set.entries.empty()) print_set(out, stream.set);
  if (stream.redact) {
    Settings redact;
    redact.set("keys", stream.redact->keys);
    redact.set("paths", stream.redact->paths);
    redact.set("patterns", stream.redact->patterns);
    redact.set("replace", stream.redact->replace);
    out += "    redact:\n";
    print_settings(out, config::redact_section().options, redact, "      ");
  }
  if (stream.sample) {
    char ratio[32];
    *std::to_chars(ratio, ratio + sizeof ratio - 1, stream.sample->ratio).ptr = '\0';
    out += std::string("    sample: {ratio: ") + ratio +
           ", keep_errors: " + (stream.sample->keep_errors ? "true" : "false") + "}\n";
  }
}

void print_stream(std::string& out, Stream name, const StreamConfig& stream) {
  Settings plain;
  plain.set("enabled", stream.enabled);
  plain.set("sinks", stream.sinks);
  out += "  " + std::string(stream_name(name)) + ":";
  out += stream.enabled && stream.sinks.empty() ? "  # no sink: kept on the tape only\n" : "\n";
  print_settings(out, config::stream_section().options, plain, "    ");
  if (stream.signature)
    out += "    signature: {mode: " + std::string(mode_name(stream.signature->mode)) + "}\n";
  if (stream.context_diff) {
    Settings diff = settings_of(*stream.context_diff);
    out += "    context_diff:\n";
    const bool unused =
        stream.context_diff->mode != ContextDiffMode::whitelist && stream.context_diff->whitelist.empty();
    for (const Option& option : config::context_diff_section().options)
      if (!(unused && option.name == "whitelist"))
        out += "      " + line_of(option, diff.values().find(option.name)->second);
  }
  print_rules(out, stream);
}

}  // namespace

std::string print_config(const Config& config, const std::vector<ComponentType>& listener_types,
                         const std::vector<ComponentType>& sink_types) {
  std::string out;
  print_components(out, "listen", config.listen, listener_types);
  out += "control:\n  path: " + format_yaml_string(config.control_path) + "\n";
  Settings top;
  top.set("data_dir", config.data_dir);
  top.set("drain_timeout", config.drain_timeout_ns);
  print_settings(out, config::top_section().options, top, "");
  print_fixed(out, config::metrics_section(), config.metrics);
  print_fixed(out, config::journal_section(), config.journal);
  print_fixed(out, config::limits_section(), config.limits);
  print_fixed(out, config::clients_section(), config.clients);
  print_fixed(out, config::quarantine_section(), config.quarantine);
  print_fixed(out, config::log_section(), config.log);
  if (config.sandbox) print_fixed(out, config::sandbox_section(), *config.sandbox);
  out += "streams:\n";
  for (Stream stream : kStreams) print_stream(out, stream, config.streams[size_t(stream)]);
  print_components(out, "sinks", config.sinks, sink_types);
  return out;
}

std::string config_fingerprint(const Config& config, const std::vector<ComponentType>& listener_types,
                               const std::vector<ComponentType>& sink_types) {
  std::string out = print_config(config, listener_types, sink_types);
  for (const ComponentConfig& component : config.listen) append_secrets(out, component.settings);
  for (const ComponentConfig& component : config.sinks) append_secrets(out, component.settings);
  return out;
}

}  // namespace weir
