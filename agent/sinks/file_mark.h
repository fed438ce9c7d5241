#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/core/io.h"

namespace weir {

/// So much of an output file is records that are done with; what lies behind comes again from the journal
/// (delivery.md section 2). Part of a file sink's state.
struct FileMark {
  std::string path;  ///< as FilePlace::path
  uint64_t device = 0, inode = 0;
  uint64_t bytes = 0;
  /// Of the last bytes before `bytes`: by them the file is known even where its inode was given to another.
  uint64_t tail_bytes = 0, tail_sum = 0;
  uint64_t born = 0;         ///< Io::born_ns(), for a file without such bytes
  uint64_t synced = 0;       ///< so many are known to be durable
  bool sync_failed = false;  ///< since then, or it is not known: of an earlier process
};

inline constexpr size_t kMarkTailBytesMax = 64;
/// FNV-1a.
uint64_t tail_sum(std::string_view tail);

/// `{"files":[{...},...]}` and back.
std::string marks_text(const std::vector<FileMark>& marks);
std::vector<FileMark> read_marks(std::string_view text);

/// How a file is to its mark.
enum class MarkMatch {
  exact,
  longer,   ///< it is the mark's, and holds something behind it
  shorter,  ///< the same file, but others have cut it
  other,    ///< not the mark's file
  failed,   ///< it cannot be read: errno
};
/// `fd` is open for reading, `directory` holds it. Device numbers count within one boot only.
MarkMatch match_mark(Io& io, int directory, int fd, const FileMark& mark, bool same_boot);

/// Makes a file durable to its end, `bytes`. After a sync that has failed the kernel takes for clean what is
/// not on the disk: it is written again first. `fd` is open for reading and writing, and does not append. -1
/// and errno.
int sync_to_end(Io& io, int fd, FileMark& mark, uint64_t bytes);

}  // namespace weir
