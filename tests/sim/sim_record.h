#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agent/core/stream.h"

namespace weir::test {

/// What a simulated client sends as its n-th record, and nothing else: so nobody has to remember it.
/// Some are no JSON (is_bad()): the agent refuses them, and they count as disposed of.
class SimRecord {
 public:
  SimRecord(unsigned client, uint64_t number) : client_(client), number_(number) {}

  bool is_bad() const { return hash() % 23 == 5; }
  Stream stream() const { return hash() % 3 == 0 ? Stream::trace : Stream::log; }
  /// Without a line feed, as it is sent and as it is delivered.
  std::string text() const {
    if (is_bad()) return "no record " + std::to_string(number_);
    // Mostly short, at times longer than a page.
    const uint64_t kind = hash() >> 8;
    const size_t pad = size_t(kind % 41 == 0 ? 3000 + kind % 3000 : kind % 190);
    return std::string(R"({"stream":")") + std::string(stream_name(stream())) + R"(","ts":1,"c":)" +
           std::to_string(client_) + R"(,"n":)" + std::to_string(number_) + R"(,"pad":")" +
           std::string(pad, char('a' + number_ % 26)) + "\"}";
  }
  unsigned client() const { return client_; }
  uint64_t number() const { return number_; }

  /// Which one a delivered line is; nothing where it is none, byte for byte.
  static std::optional<SimRecord> parse(std::string_view line) {
    const auto value = [&](std::string_view key) -> std::optional<uint64_t> {
      const size_t at = line.find(key);
      if (at == line.npos) return std::nullopt;
      uint64_t n = 0;
      size_t i = at + key.size();
      for (; i < line.size() && line[i] >= '0' && line[i] <= '9'; ++i) n = n * 10 + uint64_t(line[i] - '0');
      return n;
    };
    const auto client = value(R"("c":)"), number = value(R"("n":)");
    if (!client || !number) return std::nullopt;
    const SimRecord record(unsigned(*client), *number);
    if (record.is_bad() || record.text() != line) return std::nullopt;
    return record;
  }

 private:
  uint64_t hash() const {
    uint64_t x = number_ * 0x9E3779B97F4A7C15 + client_ * 0xBF58476D1CE4E5B9 + 1;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9, x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    return x ^ (x >> 31);
  }
  unsigned client_;
  uint64_t number_;
};

}  // namespace weir::test
