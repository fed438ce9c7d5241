#include "agent/journal/segment_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/core/check.h"

namespace weir {
namespace {

constexpr uint64_t kChunkBytes = 512 << 10, kPageBytes = 4096;

}  // namespace

SegmentReader::SegmentReader(Io& io, int fd, std::string uuid, uint64_t limit)
    : io_(io), fd_(fd), uuid_(std::move(uuid)), limit_(limit) {}

SegmentReader::~SegmentReader() { io_.close(fd_); }

std::string SegmentReader::header() {
  std::string bytes(kSegmentHeaderBytes, '\0');
  ssize_t n;
  while ((n = io_.pread(fd_, bytes.data(), bytes.size(), 0)) < 0) {
    if (errno == EINTR) continue;
    error_ = errno;
    if (damage_is_final()) break;
    try_again();
  }
  bytes.resize(size_t(std::max<ssize_t>(0, n)));
  return bytes;
}

/// The bytes from `offset` on, at least so many; fewer, or none, where the file ends.
std::string_view SegmentReader::view(uint64_t offset, uint64_t bytes) {
  const auto held = [&] {
    if (offset < begin_ || offset >= begin_ + filled_) return std::string_view();
    return std::string_view(buffer_.get() + (offset - begin_), begin_ + filled_ - offset);
  };
  if (std::string_view all = held(); all.size() >= bytes) return all;
  if (offset >= limit_) return {};
  const uint64_t want = std::min(std::max(bytes, kChunkBytes), limit_ - offset);
  if (capacity_ < want) {
    capacity_ = want;
    buffer_.reset(new char[capacity_]);
  }
  begin_ = offset, filled_ = 0;
  while (filled_ < want) {
    const ssize_t n = io_.pread(fd_, buffer_.get() + filled_, want - filled_, off_t(offset + filled_));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) error_ = errno;
    if (n <= 0) break;
    filled_ += uint64_t(n);
  }
  return held();
}

bool SegmentReader::at(uint64_t offset, StoredTransaction& out) {
  std::string_view bytes = view(offset, kTransactionHeaderBytes);
  if (!decode(bytes, out.header) || out.header.length > limit_ - offset) return false;
  if (bytes.size() < out.header.length) bytes = view(offset, out.header.length);
  if (bytes.size() < out.header.length) return false;
  bytes = bytes.substr(0, out.header.length);
  out.offset = offset;
  return verify(bytes, uuid_) && split(bytes, out);
}

/// The next valid one from there on, if it takes looking at every place where one may begin.
bool SegmentReader::find(uint64_t from, StoredTransaction& out) {
  while (from < limit_) {
    const std::string_view bytes = view(from, kTransactionHeaderBytes);
    if (bytes.size() < kTransactionHeaderBytes) {
      if (error_ == 0 || stops()) return false;
      from = (from / kPageBytes + 1) * kPageBytes;
      continue;
    }
    const size_t magic = bytes.find(kTransactionMagic);
    if (magic == bytes.npos) {
      from += bytes.size() - (kTransactionMagic.size() - 1);
      continue;
    }
    from += magic;
    if (from % kTransactionAlign == 0 && at(from, out)) return true;
    if (stops()) return false;
    ++from;
  }
  return false;
}

bool SegmentReader::next(StoredTransaction& out) {
  if (offset_ >= limit_) return false;
  if (!at(offset_, out)) {
    if (stops() || !find(offset_ + kTransactionAlign, out)) return false;
    damaged_.push_back({offset_, out.offset});
  }
  offset_ = out.end_offset();
  return true;
}

bool SegmentReader::next_at_once(StoredTransaction& out) {
  bool found;
  while (!(found = next(out)) && stops()) try_again();
  return found;
}

uint64_t SegmentReader::end_of_data() {
  uint64_t end = offset_;
  for (uint64_t from = offset_; from < limit_;) {
    const std::string_view bytes = view(from, 1);
    if (bytes.empty()) break;
    const size_t last = bytes.find_last_not_of('\0');
    if (last != bytes.npos) end = from + last + 1;
    from += bytes.size();
  }
  return end;
}

std::shared_ptr<Block> block_of(const StoredTransaction& t) {
  WEIR_CHECK(t.header.records > 0);
  const size_t bytes = t.lines.size() + kReadablePadding + (t.header.records + 1) * sizeof(IndexEntry);
  auto block = std::make_shared<Block>(bytes);
  std::memcpy(block->tail(), t.lines.data(), t.lines.size());
  for (uint32_t n = 0; n < t.header.records; ++n) {
    const IndexEntry e = index_entry(t.index, n);
    block->add_line(e.length, e.stream);
  }
  return block;
}

}  // namespace weir
