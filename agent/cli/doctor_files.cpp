#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>

#include "agent/cli/console.h"
#include "agent/cli/doctor.h"
#include "agent/cli/json_text.h"
#include "agent/sinks/file_options.h"

namespace weir::cli {
namespace {

constexpr uint64_t kFreeBytesMin = 64 << 20;  ///< less is trouble soon, whatever is to be written
constexpr uint64_t kFreeInodesMin = 1000;
constexpr int kCertificateDaysMin = 14;

/// Is there room for `bytes` more, in a file system that may be written to?
void check_space(const std::string& check, const std::string& path, uint64_t bytes, Findings& out) {
  struct statvfs fs;
  const std::string place = nearest_directory(path);
  if (statvfs(place.c_str(), &fs) != 0)
    return out.warn(check, place + ": " + std::strerror(errno), "give another path");
  const uint64_t free = uint64_t(fs.f_bavail) * fs.f_frsize;
  const std::string room = fmt::format("{} free at {}", short_bytes(free), place);
  if ((fs.f_flag & ST_RDONLY) != 0)
    out.fail(check, place + " is on a read-only file system", "remount it, or give another path");
  else if (free == 0 || (fs.f_files > 0 && fs.f_favail == 0))
    out.fail(check, free == 0 ? "no space left at " + place : "no inode left at " + place, "make room there");
  else if (free < std::max(bytes, kFreeBytesMin))
    out.warn(check, fmt::format("{}, {} may be needed", room, short_bytes(std::max(bytes, kFreeBytesMin))),
             "make room there, or lower what it may take");
  else if (fs.f_files > 0 && fs.f_favail < kFreeInodesMin)
    out.warn(check, fmt::format("{}, but only {} inodes", room, uint64_t(fs.f_favail)),
             "remove small files there");
  else
    out.ok(check, bytes > 0 ? fmt::format("{}, at most {} more is needed", room, short_bytes(bytes)) : room);
}

/// Says what is wrong with a directory that is the agent's own, or will be made by it. True: nothing.
bool own_directory(const std::string& check, const std::string& path, const User& user, Findings& out) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) {
    if (errno != ENOENT) {
      out.fail(check, path + ": " + std::strerror(errno), "run this as the user of the agent, or as root");
      return false;
    }
    const std::string above = nearest_directory(path);
    if (user.may(above, W_OK | X_OK)) return true;
    out.fail(check, fmt::format("{} cannot be made: {} may not write to {}", path, user.text(), above),
             "make it and give it to this user, or give another path");
    return false;
  }
  if (!S_ISDIR(info.st_mode))
    out.fail(check, path + (S_ISLNK(info.st_mode) ? " is a symbolic link" : " is not a directory"),
             "give the real path of a directory");
  else if (info.st_uid != user.uid)
    out.fail(check, fmt::format("{} belongs to {}, not to {}", path, user_text(info.st_uid), user.text()),
             "chown it, or give another path");
  else if ((info.st_mode & 077) != 0)
    out.warn(check, fmt::format("{} has the rights {}: it holds records", path, rights_text(info)),
             "chmod 700 " + path);
  else if (!user.may(path, R_OK | W_OK | X_OK))
    out.fail(check, fmt::format("{} may not write to {}", user.text(), path), "chmod 700 " + path);
  else
    return true;
  return false;
}

void check_data(const SeenAgent& agent, const Config& config, Findings& out) {
  if (own_directory("data_dir", config.data_dir, agent.user, out)) out.ok("data_dir", config.data_dir);
  if (config.journal.text("type") != "disk") return check_space("data_dir.space", config.data_dir, 0, out);
  const std::string& path = config.journal.text("path");
  if (path != config.data_dir + "/journal" && own_directory("journal", path, agent.user, out))
    out.ok("journal", path);
  const nlohmann::json& journal = member(agent.status, "journal");
  const uint64_t may = uint64_t(config.journal.integer("max_bytes"));
  const uint64_t has = text_of(journal, "type") == "disk" ? count_of(journal, "bytes") : 0;
  check_space("journal.space", path, may > has ? may - has : 0, out);
}

/// What OutputFile would refuse.
bool good_output(const std::string& check, const std::string& path, const User& user, Findings& out) {
  struct stat info;
  const bool there = lstat(path.c_str(), &info) == 0;
  const char* const wrong = !there                         ? nullptr
                            : S_ISLNK(info.st_mode)        ? "is a symbolic link"
                            : !S_ISREG(info.st_mode)       ? "is not a regular file"
                            : info.st_uid != user.uid      ? "belongs to another user"
                            : info.st_nlink != 1           ? "has more than one hard link"
                            : !user.may(path, R_OK | W_OK) ? "may not be written to"
                                                           : nullptr;
  if (wrong) out.fail(check, path + " " + wrong, "move it away, or give the sink another path");
  return !wrong;
}

/// What the active file and the rotated ones that are kept may still take; 0: there is no bound to reckon
/// with.
uint64_t may_still_take(const FileOptions& options, bool many) {
  const uint64_t each = options.max_bytes, most = UINT64_MAX;
  if (each == most) return 0;
  const uint64_t files = options.keep.files;
  const uint64_t kept = std::min(files >= most / each ? most : files * each, options.keep.bytes);
  if (many || kept >= most - each) return each;
  const std::filesystem::path active = options.path.path();
  uint64_t has = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(active.parent_path(), error)) {
    if (!entry.path().filename().string().starts_with(active.filename().string())) continue;
    const uintmax_t bytes = entry.file_size(error);
    if (!error) has += bytes;
  }
  return kept + each - std::min(has, kept + each);
}

void check_output(const std::string& check, const Settings& settings, const User& user, Findings& out) {
  const FileOptions options(settings);
  const bool many = options.path.has_fields();
  const std::string directory = many ? options.path.root() : parent_directory(options.path.path());
  const std::string above = nearest_directory(directory);
  if (!many && !good_output(check, options.path.path(), user, out)) return;
  struct stat info;
  if (stat(above.c_str(), &info) == 0 && !S_ISDIR(info.st_mode))
    out.fail(check, above + " is not a directory", "give the sink another path");
  else if (!user.may(above, W_OK | X_OK))
    out.fail(check, fmt::format("{} may not write to {}", user.text(), above),
             "give it the right, or the sink another path");
  else
    check_space(check, directory, may_still_take(options, many), out);
}

/// Days until the first certificate of a PEM file expires; nothing: it cannot be read.
std::optional<int> days_left(const std::string& path) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "re"), std::fclose);
  if (!file) return std::nullopt;
  const std::unique_ptr<X509, void (*)(X509*)> cert(PEM_read_X509(file.get(), nullptr, nullptr, nullptr),
                                                    X509_free);
  int days = 0, seconds = 0;
  if (!cert || ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(cert.get())) != 1)
    return std::nullopt;
  return seconds < 0 && days == 0 ? -1 : days;
}

void check_certificate(const std::string& name, const Settings& settings, const User& user, Findings& out) {
  const std::string check = name + ".tls";
  if (!settings.values().contains("tls.cert") || settings.null("tls.cert")) return;
  const std::string &cert = settings.text("tls.cert"), &key = settings.text("tls.key");
  struct stat info;
  for (const std::string& path : {cert, key})
    if (!user.may(path, R_OK))
      return out.fail(check, fmt::format("{} may not read {}", user.text(), path),
                      "give it the right, or another file");
  if (stat(key.c_str(), &info) == 0 && (info.st_mode & 007) != 0)
    out.warn(check + ".key", fmt::format("others may use the private key {}: {}", key, rights_text(info)),
             "chmod o= " + key);
  const std::optional<int> days = days_left(cert);
  if (!days)
    out.fail(check, cert + " holds no certificate that can be read", "write it in PEM form");
  else if (*days < 0)
    out.fail(check, cert + " has expired", "renew it; the agent reads it anew by itself");
  else if (*days < kCertificateDaysMin)
    out.warn(check, fmt::format("{} expires in {} {}", cert, *days, plural(uint64_t(*days), "day", "days")),
             "renew it; the agent reads it anew by itself");
  else
    out.ok(check, fmt::format("{} expires in {} days", cert, *days));
}

}  // namespace

std::string parent_directory(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

std::string nearest_directory(std::string path) {
  struct stat info;
  while (path != "/" && path != "." && stat(path.c_str(), &info) != 0) path = parent_directory(path);
  return path;
}

std::string rights_text(const struct stat& info) {
  return fmt::format("{:04o}, user {}", info.st_mode & 07777, user_text(info.st_uid));
}

void check_files(const SeenAgent& agent, const Config& config, Findings& out) {
  check_data(agent, config, out);
  for (const ComponentConfig& sink : config.sinks) {
    if (sink.type == "file") check_output("sinks." + sink.name, sink.settings, agent.user, out);
    check_certificate("sinks." + sink.name, sink.settings, agent.user, out);
  }
  for (const ComponentConfig& listener : config.listen)
    check_certificate("listen." + listener.name, listener.settings, agent.user, out);
}

}  // namespace weir::cli
