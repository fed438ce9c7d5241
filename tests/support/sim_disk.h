#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/core/clock.h"
#include "agent/core/io.h"
#include "tests/support/sim_faults.h"
#include "tests/support/sim_file.h"

namespace weir::test {

/// A disk in memory that forgets what was not synced, fills up, fails and tears (delivery.md section 4 rule
/// 7). Results are the kernel's (tests/contract/io_contract_test.cpp); no links, no permissions. One thread.
///
/// Volatile until fdatasync or fsync of the file: its content page by page, and its length. Volatile until
/// fsync of the directory: each name that was made, moved or removed in it; moves from one directory to
/// another are one change of both. A sync that fails leaves what was dirty clean, and not on the disk. Inode
/// numbers are used again as soon as nothing refers to them.
///
/// A copy is a disk of its own, its descriptors included; it shares pages that neither changes.
class SimDisk final : public Io {
 public:
  /// `clock` outlives it and its copies. The root directory is there.
  explicit SimDisk(const Clock& clock);

  SimFaults faults;
  /// Before each call, whatever faults say. It may copy the disk, and cut the copy's power.
  std::function<void(const SimCall&)> on_call;
  /// Space for content, whole pages; what is unlinked and closed is free again.
  uint64_t capacity_bytes = UINT64_MAX;
  uint64_t calls = 0;
  /// Calls on descriptors that are not open, while the process lives: a mistake in the code under test.
  uint64_t bad_descriptors = 0;

  // Between two lives of the process. Whoever used the disk is destroyed after halt(), so that what its
  // destructors do has no effect.
  void halt() { halted_ = true; }
  /// kill -9: descriptors are gone, the page cache stays.
  void crash_process();
  /// Memory is short: of pages that are clean the cache holds what is on the disk. That differs where a sync
  /// failed.
  void drop_clean_pages();
  /// Descriptors, cache and, as `how` says, names are gone; the device gets another number.
  void power_cut(SimRandom& random, const PowerCut& how = {});
  /// The disk as it would be, were that the end; without faults and on_call.
  SimDisk after_power_cut(SimRandom& random, const PowerCut& how) const;
  SimDisk after_crash() const;
  void set_clock(const Clock& clock) { clock_ = &clock; }

  // By hand of the tester, effective at once and durable. Paths must be there where nothing else is said.
  void make_directories(const std::string& path);  ///< where missing
  void put(const std::string& path, std::string_view content);
  bool exists(const std::string& path) const;
  std::string content(const std::string& path) const;  ///< as readers see it
  std::vector<std::string> names(const std::string& directory) const;
  void flip_bit(const std::string& path, uint64_t offset, unsigned bit = 0);
  void truncate_file(const std::string& path, uint64_t bytes);
  void remove(const std::string& path);
  void swap(const std::string& a, const std::string& b);
  void sync_all();
  uint64_t used_bytes() const;
  size_t open_descriptors() const { return open_.size(); }

  int open(const std::string& path, int flags, mode_t mode) override;
  ssize_t writev(int fd, const iovec* parts, int count) override;
  ssize_t pread(int fd, void* out, size_t bytes, off_t offset) override;
  ssize_t pwritev(int fd, const iovec* parts, int count, off_t offset) override;
  int allocate(int fd, off_t bytes) override;
  int ftruncate(int fd, off_t length) override;
  int fdatasync(int fd) override;
  int fstat(int fd, struct stat* out) override;
  int mkdir(const std::string& path, mode_t mode) override;
  int rename(const std::string& from, const std::string& to) override;
  int lstat(const std::string& path, struct stat* out) override;
  int fsync(int fd) override { return fdatasync(fd); }
  int64_t born_ns(int fd) override;
  int openat(int directory, const std::string& name, int flags, mode_t mode) override;
  int open_beneath(int directory, const std::string& path) override;
  int mkdirat(int directory, const std::string& name, mode_t mode) override;
  int fstatat(int directory, const std::string& name, struct stat* out) override;
  int rename_new(int directory, const std::string& from, const std::string& to) override;
  int rename_over(int directory, const std::string& from, const std::string& to) override;
  int unlinkat(int directory, const std::string& name) override;
  int list(int directory, std::vector<std::string>& names) override;
  int close(int fd) override;

 private:
  using Number = ino_t;  ///< of an inode; 0: none
  using Entries = std::map<std::string, Number, std::less<>>;
  /// A change of names in one directory that was not synced. Both sides of a move have the same time.
  struct NameChange {
    uint64_t time = 0;
    Number other = 0;                                   ///< the other directory of a move
    std::vector<std::pair<std::string, Number>> names;  ///< 0: removed
  };
  struct Inode {
    bool directory = false;
    bool removed = false;  ///< a directory that another one was moved over: nothing is made in it any more
    mode_t mode = 0;
    int64_t born_ns = 0, written_ns = 0;
    std::shared_ptr<SimFile> file;  ///< shared with copies of the disk
    Number parent = 0;
    Entries now, disk;
    std::vector<NameChange> changes;
  };
  struct Open {
    Number number = 0;
    int flags = 0;
    uint64_t offset = 0;
    std::string path;
  };
  struct Place {
    Number parent = 0, found = 0;
    std::string name;  ///< empty: the path ends in a directory without a name (`/`, `.`, `..`)
    bool slash = false;
  };

  static int fail(int error);
  std::optional<int> enter(IoCall kind, std::string_view path, SimFault* fault = nullptr);
  std::optional<int> enter(IoCall kind, int fd, SimFault* fault = nullptr);
  /// The kernel's walk; an error is in errno, and false.
  bool walk(int directory, const std::string& path, Place& out) const;
  bool walk_to(int directory, const std::string& path, Place& out) const;
  Number walked(const std::string& path) const;
  std::string path_of(int directory, const std::string& name) const;
  Open* find(int fd);
  Number directory_of(int fd) const;
  int open_there(int directory, const std::string& path, int flags, mode_t mode);
  ssize_t write(int fd, const iovec* parts, int count, std::optional<off_t> offset);
  int move(int directory, const std::string& from, const std::string& to, bool replace);
  int make_directory(int directory, const std::string& path, mode_t mode);
  int look(int directory, const std::string& path, struct stat* out);
  void fill(Number number, struct stat* out) const;
  Number add_inode(bool directory, mode_t mode, Number parent);
  int add_descriptor(Number number, int flags, std::string path);
  void change_names(Number directory, NameChange change);
  void sync_names(Number directory, uint64_t upto);
  void cut_names(SimRandom& random, const PowerCut& how);
  void forget_unused();
  bool is_named(Number number) const;
  SimFile& own(Number number);
  uint64_t free_pages() const;

  const Clock* clock_;
  std::map<Number, Inode> inodes_;
  std::map<int, Open> open_;
  dev_t device_ = 64;
  int first_descriptor_;
  uint64_t time_ = 0;
  bool halted_ = false;
};

}  // namespace weir::test
