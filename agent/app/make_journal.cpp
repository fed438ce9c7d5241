#include "agent/app/make_journal.h"

#include "agent/journal/disk_journal.h"

namespace weir {

Result<std::unique_ptr<Journal>> make_journal(const Config& config, Io& io, const Clock& clock) {
  const auto bytes_max = uint64_t(config.journal.integer("max_bytes"));
  if (config.journal.text("type") != "disk") return make_memory_journal(bytes_max);
  DiskJournalOptions options;
  options.path = config.journal.text("path");
  options.data_dir = config.data_dir;
  options.quarantine = config.data_dir + "/quarantine/journal";
  options.bytes_max = bytes_max;
  auto journal = DiskJournal::open(std::move(options), io, clock);
  if (!journal) return tl::unexpected(journal.error());
  return std::move(*journal);
}

}  // namespace weir
