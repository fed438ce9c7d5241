#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

inline constexpr size_t kReadBytes = 256 << 10;
inline constexpr size_t kReadablePadding = 64;  ///< behind every payload, for vector loads

/// The pipe's one receive buffer, shared by all sessions for the length of a turn; and the budget for what
/// they have put aside.
struct ReadBuffer {
  std::vector<char> bytes = std::vector<char>(2 * kReadBytes + kReadablePadding);
  size_t record_bytes_max = 256 << 10;
  size_t aside_bytes = 0;  ///< held by all sessions for unfinished lines
  /// Above this, sessions in the middle of a long line take turns in reading; above twice this, a line that
  /// is still unfinished is refused, so that connections that never finish theirs cannot use up the memory.
  size_t aside_bytes_max = 32 << 20;
  const void* turn_of = nullptr;  ///< the LineReader whose turn it is
  int64_t turn_until_ns = 0;
};

/// The part of that budget that the connections of one user have.
struct AsideShare {
  size_t bytes = 0;
  size_t bytes_max = SIZE_MAX;
};

/// A line, or what is left of one that was too long.
struct Line {
  std::string_view payload;  ///< without line ending; of a too long one at most the first 64 KiB
  bool too_long = false;
  uint64_t length = 0;  ///< all of it
};

/// Cuts the bytes of one connection into lines. A turn: space(), filled(), next()..., put_aside(). Between
/// turns it holds only an unfinished line, in memory of its own. Invariant: begin_ <= scanned_ <= end_, no
/// line feed in [begin_, scanned_).
class LineReader {
 public:
  /// `share` may be null.
  LineReader(ReadBuffer& shared, AsideShare* share) : shared_(shared), share_(share) {}
  ~LineReader() { release(); }
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  /// Where the next read goes.
  std::span<char> space();
  void filled(size_t bytes) { end_ += bytes; }
  /// Starts a turn on what was put aside, without a read.
  void resume();
  /// The next non-blank line; false when none is complete.
  bool next(Line& out);
  /// After the last read of a connection: the unfinished line, if there is one that is not blank.
  bool last(Line& out);
  /// Ends the turn: the shared buffer may be used by others from here on.
  void put_aside();
  /// The line that next() or last() gave comes again.
  void put_back() { begin_ = scanned_ = line_begin_; }
  /// False: the budget is used up, and it is another one's turn.
  bool may_read();

 private:
  static constexpr size_t kAsideFree =
      16 << 10;  ///< up to here an unfinished line is copied back to the shared buffer
  void release();
  void reserve_aside(size_t bytes);
  void count_in_share(size_t bytes);
  bool over_budget(size_t bytes) const;
  bool skip_line(Line& out, char* line_feed);
  void start_skipping();

  ReadBuffer& shared_;
  AsideShare* const share_;
  size_t in_share_ = 0;   ///< counted there for this one
  char* base_ = nullptr;  ///< the buffer of this turn: the shared one or aside_
  size_t begin_ = 0, scanned_ = 0, end_ = 0;
  size_t line_begin_ = 0;  ///< of the line given last
  std::unique_ptr<char[]> aside_;
  size_t aside_size_ = 0, aside_capacity_ = 0;
  size_t aside_scanned_ = 0;
  bool skipping_ = false;  ///< within a line that is too long
  std::string skipped_head_;
  uint64_t skipped_length_ = 0;
  bool skipped_cr_ = false;  ///< its last byte so far was a CR, which may belong to the line's end
};

}  // namespace weir
