#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "agent/config/config.h"
#include "agent/ingest/listeners.h"
#include "agent/sinks/sink.h"
#include "tests/fuzz/oracles.h"

namespace weir::test {
namespace {

/// One file of this process, and an environment that is always the same.
class Place {
 public:
  Place() {
    const char* const memory = "/dev/shm";
    std::string pattern = std::filesystem::exists(memory) ? memory : "/tmp";
    pattern += "/weir-config-XXXXXX";
    directory_ = mkdtemp(pattern.data());
    for (const char* name : {"XDG_RUNTIME_DIR", "XDG_STATE_HOME", "CREDENTIALS_DIRECTORY"}) unsetenv(name);
    setenv("WEIR_SOCKET", "/tmp/weir-config-fuzz/weir.sock", 1);
    setenv("HOME", "/nonexistent", 1);
  }
  ~Place() { std::filesystem::remove_all(directory_); }
  std::string file() const { return directory_ + "/weir.yaml"; }
  LoadedConfig load(std::string_view text) const {
    {
      std::ofstream out(file(), std::ios::binary);
      out << text;
    }
    std::filesystem::permissions(file(), std::filesystem::perms::owner_read);
    std::filesystem::permissions(file(), std::filesystem::perms::owner_all);
    ConfigRequest request;
    request.files = {file()};
    request.started_wall_ns = 1'700'000'000'000'000'000, request.pid = 42;
    return load_config(request, listener_component_types(), sink_component_types());
  }

 private:
  std::string directory_;
};

std::string judge(const ConfigError& error, std::string_view text, const std::string& file) {
  const std::string said = error.text();
  if (error.message.empty()) return "a mistake without a text: " + said;
  if (error.where.file != file) return {};  // a default's place: nothing to hold it against
  // yaml-cpp takes text with NUL or a byte order mark for UTF-16 or UTF-32, and counts in that.
  if (text.find('\0') != text.npos || text.starts_with("\xFE\xFF") || text.starts_with("\xFF\xFE")) return {};
  size_t begin = 0;
  for (int line = 1; line < error.where.line; ++line) {
    const size_t end = text.find('\n', begin);
    // At the end of the text, the place may be that of the line that would follow.
    if (end == text.npos) return "a line that is not there: " + said;
    begin = end + 1;
  }
  const std::string_view line = text.substr(begin, text.find('\n', begin) - begin);
  // yaml-cpp counts a byte that is no UTF-8 as the three of U+FFFD.
  const size_t columns = line.size() + 2 * size_t(std::ranges::count_if(line, [](char c) { return c < 0; }));
  if (error.where.line < 1 || error.where.column < 1 || size_t(error.where.column) > columns + 1)
    return "a column that is not there: " + said;
  return {};
}

std::string all(const std::vector<ConfigError>& errors) {
  std::string out;
  for (const ConfigError& error : errors) out += error.text() + "\n";
  return out;
}

}  // namespace

std::string check_config(std::string_view text) {
  static const Place place;
  if (text.find("file:") != text.npos) return {};  // it would read whatever this machine has
  const LoadedConfig first = place.load(text), second = place.load(text);
  if (all(first.errors) != all(second.errors))
    return "twice not the same:\n" + all(first.errors) + "and\n" + all(second.errors);
  if (first.config.has_value() == !first.errors.empty()) return "neither taken nor refused";
  for (const ConfigError& error : first.errors)
    if (std::string wrong = judge(error, text, place.file()); !wrong.empty()) return wrong;
  if (!first.config) return {};
  if (first.config->hash != second.config->hash) return "two hashes";
  const auto listeners = listener_component_types(), sinks = sink_component_types();
  const std::string printed = print_config(*first.config, listeners, sinks);
  const LoadedConfig again = place.load(printed);
  if (!again.config) return "what is printed is refused:\n" + printed + all(again.errors);
  const std::string twice = print_config(*again.config, listeners, sinks);
  if (twice != printed) return "what is printed means something else:\n" + printed + "\n" + twice;
  return {};
}

}  // namespace weir::test
