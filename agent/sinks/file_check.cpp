// What keeps a file sink from its file, asked before a reload touches anything.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "agent/sinks/file_options.h"
#include "agent/sinks/file_place.h"

namespace weir {
namespace {

/// The nearest directory above that is there; those between it and the file are made when it is opened.
Result<void> check_directory(const std::string& path, std::string directory) {
  while (::access(directory.c_str(), F_OK) != 0 && errno == ENOENT && directory != "." && directory != "/")
    directory = directory_of(directory);
  struct stat st;
  if (::stat(directory.c_str(), &st) != 0) return fail(system_error("cannot open the directory of", path));
  if (!S_ISDIR(st.st_mode)) return fail("cannot open " + path + ": " + directory + " is not a directory");
  if (::access(directory.c_str(), W_OK | X_OK) != 0)
    return fail(system_error("cannot make " + path + " in", directory));
  return {};
}

}  // namespace

Result<void> check_file_place(const Settings& settings) {
  const FileOptions options(settings);
  if (options.path.has_fields()) return check_directory(options.path.root(), options.path.root());
  const std::string& path = options.path.path();
  struct stat st;
  if (::lstat(path.c_str(), &st) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) return fail(system_error("cannot look at", path));
    return check_directory(path, directory_of(path));
  }
  if (S_ISLNK(st.st_mode))
    return fail("cannot open " + path + ": it is a symbolic link; give the path of the file itself");
  if (!S_ISREG(st.st_mode)) return fail(path + " is not a regular file; choose another path");
  if (st.st_uid != geteuid()) return fail(path + " belongs to another user; choose another path");
  if (st.st_nlink != 1) return fail(path + " has more than one hard link; choose another path");
  const int fd = ::open(path.c_str(), O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fail(system_error("cannot open", path));
  ::close(fd);
  return {};
}

}  // namespace weir
