#include <unistd.h>

#include <cstdlib>

#include "agent/config/config.h"

namespace weir {
namespace {

/// Empty where the variable is unset or empty.
std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

/// The XDG specification: a relative path is to be ignored.
std::string directory_variable(const char* name) {
  std::string value = variable(name);
  return value.starts_with('/') ? value : "";
}

}  // namespace

Result<std::string> default_ingest_socket() {
  if (std::string path = variable("WEIR_SOCKET"); !path.empty()) return path;
  if (geteuid() == 0) return "/run/weir/weir.sock";
  if (const std::string dir = directory_variable("XDG_RUNTIME_DIR"); !dir.empty())
    return dir + "/weir/weir.sock";
  return fail("there is no default place for the ingest socket here: set $WEIR_SOCKET");
}

Result<std::string> default_data_dir() {
  if (geteuid() == 0) return "/var/lib/weir";
  if (const std::string dir = directory_variable("XDG_STATE_HOME"); !dir.empty()) return dir + "/weir";
  if (const std::string dir = directory_variable("HOME"); !dir.empty()) return dir + "/.local/state/weir";
  return fail("there is no default data directory without $HOME: set data_dir or $XDG_STATE_HOME");
}

std::string metrics_place(const Config& config) {
  return config.metrics.null("bind") ? "the control socket" : config.metrics.text("bind");
}

std::string journal_place(const Config& config) {
  const std::string& type = config.journal.text("type");
  return type == "disk" ? "disk at " + config.journal.text("path") : type;
}

std::string sandbox_place(const Config& config) {
  if (!config.sandbox) return "none";
  const auto joined = [&](const char* option) {
    std::string out;
    for (const std::string& path : config.sandbox->list(option)) out += (out.empty() ? "" : ", ") + path;
    return out;
  };
  return "{write: [" + joined("write") + "], read: [" + joined("read") + "]}";
}

}  // namespace weir
