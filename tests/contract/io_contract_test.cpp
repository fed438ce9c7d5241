// One suite, two rows: the kernel in a directory of its own, and the simulated disk that stands in for it.
#include <doctest/doctest.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <random>

#include "tests/support/sim_disk.h"
#include "tests/support/temp_dir.h"

namespace weir {
namespace {

using test::SimDisk;
using test::TempDir;

/// Calls with their results as text: what is compared.
class Caller {
 public:
  Caller(Io& io, std::string root) : io_(io), root_(std::move(root)) {}

  std::string open(const std::string& name, int flags, mode_t mode = 0640) {
    return opened(io_.open(root_ + "/" + name, flags, mode));
  }
  std::string open_at(int directory, const std::string& name, int flags, mode_t mode = 0640) {
    return opened(io_.openat(fd(directory), name, flags, mode));
  }
  std::string open_beneath(int directory, const std::string& path) {
    return opened(io_.open_beneath(fd(directory), path));
  }
  std::string write(int file, const std::string& text, off_t offset = -1) {
    // In two parts, where there are two bytes.
    std::string bytes = text;
    const size_t half = bytes.size() / 2;
    const iovec parts[] = {{bytes.data(), half}, {bytes.data() + half, bytes.size() - half}};
    const int skipped = half == 0;
    return said(offset < 0 ? io_.writev(fd(file), parts + skipped, 2 - skipped)
                           : io_.pwritev(fd(file), parts + skipped, 2 - skipped, offset));
  }
  std::string read(int file, size_t bytes, off_t offset) {
    std::string out(bytes, '?');
    const ssize_t n = io_.pread(fd(file), out.data(), bytes, offset);
    return said(n) + (n > 0 ? " " + out.substr(0, size_t(n)) : "");
  }
  std::string allocate(int file, off_t bytes) { return said(io_.allocate(fd(file), bytes)); }
  std::string truncate(int file, off_t bytes) { return said(io_.ftruncate(fd(file), bytes)); }
  std::string sync(int file) { return said(io_.fdatasync(fd(file))) + " " + said(io_.fsync(fd(file))); }
  std::string stat(int file) {
    struct stat st;
    const int result = io_.fstat(fd(file), &st);
    return said(result) + (result == 0 ? " " + shown(st) : "");
  }
  std::string lstat(const std::string& name) {
    struct stat st;
    const int result = io_.lstat(root_ + "/" + name, &st);
    return said(result) + (result == 0 ? " " + shown(st) : "");
  }
  std::string stat_at(int directory, const std::string& name) {
    struct stat st;
    const int result = io_.fstatat(fd(directory), name, &st);
    return said(result) + (result == 0 ? " " + shown(st) : "");
  }
  std::string mkdir(const std::string& name) { return said(io_.mkdir(root_ + "/" + name, 0750)); }
  std::string mkdir_at(int directory, const std::string& name) {
    return said(io_.mkdirat(fd(directory), name, 0750));
  }
  std::string rename(const std::string& a, const std::string& b) {
    return said(io_.rename(root_ + "/" + a, root_ + "/" + b));
  }
  std::string rename_new(int directory, const std::string& a, const std::string& b) {
    return said(io_.rename_new(fd(directory), a, b));
  }
  std::string rename_over(int directory, const std::string& a, const std::string& b) {
    return said(io_.rename_over(fd(directory), a, b));
  }
  std::string unlink(int directory, const std::string& name) {
    return said(io_.unlinkat(fd(directory), name));
  }
  std::string list(int directory) {
    std::vector<std::string> names;
    const int result = io_.list(fd(directory), names);
    std::ranges::sort(names);
    std::string out = said(result);
    for (const auto& name : names) out += " " + name;
    return out;
  }
  std::string close(int file) {
    const int number = fd(file);
    if (size_t(file) < descriptors_.size()) descriptors_[size_t(file)] = -1;
    return said(io_.close(number));
  }
  size_t opened_ever() const { return descriptors_.size(); }
  void close_all() {
    for (const int fd : descriptors_)
      if (fd >= 0) io_.close(fd);
  }

 private:
  int fd(int n) const { return n >= 0 && size_t(n) < descriptors_.size() ? descriptors_[size_t(n)] : -1; }
  std::string opened(int fd) {
    if (fd < 0) return said(fd);
    descriptors_.push_back(fd);
    return "opened";
  }
  static std::string said(ssize_t result) {
    return result < 0 ? strerrorname_np(errno) : std::to_string(result);
  }
  /// Inodes by the order in which they were met; a number may be used again.
  std::string shown(const struct stat& st) {
    if (S_ISDIR(st.st_mode)) return "directory";
    return std::to_string(st.st_mode) + " " + std::to_string(st.st_size) + " bytes, " +
           std::to_string(st.st_nlink) + " names, uid " + std::to_string(st.st_uid);
  }

  Io& io_;
  const std::string root_;
  std::vector<int> descriptors_;
};

template <class Fn>
void for_each_io(Fn&& fn) {
  {
    INFO("system");
    TempDir dir;
    std::filesystem::create_directory(dir / "root");
    Caller calls(system_io(), dir / "root");
    fn(calls);
    calls.close_all();
  }
  INFO("simulated");
  ManualClock clock;
  SimDisk disk(clock);
  disk.make_directories("/tmp/root");
  Caller calls(disk, "/tmp/root");
  fn(calls);
  calls.close_all();
  CHECK(disk.open_descriptors() == 0);
}

constexpr int kNew = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
constexpr int kDirectory = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

TEST_CASE("a file is made once, and only where its directory is") {
  for_each_io([](Caller& io) {
    CHECK(io.open("a", kNew) == "opened");
    CHECK(io.open("a", kNew) == "EEXIST");
    CHECK(io.open("b", O_RDONLY) == "ENOENT");
    CHECK(io.open("x/a", kNew) == "ENOENT");
    CHECK(io.open("a/x", kNew) == "ENOTDIR");
    CHECK(io.open("a", O_RDONLY | O_DIRECTORY) == "ENOTDIR");
    CHECK(io.open("", O_RDONLY) == "opened");  // the directory itself
    CHECK(io.open("", O_RDWR) == "EISDIR");
    CHECK(io.open(std::string(256, 'n'), kNew) == "ENAMETOOLONG");
    CHECK(io.stat(0) == "0 33184 0 bytes, 1 names, uid " + std::to_string(geteuid()));
  });
}

TEST_CASE("writes go to the place of the descriptor, to the end, or where they are told") {
  for_each_io([](Caller& io) {
    io.open("a", kNew);
    io.open("a", O_WRONLY | O_APPEND);
    io.open("a", O_RDONLY);
    CHECK(io.write(0, "0123456789") == "10");
    CHECK(io.write(1, "ab") == "2");
    CHECK(io.write(0, "cd") == "2");  // over what was appended
    CHECK(io.write(0, "XY", 3) == "2");
    CHECK(io.write(1, "end", 0) == "3");  // O_APPEND wins
    CHECK(io.read(2, 100, 0) == "15 012XY56789cdend");
    CHECK(io.write(0, "z", 20) == "1");
    CHECK(io.read(2, 100, 15) == "6 " + std::string(5, '\0') + "z");
    CHECK(io.read(2, 100, 21) == "0");
    CHECK(io.write(2, "no") == "EBADF");
    CHECK(io.read(1, 1, 0) == "EBADF");
    CHECK(io.read(2, 1, -1) == "EINVAL");
    CHECK(io.write(0, "") == "0");
  });
}

TEST_CASE("a file is set aside, cut and made longer with zeros") {
  for_each_io([](Caller& io) {
    io.open("a", kNew);
    io.open("a", O_RDONLY);
    CHECK(io.write(0, "0123456789") == "10");
    CHECK(io.allocate(0, 5) == "0");
    CHECK(io.allocate(0, 12) == "0");
    CHECK(io.read(1, 100, 8) == "4 89" + std::string(2, '\0'));
    CHECK(io.truncate(0, 4) == "0");
    CHECK(io.truncate(0, 6) == "0");
    CHECK(io.read(1, 100, 0) == "6 0123" + std::string(2, '\0'));
    CHECK(io.truncate(0, -1) == "EINVAL");
    CHECK(io.truncate(1, 1) == "EINVAL");
    CHECK(io.allocate(0, 0) == "EINVAL");
    CHECK(io.allocate(1, 5) == "EBADF");
    CHECK(io.sync(1) == "0 0");
  });
}

TEST_CASE("a descriptor that only names can be looked at and opened beneath, nothing else") {
  for_each_io([](Caller& io) {
    io.mkdir("d");
    CHECK(io.open("d", O_PATH | O_DIRECTORY) == "opened");
    CHECK(io.open_at(0, "f", kNew) == "opened");
    CHECK(io.open_at(0, "f", O_PATH) == "opened");
    CHECK(io.sync(0) == "EBADF EBADF");
    CHECK(io.write(2, "x") == "EBADF");
    CHECK(io.read(2, 1, 0) == "EBADF");
    CHECK(io.truncate(2, 1) == "EBADF");
    CHECK(io.stat(2) == io.stat(1));
    CHECK(io.list(0) == "0 f");
    CHECK(io.list(1) == "ENOTDIR");
    CHECK(io.open_at(1, "x", kNew) == "ENOTDIR");
    CHECK(io.open("d", kDirectory) == "opened");
    CHECK(io.sync(3) == "0 0");
    CHECK(io.read(3, 1, 0) == "EISDIR");
    CHECK(io.close(3) == "0");
    CHECK(io.close(3) == "EBADF");
    CHECK(io.list(3) == "EBADF");
  });
}

TEST_CASE("names are moved and removed; what is open lives on without one") {
  for_each_io([](Caller& io) {
    io.open("", kDirectory);
    io.open("a", kNew);
    io.write(1, "a");
    io.open("b", kNew);
    CHECK(io.rename_new(0, "a", "b") == "EEXIST");
    CHECK(io.rename_new(0, "a", "a") == "EEXIST");
    CHECK(io.rename_new(0, "x", "b") == "ENOENT");
    CHECK(io.rename_new(0, "a", "c") == "0");
    CHECK(io.rename_over(0, "c", "b") == "0");
    CHECK(io.list(0) == "0 b");
    CHECK(io.stat(1).find("1 bytes, 1 names") != std::string::npos);
    CHECK(io.stat(2).find("0 bytes, 0 names") != std::string::npos);
    CHECK(io.unlink(0, "b") == "0");
    CHECK(io.unlink(0, "b") == "ENOENT");
    CHECK(io.write(1, "b") == "1");
    CHECK(io.read(1, 9, 0) == "2 ab");
    CHECK(io.mkdir("d") == "0");
    CHECK(io.mkdir("d") == "EEXIST");
    CHECK(io.mkdir("x/d") == "ENOENT");
    CHECK(io.mkdir_at(0, "e") == "0");
    CHECK(io.unlink(0, "d") == "EISDIR");
    CHECK(io.open("f", kNew) == "opened");
    CHECK(io.rename("f", "d") == "EISDIR");
    CHECK(io.rename("d", "f") == "ENOTDIR");
    CHECK(io.rename("d", "d/d") == "EINVAL");
    CHECK(io.rename("f", "d/f") == "0");
    CHECK(io.rename("e", "d") == "ENOTEMPTY");
    CHECK(io.rename("d", "e") == "0");
    CHECK(io.lstat("e/f") == io.stat_at(0, "e/f"));
    CHECK(io.lstat("d/f") == "ENOENT");
    CHECK(io.open_beneath(0, "e") == "opened");
    CHECK(io.open_beneath(0, "e/../e/.") == "opened");
    CHECK(io.open_beneath(0, "e/../..") == "EXDEV");
    CHECK(io.open_beneath(0, "/tmp") == "EXDEV");
    CHECK(io.open_beneath(0, "e/f") == "ENOTDIR");
  });
}

TEST_CASE("a file knows since when it is there, and keeps its inode under another name") {
  const auto check = [](Io& io, const std::string& root) {
    const int fd = io.open(root + "/a", kNew, 0600);
    REQUIRE(fd >= 0);
    struct stat before, after;
    REQUIRE(io.fstat(fd, &before) == 0);
    CHECK(io.born_ns(fd) > 0);
    CHECK(io.born_ns(fd) <= before.st_mtim.tv_sec * 1'000'000'000 + before.st_mtim.tv_nsec);
    CHECK(io.rename(root + "/a", root + "/b") == 0);
    REQUIRE(io.lstat(root + "/b", &after) == 0);
    CHECK(after.st_ino == before.st_ino);
    CHECK(after.st_dev == before.st_dev);
    io.close(fd);
  };
  TempDir dir;
  std::filesystem::create_directory(dir / "root");
  check(system_io(), dir / "root");
  ManualClock clock;
  SimDisk disk(clock);
  check(disk, "");
}

/// The same calls at random, said and answered alike.
TEST_CASE("whatever is called in whatever order, the simulated disk answers as the kernel does (seeded)") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  TempDir dir;
  std::filesystem::create_directory(dir / "root");
  ManualClock clock;
  SimDisk disk(clock);
  disk.make_directories("/root");
  Caller real(system_io(), dir / "root"), simulated(disk, "/root");
  std::mt19937_64 random(seed);
  const auto below = [&](size_t n) { return size_t(random() % n); };
  const std::vector<std::string> names{"a",     "b",  "c",  "d", "d/a",  "d/b", "d/e",
                                       "d/e/a", "a/", "d/", ".", "d/..", ""};
  const std::vector<int> modes{O_RDONLY, O_WRONLY, O_RDWR, O_PATH};
  const std::vector<int> extras{O_CREAT, O_CREAT | O_EXCL, O_APPEND, O_TRUNC, O_DIRECTORY, O_NOFOLLOW};
  for (int step = 0; step < 6000; ++step) {
    const std::string name = names[below(names.size())], other = names[below(names.size())];
    const int fd = int(below(real.opened_ever() + 1)) - (below(20) == 0), directory = fd;
    const off_t offset = off_t(below(4) == 0 ? below(20'000) : below(50));
    const std::string text(1 + below(below(10) == 0 ? 9000 : 20), char('a' + below(26)));
    int flags = modes[below(modes.size())] | O_CLOEXEC;
    for (const int extra : extras)
      if (below(4) == 0) flags |= extra;
    if ((flags & O_TRUNC) && (flags & O_ACCMODE) == O_RDONLY) flags &= ~O_TRUNC;  // not defined
    if ((flags & O_CREAT) && (flags & O_DIRECTORY)) flags &= ~O_DIRECTORY;  // as the kernel's version has it
    const size_t what = below(20);
    const auto call = [&](Caller& io) {
      switch (what) {
        case 0:
        case 1:
        case 2:
          return "open " + io.open(name, flags);
        case 3:
          return "openat " + io.open_at(directory, name, flags);
        case 4:
          return "open_beneath " + io.open_beneath(directory, name);
        case 5:
        case 6:
          return "write " + io.write(fd, text);
        case 7:
        case 8:
          return "pwrite " + io.write(fd, text, offset);
        case 9:
        case 10:
          return "read " + io.read(fd, 5000, offset);
        case 11:
          return "allocate " + io.allocate(fd, offset);
        case 12:
          return "truncate " + io.truncate(fd, offset);
        case 13:
          return "stat " + io.stat(fd) + " " + io.lstat(name) + " " + io.stat_at(directory, other);
        case 14:
          return "mkdir " + io.mkdir(name);
        case 15:
          return "rename " + io.rename(name, other);
        case 16:
          return "rename_new " + io.rename_new(directory, name, other);
        case 17:
          return "unlink " + io.unlink(directory, name);
        case 18:
          return "list " + io.list(directory);
        default:
          return "close " + io.close(fd);
      }
    };
    CAPTURE(step);
    CAPTURE(what);
    CAPTURE(name);
    CAPTURE(other);
    CAPTURE(flags);
    REQUIRE(call(simulated) == call(real));
  }
  real.close_all();
}

}  // namespace
}  // namespace weir
