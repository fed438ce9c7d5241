#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "agent/core/io.h"
#include "agent/sinks/file_options.h"
#include "agent/sinks/file_place.h"

namespace weir {

/// What lies beside one active file.
struct RotatedTally {
  uint64_t files = 0, bytes = 0;
  bool raw = false, part = false;  ///< there is one that is not compressed; one that was not finished
};

/// Deletes rotated files that are too many and compresses the others, in a thread of its own and at low
/// priority, so that the sink never waits for it. Touches nothing but regular files of ours whose names have
/// exactly the form of rotated_name.h beside a file that it is told of. A compressed file is complete and on
/// the disk before its original goes; what a crash or stop() leaves of one is removed and done again.
class Housekeeper {
 public:
  using Places = std::function<std::vector<FilePlace>(std::stop_token)>;

  /// `io` outlives it.
  Housekeeper(Io& io, std::string sink, const KeepRules& rules);
  ~Housekeeper() { stop(); }
  Housekeeper(const Housekeeper&) = delete;
  Housekeeper& operator=(const Housekeeper&) = delete;

  /// `all`: every active file whose rotated files the rules concern(); asked at the beginning, in the thread.
  /// Nothing is started when the rules ask for nothing.
  void start(Places all);
  /// Within a moment; a file that is being compressed is given up. Safe twice and without start().
  void stop() noexcept;
  /// A file was rotated at this place. Any thread.
  void post(const FilePlace& place);

  /// Is there anything to do?
  bool concerns(const RotatedTally& tally) const;
  /// What the thread does for one place; false: something failed, said in the log.
  bool tidy(const FilePlace& place, std::stop_token stop = {});

 private:
  struct Rotated;
  void run(std::stop_token stop);
  bool tidy_all(std::stop_token stop);
  bool find(int directory, std::string_view base, std::vector<Rotated>& out);
  bool prune(int directory, const FilePlace& place, std::vector<Rotated>& files);
  bool compress(int directory, const std::string& name, std::stop_token stop);
  bool pack(int from, int to, std::stop_token stop);
  bool complain(const std::string& what);

  Io& io_;
  const std::string sink_;
  const KeepRules rules_;
  Places all_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<FilePlace> queue_;
  std::set<std::string> queued_;  ///< paths of queue_
  bool look_at_all_ = false;
  std::jthread worker_;
};

}  // namespace weir
