#include <algorithm>

#include "agent/core/options.h"

namespace weir {
namespace {

char fold(char c) {
  if (c >= 'A' && c <= 'Z') return char(c - 'A' + 'a');
  return c == '-' ? '_' : c;
}

/// Insertions, deletions, substitutions and swaps of neighbours; case and `-` against `_` cost nothing.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const bool same = fold(a[i - 1]) == fold(b[j - 1]);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
      const bool swapped =
          i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]);
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

}  // namespace

std::string_view did_you_mean(std::string_view word, const std::vector<std::string_view>& known) {
  constexpr size_t kLongestWord = 64;  // the table is quadratic, and no option has a longer name
  std::string_view best;
  if (word.size() > kLongestWord) return best;
  size_t nearest = word.size() / 3 + 1;
  for (std::string_view candidate : known) {
    if (candidate == word || candidate.size() > kLongestWord) continue;
    const size_t distance = edit_distance(word, candidate);
    if (distance < nearest) {
      nearest = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace weir
