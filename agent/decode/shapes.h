#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/core/record.h"
#include "agent/decode/reserved.h"

/// Shapes of records (docs/decisions/0010-shapes.md). A program sends the same few kinds of record over and
/// over: the same keys in the same order, only the values differ. Such a record is *glue* (punctuation, keys,
/// white space: fixed bytes) with *holes* (the contents of a string, or a bare scalar) between. Once the
/// parser has accepted a record, every other one with the same glue and well-formed holes is acceptable too,
/// and its fields are where its glue says: no key is hashed, looked up or compared with its neighbours again.
namespace weir::decode {

/// What follows a run of glue.
enum class Hole : uint8_t {
  none,  ///< the root only: the record begins
  text,  ///< contents of a string; the glue ends with its opening quote, the next begins with the closing one
  bare,  ///< a number, true, false or null
  end,   ///< the record ends
};

/// One run of glue and the hole behind it. The first to follow it in a record is the next in memory, if any
/// follows at all; alternatives are linked by `sibling`. 64 bytes: a cache line.
struct alignas(64) ShapeStep {
  static constexpr uint8_t kNoQuote = 255;
  /// Its first bytes, zeros behind. Of one that is not `simple` zeros only, which no record holds (and at its
  /// end nobody looks, as it has no `first_quote`): whoever looks here alone does not find it.
  char glue[32] = {};
  uint32_t wanted = 0;   ///< one bit for each byte of `glue` that counts
  uint16_t sibling = 0;  ///< index of the next alternative, 0: none
  uint16_t shape = 0;    ///< of the end: which one in Shapes::shape()
  uint16_t bytes = 0;    ///< where all its bytes are in Shapes::bytes()
  uint8_t size = 0;      ///< how many these are
  uint8_t quotes = 0;    ///< how many of them are quotes
  uint8_t first_quote =
      kNoQuote;  ///< of one that is `simple`: where the first is; of the end without one its size
  Hole hole = Hole::none;
  uint8_t allowed = kAnyType;  ///< of a bare value: a TypeSet, and what a number has to be
  static constexpr uint8_t kInteger = 0x40, kFinite = 0x80;
  /// The matcher finds it where the next quote says; of the end without one that is the end of the text.
  bool simple() const { return size <= sizeof glue && (quotes > 0 || hole == Hole::end); }
};
static_assert(sizeof(ShapeStep) == 64);

/// The shapes met so far, as a tree: records that begin alike share their beginning. Bounded. When most
/// records do not fit, it leaves them alone for a while, longer each time, then forgets all and begins again.
/// Pipe thread only; allocates only while it learns.
class Shapes {
 public:
  static constexpr size_t kTextBytesMax = 65535;                    ///< positions are 16 bits
  static constexpr size_t kStepsMax = 4096;                         ///< of all shapes together
  static constexpr size_t kShapeStepsMax = RecordShape::kGluesMax;  ///< of one
  static constexpr size_t kQuotesMax = 64;                          ///< of one run of glue
  static constexpr size_t kShapesMax = RecordShape::kKnownMax;
  static constexpr size_t kMemoryBytesMax = 2 << 20;  ///< what all that amounts to

  Shapes();
  ~Shapes();
  /// Should this record be tried?
  bool wants(std::string_view text) {
    if (resting_ > 0) [[unlikely]] {
      if (--resting_ == 0) forget();
      return false;
    }
    return text.size() <= kTextBytesMax;
  }
  void count_hit() {
    if (++tried_ >= kWindow) [[unlikely]]
      judge_window();
  }
  /// `text` did not fit, and the parser has accepted it (learned) or not.
  void learn(std::string_view text);
  void count_miss() {
    ++missed_;
    count_hit();
  }

  bool empty() const { return shapes_.empty(); }
  size_t size() const { return shapes_.size(); }
  bool resting() const { return resting_ > 0; }
  size_t memory_bytes() const;
  const ShapeStep* steps() const { return steps_.data(); }
  const char* bytes() const { return bytes_.data(); }
  const RecordShape& shape(uint16_t index) const { return *shapes_[index]; }

 private:
  static constexpr uint32_t kWindow = 1024, kFutileMax = 32;
  static constexpr uint32_t kMissedShare = 16, kCrowdedWindows = 16;
  static constexpr uint32_t kRestMin = 4 * kWindow, kRestMax = 64 * kRestMin;
  struct Draft;
  class Drafter;
  void judge_window();
  void forget();
  bool insert(Draft& draft);
  uint32_t find_child(uint32_t parent, const Draft& draft, size_t step, uint32_t& last) const;

  std::vector<ShapeStep>
      steps_;  // the first is the root. Invariant: behind each but ends follows its first child
  std::vector<std::unique_ptr<RecordShape>> shapes_;
  std::string bytes_;
  size_t members_ = 0;  // of all shapes
  uint64_t next_id_ = 1;
  std::unique_ptr<Draft> draft_;
  uint32_t tried_ = 0, missed_ = 0, futile_ = 0;  // of this window; futile: taken apart in vain
  bool crowded_ = false;                          // in this window there was no room for a shape
  uint32_t crowded_windows_ = 0;
  uint32_t resting_ = 0, rest_ = kRestMin;
};

}  // namespace weir::decode
