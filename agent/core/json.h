#pragma once
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/core/record.h"

/// Reading JSON text that a decoder has already validated. Nothing here checks; nothing here allocates unless
/// said.
namespace weir::json {

JsonType type_of(char first);

/// `p` at the first byte of a value; returns the byte behind it. Iterative: depth costs no stack.
const char* skip_value(const char* p);
/// The same for `p` at the opening quote of a string. `escaped`: it holds a backslash.
const char* skip_string(const char* p, bool& escaped);
inline const char* skip_space(const char* p) {
  while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r') ++p;
  return p;
}

/// Walks the direct members of an object (or elements of an array), spans relative to `base`.
///   for (Members m(base, span); m.next();) use(m.member());
class Members {
 public:
  Members(const char* base, Span container);
  bool next();
  const Member& member() const { return member_; }  ///< for arrays only value and type are set

 private:
  const char* base_;
  const char* p_;
  bool object_;
  Member member_;
};

/// Contents of a string literal `raw` (with quotes), decoded to UTF-8, appended to `out`.
void decode_string(std::string_view raw, std::string& out);
/// Do two string literals (with quotes) hold the same contents? Compares decoded; no allocation.
bool same_string(std::string_view raw_a, std::string_view raw_b);
/// Does string literal `raw` (with quotes) hold exactly `text`?
bool string_is(std::string_view raw, std::string_view text);
/// Order of decoded contents by code point.
std::strong_ordering compare_strings(std::string_view raw_a, std::string_view raw_b);

/// Exact order of two JSON numbers by decimal value, whatever their spelling (records.md section 5).
std::strong_ordering compare_numbers(std::string_view a, std::string_view b);
/// Equal as JSON values: object key order ignored, array order kept, numbers exact, strings decoded.
bool equal_values(std::string_view a, std::string_view b);

/// Appends `text` as a JSON string literal with quotes; escapes what JSON requires, leaves UTF-8 as it is.
void append_quoted(std::string& out, std::string_view text);
/// Appends `line` with C0, C1, DEL, bidi and U+2028/9 as \uXXXX, for terminals (security.md). Any UTF-8 text.
void append_terminal_safe(std::string& out, std::string_view line);

/// Finds `path` from the object `object` (whole text of it): the path as one key first, else split at its
/// dots (records.md section 5). Returns the value's text, empty when missing.
std::string_view find_path(std::string_view object, std::string_view path);
/// Value of the direct member `key`, empty when missing.
std::string_view find_key(std::string_view object, std::string_view key);

}  // namespace weir::json
