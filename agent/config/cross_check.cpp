#include <fnmatch.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "agent/config/section.h"
#include "agent/core/brace_word.h"

namespace weir::config {
namespace {

std::string absolute(const std::string& path) {
  std::error_code error;
  const auto full = std::filesystem::absolute(path, error);
  return error ? path : full.lexically_normal().string();
}

/// A text option the component has a value for, else null.
const std::string* text_of(const ComponentConfig& component, std::string_view option) {
  const auto it = component.settings.values().find(option);
  return it == component.settings.values().end() ? nullptr : std::get_if<std::string>(&it->second);
}

/// Every path that a file sink's path with fields may become, as a pattern of fnmatch(3), and one of them.
struct Reach {
  std::string pattern, sample, owner;
};

Reach reach_of(const std::string& path, bool may_hold_fields, const std::string& owner) {
  Reach out{"", "", owner};
  const auto add = [&out](std::string_view text) {
    for (char c : text) {
      if (std::string_view("*?[\\").find(c) != std::string_view::npos) out.pattern += '\\';
      out.pattern += c, out.sample += c;
    }
  };
  size_t at = 0;
  for (BraceWord found; may_hold_fields; at = found.end) {
    found = find_brace_word(path, at);
    if (found.begin == std::string_view::npos) break;
    add(std::string_view(path).substr(at, found.begin - at));
    if (found.doubled)
      add("{" + std::string(found.word) + "}");
    else
      out.pattern += '*', out.sample += "none";
  }
  add(std::string_view(path).substr(at));
  return out;
}

bool may_meet(const Reach& a, const Reach& b) {
  return fnmatch(a.pattern.c_str(), b.sample.c_str(), FNM_PATHNAME | FNM_PERIOD) == 0 ||
         fnmatch(b.pattern.c_str(), a.sample.c_str(), FNM_PATHNAME | FNM_PERIOD) == 0;
}

/// Two owners of one path would write into each other.
void check_paths(const Node& tree, const Config& config, Report& report) {
  std::vector<Reach> owners;
  const auto claim = [&](const std::string& path, const Place& place, bool may_hold_fields = false) {
    Reach reach = reach_of(absolute(path), may_hold_fields, place.path);
    for (const Reach& other : owners) {
      if (!may_meet(reach, other)) continue;
      const bool same = reach.pattern == other.pattern;
      report.error(place.where, place.path,
                   path + (same ? " is already used by " : " may become the same as ") + other.owner +
                       ": choose another");
      break;
    }
    owners.push_back(std::move(reach));
  };
  for (const ComponentConfig& listener : config.listen)
    if (const std::string* path = text_of(listener, "path"); path && listener.type == "unix")
      claim(*path, place_of(tree, "listen", listener, "path"));
  if (const Node* control = find_path(tree, {"control", "path"}); !config.control_path.empty())
    claim(config.control_path, {control ? control->where : tree.where, "control.path"});
  for (const ComponentConfig& sink : config.sinks)
    if (const std::string* path = text_of(sink, "path"))
      claim(*path, place_of(tree, "sinks", sink, "path"), sink.type == "file");
}

void check_addresses(const Node& tree, const Config& config, Report& report) {
  std::map<std::string, std::string> owners;
  for (const ComponentConfig& listener : config.listen) {
    const std::string* bind = text_of(listener, "bind");
    if (!bind || bind->ends_with(":0")) continue;  // any free port: never the same one
    const Place place = place_of(tree, "listen", listener, "bind");
    const auto [it, fresh] = owners.emplace(*bind, place.path);
    if (!fresh)
      report.error(place.where, place.path, *bind + " is already used by " + it->second + ": choose another");
  }
}

void check_routes(const Node& tree, const Config& config, Report& report) {
  std::vector<std::string_view> known;
  if (const Node* sinks = tree.find("sinks"))
    for (const Entry& entry : sinks->entries) known.push_back(entry.key);
  std::vector<std::string_view> used;
  for (Stream stream : kStreams) {
    const auto& names = config.streams[size_t(stream)].sinks;
    used.insert(used.end(), names.begin(), names.end());
    const Node* list = find_path(tree, {"streams", stream_name(stream), "sinks"});
    if (!list || !list->is_list()) continue;
    for (size_t i = 0; i < list->items.size(); ++i) {
      const Node& item = list->items[i];
      const std::string path =
          "streams." + std::string(stream_name(stream)) + ".sinks[" + std::to_string(i) + "]";
      if (!item.is_scalar() || item.unusable) continue;
      const auto same = [&](const Node& other) { return other.is_scalar() && other.text == item.text; };
      if (std::find_if(list->items.begin(), list->items.begin() + ptrdiff_t(i), same) !=
          list->items.begin() + ptrdiff_t(i))
        report.error(item.where, path, "names " + item.text + " a second time: leave it out");
      else if (std::find(known.begin(), known.end(), item.text) == known.end())
        report.error(item.where, path, "there is no sink named \"" + item.text + "\": add it under sinks",
                     did_you_mean(item.text, known));
    }
  }
  if (const Node* named = tree.find("sinks"); config.sinks.empty() && (!named || !named->is_map()))
    report.note(
        tree.where, "sinks",
        "none is named: `weir tail` shows records, and they are kept nowhere. Write sinks: {} if that is "
        "meant");
  for (const ComponentConfig& sink : config.sinks) {
    if (std::find(used.begin(), used.end(), sink.name) != used.end()) continue;
    report.note(sink.where, "sinks." + sink.name, "no stream names this sink: it gets no records");
  }
}

void check_sizes(const Node& tree, const Config& config, Report& report) {
  const int64_t record = config.limits.integer("record_bytes_max");
  if (config.journal.text("type") == "disk" && config.journal.integer("max_bytes") < 8 << 20) {
    const Node* written = find_path(tree, {"journal", "max_bytes"});
    report.error(written ? written->where : tree.where, "journal.max_bytes",
                 "must be at least 8MiB for a disk journal, which is made of segments of 1MiB or more");
  }
  if (config.journal.integer("max_bytes") >= 2 * record) return;
  const Node* journal = find_path(tree, {"journal", "max_bytes"});
  const Node* limit = find_path(tree, {"limits", "record_bytes_max"});
  const Node* at = journal ? journal : limit;
  report.error(
      at ? at->where : tree.where, "journal.max_bytes",
      "must be at least twice limits.record_bytes_max: write " + format_bytes(2 * record) + " or more");
}

/// One line of the largest size must always fit, however it is cut on its way.
void check_shares(const Node& tree, const Config& config, Report& report) {
  if (config.limits.null("per_uid.memory")) return;
  const int64_t needed = 2 * config.limits.integer("record_bytes_max");
  if (config.limits.integer("per_uid.memory") >= needed) return;
  const Node* at = find_path(tree, {"limits", "per_uid", "memory"});
  report.error(at ? at->where : tree.where, "limits.per_uid.memory",
               "must be at least twice limits.record_bytes_max: write " + format_bytes(needed) + " or more");
}

void check_redaction(const Node& tree, const Config& config, Report& report) {
  if (!config.quarantine.boolean("raw")) return;
  for (Stream stream : kStreams) {
    const Node* node = find_path(tree, {"streams", stream_name(stream), "redact"});
    if (!node || !node->is_map()) continue;
    report.note(
        node->where, path_of(*node, "streams." + std::string(stream_name(stream)), "redact"),
        "refused records cannot be redacted: the quarantine keeps them as they came, unless you write "
        "quarantine: {raw: false}");
    return;
  }
}

void check_whitelists(const Node& tree, Report& report) {
  for (Stream stream : kStreams) {
    const Node* node = find_path(tree, {"streams", stream_name(stream), "context_diff"});
    if (!node || !node->is_map()) continue;
    const std::string path = path_of(*node, "streams." + std::string(stream_name(stream)), "context_diff");
    const Node* mode = node->find("mode");
    const Node* whitelist = node->find("whitelist");
    const bool listed = mode && mode->text == "whitelist";
    if (listed && !whitelist)
      report.note(mode->where, path + ".mode", "without a whitelist beside it nothing is kept");
    if (!listed && whitelist)
      report.note(whitelist->where, path + ".whitelist",
                  "is read with mode: whitelist only, so it changes nothing here");
  }
}

}  // namespace

void cross_check(const Node& tree, const Config& config, Report& report) {
  check_sizes(tree, config, report);
  check_whitelists(tree, report);
  check_redaction(tree, config, report);
  check_shares(tree, config, report);
  check_paths(tree, config, report);
  check_addresses(tree, config, report);
  // With a file that could not be read, a name that seems unknown may well be known there.
  if (!report.incomplete()) check_routes(tree, config, report);
}

}  // namespace weir::config
