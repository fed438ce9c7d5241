#pragma once
#include <memory>
#include <string>
#include <vector>

#include "agent/core/io.h"
#include "agent/journal/segment_format.h"

namespace weir {

/// Reads the transactions of one segment in order. Gives out none whose sum does not hold; looks behind what
/// is damaged for the next one that does. One thread.
class SegmentReader {
 public:
  struct Range {
    uint64_t begin = 0, end = 0;  ///< bytes of the file
  };
  /// Takes over `fd`. Looks at no byte from `limit` on. `io` outlives it.
  SegmentReader(Io& io, int fd, std::string uuid, uint64_t limit);
  ~SegmentReader();
  SegmentReader(const SegmentReader&) = delete;
  SegmentReader& operator=(const SegmentReader&) = delete;

  /// The next one; its bytes stay until the next call. False: there is none behind offset().
  bool next(StoredTransaction& out);
  /// The same, for who cannot come back later: what cannot be read is tried again at once.
  bool next_at_once(StoredTransaction& out);
  /// The beginning of the file; empty when it is shorter or cannot be read, whatever was tried.
  std::string header();
  /// Where next() looks on: behind the last transaction it gave.
  uint64_t offset() const { return offset_; }
  void set_limit(uint64_t limit) { limit_ = limit; }
  const std::string& uuid() const { return uuid_; }
  /// What was stepped over because nothing valid was there, up to the next valid transaction.
  const std::vector<Range>& damaged() const { return damaged_; }
  /// The end of the last byte behind offset() that is not zero; offset() when there is none.
  uint64_t end_of_data();
  /// errno of a read that failed, 0: none did. next() then ends there, until it has been tried so often that
  /// what cannot be read counts as damaged and is stepped over.
  int error() const { return error_; }
  bool damage_is_final() const { return tries_ >= kTriesMax; }
  void try_again() { ++tries_, error_ = 0; }

 private:
  bool stops() const { return error_ != 0 && !damage_is_final(); }
  bool at(uint64_t offset, StoredTransaction& out);
  bool find(uint64_t from, StoredTransaction& out);
  std::string_view view(uint64_t offset, uint64_t bytes);

  Io& io_;
  const int fd_;
  const std::string uuid_;
  uint64_t limit_, offset_ = kSegmentHeaderBytes;
  std::unique_ptr<char[]> buffer_;
  uint64_t capacity_ = 0, begin_ = 0, filled_ = 0;
  std::vector<Range> damaged_;
  static constexpr int kTriesMax = 20;
  int error_ = 0, tries_ = 0;
};

/// A block with the lines of a transaction. Needs lines to be there.
std::shared_ptr<Block> block_of(const StoredTransaction& transaction);

}  // namespace weir
