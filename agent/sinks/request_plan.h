#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "agent/journal/journal.h"
#include "agent/sinks/sink.h"

namespace weir {

/// Records that go together in one request, by their ordinals in the journal.
struct RequestBounds {
  Position first = 0, last = 0;
  uint64_t records = 0, bytes = 0;
  bool delivered = false;  ///< but not what lies before
};

/// Which records of a batch go together in one request, and what became of each. The bounds of a request are
/// ordinals of the journal and never change once made, but by being split after a refusal: so whatever is
/// sent again is sent with the same content and key, also when more records have come meanwhile.
///
///   begin(batch)  { next_waiting() -> delivered() | failed() | refused() }  finish()
///
/// No allocation per record in steady state.
class RequestPlan {
 public:
  struct Request {
    Position first = 0, last = 0;     ///< ordinals of its first and its last record, counted from 1
    uint64_t begin = 0, end = 0;      ///< its records by their index within the batch; empty: not in it
    uint64_t records = 0, bytes = 0;  ///< how many, and of how many bytes
    enum class State { waiting, running, delivered, refused } state = State::waiting;
    uint64_t attempts = 0;    ///< requests its records were part of
    std::string answer = {};  ///< refused
  };
  /// What is done of the batch: all records before the first that is neither delivered nor refused.
  struct Progress {
    uint64_t done = 0;
    std::vector<Refusal> refused;
  };

  RequestPlan(uint64_t records_max, uint64_t bytes_max) : records_max_(records_max), bytes_max_(bytes_max) {}

  /// Takes up a batch: what was planned of it stays as it was, the rest is cut into new requests.
  void begin(const BatchView& batch);
  /// The first request that waits, in the order of the journal, now running; null: none.
  const Request* next_waiting();
  bool waiting() const;
  void delivered(Position first);
  /// It waits again.
  void failed(Position first);
  /// The server does not want it: two halves wait in its place, or its one record is given up with this
  /// answer.
  void refused(Position first, std::string answer);
  /// Ends the delivery, and forgets what is done.
  Progress finish();

  /// What is planned and not done, for the next batch to hold it all.
  uint64_t unfinished_records() const { return unfinished_records_; }
  uint64_t unfinished_bytes() const { return unfinished_bytes_; }
  std::vector<RequestBounds> unfinished() const;
  void resume(const std::vector<RequestBounds>& requests);
  /// Ordinal of the last record that is planned; 0: none.
  Position planned_upto() const { return requests_.empty() ? 0 : requests_.back().last; }

 private:
  struct Record {
    Position ordinal;
    uint32_t bytes;
  };
  size_t index_of(Position first) const;
  void find_records(Request& request) const;
  void count(Request& request) const;
  void cut(uint64_t begin, uint64_t end);

  const uint64_t records_max_, bytes_max_;
  std::vector<Record> records_;  ///< of the batch
  std::vector<Request> requests_, next_;
  uint64_t unfinished_records_ = 0, unfinished_bytes_ = 0;
};

}  // namespace weir
