#pragma once
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "agent/core/frame_handler.h"
#include "agent/core/io.h"
#include "agent/core/reason.h"

namespace weir {

inline constexpr uint64_t kQuarantineFileBytesMax = 64ull << 20;  ///< then rotated once, to `.1`
inline constexpr size_t kQuarantineRawBytesMax = 64 << 10;        ///< of one record

/// One quarantine file (interface.md section 3): JSON lines, 0600, opened for append by whoever runs, made on
/// first use. Any thread. Lines are collected by add_*() and written with one call by flush().
class Quarantine {
 public:
  /// `directory` is data_dir/quarantine; both are made 0700 when first needed. `io` outlives it.
  Quarantine(Io& io, std::string directory, std::string file_name);
  ~Quarantine();
  Quarantine(const Quarantine&) = delete;
  Quarantine& operator=(const Quarantine&) = delete;

  /// `quarantine: {raw: false}`: bytes are left out.
  void set_raw(bool raw);
  void add_reject(int64_t wall_ns, const Producer& producer, uint64_t seq, const Fault& fault,
                  std::string_view head_untrusted, uint64_t length);
  void add_refusal(int64_t wall_ns, std::string_view sink, std::string_view reason, std::string_view answer,
                   uint64_t attempts, std::string_view line_untrusted);
  /// Writes what was added. False: that failed, which is said in the log (sampled); the lines are let go,
  /// their records are counted.
  bool flush();
  uint64_t lines_lost() const;

 private:
  void append_raw(std::string_view head, uint64_t length, bool raw);
  bool ensure_open();
  bool write_pending();

  Io& io_;
  const std::string directory_, file_name_;
  mutable std::mutex mutex_;
  bool raw_ = true;
  int fd_ = -1;
  uint64_t file_bytes_ = 0;
  std::string pending_;
  uint64_t pending_lines_ = 0, lines_lost_ = 0;
};

}  // namespace weir
