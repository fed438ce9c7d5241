#include "agent/core/sandbox.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "agent/core/log.h"

/// Landlock (landlock(7)) with declarations of our own: the headers of the system we build on may be older
/// than the kernel we run on.
namespace weir {
namespace {

constexpr long kCreateRuleset = 444, kAddRule = 445, kRestrictSelf = 446;
constexpr unsigned kAskVersion = 1;
constexpr int kRulePathBeneath = 1;

struct RulesetAttributes {
  uint64_t handled_files = 0;
  uint64_t handled_network = 0;  ///< since version 4
  uint64_t scoped = 0;           ///< since version 6
};
struct [[gnu::packed]] PathBeneath {
  uint64_t allowed = 0;
  int32_t parent_fd = -1;
};

constexpr uint64_t bit(int n) { return UINT64_C(1) << n; }
constexpr uint64_t kWriteFile = bit(1), kReadFile = bit(2), kReadDirectory = bit(3), kTruncate = bit(14);
constexpr uint64_t kMakeDevices = bit(6) | bit(11), kExecute = bit(0), kDeviceControl = bit(15);
constexpr uint64_t kToRead = kReadFile | kReadDirectory;
/// A rule for what is no directory may have no other.
constexpr uint64_t kOfFiles = kExecute | kWriteFile | kReadFile | kTruncate | kDeviceControl;
constexpr uint64_t kScopeAbstractSockets = bit(0), kScopeSignals = bit(1);

bool is_within(const std::string& path, const std::string& place) {
  return path == place || place == "/" ||
         (path.size() > place.size() && path.starts_with(place) && path[place.size()] == '/');
}

bool is_within_any(const std::string& path, const std::vector<std::string>& places) {
  return std::ranges::any_of(places, [&](const std::string& place) { return is_within(path, place); });
}

/// The real paths of what is there, none beneath another, or beneath one of `wider`.
std::vector<std::string> normal_form(const std::vector<std::string>& paths,
                                     const std::vector<std::string>& wider) {
  std::vector<std::string> real, out;
  for (const std::string& path : paths) {
    real.push_back(resolve_path(path));
    if (struct stat st; stat(real.back().c_str(), &st) == 0) continue;
    log::warn("sandbox: {} is not there and stays out of it; make it and start again if it is needed", path);
    real.pop_back();
  }
  std::ranges::sort(real);
  for (std::string& path : real)
    if (!is_within_any(path, out) && !is_within_any(path, wider)) out.push_back(std::move(path));
  return out;
}

Result<void> allow(int ruleset, const std::string& path, uint64_t rights) {
  const int fd = open(path.c_str(), O_PATH | O_CLOEXEC);
  if (fd < 0) return fail("sandbox: cannot open " + path + ": " + std::strerror(errno));
  struct stat st;
  if (fstat(fd, &st) != 0 || !S_ISDIR(st.st_mode)) rights &= kOfFiles;
  const PathBeneath rule{rights, fd};
  const long result = syscall(kAddRule, ruleset, kRulePathBeneath, &rule, 0);
  const int error = errno;
  close(fd);
  if (result == 0) return {};
  return fail("sandbox: the kernel refuses a rule for " + path + ": " + std::strerror(error));
}

LandlockRights wanted_rights(int version) {
  LandlockRights rights = landlock_rights(version);
  // A service manager that listens at an abstract address must stay within reach.
  const char* const notify = std::getenv("NOTIFY_SOCKET");
  if (notify && notify[0] == '@') rights.scopes &= ~kScopeAbstractSockets;
  return rights;
}

Result<void> restrict_files(const SandboxPaths& paths, int version) {
  const LandlockRights rights = wanted_rights(version);
  RulesetAttributes attributes;
  attributes.handled_files = rights.files, attributes.scoped = rights.scopes;
  // An older kernel takes words it does not know as long as they are zero.
  const int ruleset = int(syscall(kCreateRuleset, &attributes, sizeof attributes, 0));
  if (ruleset < 0) return fail(std::string("sandbox: no Landlock ruleset: ") + std::strerror(errno));
  const uint64_t to_write = rights.files & ~(kExecute | kMakeDevices | kDeviceControl);
  Result<void> done;
  for (const std::string& path : paths.write)
    if (done) done = allow(ruleset, path, to_write);
  for (const std::string& path : paths.read)
    if (done) done = allow(ruleset, path, kToRead);
  if (done && syscall(kRestrictSelf, ruleset, 0) != 0)
    done = fail(std::string("sandbox: Landlock cannot be entered: ") + std::strerror(errno));
  close(ruleset);
  return done;
}

}  // namespace

LandlockRights landlock_rights(int version) {
  if (version < 1) return {};
  LandlockRights rights{bit(13) - 1, 0};
  if (version >= 2) rights.files |= bit(13);  // renaming from one directory to another
  if (version >= 3) rights.files |= kTruncate;
  if (version >= 5) rights.files |= kDeviceControl;
  if (version >= 6) rights.scopes = kScopeAbstractSockets | kScopeSignals;
  return rights;
}

std::string resolve_path(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  auto real = std::filesystem::weakly_canonical(absolute, error);
  if (error) real = absolute.lexically_normal();
  std::string text = real.string();
  while (text.size() > 1 && text.ends_with('/')) text.pop_back();
  return text;
}

bool Sandbox::holds(const std::string& path, bool to_write) const {
  if (landlock == 0) return true;
  const std::string real = resolve_path(path);
  return is_within_any(real, paths.write) || (!to_write && is_within_any(real, paths.read));
}

Result<Sandbox> enter_sandbox(const SandboxPaths& paths, int landlock_max) {
  Sandbox sandbox;
  sandbox.paths.write = normal_form(paths.write, {});
  sandbox.paths.read = normal_form(paths.read, sandbox.paths.write);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
    return fail(std::string("sandbox: prctl: ") + std::strerror(errno));
  sandbox.no_new_privs = true;
  const long version = syscall(kCreateRuleset, nullptr, 0, kAskVersion);
  if (version <= 0) {
    log::warn(
        "sandbox: no Landlock here ({}): files are not restricted; a kernel from 5.13 on has it, "
        "where it is among the boot parameters lsm=",
        std::strerror(errno));
    return sandbox;
  }
  sandbox.landlock = int(std::min<long>(version, landlock_max));
  if (auto done = restrict_files(sandbox.paths, sandbox.landlock); !done) return tl::unexpected(done.error());
  return sandbox;
}

}  // namespace weir
