#include "agent/sinks/batch_filter.h"

#include "agent/core/check.h"

namespace weir {

std::unique_ptr<BatchFilter> BatchFilter::make(const Settings& settings) {
  const std::string& word = settings.text("trace_slice");
  const Slice slice = word == "business_logic" || word == "logical"        ? Slice::business_logic
                      : word == "platform_internals" || word == "topology" ? Slice::platform_internals
                                                                           : Slice::all;
  if (settings.null("where") && slice == Slice::all) return nullptr;
  std::optional<Expression> where;
  if (!settings.null("where")) {
    auto compiled = Expression::compile(settings.text("where"));
    WEIR_CHECK(compiled.has_value());  // check_common_options() has seen it
    where = std::move(*compiled);
  }
  return std::unique_ptr<BatchFilter>(new BatchFilter(std::move(where), slice));
}

BatchFilter::BatchFilter(std::optional<Expression> where, Slice slice)
    : where_(std::move(where)), slice_(slice) {
  if (slice_ == Slice::all) return;
  // records.md section 8.
  auto internals =
      Expression::compile(R"(step_name starts_with "system.obs." or step_name == "supervisor.transport")");
  WEIR_CHECK(internals.has_value());
  internals_ = std::move(*internals);
}

uint8_t BatchFilter::verdict(std::string_view line) const {
  if (internals_ && internals_->matches(line) != (slice_ == Slice::platform_internals)) return kTraceSlice;
  return where_ && !where_->matches(line) ? uint8_t(kWhere) : kPasses;
}

void BatchFilter::judge(const BatchView& batch) {
  const bool goes_on = batch.begin == begin_ && batch.streams == streams_ && batch.records >= size();
  if (!goes_on) judged_.clear(), head_ = passing_records_ = passing_bytes_ = 0;
  begin_ = batch.begin, streams_ = batch.streams;
  const uint64_t judged = size();
  uint64_t n = 0;
  batch.for_each([&](std::string_view line, Stream) {
    if (n++ < judged) return;
    const uint8_t v = verdict(line);
    judged_.push_back({uint32_t(line.size()), v});
    if (v == kPasses) ++passing_records_, passing_bytes_ += line.size();
  });
}

void BatchFilter::forget(uint64_t records, Position end) {
  for (uint64_t n = 0; n < records; ++n)
    if (at(n).verdict == kPasses) --passing_records_, passing_bytes_ -= at(n).bytes;
  head_ += records;
  begin_ = end;
  if (head_ > judged_.size() / 2) {
    judged_.erase(judged_.begin(), judged_.begin() + ptrdiff_t(head_));
    head_ = 0;
  }
}

BatchFilter::Portion BatchFilter::portion(const BatchView& batch, const BatchLimits& limits) const {
  uint64_t records_max = std::min(limits.records_max, passing_records_);
  if (records_max > limits.records_step) records_max -= records_max % limits.records_step;
  Portion out;
  uint64_t bytes = 0, passing = 0, n = 0;
  bool full = false;
  batch.for_each([&](std::string_view line, Stream) {
    const uint8_t v = at(n++).verdict;
    if (full) return;
    if (v == kPasses) {
      full = passing == records_max || (passing > 0 && bytes + line.size() > limits.bytes_max);
      if (full) return;
      ++passing, bytes += line.size();
    }
    ++out.covered;
  });
  const BatchView whole = first_records(batch, out.covered);
  BatchView& view = out.passing;
  view.streams = whole.streams;
  view.begin = whole.begin, view.end = whole.end, view.covered = whole.covered;
  view.records = passing, view.bytes = bytes;
  n = 0;
  for (const BatchSlice& slice : whole.slices) {
    bool open = false;  // records of other streams between two that pass may stay in the run
    for (uint32_t i = slice.first_entry; i < slice.first_entry + slice.entry_count; ++i) {
      if (!whole.streams.has(slice.block->entry(i).stream)) continue;
      if (at(n++).verdict != kPasses) {
        open = false;
        continue;
      }
      if (!open)
        view.slices.push_back(
            {slice.block, i, 0, slice.begin + (i - slice.first_entry), {}, 0, slice.received_ns});
      open = true;
      ++view.slices.back().records;
      view.slices.back().entry_count = i + 1 - view.slices.back().first_entry;
    }
  }
  return out;
}

uint64_t BatchFilter::records_before(uint64_t passing) const {
  uint64_t n = 0;
  for (; n < size(); ++n)
    if (at(n).verdict == kPasses && passing-- == 0) break;
  return n;
}

std::array<uint64_t, 2> BatchFilter::filtered(uint64_t records) const {
  std::array<uint64_t, 2> out{};
  for (uint64_t n = 0; n < records; ++n)
    if (at(n).verdict != kPasses) ++out[at(n).verdict];
  return out;
}

}  // namespace weir
