#include "agent/cli/text_level.h"

#include <algorithm>
#include <array>
#include <ctime>

namespace weir::cli {
namespace {

constexpr size_t kHeadBytes = 256;  ///< of a line are looked at
constexpr int kTokensMax = 12;

struct LevelWord {
  std::string_view word, level;
  bool capitals_only = false;  ///< abbreviations, and words that are too common otherwise
};
constexpr LevelWord kLevelWords[] = {
    {"trace", "trace"},        {"debug", "debug"},     {"info", "info"},        {"information", "info"},
    {"notice", "info"},        {"warn", "warn"},       {"warning", "warn"},     {"error", "error"},
    {"err", "error"},          {"fatal", "fatal"},     {"critical", "fatal"},   {"crit", "fatal"},
    {"alert", "fatal"},        {"emerg", "fatal"},     {"emergency", "fatal"},  {"panic", "fatal"},
    {"severe", "error", true}, {"trc", "trace", true}, {"dbg", "debug", true},  {"debu", "debug", true},
    {"inf", "info", true},     {"wrn", "warn", true},  {"erro", "error", true}, {"ftl", "fatal", true},
    {"fata", "fatal", true},   {"pani", "fatal", true}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_letter(char c) { return is_upper(c) || (c >= 'a' && c <= 'z'); }
bool is_space(char c) { return c == ' ' || c == '\t'; }
bool one_of(char c, std::string_view set) { return set.find(c) != set.npos; }

bool equal_small(std::string_view text, std::string_view small) {
  if (text.size() != small.size()) return false;
  for (size_t i = 0; i < text.size(); ++i)
    if ((is_upper(text[i]) ? char(text[i] | 0x20) : text[i]) != small[i]) return false;
  return true;
}

std::string_view level_of(std::string_view word) {
  if (word.size() < 3 || word.size() > 11) return {};
  const bool capitals = std::ranges::all_of(word, is_upper);
  for (const LevelWord& w : kLevelWords)
    if ((capitals || !w.capitals_only) && equal_small(word, w.word)) return w.level;
  return {};
}

std::string_view leading_letters(std::string_view text) {
  return text.substr(0, size_t(std::ranges::find_if_not(text, is_letter) - text.begin()));
}

void skip_space(std::string_view& text) {
  text.remove_prefix(size_t(std::ranges::find_if_not(text, is_space) - text.begin()));
}

/// The beginning of the line without the escape sequences of terminals (ESC [ ... letter). `head` is its
/// room.
std::string_view head_without_colours(std::string_view line, std::array<char, kHeadBytes>& head) {
  const std::string_view begin = line.substr(0, kHeadBytes);
  if (begin.find('\x1b') == begin.npos) return begin;
  size_t size = 0;
  for (size_t i = 0; i < line.size() && size < head.size(); ++i) {
    if (line[i] == '\x1b' && i + 1 < line.size() && line[i + 1] == '[') {
      i += 2;
      while (i < line.size() && (line[i] < '@' || line[i] > '~')) ++i;
    } else {
      head[size++] = line[i];
    }
  }
  return {head.data(), size};
}

// --- forms that are known by how the line begins ---

/// `<3>` of the kernel and of systemd, `<34>` of syslog: the lower three bits are the severity.
std::string_view syslog_level(std::string_view text) {
  const size_t end = text.find('>');
  if (!text.starts_with('<') || end == text.npos || end < 2 || end > 4) return {};
  int number = 0;
  for (char c : text.substr(1, end - 1)) {
    if (!is_digit(c)) return {};
    number = number * 10 + (c - '0');
  }
  constexpr std::string_view kSeverities[] = {"fatal", "fatal", "fatal", "error",
                                              "warn",  "info",  "info",  "debug"};
  return number > 191 ? std::string_view() : kSeverities[number & 7];
}

std::string_view level_of_letter(char letter) {
  switch (letter) {
    case 'D':
      return "debug";
    case 'I':
      return "info";
    case 'W':
      return "warn";
    case 'E':
      return "error";
    case 'F':
      return "fatal";
  }
  return {};
}

/// `W0101 12:00:00.5 7 a.go:1] ...` of glog; `W, [2026-...` of Ruby's Logger.
std::string_view letter_level(std::string_view text) {
  const auto digits = [&](size_t from, size_t count) {
    return text.size() >= from + count && std::ranges::all_of(text.substr(from, count), is_digit);
  };
  const bool glog = text.size() > 9 && digits(1, 4) && text[5] == ' ' && digits(6, 2) && text[8] == ':';
  const bool ruby = text.size() > 4 && text.substr(1, 3) == ", [" && is_digit(text[4]);
  return glog || ruby ? level_of_letter(text[0]) : std::string_view();
}

std::string_view level_of_beginning(std::string_view text) {
  struct Beginning {
    std::string_view text, level;
  };
  constexpr Beginning kBeginnings[] = {{"Traceback (most recent call last)", "error"},
                                       {"Exception in thread ", "error"},
                                       {"Unhandled exception", "error"},
                                       {"fatal error: ", "fatal"}};
  for (const Beginning& b : kBeginnings)
    if (text.starts_with(b.text)) return b.level;
  if (text.starts_with("thread '") && text.find("' panicked at ") != text.npos) return "fatal";  // Rust
  const std::string_view type = text.substr(0, text.find(':'));
  const bool thrown = type.ends_with("Exception") || (type.size() > 5 && type.ends_with("Error"));
  if (thrown && is_exception_line(text)) return "error";
  if (const std::string_view level = syslog_level(text); !level.empty()) return level;
  return letter_level(text);
}

// --- a word among the tokens at the beginning ---

bool is_separator(std::string_view token) {
  return token.find_first_not_of("-|*[:") == token.npos || token == "\xe2\x80\x94";
}

/// A date, a time, a zone, a number: digits and what stands between them, or the name of a day or month.
bool is_time_or_number(std::string_view token) {
  while (!token.empty() && one_of(token.front(), "[(+")) token.remove_prefix(1);
  while (!token.empty() && one_of(token.back(), "])},:;")) token.remove_suffix(1);
  if (token.empty()) return false;
  if (is_letter(token[0])) {
    constexpr std::string_view kNames[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Jan",
                                           "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep",
                                           "Oct", "Nov", "Dec", "UTC", "GMT", "AM",  "PM"};
    return std::ranges::find(kNames, token) != std::end(kNames);
  }
  return is_digit(token[0]) &&
         std::ranges::all_of(token, [](char c) { return is_digit(c) || one_of(c, ":./,-+TZtz"); });
}

bool is_time_of_day(std::string_view token) {
  for (size_t colon = token.find(':'); colon != token.npos; colon = token.find(':', colon + 1))
    if (colon >= 1 && colon + 2 < token.size() && is_digit(token[colon - 1]) && is_digit(token[colon + 1]) &&
        is_digit(token[colon + 2]))
      return true;
  return false;
}

std::string_view first_token(std::string_view text) {
  return text.substr(0, size_t(std::ranges::find_if(text, is_space) - text.begin()));
}

std::string_view next_token(std::string_view rest) {
  skip_space(rest);
  return first_token(rest);
}

/// Goes through the tokens that may stand before a level.
class TokenWalk {
 public:
  explicit TokenWalk(std::string_view text) : rest_(text) {}

  std::string_view level() {
    for (int n = 0; n < kTokensMax; ++n) {
      skip_space(rest_);
      token_ = first_token(rest_);
      if (token_.empty()) return {};
      first_ = n == 0;
      if (is_pair()) {
        if (const std::string_view level = take_pair(); !level.empty()) return level;
        continue;
      }
      rest_.remove_prefix(token_.size());
      if (const std::string_view level = judge(); !level.empty()) return level;
      if (!skip()) return {};
    }
    return {};
  }

 private:
  /// `key=...` with a plain key
  bool is_pair() const {
    const size_t sign = token_.find('=');
    return sign != token_.npos && sign > 0 && std::ranges::all_of(token_.substr(0, sign), [](char c) {
             return is_letter(c) || is_digit(c) || one_of(c, "._-@");
           });
  }

  /// Steps over the pair; the level when it is one.
  std::string_view take_pair() {
    const size_t sign = token_.find('=');
    const std::string_view key = token_.substr(0, sign);
    rest_.remove_prefix(sign + 1);
    std::string_view value = token_.substr(sign + 1);
    if (rest_.starts_with('"')) {
      size_t end = 1;
      while (end < rest_.size() && rest_[end] != '"') end += rest_[end] == '\\' ? 2 : 1;
      end = std::min(end, rest_.size());
      value = rest_.substr(1, end - 1);
      rest_.remove_prefix(std::min(end + 1, rest_.size()));
    } else {
      rest_.remove_prefix(value.size());
    }
    for (std::string_view name : {"level", "lvl", "severity", "loglevel", "log.level"})
      if (equal_small(key, name)) return level_of(leading_letters(value));
    after_pairs_ = true;
    return {};
  }

  /// Is the token a level, standing where levels stand?
  std::string_view judge() const {
    std::string_view inner = token_;
    char lead = 0;
    while (!inner.empty() && one_of(inner.front(), "[(<|*\"'")) lead = inner.front(), inner.remove_prefix(1);
    std::string_view word = leading_letters(inner);
    std::string_view level = level_of(word);
    if (level.empty()) {  // [core:error] of Apache
      const size_t colon = inner.rfind(':');
      if (lead != '[' || colon == inner.npos || !inner.ends_with(']')) return {};
      return level_of(inner.substr(colon + 1, inner.size() - colon - 2));
    }
    const bool capitals = std::ranges::all_of(word, is_upper);
    const char after = word.size() < inner.size() ? inner[word.size()] : '\0';
    const std::string_view next = next_token(rest_);
    const bool separator_follows = !next.empty() && is_separator(next);
    switch (after) {
      case ':':
        return level;
      case '\0':
        if (one_of(lead, "[(<")) return capitals || one_of(next.empty() ? ' ' : next[0], "])>") ? level : "";
        if (capitals) return placed_ || first_ ? level : "";
        return time_ || ((after_separator_ || first_) && separator_follows) ? level : "";
      case ']':
      case ')':
      case '>':
        return lead != 0 || capitals || time_ ? level : "";
      case '[':
        return capitals || first_ ? level : "";
      case '|':
      case '/':
      case '!':
      case ',':
        return capitals || lead == '|' ? level : "";
    }
    return {};
  }

  /// May the token stand before a level? Keeps what it tells about the place behind it.
  bool skip() {
    const bool separator = is_separator(token_);
    if (separator) {
      after_separator_ = placed_ = true;
      time_ = false;
      return true;
    }
    after_separator_ = false;
    if (is_time_or_number(token_)) {
      time_ = time_ || is_time_of_day(token_);
      placed_ = time_ || after_pairs_;
      return true;
    }
    if (one_of(token_.front(), "[(")) return skip_brackets();
    const bool was_time = time_;
    time_ = false;
    placed_ = placed_ || was_time;
    if (token_.ends_with(':')) return placed_ = true;  // a program, a file, a tag of syslog
    // A host or logger, told from a sentence by what it looks like or by what follows it.
    const std::string_view next = next_token(rest_);
    const bool name = token_.find_first_of("._0123456789") != token_.npos && !token_.ends_with('.');
    return placed_ && (name || next.ends_with(':') || (!next.empty() && is_separator(next)));
  }

  /// `[main]`, `[pid 7]`
  bool skip_brackets() {
    const char close = token_.front() == '[' ? ']' : ')';
    if (token_.find(close) == token_.npos) {
      const size_t end = rest_.find(close);
      if (end == rest_.npos) return false;
      rest_.remove_prefix(end + 1);
    }
    return placed_ = true;
  }

  std::string_view rest_, token_;
  bool first_ = true;
  bool time_ = false;    ///< a time of day stands before, with nothing but numbers and brackets since
  bool placed_ = false;  ///< what stands before is no sentence
  bool after_separator_ = false;  ///< directly
  bool after_pairs_ = false;
};

/// `count` digits at `at` as a number; -1 when they are not.
int digits(std::string_view text, size_t at, size_t count) {
  if (at + count > text.size()) return -1;
  int out = 0;
  for (char c : text.substr(at, count)) {
    if (!is_digit(c)) return -1;
    out = out * 10 + (c - '0');
  }
  return out;
}

/// Takes `Z`, `+01:00` or `-01:00` from the front: seconds east of UTC.
std::optional<int64_t> take_zone(std::string_view& text) {
  if (text.starts_with('Z') || text.starts_with('z')) {
    text.remove_prefix(1);
    return 0;
  }
  if (text.size() < 6 || !one_of(text[0], "+-") || text[3] != ':') return std::nullopt;
  const int hours = digits(text, 1, 2), minutes = digits(text, 4, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return std::nullopt;
  const int64_t seconds = (text[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
  text.remove_prefix(6);
  return seconds;
}

}  // namespace

std::string_view guess_level(std::string_view line) {
  std::array<char, kHeadBytes> room;
  std::string_view text = head_without_colours(line, room);
  skip_space(text);
  if (const std::string_view level = level_of_beginning(text); !level.empty()) return level;
  return TokenWalk(text).level();
}

bool begins_with_level(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == text.npos) return false;
  text.remove_prefix(first);
  const size_t end = std::min(text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), text.size());
  const bool ends_there = end == text.size() || one_of(text[end], " :]|");
  return ends_there && !level_of(text.substr(0, end)).empty();
}

std::optional<int64_t> leading_time(std::string_view text) {
  if (text.starts_with('[')) text.remove_prefix(1);
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || !one_of(text[10], "Tt ") || text[13] != ':' ||
      text[16] != ':')
    return std::nullopt;
  tm parts{};
  parts.tm_year = digits(text, 0, 4) - 1900;
  parts.tm_mon = digits(text, 5, 2) - 1;
  parts.tm_mday = digits(text, 8, 2);
  parts.tm_hour = digits(text, 11, 2);
  parts.tm_min = digits(text, 14, 2);
  parts.tm_sec = digits(text, 17, 2);
  if (parts.tm_year < 70 || parts.tm_year > 361 || parts.tm_mon < 0 || parts.tm_mon > 11 ||
      parts.tm_mday < 1 || parts.tm_hour < 0 || parts.tm_hour > 23 || parts.tm_min < 0 || parts.tm_min > 59 ||
      parts.tm_sec < 0 || parts.tm_sec > 59)
    return std::nullopt;  // years from 2262 on do not all fit in nanoseconds
  const int day = parts.tm_mday;
  int64_t ns = int64_t(timegm(&parts)) * 1'000'000'000;
  if (parts.tm_mday != day) return std::nullopt;  // the 30th of February
  text.remove_prefix(19);
  if (text.starts_with('.') || text.starts_with(',')) {
    size_t n = 1;
    for (int64_t unit = 100'000'000; n < text.size() && is_digit(text[n]); ++n, unit /= 10)
      ns += (text[n] - '0') * unit;
    if (n == 1 || n > 10) return std::nullopt;
    text.remove_prefix(n);
  }
  const std::optional<int64_t> zone = take_zone(text);
  if (!zone || !(text.empty() || one_of(text[0], " \t]:|"))) return std::nullopt;
  ns -= *zone * 1'000'000'000;
  if (ns < 0) return std::nullopt;  // before 1970, in a zone east of Greenwich
  return ns;
}

bool is_exception_line(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  const std::string_view type = line.substr(0, line.find(':'));
  if (type.empty() || !(is_letter(type[0]) || type[0] == '_')) return false;
  if (!std::ranges::all_of(type, [](char c) { return is_letter(c) || is_digit(c) || one_of(c, "._$"); }))
    return false;
  return type.size() == line.size() || type.size() + 1 == line.size() || line[type.size() + 1] == ' ';
}

}  // namespace weir::cli
