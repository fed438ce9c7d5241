#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <csignal>

#include "agent/cli/command.h"
#include "agent/cli/console.h"
#include "agent/cli/control_client.h"
#include "agent/cli/event_reader.h"
#include "agent/core/json.h"
#include "agent/core/options.h"
#include "agent/core/stream.h"
#include "agent/process/expression.h"
#include "agent/sinks/pretty.h"

namespace weir::cli {
namespace {

struct TailFlags {
  std::string stream, where, output, control;
  int64_t count = 0;
  bool count_given = false, no_follow = false;
};

/// The most that the agent shows of its tape; what --no-follow asks for without -n.
constexpr int64_t kWholeTape = 1'000'000;

bool known_stream(const std::string& name) {
  if (name.empty() || parse_stream(name)) return true;
  constexpr std::array<std::string_view, 12> words{"trace",   "traces",     "tracing",   "log",
                                                   "logs",    "logging",    "telemetry", "metric",
                                                   "metrics", "monitoring", "alert",     "alerts"};
  const std::string_view near = did_you_mean(name, {words.begin(), words.end()});
  if (near.empty())
    say("weir tail: unknown stream '{}'; the streams are trace, log, telemetry, monitoring", name);
  else
    say("weir tail: unknown stream '{}' (did you mean '{}'?)", name, near);
  return false;
}

bool known_expression(const std::string& where) {
  if (where.empty()) return true;
  const auto compiled = Expression::compile(where);
  if (!compiled) say("--where:1:{}: {}", compiled.error().column, compiled.error().message);
  return compiled.has_value();
}

std::string target_of(const TailFlags& flags) {
  std::string target = fmt::format("/v1/tail?follow={}", flags.no_follow ? 0 : 1);
  if (const auto stream = parse_stream(flags.stream))
    target += fmt::format("&stream={}", stream_name(*stream));
  if (!flags.where.empty()) target += "&where=" + percent_encode(flags.where);
  if (flags.count_given || flags.no_follow)
    target += fmt::format("&n={}", flags.count_given ? flags.count : kWholeTape);
  return target;
}

/// Renders what one read brought and writes it at once: prompt when little comes, few system calls when much
/// does.
class Printer {
 public:
  explicit Printer(const TailFlags& flags)
      : pretty_(flags.output.empty() ? stdout_is_terminal() : flags.output == "pretty"),
        events_([this](std::string_view type, std::string_view data) { take(type, data); }) {}

  bool operator()(std::string_view bytes) {
    out_.clear();
    events_.feed(bytes);
    return out_.empty() || write_out(out_);
  }

 private:
  void take(std::string_view type, std::string_view data) {
    if (type == "skipped")
      return say("weir tail: {} records left out, this reader was too slow for them", data);
    if (!type.empty()) return;
    if (pretty_) return append_pretty(out_, data, colour_);
    if (escape_)
      json::append_terminal_safe(out_, data);
    else
      out_ += data;
    out_ += '\n';
  }

  const bool pretty_, colour_ = colour_on_stdout(), escape_ = stdout_is_terminal();
  std::string out_;
  EventReader events_;
};

int tail(const TailFlags& flags) {
  if (!known_stream(flags.stream) || !known_expression(flags.where)) return kUsage;
  const auto path = control_path(flags.control);
  if (!path) return say("weir tail: {}", path.error().message), path.error().exit_code;
  // Nothing is held back between reads, so there is nothing to tidy up.
  std::signal(SIGINT, [](int) { _exit(kOk); });

  Printer printer(flags);
  bool reader_gone = false;
  const auto ended = ControlClient(*path).stream(
      target_of(flags), [&](std::string_view bytes) { return printer(bytes) || !(reader_gone = true); });
  if (reader_gone) return kOk;
  if (!ended) return say("weir tail: {}", ended.error().message), ended.error().exit_code;
  if (flags.no_follow) return kOk;
  say("weir tail: the agent ended the stream");
  return kFailure;
}

}  // namespace

void add_tail(CLI::App& app, Action& action) {
  auto flags = std::make_shared<TailFlags>();
  CLI::App* command = app.add_subcommand("tail", "Follow the records that flow");
  command->add_option("STREAM", flags->stream, "trace, log, telemetry or monitoring (default: all)");
  command->add_option("--where", flags->where, "Only records for which this holds")->type_name("EXPR");
  command
      ->add_option_function<int64_t>(
          "-n", [f = flags.get()](int64_t n) { f->count = n, f->count_given = true; },
          "First show the last N that match")
      ->check(CLI::Range(int64_t(0), kWholeTape).description(""))
      ->type_name("N");
  command->add_flag("--no-follow", flags->no_follow, "Show what is there (the last N with -n) and end");
  add_output_flag(*command, flags->output, {"json", "pretty"});
  add_control_flag(*command, flags->control);
  command->footer(R"(Reads the agent's tape; sinks do not notice. Pretty on a terminal, JSON lines otherwise.

Examples:
  weir tail
  weir tail trace --where 'decision changed'
  weir tail log --where 'level >= warn and service == "orders"'
  weir tail -n 20 --no-follow -o json | jq .message)");
  command->callback([flags, &action] { action = [flags] { return tail(*flags); }; });
}

}  // namespace weir::cli
