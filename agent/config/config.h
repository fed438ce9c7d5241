#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/core/options.h"
#include "agent/core/stream.h"
#include "agent/process/context_diff.h"
#include "agent/process/redact.h"
#include "agent/process/sample.h"
#include "agent/process/set_fields.h"
#include "agent/process/signature.h"

namespace weir {

/// A listener or a sink: its name, its kind (never an alias) and all its options.
struct ComponentConfig {
  std::string name, type;
  Settings settings;
  Location where;
  bool operator==(const ComponentConfig& o) const {
    return name == o.name && type == o.type && settings == o.settings;
  }
};

struct StreamConfig {
  bool enabled = true;
  std::optional<SignatureOptions> signature;       ///< always set for trace; others only when written
  std::optional<ContextDiffOptions> context_diff;  ///< as above
  SetOptions set;
  std::optional<RedactOptions> redact;
  std::optional<SampleOptions> sample;
  std::vector<std::string> sinks;
  bool operator==(const StreamConfig&) const = default;
};

/// A place in the file system that the configuration names.
struct PathUse {
  enum class Kind {
    read,    ///< a file, or a directory of files, that may be replaced while the agent runs
    output,  ///< a directory that files of sinks are in
    data,    ///< a directory of the agent's own
    socket,  ///< a directory that a socket is in
  };
  Kind kind;
  std::string path;
  Location where;
  std::string key;  ///< `sinks.archive.path`
};

/// The effective configuration: everything checked, defaults filled in.
struct Config {
  std::vector<ComponentConfig> listen;
  std::vector<ComponentConfig> sinks;
  std::array<StreamConfig, kStreamCount> streams;
  Settings metrics;     ///< bind, insecure
  Settings journal;     ///< type, max_bytes
  Settings limits;      ///< record_bytes_max
  Settings clients;     ///< memory, max
  Settings quarantine;  ///< raw
  Settings log;         ///< level
  std::string data_dir;
  std::string control_path;
  int64_t drain_timeout_ns = 1'000'000'000;
  std::optional<Settings> sandbox;  ///< write, read; absent: none

  std::vector<std::string> files;  ///< what it was read from, in order; empty: embedded default
  std::string hash;                ///< hex, of the effective configuration
  std::vector<std::string> notes;  ///< to be said, not errors
};

/// Where these are, in words, to compare what was started with what is asked for.
std::string metrics_place(const Config& config);
std::string journal_place(const Config& config);
std::string sandbox_place(const Config& config);

/// One mistake, as `weir check` prints it.
struct ConfigError {
  Location where;
  std::string path;  ///< `sinks.archive.path`
  std::string message;
  std::string suggestion;  ///< the nearest known word, or empty
  /// `FILE:LINE:COL: PATH: TEXT (did you mean ...?)`
  std::string text() const;
};

/// What the command line says on top of files.
struct ConfigRequest {
  std::vector<std::string> files = {};         ///< --config; files or directories
  std::vector<std::string> sets = {};          ///< --set key=value
  std::optional<bool> tracing = {};            ///< --tracing
  std::optional<std::string> trace_path = {};  ///< --trace-path
  /// In the names of files that runtime.observability does not name; the same at every reload. 0: now, and
  /// this process.
  int64_t started_wall_ns = 0;
  int64_t pid = 0;
};

/// A file or directory that was read, or would have been, for a configuration.
struct ConfigInput {
  std::string path;
  bool is_configuration = true;  ///< false: a value, `${file:}` or `${cred:}`
};

struct LoadedConfig {
  std::optional<Config> config;     ///< absent when there are errors
  std::vector<ConfigError> errors;  ///< all of them
  std::vector<ConfigInput> inputs;  ///< in the order of reading; those that are missing, too
  std::vector<PathUse> paths;       ///< all places that it names, but for its own files; with errors, too
};

/// Reads, merges, substitutes, translates the trees under `runtime`, checks, fills in. Reads files and
/// environment, changes nothing. The component types come from the registries of sinks/ and ingest/.
LoadedConfig load_config(const ConfigRequest& request, const std::vector<ComponentType>& listener_types,
                         const std::vector<ComponentType>& sink_types);

/// The effective configuration as YAML that load_config takes and gives the same Config for, but for secrets
/// that were written out literally (they show as `***`).
std::string print_config(const Config& config, const std::vector<ComponentType>& listener_types,
                         const std::vector<ComponentType>& sink_types);
/// The same with the secrets in it, for the hash alone: never to be shown.
std::string config_fingerprint(const Config& config, const std::vector<ComponentType>& listener_types,
                               const std::vector<ComponentType>& sink_types);
/// config/REFERENCE.md, from the same tables.
std::string config_reference(const std::vector<ComponentType>& listener_types,
                             const std::vector<ComponentType>& sink_types);

/// Where a value comes from.
struct ConfigExplanation {
  struct Written {
    std::string place;  ///< `FILE:LINE:COL`, or `--set KEY`
    std::string text;   ///< as written, `${...}` not replaced
  };
  std::string key, value;  ///< value: in force, on one line; secrets as `***`
  std::string note;
  std::vector<Written>
      written;          ///< the one in force first, then those that lost; empty: the default is in force
  bool merged = false;  ///< a map: made of all of them
};
/// `key` as in --set. Nothing: there is no such key, and `known` are those that there are.
std::optional<ConfigExplanation> explain_config(const ConfigRequest& request, const Config& config,
                                                const std::vector<ComponentType>& listener_types,
                                                const std::vector<ComponentType>& sink_types,
                                                std::string_view key, std::vector<std::string>& known);
/// `{"key","value","source","written":[{"place","text"}]}`, the source `default` where nothing names it.
std::string explanation_json(const ConfigExplanation& explanation);

/// Default places (interface.md section 1). Error: what to set.
Result<std::string> default_ingest_socket();
Result<std::string> default_data_dir();

}  // namespace weir
