#include <fcntl.h>
#include <fmt/format.h>
#include <linux/landlock.h>
#include <linux/membarrier.h>
#include <linux/openat2.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>

#include "agent/cli/connect.h"
#include "agent/cli/console.h"
#include "agent/cli/doctor.h"
#include "agent/ring/ring_clock.h"
#include "agent/sinks/file_options.h"

namespace weir::cli {
namespace {

constexpr uint64_t kUnlimited = UINT64_MAX;
constexpr uint64_t kOwnFiles = 64;         ///< of the agent itself: log, control, journal, threads
constexpr uint64_t kConnectionsMin = 256;  ///< what ought to be left for them

/// The soft limit that /proc/PID/limits has in the line that begins with `name`; else our own.
uint64_t limit_of(const std::string& limits, std::string_view name, __rlimit_resource resource) {
  std::istringstream lines(limits);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(name)) continue;
    std::istringstream words(line.substr(name.size()));
    std::string soft;
    words >> soft;
    return soft == "unlimited" ? kUnlimited : std::strtoull(soft.c_str(), nullptr, 10);
  }
  rlimit own{};
  getrlimit(resource, &own);
  return own.rlim_cur == RLIM_INFINITY ? kUnlimited : uint64_t(own.rlim_cur);
}

std::string limit_text(uint64_t n) { return n == kUnlimited ? "no limit" : std::to_string(n); }

/// Descriptors that this configuration takes before anybody connects.
uint64_t files_needed(const Config& config) {
  uint64_t files = kOwnFiles + config.listen.size();
  for (const ComponentConfig& sink : config.sinks) {
    if (sink.type == "file") files += FileOptions(sink.settings).path.has_fields() ? 256 : 4;
    if (sink.type == "http") files += 2 + uint64_t(sink.settings.integer("in_flight"));
  }
  return files;
}

void check_open_files(uint64_t limit, const Config& config, Findings& out) {
  const uint64_t needed = files_needed(config);
  const std::string text = fmt::format(
      "open files: {}; this configuration takes about {}, every connection one", limit_text(limit), needed);
  const std::string remedy = "LimitNOFILE= of the unit, or `ulimit -n` before the start";
  if (limit <= needed)
    out.fail("limits.files", text, remedy);
  else if (limit - needed < kConnectionsMin)
    out.warn("limits.files", text, remedy);
  else
    out.ok("limits.files", text);
}

/// A system call is there, or why not.
std::optional<std::string> missing(long result) {
  if (result >= 0) return std::nullopt;
  return std::string(errno == ENOSYS ? "this kernel does not have it" : std::strerror(errno));
}

/// Closes what a call has opened.
std::optional<std::string> missing_descriptor(long fd) {
  const auto why = missing(fd);
  if (fd >= 0) close(int(fd));
  return why;
}

long sealed_memory() {
  const int fd = memfd_create("weir doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

long beneath_root() {
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, how.resolve = RESOLVE_BENEATH;
  return syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof how);
}

bool has_global_barrier() {
  const long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
  return commands > 0 && (commands & MEMBARRIER_CMD_GLOBAL_EXPEDITED) != 0;
}

/// Reading an eventfd without waiting, as rings' doorbells are read.
long doorbell() {
  const int fd = eventfd(0, EFD_CLOEXEC);
  if (fd < 0) return -1;
  uint64_t count;
  iovec bytes{&count, sizeof count};
  const bool can = preadv2(fd, &bytes, 1, -1, RWF_NOWAIT) >= 0 || errno == EAGAIN;
  const int error = errno;
  close(fd);
  errno = error;
  return can ? 0 : -1;
}

}  // namespace

void check_limits(const SeenAgent& agent, const Config* config, Findings& out) {
  const std::string limits = agent.proc("limits");
  if (config) check_open_files(limit_of(limits, "Max open files", RLIMIT_NOFILE), *config, out);
  if (const uint64_t core = limit_of(limits, "Max core file size", RLIMIT_CORE); core > 0)
    out.warn("limits.core",
             fmt::format("core dumps: {}; one would hold records and secrets", limit_text(core)),
             "LimitCORE=0 of the unit, or `ulimit -c 0` before the start");
  else
    out.ok("limits.core", "no core dumps");
  if (const uint64_t size = limit_of(limits, "Max file size", RLIMIT_FSIZE); size != kUnlimited)
    out.warn("limits.file_size",
             fmt::format("a file has {} bytes at most; at that size a sink is down", size),
             "LimitFSIZE= of the unit, or `ulimit -f unlimited` before the start");
}

void check_kernel(Findings& out) {
  utsname name{};
  uname(&name);
  out.ok("kernel", fmt::format("Linux {} {}", name.release, name.machine));
  const std::string update = "a newer kernel, or a container filter that allows it";
  const auto feature = [&](const char* check, const std::optional<std::string>& why, const char* what,
                           const char* without) {
    if (why)
      out.warn(std::string("kernel.") + check, fmt::format("{}: {}; {}", what, *why, without), update);
    else
      out.ok(std::string("kernel.") + check, what);
  };
  feature("memfd", missing_descriptor(sealed_memory()), "memfd with seals", "programs cannot use rings");
  feature("eventfd", missing(doorbell()), "eventfd, read without waiting", "programs cannot use rings");
  feature("membarrier", has_global_barrier() ? std::nullopt : std::optional<std::string>("not offered"),
          "membarrier GLOBAL_EXPEDITED", "a record in a ring may wait a millisecond longer");
  feature("openat2", missing_descriptor(beneath_root()), "openat2 RESOLVE_BENEATH",
          "paths are opened part by part instead");
  feature("pidfd", missing_descriptor(syscall(SYS_pidfd_open, getpid(), 0)), "pidfd", "weir does without");
  const long abi = syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  feature("landlock", missing(abi), abi > 0 ? fmt::format("Landlock, ABI {}", abi).c_str() : "Landlock",
          "no sandbox but the unit's");
}

void check_clock(Findings& out) {
  timex state{};
  const int result = adjtimex(&state);
  if (result < 0)
    out.warn("clock.sync", std::string("adjtimex: ") + std::strerror(errno),
             "a container filter that allows adjtimex to read");
  else if (result == TIME_ERROR || (state.status & STA_UNSYNC) != 0)
    out.warn("clock.sync", "the clock is not synchronised: times of several machines do not compare",
             "start chrony or systemd-timesyncd; in a container or virtual machine see to its host");
  else
    out.ok("clock.sync", fmt::format("synchronised, error at most {:.1f} ms", double(state.maxerror) / 1000));
  if (ring::RingClock::has_tsc())
    out.ok("clock.tsc", "the time stamp counter is invariant: rings use it");
  else
    out.ok("clock.tsc", "no invariant time stamp counter: rings ask the kernel for the time");
}

}  // namespace weir::cli
