#pragma once
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
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
    const size_t used = (text.size() + 64 + page - 1) / page * page;
    bytes_ = used + page;
    map_ =
        static_cast<char*>(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(mprotect(map_ + used, page, PROT_NONE) == 0);
    char* const begin = map_ + used - 64 - text.size();
    std::memcpy(begin, text.data(), text.size());
    for (size_t i = 0; i < 64 && !behind.empty(); ++i) begin[text.size() + i] = behind[i % behind.size()];
    text_ = {begin, text.size()};
  }
  ~Payload() { munmap(map_, bytes_); }
  Payload(const Payload&) = delete;
  Payload& operator=(const Payload&) = delete;
  std::string_view text() const { return text_; }

 private:
  char* map_;
  size_t bytes_;
  std::string_view text_;
};

/// Do two decoders say the same of one text?
inline void check_same_table(const FieldTable& a, const FieldTable& b) {
  CHECK(a.stream == b.stream);
  CHECK(a.member_count == b.member_count);
  for (size_t i = 0; i < kFieldCount; ++i) {
    const auto f = Field(i);
    CAPTURE(field_name(f));
    REQUIRE(a.sent(f) == b.sent(f));
    CHECK(a.has(f) == b.has(f));
    if (!a.sent(f)) continue;
    CHECK(a[f].key == b[f].key);
    CHECK(a[f].value == b[f].value);
    CHECK(a[f].type == b[f].type);
    CHECK(a[f].key_escaped == b[f].key_escaped);
    CHECK(a[f].ordinal == b[f].ordinal);
    const auto of_a = a.members_of(f), of_b = b.members_of(f);
    REQUIRE(of_a.size() == of_b.size());
    for (size_t m = 0; m < of_a.size(); ++m) {
      CHECK(of_a[m].key == of_b[m].key);
      CHECK(of_a[m].value == of_b[m].value);
      CHECK(of_a[m].type == of_b[m].type);
      CHECK(of_a[m].key_escaped == of_b[m].key_escaped);
    }
  }
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
      CAPTURE(text);
      CAPTURE(behind);
      CHECK(again.reason == fault.reason);
      CHECK(again.offset == fault.offset);
      CHECK(again.detail == fault.detail);
      if (!fault) check_same_table(out, other);
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
