#pragma once
#include <functional>
#include <string>
#include <vector>

#include "agent/journal/segment_reader.h"

namespace weir {

/// A segment's file as it is found, whoever has the journal open.
struct SegmentFile {
  std::string name;
  SegmentHeader header;  ///< where that is damaged: what name and first transaction say
  bool header_good = false;
  uint64_t bytes = 0;
  bool readable = false;  ///< header or a transaction could be read
};

/// The segments in a journal's directory in the order in which they were begun.
std::vector<SegmentFile> list_segments(Io& io, int directory);

/// What a file in `directory` begins with, up to so many bytes; empty when it cannot be read, also after a
/// few tries.
std::string read_beginning(Io& io, int directory, const std::string& name, size_t bytes_max);

/// What journal.json says; format 0: nothing that can be read.
struct JournalIdentity {
  std::string uuid;
  uint32_t format = 0;
};
JournalIdentity read_journal_identity(Io& io, int directory);
/// The same once more, in its member `again`: a flipped bit makes one of the two another.
std::string identity_again(const JournalIdentity& identity);

/// One record as it lies in the journal.
struct StoredRecord {
  Position position = 0;  ///< before it
  int64_t received_ns = 0;
  Stream stream = Stream::trace;
  std::string_view line;  ///< with its line feed
};

/// Hands out what lies from `from` on, in order and each once; what cannot be read is left out. Transactions
/// received before `from_ns` (wall clock) are left out, too. `fn` answers whether to go on; `progress` is
/// told bytes read of all bytes. Works beside an agent that has the journal open. An error: no journal is
/// there.
Result<void> for_each_stored(Io& io, const std::string& directory, Position from, int64_t from_ns,
                             const std::function<bool(const StoredRecord&)>& fn,
                             const std::function<void(uint64_t, uint64_t)>& progress);

}  // namespace weir
