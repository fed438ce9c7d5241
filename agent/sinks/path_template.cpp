#include "agent/sinks/path_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "agent/core/brace_word.h"
#include "agent/core/json.h"
#include "agent/core/options.h"
#include "agent/process/expression.h"
#include "agent/sinks/rotated_name.h"

namespace weir {
namespace {

using Field = PathTemplate::Field;

constexpr std::array<std::pair<std::string_view, Field>, 7> kFields{
    {{"stream", Field::stream},
     {"service", Field::service},
     {"scenario", Field::scenario},
     {"level", Field::level},
     {"logger", Field::logger},
     {"kind", Field::kind},
     {"process_group", Field::process_group}}};
constexpr size_t kValueBytesMax = 64;
/// NAME_MAX, less what rotation and compression append.
constexpr size_t kNameBytesMax = 255 - 48;

std::string_view field_name(Field field) {
  return std::ranges::find(kFields, field, &std::pair<std::string_view, Field>::second)->first;
}

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == '-';
}

bool is_plain_value(std::string_view value) {
  return !value.empty() && value.size() <= kValueBytesMax && value[0] != '.' &&
         std::ranges::all_of(value, is_plain);
}

/// FNV-1a, folded: stable between versions and machines, because file names depend on it.
uint32_t stable_hash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (char c : text) hash = (hash ^ uint8_t(c)) * 0x100000001b3;
  return uint32_t(hash ^ hash >> 32);
}

Result<Field> parse_field(std::string_view name) {
  std::vector<std::string_view> known;
  std::string list;
  for (const auto& [word, field] : kFields) {
    if (word == name) return field;
    known.push_back(word);
    list += (list.empty() ? "" : ", ") + std::string(word);
  }
  const std::string_view meant = did_you_mean(name, known);
  return fail("{" + std::string(name) + "} is not a field that a path may hold (" + list + ")" +
              (meant.empty() ? "; {{" + std::string(name) + "}} is {" + std::string(name) + "} itself"
                             : "; did you mean {" + std::string(meant) + "}?"));
}

}  // namespace

void append_path_value(std::string& out, std::string_view value, bool distrust) {
  if (value.empty() || value == "null") {
    out += "none";
    return;
  }
  std::string contents;
  if (value[0] == '"')
    json::decode_string(value, contents);
  else
    contents = value;
  if (!distrust && is_plain_value(contents))
    out += contents;
  else
    fmt::format_to(std::back_inserter(out), "invalid-{:08x}", stable_hash(contents));
}

Result<PathTemplate> PathTemplate::parse(std::string_view text) {
  PathTemplate out;
  std::vector<Piece> pieces{{}};
  for (size_t at = 0; at < text.size();) {
    const BraceWord found = find_brace_word(text, at);
    pieces.back().text += text.substr(at, found.begin == text.npos ? text.npos : found.begin - at);
    if (found.begin == text.npos) break;
    at = found.end;
    if (found.doubled) {
      pieces.back().text += "{" + std::string(found.word) + "}";
      continue;
    }
    const auto field = parse_field(found.word);
    if (!field) return tl::unexpected(field.error());
    pieces.push_back({"", *field});
    pieces.push_back({});
  }
  if (auto done = out.split(std::move(pieces)); !done) return tl::unexpected(done.error());
  return out;
}

/// Root, and the components beneath it.
Result<void> PathTemplate::split(std::vector<Piece> pieces) {
  has_fields_ = pieces.size() > 1;
  if (!has_fields_) {
    path_ = std::move(pieces[0].text);
    return {};
  }
  std::string& first = pieces[0].text;
  const size_t slash = first.rfind('/');
  prefix_ = slash == first.npos ? "" : first.substr(0, slash + 1);
  root_ = prefix_.empty() ? "." : prefix_.size() == 1 ? "/" : prefix_.substr(0, slash);
  first.erase(0, prefix_.size());
  components_.emplace_back();
  for (Piece& piece : pieces) {
    if (piece.field != Field::none) {
      components_.back().push_back(std::move(piece));
      continue;
    }
    for (size_t begin = 0;;) {
      const size_t end = std::min(piece.text.find('/', begin), piece.text.size());
      if (end > begin) components_.back().push_back({piece.text.substr(begin, end - begin)});
      if (end == piece.text.size()) break;
      components_.emplace_back();
      begin = end + 1;
    }
  }
  return check();
}

Result<void> PathTemplate::check() const {
  for (const Component& component : components_) {
    size_t bytes = 0;
    std::string sample;
    for (const Piece& piece : component) {
      bytes += piece.field == Field::none ? piece.text.size() : kValueBytesMax;
      sample += piece.field == Field::none ? piece.text : "none";
    }
    if (component.empty()) return fail("has an empty name behind a field");
    if (sample == "." || sample == "..") return fail("must not hold . or .. behind a field");
    if (bytes > kNameBytesMax)
      return fail("can make a name that is too long: fewer fields between two slashes");
    RotatedName rotated;
    if (parse_rotated_name(sample, rotated))
      return fail("has the form of a rotated file: choose another name");
  }
  return {};
}

void PathTemplate::render(std::string_view line, Stream stream, std::string& out) const {
  out.clear();
  for (size_t i = 0; i < components_.size(); ++i) {
    if (i > 0) out += '/';
    const size_t begin = out.size();
    render_component(components_[i], line, stream, false, out);
    // A record must not choose the name of another one's rotated file.
    RotatedName rotated;
    if (!parse_rotated_name(std::string_view(out).substr(begin), rotated)) continue;
    out.resize(begin);
    render_component(components_[i], line, stream, true, out);
  }
}

void PathTemplate::render_component(const Component& component, std::string_view line, Stream stream,
                                    bool distrust, std::string& out) const {
  for (const Piece& piece : component) {
    if (piece.field == Field::none) {
      out += piece.text;
    } else if (piece.field == Field::stream) {
      out += stream_name(stream);  // its normal form, whatever was sent
    } else {
      const std::string_view value = json::find_key(line, field_name(piece.field));
      constexpr std::string_view levels[] = {"trace", "debug", "info", "warn", "error", "fatal"};
      const int severity = piece.field == Field::level ? level_severity(value) : 0;
      if (severity > 0)
        out += levels[size_t(severity - 1) / 4];
      else
        append_path_value(out, value, distrust);
    }
  }
}

bool PathTemplate::may_be(size_t depth, std::string_view name) const {
  return depth < components_.size() && matches(components_[depth], 0, name);
}

bool PathTemplate::matches(const Component& component, size_t piece, std::string_view rest) {
  if (piece == component.size()) return rest.empty();
  if (component[piece].field == Field::none) {
    const std::string& text = component[piece].text;
    return rest.starts_with(text) && matches(component, piece + 1, rest.substr(text.size()));
  }
  for (size_t n = 1; n <= std::min(rest.size(), kValueBytesMax); ++n) {
    if (!is_plain_value(rest.substr(0, n))) return false;
    if (matches(component, piece + 1, rest.substr(n))) return true;
  }
  return false;
}

}  // namespace weir
