#pragma once
#include <deque>
#include <string>

#include "agent/cli/send_session.h"
#include "agent/cli/text_records.h"

namespace weir::cli {

/// Records on their way to a session that may not take them now. With a limit it drops what does not fit;
/// once it has dropped it goes on until half of it is free, so that a gap is one piece, and puts one record
/// in the place of the gap (`weir send: N lines dropped`, attribute `dropped_lines`).
class TextBuffer {
 public:
  /// `bytes_max` 0: no limit, the caller stops when it is not empty.
  TextBuffer(SendSession& session, std::string_view service, size_t bytes_max);
  void add(const TextRecord& record);
  /// Gives the session what it has room for. `wall_ns`: the time of a gap that ends here.
  void move(int64_t wall_ns);
  /// No more comes: a gap that is open ends here.
  void finish(int64_t wall_ns);
  /// Everything in it counts as dropped.
  void give_up();
  bool empty() const { return waiting_.empty(); }
  uint64_t dropped_lines() const { return dropped_lines_; }

 private:
  struct Waiting {
    std::string json, file;
    uint64_t line, lines;
    size_t cost() const { return json.size() + sizeof(Waiting); }
  };
  void end_gap(int64_t wall_ns);
  void push(const TextRecord& record);

  SendSession& session_;
  std::string service_member_;
  const size_t bytes_max_;
  std::deque<Waiting> waiting_;
  size_t bytes_ = 0;
  uint64_t gap_lines_ = 0;  ///< of the gap that is open
  uint64_t dropped_lines_ = 0;
};

}  // namespace weir::cli
