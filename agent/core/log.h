#pragma once
#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "agent/core/clock.h"

/// The agent's own log: stderr, one line per message. Text for people on a terminal, one JSON object per line
/// otherwise: {"time","level","message"} and "suppressed" where lines were left out. Escaped against terminal
/// injection in both (security.md). Any thread.
///
///   log::info("listening on {}", address);
///   log::sampled(log::Level::warn, "reject.bad_json", "{}: refused: {}", peer, detail);   // never a line
///   per record
namespace weir::log {

enum class Level { trace, debug, info, warn, error };
std::string_view level_name(Level level);
std::span<const std::string_view> level_names();  ///< the least severe first
std::optional<Level> parse_level(std::string_view name);

/// Of one sampling key: how many lines pass per window. Then one line tells exactly how many did not.
inline constexpr uint32_t kSampledLinesMax = 5;
inline constexpr int64_t kSampledWindowNs = 10'000'000'000;
inline constexpr size_t kSampledKeysMax = 256;  ///< the key that has been quiet longest makes room

enum class Format { json, text, coloured_text };

/// One log. The process has one on stderr (below); tests make their own.
class Logger {
 public:
  /// `write` gets whole lines with their line feed, one call at a time. `clock` outlives the logger.
  Logger(const Clock& clock, Format format, std::function<void(std::string_view line)> write);
  ~Logger();  ///< flushes

  void set_level(Level level);
  Level level() const;
  bool enabled(Level level) const;
  void write(Level level, std::string_view message, uint64_t suppressed = 0);
  /// Counts one line of `key`. The number of lines left out since the last one that passed, or nothing when
  /// this one is to be left out too.
  std::optional<uint64_t> admit(Level level, std::string_view key);
  /// Tells of each key how many lines were left out and not yet told.
  void flush();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The process's log: stderr, system clock; flushed at exit.
Logger& process_logger();

/// False: no such level, nothing changed.
bool set_level(std::string_view name);
inline Level level() { return process_logger().level(); }
inline void flush() { process_logger().flush(); }

template <class... Args>
void message(Level level, fmt::format_string<Args...> format, Args&&... args) {
  if (process_logger().enabled(level))
    process_logger().write(level, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  message(Level::debug, format, std::forward<Args>(args)...);
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  message(Level::info, format, std::forward<Args>(args)...);
}
template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  message(Level::warn, format, std::forward<Args>(args)...);
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  message(Level::error, format, std::forward<Args>(args)...);
}

/// At most kSampledLinesMax lines per `key` and kSampledWindowNs. `key` is one of a small fixed set, never
/// input. A line that is left out is not formatted.
template <class... Args>
void sampled(Level level, std::string_view key, fmt::format_string<Args...> format, Args&&... args) {
  if (std::optional<uint64_t> suppressed = process_logger().admit(level, key))
    process_logger().write(level, fmt::format(format, std::forward<Args>(args)...), *suppressed);
}

}  // namespace weir::log
