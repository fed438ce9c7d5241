// Sections 7 to 9: strings, keys and limits.
#include "agent/core/json.h"
#include "tests/unit/decode/rfc8259.h"

using namespace weir;
using namespace weir::rfc8259;
using namespace std::literals;

TEST_CASE("RFC 8259, 7: strings and their escapes") {
  std::vector<Case> cases;
  for (int c = 0; c < 0x80; ++c) {
    const std::string byte(1, char(c));
    if (c < 0x20) {
      cases.push_back(refused(in_quotes(byte), 1));
      cases.push_back(refused(in_quotes("a text of more than sixteen bytes" + byte), 34));
    } else if (c != '"' && c != '\\') {
      cases.push_back({in_quotes(byte)});
    }
    const bool escape = c != 0 && "\"\\/bfnrt"sv.find(char(c)) != std::string_view::npos;
    if (escape)
      cases.push_back({in_quotes("\\" + byte)});
    else if (c != 'u')
      cases.push_back(refused(in_quotes("\\" + byte + "0041"), 1));
  }
  for (std::string_view high : {"\u00e9", "\U0001F600"})
    cases.push_back(refused(in_quotes("\\" + std::string(high)), 1));
  for (std::string_view digits :
       {"0000", "0041", "00e9", "00E9", "d7ff", "D7FF", "e000", "fffe", "FFFF", "aBcD", "007f"})
    cases.push_back({in_quotes("\\u" + std::string(digits))});
  for (size_t at = 0; at < 4; ++at) {
    constexpr std::string_view kOthers[] = {"g", "G", "/",  ":",  "@",    "`",      " ", "-",
                                            "+", "x", "\\", "\n", "\0"sv, "\u00e9", ""};
    for (std::string_view other : kOthers) {
      const std::string digits = "00e9"s.replace(at, other.empty() ? 4 : 1, other);
      cases.push_back(refused(in_quotes("\\u" + digits), 1));
    }
  }
  for (std::string_view other :
       {R"(\U0041)", R"(\x41)", R"(\0)", R"(\101)", R"(\u{41})", R"(\N)", R"(\')", R"(\ )"})
    cases.push_back(refused(in_quotes(other), 1));
  for (std::string_view other : {"'s'", "s\"", "`s`", "\\\"s\"", "\xE2\x80\x9Cs\xE2\x80\x9D"}) {
    std::vector<Case> no_string = {refused(std::string(other), 0)};
    check_strings(no_string);
  }
  for (size_t length : kLengths) {
    const std::string text = repeated(length, "x");
    for (std::string_view end :
         {"", R"(\\)", R"(\")", R"(\n)", R"(\u00e9)", R"(\\\")", R"(\\\\)", "\u00e9", "}", R"(,\":)"})
      cases.push_back({in_quotes(text + std::string(end))});
    cases.push_back(refused(in_quotes(text + "\\x"), length + 1));
    cases.push_back(refused(in_quotes(text + "\n"), length + 1));
    cases.push_back(refused(in_quotes(text + "\\\\\\q"), length + 3));
    cases.push_back(refused(in_quotes(text) + "\"\"", length + 2));
  }
  check_strings(cases);
}

TEST_CASE("RFC 8259, 7: what is escaped is what is meant") {
  for (std::string_view text :
       {R"("\"\\\/\b\f\n\r\t")", R"("\u0041\u00e9\u4e2d\uFFFF")", R"("\ud83d\ude00\uDBFF\uDFFF")",
        R"("\u0000\u001f\u007f")", "\"\u00e9\u4e2d\U0001F600\"", R"("")"}) {
    std::string decoded;
    json::decode_string(text, decoded);
    CHECK(decoded == nlohmann::json::parse(text).get<std::string>());
  }
}

TEST_CASE("RFC 8259, 8.2: surrogates come in pairs, high before low") {
  const auto is_high = [](int code) { return code >= 0xD800 && code < 0xDC00; };
  const auto is_low = [](int code) { return code >= 0xDC00 && code < 0xE000; };
  const auto escape = [](int code, const char* format) {
    char text[8];
    std::snprintf(text, sizeof text, format, unsigned(code));
    return std::string(text);
  };
  constexpr int kCodes[] = {0x41, 0xD7FF, 0xD800, 0xD83D, 0xDBFF, 0xDC00, 0xDE00, 0xDFFF, 0xE000};
  std::vector<Case> cases;
  for (const char* format : {"\\u%04x", "\\u%04X"}) {
    for (const int a : kCodes) {
      for (std::string_view behind : {"", "x", "\\n", "\\\\", "\\u", "u", "\u00e9", "\\\""}) {
        const std::string text = in_quotes(escape(a, format) + std::string(behind));
        if (is_high(a) || is_low(a))
          cases.push_back(bad_utf8(text, 1));
        else
          cases.push_back(behind == "\\u" ? refused(text, 7) : Case{text});
      }
      for (const int b : kCodes) {
        const std::string text = in_quotes(escape(a, format) + escape(b, format));
        const bool pair = is_high(a) && is_low(b);
        if (!pair && (is_high(a) || is_low(a)))
          cases.push_back(bad_utf8(text, 1));
        else if (!pair && (is_high(b) || is_low(b)))
          cases.push_back(bad_utf8(text, 7));
        else
          cases.push_back({text});
      }
    }
  }
  for (size_t length : kLengths) {
    const std::string text = repeated(length, "x");
    cases.push_back({in_quotes(text + R"(\ud83d\ude00)")});
    cases.push_back(bad_utf8(in_quotes(text + R"(\ud83d\ud83d\ude00)"), length + 1));
    cases.push_back(bad_utf8(in_quotes(text + R"(\ud83d\ude00\ude00)"), length + 13));
    cases.push_back(bad_utf8(in_quotes(text + R"(\ud83d\u12)"), length + 1));
  }
  check_strings(cases);
}

TEST_CASE("RFC 8259, 8.1: UTF-8 is well-formed or refused at the first byte of what is not") {
  std::vector<Case> cases;
  for (std::string_view good :
       {"\x7f", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xEC\xBF\xBF", "\xED\x80\x80", "\xED\x9F\xBF",
        "\xEE\x80\x80", "\xEF\xBB\xBF", "\xEF\xBF\xBE", "\xEF\xBF\xBF", "\xF0\x90\x80\x80",
        "\xF3\xBF\xBF\xBF", "\xF4\x80\x80\x80", "\xF4\x8F\xBF\xBF"})
    for (size_t length : kLengths) cases.push_back({in_quotes(repeated(length, "x") + std::string(good))});
  for (std::string_view bad : {"\x80",
                               "\xBF",
                               "\xC0\x80",
                               "\xC1\xBF",
                               "\xC2",
                               "\xC2x",
                               "\xC2\xC2\x80",
                               "\xE0\x80\x80",
                               "\xE0\x9F\xBF",
                               "\xE1\x80",
                               "\xE1\x80x",
                               "\xE1x\x80",
                               "\xED\xA0\x80",
                               "\xED\xAF\xBF",
                               "\xED\xB0\x80",
                               "\xED\xBF\xBF",
                               "\xED\xA0\xBD\xED\xB8\x80",
                               "\xF0\x80\x80\x80",
                               "\xF0\x8F\xBF\xBF",
                               "\xF0\x9F\x98",
                               "\xF0\x9F\x98x",
                               "\xF0\x9Fx\x80",
                               "\xF0x\x98\x80",
                               "\xF4\x90\x80\x80",
                               "\xF5\x80\x80\x80",
                               "\xF7\xBF\xBF\xBF",
                               "\xF8\x88\x80\x80\x80",
                               "\xFC\x84\x80\x80\x80\x80",
                               "\xFE",
                               "\xFF",
                               "\xFE\xFF",
                               "\xFF\xFE"})
    for (size_t length : {0u, 31u, 62u, 63u})
      cases.push_back(bad_utf8(in_quotes(repeated(length, "x") + std::string(bad)), length + 1));
  check_strings(cases);
  for (std::string_view outside : {"\xC3\xA9", "\xEF\xBB\xBF"})
    check_values({refused(std::string(outside) + "1", 0)});
  for (std::string_view outside : {"\xC3", "\xED\xA0\x80", "\xFF"})
    check_values({bad_utf8(std::string(outside) + "1", 0)});
  CHECK(verdict("\xEF\xBB\xBF{\"a\":1}") == "bad_json@0");
  CHECK(verdict("{\"a\":1}\xEF\xBB\xBF") == "bad_json@7");
}

TEST_CASE("RFC 8259, 8.1: all sequences of bytes at the bounds of UTF-8") {
  constexpr unsigned char kLeads[] = {0x7F, 0x80, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE,
                                      0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF7, 0xF8, 0xFB, 0xFE, 0xFF};
  constexpr unsigned char kOthers[] = {0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
  // By the definition: as many bytes as the lead says, no more than needed, no surrogate, up to 10FFFF.
  const auto first_bad = [](std::string_view text) -> size_t {
    for (size_t i = 0; i < text.size();) {
      const auto byte = [&](size_t n) {
        return n < text.size() ? uint32_t(static_cast<unsigned char>(text[n])) : 0;
      };
      const uint32_t lead = byte(i);
      const size_t more = lead < 0x80       ? 0
                          : lead >> 5 == 6  ? 1
                          : lead >> 4 == 14 ? 2
                          : lead >> 3 == 30 ? 3
                                            : 9;
      if (more == 9) return i;
      uint32_t code = more == 0 ? lead : lead & (0x3Fu >> more);
      for (size_t n = 1; n <= more; ++n) {
        if (byte(i + n) >> 6 != 2) return i;
        code = code << 6 | (byte(i + n) & 0x3F);
      }
      constexpr uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
      if (code < kLeast[more] || (code >> 11) == 27 || code > 0x10FFFF) return i;
      i += more + 1;
    }
    return text.npos;
  };
  with_each([&](ShapePair& pair) {
    const std::string before = R"({"a":"0123456789","b":")", behind = R"(","c":"x"})";
    pair.judge(before + behind);
    int wrong = 0;
    for (const unsigned char a : kLeads)
      for (const unsigned char b : kOthers)
        for (const unsigned char c : kOthers) {
          const std::string text = {char(a), char(b), char(c),
                                    char(kOthers[(a + b + c) % std::size(kOthers)])};
          const size_t at = first_bad(text + "x");
          const bool known = pair.judge(before + text + behind);
          const Fault fault = pair.fault();
          wrong += known != (at == text.npos) || !pair.judge(before + behind);
          if (at != text.npos)
            wrong += fault.reason != Reason::bad_utf8 || fault.offset != before.size() + at;
        }
    CHECK(wrong == 0);
  });
}

TEST_CASE("RFC 8259, 8.3: a key is what it means, however it is spelled") {
  struct Keys {
    std::string_view a, b;
    bool same;
  };
  const Keys rows[] = {
      {R"("")", R"("")", true},
      {R"("a")", R"("a")", true},
      {R"("a")", R"("\u0061")", true},
      {R"("\u0061")", R"("\u0061")", true},
      {R"("\"")", R"("\u0022")", true},
      {R"("\\")", R"("\u005c")", true},
      {R"("\\")", R"("\u005C")", true},
      {R"("/")", R"("\/")", true},
      {R"("\/")", R"("\u002f")", true},
      {R"("\b\f\n\r\t")", R"("\u0008\u000c\u000a\u000D\u0009")", true},
      {"\"\u00e9\"", R"("\u00e9")", true},
      {"\"\u4e2d\"", R"("\u4E2D")", true},
      {"\"\U0001F600\"", R"("\ud83d\ude00")", true},
      {R"("a key of more than sixteen bytes")", R"("a key of more than sixteen byte\u0073")", true},
      {R"("exactly16bytes..")", R"("exactly16bytes.\u002e")", true},
      {R"("a")", R"("A")", false},
      {R"("a")", R"("a ")", false},
      {R"("a")", R"("a\u0000")", false},
      {R"("")", R"("\u0000")", false},
      {R"("\\u0061")", R"("\u0061")", false},
      {R"("\n")", R"("n")", false},
      {"\"\u00e9\"", "\"e\u0301\"", false},
      {"\"\u00e9\"", R"("\u00e8")", false},
      {R"("exactly16bytes..")", R"("exactly16bytes..x")", false},
      {R"("a key of more than sixteen bytes")", R"("a key of more than sixteen Bytes")", false}};
  for (const Keys& row : rows) {
    CHECK((nlohmann::json::parse(row.a) == nlohmann::json::parse(row.b)) == row.same);
    for (const Place& place : kKeys) {
      for (const auto& [a, b] : {std::pair(row.a, row.b), std::pair(row.b, row.a)}) {
        const std::string begin = std::string(place.before) + std::string(a) + ":{\"k\":0},\"other\":[1],";
        const std::string record = begin + std::string(b) + std::string(place.behind);
        const std::string wanted = row.same ? "duplicate_key@" + std::to_string(begin.size()) : "ok";
        CHECK(verdict(record) == wanted);
        Experienced(place, {std::string(a), std::string(a) + ":{\"k\":0},\"other\":[1],\"zz\""})
            .judge(record, wanted);
      }
    }
  }
}

TEST_CASE("RFC 8259, 9: 64 levels of nesting, whatever they are made of") {
  constexpr Place kLevels[] = {{"[", "]"}, {R"({"k":)", "}"}, {R"([1,{"a":"b","k":)", "},[]]"}};
  const std::pair<Place, size_t> places[] = {{{R"({"a":)", "}"}, 1},
                                             {{R"({"ctx_after":{"a":)", "}}"}, 2},
                                             {{R"({"msg_out":[{"a":)", "}]}"}, 3},
                                             {{R"({"x":[[],{}],"attributes":{"a":[)", "]}}"}, 3}};
  for (const auto& [place, outside] : places) {
    for (const Place& level : kLevels) {
      const size_t step = level.before.find("{") != 0 && level.before.size() > 1 ? 2 : 1;
      const size_t fit = (64 - outside) / step;
      for (std::string_view core : {"1", "\"x\"", "null"}) {
        for (size_t count : {fit - 1, fit, fit + 1, fit + 2, size_t(1000)}) {
          const std::string text =
              repeated(count, level.before) + std::string(core) + repeated(count, level.behind);
          std::string wanted = "ok";
          if (count > fit) {
            // The bracket of level 65.
            size_t at = place.before.size(), depth = outside;
            for (size_t i = 0; depth <= 64; ++i, ++at) depth += text[i] == '[' || text[i] == '{';
            wanted = "too_deep@" + std::to_string(at - 1);
          }
          const std::string sibling = repeated(fit, level.before) + "7" + repeated(fit, level.behind);
          Experienced experienced(place, {sibling});
          CHECK(verdict(experienced.in_place(text)) == wanted);
          experienced.judge(experienced.in_place(text), wanted);
        }
      }
    }
  }
}

TEST_CASE("a record may be cut anywhere, and is refused at its end") {
  for (std::string_view whole :
       {R"({"a":"x","b":[1.5e-3,-0,{"c":"\"\\\u00e9\ud83d\ude00z"}],"ctx":{"d":12},"e":""})"sv,
        "{ \"a\" : \"\u00e9\u4e2d\U0001F600 text\" , \"b\" : [ 1 , 22 ] , \"ts\" : 333 }"sv}) {
    Experienced experienced({"", ""}, {std::string(whole)});
    for (size_t size = 0; size < whole.size(); ++size) {
      const std::string_view cut = whole.substr(0, size);
      const std::string wanted = "bad_json@" + std::to_string(size);
      CHECK(verdict(cut) == wanted);
      experienced.judge(cut, wanted);
    }
  }
}
