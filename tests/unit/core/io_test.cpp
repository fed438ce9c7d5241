#include "agent/core/io.h"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "tests/support/temp_dir.h"

using namespace weir;
using test::TempDir;

namespace {

struct Tree {
  TempDir dir;
  Io& io = system_io();
  int root = -1;

  Tree() {
    std::filesystem::create_directories(dir / "root/a/b");
    std::filesystem::create_directories(dir / "outside");
    std::filesystem::create_symlink(dir / "outside", dir / "root/out");
    std::filesystem::create_symlink("a", dir / "root/in");
    test::write_file(dir / "root/file", "x");
    root = io.open(dir / "root", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    REQUIRE(root >= 0);
  }
  ~Tree() { io.close(root); }
};

}  // namespace

TEST_CASE("nothing but directories beneath it is opened beneath a directory, with openat2 and without") {
  Tree t;
  const auto opens = [&](auto open, const std::string& path) {
    const int fd = open(t.root, path);
    struct stat st, want;
    if (fd < 0) return false;
    const bool same = t.io.fstat(fd, &st) == 0 && t.io.lstat(t.dir / ("root/" + path), &want) == 0 &&
                      st.st_ino == want.st_ino;
    t.io.close(fd);
    return same;
  };
  const auto by_kernel = [&](int root, const std::string& path) { return t.io.open_beneath(root, path); };
  for (const char* good : {"a", "a/b", "a/./b"}) {
    CAPTURE(good);
    CHECK(opens(by_kernel, good));
    CHECK(opens(open_beneath_by_components, good));
  }
  for (const char* bad :
       {"..", "../outside", "a/../../outside", "out", "in", "in/b", "file", "file/x", "absent", "a/absent"}) {
    CAPTURE(bad);
    CHECK(by_kernel(t.root, bad) == -1);
    CHECK(open_beneath_by_components(t.root, bad) == -1);
    CHECK(errno != 0);
  }
  CHECK(by_kernel(t.root, t.dir / "outside") == -1);
  CHECK(open_beneath_by_components(t.root, t.dir / "outside") == -1);
}

TEST_CASE("a rename to a new name never replaces") {
  Tree t;
  test::write_file(t.dir / "root/other", "y");
  CHECK(t.io.rename_new(t.root, "file", "other") == -1);
  CHECK(errno == EEXIST);
  CHECK(test::read_file(t.dir / "root/other") == "y");
  CHECK(t.io.rename_new(t.root, "file", "fresh") == 0);
  CHECK(test::read_file(t.dir / "root/fresh") == "x");
  CHECK(t.io.rename_over(t.root, "fresh", "other") == 0);
  CHECK(test::read_file(t.dir / "root/other") == "x");
}

TEST_CASE("a directory is listed without itself and its parent") {
  Tree t;
  std::vector<std::string> names;
  REQUIRE(t.io.list(t.root, names) == 0);
  std::ranges::sort(names);
  CHECK(names == std::vector<std::string>{"a", "file", "in", "out"});
}

TEST_CASE("a file knows since when it is there") {
  Tree t;
  const int fd = t.io.openat(t.root, "file", O_RDONLY | O_CLOEXEC, 0);
  struct stat st;
  REQUIRE(t.io.fstat(fd, &st) == 0);
  const int64_t born = t.io.born_ns(fd), written = st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec;
  t.io.close(fd);
  CHECK(born > 0);
  CHECK(born <= written);
}

TEST_CASE("a file of our own is a regular one with one name") {
  Tree t;
  std::filesystem::create_hard_link(t.dir / "root/file", t.dir / "root/second");
  REQUIRE(mkfifo((t.dir / "root/fifo").c_str(), 0600) == 0);
  test::write_file(t.dir / "root/ours", "x");
  const auto refused = [&](const char* name, int flags) {
    const int by_path =
        t.io.open(t.dir / (std::string("root/") + name), flags | O_NOFOLLOW | O_CLOEXEC, 0600);
    const int error = by_path < 0 ? errno : 0;
    const int by_name = t.io.openat(t.root, name, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
    CHECK((by_name < 0) == (by_path < 0));
    if (by_path >= 0) t.io.close(by_path);
    if (by_name >= 0) t.io.close(by_name);
    return error;
  };
  for (const int flags : {O_RDONLY, O_RDWR, O_RDWR | O_CREAT}) {
    CHECK(refused("second", flags) == (flags & O_CREAT ? EMLINK : 0));
    CHECK(refused("fifo", flags) == ENXIO);
    CHECK(refused("a", flags) == EISDIR);
    CHECK(refused("out", flags) == ELOOP);
    CHECK(refused("ours", flags) == 0);
  }
}
