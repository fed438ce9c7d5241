#include "tests/support/sim_disk.h"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <set>

using namespace weir;
using namespace weir::test;

namespace {

constexpr int kNew = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
constexpr PowerCut kLoseAll{PowerCut::Data::lost, PowerCut::Changes::lost, PowerCut::Changes::lost};
constexpr PowerCut kKeepAll{PowerCut::Data::kept, PowerCut::Changes::kept, PowerCut::Changes::kept};

struct Disk {
  ManualClock clock;
  SimDisk disk{clock};
  SimRandom random{1};

  int open(const std::string& path, int flags = kNew) {
    const int fd = disk.open(path, flags, 0640);
    REQUIRE(fd >= 0);
    return fd;
  }
  ssize_t write(int fd, std::string text, off_t offset = -1) {
    const iovec part{text.data(), text.size()};
    return offset < 0 ? disk.writev(fd, &part, 1) : disk.pwritev(fd, &part, 1, offset);
  }
  void sync_directory(const std::string& path) {
    const int fd = open(path, O_RDONLY | O_DIRECTORY);
    REQUIRE(disk.fsync(fd) == 0);
    disk.close(fd);
  }
  /// Everything that may be left of `path` in so many cuts; `-`: no such file.
  std::set<std::string> left(const std::string& path, const PowerCut& how, int times = 300) {
    std::set<std::string> out;
    for (int i = 0; i < times; ++i) {
      const SimDisk cut = disk.after_power_cut(random, how);
      out.insert(cut.exists(path) ? cut.content(path) : "-");
    }
    return out;
  }
};

using Left = std::set<std::string>;

TEST_CASE_FIXTURE(Disk, "the death of the process costs nothing but its descriptors") {
  const int fd = open("/a");
  write(fd, "text");
  disk.crash_process();
  CHECK(disk.content("/a") == "text");
  CHECK(write(fd, "more") == -1);
  CHECK(errno == EBADF);
  CHECK(disk.bad_descriptors == 1);
  CHECK(disk.open_descriptors() == 0);
}

TEST_CASE_FIXTURE(Disk, "what was not synced may be lost or kept, what was synced stays") {
  const int fd = open("/a");
  CHECK(left("/a", kLoseAll) == Left{"-"});
  CHECK(left("/a", kKeepAll) == Left{""});
  sync_directory("/");
  write(fd, "12");
  CHECK(left("/a", kLoseAll) == Left{""});
  CHECK(left("/a", kKeepAll) == Left{"12"});
  REQUIRE(disk.fdatasync(fd) == 0);
  write(fd, "34");
  CHECK(left("/a", kLoseAll) == Left{"12"});
  CHECK(left("/a", kKeepAll) == Left{"1234"});
  // The length may be on the disk before the bytes.
  CHECK(left("/a", {}) == Left{"12", std::string("12\0\0", 4), "1234"});
  CHECK(left("/a", {PowerCut::Data::lost, PowerCut::Changes::kept}) == Left{std::string("12\0\0", 4)});
}

TEST_CASE_FIXTURE(Disk,
                  "pages are written back in no order, each as it was at some moment, or sector by sector") {
  const int fd = open("/a");
  const std::string zeros(8192, '0');
  write(fd, zeros);
  disk.sync_all();
  write(fd, "1", 0), write(fd, "1", 4096), write(fd, "2", 1), write(fd, "3", 512);
  Left heads, torn;
  const auto head = [](const std::string& s) { return s.substr(0, 2) + s[512] + s[4096]; };
  for (const std::string& s : left("/a", {PowerCut::Data::mixed})) heads.insert(head(s));
  CHECK(heads == Left{"0000", "1000", "1200", "1230", "0001", "1001", "1201", "1231"});
  for (const std::string& s : left("/a", {PowerCut::Data::torn})) torn.insert(head(s));
  CHECK(torn.contains("0030"));
  CHECK(torn.contains("1030"));
  CHECK(torn.size() == 12);
}

TEST_CASE_FIXTURE(Disk, "a cut of a file is there or not, never a hole in its old content") {
  const int fd = open("/a");
  write(fd, std::string(10'000, 'x'));
  disk.sync_all();
  REQUIRE(disk.ftruncate(fd, 5000) == 0);
  write(fd, "yy", 6000);
  for (const std::string& s : left("/a", {PowerCut::Data::mixed})) {
    CAPTURE(s.size());
    const size_t x = s.find_first_not_of('x');
    if (s.size() == 10'000)
      CHECK(x == s.npos);
    else
      CHECK((s.size() == 5000 || s.size() == 6002));
    if (s.size() == 6002) CHECK(x == 5000);
  }
  CHECK(left("/a", kLoseAll) == Left{std::string(10'000, 'x')});
}

TEST_CASE_FIXTURE(Disk, "a sync that fails leaves what was dirty clean, and not on the disk") {
  const int fd = open("/a");
  disk.sync_all();
  write(fd, "12");
  disk.faults = fail_calls(IoCall::sync, "/a", {EIO});
  CHECK(disk.fdatasync(fd) == -1);
  CHECK(errno == EIO);
  CHECK(disk.fdatasync(fd) == 0);  // the trap: nothing is dirty
  CHECK(disk.content("/a") == "12");
  CHECK(left("/a", kLoseAll) == Left{std::string(2, '\0')});  // its length is the file system's business
  CHECK(left("/a", kKeepAll) == Left{"12"});
  SUBCASE("what is written to the same page takes it along") {
    write(fd, "34");
    CHECK(disk.fdatasync(fd) == 0);
    CHECK(left("/a", kLoseAll) == Left{"1234"});
  }
  SUBCASE("what is written to another does not") {
    write(fd, "x", 4096);
    CHECK(disk.fdatasync(fd) == 0);
    const std::string lost = *left("/a", kLoseAll).begin();
    CHECK(lost.size() == 4097);
    CHECK(lost.substr(0, 2) == std::string(2, '\0'));
  }
  SUBCASE("the cache may forget it") {
    disk.crash_process();
    CHECK(disk.content("/a") == "12");
    disk.drop_clean_pages();
    CHECK(disk.content("/a") == std::string(2, '\0'));
  }
}

TEST_CASE_FIXTURE(Disk, "names are kept up to a moment, each directory by itself") {
  disk.make_directories("/d");
  open("/d/a"), open("/d/b");
  REQUIRE(disk.rename("/d/a", "/d/c") == 0);
  std::set<std::vector<std::string>> seen;
  for (int i = 0; i < 300; ++i) seen.insert(disk.after_power_cut(random, {}).names("/d"));
  CHECK(seen == std::set<std::vector<std::string>>{{}, {"a"}, {"a", "b"}, {"b", "c"}});
  sync_directory("/d");
  CHECK(disk.after_power_cut(random, kLoseAll).names("/d") == std::vector<std::string>{"b", "c"});
}

TEST_CASE_FIXTURE(Disk, "a move to another directory is in both or in none") {
  disk.make_directories("/d"), disk.make_directories("/e");
  disk.put("/d/a", "text");
  open("/e/before");
  REQUIRE(disk.rename("/d/a", "/e/b") == 0);
  open("/d/a");
  bool moved = false, stayed = false;
  for (int i = 0; i < 300; ++i) {
    const SimDisk cut = disk.after_power_cut(random, {});
    const bool there = cut.exists("/e/b");
    (there ? moved : stayed) = true;
    REQUIRE(cut.content(there ? "/e/b" : "/d/a") == "text");
    REQUIRE((!there || cut.exists("/e/before")));
  }
  CHECK(moved);
  CHECK(stayed);
  sync_directory("/d");
  const SimDisk cut = disk.after_power_cut(random, kLoseAll);
  CHECK(cut.content("/e/b") == "text");
  CHECK(cut.content("/d/a").empty());
}

TEST_CASE_FIXTURE(Disk,
                  "a removed file comes back where that was not synced, and its number is not taken before") {
  disk.put("/a", "old");
  const int directory = open("/", O_RDONLY | O_DIRECTORY);
  struct stat st, other;
  REQUIRE(disk.lstat("/a", &st) == 0);
  REQUIRE(disk.unlinkat(directory, "a") == 0);
  disk.fstat(open("/b"), &other);
  CHECK(other.st_ino != st.st_ino);
  CHECK(disk.after_power_cut(random, kLoseAll).content("/a") == "old");
  REQUIRE(disk.fsync(directory) == 0);
  CHECK_FALSE(disk.after_power_cut(random, kLoseAll).exists("/a"));
  disk.fstat(open("/c"), &other);
  CHECK(other.st_ino == st.st_ino);
}

TEST_CASE_FIXTURE(Disk, "a number stays over a crash, that of the device does not over a power cut") {
  disk.put("/x", "");
  disk.put("/a", "text");
  struct stat before, crashed, cut;
  disk.lstat("/a", &before);
  disk.crash_process();
  disk.lstat("/a", &crashed);
  disk.power_cut(random);
  disk.lstat("/a", &cut);
  CHECK(before.st_ino == crashed.st_ino);
  CHECK(before.st_dev == crashed.st_dev);
  CHECK(before.st_ino == cut.st_ino);
  CHECK(before.st_dev != cut.st_dev);
}

TEST_CASE_FIXTURE(Disk, "a full disk takes what there is room for, until something is freed") {
  disk.capacity_bytes = 3 * 4096;
  const int a = open("/a"), b = open("/b"), directory = open("/", O_RDONLY | O_DIRECTORY);
  CHECK(write(a, std::string(5000, 'x')) == 5000);
  CHECK(disk.used_bytes() == 2 * 4096);
  CHECK(write(b, std::string(5000, 'x')) == 4096);
  CHECK(write(b, "y") == -1);
  CHECK(errno == ENOSPC);
  CHECK(write(a, std::string(5000, 'x'), 8000) == 192);  // what its last page has room for
  CHECK(write(a, "again", 0) == 5);
  CHECK(disk.allocate(b, 9000) == -1);
  CHECK(errno == ENOSPC);
  REQUIRE(disk.unlinkat(directory, "a") == 0);
  CHECK(write(b, "y") == -1);  // still open
  disk.close(a);
  CHECK(write(b, "y") == 1);
  CHECK(disk.allocate(b, 20'000) == -1);
  struct stat st;
  disk.fstat(b, &st);
  CHECK(st.st_size == 3 * 4096);
  REQUIRE(disk.ftruncate(b, 0) == 0);
  CHECK(disk.used_bytes() == 0);
}

TEST_CASE_FIXTURE(Disk, "faults come by number, by kind and path, and by chance with a seed") {
  const int a = open("/a"), b = open("/b");
  disk.faults = fail_call(disk.calls + 1, EACCES);
  CHECK(write(a, "1") == 1);
  CHECK(write(a, "2") == -1);
  CHECK(errno == EACCES);
  CHECK(write(a, "3") == 1);
  disk.faults = fail_calls(IoCall::write, "/b", {0, 2}, 1, 1);
  CHECK(write(a, "4567") == 4);
  CHECK(write(b, "4567") == 4);
  CHECK(write(b, "4567") == 2);
  CHECK(write(b, "4567") == 4);
  CHECK(disk.content("/a") == "134567");
  std::string said[2];
  for (std::string& text : said) {
    disk.faults = fail_some(7, 300, {IoCall::write});
    for (int i = 0; i < 50; ++i) text += write(a, std::string(1000, 'x')) < 0 ? 'e' : 'w';
  }
  CHECK(said[0] == said[1]);
  CHECK(said[0].find('e') != std::string::npos);
  CHECK(said[0].find('w') != std::string::npos);
}

TEST_CASE_FIXTURE(Disk, "a halted disk does nothing for anyone") {
  const int fd = open("/a");
  disk.halt();
  CHECK(write(fd, "x") == -1);
  CHECK(disk.open("/b", kNew, 0600) == -1);
  CHECK(disk.close(fd) == -1);
  disk.crash_process();
  CHECK(disk.content("/a").empty());
  CHECK_FALSE(disk.exists("/b"));
  CHECK(disk.bad_descriptors == 0);
}

TEST_CASE_FIXTURE(Disk, "damage is at once, and for good") {
  disk.put("/a", "abc"), disk.put("/b", "xyz");
  disk.flip_bit("/a", 1, 0);
  disk.truncate_file("/b", 1);
  CHECK(disk.content("/a") == "acc");
  disk.swap("/a", "/b");
  disk.power_cut(random, kLoseAll);
  CHECK(disk.content("/a") == "x");
  CHECK(disk.content("/b") == "acc");
  disk.remove("/a");
  disk.power_cut(random, kLoseAll);
  CHECK(disk.names("/") == std::vector<std::string>{"b"});
}

TEST_CASE_FIXTURE(Disk, "a copy goes its own way") {
  const int fd = open("/a");
  write(fd, "12");
  SimDisk copy = disk;
  write(fd, "34");
  const iovec part{const_cast<char*>("x"), 1};
  CHECK(copy.writev(fd, &part, 1) == 1);
  CHECK(copy.content("/a") == "12x");
  CHECK(disk.content("/a") == "1234");
}

TEST_CASE_FIXTURE(Disk, "the same seed gives the same disk") {
  const int fd = open("/a");
  for (int i = 0; i < 50; ++i) write(fd, std::string(3000, char('a' + i % 26)));
  SimRandom one(5), two(5), three(6);
  const std::string left = disk.after_power_cut(one, {.names = PowerCut::Changes::kept}).content("/a");
  CHECK(disk.after_power_cut(two, {.names = PowerCut::Changes::kept}).content("/a") == left);
  CHECK(disk.after_power_cut(three, {.names = PowerCut::Changes::kept}).content("/a") != left);
}

}  // namespace
