#include <array>
#include <charconv>
#include <string>

#include "agent/core/json.h"
#include "agent/process/expression.h"

namespace weir {
namespace {

struct LevelWord {
  std::string_view word;
  int severity;
};
constexpr std::array<LevelWord, 15> kLevelWords{{{"trace", 1},
                                                 {"debug", 5},
                                                 {"info", 9},
                                                 {"information", 9},
                                                 {"notice", 9},
                                                 {"warn", 13},
                                                 {"warning", 13},
                                                 {"error", 17},
                                                 {"err", 17},
                                                 {"fatal", 21},
                                                 {"critical", 21},
                                                 {"crit", 21},
                                                 {"alert", 21},
                                                 {"emerg", 21},
                                                 {"panic", 21}}};

bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if ((c >= 'A' && c <= 'Z' ? char(c | 0x20) : c) != lower[i]) return false;
  }
  return true;
}

/// Below 8 the numbers of syslog, where 0 is the worst; from 8 those of OpenTelemetry, four to a level.
int severity_of_number(std::string_view text) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number > 24) return 0;
  const std::string_view rest(end, size_t(text.data() + text.size() - end));
  if (!rest.empty() && (rest.size() < 2 || rest[0] != '.' || rest.find_first_not_of('0', 1) != rest.npos))
    return 0;
  constexpr int kSyslog[] = {21, 21, 21, 17, 13, 9, 9, 5};
  return number < 8 ? kSyslog[number] : 1 + 4 * int((number - 1) / 4);
}

}  // namespace

int level_severity(std::string_view raw) {
  if (raw.empty()) return 0;
  if (raw.front() != '"') return raw.front() >= '0' && raw.front() <= '9' ? severity_of_number(raw) : 0;
  std::string_view text = raw.substr(1, raw.size() - 2);
  thread_local std::string decoded;
  if (text.find('\\') != text.npos) {
    decoded.clear();
    json::decode_string(raw, decoded);
    text = decoded;
  }
  if (text.empty()) return 0;
  if (text.front() >= '0' && text.front() <= '9') return severity_of_number(text);
  for (const LevelWord& level : kLevelWords) {
    if (equals_ignoring_case(text, level.word)) return level.severity;
  }
  return 0;
}

}  // namespace weir
