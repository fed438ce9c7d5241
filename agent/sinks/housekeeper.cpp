#include "agent/sinks/housekeeper.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <tuple>

#include "agent/core/log.h"
#include "agent/sinks/packer.h"

namespace weir {
namespace {

constexpr size_t kQueueMax = 1024;  ///< more places at once: all are looked at instead
constexpr size_t kChunkBytes = 128 << 10;
/// A stop does not wait for more than this to reach the disk.
constexpr size_t kUnsyncedBytesMax = 8 << 20;
constexpr auto kRetry = std::chrono::seconds(10);
/// Low, but not idle: on a machine that is always busy compression must come along all the same.
constexpr int kNice = 10;

}  // namespace

struct Housekeeper::Rotated {
  std::string stamp;
  uint64_t number;
  std::string name;
  Packing packing;
  uint64_t bytes;

  bool older_than(const Rotated& o) const {
    return std::tie(stamp, number, packing) < std::tie(o.stamp, o.number, o.packing);
  }
  bool same_as(const Rotated& o) const { return stamp == o.stamp && number == o.number; }
};

Housekeeper::Housekeeper(Io& io, std::string sink, const KeepRules& rules)
    : io_(io), sink_(std::move(sink)), rules_(rules) {}

void Housekeeper::start(Places all) {
  if (!rules_.any()) return;
  stop();
  all_ = std::move(all);
  look_at_all_ = true;
  worker_ = std::jthread([this](std::stop_token stop) { run(stop); });
}

void Housekeeper::stop() noexcept {
  if (!worker_.joinable()) return;
  worker_.request_stop();
  worker_.join();
  queue_.clear(), queued_.clear();
}

void Housekeeper::post(const FilePlace& place) {
  if (!worker_.joinable()) return;
  std::lock_guard lock(mutex_);
  if (queue_.size() == kQueueMax) {
    queue_.clear(), queued_.clear();
    look_at_all_ = true;
  }
  if (queued_.insert(place.path).second) queue_.push_back(place);
  changed_.notify_all();
}

void Housekeeper::run(std::stop_token stop) {
  setpriority(PRIO_PROCESS, id_t(gettid()), kNice);
  while (!stop.stop_requested()) {
    bool well = true, all = false;
    FilePlace place;
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait(lock, stop, [&] { return look_at_all_ || !queue_.empty(); })) return;
      all = std::exchange(look_at_all_, false);
      if (!all) {
        place = std::move(queue_.front());
        queue_.pop_front(), queued_.erase(place.path);
      }
    }
    try {
      well = all ? tidy_all(stop) : tidy(place, stop);
    } catch (const std::exception& e) {  // of a library
      well = complain(e.what());
    }
    if (well) continue;
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, stop, kRetry, [] { return false; });
    look_at_all_ = true;
  }
}

bool Housekeeper::concerns(const RotatedTally& tally) const {
  return tally.part || (tally.raw && rules_.packing != Packing::none) || tally.files > rules_.files ||
         tally.bytes > rules_.bytes;
}

bool Housekeeper::tidy_all(std::stop_token stop) {
  bool well = true;
  for (const FilePlace& place : all_(stop)) {
    if (stop.stop_requested()) break;
    well &= tidy(place, stop);
  }
  return well;
}

bool Housekeeper::tidy(const FilePlace& place, std::stop_token stop) {
  const ScopedFd directory(io_, open_directory(io_, place, false));
  if (!directory.ok())
    return errno == ENOENT || complain(system_error("cannot open the directory of", place.path));
  std::vector<Rotated> files;
  while (!stop.stop_requested()) {
    files.clear();
    if (!find(directory.get(), place.name(), files))
      return complain(system_error("cannot list the directory of", place.path));
    if (!prune(directory.get(), place, files)) return false;
    const auto raw = std::ranges::find(files, Packing::none, &Rotated::packing);
    if (rules_.packing == Packing::none || raw == files.end()) return true;
    if (!compress(directory.get(), raw->name, stop))
      return stop.stop_requested() ||
             complain(system_error("cannot compress", raw->name + " beside " + place.path));
  }
  return true;
}

/// The rotated files of `base`, oldest first. Unfinished compressed ones are removed.
bool Housekeeper::find(int directory, std::string_view base, std::vector<Rotated>& out) {
  std::vector<std::string> names;
  if (io_.list(directory, names) != 0) return false;
  for (std::string& name : names) {
    RotatedName parsed;
    if (!parse_rotated_name(name, parsed) || parsed.base != base) continue;
    struct stat st;
    if (io_.fstatat(directory, name, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid()) continue;
    if (parsed.part)
      io_.unlinkat(directory, name);
    else
      out.push_back(
          {std::string(parsed.stamp), parsed.number, std::move(name), parsed.packing, uint64_t(st.st_size)});
  }
  std::ranges::sort(out, [](const Rotated& a, const Rotated& b) { return a.older_than(b); });
  return true;
}

/// Oldest first, until what is left obeys the rules. A file and its compressed form (which a crash left side
/// by side) count as one.
bool Housekeeper::prune(int directory, const FilePlace& place, std::vector<Rotated>& files) {
  uint64_t count = 0, bytes = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    count += i == 0 || !files[i].same_as(files[i - 1]);
    bytes += files[i].bytes;
  }
  size_t gone = 0;
  while (gone < files.size() && (count > rules_.files || bytes > rules_.bytes)) {
    for (const Rotated first = files[gone]; gone < files.size() && files[gone].same_as(first); ++gone) {
      if (io_.unlinkat(directory, files[gone].name) != 0 && errno != ENOENT)
        return complain(system_error("cannot delete", files[gone].name + " beside " + place.path));
      bytes -= files[gone].bytes;
    }
    --count;
  }
  files.erase(files.begin(), files.begin() + ptrdiff_t(gone));
  return true;
}

bool Housekeeper::compress(int directory, const std::string& name, std::stop_token stop) {
  const std::string packed = name + std::string(packing_suffix(rules_.packing)), part = packed + ".part";
  const ScopedFd from(io_, io_.openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0));
  struct stat st;
  if (!from.ok() || io_.fstat(from.get(), &st) != 0) return false;
  {
    const ScopedFd to(io_, io_.openat(directory, part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                                      st.st_mode & 0777));
    if (!to.ok()) return false;
    if (!pack(from.get(), to.get(), stop)) {
      const int error = errno;
      io_.unlinkat(directory, part);
      errno = error;
      return false;
    }
  }
  // Only a complete file ever has the final name. One that a crash left beside its original is made anew.
  if (io_.rename_over(directory, part, packed) != 0) return false;
  const ScopedFd synced(io_, io_.openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0));
  if (!synced.ok() || io_.fsync(synced.get()) != 0) return false;
  return io_.unlinkat(directory, name) == 0;
}

bool Housekeeper::pack(int from, int to, std::stop_token stop) {
  const auto packer = make_packer(rules_.packing);
  const auto chunk = std::make_unique<char[]>(kChunkBytes);
  size_t unsynced = 0;
  const auto write_all = [&](std::string_view bytes) {
    unsynced += bytes.size();
    while (!bytes.empty()) {
      const iovec part{const_cast<char*>(bytes.data()), bytes.size()};
      const ssize_t n = io_.writev(to, &part, 1);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      bytes.remove_prefix(size_t(n));
    }
    if (unsynced < kUnsyncedBytesMax) return true;
    unsynced = 0;
    return io_.fdatasync(to) == 0;
  };
  errno = ENOMEM;
  if (!packer) return false;
  for (off_t at = 0;;) {
    if (stop.stop_requested()) return false;
    const ssize_t n = io_.pread(from, chunk.get(), kChunkBytes, at);
    if (n < 0) return false;
    if (!packer->feed({chunk.get(), size_t(n)}, n == 0, write_all)) return false;
    if (n == 0) return io_.fsync(to) == 0;
    at += n;
  }
}

bool Housekeeper::complain(const std::string& what) {
  log::sampled(log::Level::error, "housekeeping." + sink_, "sink {}: rotated files: {}; tried again soon",
               sink_, what);
  return false;
}

}  // namespace weir
