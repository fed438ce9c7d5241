#pragma once
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <utility>

#include "agent/core/frame_handler.h"

namespace weir {

/// Who breaks the rules of frames and rings (security.md, ingest): three times, each within a minute of the
/// last, and the process is refused for a minute. Records that are refused are no violations. Only of peers
/// that the kernel names. Pipe thread only.
class Violations {
 public:
  static constexpr int kMost = 3;
  static constexpr int64_t kForgottenNs = 60'000'000'000;
  static constexpr size_t kProcessesMax = 1024;  ///< those that were seen longest ago go first

  /// True: that was one too many.
  bool add(const Peer& peer, int64_t now_ns) {
    if (!peer.uid) return false;
    std::erase_if(processes_, [&](const auto& p) { return p.second.until_ns <= now_ns; });
    if (processes_.size() == kProcessesMax) {
      auto oldest = processes_.begin();
      for (auto it = oldest; it != processes_.end(); ++it)
        if (it->second.until_ns < oldest->second.until_ns) oldest = it;
      processes_.erase(oldest);
    }
    Process& process = processes_[{*peer.uid, peer.pid}];
    process.until_ns = now_ns + kForgottenNs;
    return ++process.count >= kMost;
  }
  bool refuses(const Peer& peer, int64_t now_ns) const {
    if (processes_.empty() || !peer.uid) return false;
    const auto found = processes_.find({*peer.uid, peer.pid});
    return found != processes_.end() && found->second.count >= kMost && now_ns < found->second.until_ns;
  }
  bool empty() const { return processes_.empty(); }

 private:
  struct Process {
    int count = 0;
    int64_t until_ns = 0;
  };
  std::map<std::pair<uid_t, pid_t>, Process> processes_;
};

}  // namespace weir
