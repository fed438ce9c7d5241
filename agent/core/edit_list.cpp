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

}  // namespace

void EditList::reset(std::string_view line, uint32_t member_count) {
  line_ = line;
  members_ = member_count;
  scratch_.clear();
  pieces_.clear();
  edits_.clear();
  appended_.clear();
  removed_.clear();
  made_spans_.clear();
  building_append_ = open_ = rendered_ = false;
}

void EditList::replace(Span where) {
  WEIR_CHECK(!open_ && where.begin <= where.end && where.end <= line_.size());
  edits_.push_back({where, {}, uint32_t(pieces_.size()), 0});
  building_append_ = false;
  open_ = true;
}

void EditList::append(std::string_view key) {
  WEIR_CHECK(!open_);
  appended_.push_back({{}, key, uint32_t(pieces_.size()), 0});
  building_append_ = true;
  open_ = true;
}

void EditList::push_piece(uint32_t begin, uint32_t end, Source source) {
  WEIR_CHECK(open_);
  if (begin == end) return;
  Edit& edit = open_edit();
  if (edit.piece_count > 0 && pieces_.back().source == source && pieces_.back().end == begin) {
    pieces_.back().end = end;
    return;
  }
  pieces_.push_back({begin, end, source});
  ++edit.piece_count;
}

void EditList::original(Span slice) {
  WEIR_CHECK(slice.begin <= slice.end && slice.end <= line_.size());
  push_piece(slice.begin, slice.end, Source::line);
}

void EditList::text(std::string_view text) {
  const auto begin = uint32_t(scratch_.size());
  scratch_.append(text);
  push_piece(begin, uint32_t(scratch_.size()), Source::text);
}

void EditList::made(std::string_view text) {
  const auto begin = uint32_t(scratch_.size());
  scratch_.append(text);
  push_piece(begin, uint32_t(scratch_.size()), Source::made);
}

void EditList::end() {
  WEIR_CHECK(open_);
  open_ = false;
}

void EditList::remove(const FieldValue& field) {
  WEIR_CHECK(field.ordinal < members_);
  removed_.push_back(field);
}

size_t EditList::rendered_bytes_max() const {
  size_t bytes = line_.size();
  for (const Piece& piece : pieces_) bytes += piece.end - piece.begin;
  for (const Edit& edit : appended_) bytes += edit.key.size() + 4;  // comma, two quotes, colon
  return bytes;
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
    edits_.push_back({gone, {}, 0, 0});
    i = last + 1;
  }
}

char* EditList::copy(char* out, uint32_t begin, uint32_t end) const {
  std::memcpy(out, line_.data() + begin, end - begin);
  return out + (end - begin);
}

char* EditList::copy_pieces(char* out, const Edit& edit) {
  for (uint32_t i = edit.first_piece; i < edit.first_piece + edit.piece_count; ++i) {
    const Piece& piece = pieces_[i];
    const uint32_t size = piece.end - piece.begin;
    std::memcpy(out, (piece.source == Source::line ? line_.data() : scratch_.data()) + piece.begin, size);
    if (piece.source == Source::made) [[unlikely]] {
      const auto at = uint32_t(out - rendered_begin_);
      made_spans_.push_back({at, at + size});
    }
    out += size;
  }
  return out;
}

char* EditList::render(char* out) {
  WEIR_CHECK(!open_ && !rendered_);
  rendered_ = true;
  rendered_begin_ = out;
  place_removals();
  std::sort(edits_.begin(), edits_.end(), [](const Edit& a, const Edit& b) {
    if (a.where.begin != b.where.begin) return a.where.begin < b.where.begin;
    return a.where.end < b.where.end;
  });
  uint32_t done = 0;
  for (const Edit& edit : edits_) {
    WEIR_CHECK(edit.where.begin >= done);  // no overlap
    out = copy_pieces(copy(out, done, edit.where.begin), edit);
    done = edit.where.end;
  }
  if (appended_.empty()) return copy(out, done, uint32_t(line_.size()));

  const uint32_t brace = closing_brace(line_);
  out = copy(out, done, brace);
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
  return copy(out, brace, uint32_t(line_.size()));
}

}  // namespace weir
