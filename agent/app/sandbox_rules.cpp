#include "agent/app/sandbox_rules.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>

#include "agent/core/socket_path.h"

namespace weir {
namespace {

bool exists(const std::string& path) {
  struct stat st;
  return stat(path.c_str(), &st) == 0;
}

bool is_directory(const std::string& path) {
  struct stat st;
  return stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

/// A file that others replace (an editor, a certificate tool, Kubernetes) is another file under the same
/// name: its directory has to be open, and where it is a link, that of its target. Never the root.
void add_replaceable(std::vector<std::string>& out, const std::string& file) {
  for (const std::string& name : {file, resolve_path(file)}) {
    const std::string directory = directory_of(name);
    if (const std::string& path = directory == "/" ? name : directory; exists(path)) out.push_back(path);
  }
}

/// What the C library and OpenSSL read: names of hosts and users, issuers, time zones, modules of both. /etc
/// as a whole, because the tools that write resolv.conf replace it.
void add_system(SandboxPaths& out) {
  for (const char* path : {"/etc", "/usr", "/lib", "/lib64", "/proc", "/dev/urandom"})
    if (exists(path)) out.read.push_back(path);
  if (exists("/dev/null")) out.write.push_back("/dev/null");
  if (exists("/etc/resolv.conf")) add_replaceable(out.read, "/etc/resolv.conf");
  for (const char* variable : {"CREDENTIALS_DIRECTORY", "SSL_CERT_FILE", "SSL_CERT_DIR"})
    if (const char* path = std::getenv(variable); path && exists(path)) out.read.push_back(path);
}

/// The directories that a service manager has made for it (systemd.exec(5), LogsDirectory=).
void add_of_service(SandboxPaths& out) {
  for (const char* variable : {"RUNTIME_DIRECTORY", "STATE_DIRECTORY", "LOGS_DIRECTORY"}) {
    const char* const value = std::getenv(variable);
    std::istringstream list(value ? value : "");
    for (std::string path; std::getline(list, path, ':');)
      if (path.starts_with('/') && exists(path)) out.write.push_back(path);
  }
}

/// Makes what is missing, durably: within the sandbox the directories above cannot be opened to sync them.
void make_directory(const std::string& path, mode_t mode, mode_t parents_mode) {
  for (size_t slash = 0; slash != path.npos;) {
    slash = path.find('/', slash + 1);
    const std::string part = path.substr(0, slash);
    if (mkdir(part.c_str(), slash == path.npos ? mode : parents_mode) != 0) continue;
    const int parent = open(directory_of(part).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0) continue;
    fsync(parent);
    close(parent);
  }
}

void make_directories(const std::vector<PathUse>& uses) {
  for (const PathUse& use : uses) {
    if (use.kind == PathUse::Kind::data) make_directory(use.path, 0700, 0755);
    if (use.kind == PathUse::Kind::output) make_directory(use.path, 0750, 0750);
    if (use.kind == PathUse::Kind::socket) make_socket_directory(use.path);
  }
}

}  // namespace

SandboxPaths sandbox_paths(const Config& config, const std::vector<PathUse>& uses,
                           const ConfigRequest& request) {
  SandboxPaths out;
  for (const PathUse& use : uses) {
    if (use.kind == PathUse::Kind::read)
      add_replaceable(out.read, use.path);
    else
      out.write.push_back(use.path);
  }
  for (const std::string& file : config.files) add_replaceable(out.read, file);
  for (const std::string& path : request.files)
    if (is_directory(path)) out.read.push_back(path);
  add_system(out);
  add_of_service(out);
  if (config.sandbox) {
    for (const std::string& path : config.sandbox->list("write")) out.write.push_back(path);
    for (const std::string& path : config.sandbox->list("read")) out.read.push_back(path);
  }
  return out;
}

Result<std::optional<Sandbox>> enter_sandbox(const LoadedConfig& loaded, const ConfigRequest& request) {
  if (!loaded.config->sandbox) return std::nullopt;
  make_directories(loaded.paths);
  auto entered = enter_sandbox(sandbox_paths(*loaded.config, loaded.paths, request));
  if (!entered) return tl::unexpected(entered.error());
  return std::optional(std::move(*entered));
}

std::vector<ConfigError> outside_of(const Sandbox& sandbox, const std::vector<PathUse>& uses) {
  std::vector<ConfigError> out;
  for (const PathUse& use : uses) {
    const bool to_write = use.kind != PathUse::Kind::read;
    if (sandbox.holds(use.path, to_write)) continue;
    out.push_back({use.where, use.key,
                   use.path +
                       " lies outside the sandbox that the agent has run in since its start: restart "
                       "it with this configuration, or with the directory in sandbox." +
                       (to_write ? "write" : "read"),
                   ""});
  }
  return out;
}

}  // namespace weir
