#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <thread>

#include "agent/cli/command.h"
#include "agent/cli/console.h"
#include "agent/cli/control_client.h"
#include "agent/cli/json_text.h"
#include "agent/cli/screen.h"
#include "agent/cli/table.h"
#include "agent/cli/top_rates.h"
#include "agent/cli/top_view.h"
#include "agent/core/clock.h"
#include "agent/core/options.h"

namespace weir::cli {
namespace {

struct TopFlags {
  std::string interval = "1s", output = "text", control;
  uint64_t count = 0;
  bool once = false;
};

constexpr int64_t kIntervalMinNs = 100'000'000, kIntervalMaxNs = 3'600'000'000'000;
/// Keys wait as long as an agent that does not answer.
constexpr int kSilenceMs = 2000;

/// Asks the agent, and keeps what its last answer was compared with.
class Sampler {
 public:
  explicit Sampler(std::string path) : path_(std::move(path)), client_(path_) {}
  const std::string& path() const { return path_; }

  /// rates() are of the time since the sample before; since nothing, after an error.
  ControlResult<void> take() {
    auto body = client_.status(kSilenceMs);
    nlohmann::json now;
    if (body) now = nlohmann::json::parse(*body, nullptr, false);
    if (!now.is_object()) {
      before_ = nullptr;
      if (!body) return tl::unexpected(body.error());
      return tl::unexpected(ControlError{kFailure, "the agent's answer is not a JSON object"});
    }
    if (const auto metrics = client_.get("/metrics", kSilenceMs)) add_metrics(now, metrics->body);
    rates_ = top_rates(before_, now);
    rates_["time"] = rfc3339(system_clock().wall_ns());
    before_ = std::move(now);
    return {};
  }
  const nlohmann::json& rates() const { return rates_; }

 private:
  const std::string path_;
  ControlClient client_;
  nlohmann::json before_, rates_;
};

/// One text or object per interval, on pipes, and whenever a number of them was asked for.
int print(Sampler& sampler, const TopFlags& flags, int64_t interval_ns) {
  const bool json = flags.output == "json";
  bool away = false;
  for (uint64_t n = 0; flags.count == 0 || n < flags.count;) {
    std::this_thread::sleep_for(std::chrono::nanoseconds(interval_ns));
    if (const auto taken = sampler.take(); !taken) {
      if (!std::exchange(away, true)) say("weir top: {}", taken.error().message);
      if (flags.count > 0) return taken.error().exit_code;
      continue;
    }
    if (std::exchange(away, false)) {
      say("weir top: the agent answers again");
      continue;
    }
    std::string text;
    if (json) {
      text = sampler.rates().dump(-1, ' ', stdout_is_terminal(), nlohmann::json::error_handler_t::replace) +
             "\n";
    } else {
      TopLook look;
      look.colour = colour_on_stdout();
      if (stdout_is_terminal()) look.width = screen_size().width;
      if (n > 0) text = "\n";
      for (const std::string& line : top_view(sampler.rates(), look)) text += line + "\n";
    }
    if (!write_out(text)) return kFailure;
    ++n;
  }
  return kOk;
}

/// The live screen.
class Live {
 public:
  Live(Sampler& sampler, int64_t interval_ns) : sampler_(sampler), interval_ns_(interval_ns) {
    rates_ = sampler_.rates();
  }

  /// The signal that ended it; 0: the user did.
  int run() {
    Screen screen;
    int64_t next_ns = system_clock().monotonic_ns() + interval_ns_;
    for (;;) {
      screen.draw(lines());
      const Screen::Input input = screen.wait(next_ns);
      if (input.event == Screen::Event::quit) return screen.signal();
      if (input.event == Screen::Event::key && !on_key(input.key)) return 0;
      if (input.event != Screen::Event::timeout) continue;
      sample();
      next_ns = system_clock().monotonic_ns() + interval_ns_;
    }
  }

 private:
  bool on_key(char key) {
    if (key == 'q' || key == 'Q') return false;
    if (std::exchange(help_, false)) return true;
    if (key == '?' || key == 'h') help_ = true;
    if (key == 's') sort_ = TopSort((int(sort_) + 1) % 4);
    if (key == 'p' || key == ' ') {
      paused_ = !paused_;
      if (!paused_) rates_ = sampler_.rates();
    }
    return true;
  }

  void sample() {
    const auto taken = sampler_.take();
    if (taken)
      notice_.clear();
    else if (taken.error().exit_code == kUnreachable)
      notice_ = terminal_safe("waiting: " + taken.error().message);
    else
      notice_ = terminal_safe("waiting for an answer of the agent at " + sampler_.path());
    if (taken && !paused_) rates_ = sampler_.rates();
  }

  std::vector<std::string> lines() const {
    const ScreenSize size = screen_size();
    TopLook look{size.width, size.height > 1 ? size.height - 1 : 1, sort_, colour_on_stdout(), notice_};
    if (help_) return top_help(look);
    std::vector<std::string> lines = top_view(rates_, look);
    if (size.height < 2) return lines;
    lines.resize(look.height);
    const std::string keys = fmt::format("q quit  p {}  s order: {}  ? help{}", paused_ ? "go on" : "pause",
                                         top_sort_name(sort_), paused_ ? "  PAUSED" : "");
    lines.push_back(paint(fit(keys, size.width), paused_ ? kYellow : kDim, look.colour));
    return lines;
  }

  Sampler& sampler_;
  const int64_t interval_ns_;
  nlohmann::json rates_;  ///< what is shown
  std::string notice_;
  TopSort sort_ = TopSort::lag;
  bool help_ = false, paused_ = false;
};

bool terminal_can_move() {
  const char* const term = std::getenv("TERM");
  return stdout_is_terminal() && term && *term && std::string_view(term) != "dumb";
}

std::optional<int64_t> interval_of(const std::string& text) {
  const Result<int64_t> ns = parse_duration_ns(text);
  if (ns && *ns >= kIntervalMinNs && *ns <= kIntervalMaxNs) return *ns;
  say("weir top: --interval {}: {}", text,
      ns ? "give 100ms to 1h" : "is not a duration; give one with a unit, as 500ms or 2s");
  return std::nullopt;
}

int top(const TopFlags& flags) {
  const std::optional<int64_t> interval_ns = interval_of(flags.interval);
  if (!interval_ns) return kUsage;
  const auto path = control_path(flags.control);
  if (!path) return say("weir top: {}", path.error().message), path.error().exit_code;
  Sampler sampler(*path);
  if (const auto first = sampler.take(); !first)
    return say("weir top: {}", first.error().message), first.error().exit_code;
  if (flags.output == "json" || flags.count > 0 || !terminal_can_move())
    return print(sampler, flags, *interval_ns);
  const int signal = Live(sampler, *interval_ns).run();
  if (signal != 0) Screen::die_of(signal);
  return kOk;
}

}  // namespace

void add_top(CLI::App& app, Action& action) {
  auto flags = std::make_shared<TopFlags>();
  CLI::App* command = app.add_subcommand("top", "Watch rates, lag and drops live");
  command->add_option("--interval", flags->interval, "Time between two looks (default 1s)")
      ->type_name("DURATION");
  CLI::Option* count = command->add_option("--count", flags->count, "Print so many looks and end")
                           ->type_name("N")
                           ->check(CLI::PositiveNumber.description(""));
  command->add_flag("--once", flags->once, "The same as --count 1")->excludes(count);
  add_output_flag(*command, flags->output, {"text", "json"});
  add_control_flag(*command, flags->control);
  command->footer(R"(Keys: q quit, p pause, s order, ? help. On a pipe: one text per interval.

Examples:
  weir top
  weir top --once
  weir top -o json --interval 10s | jq -c '.sinks[] | .delivered_per_s')");
  command->callback([flags, &action] {
    if (flags->once) flags->count = 1;
    action = [flags] { return top(*flags); };
  });
}

}  // namespace weir::cli
