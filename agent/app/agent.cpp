#include "agent/app/agent.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <thread>

#include "agent/app/config_watch.h"
#include "agent/app/control_server.h"
#include "agent/app/make_journal.h"
#include "agent/app/reloader.h"
#include "agent/app/sandbox_rules.h"
#include "agent/app/topology.h"
#include "agent/core/log.h"
#include "agent/core/passed_sockets.h"
#include "agent/core/service_manager.h"
#include "agent/core/thread_name.h"
#include "agent/ingest/listeners.h"

namespace weir {
namespace {

constexpr int kExitFailure = 1, kExitUsage = 64, kExitConfig = 78;

void say_ready(Topology& topology, const std::string& metrics, int ready_fd) {
  std::string line = "weir: ready pid=" + std::to_string(getpid());
  for (const std::string& address : topology.addresses()) line += " " + address;
  if (!metrics.empty()) line += " metrics:" + metrics;
  line += "\n";
  (void)!write(STDERR_FILENO, line.data(), line.size());
  tell_service_manager("READY=1");
  if (ready_fd < 0) return;
  (void)!write(ready_fd, "\n", 1);
  close(ready_fd);
}

/// Standard descriptors that were closed would go to the first files we open, and those would get our output.
void occupy_standard_descriptors() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd)
    if (fcntl(fd, F_GETFD) < 0)
      (void)!open("/dev/null", O_RDWR);  // takes the lowest free number, which is fd
}

/// A link planted in place of the data directory would send the quarantine elsewhere (security.md, files).
bool data_directory_is_safe(const std::string& path) {
  struct stat st;
  if (lstat(path.c_str(), &st) != 0) return true;  // made when first needed
  const char* wrong = S_ISLNK(st.st_mode)      ? "is a symbolic link; give the real path"
                      : !S_ISDIR(st.st_mode)   ? "is not a directory; give another data_dir"
                      : st.st_uid != geteuid() ? "belongs to another user; give a data_dir of your own"
                                               : nullptr;
  if (wrong) std::fprintf(stderr, "weir: data directory %s %s\n", path.c_str(), wrong);
  return !wrong;
}

/// Before anything starts: a signal that comes early waits for its handler, in threads it never arrives. As
/// process 1, for which the kernel throws away signals without a handler, it would be lost; orphans that fall
/// to process 1 are left to the kernel.
void hold_signals(int how) {
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&set, number);
  pthread_sigmask(how, &set, nullptr);
  if (getpid() == 1) std::signal(SIGCHLD, SIG_IGN);
}

class Signals {
 public:
  Signals(asio::io_context& io, Reloader& reloader, Topology& topology)
      : io_(io), set_(io, SIGTERM, SIGINT, SIGHUP), reloader_(reloader), topology_(topology) {
    set_.add(SIGUSR1);
    wait();
    hold_signals(SIG_UNBLOCK);
  }

 private:
  void wait() {
    set_.async_wait([this](boost::system::error_code error, int signal) {
      if (error) return;
      if (signal == SIGTERM || signal == SIGINT) return io_.stop();
      if (signal == SIGUSR1) topology_.reopen_sinks();
      if (signal == SIGHUP) reload();
      wait();
    });
  }
  void reload() {
    log::info("SIGHUP: reloading the configuration");
    tell_service_manager("RELOADING=1");
    reloader_.request({}, [](const ReloadResult&) { tell_service_manager("READY=1"); });
  }
  asio::io_context& io_;
  asio::signal_set set_;
  Reloader& reloader_;
  Topology& topology_;
};

/// Tells systemd that we live (WatchdogSec=), as long as the pipe thread answers and journal and sinks can be
/// looked at. A sink whose receiver is dead is no reason to start again.
class Watchdog {
 public:
  explicit Watchdog(Topology& topology) {
    const char* const usec = std::getenv("WATCHDOG_USEC");
    const char* const pid = std::getenv("WATCHDOG_PID");
    if (!usec || (pid && pid != std::to_string(getpid()))) return;
    const auto every = std::chrono::microseconds(std::max(1LL, std::atoll(usec) / 3));
    thread_ = std::jthread([this, every, &topology](std::stop_token stop) {
      name_this_thread("watchdog");
      std::unique_lock lock(mutex_);
      while (!stop.stop_requested()) {
        topology.status();
        tell_service_manager("WATCHDOG=1");
        changed_.wait_for(lock, stop, every, [] { return false; });
      }
    });
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_;
};

int run(const LoadedConfig& loaded, const AgentOptions& options, std::optional<Sandbox> sandbox) {
  const Config& config = *loaded.config;
  const Clock& clock = system_clock();
  auto journal = make_journal(config, system_io(), clock);
  if (!journal) {
    std::fprintf(stderr, "weir: %s\n", journal.error().message.c_str());
    return kExitFailure;
  }
  Topology topology(config, std::move(*journal), clock, system_io());
  Reloader reloader(topology, options.config, clock, std::move(sandbox));
  asio::io_context main_io{1};  // its coroutines read the journal: it goes first
  if (auto started = reloader.start(loaded); !started) {
    std::fprintf(stderr, "weir: %s\n", started.error().message.c_str());
    return kExitFailure;
  }
  uint64_t left;
  {
    ControlServer control(main_io, topology, reloader, clock);
    auto started = control.start(config.control_path);
    std::string metrics;
    if (started && !config.metrics.null("bind"))
      started = control.serve_metrics(config.metrics.text("bind"), metrics);
    if (!started) {
      std::fprintf(stderr, "weir: %s\n", started.error().message.c_str());
      return kExitFailure;
    }
    Signals signals(main_io, reloader, topology);
    std::optional<ConfigWatch> watch;
    if (options.watch) watch.emplace(loaded.inputs, [&reloader] { return reloader.look(); });
    say_ready(topology, metrics, options.ready_fd);
    {
      Watchdog watchdog(topology);
      main_io.run();
    }
    tell_service_manager("STOPPING=1");
    control.stop();
    topology.interrupt();
    reloader.stop();
    left = topology.stop();
  }
  if (left > 0)
    std::fprintf(stderr, "weir: stopped with %llu records undelivered\n",
                 static_cast<unsigned long long>(left));
  return left > 0 ? kExitFailure : 0;
}

/// A soft limit of open files protects programs that call select(); each connection and ring needs one here.
void allow_all_descriptors() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int run_agent(AgentOptions options) {
  options.config.started_wall_ns = system_clock().wall_ns();
  options.config.pid = getpid();
  hold_signals(SIG_BLOCK);
  if (options.ready_fd >= 0 && fcntl(options.ready_fd, F_SETFD, FD_CLOEXEC) < 0) {
    std::fprintf(stderr,
                 "weir agent: --ready-fd %d: no such descriptor is open; open it in the parent process\n",
                 options.ready_fd);
    return kExitUsage;
  }
  occupy_standard_descriptors();
  adopt_passed_sockets();
  LoadedConfig loaded = load_config(options.config, listener_component_types(), sink_component_types());
  if (!loaded.config) {
    for (const ConfigError& e : loaded.errors) std::fprintf(stderr, "%s\n", e.text().c_str());
    std::fprintf(stderr, "weir: %zu mistake%s in the configuration; nothing was started\n",
                 loaded.errors.size(), loaded.errors.size() == 1 ? "" : "s");
    return kExitConfig;
  }
  const Config& config = *loaded.config;
  log::set_level(config.log.text("level"));
  for (const std::string& note : config.notes) log::warn("{}", note);
  if (!data_directory_is_safe(config.data_dir) || !data_directory_is_safe(config.data_dir + "/quarantine"))
    return kExitFailure;
  allow_all_descriptors();
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a file at its limit (RLIMIT_FSIZE) is an error of that write
  auto sandbox = enter_sandbox(loaded, options.config);
  if (!sandbox) {
    std::fprintf(stderr, "weir: %s\n", sandbox.error().message.c_str());
    return kExitFailure;
  }
  int code = run(loaded, options, std::move(*sandbox));
  log::flush();
  return code;
}

}  // namespace weir
