#include "agent/process/value_writer.h"

#include <cstring>

#include "agent/core/json.h"

namespace weir {
namespace {

constexpr std::string_view kTruncated = "...(truncated)";

/// `p` at a string's opening quote, `end` behind its closing one. Where to cut it so that `max` code points
/// are left; nullptr when it is not longer. An escape is one code point, and so is a pair of surrogate
/// escapes.
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

}  // namespace

std::string_view key_contents(const ContextSide& side, const Member& member, std::string& scratch) {
  const std::string_view raw = side.of(member.key);
  if (!member.key_escaped) return raw.substr(1, raw.size() - 2);
  scratch.clear();
  json::decode_string(raw, scratch);
  return scratch;
}

void ValueWriter::begin_replace(Span where) {
  where_ = where;
  append_ = open_ = false;
  pending_ = {};
}

void ValueWriter::begin_append(std::string_view key) {
  key_ = key;
  append_ = true;
  open_ = false;
  pending_ = {};
}

void ValueWriter::open() {
  if (open_) return;
  if (append_)
    edits_.append(key_);
  else
    edits_.replace(where_);
  open_ = true;
}

void ValueWriter::put(const ContextSide& side, uint32_t begin, uint32_t end) {
  source_ = side.text;
  pending_ = {begin, end};
  pending_in_line_ = side.in_line;
}

void ValueWriter::flush() {
  if (pending_.size() == 0) return;
  open();
  if (pending_in_line_)
    edits_.original(pending_);
  else
    edits_.text(pending_.of(source_));
  pending_ = {};
}

bool ValueWriter::joins(const ContextSide& side, uint32_t begin, bool comma) const {
  if (pending_.size() == 0 || side.text.data() != source_.data() || begin < pending_.end) return false;
  const char* p = source_.data() + pending_.end;
  const char* const end = source_.data() + begin;
  while (p < end) {
    if (*p == ',' && comma)
      comma = false;
    else if (*p != ' ' && *p != '\t' && *p != '\n' && *p != '\r')
      return false;
    ++p;
  }
  return !comma;
}

void ValueWriter::take(const ContextSide& side, uint32_t begin, uint32_t end, bool comma) {
  if (joins(side, begin, comma)) {
    pending_.end = end;
    return;
  }
  if (comma) {
    if (pending_.size() > 0 && source_[pending_.end] == ',') {
      ++pending_.end;  // the comma that stood there anyway: one piece less
    } else {
      text(",");
    }
  }
  flush();
  put(side, begin, end);
}

void ValueWriter::take_value(const ContextSide& side, Span value) {
  if (value.size() <= uncut_bytes_) return take(side, value.begin, value.end);
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

void ValueWriter::text(std::string_view text) {
  flush();
  open();
  edits_.text(text);
}

void ValueWriter::end() {
  if (!append_ && !open_ && pending_in_line_ && pending_ == where_) return;
  flush();
  open();
  edits_.end();
}

}  // namespace weir
