#pragma once
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <string_view>

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

/// Decodes with every instruction set that this machine has and with different bytes behind the text; all
/// must agree.
inline Fault judge(std::string_view text, FieldTable& out,
                   std::optional<Stream> default_stream = Stream::log) {
  static decode::Workspace work;
  static Decoder decoder;
  const Payload zeros(text);
  const Fault fault = decoder.decode(zeros.text(), default_stream, out);
  for (std::string_view behind :
       {",\"stream\":\"x\",[{", "}]\"}", "1e5.0", "\"\\", "\xE2\x82\xAC", "null "}) {
    const Payload payload(text, behind);
    for (const auto parse : {decode::parse_record_sse2, decode::choose_parse_record()}) {
      FieldTable other;
      const Fault again = parse(payload.text(), default_stream, other, work);
      CAPTURE(text);
      CAPTURE(behind);
      CHECK(again.reason == fault.reason);
      CHECK(again.offset == fault.offset);
      CHECK(again.detail == fault.detail);
      if (!fault) {
        CHECK(other.stream == out.stream);
        CHECK(other.members.size() == out.members.size());
        CHECK(other.member_count == out.member_count);
      }
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
