#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstring>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>

#include "agent/cli/command.h"
#include "agent/cli/config_errors.h"
#include "agent/cli/console.h"
#include "agent/cli/progress.h"
#include "agent/core/clock.h"
#include "agent/core/quarantine.h"
#include "agent/ingest/listeners.h"
#include "agent/journal/stored_records.h"
#include "agent/process/expression.h"
#include "agent/sinks/sink_runner.h"

namespace weir::cli {
namespace {

struct ReplayFlags {
  ConfigFlags config;
  std::string journal, from, to, stream, where, quarantine, sink;
};

/// Where to begin or end: a position, or a moment.
struct Point {
  std::optional<Position> position;
  std::optional<int64_t> wall_ns;
};

/// A decimal position, `now`, a span back from now (`15m`), or RFC 3339.
std::optional<Point> parse_point(const std::string& text) {
  Point point;
  if (text.find_first_not_of("0123456789") == text.npos) {
    point.position = std::strtoull(text.c_str(), nullptr, 10);
    return point;
  }
  if (const auto back = parse_duration_ns(text)) {
    point.wall_ns = system_clock().wall_ns() - *back;
    return point;
  }
  tm parts{};
  const char* rest = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (!rest) return {};
  int64_t ns = 0;
  if (*rest == '.') {
    int64_t unit = 100'000'000;
    for (++rest; *rest >= '0' && *rest <= '9'; ++rest, unit /= 10) ns += (*rest - '0') * unit;
  }
  if (std::string_view(rest) != "Z" && *rest != '\0') return {};
  point.wall_ns = int64_t(timegm(&parts)) * 1'000'000'000 + ns;
  return point;
}

/// Where replayed lines go.
class Output {
 public:
  virtual ~Output() = default;
  virtual bool write(Stream stream, std::string_view line) = 0;
  /// All of it is there. An error: what stayed behind, and why.
  virtual Result<void> finish() = 0;
};

class StandardOutput final : public Output {
 public:
  bool write(Stream, std::string_view line) override {
    text_ += line;
    return text_.size() < (256 << 10) || flush();
  }
  Result<void> finish() override {
    if (flush()) return {};
    return fail("nobody reads standard output any more");
  }

 private:
  bool flush() {
    const bool written = write_out(text_);
    text_.clear();
    return written;
  }
  std::string text_;
};

/// A sink of the configuration, run here as an agent runs it, over a journal in memory.
class SinkOutput final : public Output {
 public:
  SinkOutput(const ComponentConfig& config, const std::string& data_dir)
      : quarantine_(system_io(), data_dir + "/quarantine", "sink." + config.name + ".jsonl"),
        journal_(make_memory_journal(64 << 20)) {
    const SinkType* type = find_sink_type(config.type);
    SinkPlace place;
    place.cursor = journal_->open_cursor("", StreamSet::all(), StartAt::oldest, WhenFull::block);
    auto sink = type->make(config.settings,
                           {config.name, system_io(), system_clock(), &quarantine_, journal_->uuid()});
    runner_ = std::make_unique<SinkRunner>(config.name, config.type, StreamSet::all(), std::move(sink),
                                           BatchFilter::make(config.settings), std::move(place), quarantine_,
                                           system_clock());
    runner_->start();
  }
  ~SinkOutput() override { runner_.reset(); }

  bool write(Stream stream, std::string_view line) override {
    if (!block_ || block_->space() < line.size()) {
      if (!append()) return false;
      block_ = journal_->new_block(line.size());
      pending_.first_entry = 0;
    }
    std::memcpy(block_->tail(), line.data(), line.size());
    block_->add_line(line.size(), stream);
    ++pending_.entry_count;
    ++pending_.totals.records[size_t(stream)], pending_.totals.bytes[size_t(stream)] += line.size();
    return true;
  }
  Result<void> finish() override {
    if (append()) {
      while (!wait_drained()) continue;
      const SinkStatus s = runner_->status();
      uint64_t refused = 0;
      for (const auto& [reason, n] : s.quarantined) refused += n;
      if (refused == 0) return {};
      return fail(std::to_string(refused) +
                  " records were refused again and are in the quarantine once more");
    }
    return fail("interrupted");
  }

 private:
  bool wait_drained() {
    const bool drained = runner_->wait_drained(system_clock().monotonic_ns() + 1'000'000'000);
    const SinkStatus s = runner_->status();
    if (!drained && s.state != "ok" && s.last_error != told_)
      say("weir replay: sink {} is {}: {}; it is tried again, Ctrl-C gives up", s.name, s.state,
          told_ = s.last_error);
    return drained;
  }
  bool append() {
    if (pending_.entry_count == 0) return true;
    pending_.block = block_;
    pending_.received_ns = system_clock().wall_ns();
    while (journal_->append(pending_) != AppendResult::taken) wait_drained();
    pending_ = {};
    block_.reset();
    return true;
  }

  Quarantine quarantine_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<SinkRunner> runner_;
  std::shared_ptr<Block> block_;
  Transaction pending_;
  std::string told_;
};

/// The records that a sink refused, oldest file first.
Result<uint64_t> replay_quarantine(const std::string& path, const std::function<bool(std::string_view)>& fn,
                                   Progress& progress) {
  uint64_t found = 0, unreadable = 0;
  bool any = false;
  for (const std::string& file : {path + ".1", path}) {
    std::ifstream in(file, std::ios::binary);
    if (!in) continue;
    any = true;
    in.seekg(0, std::ios::end);
    const auto bytes = uint64_t(in.tellg());
    in.seekg(0);
    for (std::string text; std::getline(in, text);) {
      const auto json = nlohmann::json::parse(text, nullptr, false);
      if (!json.is_object() || !json.contains("raw") || !json["raw"].is_string()) {
        ++unreadable;
        continue;
      }
      ++found;
      if (!fn(json["raw"].get<std::string>() + "\n")) return found;
      progress.show(uint64_t(std::max<std::streamoff>(0, in.tellg())), bytes);
    }
  }
  if (!any) return fail("nothing is in quarantine there: " + path + " does not exist");
  if (unreadable > 0)
    say("weir replay: {} lines of {} hold no whole record; they were left out", unreadable, path);
  return found;
}

/// The stream that a finished record says it belongs to.
Stream stream_of(std::string_view line) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (json.is_object() && json.contains("stream") && json["stream"].is_string())
    if (auto stream = parse_stream(json["stream"].get<std::string>())) return *stream;
  return Stream::log;
}

int usage(const std::string& text) {
  say("weir replay: {}; `weir replay --help` has examples", text);
  return kUsage;
}

int replay(const ReplayFlags& flags) {
  std::optional<Expression> where;
  if (!flags.where.empty()) {
    auto compiled = Expression::compile(flags.where);
    if (!compiled) {
      say("--where:1:{}: {}", compiled.error().column, compiled.error().message);
      return kUsage;
    }
    where = std::move(*compiled);
  }
  Point from, to;
  for (const auto& [text, point, name] : {std::tuple{&flags.from, &from, "--from"}, {&flags.to, &to, "--to"}})
    if (!text->empty()) {
      const auto parsed = parse_point(*text);
      if (!parsed)
        return usage(
            fmt::format("{} takes a position, a time as 2026-11-28T17:00:00Z, or a span back as 15m", name));
      *point = *parsed;
    }
  std::optional<Stream> stream;
  if (!flags.stream.empty() && !(stream = parse_stream(flags.stream)))
    return usage("unknown stream '" + flags.stream + "'; the streams are trace, log, telemetry, monitoring");

  const auto sinks = sink_component_types();
  const std::optional<ConfigRequest> request = config_request("weir replay", flags.config);
  if (!request) return kUsage;
  const LoadedConfig loaded = load_config(*request, listener_component_types(), sinks);
  if (!loaded.config) {
    print_errors(loaded.errors);
    return kConfiguration;
  }
  const Config& config = *loaded.config;
  std::unique_ptr<Output> output;
  if (flags.sink.empty()) {
    output = std::make_unique<StandardOutput>();
  } else {
    const auto found =
        std::ranges::find(config.sinks, flags.sink, [](const ComponentConfig& c) { return c.name; });
    if (found == config.sinks.end())
      return usage("there is no sink named '" + flags.sink + "' in the configuration");
    output = std::make_unique<SinkOutput>(*found, config.data_dir);
  }

  uint64_t sent = 0;
  bool open = true;
  const auto send = [&](Stream of, std::string_view line) {
    if ((stream && of != *stream) || (where && !where->matches(line))) return true;
    ++sent;
    return open = output->write(of, line);
  };
  Progress progress("weir replay", "read");
  Result<void> done;
  if (!flags.quarantine.empty()) {
    const auto read = replay_quarantine(
        config.data_dir + "/quarantine/sink." + flags.quarantine + ".jsonl",
        [&](std::string_view line) { return send(stream_of(line), line); }, progress);
    if (!read) done = fail(read.error().message);
  } else {
    std::string directory = flags.journal;
    if (directory.empty()) {
      if (config.journal.text("type") != "disk")
        return usage(
            fmt::format("{} has no disk journal (journal.type: disk); name the agent's file with --config, "
                        "or its journal "
                        "with --journal DIR",
                        config.files.empty() ? "the built-in configuration" : config.files.back()));
      directory = config.journal.text("path");
    }
    done = for_each_stored(
        system_io(), directory, from.position.value_or(0), from.wall_ns.value_or(INT64_MIN),
        [&](const StoredRecord& r) {
          if (to.position && r.position >= *to.position) return false;
          if (to.wall_ns && r.received_ns >= *to.wall_ns) return false;
          return send(r.stream, r.line);
        },
        [&](uint64_t read, uint64_t of) { progress.show(read, of); });
  }
  progress.end();
  if (done && open) done = output->finish();
  output.reset();
  if (!done) {
    say("weir replay: {}", done.error().message);
    return kFailure;
  }
  if (!flags.sink.empty() || stderr_is_terminal())
    say("{} {} replayed{}", with_commas(sent), plural(sent, "record", "records"),
        flags.sink.empty() ? "" : " to sink " + flags.sink);
  return open ? kOk : kFailure;
}

}  // namespace

void add_replay(CLI::App& app, Action& action) {
  auto flags = std::make_shared<ReplayFlags>();
  CLI::App* command =
      app.add_subcommand("replay", "Send records of a disk journal, or refused ones, once more");
  command
      ->add_option("--from", flags->from,
                   "Position, time (RFC 3339, UTC) or span back (15m); default: the oldest")
      ->type_name("POINT");
  command->add_option("--to", flags->to, "The same: up to there")->type_name("POINT");
  command->add_option("--stream", flags->stream, "Of one stream only")->type_name("STREAM");
  command->add_option("--where", flags->where, "Of records for which this holds")->type_name("EXPRESSION");
  CLI::Option* quarantine = command
                                ->add_option("--quarantine", flags->quarantine,
                                             "What this sink has refused, instead of the journal")
                                ->type_name("SINK");
  command->add_option("--sink", flags->sink, "To this sink of the configuration; default: standard output")
      ->type_name("SINK");
  command
      ->add_option("--journal", flags->journal, "The journal's directory; default: that of the configuration")
      ->type_name("DIR")
      ->excludes(quarantine);
  add_config_flags(*command, flags->config);
  command->footer(
      R"(Reads beside a running agent. The sink is run here, as the agent would: it retries, and what it refuses goes
to its quarantine. A file sink that the agent has open takes what is replayed in between.

Examples:
  weir replay --from 15m --stream log --where 'level >= "error"'
  weir replay --from 2026-11-28T17:00:00Z --to 2026-11-28T18:00:00Z --sink archive
  weir replay --from 1200000 | jq .message
  weir replay --quarantine upstream --sink upstream)");
  command->callback([flags, &action] { action = [flags] { return replay(*flags); }; });
}

}  // namespace weir::cli
