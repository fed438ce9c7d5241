// Bytes of one connection behind the magic: cut into frames, whatever pieces they come in, they are the same
// frames, and no byte is read that did not come. ./dev fuzz frames 60
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "agent/ingest/frame_reader.h"

namespace {

using namespace weir;

/// Frames as text, and how it ended. `split(left)` says how many bytes come with the next read.
template <class Split>
std::vector<std::string> frames_of(std::string_view bytes, Split split) {
  static ReadBuffer shared;  // its making costs more than everything else
  shared.record_bytes_max = 256;
  InputBuffer buffer(shared, nullptr);
  FrameReader reader(buffer);
  std::vector<std::string> out;
  Frame frame;
  while (!bytes.empty()) {
    const std::span<char> space = buffer.space();
    const size_t size = std::min({split(bytes.size()), bytes.size(), space.size()});
    std::memcpy(space.data(), bytes.data(), size);
    std::memset(space.data() + size, '#', 64);  // what is read beyond the end shows
    bytes.remove_prefix(size);
    buffer.filled(size);
    FrameReader::Got got;
    while ((got = reader.next(frame)) == FrameReader::Got::frame) {
      out.push_back(std::to_string(frame.type) + "/" + std::to_string(frame.flags) + ":" +
                    std::string(frame.payload));
      if (frame.payload.size() % 3 == 0) {  // a turn that ends within it
        reader.put_back();
        buffer.put_aside();
        buffer.resume();
        if (reader.next(frame) != FrameReader::Got::frame) std::abort();
      }
    }
    if (got == FrameReader::Got::too_long) {
      out.push_back("too long");
      buffer.take(buffer.size());
      buffer.put_aside();
      return out;
    }
    buffer.put_aside();
  }
  buffer.resume();
  Frame rest;
  out.push_back(reader.unfinished(rest)
                    ? "rest " + std::to_string(rest.type) + ":" + std::string(rest.payload)
                    : "rest of " + std::to_string(buffer.size()));
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto whole = frames_of(bytes, [](size_t left) { return left; });
  uint32_t seed = 0;
  for (const char c : bytes.substr(0, 16)) seed = seed * 31 + uint8_t(c);
  const auto random = [&seed](size_t) -> size_t {
    seed = seed * 1664525 + 1013904223;
    return 1 + (seed >> 16) % ((seed >> 8) % 2 ? 9 : 900);
  };
  const bool same =
      frames_of(bytes, random) == whole && frames_of(bytes, [](size_t) { return size_t(1); }) == whole;
  if (same) return 0;
  std::fprintf(stderr, "frames: another split gives other frames\n");
  std::abort();
}
