#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "agent/cli/connect.h"
#include "agent/cli/doctor.h"
#include "agent/cli/json_text.h"
#include "agent/core/listen_port.h"

namespace weir::cli {
namespace {

constexpr int kAcceptMs = 2000;

/// A socket file and what it should be.
struct SocketFile {
  std::string check, path;
  mode_t mode;
  bool owned;      ///< by the agent: the configuration names no other owner
  bool listening;  ///< the agent that runs says that it listens there
};

/// Who may write to its directory may put another socket in its place. True: nothing is wrong.
bool good_directory(const SocketFile& file, const User& user, Findings& out) {
  struct stat info;
  const std::string directory = parent_directory(file.path);
  if (lstat(directory.c_str(), &info) != 0) {
    const std::string above = nearest_directory(directory);
    if (user.may(above, W_OK | X_OK)) return true;
    out.fail(file.check,
             fmt::format("{} cannot be made: {} may not write to {}", directory, user.text(), above),
             "make the directory and give it to this user, or choose another path");
    return false;
  }
  if (S_ISLNK(info.st_mode))
    out.fail(file.check, directory + " is a symbolic link; the agent does not start", "give the real path");
  else if (info.st_uid != user.uid && info.st_uid != 0)
    out.fail(file.check,
             fmt::format("{} belongs to {}, not to {}", directory, user_text(info.st_uid), user.text()),
             "choose a directory of the agent's own");
  else if ((info.st_mode & S_IWOTH) != 0 && (info.st_mode & S_ISVTX) == 0)
    out.fail(
        file.check,
        "anybody may put another socket in its place: " + directory + " has the rights " + rights_text(info),
        "chmod o-w " + directory);
  else if ((info.st_mode & S_IWOTH) != 0)
    out.warn(file.check, "anybody may be there first: " + directory + " has the rights " + rights_text(info),
             "choose a directory of the agent's own");
  else
    return true;
  return false;
}

/// Nobody has answered.
void judge_silence(const SocketFile& file, const std::string& error, bool runs, Findings& out) {
  if (file.listening)
    out.fail(file.check, fmt::format("the agent listens there, but {}: {}", file.path, error),
             "restart the agent; see its log");
  else if (runs)
    out.fail(file.check, fmt::format("the agent that runs does not listen at {}: {}", file.path, error),
             "`weir reload`, or name the file it runs with --config");
  else
    out.warn(file.check, fmt::format("{} is left over, nobody listens there: {}", file.path, error),
             "start the agent, which takes its place, or remove the file");
}

void judge_rights(const SocketFile& file, const struct stat& info, const SeenAgent& agent, Findings& out) {
  const std::string text = fmt::format("{} answers, {}", file.path, rights_text(info));
  if ((info.st_mode & 0777) != file.mode)
    out.warn(file.check, fmt::format("{}; the configuration says {:04o}", text, file.mode),
             fmt::format("chmod {:04o} {}, or SocketMode= of the socket unit", file.mode, file.path));
  else if (file.owned && agent.pid > 0 && info.st_uid != agent.user.uid)
    out.warn(file.check, fmt::format("{}; the agent is {}", text, agent.user.text()),
             "chown it, or SocketUser= of the socket unit");
  else
    out.ok(file.check, text);
}

void check_socket(const SocketFile& file, const SeenAgent& agent, Findings& out) {
  if (!good_directory(file, agent.user, out)) return;
  struct stat info;
  if (lstat(file.path.c_str(), &info) != 0) {
    if (errno != ENOENT)
      return out.fail(file.check, file.path + ": " + std::strerror(errno),
                      "run this as the user of the agent, or as root");
    if (agent.runs()) return judge_silence(file, "it is not there", true, out);
    return out.ok(file.check, file.path + " will be made at the start");
  }
  if (!S_ISSOCK(info.st_mode))
    return out.fail(file.check, file.path + " is not a socket; the agent does not start",
                    "move it away, or choose another path");
  const auto connected = connect_unix(file.path, kAcceptMs);
  if (connected) return judge_rights(file, info, agent, out);
  if (access(file.path.c_str(), W_OK) != 0)
    return out.warn(file.check,
                    fmt::format("{} may not use {}: {}", User::self().text(), file.path, rights_text(info)),
                    "run this as the user of the agent, or as root");
  judge_silence(file, connected.error().message, agent.runs(), out);
}

/// Where the agent says this listener is; empty: it has none of that name.
std::string address_of(const SeenAgent& agent, const std::string& name) {
  return text_of(member(member(agent.status, "sources"), name.c_str()), "address");
}

void check_port(const std::string& check, const std::string& scheme, const std::string& bind, bool used,
                Findings& out) {
  if (used) return out.ok(check, "the agent listens at " + bind);
  const auto port = listen_port(scheme, bind);
  if (!port) return out.fail(check, port.error().message, "see who has it: ss -ltnp");
  close(port->fd);
  out.ok(check, bind + " can be listened at");
}

}  // namespace

void check_listeners(const SeenAgent& agent, const Config& config, Findings& out) {
  for (const ComponentConfig& c : config.listen) {
    const std::string check = "listen." + c.name, address = address_of(agent, c.name);
    if (c.type == "unix") {
      const std::string& path = c.settings.text("path");
      check_socket({check, path, mode_t(c.settings.integer("mode")), c.settings.null("owner"),
                    address == "unix:" + path},
                   agent, out);
    } else {
      check_port(check, c.type, c.settings.text("bind"), !address.empty(), out);
    }
  }
  if (!config.metrics.null("bind"))
    check_port("metrics", "metrics", config.metrics.text("bind"), agent.runs(), out);
  check_socket({"control", agent.control, 0600, true, agent.runs()}, agent, out);
}

}  // namespace weir::cli
