#include "agent/process/value_writer.h"

#include <cstring>

#include "agent/core/json.h"

namespace weir {

const char* cut_position(const char* p, const char* end, int64_t max) {
  const char* const quote = end - 1;
  if (quote - p - 1 <= max) return nullptr;
  ++p;
  for (int64_t points = 0; p < quote; ++points) {
    if (points == max) return p;
    if (*p != '\\') {
      ++p;
      while ((uint8_t(*p) & 0xc0) == 0x80) ++p;
    } else if (p[1] != 'u') {
      p += 2;
    } else {
      const bool high_surrogate = (p[2] | 0x20) == 'd' && ((p[3] >= '8' && p[3] <= '9') ||
                                                           (p[3] | 0x20) == 'a' || (p[3] | 0x20) == 'b');
      p += high_surrogate ? 12 : 6;
    }
  }
  return nullptr;
}

bool ValueWriter::only_between(uint32_t begin, bool comma) const {
  const char* p = source_ + pending_.end;
  const char* const end = source_ + begin;
  while (p < end) {
    if (*p == ',' && comma)
      comma = false;
    else if (*p != ' ' && *p != '\t' && *p != '\n' && *p != '\r')
      return false;
    ++p;
  }
  return !comma;
}

void ValueWriter::take_long_value(const ContextSide& side, Span value) {
  const char* const base = side.text.data();
  const char* const end = base + value.end;
  uint32_t from = value.begin;
  for (const char* p = base + value.begin; p < end;) {
    p = static_cast<const char*>(std::memchr(p, '"', size_t(end - p)));
    if (p == nullptr) break;
    const char* const string = p;
    p = json::skip_value(p);
    const char* const cut = cut_position(string, p, max_value_len_);
    if (cut == nullptr || (p < end && *json::skip_space(p) == ':')) continue;  // short, or a key
    take(side, from, uint32_t(cut - base));
    text(kTruncated);
    from = uint32_t(p - 1 - base);
  }
  take(side, from, value.end);
}

void ValueWriter::take_all(const ContextSide& side) {
  uint32_t from = side.whole.begin;
  if (side.whole.size() > uncut_bytes_) {
    for (const Member& m : side.members) {
      if (m.value.size() <= uncut_bytes_) continue;
      take(side, from, m.value.begin);
      take_value(side, m.value);
      from = m.value.end;
    }
  }
  take(side, from, side.whole.end);
}

}  // namespace weir
