#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace weir {

inline constexpr size_t kReadBytes = 256 << 10;
inline constexpr size_t kReadablePadding = 64;  ///< behind every payload, for vector loads

/// The pipe's one receive buffer, shared by all sessions for the length of a turn; and the budget for what
/// they have put aside.
struct ReadBuffer {
  std::vector<char> bytes = std::vector<char>(2 * kReadBytes + kReadablePadding);
  size_t record_bytes_max = 256 << 10;
  size_t aside_bytes = 0;  ///< held by all sessions for unfinished lines and frames
  /// Above this, sessions in the middle of a long line or frame take turns in reading; above twice this, one
  /// that is still unfinished is refused, so that connections that never finish theirs cannot use up the
  /// memory.
  size_t aside_bytes_max = 32 << 20;
  const void* turn_of = nullptr;  ///< the InputBuffer whose turn it is
  int64_t turn_until_ns = 0;
};

/// The part of that budget that the connections of one user have.
struct AsideShare {
  size_t bytes = 0;
  size_t bytes_max = SIZE_MAX;
};

/// The bytes of one connection that nobody has taken yet. A turn: space() and filled(), or resume(); then
/// take() from the front; put_aside(). Between turns it holds only what was not taken, in memory of its own.
class InputBuffer {
 public:
  /// Up to here what was put aside is copied back to the shared buffer.
  static constexpr size_t kAsideFree = 16 << 10;

  /// `share` may be null.
  InputBuffer(ReadBuffer& shared, AsideShare* share) : shared_(shared), share_(share) {}
  ~InputBuffer() { release(); }
  InputBuffer(const InputBuffer&) = delete;
  InputBuffer& operator=(const InputBuffer&) = delete;

  /// Where the next read goes.
  std::span<char> space();
  void filled(size_t bytes) { end_ += bytes; }
  /// Starts a turn on what was put aside, without a read.
  void resume();
  /// At least kReadablePadding readable bytes follow the last one.
  char* data() const { return base_ + begin_; }
  size_t size() const { return end_ - begin_; }
  /// Is nothing in it, nor put aside?
  bool holds_nothing() const { return begin_ == end_ && aside_size_ == 0; }
  void take(size_t bytes) { begin_ += bytes; }
  /// The last bytes that were taken in this turn come again.
  void give_back(size_t bytes) { begin_ -= bytes; }
  /// Ends the turn: the shared buffer may be used by others from here on.
  void put_aside();
  /// False: the budget is used up, and it is another one's turn.
  bool may_read();
  /// Would it be too much to put aside what is there?
  bool over_budget() const;
  size_t record_bytes_max() const { return shared_.record_bytes_max; }

 private:
  void release();
  void reserve_aside(size_t bytes);
  void count_in_share(size_t bytes);

  ReadBuffer& shared_;
  AsideShare* const share_;
  size_t in_share_ = 0;   ///< counted there for this one
  char* base_ = nullptr;  ///< the buffer of this turn: the shared one or aside_
  size_t begin_ = 0, end_ = 0;
  std::unique_ptr<char[]> aside_;
  size_t aside_size_ = 0, aside_capacity_ = 0;
};

}  // namespace weir
