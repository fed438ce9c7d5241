#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "agent/core/options.h"
#include "agent/journal/journal.h"
#include "agent/process/expression.h"

namespace weir {

/// A sink's `where` and `trace_slice` between its cursor and itself: judges the records of a batch, each once
/// however often the batch comes again, and gives the sink a view of those that pass. No allocation per
/// record. The sink's worker thread only.
class BatchFilter {
 public:
  /// Null when the options let everything pass.
  static std::unique_ptr<BatchFilter> make(const Settings& settings);

  /// Judges `batch`. One that begins where the last one began is its continuation: only what is new is
  /// judged.
  void judge(const BatchView& batch);
  /// How many of the judged records pass, and their bytes.
  uint64_t passing_records() const { return passing_records_; }
  uint64_t passing_bytes() const { return passing_bytes_; }

  /// The first part of the judged batch: so many of its records (`covered`) that at most `limits.records_max`
  /// pass, a multiple of `limits.records_step` where there are that many, and at most `limits.bytes_max`.
  struct Portion {
    uint64_t covered = 0;  ///< records of the batch, for first_records()
    BatchView passing;     ///< begin, end and covered are those of the whole portion
  };
  Portion portion(const BatchView& batch, const BatchLimits& limits) const;

  /// How many records of the batch come before the passing record number `passing` (from 0).
  uint64_t records_before(uint64_t passing) const;
  /// The first `records` records of the batch are committed, up to position `end`: what is judged of the rest
  /// stays.
  void forget(uint64_t records, Position end);
  enum Rule : uint8_t { kWhere, kTraceSlice };
  static constexpr std::array<std::string_view, 2> kRuleNames{"where", "trace_slice"};
  /// Of the first `records` records of the batch: how many each rule has kept back.
  std::array<uint64_t, 2> filtered(uint64_t records) const;

 private:
  enum class Slice { all, business_logic, platform_internals };
  static constexpr uint8_t kPasses = 255;
  BatchFilter(std::optional<Expression> where, Slice slice);
  uint8_t verdict(std::string_view line) const;

  std::optional<Expression> where_;
  Slice slice_;
  std::optional<Expression> internals_;
  struct Judged {
    uint32_t bytes;
    uint8_t verdict;  ///< kPasses or the Rule
  };
  uint64_t size() const { return judged_.size() - head_; }
  const Judged& at(uint64_t i) const { return judged_[head_ + i]; }

  Position begin_ = 0;  ///< of the batch
  StreamSet streams_;
  std::vector<Judged> judged_;  ///< from head_ on: each record of the batch's streams
  size_t head_ = 0;
  uint64_t passing_records_ = 0, passing_bytes_ = 0;
};

}  // namespace weir
