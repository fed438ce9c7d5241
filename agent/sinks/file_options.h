#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "agent/core/options.h"
#include "agent/sinks/path_template.h"
#include "agent/sinks/rotated_name.h"

namespace weir {

/// Which rotated files stay (interface.md section 7).
struct KeepRules {
  uint64_t files = UINT64_MAX;  ///< per active file
  uint64_t bytes = UINT64_MAX;  ///< of them together, per active file
  Packing packing = Packing::none;
  bool any() const { return files != UINT64_MAX || bytes != UINT64_MAX || packing != Packing::none; }
};

/// The options of the file sink, as it uses them.
struct FileOptions {
  explicit FileOptions(const Settings& settings);  ///< that have passed the check

  PathTemplate path;
  bool text;  ///< `format: text`
  mode_t mode;
  bool steps;  ///< write_mode `line` or `batch`: one write per `flush_every_n`
  uint64_t flush_every_n;
  int64_t flush_every_ns;  ///< -1: never
  uint64_t fsync_every_n;  ///< 0: never
  uint64_t max_bytes;      ///< UINT64_MAX: no limit
  int64_t every_ns;        ///< 0: no limit
  KeepRules keep;
};

/// What opening the file would fail at, as far as one sees without making anything; of a path with fields,
/// its root.
Result<void> check_file_place(const Settings& settings);

/// Their declaration, the common ones left out.
ComponentType file_component();

}  // namespace weir
