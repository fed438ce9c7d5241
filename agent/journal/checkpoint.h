#pragma once
#include <map>
#include <optional>
#include <string>

#include "agent/core/io.h"
#include "agent/core/result.h"
#include "agent/journal/tail_journal.h"

namespace weir {

/// How far a sink has come.
struct CursorRecord {
  CursorPlace committed, secured;
  int64_t seen_ns = 0;  ///< wall clock: when it was last in the configuration
  std::string boot_id;  ///< of the machine when its note was written
};

/// What the journal must find again beside its segments (delivery.md section 4 rule 4).
struct Checkpoint {
  uint64_t generation = 0;
  std::string boot_id;
  Position oldest = 0;  ///< what lies before was let go of
  Position written = 0, synced = 0;
  Totals written_totals;     ///< before `written`
  bool places_lost = false;  ///< cursors that are not named may have been somewhere: an earlier one was lost
  std::map<std::string, CursorRecord> cursors;
};

/// Two files, so that one of them is always whole: the last that is known to be on the disk is not written
/// to.
class CheckpointFiles {
 public:
  /// `directory` is the journal's. `io` outlives it.
  CheckpointFiles(Io& io, std::string directory);
  ~CheckpointFiles();
  struct Loaded {
    std::optional<Checkpoint> checkpoint;
    bool damaged = false;  ///< a slot was there that could not be read
    bool found = false;    ///< at least one was there
  };
  Loaded load();
  /// `durable`: on the disk before it returns. Sets the generation. errno says why not.
  bool save(Checkpoint& checkpoint, bool durable);

 private:
  std::string path(int slot) const;
  bool open(int slot);
  bool write(int slot, const std::string& text);
  bool read_slot(int slot, std::string& text);
  Io& io_;
  const std::string directory_;
  int fds_[2] = {-1, -1};
  uint64_t generation_ = 0;
  int durable_slot_ = 1;
  std::string loaded_;  ///< what load() found there, until it is known to be on the disk
};

std::string encode(const Checkpoint& checkpoint);
/// Nothing when it is damaged.
std::optional<Checkpoint> decode_checkpoint(std::string_view text_untrusted);

}  // namespace weir
