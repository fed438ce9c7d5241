#include "agent/core/log.h"

#include <limits.h>
#include <poll.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <mutex>

#include "agent/core/json.h"

namespace weir::log {
namespace {

constexpr std::array<std::string_view, 5> kLevelNames{"trace", "debug", "info", "warn", "error"};
constexpr std::array<std::string_view, 5> kLevelColours{"\x1b[2m", "\x1b[2m", "\x1b[32m", "\x1b[33m",
                                                        "\x1b[31m"};

spdlog::level::level_enum spdlog_level(Level level) {
  return static_cast<spdlog::level::level_enum>(static_cast<int>(level));
}
static_assert(int(Level::trace) == SPDLOG_LEVEL_TRACE && int(Level::error) == SPDLOG_LEVEL_ERROR);

/// Hands finished lines on. base_sink holds its lock meanwhile, so lines never mix.
class LineSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit LineSink(std::function<void(std::string_view)> write) : write_(std::move(write)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& msg) override {
    write_(std::string_view(msg.payload.data(), msg.payload.size()));
  }
  void flush_() override {}

  std::function<void(std::string_view)> write_;
};

std::string json_line(int64_t wall_ns, Level level, std::string_view message, uint64_t suppressed) {
  std::string quoted;
  json::append_quoted(quoted, message);
  std::string line =
      fmt::format(R"({{"time":"{}","level":"{}","message":)", rfc3339(wall_ns), level_name(level));
  json::append_terminal_safe(line, quoted);
  if (suppressed > 0) line += fmt::format(R"(,"suppressed":{})", suppressed);
  line += "}\n";
  return line;
}

std::string text_line(int64_t wall_ns, Level level, std::string_view message, uint64_t suppressed,
                      bool colour) {
  const std::string time = rfc3339(wall_ns).substr(11, 12);
  const std::string_view dim = colour ? "\x1b[2m" : "", off = colour ? "\x1b[0m" : "";
  const std::string_view tint = colour ? kLevelColours[size_t(level)] : "";
  std::string line = fmt::format("{}{}{} {}{:<5}{} ", dim, time, off, tint, level_name(level), off);
  json::append_terminal_safe(line, message);
  if (suppressed > 0) line += fmt::format(" {}({} more like this left out){}", dim, suppressed, off);
  line += '\n';
  return line;
}

}  // namespace

std::string_view level_name(Level level) { return kLevelNames[size_t(level)]; }

std::span<const std::string_view> level_names() { return kLevelNames; }

std::optional<Level> parse_level(std::string_view name) {
  for (size_t i = 0; i < kLevelNames.size(); ++i)
    if (kLevelNames[i] == name) return static_cast<Level>(i);
  return std::nullopt;
}

struct Logger::State {
  struct Window {
    Level level = Level::info;
    int64_t began_ns = 0;
    uint32_t passed = 0;
    uint64_t suppressed = 0;  // not yet told
  };
  using Windows = std::map<std::string, Window, std::less<>>;

  State(const Clock& c, Format f, std::function<void(std::string_view)> write)
      : clock(c), format(f), out("weir", std::make_shared<LineSink>(std::move(write))) {
    out.set_level(spdlog::level::info);
  }

  const Clock& clock;
  const Format format;
  spdlog::logger out;
  std::mutex mutex;
  Windows windows;
};

Logger::Logger(const Clock& clock, Format format, std::function<void(std::string_view)> write)
    : state_(std::make_unique<State>(clock, format, std::move(write))) {}

Logger::~Logger() { flush(); }

void Logger::set_level(Level level) { state_->out.set_level(spdlog_level(level)); }
Level Logger::level() const { return static_cast<Level>(static_cast<int>(state_->out.level())); }
bool Logger::enabled(Level level) const { return state_->out.should_log(spdlog_level(level)); }

void Logger::write(Level level, std::string_view message, uint64_t suppressed) {
  if (!enabled(level)) return;
  const int64_t now = state_->clock.wall_ns();
  const std::string line =
      state_->format == Format::json
          ? json_line(now, level, message, suppressed)
          : text_line(now, level, message, suppressed, state_->format == Format::coloured_text);
  state_->out.log(spdlog_level(level), spdlog::string_view_t(line.data(), line.size()));
}

std::optional<uint64_t> Logger::admit(Level level, std::string_view key) {
  if (!enabled(level)) return std::nullopt;
  const int64_t now = state_->clock.monotonic_ns();
  std::optional<std::pair<std::string, State::Window>> evicted;
  std::optional<uint64_t> verdict;
  {
    std::lock_guard lock(state_->mutex);
    auto& windows = state_->windows;
    auto found = windows.find(key);
    if (found == windows.end()) {
      if (windows.size() >= kSampledKeysMax) {
        auto oldest = std::min_element(windows.begin(), windows.end(), [](const auto& a, const auto& b) {
          return a.second.began_ns < b.second.began_ns;
        });
        evicted.emplace(oldest->first, oldest->second);
        windows.erase(oldest);
      }
      found = windows.emplace(key, State::Window{level, now, 0, 0}).first;
    }
    State::Window& window = found->second;
    window.level = level;
    if (now - window.began_ns >= kSampledWindowNs) window.began_ns = now, window.passed = 0;
    if (window.passed < kSampledLinesMax) {
      ++window.passed;
      verdict = std::exchange(window.suppressed, 0);
    } else {
      ++window.suppressed;
    }
  }
  if (evicted && evicted->second.suppressed > 0)
    write(evicted->second.level, evicted->first + ": further lines left out", evicted->second.suppressed);
  return verdict;
}

void Logger::flush() {
  std::map<std::string, State::Window> untold;
  {
    std::lock_guard lock(state_->mutex);
    for (auto& [key, window] : state_->windows) {
      if (window.suppressed == 0) continue;
      untold.emplace(key, window);
      window.suppressed = 0;
    }
  }
  for (const auto& [key, window] : untold)
    write(window.level, key + ": further lines left out", window.suppressed);
}

namespace {

/// A reader of stderr that has stopped must not stop the agent: what does not fit is left out, and told when
/// it does again. poll promises room for PIPE_BUF bytes; a longer line is cut there.
void write_to_stderr(std::string_view line) {
  static std::atomic<uint64_t> left_out = 0;
  pollfd ready{STDERR_FILENO, POLLOUT, 0};
  if (::poll(&ready, 1, 0) == 0) {
    ++left_out;
    return;
  }
  std::string text;
  if (const uint64_t lines = left_out.exchange(0))
    text = fmt::format("weir: {} log lines left out: stderr was not read\n", lines);
  text += line;
  if (text.size() > PIPE_BUF) text.replace(PIPE_BUF - 1, text.npos, "\n");
  while (::write(STDERR_FILENO, text.data(), text.size()) < 0 && errno == EINTR) continue;
}

Format stderr_format() {
  if (!isatty(STDERR_FILENO)) return Format::json;
  const char* no_colour = std::getenv("NO_COLOR");
  return no_colour && *no_colour ? Format::text : Format::coloured_text;
}

}  // namespace

Logger& process_logger() {
  // Never destroyed: threads may log while statics go. What is still untold is told at exit.
  static Logger* const logger = [] {
    auto* made = new Logger(system_clock(), stderr_format(), write_to_stderr);
    std::atexit([] { process_logger().flush(); });
    return made;
  }();
  return *logger;
}

bool set_level(std::string_view name) {
  const std::optional<Level> level = parse_level(name);
  if (level) process_logger().set_level(*level);
  return level.has_value();
}

}  // namespace weir::log
