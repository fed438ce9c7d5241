#pragma once
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/decode/decoder.h"
#include "agent/decode/parser.h"

namespace weir {

inline std::ostream& operator<<(std::ostream& out, Reason reason) { return out << reason_name(reason); }

/// Text with exactly 64 readable bytes behind it: one more and the process crashes, sanitizer or not. The
/// bytes behind it are chosen by the caller, for nothing may depend on them.
class Payload {
 public:
  explicit Payload(std::string_view text, std::string_view behind = "") {
    const auto page = size_t(sysconf(_SC_PAGESIZE));
    used_ = (text.size() + 64 + page - 1) / page * page;
    map_ = take(used_, page);
    char* const begin = map_ + used_ - 64 - text.size();
    std::memcpy(begin, text.data(), text.size());
    for (size_t i = 0; i < 64; ++i)
      begin[text.size() + i] = behind.empty() ? '\0' : behind[i % behind.size()];
    text_ = {begin, text.size()};
  }
  ~Payload() { spare(used_).push_back(map_); }
  Payload(const Payload&) = delete;
  Payload& operator=(const Payload&) = delete;
  std::string_view text() const { return text_; }

 private:
  /// Maps of that size that nobody uses just now.
  static std::vector<char*>& spare(size_t used) {
    static std::map<size_t, std::vector<char*>> by_size;
    return by_size[used];
  }
  static char* take(size_t used, size_t page) {
    std::vector<char*>& maps = spare(used);
    if (!maps.empty()) {
      char* const map = maps.back();
      maps.pop_back();
      return map;
    }
    void* const map = mmap(nullptr, used + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(map != MAP_FAILED);
    REQUIRE(mprotect(static_cast<char*>(map) + used, page, PROT_NONE) == 0);
    return static_cast<char*>(map);
  }

  char* map_;
  size_t used_;
  std::string_view text_;
};

inline bool same_member(const Member& a, const Member& b) {
  return a.key == b.key && a.value == b.value && a.type == b.type && a.key_escaped == b.key_escaped;
}

inline bool same_field(const FieldTable& a, const FieldTable& b, Field f) {
  if (a.sent(f) != b.sent(f) || a.has(f) != b.has(f)) return false;
  if (!a.sent(f)) return true;
  const auto of_a = a.members_of(f), of_b = b.members_of(f);
  return same_member(a[f], b[f]) && a[f].ordinal == b[f].ordinal &&
         std::equal(of_a.begin(), of_a.end(), of_b.begin(), of_b.end(), same_member);
}

/// Do two decoders say the same of one text? (An assertion for each detail would take most of the time.)
inline void check_same(std::string_view text, const Fault& a, const FieldTable& of_a, const Fault& b,
                       const FieldTable& of_b) {
  bool same = a.reason == b.reason && a.offset == b.offset && a.detail == b.detail;
  if (same && !a) {
    same = of_a.stream == of_b.stream && of_a.member_count == of_b.member_count;
    for (size_t i = 0; i < kFieldCount; ++i) same = same && same_field(of_a, of_b, Field(i));
  }
  if (same) return;
  CAPTURE(text);
  CHECK(a.reason == b.reason);
  CHECK(a.offset == b.offset);
  CHECK(a.detail == b.detail);
  if (a || b) return;
  CHECK(of_a.stream == of_b.stream);
  CHECK(of_a.member_count == of_b.member_count);
  for (size_t i = 0; i < kFieldCount; ++i)
    if (!same_field(of_a, of_b, Field(i))) FAIL_CHECK("they differ in ", std::string(field_name(Field(i))));
}

/// Decodes with every instruction set that this machine has and with different bytes behind the text; all
/// must agree.
inline Fault judge(std::string_view text, FieldTable& out,
                   std::optional<Stream> default_stream = Stream::log) {
  static std::vector<std::unique_ptr<decode::Workspace>> experienced;  // these have met shapes
  while (experienced.size() < decode::parse_records().size())
    experienced.push_back(std::make_unique<decode::Workspace>());
  static Decoder decoder;
  const Payload zeros(text);
  const Fault fault = decoder.decode(zeros.text(), default_stream, out);
  for (std::string_view behind :
       {",\"stream\":\"x\",[{", "}]\"}", "1e5.0", "\"\\", "\xE2\x82\xAC", "null "}) {
    const Payload payload(text, behind);
    for (size_t i = 0; i < experienced.size(); ++i) {
      FieldTable other;
      const Fault again = decode::parse_records()[i](payload.text(), default_stream, other, *experienced[i]);
      CAPTURE(behind);
      check_same(text, again, other, fault, out);
    }
  }
  return fault;
}

inline Fault judge(std::string_view text, std::optional<Stream> default_stream = Stream::log) {
  FieldTable table;
  return judge(text, table, default_stream);
}

/// `reason@offset`, or `ok`.
inline std::string verdict(std::string_view text, std::optional<Stream> default_stream = Stream::log) {
  const Fault fault = judge(text, default_stream);
  if (!fault) return "ok";
  CHECK_FALSE(fault.detail.empty());
  return std::string(reason_name(fault.reason)) + "@" + std::to_string(fault.offset);
}

}  // namespace weir
