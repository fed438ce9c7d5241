#include "tests/fuzz/record_mutator.h"

#include <algorithm>
#include <cstring>

namespace weir::test {
namespace {

using namespace std::literals;

constexpr std::string_view kBare[] = {"0",
                                      "-0",
                                      "1",
                                      "7",
                                      "42",
                                      "-17",
                                      "1.5",
                                      "0.25",
                                      "-0.5",
                                      "12.50",
                                      "1e5",
                                      "1E+2",
                                      "1e-400",
                                      "1e400",
                                      "null",
                                      "true",
                                      "false",
                                      "1.0",
                                      "9007199254740993",
                                      "123456789012345678901234567890",
                                      "1234567890.0987654321",
                                      "0.1234567890123456",
                                      "999999999999999",
                                      "1234567890123456",
                                      "01",
                                      "1.",
                                      "-",
                                      ".5",
                                      "+1",
                                      "nul",
                                      "NaN",
                                      "1e",
                                      "truee"};
constexpr std::string_view kTexts[] = {
    R"("")",
    R"("x")",
    R"("log")",
    R"("trace")",
    R"("metric")",
    R"("nope")",
    R"("\"")",
    R"("\\")",
    R"("\u0061")",
    R"("\ud83d\ude00")",
    R"("\ud800")",
    R"("\udc00\ud800")",
    R"("\n\/\b")",
    "\"\u00e9\"",
    "\"\u4e2d\u6587 \U0001F600\"",
    "\"\xED\xA0\x80\"",
    "\"\xC0\x80\"",
    "\"\xF4\x90\x80\x80\"",
    "\"\xE2\x82\"",
    "\"a\tb\"",
    "\"\\x\"",
    "\"}{][,:\"",
    R"("a text that is cut because it is rather long, and then some more")"};
constexpr std::string_view kKeys[] = {
    R"("stream")",      R"("trace_id")",
    R"("ctx_id")",      R"("line_no")",
    R"("duration_ms")", R"("ctx_before")",
    R"("ctx_after")",   R"("ctx_diff")",
    R"("ctx")",         R"("ctx_set")",
    R"("ctx_unset")",   R"("ctx_reset")",
    R"("msg_in")",      R"("msg_out")",
    R"("value")",       R"("identity")",
    R"("hash")",        R"("id")",
    R"("ts")",          R"("level")",
    R"("order_id")",    R"("a")",
    R"("b")",           R"("a.b")",
    R"("d")",           R"("y")",
    R"("note")",        R"("")",
    R"("\u0061")",      R"("attributes")",
    R"("error")",       R"("a key of more than thirty-two bytes, which is long")"};
constexpr std::string_view kValues[] = {"{}",
                                        "[]",
                                        R"({"a":1})",
                                        R"([1,"x"])",
                                        R"({"a":{"b":"x","c":[]}})",
                                        R"([{"type_name":"T","value":{"id":7}}])",
                                        R"({"order_id":1,"d":{"y":2}})"};
constexpr auto kBytes =
    "\"\\{}[]:,0123456789.eE+-tfn \t\r\0\x1f\x7f\x80\xC3\xA9\xE2\x82\xED\xA0\xF0\x9F\xFFu/"sv;

bool is_bare(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '+' ||
         c == '.';
}

std::vector<std::string> split(const std::string& lines) {
  std::vector<std::string> out;
  for (size_t begin = 0; begin < lines.size();) {
    const size_t end = std::min(lines.find('\n', begin), lines.size());
    out.push_back(lines.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

}  // namespace

std::vector<RecordMutator::Token> RecordMutator::tokens_of(std::string_view line) {
  std::vector<Token> out;
  for (size_t i = 0; i < line.size();) {
    const size_t begin = i;
    if (line[i] == '"') {
      for (++i; i < line.size() && line[i] != '"'; ++i) i += line[i] == '\\';
      i = std::min(i + 1, line.size());
      size_t behind = i;
      while (behind < line.size() && line[behind] == ' ') ++behind;
      out.push_back({begin, i, true, behind < line.size() && line[behind] == ':'});
    } else if (is_bare(line[i])) {
      while (i < line.size() && is_bare(line[i])) ++i;
      out.push_back({begin, i, false, false});
    } else {
      ++i;
    }
  }
  return out;
}

std::string RecordMutator::mutated_text(std::string_view text) {
  std::string out(text);
  for (size_t n = 1 + below(3); n > 0; --n) {
    const size_t at = out.size() < 2 ? 0 : 1 + below(out.size() - 1);
    switch (below(4)) {
      case 0:
        out.insert(at, 1, kBytes[below(kBytes.size())]);
        break;
      case 1:
        out.insert(at, 1 + below(40), char('a' + below(26)));
        break;
      case 2:
        if (out.size() > 2) out.erase(at, 1 + below(out.size() - at));
        break;
      default:
        if (!out.empty()) out[std::min(at, out.size() - 1)] = kBytes[below(kBytes.size())];
    }
  }
  return out;
}

/// Mostly of the same kind, so that the shape stays.
std::string RecordMutator::value_like(const Token& token, std::string_view line, const std::string& other) {
  const bool text = one_in(16) ? !token.text : token.text;
  switch (below(6)) {
    case 0:
      return mutated_text(token.of(line));
    case 1:
    case 2:
      for (const std::vector<Token> tokens = tokens_of(other); !tokens.empty();) {
        const Token& t = tokens[below(tokens.size())];
        if (t.text == text) return std::string(t.of(other));
        break;
      }
      [[fallthrough]];
    default:
      return std::string(text ? kTexts[below(std::size(kTexts))] : kBare[below(std::size(kBare))]);
  }
}

void RecordMutator::change_values(std::string& line, const std::string& other) {
  for (size_t n = 1 + below(4); n > 0; --n) {
    std::vector<Token> tokens = tokens_of(line);
    std::erase_if(tokens, [](const Token& t) { return t.key; });
    if (tokens.empty()) return;
    const Token t = tokens[below(tokens.size())];
    line.replace(t.begin, t.end - t.begin, value_like(t, line, other));
  }
}

void RecordMutator::change_structure(std::string& line) {
  const std::vector<Token> tokens = tokens_of(line);
  if (tokens.empty()) return;
  const Token t = tokens[below(tokens.size())];
  const std::string key(kKeys[below(std::size(kKeys))]);
  switch (below(7)) {
    case 0:
      if (t.key) line.replace(t.begin, t.end - t.begin, key);
      break;
    case 1:
      if (t.key) line.insert(t.begin, key + ":" + std::string(kValues[below(std::size(kValues))]) + ",");
      break;
    case 2:
      if (t.key) line.insert(t.begin, key + ":" + std::string(kBare[below(std::size(kBare))]) + ",");
      break;
    case 3:
      if (!t.key) line.replace(t.begin, t.end - t.begin, kValues[below(std::size(kValues))]);
      break;
    case 4:
      line.insert(below(line.size() + 1), 1, "{}[],:\" "[below(8)]);
      break;
    case 5:
      line.erase(below(line.size()), 1 + below(4));
      break;
    default:
      line.resize(below(line.size() + 1));
  }
}

void RecordMutator::mutate(std::string& lines) {
  std::vector<std::string> all = split(lines);
  if (all.empty()) all.emplace_back("{}");
  for (size_t n = 1 + below(3); n > 0; --n) {
    const size_t at = below(all.size());
    const std::string other = all[below(all.size())];
    switch (below(8)) {
      case 0:
      case 1:
      case 2: {
        std::string variant = all[at];
        change_values(variant, other);
        all.insert(all.begin() + ptrdiff_t(at) + 1, std::move(variant));
        break;
      }
      case 3:
        change_values(all[at], other);
        break;
      case 4:
        change_structure(all[at]);
        break;
      case 5:
        all.insert(all.begin() + ptrdiff_t(below(all.size() + 1)), all[at]);
        break;
      case 6:
        if (all.size() > 1) all.erase(all.begin() + ptrdiff_t(at));
        break;
      default:
        std::swap(all[at], all[below(all.size())]);
    }
  }
  lines.clear();
  for (const std::string& line : all) lines += line + "\n";
}

}  // namespace weir::test
