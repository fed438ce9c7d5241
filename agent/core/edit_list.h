#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

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
  /// `line` must outlive render(). `member_count`: how many members its outer object has.
  void reset(std::string_view line, uint32_t member_count);

  void replace(Span where);
  void append(std::string_view key);  ///< `key` is static text that needs no escaping
  void original(Span slice);
  void text(std::string_view text);  ///< copied to scratch
  /// As text(), for a value of the agent's own making (a hash, a time): made_spans() tells where it went.
  void made(std::string_view text);
  void end();
  void remove(const FieldValue& field);

  bool empty() const { return edits_.empty() && appended_.empty() && removed_.empty(); }
  /// Bytes render() writes at most.
  size_t rendered_bytes_max() const;
  /// Writes the edited line (no line feed) and returns the end. Call once per reset().
  char* render(char* out);
  /// After render(): where in the rendered line values given to made() are, in order.
  const std::vector<Span>& made_spans() const { return made_spans_; }

 private:
  enum class Source : uint8_t { line, text, made };
  struct Piece {
    uint32_t begin, end;
    Source source;
  };
  struct Edit {
    Span where;            // for appended members: empty, at the closing brace
    std::string_view key;  // appended members only
    uint32_t first_piece, piece_count;
  };
  Edit& open_edit() { return building_append_ ? appended_.back() : edits_.back(); }
  void push_piece(uint32_t begin, uint32_t end, Source source);
  void place_removals();
  char* copy(char* out, uint32_t begin, uint32_t end) const;
  char* copy_pieces(char* out, const Edit& edit);

  std::string_view line_;
  uint32_t members_ = 0;
  std::string scratch_;
  std::vector<Piece> pieces_;
  std::vector<Edit> edits_;  // replacements and removals
  std::vector<Edit> appended_;
  std::vector<FieldValue> removed_;
  std::vector<Span> made_spans_;
  const char* rendered_begin_ = nullptr;
  bool building_append_ = false;
  bool open_ = false;      // between replace() or append() and end()
  bool rendered_ = false;  // removals were placed
};

}  // namespace weir
