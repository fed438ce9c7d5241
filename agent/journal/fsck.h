#pragma once
#include <functional>
#include <string>
#include <vector>

#include "agent/core/io.h"
#include "agent/core/result.h"
#include "agent/journal/journal.h"

namespace weir {

/// Something that is not as it should be in a journal's directory.
struct JournalFault {
  std::string file;
  std::string text;   ///< what it is, and what it costs
  bool lost = false;  ///< records are gone, not only in a wrong place or half written
};

/// What `weir fsck` has to say of one file of records.
struct SegmentReport {
  std::string name;
  uint64_t bytes = 0, transactions = 0, records = 0;
  Position first = 0, end = 0;
  int64_t made_ns = 0;  ///< wall clock
};

struct JournalReport {
  std::string uuid;
  uint32_t format = 0;
  bool in_use = false;  ///< an agent has it open
  std::vector<SegmentReport> segments;
  std::vector<JournalFault> faults;
  struct Reader {
    std::string name;
    Position position = 0, secured = 0;
  };
  std::vector<Reader> readers;
  uint64_t clients = 0, records = 0, bytes = 0, lost_records = 0;
};

/// Reads every byte of a journal and changes nothing (`weir fsck`, delivery.md section 4). `progress` is told
/// how many bytes of how many are read. An error: there is no journal there, or it is of a newer format.
Result<JournalReport> check_journal(Io& io, const std::string& directory,
                                    const std::function<void(uint64_t, uint64_t)>& progress);

}  // namespace weir
