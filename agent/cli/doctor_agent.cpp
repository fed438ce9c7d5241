#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>

#include "agent/cli/command.h"
#include "agent/cli/console.h"
#include "agent/cli/control_client.h"
#include "agent/cli/doctor.h"
#include "agent/cli/json_text.h"

namespace weir::cli {
namespace {

constexpr int kSilenceMs = 3000;

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  return text.str();
}

/// The words behind `NAME:` in a /proc/PID/status.
std::vector<std::string> status_words(const std::string& status, const std::string& name) {
  std::istringstream lines(status);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(name + ":")) continue;
    std::istringstream words(line.substr(name.size() + 1));
    return {std::istream_iterator<std::string>(words), {}};
  }
  return {};
}

/// In the namespace of the agent its pid may be another process's of ours.
pid_t pid_here(const nlohmann::json& status) {
  const uint64_t pid = count_of(status, "pid");
  const bool is_weir = read_file(fmt::format("/proc/{}/comm", pid)) == "weir\n";
  return is_weir ? pid_t(pid) : 0;
}

User user_of(const std::string& proc_status) {
  const auto uids = status_words(proc_status, "Uid"), gids = status_words(proc_status, "Gid");
  if (uids.size() < 2 || gids.size() < 2) return User::self();
  User user{uid_t(std::stoul(uids[1])), gid_t(std::stoul(gids[1])), {}};
  for (const std::string& group : status_words(proc_status, "Groups"))
    user.groups.push_back(gid_t(std::stoul(group)));
  return user;
}

void check_version(const SeenAgent& agent, Findings& out) {
  const std::string version = text_of(agent.status, "version");
  const std::string who =
      fmt::format("weir {}, pid {}, up {}, generation {}", version, count_of(agent.status, "pid"),
                  short_span(count_of(agent.status, "uptime_s")), count_of(agent.status, "generation"));
  char target[4096];
  const std::string exe = fmt::format("/proc/{}/exe", agent.pid);
  const ssize_t n = agent.pid > 0 ? readlink(exe.c_str(), target, sizeof target) : -1;
  if (version != WEIR_VERSION)
    out.warn("agent", fmt::format("{}; this is weir {}", who, WEIR_VERSION), "restart the agent");
  else if (n > 0 && std::string_view(target, size_t(n)).ends_with(" (deleted)"))
    out.warn("agent", who + "; its program file was replaced", "restart the agent to run the new one");
  else
    out.ok("agent", who);
}

void check_same_configuration(const SeenAgent& agent, const Config& config, Findings& out) {
  const std::string runs = text_of(agent.status, "config_hash");
  if (text_of(member(agent.status, "last_reload"), "result") == "refused")
    out.warn("agent.config", "the last reload was refused", "`weir status` says why");
  else if (runs != config.hash)
    out.warn("agent.config", fmt::format("it runs another configuration ({}, here {})", runs, config.hash),
             "`weir reload`, or name the file it runs with --config");
  else
    out.ok("agent.config", "it runs this configuration, " + runs);
}

void check_flow(const SeenAgent& agent, Findings& out) {
  const nlohmann::json& journal = member(agent.status, "journal");
  const std::string state = text_of(journal, "state"), error = text_of(journal, "error");
  if (state == "ok")
    out.ok("agent.journal", text_of(journal, "type") + ", ok");
  else
    out.fail(
        "agent.journal", state + (error.empty() ? "" : ": " + error),
        state == "full" ? "see which sink lags: `weir top`" : "make room or replace the disk; see the log");
  if (const nlohmann::json& missing = member(agent.status, "conservation_error"); missing != 0)
    out.fail("agent.balance", missing.dump() + " records are not accounted for",
             "this is a bug of weir: report it with the output of `weir status -o json`");
  const nlohmann::json& sinks = member(agent.status, "sinks");
  if (!sinks.is_object()) return;
  for (const auto& [name, sink] : sinks.items()) {
    const std::string how = text_of(sink, "state"), why = text_of(sink, "last_error");
    const std::string text = how + (why.empty() ? "" : ": " + why);
    if (how == "ok" || how == "draining")
      out.ok("agent.sinks." + name, fmt::format("{}, {} records wait", how, count_of(sink, "lag_records")));
    else if (how == "retrying" || how == "paused")
      out.warn("agent.sinks." + name, text, "nothing is lost yet: see to its receiver");
    else
      out.fail("agent.sinks." + name, text, "correct what it says; the sink goes on by itself");
  }
}

}  // namespace

std::string user_text(uid_t uid) {
  const passwd* const entry = getpwuid(uid);
  return fmt::format("{} (uid {})", entry ? entry->pw_name : "?", uid);
}

User User::self() {
  User user{geteuid(), getegid(), {}};
  user.groups.resize(size_t(std::max(0, getgroups(0, nullptr))));
  if (getgroups(int(user.groups.size()), user.groups.data()) < 0) user.groups.clear();
  return user;
}

std::string User::text() const { return user_text(uid); }

bool User::may(const std::string& path, int mode) const {
  const User before = self();
  const bool other = before.uid == 0 && uid != 0;
  const bool became =
      other && setgroups(groups.size(), groups.data()) == 0 && setegid(gid) == 0 && seteuid(uid) == 0;
  const bool can = faccessat(AT_FDCWD, path.c_str(), mode, AT_EACCESS) == 0;
  const int error = errno;
  if (other) {
    const bool back = seteuid(before.uid) == 0 && setegid(before.gid) == 0 &&
                      setgroups(before.groups.size(), before.groups.data()) == 0;
    if (!back) std::abort();  // never go on with the rights of somebody else
  }
  errno = error;
  return can && (became || !other);
}

std::string SeenAgent::proc(const char* file) const {
  return pid > 0 ? read_file(fmt::format("/proc/{}/{}", pid, file)) : std::string();
}

SeenAgent look_at_agent(const std::string& control) {
  SeenAgent agent;
  agent.control = control, agent.user = User::self();
  const auto body = ControlClient(control).status(kSilenceMs);
  if (!body) {
    agent.error = body.error().message, agent.hangs = body.error().exit_code != kUnreachable;
    return agent;
  }
  agent.status = nlohmann::json::parse(*body, nullptr, false);
  if (!agent.runs()) return agent.status = nullptr, agent.error = "its answer is not a JSON object", agent;
  agent.pid = pid_here(agent.status);
  if (agent.pid > 0) agent.user = user_of(agent.proc("status"));
  return agent;
}

void check_agent(const SeenAgent& agent, const Config& config, Findings& out) {
  if (agent.runs()) {
    check_version(agent, out);
    check_same_configuration(agent, config, out);
    check_flow(agent, out);
    return;
  }
  const bool there = access(agent.control.c_str(), F_OK) == 0;
  if (there && access(agent.control.c_str(), W_OK) != 0)
    out.fail("agent", agent.error, "run this as root, or as the owner of " + agent.control);
  else if (agent.hangs)
    out.fail("agent", agent.error, "see its log; restart it");
  else
    out.warn("agent", there ? agent.error : "none runs: " + agent.control + " is not there",
             "start it: `weir agent`, or `systemctl start weir`");
}

void check_sandbox(const SeenAgent& agent, Findings& out) {
  if (agent.pid == 0) return;
  const std::string status = agent.proc("status");
  const auto first = [&](const char* name) {
    const auto words = status_words(status, name);
    return words.empty() ? std::string("?") : words[0];
  };
  const std::string privs = first("NoNewPrivs"), seccomp = first("Seccomp"), caps = first("CapEff");
  const bool capable = caps.find_first_not_of('0') != caps.npos;
  std::string text = fmt::format("{}, no_new_privs {}, seccomp {}, capabilities {}", agent.user.text(),
                                 privs == "1" ? "on" : "off",
                                 seccomp == "2"   ? "filter"
                                 : seccomp == "0" ? "off"
                                                  : seccomp,
                                 capable ? caps : "none");
  if (const nlohmann::json& sandbox = member(agent.status, "sandbox"); !sandbox.is_null())
    text += ", landlock " + (sandbox.is_string() ? sandbox.get<std::string>() : sandbox.dump());
  if (capable || privs != "1")
    out.warn("sandbox", text, "run it by systemd/weir.service or in its image: no privileges, no new ones");
  else
    out.ok("sandbox", text);
}

void check_service(const SeenAgent& agent, Findings& out) {
  if (access("/run/systemd/system", F_OK) != 0) return out.ok("service", "no systemd here");
  const std::string cgroup = agent.proc("cgroup");
  const size_t end = cgroup.rfind(".service");
  const std::string journald =
      access("/run/systemd/journal/socket", F_OK) == 0 ? "" : "; journald does not run";
  if (agent.pid > 0 && end != cgroup.npos) {
    const size_t begin = cgroup.rfind('/', end) + 1;
    return out.ok("service", "started by systemd as " + cgroup.substr(begin, end + 8 - begin) + journald);
  }
  bool installed = false;
  for (const char* directory : {"/etc/systemd/system", "/usr/local/lib/systemd/system",
                                "/usr/lib/systemd/system", "/lib/systemd/system"})
    installed = installed || access(fmt::format("{}/weir.service", directory).c_str(), F_OK) == 0;
  if (agent.runs())
    out.ok("service", "systemd is here; this agent was not started by it" + journald);
  else if (installed)
    out.warn("service", "weir.service is installed, and no agent answers" + journald,
             "systemctl status weir; systemctl enable --now weir");
  else
    out.ok("service", "systemd is here; weir.service is not installed" + journald);
}

}  // namespace weir::cli
