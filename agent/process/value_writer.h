#pragma once
#include <cstdint>
#include <string_view>

#include "agent/core/edit_list.h"
#include "agent/process/context_side.h"

namespace weir {

inline constexpr std::string_view kTruncated = "...(truncated)";

/// `string` at a string's opening quote, `end` behind its closing one. Where to cut it so that `max` code
/// points are left; nullptr when it is not longer. An escape is one code point, and so is a pair of surrogate
/// escapes.
const char* cut_position(const char* string, const char* end, int64_t max);

/// Writes one context field (ctx_before, ctx_after, ctx_diff) as pieces of what was sent, and cuts long
/// strings on the way. Neighbouring slices become one, so a context of which everything is kept is no edit at
/// all.
class ValueWriter {
 public:
  /// Raw text up to this size holds no string over `max_value_len` code points.
  static uint32_t uncut_bytes(int64_t max_value_len) {
    return max_value_len + 2 < int64_t(UINT32_MAX) ? uint32_t(max_value_len + 2) : UINT32_MAX;
  }

  ValueWriter(EditList& edits, int64_t max_value_len)
      : edits_(edits), max_value_len_(max_value_len), uncut_bytes_(uncut_bytes(max_value_len)) {}

  /// The value of a field that was sent.
  void begin_replace(Span where) { where_ = where; }
  /// A field at the end of the record; `key` is static text.
  void begin_append(std::string_view key) { append_ = true, key_ = key; }

  /// [begin, end) of side.text as it is. `comma`: a comma belongs between the piece before and this one. The
  /// text in between is taken along when it is just that.
  void take(const ContextSide& side, uint32_t begin, uint32_t end, bool comma = false) {
    const bool same_source = pending_.size() > 0 && side.text.data() == source_;
    if (same_source &&
        (is_neighbour(begin, comma) || (begin >= pending_.end && only_between(begin, comma)))) {
      pending_.end = end;
      return;
    }
    if (comma) {
      if (same_source && source_[pending_.end] == ',')
        ++pending_.end;  // stood there anyway: one piece less
      else
        text(",");
    }
    flush();
    source_ = side.text.data();
    pending_ = {begin, end};
    pending_in_line_ = side.in_line;
  }
  /// A value, its long strings cut. Follows take() of what stands before it.
  void take_value(const ContextSide& side, Span value) {
    if (value.size() <= uncut_bytes_) return take(side, value.begin, value.end);
    take_long_value(side, value);
  }
  /// A key and its value.
  void take_member(const ContextSide& side, Span key, Span value, bool comma) {
    if (value.size() <= uncut_bytes_) return take(side, key.begin, value.end, comma);
    take(side, key.begin, value.begin, comma);
    take_long_value(side, value);
  }
  /// Everything from `whole.begin` to `whole.end`, only long strings cut.
  void take_all(const ContextSide& side);
  void text(std::string_view text) {
    flush();
    open();
    edits_.text(text);
  }
  void end() {
    if (!append_ && !open_ && pending_in_line_ && pending_ == where_) return;
    flush();
    open();
    edits_.end();
  }

 private:
  void open() {
    if (open_) return;
    open_ = true;
    if (append_)
      edits_.append(key_);
    else
      edits_.replace(where_);
  }
  void flush() {
    if (pending_.size() == 0) return;
    open();
    if (pending_in_line_)
      edits_.original(pending_);
    else
      edits_.text({source_ + pending_.begin, pending_.size()});
    pending_ = {};
  }
  /// The common case of only_between(): no white space.
  bool is_neighbour(uint32_t begin, bool comma) const {
    return comma ? begin == pending_.end + 1 && source_[pending_.end] == ',' : begin == pending_.end;
  }
  /// Is the text between what is pending and `begin` white space, and one comma if there is to be one?
  bool only_between(uint32_t begin, bool comma) const;
  void take_long_value(const ContextSide& side, Span value);

  EditList& edits_;
  const int64_t max_value_len_;
  const uint32_t uncut_bytes_;
  Span where_;
  std::string_view key_;
  bool append_ = false;
  bool open_ = false;
  bool pending_in_line_ = false;
  const char* source_ = nullptr;  // text that pending_ indexes
  Span pending_;
};

}  // namespace weir
