#pragma once
#include <climits>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/core/result.h"

namespace weir {

/// Files and directories, each with all that lies beneath it. Both may be read; `write`: also made, changed,
/// renamed and removed.
struct SandboxPaths {
  std::vector<std::string> write, read;
};

/// What the process has given up for good (security.md, "process").
struct Sandbox {
  int landlock = 0;  ///< the kernel's Landlock version; 0: it has none, and files are as open as before
  bool no_new_privs = false;
  SandboxPaths paths;  ///< without links, those that exist, sorted, none beneath another

  /// Whether `path`, which need not exist, may be opened. Always true without Landlock.
  bool holds(const std::string& path, bool to_write) const;
};

/// From here on this thread, and all that it starts, opens nothing but `paths` (what is not there is left
/// out, with a warning), executes nothing, gains no rights from what it would execute, and cannot be looked
/// into or dumped by others of its user. Once, before there are threads. A kernel without Landlock: a
/// warning. Error: it could be only half done, and the process should end.
Result<Sandbox> enter_sandbox(const SandboxPaths& paths, int landlock_max = INT_MAX);

/// Without links as far as it exists, and absolute.
std::string resolve_path(const std::string& path);

/// What Landlock of that version can forbid; the words of the kernel's own header.
struct LandlockRights {
  uint64_t files = 0;   ///< handled_access_fs
  uint64_t scopes = 0;  ///< scoped
};
LandlockRights landlock_rights(int version);

}  // namespace weir
