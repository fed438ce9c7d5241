#pragma once
#include <string_view>

namespace weir {

/// `{word}` (lower case and `_`) within a text, or `{{word}}`, which stands for `{word}` itself. Braces
/// around anything else, and behind a dollar sign, are nothing special.
struct BraceWord {
  size_t begin = std::string_view::npos, end = 0;  ///< npos: there is none
  std::string_view word;
  bool doubled = false;
};

inline BraceWord find_brace_word(std::string_view text, size_t from) {
  for (size_t at = text.find('{', from); at != text.npos; at = text.find('{', at + 1)) {
    if (at > 0 && text[at - 1] == '$') continue;
    const bool doubled = text.substr(at).starts_with("{{");
    const size_t word = at + (doubled ? 2 : 1);
    const size_t end = text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", word);
    if (end == text.npos || end == word) continue;
    const std::string_view close = doubled ? "}}" : "}";
    if (text.substr(end).starts_with(close))
      return {at, end + close.size(), text.substr(word, end - word), doubled};
  }
  return {};
}

}  // namespace weir
