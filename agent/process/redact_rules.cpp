#include "agent/process/redact_rules.h"

#include <re2/re2.h>

#include <algorithm>

#include "agent/core/check.h"
#include "agent/process/redact.h"

namespace weir {
namespace {

/// Searching goes on behind each match, and may look at all of the text each time. Texts of up to 16 KiB
/// never get there.
constexpr size_t kSearchedBytesMax = 256 << 20;

re2::RE2::Options options() {
  re2::RE2::Options out;
  out.set_log_errors(false);
  out.set_never_capture(true);
  // For the program and its state cache. A cache that is full is emptied, and where that does not help RE2
  // goes on without one: slower, with the same answer.
  out.set_max_mem(8 << 20);
  return out;
}

re2::StringPiece piece(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

std::string check_pattern(std::string_view pattern) {
  if (pattern.empty()) return "is empty";
  const re2::RE2 regex(piece(pattern), options());
  if (!regex.ok()) return "not a regular expression of RE2: " + regex.error();
  re2::StringPiece match;
  const re2::StringPiece sample("a b");
  const bool only_places =
      regex.Match(sample, 0, sample.size(), re2::RE2::UNANCHORED, &match, 1) && match.empty();
  if (re2::RE2::FullMatch("", regex) || only_places)
    return "matches empty text, that is everywhere: make something of it required";
  return {};
}

NameSet::NameSet(const std::vector<std::string>& names) {
  first_.fill(-1);
  for (const std::string& text : names) {
    int& first = first_[slot(text)];
    names_.push_back({text, first});
    first = int(names_.size()) - 1;
    parts_max_ = std::max(parts_max_, size_t(std::count(text.begin(), text.end(), '.')) + 1);
  }
}

bool NameSet::contains_part(std::string_view path) const {
  for (size_t begin = 0; begin <= path.size();) {
    size_t end = begin;
    for (size_t parts = 0; parts < parts_max_ && end <= path.size(); ++parts, ++end) {
      end = std::min(path.find('.', end), path.size());
      if (contains(path.substr(begin, end - begin))) return true;
    }
    const size_t dot = path.find('.', begin);
    if (dot == path.npos) return false;
    begin = dot + 1;
  }
  return false;
}

PatternSet::PatternSet(const std::vector<std::string>& patterns) {
  std::string any;
  bool joinable = patterns.size() > 1;
  for (const std::string& text : patterns) {
    patterns_.push_back(std::make_unique<const re2::RE2>(text, options()));
    WEIR_CHECK(patterns_.back()->ok());
    any += (any.empty() ? "(?:" : "|(?:") + text + ")";
    if (text.find("\\Q") != text.npos) joinable = false;  // it may go on over whatever follows it
  }
  if (!joinable) return;
  any_ = std::make_unique<const re2::RE2>(any, options());
  if (!any_->ok()) any_ = nullptr;
}

PatternSet::~PatternSet() = default;

bool PatternSet::matches(std::string_view text) const {
  if (any_) return any_->Match(piece(text), 0, text.size(), re2::RE2::UNANCHORED, nullptr, 0);
  for (const auto& pattern : patterns_) {
    if (pattern->Match(piece(text), 0, text.size(), re2::RE2::UNANCHORED, nullptr, 0)) return true;
  }
  return false;
}

bool PatternSet::find(std::string_view text, std::vector<Span>& found) const {
  found.clear();
  if (!matches(text)) return false;
  for (const auto& pattern : patterns_) {
    if (add_matches(*pattern, text, found)) continue;
    found.assign(1, {0, uint32_t(text.size())});
    return true;
  }
  if (found.empty()) return false;  // only places between characters
  if (patterns_.size() < 2) return true;
  std::sort(found.begin(), found.end(), [](const Span& a, const Span& b) { return a.begin < b.begin; });
  size_t kept = 0;
  for (size_t i = 1; i < found.size(); ++i) {
    if (found[i].begin < found[kept].end)
      found[kept].end = std::max(found[kept].end, found[i].end);
    else
      found[++kept] = found[i];
  }
  found.resize(kept + 1);
  return true;
}

/// False: the search was given up.
bool PatternSet::add_matches(const re2::RE2& pattern, std::string_view text, std::vector<Span>& found) const {
  size_t searched = 0;
  re2::StringPiece match;
  for (size_t from = 0; from < text.size();) {
    if (!pattern.Match(piece(text), from, text.size(), re2::RE2::UNANCHORED, &match, 1)) return true;
    searched += text.size() - from;
    if (searched > kSearchedBytesMax) return false;
    const auto begin = size_t(match.data() - text.data());
    if (match.empty()) {
      from = begin + 1;
      while (from < text.size() && (uint8_t(text[from]) & 0xc0) == 0x80) ++from;
      continue;
    }
    from = begin + match.size();
    found.push_back({uint32_t(begin), uint32_t(from)});
  }
  return true;
}

}  // namespace weir
