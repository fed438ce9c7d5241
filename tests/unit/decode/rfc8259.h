#pragma once
// RFC 8259, section by section: every production and every way to break it, wherever in a record it may
// stand. The cases are our own, made from the grammar. Each is judged by decoders of all instruction sets,
// before and after they have learned the shape of a harmless record with another value in the same place, and
// beside two parsers of others.
#include <deque>
#include <span>

#include "tests/support/json_oracle.h"
#include "tests/unit/decode/shape_pair.h"

namespace weir::rfc8259 {

/// `text` is taken, or refused at its byte `offset`.
struct Case {
  std::string text;
  Reason reason = Reason::none;
  size_t offset = 0;
};
inline Case refused(std::string text, size_t offset) { return {std::move(text), Reason::bad_json, offset}; }
inline Case bad_utf8(std::string text, size_t offset) { return {std::move(text), Reason::bad_utf8, offset}; }

struct Place {
  std::string_view before, behind;
};
inline constexpr Place kValues[] = {{R"({"a":)", "}"},
                                    {R"({"x":[1,{}],"a":)", R"(,"c":"x"})"},
                                    {R"({"a":[)", R"(,"y"]})"},
                                    {R"({"a":["y",)", "]}"},
                                    {R"({"a":{"b":[{"c":)", R"(}],"d":0}})"},
                                    {R"({"stream":"trace","ctx_before":{"k":)", R"(,"l":1},"ctx_after":{}})"},
                                    {R"({"msg_out":[{"type_name":"T","x":)", "}]}"},
                                    {R"({"msg_in":{"value":)", "}}"},
                                    {R"({"ts":)", R"(,"message":""})"}};
inline constexpr Place kKeys[] = {{"{", ":1}"},
                                  {R"({"before":1,)", R"(:"x"})"},
                                  {R"({"a":{)", ":null}}"},
                                  {R"({"ctx":{)", ":[]}}"},
                                  {R"({"a":[{)", ":1}]}"},
                                  {R"({"msg_in":{)", R"(:"","behind":{}}})"},
                                  {R"({"msg_out":[{)", ":{}}]}"}};

/// Decoders that have met the siblings of the place, and meet two of them before each case.
class Experienced {
 public:
  Experienced(const Place& place, std::vector<std::string> siblings)
      : place_(place), siblings_(std::move(siblings)) {
    for (const auto parse : decode::parse_records()) {
      ShapePair& pair = pairs_.emplace_back(parse);
      for (const std::string& sibling : siblings_) {
        pair.judge(in_place(sibling));
        // Long glue and escaped keys are never known.
        learned_.push_back(pair.judge(in_place(sibling)));
      }
    }
  }
  std::string in_place(std::string_view text) const {
    return std::string(place_.before) + std::string(text) + std::string(place_.behind);
  }
  /// `wanted` as verdict() says it. Were all decoders spared from parsing it?
  bool judge(std::string_view record, std::string_view wanted) {
    bool known = true;
    for (ShapePair& pair : pairs_) {
      CAPTURE(record);
      for (size_t n = next_; n < next_ + 2; ++n) {
        const size_t sibling = n % siblings_.size();
        CHECK(pair.judge(in_place(siblings_[sibling])) == learned_[sibling]);
      }
      known &= pair.judge(record, next_ % 2 == 0 ? "" : "1e5\",\"b\":[{");
      const Fault& fault = pair.fault();
      CAPTURE(record);
      CHECK((fault ? std::string(reason_name(fault.reason)) + "@" + std::to_string(fault.offset) : "ok") ==
            wanted);
    }
    ++next_;
    return known;
  }

 private:
  const Place place_;
  const std::vector<std::string> siblings_;
  std::deque<ShapePair> pairs_;
  std::vector<bool> learned_;  // which of the siblings are known by now
  size_t next_ = 0;
};

inline void check_by_others(const std::string& record, Reason reason) {
  static simdjson::dom::parser simdjson;
  const bool accepted = reason == Reason::none;
  CAPTURE(record);
  CHECK(test::accepted_by_nlohmann(record).value_or(accepted) == accepted);
  CHECK(test::accepted_by_simdjson(record, simdjson).value_or(accepted) == accepted);
}

inline void check_in(std::span<const Place> places, const std::vector<std::string>& siblings,
                     const std::vector<Case>& cases) {
  for (const Place& place : places) {
    Experienced experienced(place, siblings);
    for (const Case& c : cases) {
      const std::string record = experienced.in_place(c.text);
      const std::string wanted =
          c.reason == Reason::none
              ? "ok"
              : std::string(reason_name(c.reason)) + "@" + std::to_string(place.before.size() + c.offset);
      CAPTURE(record);
      CHECK(verdict(record) == wanted);
      const bool known = experienced.judge(record, wanted);
      if (wanted == "ok" && places.data() == kValues && c.text.find_first_of("[{") != 0) CHECK(known);
      check_by_others(record, c.reason);
    }
  }
}
inline void check_values(const std::vector<Case>& cases) {
  check_in(kValues, {"1", "\"s\"", "null", "{}", "[]"}, cases);
}
inline void check_strings(const std::vector<Case>& cases) {
  check_values(cases);
  check_in(kKeys, {R"("zz")"}, cases);
}

inline std::string in_quotes(std::string_view contents) { return "\"" + std::string(contents) + "\""; }
inline std::string repeated(size_t count, std::string_view text) {
  std::string out;
  for (; count > 0; --count) out += text;
  return out;
}
/// Lengths around those of vector registers and blocks.
inline constexpr size_t kLengths[] = {0, 1, 15, 16, 31, 32, 62, 63, 64};

}  // namespace weir::rfc8259
