#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/core/check.h"
#include "agent/core/record.h"

namespace weir {

/// The changes to one line, over spans of its original text (records.md section 5: all processors read the
/// original, the output is rendered through all edits at once). A replacement is a sequence of pieces, each a
/// slice of the original or text of our own, so that kept bytes are copied once, at render().
///
///   edits.replace(fields[Field::ctx_before].value);  edits.original(span);  edits.text("...");  edits.end();
///   edits.append("ctx_diff");  edits.text("{");  edits.end();  // ,"ctx_diff":{ before the closing brace
///   edits.remove(fields[Field::ctx]);                          // key, value and one comma
///
/// Pipe thread only. reset() for each record keeps capacity: no allocation on the steady path.
/// Replaced and removed spans must not overlap; order of calls is free. Appended members keep their order.
class EditList {
 public:
  /// Readable behind the line and behind every literal(), so that short pieces are copied in whole steps.
  static constexpr size_t kSlack = 64;

  /// `line` must outlive render(), kSlack readable bytes behind it. `member_count`: how many members its
  /// outer object has.
  void reset(std::string_view line, uint32_t member_count);

  void replace(Span where) {
    WEIR_CHECK(!open_ && where.begin <= where.end && where.end <= line_.size());
    edits_.push({where, {}, uint32_t(pieces_.size()), 0});
    begin_edit(edits_.last());
  }
  void append(std::string_view key) {  ///< `key` is static text that needs no escaping
    WEIR_CHECK(!open_);
    appended_.push({{}, key, uint32_t(pieces_.size()), 0});
    begin_edit(appended_.last());
    bytes_ += key.size() + 4;  // comma, two quotes, colon
  }
  void original(Span slice) {
    WEIR_CHECK(slice.begin <= slice.end && slice.end <= line_.size());
    push_piece(line_.data() + slice.begin, slice.size(), Source::kept);
  }
  /// `text` stays as it is until render(), kSlack readable bytes behind it.
  void literal(std::string_view text) { push_piece(text.data(), uint32_t(text.size()), Source::kept); }
  void text(std::string_view text) { push_scratch(text, Source::text); }  ///< copied to scratch
  /// As text(), for a value of the agent's own making (a hash, a time): made_spans() tells where it went.
  void made(std::string_view text) { push_scratch(text, Source::made); }
  void end() {
    WEIR_CHECK(open_);
    Edit& edit = *open_edit_;
    edit.piece_count = uint32_t(pieces_.size()) - edit.first_piece;
    open_ = false;
  }
  void remove(const FieldValue& field);

  /// fn(Span of the line, std::string_view text) for each piece so far, in the order given; one of them is
  /// empty.
  template <class Fn>
  void for_each_piece(Fn&& fn) const {
    for (const Piece& piece : pieces_) {
      const auto begin = uint32_t(piece.at - line_.data());
      if (piece.source != Source::kept)
        fn(Span(), std::string_view(scratch_.data() + piece.begin, piece.size));
      else if (piece.at >= line_.data() && piece.at + piece.size <= line_.data() + line_.size())
        fn(Span{begin, begin + piece.size}, std::string_view());
      else
        fn(Span(), std::string_view(piece.at, piece.size));
    }
  }

  bool empty() const { return edits_.empty() && appended_.empty() && removed_.empty(); }
  /// Room that render() needs; the line is at least kSlack bytes shorter.
  size_t rendered_bytes_max() const { return bytes_; }
  /// Writes the edited line (no line feed) and returns the end. Call once per reset().
  char* render(char* out);
  /// After render(): where in the rendered line values given to made() are, in order.
  const std::vector<Span>& made_spans() const { return made_spans_; }

 private:
  enum class Source : uint8_t { kept, text, made };
  struct Piece {
    const char* at;  // kept: there it is
    uint32_t begin;  // text, made: there, within scratch_
    uint32_t size;
    Source source;
  };
  struct Edit {
    Span where;            // for appended members: empty, at the closing brace
    std::string_view key;  // appended members only
    uint32_t first_piece, piece_count;
  };
  /// What only grows, and is written without a look at more than its size.
  template <class T>
  class Stack {
   public:
    void push(const T& item) {
      if (size_ == items_.size()) [[unlikely]]
        items_.resize(items_.empty() ? 32 : 2 * size_);
      items_.data()[size_++] = item;
    }
    void clear() { size_ = 0; }
    bool empty() const { return size_ == 0; }
    size_t size() const { return size_; }
    T& last() { return items_.data()[size_ - 1]; }
    T* begin() { return items_.data(); }
    T* end() { return items_.data() + size_; }
    const T* begin() const { return items_.data(); }
    const T* end() const { return items_.data() + size_; }

   private:
    std::vector<T> items_;
    size_t size_ = 0;
  };
  void begin_edit(Edit& edit) {
    open_edit_ = &edit;
    last_kept_end_ = nullptr;
    open_ = true;
  }
  void push_piece(const char* at, uint32_t size, Source source) {
    WEIR_CHECK(open_);
    if (size == 0) return;
    bytes_ += size;
    if (at == last_kept_end_)
      pieces_.last().size += size;
    else
      pieces_.push({at, 0, size, source});
    last_kept_end_ = at + size;
  }
  void push_scratch(std::string_view text, Source source);
  void place_removals();
  char* copy_pieces(char* out, const Edit& edit);

  std::string_view line_;
  uint32_t members_ = 0;
  std::vector<char> scratch_;  // kSlack bytes longer than what is used of it
  size_t scratch_used_ = 0;
  Stack<Piece> pieces_;
  Stack<Edit> edits_;  // replacements and removals
  Stack<Edit> appended_;
  std::vector<FieldValue> removed_;
  std::vector<Span> made_spans_;
  const char* rendered_begin_ = nullptr;
  size_t bytes_ = 0;  // rendered_bytes_max()
  Edit* open_edit_ = nullptr;
  const char* last_kept_end_ = nullptr;  // where the last piece of this edit ends, if it is a kept one
  bool open_ = false;                    // between replace() or append() and end()
  bool rendered_ = false;                // removals were placed
};

}  // namespace weir
