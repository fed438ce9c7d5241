#pragma once
#include <string_view>

#include "agent/core/edit_list.h"
#include "agent/core/record.h"

namespace weir {

/// keep, or drop by the rule of that name (counted as dropped_by_rule).
struct Verdict {
  std::string_view dropped_by;  ///< empty: keep. Static text or owned by the processor
  static Verdict keep() { return {}; }
  bool kept() const { return dropped_by.empty(); }
};

/// Caller: Pipeline, on the pipe thread, in order, one record at a time. Reads the original values only,
/// whatever other processors do, and writes edits. Bounded state, no I/O, no clock but the one given at
/// construction, no allocation per record on the steady path. Must not keep views of the record.
class Processor {
 public:
  virtual ~Processor() = default;
  virtual Verdict process(const RecordView& record, EditList& edits) = 0;
};

}  // namespace weir
