#pragma once
// The files of the journal on disk (delivery.md section 4; docs/journal-format.md has it byte by byte). All
// numbers are little-endian.
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/journal/tail_journal.h"

namespace weir {

inline constexpr uint32_t kJournalFormat = 1;
inline constexpr size_t kSegmentHeaderBytes = 4096;
inline constexpr size_t kTransactionHeaderBytes = 120;
inline constexpr size_t kTransactionAlign = 8;
/// A length beyond this is damage, whatever the sum says.
inline constexpr uint32_t kTransactionBytesMax = 64u << 20;
/// Behind the last byte of a block of lines, so that they can be copied in wide steps.
inline constexpr size_t kReadablePadding = 64;

/// What a segment's file begins with.
struct SegmentHeader {
  uint32_t format = kJournalFormat;
  std::string uuid, journal_uuid;  ///< 36 characters each
  uint64_t sequence = 0;           ///< of segments in this journal, from 1
  Boundary first;                  ///< before its first record
  bool rewrites = false;           ///< what the segment before holds behind `first` is written here once more
  std::optional<Position> jumped_from;  ///< what lies from there to `first` was lost before this was made
  int64_t made_ns = 0;                  ///< wall clock
};
/// kSegmentHeaderBytes of them.
std::string encode(const SegmentHeader& header);
/// False: not a header, or a damaged one.
bool decode(std::string_view bytes, SegmentHeader& out);

/// `<sequence>-<uuid>.wseg`: the uuid is in the name, too, so that a damaged header costs no more than
/// itself.
std::string segment_name(uint64_t sequence, std::string_view uuid);
bool parse_segment_name(std::string_view name, uint64_t& sequence, std::string& uuid);

struct TransactionHeader {
  uint32_t length = 0;  ///< bytes of the whole, from its first to its last, without what aligns the next
  uint32_t records = 0;
  uint32_t index = 0;  ///< number of the transaction in its segment, from 0
  uint32_t flags = 0;
  Boundary before;
  int64_t received_ns = 0;  ///< wall clock
  Position synced = 0;      ///< what was known to be durable when it was written
  uint32_t lines_bytes = 0, marks_bytes = 0;
  enum Flag : uint32_t {
    clients_part = 1,  ///< the marks are those of all clients, as of the segment's beginning; a part of them
    clients_end = 2,   ///< the last part
  };
};

/// One transaction as it lies in the file, in a buffer of its reader.
struct StoredTransaction {
  TransactionHeader header;
  std::string_view index, lines, marks;  ///< see entry_of()
  Totals totals;                         ///< of its records
  uint64_t offset = 0;                   ///< in the file
  uint64_t end_offset() const { return offset + padded(header.length); }
  static uint64_t padded(uint64_t bytes) {
    return (bytes + kTransactionAlign - 1) & ~uint64_t(kTransactionAlign - 1);
  }
};

/// Of a record's four bytes in the index: the rest is the length of its line.
inline constexpr uint32_t kStreamBits = 3;
inline void append_index(std::string& out, const IndexEntry& entry) {
  WEIR_CHECK(entry.length < 1u << (32 - kStreamBits));
  const uint32_t packed = entry.length << kStreamBits | uint32_t(entry.stream);
  out.append(reinterpret_cast<const char*>(&packed), sizeof packed);
}
/// The n-th record of an index: its length and stream; `offset` is 0.
inline IndexEntry index_entry(std::string_view index, size_t n) {
  uint32_t packed;
  std::memcpy(&packed, index.data() + 4 * n, sizeof packed);
  return {0, packed >> kStreamBits, Stream(packed & ((1u << kStreamBits) - 1))};
}

void append_mark(std::string& out, const RememberedClient& client);
/// All marks of a transaction; damaged ones end it.
std::vector<RememberedClient> decode_marks(std::string_view marks);

/// `head` is header and index, to be followed by the lines and `tail` (marks and padding): fills in lengths
/// and sum. `head` begins with kTransactionHeaderBytes of room.
void seal_transaction(std::string& head, std::string_view lines, std::string& tail, TransactionHeader header,
                      std::string_view segment_uuid);
/// Of the first kTransactionHeaderBytes. False: it cannot be one.
bool decode(std::string_view bytes, TransactionHeader& out);
/// Does the sum hold? `bytes` is all header.length of them.
bool verify(std::string_view bytes, std::string_view segment_uuid);
/// Takes a verified transaction apart. False: its parts do not fit each other.
bool split(std::string_view bytes, StoredTransaction& out);

/// The first bytes of every transaction.
inline constexpr std::string_view kTransactionMagic = "WTX1";

}  // namespace weir
