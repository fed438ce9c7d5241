#include <algorithm>

#include "agent/config/section.h"
#include "agent/core/json.h"
#include "agent/core/text.h"
#include "agent/decode/reserved.h"

/// The rules of a stream that change or drop its records: set, redact, sample.
namespace weir::config {
namespace {

constexpr size_t kReplaceBytesMax = 64;  // it may stand for each character of a record

bool is_json_number(std::string_view text) {
  const auto digits = [&] {
    const size_t n = std::min(text.find_first_not_of("0123456789"), text.size());
    text.remove_prefix(n);
    return n > 0;
  };
  const auto take = [&](std::string_view any_of) {
    const bool there = !text.empty() && any_of.find(text.front()) != any_of.npos;
    if (there) text.remove_prefix(1);
    return there;
  };
  take("-");
  if (!take("0") && !digits()) return false;
  if (take(".") && !digits()) return false;
  if (take("eE")) {
    take("+-");
    if (!digits()) return false;
  }
  return text.empty();
}

std::string json_value(const Node& node) {
  if (node.plain && (node.text == "true" || node.text == "false" || is_json_number(node.text)))
    return node.text;
  std::string out;
  json::append_quoted(out, node.text);
  return out;
}

/// What a reference puts in ends up in records: it must be text. Reports and answers false where it is not.
bool check_text(const Node& node, const std::string& path, Report& report) {
  if (is_utf8(node.text)) return true;
  report.error(node.where, path, "is not UTF-8, and records must be");
  return false;
}

/// Another weir agent, or whoever checks types, does not take text in these (records.md section 7).
bool is_no_text(std::string_view field) {
  using namespace decode;
  return std::ranges::any_of(
      kReservedRules, [&](const Reserved& r) { return r.name == field && (r.allowed & kString) == 0; });
}

/// One path inside of another: the outer one would be a value and an object at once.
void check_nesting(const SetOptions& options, const std::vector<const Entry*>& written,
                   const std::string& path, Report& report) {
  for (size_t i = 0; i < options.entries.size(); ++i) {
    for (const SetOptions::Entry& outer : options.entries) {
      if (!options.entries[i].path.starts_with(outer.path + ".")) continue;
      report.error(written[i]->where, join_path(path, options.entries[i].path),
                   "cannot be set beside " + outer.path + ", which is one value: keep one");
    }
  }
}

void check_names(const std::vector<std::string>& names, std::string_view option, const Node& node,
                 const std::string& path, Report& report) {
  const Node* list = node.find(option);
  if (!list || !list->is_list() || list->items.size() != names.size()) return;
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string& name = names[i];
    const std::string at = join_path(path, option) + "[" + std::to_string(i) + "]";
    if (option == "patterns" && !list->items[i].reference.empty()) {
      report.error(
          list->items[i].where, at,
          "a reference is not taken here: its value would be read as a regular expression, and shown");
    } else if (option == "patterns") {
      if (const std::string mistake = check_pattern(name); !mistake.empty())
        report.error(list->items[i].where, at, mistake);
    } else if (name.empty()) {
      report.error(list->items[i].where, at, "is empty: write a name");
    } else if (option == "paths" &&
               (name.front() == '.' || name.back() == '.' || name.find("..") != name.npos)) {
      report.error(list->items[i].where, at, "is not a path: write names with single dots between them");
    } else if (is_no_text(name)) {
      report.note(
          list->items[i].where, at,
          name +
              " becomes text here: another weir agent refuses such a record as bad_field. Name what is "
              "in it where you can");
    } else if (option == "keys" && name.find('.') != name.npos) {
      report.note(list->items[i].where, at,
                  "is the name of one key, dots and all: a place inside of objects belongs under paths");
    }
  }
}

}  // namespace

SetOptions read_set(const Node& node, const std::string& path, Report& report) {
  Section section(&node, path, "streams.*.set", report);  // says so where it is not a map
  SetOptions out;
  out.overwrite = section.settings(set_section().options).boolean("overwrite");
  std::vector<const Entry*> written;
  for (const Entry& entry : node.entries) {
    if (entry.key == "overwrite" || entry.value.unusable) continue;
    const std::string at = path_of(entry.value, path, entry.key);
    if (!entry.value.is_scalar()) {
      report.error(entry.where, at,
                   entry.value.is_null() ? "has no value: write text, a number, true or false"
                   : entry.value.is_map()
                       ? "must be one value: name a field in it with a dot, as " + entry.key + ".name"
                       : "must be one value, not a list");
      continue;
    }
    if (!check_text(entry.value, at, report)) continue;
    SetOptions::Entry field{entry.key, json_value(entry.value)};
    if (const std::string refused = refuse_set(field.path, field.value); !refused.empty()) {
      report.error(entry.where, at, refused);
      continue;
    }
    out.entries.push_back(std::move(field));
    written.push_back(&entry);
  }
  check_nesting(out, written, path, report);
  if (!out.entries.empty()) return out;
  if (node.is_map()) report.note(node.where, path, "names no field: nothing is set");
  out.overwrite = false;
  return out;
}

RedactOptions read_redact(const Node& node, const std::string& path, Report& report) {
  Section section(&node, path, "streams.*.redact", report);
  const Settings read = section.settings(redact_section().options);
  section.finish();
  RedactOptions out{read.list("keys"), read.list("paths"), read.list("patterns"), read.text("replace")};
  if (const Node* replace = node.find("replace"); replace && replace->is_scalar()) {
    const std::string at = path_of(*replace, path, "replace");
    if (check_text(*replace, at, report) && out.replace.size() > kReplaceBytesMax)
      report.error(replace->where, at, "must be at most " + std::to_string(kReplaceBytesMax) + " bytes");
  }
  check_names(out.keys, "keys", node, path, report);
  check_names(out.paths, "paths", node, path, report);
  check_names(out.patterns, "patterns", node, path, report);
  if (out.keys.empty() && out.paths.empty() && out.patterns.empty())
    report.note(node.where, path, "names no key, path or pattern: nothing is redacted");
  return out;
}

std::optional<SampleOptions> read_sample(const Node& node, const std::string& path, Report& report) {
  Section section(&node, path, "streams.*.sample", report);
  const Settings read = section.settings(sample_section().options);
  section.finish();
  if (read.null("ratio")) return std::nullopt;  // a mistake that has been reported
  const SampleOptions out{*parse_ratio(read.text("ratio")), read.boolean("keep_errors")};
  if (out.ratio == 1) report.note(node.where, path, "with ratio 1 every record is kept");
  return out;
}

}  // namespace weir::config
