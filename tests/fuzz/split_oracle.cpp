#include <algorithm>
#include <cstring>
#include <random>

#include "agent/core/quarantine.h"
#include "agent/ingest/line_reader.h"
#include "tests/fuzz/oracles.h"

namespace weir::test {
namespace {

/// How much of a line that is too long is kept depends on the reads; all of it is counted.
std::string shown(const Line& line) {
  return line.too_long ? "too long: " + std::to_string(line.length) + "\n" : std::string(line.payload) + "\n";
}

/// Reads of at most so many bytes, drawn anew each time (0: as many as there is room for); between lines the
/// turn may end, and a line may come again.
std::string read_all(std::string_view text, size_t record_bytes_max, std::minstd_rand* random,
                     std::string& wrong) {
  ReadBuffer shared;
  shared.record_bytes_max = record_bytes_max;
  std::string out;
  [[maybe_unused]] volatile char readable;  // a sanitizer says if it is not
  const auto one_in = [&](unsigned n) { return random && (*random)() % n == 0; };
  {
    InputBuffer input(shared, nullptr);
    LineReader reader(input);
    Line line;
    const auto others_use_the_buffer = [&] { std::memset(shared.bytes.data(), '\n', shared.bytes.size()); };
    for (bool end = false; !end;) {
      auto space = input.space();
      size_t bytes = std::min(space.size(), text.size());
      if (random) bytes = std::min<size_t>(bytes, 1 + (*random)() % (one_in(4) ? 40'000 : 40));
      std::memcpy(space.data(), text.data(), bytes);
      text.remove_prefix(bytes);
      input.filled(bytes);
      end = bytes == 0;
      while (end ? reader.last(line) : reader.next(line)) {
        if (!line.too_long && one_in(8)) {
          reader.put_back();
          if (!(end ? reader.last(line) : reader.next(line)))
            wrong = "a line that was put back does not come again";
        }
        if (line.payload.size() > (line.too_long ? kQuarantineRawBytesMax : line.length))
          wrong = "too much of a line";
        if (!line.too_long) readable = line.payload.data()[line.payload.size() + kReadablePadding - 1];
        out += (end ? "last: " : "") + shown(line);
        if (end || !one_in(8)) continue;
        reader.end_turn();
        input.put_aside();
        others_use_the_buffer();
        input.resume();
      }
      reader.end_turn();
      input.put_aside();
      others_use_the_buffer();
    }
  }
  if (shared.aside_bytes != 0) wrong = "memory put aside is still counted";
  return out;
}

std::string difference(std::string_view a, std::string_view b) {
  const size_t at = size_t(std::ranges::mismatch(a, b).in1 - a.begin());
  const size_t line = a.substr(0, at).rfind('\n') + 1;
  return " from byte " + std::to_string(at - line) + " of\n" + std::string(a.substr(line, 60)) +
         "\non: " + std::string(a.substr(at, 30)) + "\nor:  " + std::string(b.substr(at, 30));
}

}  // namespace

std::string check_split(std::string_view input) {
  if (input.size() < 2) return {};
  const size_t record_bytes_max = 1 + size_t(static_cast<unsigned char>(input[0])) * 300;
  const auto seed = static_cast<unsigned char>(input[1]);
  std::string text, wrong;
  for (size_t i = 2; i < input.size(); ++i) {
    const bool run = static_cast<unsigned char>(input[i]) == 0xFF && i + 1 < input.size();
    if (run)
      text.append(size_t(static_cast<unsigned char>(input[++i])) * 257, 'x');
    else
      text += input[i];
    if (text.size() > 400'000) break;
  }
  const std::string whole = read_all(text, record_bytes_max, nullptr, wrong);
  for (unsigned n = 0; n < 3 && wrong.empty(); ++n) {
    std::minstd_rand random(seed * 3 + n + 1);
    const std::string parts = read_all(text, record_bytes_max, &random, wrong);
    if (wrong.empty() && parts != whole) wrong = "cut otherwise, other lines" + difference(whole, parts);
  }
  return wrong;
}

}  // namespace weir::test
