#include "agent/core/sandbox.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <string>
#include <vector>

#include "tests/support/temp_dir.h"

using namespace weir;
using weir::test::TempDir;
using weir::test::write_file;

namespace {

int kernel_version() { return int(std::max(0L, syscall(444, nullptr, 0, 1))); }

/// errno of opening it; 0: it works.
int open_error(const std::string& path, int flags) {
  const int fd = open(path.c_str(), flags | O_CLOEXEC, 0600);
  if (fd < 0) return errno;
  close(fd);
  return 0;
}

bool denied(int result) { return result != 0 && errno == EACCES; }

/// The exit code of a child that has run `check`: the number of the first thing that was not as it should be.
int in_child(const std::function<int()>& check) {
  const pid_t child = fork();
  if (child == 0) _exit(check());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000;
}

Sandbox with(std::vector<std::string> write, std::vector<std::string> read) {
  Sandbox out;
  out.landlock = 1;
  out.paths = {std::move(write), std::move(read)};
  return out;
}

}  // namespace

TEST_CASE("each version of Landlock is asked for what it knows, and for no more") {
  CHECK(landlock_rights(0).files == 0);
  CHECK(landlock_rights(1).files == 0x1fff);
  CHECK(landlock_rights(2).files == 0x3fff);
  CHECK(landlock_rights(3).files == 0x7fff);
  CHECK(landlock_rights(4).files == 0x7fff);
  CHECK(landlock_rights(5).files == 0xffff);
  CHECK(landlock_rights(5).scopes == 0);
  CHECK(landlock_rights(6).scopes == 3);
  CHECK(landlock_rights(99).files == landlock_rights(6).files);
}

TEST_CASE("a sandbox holds what lies beneath its paths, whether it exists or not") {
  TempDir dir;
  const std::string out = resolve_path(dir / "out"), conf = resolve_path(dir / "conf");
  mkdir(out.c_str(), 0700);
  const Sandbox sandbox = with({out}, {conf});
  CHECK(sandbox.holds(out, true));
  CHECK(sandbox.holds(out + "/new/deep/file", true));
  CHECK(sandbox.holds(out + "/../out/file", true));
  CHECK(sandbox.holds(conf + "/weir.yaml", false));
  CHECK(sandbox.holds(out + "/file", false));
  CHECK_FALSE(sandbox.holds(conf + "/weir.yaml", true));
  CHECK_FALSE(sandbox.holds(out + "side", true));
  CHECK_FALSE(sandbox.holds(out + "/../file", true));
  CHECK_FALSE(sandbox.holds("/", false));
}

TEST_CASE("links count for where they lead") {
  TempDir dir;
  const std::string out = resolve_path(dir / "out");
  mkdir(out.c_str(), 0700);
  REQUIRE(symlink("/etc", (out + "/away").c_str()) == 0);
  REQUIRE(symlink(out.c_str(), (dir / "in").c_str()) == 0);
  CHECK_FALSE(with({out}, {}).holds(out + "/away/file", true));
  CHECK(with({out}, {}).holds((dir / "in") + "/file", true));
}

TEST_CASE("without Landlock nothing is outside") { CHECK(Sandbox{}.holds("/anything", true)); }

TEST_CASE("every version that the kernel can play keeps writes in and reads out, and lets files be renamed") {
  TempDir dir;
  const std::string out = dir / "out", conf = dir / "conf", other = dir / "other";
  for (const std::string& path : {out, conf, other}) REQUIRE(mkdir(path.c_str(), 0700) == 0);
  for (const std::string& path : {conf, other}) write_file(path + "/file", "text");
  for (int version = 1; version <= kernel_version(); ++version) {
    CAPTURE(version);
    CHECK(in_child([&] {
            auto entered = enter_sandbox({{out, dir / "missing", out}, {conf, "/etc"}}, version);
            if (!entered || entered->landlock != version || !entered->no_new_privs) return 1;
            if (entered->paths.write != std::vector{resolve_path(out)}) return 2;
            if (open_error(out + "/a", O_WRONLY | O_CREAT | O_TRUNC) != 0) return 3;
            if (rename((out + "/a").c_str(), (out + "/b").c_str()) != 0) return 4;
            if (mkdir((out + "/sub").c_str(), 0700) != 0 && errno != EEXIST) return 5;
            const int moved = rename((out + "/b").c_str(), (out + "/sub/b").c_str());
            if (version == 1 ? moved == 0 || errno != EXDEV : moved != 0) return 6;
            if (open_error(conf + "/file", O_RDONLY) != 0) return 7;
            if (open_error(conf + "/file", O_WRONLY) != EACCES) return 8;
            if (open_error(conf + "/new", O_WRONLY | O_CREAT) != EACCES) return 9;
            if (open_error(other + "/file", O_RDONLY) != EACCES) return 10;
            if (open_error(other + "/new", O_WRONLY | O_CREAT) != EACCES) return 11;
            if (!denied(unlink((other + "/file").c_str()))) return 12;
            if (!denied(mkdir((other + "/sub").c_str(), 0700))) return 13;
            if (version >= 3 && !denied(truncate((other + "/file").c_str(), 0))) return 14;
            if (!denied(execl("/bin/true", "true", nullptr))) return 15;
            if (prctl(PR_GET_DUMPABLE) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) return 16;
            return 0;
          }) == 0);
  }
}
