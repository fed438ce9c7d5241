#pragma once
#include <functional>
#include <map>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "agent/config/config.h"

namespace weir {

/// Notices when files of the configuration may have changed, on a thread of its own. The directories they are
/// in are watched (inotify), so that files that are put in place by a rename are seen, and the `..data` link
/// of a Kubernetes volume; every second the files themselves are looked at too, for file systems and limits
/// under which inotify says nothing. It knows nothing of contents: who is told compares them.
class ConfigWatch {
 public:
  /// Called when all has been quiet for a moment; returns what is to be watched from then on.
  using Changed = std::function<std::vector<ConfigInput>()>;
  ConfigWatch(std::vector<ConfigInput> inputs, Changed changed);
  /// Waits for a `changed` that runs.
  ~ConfigWatch();
  ConfigWatch(const ConfigWatch&) = delete;
  ConfigWatch& operator=(const ConfigWatch&) = delete;

 private:
  void run(std::stop_token stop);
  void watch_directories();
  bool take_events();
  std::string look() const;
  bool all_emptied();

  std::vector<ConfigInput> inputs_;
  const Changed changed_;
  int inotify_ = -1;
  std::vector<std::string> directories_;
  bool said_emptied_ = false;
  std::jthread thread_;
};

}  // namespace weir
