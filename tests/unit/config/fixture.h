#pragma once
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/config/config.h"

namespace weir::test {

/// Small tables of the test's own: the configuration must not depend on what the registries hold.
inline const std::vector<ComponentType>& listener_types() {
  static const std::vector<ComponentType> types{
      {.name = "unix",
       .aliases = {},
       .sentence = "A Unix stream socket.",
       .options =
           {{.name = "path", .type = OptionType::path, .sentence = "The socket.", .required = true},
            {.name = "mode", .type = OptionType::file_mode, .default_text = "0660", .sentence = "Its mode."},
            {.name = "owner", .sentence = "Its owner.", .nullable = true},
            {.name = "stamp", .type = OptionType::boolean, .default_text = "false", .sentence = "Stamps."}}},
      {.name = "tcp",
       .aliases = {},
       .sentence = "TCP.",
       .options =
           {{.name = "bind", .sentence = "Address and port.", .required = true},
            {.name = "insecure", .type = OptionType::boolean, .default_text = "false", .sentence = "Dares."}},
       .validate = [](const Settings& settings) {
         std::vector<std::pair<std::string, std::string>> mistakes;
         if (settings.text("bind").find(':') == std::string::npos)
           mistakes.push_back({"bind", "needs a port: write 127.0.0.1:4320"});
         return mistakes;
       }}};
  return types;
}

inline const std::vector<ComponentType>& sink_types() {
  static const std::vector<ComponentType> types{
      {.name = "file",
       .aliases = {"jsonl"},
       .sentence = "A file of lines.",
       .options = {{.name = "path", .type = OptionType::path, .sentence = "Where to.", .required = true},
                   {.name = "format",
                    .type = OptionType::choice,
                    .default_text = "jsonl",
                    .sentence = "Form.",
                    .choices = {"jsonl"}},
                   {.name = "write_mode",
                    .type = OptionType::choice,
                    .default_text = "auto",
                    .sentence = "How.",
                    .choices = {"auto", "line", "batch"}},
                   {.name = "flush_every_n",
                    .type = OptionType::integer,
                    .sentence = "Records.",
                    .min = 1,
                    .nullable = true},
                   {.name = "flush_every_ms",
                    .type = OptionType::integer,
                    .default_text = "100",
                    .sentence = "Ms.",
                    .min = 1,
                    .nullable = true},
                   {.name = "fsync_every_n",
                    .type = OptionType::integer,
                    .sentence = "Records.",
                    .min = 1,
                    .nullable = true},
                   {.name = "mode",
                    .type = OptionType::file_mode,
                    .default_text = "0640",
                    .sentence = "Its mode."}}},
      {.name = "stdout",
       .aliases = {},
       .sentence = "Standard output.",
       .options = {{.name = "format",
                    .type = OptionType::choice,
                    .sentence = "Null: by target.",
                    .choices = {"auto", "json", "pretty"},
                    .nullable = true}}}};
  return types;
}

/// A private directory, removed at the end; the environment variables a test sets are put back.
class Workspace {
 public:
  Workspace() {
    char name[] = "/tmp/weir_config_XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    root_ = name;
    set("WEIR_SOCKET", "/tmp/weir_test.sock");
  }
  ~Workspace() {
    std::filesystem::remove_all(root_);
    for (auto& [name, value] : saved_)
      value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
  }
  void set(const std::string& name, std::optional<std::string> value) {
    const char* old = std::getenv(name.c_str());
    saved_.emplace(name, old ? std::optional<std::string>(old) : std::nullopt);
    value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
  }
  /// Writes a file and gives its path.
  std::string file(const std::string& name, const std::string& text) {
    const std::string path = root_ + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << text;
    ::chmod(path.c_str(), 0600);
    return path;
  }
  const std::string& root() const { return root_; }

  LoadedConfig load(ConfigRequest request) const { return load_config(request, listener_types(), sinks_); }
  /// Other sinks than sink_types().
  void use(std::vector<ComponentType> sinks) { sinks_ = std::move(sinks); }
  /// Loads one file of this text.
  LoadedConfig load_text(const std::string& text, ConfigRequest request = {}) {
    request.files = {file("weir.yaml", text)};
    return load(request);
  }
  /// The mistakes in one file of this text, without the directory in front.
  std::vector<std::string> mistakes(const std::string& text, ConfigRequest request = {}) {
    return lines(load_text(text, std::move(request)));
  }
  std::vector<std::string> lines(const LoadedConfig& loaded) const {
    std::vector<std::string> out;
    for (const ConfigError& error : loaded.errors) out.push_back(shorten(error.text()));
    return out;
  }
  /// A configuration that must have no mistake.
  Config good(const std::string& text, ConfigRequest request = {}) {
    return must(load_text(text, std::move(request)));
  }
  Config must(const LoadedConfig& loaded) const {
    for (const ConfigError& error : loaded.errors) MESSAGE(error.text());
    REQUIRE(loaded.config.has_value());
    return *loaded.config;
  }
  std::vector<std::string> notes(const Config& config) const {
    std::vector<std::string> out;
    for (const std::string& note : config.notes) out.push_back(shorten(note));
    return out;
  }
  std::string shorten(std::string text) const {
    for (size_t at = text.find(root_ + "/"); at != std::string::npos; at = text.find(root_ + "/"))
      text.erase(at, root_.size() + 1);
    return text;
  }

 private:
  std::string root_;
  std::vector<ComponentType> sinks_ = sink_types();
  std::map<std::string, std::optional<std::string>> saved_;
};

using Lines = std::vector<std::string>;

inline std::string joined(const Lines& lines) {
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return out;
}

inline const StreamConfig& stream(const Config& config, Stream name) { return config.streams[size_t(name)]; }
inline const ComponentConfig& sink(const Config& config, std::string_view name) {
  for (const ComponentConfig& sink : config.sinks)
    if (sink.name == name) return sink;
  FAIL("no such sink");
  return config.sinks.front();
}

}  // namespace weir::test
