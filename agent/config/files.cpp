#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include "agent/config/node.h"

namespace weir::config {
namespace {

constexpr size_t kFileBytesMax = 4 << 20;
constexpr char kSystemFile[] = "/etc/weir/weir.yaml";
constexpr char kEmbeddedName[] = "<embedded default>";
constexpr char kEmbedded[] = R"(streams:
  trace: {sinks: [console]}
  log: {sinks: [console]}
  telemetry: {sinks: [console]}
  monitoring: {sinks: [console]}
sinks:
  console: {type: stdout}
)";

Location top_of(const std::string& file) { return {file, 1, 1}; }

std::string system_error(int error) { return std::strerror(error); }

/// A file or directory that anybody may write decides what the agent, perhaps root, writes where
/// (security.md).
bool world_writable(const struct stat& info) {
  return (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode)) && (info.st_mode & S_IWOTH) != 0;
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

std::optional<std::string> slurp(const std::string& path, Report& report) {
  const auto refuse = [&](const std::string& message) {
    report.error(top_of(path), "", message);
    report.set_incomplete();
    return std::nullopt;
  };
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) return refuse("cannot be read: " + system_error(errno));
  struct stat info {};
  // Asked of the open descriptor, so that nobody can change the answer before the read.
  if (::fstat(file.fd, &info) != 0) return refuse("cannot be read: " + system_error(errno));
  if (world_writable(info)) return refuse("refused, anybody may write to it: chmod o-w " + path);
  std::string text;
  char chunk[16384];
  ssize_t n = 0;
  while (text.size() <= kFileBytesMax && (n = ::read(file.fd, chunk, sizeof chunk)) > 0)
    text.append(chunk, size_t(n));
  if (n < 0) return refuse("cannot be read: " + system_error(errno));
  if (text.size() > kFileBytesMax) return refuse("larger than 4MiB: not a configuration");
  return text;
}

/// The `*.yaml` of a directory in name order; hidden files are an editor's.
std::vector<std::string> list_directory(const std::string& directory, Report& report) {
  std::vector<std::string> found;
  std::error_code error;
  struct stat info {};
  if (::stat(directory.c_str(), &info) == 0 && world_writable(info)) {
    report.error(top_of(directory), "", "refused, anybody may put files there: chmod o-w " + directory);
    report.set_incomplete();
    return found;
  }
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.ends_with(".yaml") && !name.starts_with('.')) found.push_back(it->path().string());
  }
  std::sort(found.begin(), found.end());
  if (error) {
    report.error(top_of(directory), "", "cannot be read: " + error.message());
    report.set_incomplete();
  } else if (found.empty()) {
    report.note(top_of(directory), "", "holds no *.yaml file");
  }
  return found;
}

void read_one(const std::string& path, Node& tree, std::vector<std::string>& files, Report& report) {
  const auto text = slurp(path, report);
  if (!text) return;
  files.push_back(path);
  Node root = read_yaml(*text, top_of(path), report);
  if (root.unusable) return;
  if (!root.is_null() && !root.is_map()) {
    report.error(root.where, "", "must be a map of sections such as listen, streams and sinks");
    report.set_incomplete();
    return;
  }
  merge(tree, std::move(root));
}

void apply_set(Node& tree, std::string_view text, const std::vector<std::string>& parts, Location where,
               Report& report) {
  Location value_at = where;
  const size_t sign = text.find('=');
  value_at.column = int(sign) + 2;
  Node* node = &tree;
  std::string path;
  for (const std::string& part : parts) {
    path = join_path(path, part);
    node = &node->child(part, where);
    if (node->where.file == where.file) node->origin = path;
  }
  Node value = read_yaml(text.substr(sign + 1), value_at, report);
  value.origin = path;
  merge(*node, std::move(value));
}

}  // namespace

std::vector<std::string> split_key(std::string_view key) {
  std::vector<std::string> parts;
  while (true) {
    std::string part;
    if (key.starts_with('"')) {
      const size_t close = key.find('"', 1);
      if (close == std::string_view::npos) return {};
      part = key.substr(1, close - 1);
      key.remove_prefix(close + 1);
    } else {
      part = key.substr(0, key.find('.'));
      key.remove_prefix(part.size());
    }
    if (part.empty()) return {};
    parts.push_back(std::move(part));
    if (key.empty()) return parts;
    if (key.front() != '.') return {};
    key.remove_prefix(1);
  }
}

Node read_files(const ConfigRequest& request, std::vector<std::string>& files, Report& report) {
  Node tree;
  tree.kind = Node::Kind::map;
  struct stat info {};
  if (request.files.empty() && ::stat(kSystemFile, &info) != 0) {
    report.inputs.push_back({kSystemFile});
    merge(tree, read_yaml(kEmbedded, top_of(kEmbeddedName), report));
    tree.where = top_of(kEmbeddedName);
    return tree;
  }
  const std::vector<std::string> named =
      request.files.empty() ? std::vector<std::string>{kSystemFile} : request.files;
  for (const std::string& path : named) {
    report.inputs.push_back({path});
    if (::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
      for (const std::string& file : list_directory(path, report)) {
        report.inputs.push_back({file});
        read_one(file, tree, files, report);
      }
    } else {
      read_one(path, tree, files, report);
    }
  }
  tree.where = top_of(named.front());
  // A misspelt directory must not become an agent that keeps records on its tape alone.
  if (files.empty() && report.errors.empty())
    report.error(tree.where, "", "holds no *.yaml file: there is nothing to read");
  return tree;
}

void name_default_listener(Node& tree, const std::vector<std::string>& sets, Report& report) {
  constexpr std::string_view kPrefix = "listen.local.";
  const auto any = [&](std::string_view begin) {
    return std::ranges::any_of(sets, [&](const std::string& s) { return s.starts_with(begin); });
  };
  if (tree.find("listen") || !any(kPrefix) || any("listen.local.type=")) return;
  const Location where{"--set", 1, 1};
  Node& local = tree.child("listen", where).child("local", where);
  local.child("type", where) = make_scalar("unix", where);
  if (any("listen.local.path=")) return;
  if (const auto path = default_ingest_socket())
    local.child("path", where) = make_scalar(*path, where);
  else
    report.error(where, "listen.local.path", path.error().message);
}

void apply_sets(Node& tree, const std::vector<std::string>& sets, bool runtime, Report& report) {
  for (size_t i = 0; i < sets.size(); ++i) {
    const Location where{"--set", int(i) + 1, 1};
    const std::string_view text = sets[i];
    const size_t sign = text.find('=');
    const auto parts = split_key(text.substr(0, sign));
    if (sign == std::string_view::npos || parts.empty()) {
      if (!runtime)
        report.error(where, "", "\"" + sets[i] + "\" is not key=value: write --set journal.max_bytes=64MiB");
      continue;
    }
    if ((parts.front() == "runtime") == runtime) apply_set(tree, text, parts, where, report);
  }
}

}  // namespace weir::config
