#pragma once
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "agent/core/frame_handler.h"
#include "agent/ring/shared_memory.h"
#include "proto/ring.h"

namespace weir::ring {

/// One thread's ring, read. Trusts nothing that stands in it: each word of a header is loaded once and judged
/// then, a record is copied out before anybody looks at it. look(), then peek() and take() in turn.
class Ring {
 public:
  static tl::expected<std::unique_ptr<Ring>, Refusal> attach(int fd, uint64_t ring_id);

  /// Everything this ring's records are handed over with. `records` of them were taken before: its place.
  Producer producer;
  uint64_t id() const { return id_; }
  ClockKind clock() const { return clock_; }
  uint64_t capacity() const { return memory_.capacity(); }
  uint64_t records() const { return records_; }
  uint64_t number() const { return number_; }

  /// How far the client has come now. What had been committed at the look before is old: it is due whatever
  /// its clock says. Null: all is well; else what is wrong, and everything up to its head was skipped.
  const char* look();
  /// Has the client done nothing since the last look? Touches as little as it can.
  bool is_quiet() const {
    return header_->head.load(std::memory_order_relaxed) == head_ &&
           header_->dropped.load(std::memory_order_relaxed) == dropped_ &&
           (header_->closed.load(std::memory_order_relaxed) != 0) == closed_;
  }
  /// Is there a record? Its size is judged; its clock is known then. `wrong` as for look().
  bool peek(const char*& wrong);
  uint64_t next_clock() const { return next_.clock; }
  bool next_is_old() const { return index_ < old_head_; }
  /// The record that peek() found, copied; `kReadBeyond` readable bytes follow it.
  std::string_view take(std::vector<char>& copy);
  static constexpr size_t kReadBeyond = 16;
  /// Of the record that take() gave.
  size_t last_bytes() const { return last_bytes_; }

  /// So many more of its records were refused. Its client can see that.
  void add_rejected(uint64_t count) {
    header_->rejected.store(header_->rejected.load(std::memory_order_relaxed) + count,
                            std::memory_order_relaxed);
  }

  /// No further than what is committed now.
  void end_here() { end_ = head_; }
  bool drained() const { return index_ == head_ || index_ >= end_; }
  bool closed() const { return closed_; }
  /// How far the client had come at the last look.
  uint64_t head() const { return head_; }
  /// Records that its client dropped, all ever, as of the last look.
  uint64_t dropped() const { return dropped_; }
  /// Those of them that nobody has counted, no agent before this one either. From now on they are counted.
  uint64_t take_dropped();

  /// Everything taken so far lies before `mark` of the journal.
  void note_mark(uint64_t mark);
  /// Publishes the places of what `has_reached(mark)` holds for.
  template <class HasReached>
  void publish(HasReached has_reached) {
    size_t n = 0;
    while (n < waiting_.size() && has_reached(waiting_[n].mark)) ++n;
    if (n == 0) return;
    store_place(waiting_[n - 1]);
    waiting_.erase(waiting_.begin(), waiting_.begin() + ptrdiff_t(n));
  }
  /// Everything taken is safe, and the client knows.
  bool published() const { return waiting_.empty() && noted_ == index_; }

 private:
  struct Place {
    uint64_t tail, records, mark;
  };
  static constexpr size_t kPlacesMax = 64;
  Ring(SharedMemory memory, const RingHeader& header);
  const char* read_place();
  const char* skip(const char* why);
  void store_place(const Place& place);

  SharedMemory memory_;
  RingHeader* const header_;
  const uint64_t id_, number_;
  const ClockKind clock_;
  uint64_t index_ = 0;     // of the next record
  uint64_t head_ = 0;      // as last loaded and judged
  uint64_t old_head_ = 0;  // of the look before
  uint64_t tail_ = 0;      // as published
  uint64_t noted_ = 0;     // index_ at the last note_mark()
  uint64_t end_ = UINT64_MAX;
  uint64_t records_ = 0;      // taken, all ever
  uint64_t places_done_ = 0;  // ours, published in the header
  uint64_t dropped_ = 0, dropped_told_;
  bool closed_ = false;
  bool peeked_ = false;
  RecordHeader next_{};  // judged
  size_t last_bytes_ = 0;
  std::vector<Place> waiting_;
};

}  // namespace weir::ring
