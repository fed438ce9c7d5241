#pragma once
#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "agent/journal/journal.h"

namespace weir::test {

/// What of a journal on disk and its one cursor outlives the process. A copy is a snapshot.
struct KeptPlaces {
  struct Place {
    Position position = 0;
    std::string note;
  };
  struct Checkpoint {
    Place last, secured;
  };
  Checkpoint cached;     ///< as it was written last: after the death of the process
  Checkpoint durable;    ///< as it was synced last: at least this is there after a power cut
  bool written = false;  ///< one was, in this boot
};

/// A cursor over lines that are all there, whose places are kept as those of a journal on disk
/// (journal.h). `eager`: each commit() and secure() is in the checkpoint at once; else only keep() writes
/// one, which is as late as may be.
class KeptCursor final : public Cursor {
 public:
  using Lines = std::vector<std::pair<Stream, std::string>>;

  KeptCursor(const Lines& lines, KeptPlaces& places, bool eager, bool same_boot,
             const KeptPlaces::Place& begin)
      : places_(places), eager_(eager), same_boot_(same_boot), count_(lines.size()), now_(begin) {
    size_t bytes = 64;
    for (const auto& [stream, line] : lines) bytes += line.size() + 1 + sizeof(IndexEntry);
    block_ = std::make_shared<Block>(bytes);
    for (const auto& [stream, line] : lines) {
      std::memcpy(block_->tail(), (line + "\n").data(), line.size() + 1);
      block_->add_line(line.size() + 1, stream);
    }
    durable_upto_ = begin.position;
  }

  bool next(BatchView& out, const BatchLimits& limits, int64_t, std::stop_token) override {
    out = {};
    if (secure_wanted_ || now_.position == count_) return false;
    out.streams = StreamSet::all();
    out.begin = now_.position;
    out.end = std::min(count_, out.begin + std::min(limits.records_max, batch_records_max));
    BatchSlice slice{block_, uint32_t(out.begin), uint32_t(out.end - out.begin), out.begin, {}};
    for (Position p = out.begin; p < out.end; ++p) {
      const IndexEntry& e = block_->entry(p);
      ++out.covered.records[size_t(e.stream)], out.covered.bytes[size_t(e.stream)] += e.length;
      ++out.records, out.bytes += e.length;
    }
    out.slices.push_back(std::move(slice));
    return true;
  }
  void commit(const BatchView& batch, std::string_view note) override {
    CHECK(batch.begin == now_.position);
    now_ = {batch.end, std::string(note)};
    passed_ += batch.records;
    if (!needs_secure_) secured_ = now_;
    if (eager_) write(false);
  }
  bool is_kept() const override { return true; }
  CursorMemory memory() const override { return {now_.note, same_boot_}; }
  bool keep(std::string_view note, bool durable) override {
    if (keeps_to_fail > 0) return --keeps_to_fail, false;
    ++keeps;
    now_.note = note;
    write(durable);
    return true;
  }
  bool wait_durable(std::stop_token stop) override {
    if (stop.stop_requested() && durable_upto_ < now_.position) return false;
    durable_upto_ = now_.position;
    return true;
  }
  void secure(std::string_view note) override {
    CHECK(durable_upto_ ==
          now_.position);  // else a power cut could lose it in the journal, and not in the file
    now_.note = note;
    secured_ = now_;
    secure_wanted_ = false;
    ++secures;
    if (eager_) write(false);
  }
  bool secure_wanted() const override { return secure_wanted_; }
  void want_secure() { secure_wanted_ = true; }
  void set_needs_secure(bool needs) override { needs_secure_ = needs; }
  CursorStatus status() const override {
    return {.position = now_.position,
            .routed = passed_ + count_ - now_.position,
            .passed = passed_,
            .lag_records = count_ - now_.position,
            .lag_bytes = 0};
  }
  void flush() override {}
  void wake() override {}
  void set_streams(StreamSet) override {}
  void set_lag_limit(LagLimit) override {}
  void end_here() override {}

  const KeptPlaces::Place& now() const { return now_; }
  uint64_t batch_records_max = 1000;
  int keeps = 0, secures = 0;
  int keeps_to_fail = 0;

 private:
  void write(bool durable) {
    places_.cached = {now_, secured_};
    places_.written = true;
    if (durable) places_.durable = places_.cached;
  }

  KeptPlaces& places_;
  const bool eager_, same_boot_;
  const Position count_;
  std::shared_ptr<Block> block_;
  KeptPlaces::Place now_;
  KeptPlaces::Place secured_ = places_.cached.secured;
  Position durable_upto_ = 0;
  uint64_t passed_ = now_.position;
  bool secure_wanted_ = false, needs_secure_ = false;
};

}  // namespace weir::test
