#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/core/check.h"
#include "agent/core/json.h"
#include "agent/process/signature.h"

namespace weir {
namespace {

/// One member of an object, already written: its key as sent and its canonical text.
struct Part {
  std::string_view key;
  size_t begin, end;
};

/// Kept between calls, so that a steady stream of values does not allocate.
struct Scratch {
  std::vector<Part> parts;
  std::string body;
};

constexpr char kHex[] = "0123456789abcdef";

void append_u_escape(std::string& out, uint32_t unit) {
  const char text[6] = {
      '\\', 'u', kHex[unit >> 12 & 15], kHex[unit >> 8 & 15], kHex[unit >> 4 & 15], kHex[unit & 15]};
  out.append(text, sizeof text);
}

/// One decoded code point the way Python's json writes it with ensure_ascii.
void append_code_point(std::string& out, uint32_t c) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  if (c >= 0x20 && c < 0x7f) {
    out += char(c);
  } else if (c < 0x10000) {
    append_u_escape(out, c);
  } else {
    append_u_escape(out, 0xd800 + ((c - 0x10000) >> 10));
    append_u_escape(out, 0xdc00 + ((c - 0x10000) & 0x3ff));
  }
}

uint32_t hex4(const char* p) {
  uint32_t unit = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = p[i];
    unit = unit << 4 | uint32_t(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return unit;
}

/// `p` behind a backslash; returns the byte behind the escape. A surrogate half passes through as its own
/// unit: written one by one the two halves give the same text as the pair.
const char* append_escape(std::string& out, const char* p) {
  switch (*p) {
    case 'b':
      append_code_point(out, '\b');
      return p + 1;
    case 'f':
      append_code_point(out, '\f');
      return p + 1;
    case 'n':
      append_code_point(out, '\n');
      return p + 1;
    case 'r':
      append_code_point(out, '\r');
      return p + 1;
    case 't':
      append_code_point(out, '\t');
      return p + 1;
    case 'u':
      append_code_point(out, hex4(p + 1));
      return p + 5;
    default:
      append_code_point(out, uint8_t(*p));
      return p + 1;
  }
}

/// `p` at a lead byte of two or more; the text is valid UTF-8.
const char* append_utf8(std::string& out, const char* p) {
  const uint8_t lead = uint8_t(*p);
  const int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
  uint32_t c = lead & (0x3fu >> more);
  for (int i = 1; i <= more; ++i) c = c << 6 | (uint8_t(p[i]) & 0x3fu);
  append_code_point(out, c);
  return p + 1 + more;
}

class Writer {
 public:
  Writer(std::string& out, Scratch& scratch) : out_(out), scratch_(scratch) {}

  /// Recursive: a decoded record is at most kDepthMax deep.
  const char* value(const char* p) {
    switch (*p) {
      case '{':
        return object(p);
      case '[':
        return array(p);
      case '"':
        return string(p);
      default: {
        const char* end = json::skip_value(p);
        out_.append(p, size_t(end - p));
        return end;
      }
    }
  }

 private:
  const char* string(const char* p) {
    out_ += '"';
    ++p;
    while (true) {
      const char* run = p;
      while (uint8_t(*p) >= 0x20 && uint8_t(*p) < 0x7f && *p != '"' && *p != '\\') ++p;
      out_.append(run, size_t(p - run));
      if (*p == '"') break;
      if (*p == '\\') {
        p = append_escape(out_, p + 1);
      } else if (uint8_t(*p) >= 0x80) {
        p = append_utf8(out_, p);
      } else {
        append_code_point(out_, uint8_t(*p++));  // DEL
      }
    }
    out_ += '"';
    return p + 1;
  }

  const char* array(const char* p) {
    out_ += '[';
    p = json::skip_space(p + 1);
    while (*p != ']') {
      p = json::skip_space(value(p));
      if (*p == ',') {
        out_ += ',';
        p = json::skip_space(p + 1);
      }
    }
    out_ += ']';
    return p + 1;
  }

  /// Writes the members in the order sent and puts them in order afterwards: the text is read only once.
  const char* object(const char* p) {
    const size_t first_part = scratch_.parts.size();
    out_ += '{';
    const size_t body = out_.size();
    bool sorted = true;
    p = json::skip_space(p + 1);
    while (*p != '}') {
      Part part{{}, out_.size(), 0};
      const char* key_end = string(p);
      part.key = {p, size_t(key_end - p)};
      p = json::skip_space(key_end);
      WEIR_CHECK(*p == ':');
      out_ += ':';
      p = json::skip_space(value(json::skip_space(p + 1)));
      part.end = out_.size();
      if (scratch_.parts.size() > first_part && !before(scratch_.parts.back(), part)) sorted = false;
      scratch_.parts.push_back(part);
      if (*p == ',') {
        out_ += ',';
        p = json::skip_space(p + 1);
      }
    }
    if (!sorted) put_in_order(first_part, body);
    scratch_.parts.resize(first_part);
    out_ += '}';
    return p + 1;
  }

  static bool before(const Part& a, const Part& b) { return json::compare_strings(a.key, b.key) < 0; }

  void put_in_order(size_t first_part, size_t body) {
    scratch_.body.assign(out_, body);
    const auto begin = scratch_.parts.begin() + ptrdiff_t(first_part);
    std::sort(begin, scratch_.parts.end(), before);
    out_.resize(body);
    for (auto part = begin; part != scratch_.parts.end(); ++part) {
      if (part != begin) out_ += ',';
      out_.append(scratch_.body, part->begin - body, part->end - part->begin);
    }
  }

  std::string& out_;
  Scratch& scratch_;
};

}  // namespace

void append_canonical(std::string_view value, std::string& out) {
  thread_local Scratch scratch;
  Writer(out, scratch).value(json::skip_space(value.data()));
}

}  // namespace weir
