#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "agent/core/check.h"
#include "agent/core/stream.h"

namespace weir {

/// Where one finished line is within its block. `length` counts the line feed.
struct IndexEntry {
  uint32_t offset;
  uint32_t length;
  Stream stream;
};

/// One piece of memory of fixed size that finished lines are rendered into: lines grow from the front, their
/// index from the back. Written by the pipe thread alone; what a transaction has published never changes
/// again, so readers on other threads need no lock (the journal's lock publishes).
class Block {
 public:
  explicit Block(size_t capacity)
      : data_(new char[capacity]), capacity_(capacity & ~(alignof(IndexEntry) - 1)) {}

  size_t capacity() const { return capacity_; }
  /// Bytes a line may still have, its index entry set aside.
  size_t space() const {
    size_t used = lines_end_ + entries_ * sizeof(IndexEntry) + sizeof(IndexEntry);
    return used >= capacity_ ? 0 : capacity_ - used;
  }
  char* tail() { return data_.get() + lines_end_; }
  void add_line(size_t bytes, Stream stream) {
    WEIR_CHECK(bytes <= space());
    ++entries_;
    new (slot(entries_ - 1)) IndexEntry{uint32_t(lines_end_), uint32_t(bytes), stream};
    lines_end_ += bytes;
  }
  void clear() { lines_end_ = entries_ = 0; }

  uint32_t entry_count() const { return uint32_t(entries_); }
  uint32_t lines_end() const { return uint32_t(lines_end_); }
  const IndexEntry& entry(size_t i) const { return *reinterpret_cast<const IndexEntry*>(slot(i)); }
  const char* data() const { return data_.get(); }
  std::string_view line(size_t i) const { return {data() + entry(i).offset, entry(i).length}; }

 private:
  char* slot(size_t i) const { return data_.get() + capacity_ - (i + 1) * sizeof(IndexEntry); }
  std::unique_ptr<char[]> data_;
  size_t capacity_;
  size_t lines_end_ = 0;
  size_t entries_ = 0;
};

}  // namespace weir
