#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "agent/config/config.h"
#include "agent/config/schema.h"
#include "agent/ingest/listeners.h"
#include "agent/sinks/sink.h"

using namespace weir;

namespace {

std::filesystem::path config_directory() { return std::filesystem::path(WEIR_ROOT) / "config"; }

std::string text_of(const std::filesystem::path& path) {
  std::ostringstream out;
  out << std::ifstream(path).rdbuf();
  return out.str();
}

LoadedConfig load_file(const std::filesystem::path& path) {
  ::setenv("WEIR_SOCKET", "/tmp/weir_examples.sock", 1);
  ::setenv("WEIR_COLLECTOR_TOKEN", "secret", 1);
  return load_config({.files = {path.string()}}, listener_component_types(), sink_component_types());
}

/// `name:` stands in the text, on a line of its own or within braces, commented out or not; of
/// `rotate.max_bytes` the last word.
void check_named(const std::string& text, std::string_view name) {
  CAPTURE(name);
  const std::string word(name.substr(name.rfind('.') + 1));
  const bool named =
      text.find(" " + word + ": ") != std::string::npos || text.find("{" + word + ": ") != std::string::npos;
  CHECK(named);
}

}  // namespace

TEST_CASE("every example loads with the real listener and sink types, and without a note") {
  size_t examples = 0;
  for (const auto& entry : std::filesystem::directory_iterator(config_directory() / "examples")) {
    CAPTURE(entry.path().string());
    const LoadedConfig loaded = load_file(entry.path());
    for (const ConfigError& error : loaded.errors) MESSAGE(error.text());
    REQUIRE(loaded.config.has_value());
    CHECK(loaded.config->notes.empty());
    ++examples;
  }
  CHECK(examples >= 10);
}

TEST_CASE("weir.yaml loads, and holds the default of every option of the fixed sections") {
  const LoadedConfig loaded = load_file(config_directory() / "weir.yaml");
  for (const ConfigError& error : loaded.errors) MESSAGE(error.text());
  REQUIRE(loaded.config.has_value());
  CHECK(loaded.config->notes.empty());
  CHECK(loaded.config->journal == default_settings(config::journal_section().options));
  CHECK(loaded.config->limits == default_settings(config::limits_section().options));
  CHECK(loaded.config->clients == default_settings(config::clients_section().options));
  CHECK(loaded.config->quarantine == default_settings(config::quarantine_section().options));
  CHECK(loaded.config->log == default_settings(config::log_section().options));
  CHECK(loaded.config->streams[size_t(Stream::trace)].context_diff == ContextDiffOptions{});
  CHECK(loaded.config->streams[size_t(Stream::trace)].signature == SignatureOptions{});
  CHECK(loaded.config->drain_timeout_ns == 1'000'000'000);
  for (const ComponentConfig& sink : loaded.config->sinks) {
    Settings defaults;
    for (const ComponentType& type : sink_component_types())
      if (type.name == sink.type) defaults = default_settings(type.options);
    if (sink.type == "file") defaults.set("path", sink.settings.text("path"));
    CHECK(sink.settings == defaults);
  }
}

TEST_CASE("weir.yaml names every option there is") {
  std::string text = text_of(config_directory() / "weir.yaml");
  for (size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at + 2))
    text.insert(at + 1, " ");
  for (const config::SectionType* section : config::all_sections())
    for (const Option& option : section->options) check_named(text, option.name);
  for (const ComponentType& type : listener_component_types())
    for (const Option& option : type.options) check_named(text, option.name);
  for (const ComponentType& type : sink_component_types())
    for (const Option& option : type.options) check_named(text, option.name);
}

TEST_CASE("the committed reference is what the tables say") {
  const std::string reference = config_reference(listener_component_types(), sink_component_types());
  const auto path = config_directory() / "REFERENCE.md";
  if (std::getenv("UPDATE_GOLDEN")) std::ofstream(path) << reference;
  CHECK(text_of(path) == reference);
}
