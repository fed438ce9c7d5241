#include "agent/cli/text_records.h"

#include <algorithm>

#include "agent/cli/text_level.h"
#include "agent/core/check.h"
#include "agent/core/clock.h"
#include "agent/core/json.h"
#include "agent/ingest/control_line.h"

namespace weir::cli {
namespace {

constexpr size_t kReadablePadding = 64;   ///< what the decoder may look at behind its text
constexpr size_t kMessageBytesMin = 256;  ///< of room in a record, however small the agent's limit
constexpr std::string_view kEnd = "\"}";
constexpr std::string_view kTraceback = "Traceback (most recent call last):";
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

bool blank(std::string_view text) { return text.find_first_not_of(" \t\r") == text.npos; }

/// The length of the character at `at`; negative: so many bytes there are no UTF-8 (RFC 3629).
int character_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t k) { return at + k < text.size() ? uint8_t(text[at + k]) : uint8_t(0); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return -1;
  const int length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  const uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (byte(1) < low || byte(1) > high) return -1;
  for (int k = 2; k < length; ++k)
    if ((byte(size_t(k)) & 0xC0) != 0x80) return -k;
  return length;
}

/// What stands for the byte in a JSON string; empty where it stands for itself. `room` is for the answer.
std::string_view escape(uint8_t byte, char (&room)[6]) {
  constexpr char kHex[] = "0123456789abcdef";
  switch (byte) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\t':
      return "\\t";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
  }
  if (byte >= 0x20) return {};
  room[0] = '\\', room[1] = 'u', room[2] = room[3] = '0';
  room[4] = kHex[byte >> 4], room[5] = kHex[byte & 15];
  return {room, 6};
}

/// `main.work(0x1, ...)`, as a panic of Go names its functions.
bool is_go_frame(std::string_view text) {
  const size_t open = text.find('(');
  return open != text.npos && open > 0 && text.ends_with(')') && text.find(' ') >= open &&
         text.substr(0, open).find('.') != text.npos;
}

bool continues_panic(std::string_view text) {
  return text.starts_with('\t') || text.starts_with("goroutine ") || text.starts_with("created by ") ||
         text.starts_with("[signal ") || text.starts_with("panic(") || is_go_frame(text);
}

bool announces_traceback(std::string_view text) {
  return text == "During handling of the above exception, another exception occurred:" ||
         text == "The above exception was the direct cause of the following exception:";
}

/// `... 12 more`, indented by nobody.
bool is_more_line(std::string_view text) { return text.starts_with("... ") && text.ends_with(" more"); }

}  // namespace

size_t append_message(std::string& out, std::string_view text, size_t size_max) {
  WEIR_CHECK(out.size() <= size_max);
  size_t begin = 0, i = 0;  // [begin, i) stands for itself and is not in `out` yet
  const auto append_run = [&] {
    size_t run = std::min(i - begin, size_max - out.size());
    if (run < i - begin)
      while (run > 0 && (text[begin + run] & 0xC0) == 0x80) --run;
    out.append(text, begin, run);
    begin += run;
    return begin == i;
  };
  while (i < text.size()) {
    const auto c = uint8_t(text[i]);
    if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
      ++i;
      continue;
    }
    const int length = character_at(text, i);
    if (length > 1) {
      i += size_t(length);
      continue;
    }
    if (!append_run()) return begin;
    char room[6];
    const std::string_view stands_for = length < 0 ? kReplacement : escape(c, room);
    if (out.size() + std::max<size_t>(stands_for.size(), 1) > size_max) return begin;
    if (stands_for.empty()) out += char(c);
    out += stands_for;
    i += size_t(length < 0 ? -length : 1);
    begin = i;
  }
  append_run();
  return begin;
}

TextRecords::TextRecords(std::string_view service, Output output) : output_(std::move(output)) {
  if (service.empty()) return;
  service_member_ = "\"service\":\"";
  append_message(service_member_, service, SIZE_MAX);
  service_member_ += '"';
}

void TextRecords::take(const InputLine& line, int64_t wall_ns) {
  std::string_view text = line.text;
  if (!line.goes_on && text.ends_with('\r')) text.remove_suffix(1);
  if (line.continues) {
    append_split(line, text);
  } else if (blank(text) && !line.goes_on) {
    if (open_ && (fold_ == Fold::panic || fold_ == Fold::traceback_end))
      ++blank_lines_;
    else
      flush();
  } else if (open_ && continues(text)) {
    append_line(line, text);
  } else {
    flush();
    if (!take_object(line)) begin(line, text, wall_ns);
  }
}

void TextRecords::flush() {
  if (!open_) return;
  record_ += kEnd;
  origin_.json = record_;
  open_ = false;
  blank_lines_ = 0;
  output_(origin_);
}

/// An object that the agent takes; one that it would refuse or obey goes as text, so that nothing is lost.
bool TextRecords::take_object(const InputLine& line) {
  std::string_view text = line.text;
  const size_t first = text.find_first_not_of(" \t");
  if (line.goes_on || first == text.npos || text[first] != '{' || is_control_line(text)) return false;
  text = text.substr(0, text.find_last_not_of(" \t\r") + 1);
  padded_.assign(text).append(kReadablePadding, '\0');
  text = std::string_view(padded_).substr(0, text.size());
  if (decoder_.decode(text, Stream::log, fields_)) return false;
  const bool add_stream = !fields_.sent(Field::stream);
  if (!add_stream && !fields_.has(Field::stream)) return false;  // null: there can be no second one
  const bool add_service = !service_member_.empty() && !fields_.sent(Field::service);
  padded_.resize(text.size());
  if (add_stream || add_service) {
    padded_.pop_back();
    const char* comma = fields_.member_count > 0 ? "," : "";
    if (add_stream) padded_.append(comma).append("\"stream\":\"log\""), comma = ",";
    if (add_service) padded_.append(comma).append(service_member_);
    padded_ += '}';
  }
  if (fields_.member_count + unsigned(add_stream) + unsigned(add_service) > kObjectKeysMax) return false;
  if (padded_.size() > record_bytes_max_) return false;
  output_({padded_, line.file, line.line, 1});
  return true;
}

bool TextRecords::continues(std::string_view text) {
  switch (fold_) {
    case Fold::panic:
      return continues_panic(text);
    case Fold::traceback:
    case Fold::traceback_end:
      return continues_traceback(text);
    case Fold::lines:
      break;
  }
  if (text.starts_with(' ') || text.starts_with('\t')) {
    // log4j's `%5p` aligns levels to the right.
    if (begins_with_level(text)) return false;
    return indented_ = true;
  }
  if (text == kTraceback && (level_ == "error" || level_ == "fatal")) {
    fold_ = Fold::traceback;
    return true;
  }
  if (text.starts_with("Caused by: ") || is_more_line(text)) return true;
  return indented_ && text.find_first_not_of(")]},;") == text.npos;
}

bool TextRecords::continues_traceback(std::string_view text) {
  if (fold_ == Fold::traceback) {
    if (text.starts_with(' ') || text.starts_with('\t')) return true;
    fold_ = Fold::traceback_end;
    return is_exception_line(text);
  }
  if (chained_ && text == kTraceback) {
    chained_ = false;
    fold_ = Fold::traceback;
    return true;
  }
  if (announces_traceback(text)) return chained_ = true;
  return blank_lines_ == 0 && (text.starts_with(' ') || text.starts_with('\t'));
}

void TextRecords::begin(const InputLine& line, std::string_view text, int64_t wall_ns) {
  level_ = guess_level(text);
  time_ns_ = leading_time(text).value_or(wall_ns);
  fold_ = text == kTraceback ? Fold::traceback
          : text.starts_with("panic: ") || text.starts_with("fatal error: ") ||
                  (text.starts_with("goroutine ") && text.ends_with("]:"))
              ? Fold::panic
              : Fold::lines;
  indented_ = text.starts_with(' ') || text.starts_with('\t');
  chained_ = false;
  begin_record(line);
  append_split(line, text);
}

void TextRecords::begin_record(const InputLine& line) {
  record_ = R"({"stream":"log","ts":")";
  if (time_ns_ != formatted_ns_) format_rfc3339(formatted_, formatted_ns_ = time_ns_);
  record_.append(formatted_, sizeof formatted_).append("\",");
  if (!level_.empty()) record_.append("\"level\":\"").append(level_).append("\",");
  if (!service_member_.empty()) record_.append(service_member_).append(",");
  record_ += R"("message":")";
  message_end_max_ = std::max<uint64_t>(record_bytes_max_, record_.size() + kMessageBytesMin) - kEnd.size();
  origin_ = {{}, line.file, line.line, 1};
  open_ = true;
  blank_lines_ = 0;
}

/// A line that continues the open record; where it does not fit, the record ends and it begins the next.
void TextRecords::append_line(const InputLine& line, std::string_view text) {
  const size_t before = record_.size();
  const bool blanks_fit = before + 2 * (blank_lines_ + 1) <= message_end_max_;
  if (blanks_fit) {
    for (size_t n = 0; n <= blank_lines_; ++n) record_ += "\\n";
    if (append_message(record_, text, message_end_max_) == text.size()) {
      blank_lines_ = 0;
      ++origin_.lines;
      return;
    }
  }
  record_.resize(before);
  flush();
  begin_record(line);
  append_split(line, text);
}

/// Text that goes on in the open record without a line feed, and in as many further ones as it takes. They
/// have the level and the time of the first.
void TextRecords::append_split(const InputLine& line, std::string_view text) {
  if (!open_) begin_record(line);  // the input was quiet in the middle of a line
  for (;;) {
    text.remove_prefix(append_message(record_, text, message_end_max_));
    if (text.empty()) return;
    flush();
    begin_record(line);
  }
}

}  // namespace weir::cli
