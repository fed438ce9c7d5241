#include "agent/app/config_watch.h"

#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "agent/core/log.h"
#include "agent/core/thread_name.h"
#include "agent/net/stop_signal.h"

namespace weir {
namespace {

constexpr int kPollMs = 1000, kQuietMs = 200;
constexpr int kQuietTriesMax = 5;  ///< a file that is written all the time is looked at once a second
/// Not IN_MODIFY: a file is read when its writer has closed it.
constexpr uint32_t kEvents = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
                             IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

/// The directory of the file, and of what it is in the end when it is a link; a directory itself.
void add_directories(const std::string& path, std::vector<std::string>& out) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (fs::is_directory(path, error)) out.push_back(path);
  const fs::path parent = fs::path(path).parent_path();
  out.push_back(parent.empty() ? "." : parent.string());
  const fs::path real = fs::canonical(path, error);
  if (!error) out.push_back(real.parent_path().string());
}

/// True: asked to stop.
bool wait(const StopSignal& stopped, int also, int timeout_ms) {
  pollfd waits[] = {{stopped.fd(), POLLIN, 0}, {also, POLLIN, 0}};
  ::poll(waits, also < 0 ? 1 : 2, timeout_ms);
  return waits[0].revents != 0;
}

}  // namespace

ConfigWatch::ConfigWatch(std::vector<ConfigInput> inputs, Changed changed)
    : inputs_(std::move(inputs)), changed_(std::move(changed)) {
  watch_directories();
  thread_ = std::jthread([this](std::stop_token stop) { run(stop); });
}

ConfigWatch::~ConfigWatch() {
  thread_.request_stop();
  thread_.join();
  if (inotify_ >= 0) ::close(inotify_);
}

void ConfigWatch::run(std::stop_token stop) {
  name_this_thread("config-watch");
  const StopSignal stopped(stop);
  std::string seen;
  bool first = true;  // since the start has read the files they may have changed
  while (!wait(stopped, inotify_, first ? 0 : kPollMs)) {
    const bool events = take_events();
    std::string now = look();
    if (!first && !events && now == seen) continue;
    first = false;
    for (int i = 0; i < kQuietTriesMax; ++i) {
      if (wait(stopped, -1, kQuietMs)) return;
      const bool more = take_events();
      const std::string before = std::exchange(now, look());
      if (!more && now == before) break;
    }
    seen = now;  // of before the files are read: what changes meanwhile is seen the next time
    if (all_emptied()) continue;
    inputs_ = changed_();
    watch_directories();
  }
}

/// Again after every look: a directory may be another one under the same name.
void ConfigWatch::watch_directories() {
  std::vector<std::string> directories;
  for (const ConfigInput& input : inputs_) add_directories(input.path, directories);
  std::ranges::sort(directories);
  directories.erase(std::unique(directories.begin(), directories.end()), directories.end());
  if (directories != directories_ && inotify_ >= 0) ::close(inotify_), inotify_ = -1;
  directories_ = std::move(directories);
  if (inotify_ < 0) inotify_ = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  std::string failed = inotify_ < 0 ? std::strerror(errno) : "";
  for (const std::string& directory : directories_)
    if (inotify_ >= 0 && ::inotify_add_watch(inotify_, directory.c_str(), kEvents) < 0 && errno != ENOENT)
      failed = directory + ": " + std::strerror(errno);
  if (!failed.empty())
    log::sampled(log::Level::warn, "config.watch",
                 "no events for the files of the configuration ({}): they are looked at every second",
                 failed);
}

bool ConfigWatch::take_events() {
  alignas(inotify_event) char buffer[4096];
  bool any = false;
  while (inotify_ >= 0 && ::read(inotify_, buffer, sizeof buffer) > 0) any = true;
  return any;
}

/// What stat(2) says of all of them, and where links lead.
std::string ConfigWatch::look() const {
  std::string out;
  for (const ConfigInput& input : inputs_) {
    struct stat st {};
    if (::stat(input.path.c_str(), &st) != 0) st = {};
    for (const int64_t n : {int64_t(st.st_dev), int64_t(st.st_ino), int64_t(st.st_size), int64_t(st.st_mode),
                            int64_t(st.st_mtim.tv_sec), int64_t(st.st_mtim.tv_nsec),
                            int64_t(st.st_ctim.tv_sec), int64_t(st.st_ctim.tv_nsec)})
      out += std::to_string(n) + ' ';
    out += '\n';
  }
  return out;
}

/// A file that is written in place is empty for a moment, and on a full disk it stays so. An empty
/// configuration is a valid one, without any sink.
bool ConfigWatch::all_emptied() {
  bool any = false;
  for (const ConfigInput& input : inputs_) {
    struct stat st {};
    if (!input.is_configuration || ::stat(input.path.c_str(), &st) != 0 || !S_ISREG(st.st_mode)) continue;
    if (st.st_size > 0) return said_emptied_ = false;
    any = true;
  }
  if (any && !std::exchange(said_emptied_, true))
    log::warn("{} is empty now: left alone until there is something in it; `weir reload` applies it as it is",
              inputs_[0].path);
  return any;
}

}  // namespace weir
