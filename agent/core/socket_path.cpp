#include "agent/core/socket_path.h"

#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace weir {
namespace {

constexpr int kBacklog = 1024;

std::string directory_of(const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash == path.npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<void> check_directory(const std::string& path) {
  const std::string directory = directory_of(path);
  struct stat st;
  if (lstat(directory.c_str(), &st) != 0)
    return fail("cannot use the directory of socket " + path + ": " + std::strerror(errno));
  if (S_ISLNK(st.st_mode))
    return fail("the directory of socket " + path + " is a symbolic link; give the real path");
  if (!S_ISDIR(st.st_mode)) return fail("socket " + path + ": " + directory + " is not a directory");
  if (st.st_uid != geteuid() && st.st_uid != 0)
    return fail("the directory of socket " + path +
                " belongs to another user; choose a directory of your own");
  return {};
}

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail("socket path " + path + " is too long");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

/// True: a socket is there that nobody listens on any more.
Result<bool> is_stale(const std::string& path, const sockaddr_un& address) {
  struct stat st;
  if (lstat(path.c_str(), &st) != 0) return false;
  if (!S_ISSOCK(st.st_mode))
    return fail("cannot listen on " + path +
                ": it exists and is not a socket; move it away, or choose another path");
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int result = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  int error = errno;
  close(fd);
  if (result == 0 || error == EAGAIN)
    return fail("cannot listen on " + path +
                ": another program listens there; stop it, or choose another path");
  if (error != ECONNREFUSED) return fail("cannot listen on " + path + ": " + std::strerror(error));
  return true;
}

Result<uid_t> user_id(const std::string& name) {
  if (name.find_first_not_of("0123456789") == name.npos) return uid_t(std::stoul(name));
  if (const passwd* user = getpwnam(name.c_str())) return user->pw_uid;
  return fail("no such user: " + name);
}

Result<gid_t> group_id(const std::string& name) {
  if (name.find_first_not_of("0123456789") == name.npos) return gid_t(std::stoul(name));
  if (const group* found = getgrnam(name.c_str())) return found->gr_gid;
  return fail("no such group: " + name);
}

}  // namespace

void make_socket_directory(const std::string& directory) {
  for (size_t slash = 1; (slash = directory.find('/', slash)) != directory.npos; ++slash)
    mkdir(directory.substr(0, slash).c_str(), 0755);
  mkdir(directory.c_str(), directory == "/run/weir" ? 0755 : 0700);
}

Result<void> set_socket_rights(const std::string& path, const UnixSocketOptions& options) {
  uid_t uid = uid_t(-1);
  gid_t gid = gid_t(-1);
  if (options.owner) {
    auto found = user_id(*options.owner);
    if (!found) return tl::unexpected(found.error());
    uid = *found;
  }
  if (options.group) {
    auto found = group_id(*options.group);
    if (!found) return tl::unexpected(found.error());
    gid = *found;
  }
  if (chmod(path.c_str(), options.mode) != 0 || lchown(path.c_str(), uid, gid) != 0)
    return fail("cannot set the rights of socket " + path + ": " + std::strerror(errno));
  return {};
}

Result<void> check_unix_address(const std::string& path) {
  const auto address = address_of(path);
  if (!address) return tl::unexpected(address.error());
  struct stat st;
  if (lstat(directory_of(path).c_str(), &st) != 0) return {};  // it is made when it is needed
  if (auto directory = check_directory(path); !directory) return directory;
  if (auto stale = is_stale(path, *address); !stale) return tl::unexpected(stale.error());
  return {};
}

Result<int> listen_unix(const std::string& path, const UnixSocketOptions& options) {
  const auto named = address_of(path);
  if (!named) return tl::unexpected(named.error());
  const sockaddr_un& address = *named;
  make_socket_directory(directory_of(path));
  if (auto ready = check_directory(path); !ready) return tl::unexpected(ready.error());
  const auto stale = is_stale(path, address);
  if (!stale) return tl::unexpected(stale.error());
  if (*stale && unlink(path.c_str()) != 0)
    return fail("cannot replace the stale socket " + path + ": " + std::strerror(errno));
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return fail("cannot make a socket: " + std::string(std::strerror(errno)));
  fchmod(fd, options.mode);  // the file is made with these rights, so nobody can slip in before chmod
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    std::string text = "cannot listen on " + path + ": " + std::strerror(errno);
    close(fd);
    return fail(text);
  }
  auto rights = set_socket_rights(path, options);
  if (rights && ::listen(fd, kBacklog) == 0) return fd;
  std::string text =
      rights ? "cannot listen on " + path + ": " + std::strerror(errno) : rights.error().message;
  close(fd);
  unlink(path.c_str());
  return fail(text);
}

}  // namespace weir
