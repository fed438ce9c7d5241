#include "agent/sinks/pretty.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "agent/core/json.h"
#include "agent/core/stream.h"
#include "agent/process/expression.h"
#include "agent/sinks/pretty_fields.h"

namespace weir {
namespace {

constexpr std::string_view kOff = "\x1b[0m", kDim = "\x1b[2m", kBold = "\x1b[1m", kRed = "\x1b[31m",
                           kGreen = "\x1b[32m", kYellow = "\x1b[33m", kBlue = "\x1b[34m",
                           kMagenta = "\x1b[35m", kCyan = "\x1b[36m";

constexpr size_t kStepWidth = 12, kDurationWidth = 8, kServiceWidth = 10;
constexpr size_t kLineWidth = 118;  ///< a diff that would pass it goes on below
constexpr std::string_view kIndent = "\n               ";

/// A line that grows by pieces, each in one colour, and knows how many columns are used.
class Painter {
 public:
  Painter(std::string& out, bool colour) : out_(out), colour_(colour) {}

  /// `safe` holds nothing that a terminal would obey. Columns are counted by code points.
  void put(std::string_view safe, std::string_view colour = {}) {
    const bool paint = colour_ && !colour.empty() && !safe.empty();
    if (paint) out_ += colour;
    out_ += safe;
    if (paint) out_ += kOff;
    column_ += columns(safe);
  }
  void put_padded(std::string_view safe, size_t width, std::string_view colour = {}) {
    put(safe, colour);
    if (const size_t used = columns(safe); used < width) pad(width - used);
    pad(1);
  }
  void put_right(std::string_view safe, size_t width, std::string_view colour = {}) {
    if (const size_t used = columns(safe); used < width) pad(width - used);
    put(safe, colour);
    pad(1);
  }
  /// Between two parts of the line: two columns, none at the beginning of the free part.
  void gap() {
    if (!fresh_) pad(2);
    fresh_ = false;
  }
  void pad(size_t n) { out_.append(n, ' '), column_ += n; }
  void wrap() { out_ += kIndent, column_ = kIndent.size() - 1; }
  bool fits(size_t more) const { return column_ + more <= kLineWidth; }

  static size_t columns(std::string_view safe) {
    return size_t(std::count_if(safe.begin(), safe.end(), [](char c) { return (c & 0xC0) != 0x80; }));
  }

 private:
  std::string& out_;
  const bool colour_;
  size_t column_ = 0;
  bool fresh_ = true;
};

std::string_view level_colour(std::string_view level) {
  switch (level.empty() ? 0 : level[0] | 0x20) {
    case 'e':
    case 'f':
    case 'c':
      return kRed;
    case 'w':
      return kYellow;
    case 'i':
    case 'n':
      return kGreen;
    default:
      return kDim;
  }
}

class PrettyLine {
 public:
  enum class Form { screen, coloured_screen, text };
  PrettyLine(std::string& out, std::string_view line, Form form)
      : paint_(out, form == Form::coloured_screen), line_(line), fields_(line), text_(form == Form::text) {}

  void render() {
    stream_ = parse_stream(fields_.text("stream"));
    text_ ? put_text_head() : put_head();
    switch (stream_.value_or(Stream::log)) {
      case Stream::trace:
        put_boundary();
        break;
      case Stream::log:
        put_log();
        break;
      case Stream::telemetry:
        put_metric();
        break;
      case Stream::monitoring:
        put_alert();
        break;
    }
    put_diff();
    put_error();
    if (stream_ == Stream::log || !stream_) put_correlation();
  }

 private:
  void put_head() {
    paint_.put_padded(fields_.time_of_day(), 12, kDim);
    const std::string shown = stream_ ? std::string(stream_name(*stream_)) : fields_.text("stream");
    paint_.put_padded(shown, 10, stream_ ? stream_colour(*stream_) : kDim);
    put_what();
    const std::string trace = first_code_points(fields_.text("trace_id"), 8);
    paint_.put_padded(trace.empty() ? "-" : trace, 8, kDim);
    paint_.put_right(fields_.duration(), kDurationWidth, failed() ? kRed : kYellow);
    paint_.put_padded(fields_.text("service"), kServiceWidth, kBlue);
  }

  /// `2026-11-22T03:04:05.123Z WARN  [orders/db] `, for a step also its name, trace and duration.
  void put_text_head() {
    const Stream stream = stream_.value_or(Stream::log);
    paint_.put_padded(fields_.date_time(), 0);
    paint_.put_padded(text_word(stream), 5);
    std::string from = fields_.text("service");
    if (const std::string logger = fields_.text("logger"); !logger.empty())
      from += (from.empty() ? "" : "/") + logger;
    paint_.put_padded("[" + (from.empty() ? "-" : from) + "]", 0);
    if (stream != Stream::trace) return;
    for (const std::string& part : {step(), fields_.text("trace_id"), fields_.duration()})
      paint_.put_padded(part.empty() ? "-" : part, 0);
  }

  std::string text_word(Stream stream) const {
    const std::string_view key = stream == Stream::log ? "level" : "severity";
    const bool has_level = stream == Stream::log || stream == Stream::monitoring;
    std::string word = has_level ? fields_.text(key) : std::string(stream_name(stream));
    constexpr std::string_view kLevels[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"};
    const std::string_view raw = fields_.raw(key);
    const int severity = stream == Stream::log && !raw.empty() ? level_severity(raw) : 0;
    if (severity > 0) return std::string(kLevels[size_t(severity - 1) / 4]);
    if (word.empty()) word = stream == Stream::log ? "-" : stream_name(stream);
    const bool plain =
        std::ranges::all_of(word, [](char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; });
    if (plain) std::ranges::for_each(word, [](char& c) { c = char(c & ~0x20); });
    return word;
  }

  static std::string_view stream_colour(Stream stream) {
    constexpr std::array<std::string_view, kStreamCount> colours{kCyan, kBlue, kMagenta, kYellow};
    return colours[size_t(stream)];
  }

  /// The column that says what it is: step, level, kind of metric, severity.
  void put_what() {
    switch (stream_.value_or(Stream::log)) {
      case Stream::trace:
        return paint_.put_padded(step(), kStepWidth, failed() ? kRed : kBold);
      case Stream::log:
        return put_level("level");
      case Stream::telemetry:
        return paint_.put_padded(fields_.text("type"), kStepWidth, kDim);
      case Stream::monitoring:
        return put_level("severity");
    }
  }

  void put_level(std::string_view key) {
    const std::string level = fields_.text(key);
    paint_.put_padded(level, kStepWidth, level_colour(level));
  }

  std::string step() const {
    std::string name = fields_.text(fields_.has("step_name") ? "step_name" : "name");
    const std::string kind = fields_.text("kind");
    if (kind == "ingress") return name.empty() ? "> ingress" : "> " + name;
    if (kind == "egress") return name.empty() ? "< egress" : "< " + name;
    return name;
  }

  bool failed() const { return fields_.text("status") == "error" || fields_.has("error"); }

  /// Where a message enters or leaves, and what it is.
  void put_boundary() {
    const std::string kind = fields_.text("kind");
    if (kind != "ingress" && kind != "egress") return;
    paint_.gap();
    paint_.put(kind, kCyan);
    const std::string type = fields_.type_name(kind == "ingress" ? "msg_in" : "msg_out");
    if (!type.empty()) paint_.put(" " + type, kDim);
  }

  void put_log() {
    const std::string_view key = fields_.has("message") ? "message" : "msg";
    if (fields_.has(key)) {
      paint_.gap();
      paint_.put(fields_.text(key));
      put_attributes();
    } else {  // someone's first record: show what came instead of nothing
      paint_.gap();
      paint_.put(safe(line_), kDim);
    }
  }

  void put_metric() {
    paint_.gap();
    paint_.put(fields_.text("name"), kBold);
    for (std::string_view key : {"value", "count", "sum"}) {
      if (!fields_.has(key)) continue;
      paint_.put(" ");
      if (key != "value") paint_.put(std::string(key) + "=", kDim);
      paint_.put(fields_.text(key), kGreen);
    }
    if (fields_.has("unit")) paint_.put(" " + fields_.text("unit"));
    put_attributes();
  }

  void put_alert() {
    paint_.gap();
    paint_.put(fields_.text("rule"), kBold);
    const std::string state = fields_.text("state");
    if (!state.empty()) paint_.put(" " + state, state == "firing" ? kRed : kGreen);
    if (fields_.has("message")) paint_.gap(), paint_.put(fields_.text("message"));
    if (!fields_.has("value")) return;
    paint_.gap();
    paint_.put("value " + fields_.text("value"), kDim);
    if (fields_.has("threshold")) paint_.put(", threshold " + fields_.text("threshold"), kDim);
  }

  void put_attributes() {
    const std::string_view attributes = fields_.raw("attributes");
    if (attributes.empty() || attributes[0] != '{') return;
    bool first = true;
    for_each_member(attributes, [&](std::string_view key, std::string_view value) {
      if (first) paint_.gap();
      const std::string name = std::exchange(first, false) ? shown_key(key) : " " + shown_key(key);
      paint_.put(name + "=" + safe(value), kDim);
    });
  }

  /// `decision: "new" -> "approved", price: null -> 12.5`; an entry is never split between lines.
  void put_diff() {
    const std::string_view diff = fields_.raw("ctx_diff");
    if (diff.empty() || diff == "null") return;
    if (diff[0] != '{') return paint_.gap(), paint_.put("ctx_diff: " + safe(diff));
    bool first = true;
    for_each_member(diff, [&](std::string_view key, std::string_view change) {
      const DiffEntry entry = diff_entry(key, change);
      if (!std::exchange(first, false)) {
        paint_.put(",");
        text_ || paint_.fits(entry.columns() + 1) ? paint_.pad(1) : paint_.wrap();
      } else if (text_ || paint_.fits(entry.columns() + 2)) {
        paint_.gap();
      } else {
        paint_.wrap(), paint_.gap();
      }
      put_entry(entry);
    });
  }

  struct DiffEntry {
    std::string key, before, after;
    bool change;  ///< it has the form {"before","after"}
    size_t columns() const {
      return Painter::columns(key) + 2 + Painter::columns(before) +
             (change ? 4 + Painter::columns(after) : 0);
    }
  };

  static DiffEntry diff_entry(std::string_view key, std::string_view change) {
    std::string_view before, after;
    if (change[0] == '{') {
      for_each_member(change, [&](std::string_view name, std::string_view value) {
        if (json::string_is(name, "before")) before = value;
        if (json::string_is(name, "after")) after = value;
      });
    }
    if (before.empty() && after.empty()) return {shown_key(key), safe(change), {}, false};
    return {shown_key(key), safe(before.empty() ? "null" : before), safe(after.empty() ? "null" : after),
            true};
  }

  void put_entry(const DiffEntry& entry) {
    paint_.put(entry.key + ":", kBold);
    paint_.put(" ");
    paint_.put(entry.before, kDim);
    if (!entry.change) return;
    paint_.put(" -> ");
    paint_.put(entry.after, kGreen);
  }

  /// `ValueError: price is negative at price.py:41`
  void put_error() {
    const std::string_view error = fields_.raw("error");
    if (error.empty() || error == "null") {
      if (failed()) paint_.gap(), paint_.put("failed", kRed);
      return;
    }
    paint_.gap();
    if (error[0] != '{') return paint_.put(shown(error), kRed);
    const std::string type = shown(json::find_key(error, "type")),
                      message = shown(json::find_key(error, "message")),
                      where = shown(json::find_key(error, "where"));
    if (type.empty() && message.empty()) return paint_.put(safe(error), kRed);
    paint_.put(type + (type.empty() || message.empty() ? "" : ": ") + message, kRed);
    if (!where.empty()) paint_.put(" at " + where, kDim);
  }

  void put_correlation() {
    const std::string id = fields_.has("correlation_id") ? fields_.text("correlation_id") : "no-correlation";
    paint_.gap();
    paint_.put(text_ ? id : "[" + id + "]", kDim);
  }

  Painter paint_;
  std::string_view line_;
  PrettyFields fields_;
  std::optional<Stream> stream_;
  const bool text_;
};

void append_line(std::string& out, std::string_view line, PrettyLine::Form form) {
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  const size_t begin = out.size();
  if (const size_t first = line.find_first_not_of(" \t"); first == line.npos || line[first] != '{') {
    json::append_terminal_safe(out, line);
  } else {
    PrettyLine(out, line, form).render();
  }
  while (out.size() > begin && out.back() == ' ') out.pop_back();
  out += '\n';
}

}  // namespace

void append_pretty(std::string& out, std::string_view line, bool colour) {
  append_line(out, line, colour ? PrettyLine::Form::coloured_screen : PrettyLine::Form::screen);
}

void append_text(std::string& out, std::string_view line) { append_line(out, line, PrettyLine::Form::text); }

}  // namespace weir
