#pragma once
#include <simdjson.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/core/clock.h"
#include "agent/core/edit_list.h"
#include "agent/decode/parser.h"
#include "agent/process/processor.h"

namespace weir::test {

/// Room for a text whose 64 readable bytes end where a page begins that nobody may touch: one byte more and
/// the process crashes.
class GuardedText {
 public:
  GuardedText();
  ~GuardedText();
  GuardedText(const GuardedText&) = delete;
  GuardedText& operator=(const GuardedText&) = delete;
  static constexpr size_t kBytesMax = 1 << 20;
  /// `behind`: what stands in the 64 bytes, over and over; zeros where it is empty.
  std::string_view place(std::string_view text, std::string_view behind);

 private:
  char* map_;
  size_t used_;  ///< of the map: what may be touched
};

/// signature and context_diff, as the trace stream has them.
class Chain {
 public:
  enum Kind { whitelist, cut, diff_only, kinds };
  Chain(Kind kind, const Clock& clock);
  std::string_view run(const RecordView& record);

 private:
  std::vector<std::unique_ptr<Processor>> processors_;
  EditList edits_;
  std::string out_;
};

/// Takes the records of one producer, one after the other. Decoders with experience, one for each instruction
/// set, stand beside one that meets each record as its first, and beside two parsers of others; what they
/// agree on is processed by chains that have the same past, and has to leave them alike, well-formed, and
/// with everything else as it was sent.
class DecoderOracle {
 public:
  DecoderOracle();
  /// Empty, or what is wrong.
  std::string check(std::string_view record);

  struct Counts {
    uint64_t records = 0, accepted = 0, known = 0;  ///< known: by its shape, to all instruction sets
    Counts& operator+=(const Counts& more);
  };
  const Counts& counts() const { return counts_; }

 private:
  /// A decoder and what it feeds.
  struct Side {
    decode::Workspace work;
    FieldTable table;
    std::vector<Chain> chains;
  };
  /// A workspace that has met nothing.
  decode::Workspace& unknowing();
  std::string judge_by_others(std::string_view record, const Fault& fault);
  std::string check_output(std::string_view record, std::string_view output);

  ManualClock clock_;
  GuardedText text_, other_text_;
  std::unique_ptr<Side> reference_;
  std::vector<std::unique_ptr<Side>> experienced_;
  simdjson::dom::parser simdjson_;
  Counts counts_;
};

}  // namespace weir::test
