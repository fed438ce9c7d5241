#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "agent/config/node.h"

namespace weir::config {
namespace {

constexpr size_t kSubstitutedFileBytesMax = 64 << 10;
constexpr int kNestingMax = 8;

bool is_variable_name(std::string_view name) {
  if (name.empty() || (name.front() >= '0' && name.front() <= '9')) return false;
  for (char c : name) {
    const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (!word) return false;
  }
  return true;
}

/// The content without the line feed that editors and `echo` put at the end.
Result<std::string> read_value(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail("cannot read " + path + ": " + std::strerror(errno));
  std::string out;
  char chunk[4096];
  ssize_t n = 0;
  while (out.size() <= kSubstitutedFileBytesMax && (n = ::read(fd, chunk, sizeof chunk)) > 0)
    out.append(chunk, size_t(n));
  const int error = n < 0 ? errno : 0;
  ::close(fd);
  if (error != 0) return fail("cannot read " + path + ": " + std::strerror(error));
  if (out.size() > kSubstitutedFileBytesMax) return fail(path + " holds more than 64KiB: not a value");
  if (out.ends_with('\n')) out.pop_back();
  if (out.ends_with('\r')) out.pop_back();
  return out;
}

using Inputs = std::vector<ConfigInput>;

Result<std::string> read_input(const std::string& path, Inputs& inputs) {
  inputs.push_back({path, false});
  return read_value(path);
}

Result<std::string> read_credential(std::string_view name, Inputs& inputs) {
  const char* directory = std::getenv("CREDENTIALS_DIRECTORY");
  const std::string word(name);
  if (!directory || !*directory)
    return fail("${cred:" + word + "} needs $CREDENTIALS_DIRECTORY: set LoadCredential=" + word +
                ":... in the unit");
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string_view::npos)
    return fail("${cred:" + word + "} must name a credential, not a path");
  return read_input(std::string(directory) + "/" + word, inputs);
}

Result<std::string> expand(std::string_view text, int depth, Inputs& inputs);

/// `VAR` or `VAR:-default`.
Result<std::string> expand_variable(std::string_view body, int depth, Inputs& inputs) {
  const size_t sign = body.find(":-");
  const std::string name(body.substr(0, sign));
  if (!is_variable_name(name))
    return fail(
        "${" + std::string(body) +
        "} is not a form weir knows: write ${VAR}, ${VAR:-default}, ${env:VAR}, ${file:/path}, ${cred:name}, "
        "or $$ for a dollar sign");
  const char* value = std::getenv(name.c_str());
  if (sign == std::string_view::npos) {
    if (!value) return fail("$" + name + " is not set: set it, or write ${" + name + ":-default}");
    return std::string(value);
  }
  if (value && *value) return std::string(value);
  return expand(body.substr(sign + 2), depth + 1, inputs);
}

Result<std::string> expand_reference(std::string_view body, int depth, Inputs& inputs) {
  if (body.starts_with("env:")) return expand_variable(body.substr(4), depth, inputs);
  if (body.starts_with("file:")) return read_input(std::string(body.substr(5)), inputs);
  if (body.starts_with("cred:")) return read_credential(body.substr(5), inputs);
  return expand_variable(body, depth, inputs);
}

/// The end of the reference that begins before `from`: a default may hold references of its own.
size_t find_close(std::string_view text, size_t from) {
  int open = 1;
  for (size_t i = from; i < text.size(); ++i) {
    if (text[i] == '$' && i + 1 < text.size() && text[i + 1] == '{') ++open;
    if (text[i] == '}' && --open == 0) return i;
  }
  return std::string_view::npos;
}

Result<std::string> expand(std::string_view text, int depth, Inputs& inputs) {
  if (depth > kNestingMax) return fail("defaults within defaults, more than 8 deep");
  std::string out;
  while (!text.empty()) {
    const size_t dollar = text.find('$');
    out += text.substr(0, dollar);
    if (dollar == std::string_view::npos) break;
    text.remove_prefix(dollar + 1);
    if (text.starts_with('$')) {
      out += '$';
      text.remove_prefix(1);
    } else if (text.starts_with('{')) {
      const size_t close = find_close(text, 1);
      if (close == std::string_view::npos)
        return fail("${ is not closed: write ${VAR}, or $$ for a dollar sign");
      auto value = expand_reference(text.substr(1, close - 1), depth, inputs);
      if (!value) return value;
      out += *value;
      text.remove_prefix(close + 1);
    } else {
      out += '$';
    }
  }
  return out;
}

bool holds_reference(std::string_view text) {
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    if (text[i] != '$') continue;
    if (text[i + 1] == '{') return true;
    if (text[i + 1] == '$') ++i;
  }
  return false;
}

}  // namespace

void substitute(Node& node, const std::string& path, Report& report) {
  if (node.is_scalar()) {
    const size_t known = report.inputs.size();
    auto value = expand(node.text, 0, report.inputs);
    for (size_t i = known; i < report.inputs.size(); ++i)
      report.paths.push_back({PathUse::Kind::read, report.inputs[i].path, node.where, path});
    if (node.text.find('$') != std::string::npos) node.plain = false;
    if (!value) report.error(node.where, path, value.error().message);
    // After a mistake the text stays as it is; `unusable` keeps it from being judged a second time.
    node.unusable = !value;
    if (value && holds_reference(node.text)) node.reference = node.text;
    if (value) node.text = std::move(*value);
  }
  for (size_t i = 0; i < node.items.size(); ++i)
    substitute(node.items[i], path + "[" + std::to_string(i) + "]", report);
  for (Entry& entry : node.entries) substitute(entry.value, path_of(entry.value, path, entry.key), report);
}

}  // namespace weir::config
