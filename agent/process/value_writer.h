#pragma once
#include <cstdint>
#include <string_view>

#include "agent/core/edit_list.h"
#include "agent/process/context_side.h"

namespace weir {

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
  void begin_replace(Span where);
  /// A field at the end of the record; `key` is static text.
  void begin_append(std::string_view key);

  /// [begin, end) of side.text as it is. `comma`: a comma belongs between the piece before and this one. The
  /// text in between is taken along when it is just that.
  void take(const ContextSide& side, uint32_t begin, uint32_t end, bool comma = false);
  /// A value, its long strings cut. Follows take() of what stands before it.
  void take_value(const ContextSide& side, Span value);
  /// Everything from `whole.begin` to `whole.end`, only long strings cut.
  void take_all(const ContextSide& side);
  void text(std::string_view text);
  void end();

 private:
  void open();
  void flush();
  bool joins(const ContextSide& side, uint32_t begin, bool comma) const;
  void put(const ContextSide& side, uint32_t begin, uint32_t end);

  EditList& edits_;
  const int64_t max_value_len_;
  const uint32_t uncut_bytes_;
  Span where_;
  std::string_view key_;
  bool append_ = false;
  bool open_ = false;
  std::string_view source_;  // text that pending_ indexes
  Span pending_;
  bool pending_in_line_ = false;
};

}  // namespace weir
