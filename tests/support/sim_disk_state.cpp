#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "agent/core/check.h"
#include "tests/support/sim_disk.h"

// What is where, what is volatile of it, and what a crash leaves.
namespace weir::test {
namespace {

constexpr int kDescriptorsPerLife = 1'000'000;

mode_t without_umask(mode_t mode) {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return mode & ~mask;
}

}  // namespace

/// The lowest number that is free, as file systems do it: a number says little about who has it.
SimDisk::Number SimDisk::add_inode(bool directory, mode_t mode, Number parent) {
  forget_unused();
  Number number = 2;
  while (inodes_.contains(number)) ++number;
  Inode& inode = inodes_[number];
  inode.directory = directory, inode.parent = parent;
  inode.mode = without_umask(mode);
  inode.born_ns = inode.written_ns = clock_->wall_ns();
  if (!directory) inode.file = std::make_shared<SimFile>();
  return number;
}

/// Not the lowest: whoever goes on with a closed one is found out.
int SimDisk::add_descriptor(Number number, int flags, std::string path) {
  const int fd = open_.empty() ? first_descriptor_ : std::max(first_descriptor_, open_.rbegin()->first + 1);
  first_descriptor_ = fd + 1;
  open_[fd] = {number, flags, 0, std::move(path)};
  return fd;
}

SimFile& SimDisk::own(Number number) {
  auto& file = inodes_.at(number).file;
  if (file.use_count() > 1) file = std::make_shared<SimFile>(*file);
  return *file;
}

void SimDisk::change_names(Number directory, NameChange change) {
  change.time = ++time_;
  Inode& inode = inodes_.at(directory);
  for (const auto& [name, number] : change.names) {
    if (number == 0)
      inode.now.erase(name);
    else
      inode.now[name] = number;
  }
  inode.changes.push_back(std::move(change));
}

/// The changes of a directory up to a moment are durable; with a move, so is its other side.
void SimDisk::sync_names(Number directory, uint64_t upto) {
  Inode& inode = inodes_.at(directory);
  std::vector<NameChange> done;
  while (!inode.changes.empty() && inode.changes.front().time <= upto) {
    done.push_back(std::move(inode.changes.front()));
    inode.changes.erase(inode.changes.begin());
  }
  for (const NameChange& change : done) {
    for (const auto& [name, number] : change.names) {
      if (number == 0)
        inode.disk.erase(name);
      else
        inode.disk[name] = number;
    }
    if (change.other != 0) sync_names(change.other, change.time);
  }
}

/// What is neither named nor open is gone, and its number free.
void SimDisk::forget_unused() {
  std::set<Number> used{1};
  for (const auto& [fd, open] : open_) used.insert(open.number);
  std::vector<Number> directories(used.begin(), used.end());
  const auto use = [&](Number number) {
    if (number != 0 && used.insert(number).second) directories.push_back(number);
  };
  while (!directories.empty()) {
    const Inode& inode = inodes_.at(directories.back());
    directories.pop_back();
    for (const auto& [name, number] : inode.now) use(number);
    for (const auto& [name, number] : inode.disk) use(number);
    for (const NameChange& change : inode.changes) {
      use(change.other);
      for (const auto& [name, number] : change.names) use(number);
    }
  }
  std::erase_if(inodes_, [&](const auto& entry) { return !used.contains(entry.first); });
}

bool SimDisk::is_named(Number number) const {
  return std::ranges::any_of(inodes_, [&](const auto& inode) {
    return std::ranges::any_of(inode.second.now, [&](const auto& entry) { return entry.second == number; });
  });
}

uint64_t SimDisk::used_bytes() const {
  std::set<Number> used;
  for (const auto& [fd, open] : open_) used.insert(open.number);
  for (const auto& [number, inode] : inodes_)
    for (const auto& [name, entry] : inode.now) used.insert(entry);
  uint64_t pages = 0;
  for (const Number number : used)
    if (const auto& file = inodes_.at(number).file) pages += file->pages();
  return pages * SimFile::kPageBytes;
}

uint64_t SimDisk::free_pages() const {
  if (capacity_bytes == UINT64_MAX) return UINT64_MAX;
  const uint64_t used = used_bytes();
  return used >= capacity_bytes ? 0 : (capacity_bytes - used) / SimFile::kPageBytes;
}

void SimDisk::crash_process() {
  halted_ = false;
  open_.clear();
  first_descriptor_ = (first_descriptor_ / kDescriptorsPerLife + 1) * kDescriptorsPerLife;
  forget_unused();
}

void SimDisk::drop_clean_pages() {
  for (auto& [number, inode] : inodes_)
    if (inode.file) own(number).drop_clean();
}

void SimDisk::cut_names(SimRandom& random, const PowerCut& how) {
  std::map<Number, uint64_t> upto;  // the moment up to which a directory's changes are kept
  for (const auto& [number, inode] : inodes_) {
    if (!inode.directory) continue;
    const size_t kept = how.names == PowerCut::Changes::lost   ? 0
                        : how.names == PowerCut::Changes::kept ? inode.changes.size()
                                                               : random() % (inode.changes.size() + 1);
    upto[number] = kept == inode.changes.size() ? time_ : kept == 0 ? 0 : inode.changes[kept - 1].time;
  }
  // A move is in both directories or in none.
  for (bool again = true; again;) {
    again = false;
    for (const auto& [number, inode] : inodes_)
      for (const NameChange& change : inode.changes) {
        if (change.other == 0 || change.time > upto[number] || change.time <= upto[change.other]) continue;
        upto[number] = change.time - 1;
        again = true;
      }
  }
  for (const auto& [number, moment] : upto) sync_names(number, moment);
  for (auto& [number, inode] : inodes_) {
    inode.now = inode.disk, inode.removed = false;
    inode.changes.clear();
  }
  for (auto& [number, inode] : inodes_)
    for (const auto& [name, entry] : inode.now) inodes_.at(entry).parent = number;
}

void SimDisk::power_cut(SimRandom& random, const PowerCut& how) {
  halted_ = false;
  open_.clear();
  first_descriptor_ = (first_descriptor_ / kDescriptorsPerLife + 1) * kDescriptorsPerLife;
  ++device_;
  cut_names(random, how);
  forget_unused();
  for (auto& [number, inode] : inodes_)
    if (inode.file) own(number).cut(random, how);
}

SimDisk SimDisk::after_power_cut(SimRandom& random, const PowerCut& how) const {
  SimDisk out(*this);
  out.faults = nullptr, out.on_call = nullptr;
  out.power_cut(random, how);
  return out;
}

SimDisk SimDisk::after_crash() const {
  SimDisk out(*this);
  out.faults = nullptr, out.on_call = nullptr;
  out.crash_process();
  return out;
}

SimDisk::Number SimDisk::walked(const std::string& path) const {
  Place place;
  return walk(AT_FDCWD, path, place) ? place.found : 0;
}

bool SimDisk::exists(const std::string& path) const { return walked(path) != 0; }

void SimDisk::make_directories(const std::string& path) {
  for (size_t slash = 1; slash < path.size(); ++slash) {
    slash = std::min(path.find('/', slash), path.size());
    Place place;
    WEIR_CHECK(walk(AT_FDCWD, path.substr(0, slash), place));
    if (place.found != 0) continue;
    change_names(place.parent, {0, 0, {{place.name, add_inode(true, S_IFDIR | 0755, place.parent)}}});
    sync_names(place.parent, time_);
  }
}

void SimDisk::put(const std::string& path, std::string_view content) {
  Place place;
  WEIR_CHECK(walk(AT_FDCWD, path, place));
  if (place.found == 0) {
    place.found = add_inode(false, S_IFREG | 0640, place.parent);
    change_names(place.parent, {0, 0, {{place.name, place.found}}});
    sync_names(place.parent, time_);
  }
  SimFile& file = own(place.found);
  file.resize(0);
  file.write(content.data(), content.size(), 0);
  file.sync(true);
}

std::string SimDisk::content(const std::string& path) const {
  const Number number = walked(path);
  WEIR_CHECK(number != 0 && inodes_.at(number).file);
  const SimFile& file = *inodes_.at(number).file;
  std::string out(size_t(file.size()), '\0');
  file.read(out.data(), out.size(), 0);
  return out;
}

std::vector<std::string> SimDisk::names(const std::string& directory) const {
  const Number number = walked(directory);
  WEIR_CHECK(number != 0 && inodes_.at(number).directory);
  std::vector<std::string> out;
  for (const auto& [name, entry] : inodes_.at(number).now) out.push_back(name);
  return out;
}

void SimDisk::flip_bit(const std::string& path, uint64_t offset, unsigned bit) {
  const Number number = walked(path);
  WEIR_CHECK(number != 0 && offset < inodes_.at(number).file->size());
  own(number).flip_bit(offset, bit);
}

void SimDisk::truncate_file(const std::string& path, uint64_t bytes) {
  const Number number = walked(path);
  WEIR_CHECK(number != 0);
  own(number).resize(bytes);
  own(number).sync(true);
}

void SimDisk::remove(const std::string& path) {
  Place place;
  WEIR_CHECK(walk(AT_FDCWD, path, place) && place.found != 0 && !place.name.empty());
  change_names(place.parent, {0, 0, {{place.name, 0}}});
  sync_names(place.parent, time_);
}

void SimDisk::swap(const std::string& a, const std::string& b) {
  Place x, y;
  WEIR_CHECK(walk(AT_FDCWD, a, x) && walk(AT_FDCWD, b, y) && x.found != 0 && y.found != 0);
  change_names(x.parent, {0, 0, {{x.name, y.found}}});
  change_names(y.parent, {0, 0, {{y.name, x.found}}});
  sync_names(x.parent, time_);
  sync_names(y.parent, time_);
}

void SimDisk::sync_all() {
  for (auto& [number, inode] : inodes_) {
    sync_names(number, time_);
    if (inode.file) own(number).sync(true);
  }
}

}  // namespace weir::test
