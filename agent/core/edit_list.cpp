#include "agent/core/edit_list.h"

#include <algorithm>
#include <cstring>

#include "agent/core/check.h"

namespace weir {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/// Position of the byte that closes the outer object.
uint32_t closing_brace(std::string_view line) {
  size_t end = line.size();
  while (end > 0 && is_space(line[end - 1])) --end;
  WEIR_CHECK(end >= 2 && line[end - 1] == '}');
  return uint32_t(end - 1);
}

/// Copies a short piece in whole steps: writes, and reads, up to 31 bytes more than there are (kSlack).
[[gnu::always_inline]] inline char* copy_in_steps(char* out, const char* from, size_t size) {
  constexpr size_t kStep = 32, kShort = 256;
  static_assert(kStep <= EditList::kSlack);
  if (size > kShort) return static_cast<char*>(std::memcpy(out, from, size)) + size;
  char* const behind = out + size;
  do {
    std::memcpy(out, from, kStep);
    out += kStep, from += kStep;
  } while (out < behind);
  return behind;
}

}  // namespace

void EditList::reset(std::string_view line, uint32_t member_count) {
  line_ = line;
  members_ = member_count;
  scratch_used_ = 0;
  pieces_.clear();
  edits_.clear();
  appended_.clear();
  removed_.clear();
  made_spans_.clear();
  bytes_ = line.size() + kSlack;
  open_ = rendered_ = false;
}

void EditList::push_scratch(std::string_view text, Source source) {
  WEIR_CHECK(open_);
  if (text.empty()) return;
  const size_t begin = scratch_used_;
  scratch_used_ += text.size();
  if (scratch_.size() < scratch_used_ + kSlack)
    scratch_.resize(std::max(2 * scratch_.size(), scratch_used_ + kSlack));
  std::memcpy(scratch_.data() + begin, text.data(), text.size());
  bytes_ += text.size();
  last_kept_end_ = nullptr;
  const bool follows = pieces_.size() > open_edit_->first_piece && pieces_.last().source == Source::text &&
                       source == Source::text;
  if (follows)
    pieces_.last().size += uint32_t(text.size());
  else
    pieces_.push({nullptr, uint32_t(begin), uint32_t(text.size()), source});
}

void EditList::remove(const FieldValue& field) {
  WEIR_CHECK(field.ordinal < members_);
  removed_.push_back(field);
}

/// Turns each run of neighbours that go into one empty replacement. It takes the comma before it, or, where
/// nothing kept stands before it, the comma behind it; white space outside of that stays.
void EditList::place_removals() {
  std::sort(removed_.begin(), removed_.end(),
            [](const FieldValue& a, const FieldValue& b) { return a.ordinal < b.ordinal; });
  for (size_t i = 0; i < removed_.size();) {
    size_t last = i;
    while (last + 1 < removed_.size() && removed_[last + 1].ordinal == removed_[last].ordinal + 1) ++last;
    Span gone{removed_[i].key.begin, removed_[last].value.end};
    if (removed_[i].ordinal > 0) {
      do --gone.begin;
      while (is_space(line_[gone.begin]));
      WEIR_CHECK(line_[gone.begin] == ',');
    } else if (removed_[last].ordinal + 1 < members_) {
      while (is_space(line_[gone.end])) ++gone.end;
      WEIR_CHECK(line_[gone.end] == ',');
      ++gone.end;
    }
    edits_.push({gone, {}, 0, 0});
    i = last + 1;
  }
}

char* EditList::copy_pieces(char* out, const Edit& edit) {
  const Piece* piece = pieces_.begin() + edit.first_piece;
  for (const Piece* const behind = piece + edit.piece_count; piece != behind; ++piece) {
    if (piece->source == Source::made) [[unlikely]] {
      const auto at = uint32_t(out - rendered_begin_);
      made_spans_.push_back({at, at + piece->size});
    }
    out = copy_in_steps(out, piece->source == Source::kept ? piece->at : scratch_.data() + piece->begin,
                        piece->size);
  }
  return out;
}

char* EditList::render(char* out) {
  WEIR_CHECK(!open_ && !rendered_);
  rendered_ = true;
  rendered_begin_ = out;
  if (!removed_.empty()) place_removals();
  const auto before = [](const Edit& a, const Edit& b) {
    return a.where.begin != b.where.begin ? a.where.begin < b.where.begin : a.where.end < b.where.end;
  };
  if (!std::is_sorted(edits_.begin(), edits_.end(), before)) std::sort(edits_.begin(), edits_.end(), before);
  uint32_t done = 0;
  const auto copy_until = [&](uint32_t end) { out = copy_in_steps(out, line_.data() + done, end - done); };
  for (const Edit& edit : edits_) {
    WEIR_CHECK(edit.where.begin >= done);  // no overlap
    copy_until(edit.where.begin);
    out = copy_pieces(out, edit);
    done = edit.where.end;
  }
  if (!appended_.empty()) {
    const uint32_t brace = closing_brace(line_);
    copy_until(brace);
    done = brace;
    bool first = removed_.size() == members_;
    for (const Edit& edit : appended_) {
      if (!first) *out++ = ',';
      first = false;
      *out++ = '"';
      std::memcpy(out, edit.key.data(), edit.key.size());
      out += edit.key.size();
      *out++ = '"', *out++ = ':';
      out = copy_pieces(out, edit);
    }
  }
  copy_until(uint32_t(line_.size()));
  return out;
}

}  // namespace weir
