// record_path: the whole way of a record, from bytes read to a file, in one thread and without sockets.
//   record_path CASE DATAFILE COUNT [OUT] [--once]
//   CASE: trace-whitelist, trace-full, trace-routed, log or telemetry (see kCases; DATAFILE: mkdata's of that
//   kind) OUT: a file that is emptied whenever it is larger than 64 MiB (default /dev/shm/weir-record-path)
// Prints the nanoseconds per record of each stage, best of several rounds. --once: one round and no clock,
// for callgrind: two runs with different counts differ by exactly what a record costs (./dev bench
// instructions).
// ./dev build release record_path && build/release/record_path trace-whitelist
// build/bench/trace-200000.ndjson 200000
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "agent/core/check.h"
#include "agent/ingest/line_reader.h"
#include "agent/journal/journal.h"
#include "agent/pipeline/pipeline.h"
#include "agent/process/context_diff.h"
#include "agent/process/signature.h"
#include "agent/sinks/sink.h"

// Hash seeds of the agent come from here. In this program every run has the same, so that counts repeat
// exactly.
unsigned int std::random_device::_M_getval() { return 0x9E3779B9; }
extern "C" ssize_t getrandom(void* out, size_t bytes, unsigned) {
  std::memset(out, 0x5A, bytes);
  return ssize_t(bytes);
}

namespace {

using namespace weir;

constexpr size_t kReadBytesMax = 64 << 10;  // what a socket gives at once
constexpr off_t kOutBytesMax = 64 << 20;
constexpr int kRounds = 7;

struct Case {
  const char* name;
  Stream stream;
  ContextDiffMode diff;  ///< of the trace stream
};
constexpr Case kCases[] = {
    {"trace-whitelist", Stream::trace, ContextDiffMode::whitelist},  // mkdata trace
    {"trace-full", Stream::trace, ContextDiffMode::full},            // mkdata trace
    {"trace-routed", Stream::trace, ContextDiffMode::full},          // mkdata routed: nothing to rewrite
    {"log", Stream::log, ContextDiffMode::full},
    {"telemetry", Stream::telemetry, ContextDiffMode::full},
};

/// As agent/app/topology.cpp makes it for a configuration that says no more than `context_diff`.
PipelineSetup setup_of(const Case& c, const Clock& clock) {
  PipelineSetup setup;
  PipelineStream& trace = setup.streams[size_t(Stream::trace)];
  trace.processors.push_back(make_signature({}));
  ContextDiffOptions options;
  options.mode = c.diff;
  options.whitelist = {"order_id", "retries", "stage"};
  trace.processors.push_back(make_context_diff(options, make_context_memory(), clock));
  setup.record_bytes_max = 256 << 10;
  return setup;
}

/// Seconds of each stage. Without a clock it does nothing.
class Stages {
 public:
  enum Stage { read, pipeline, sink, count };
  explicit Stages(bool timed) : timed_(timed) {}
  void begin() { last_ = now(); }
  void end(Stage stage) {
    const auto at = now();
    spent_[stage] += std::chrono::duration<double, std::nano>(at - last_).count();
    last_ = at;
  }
  double ns(Stage stage) const { return spent_[stage]; }
  double total() const { return spent_[read] + spent_[pipeline] + spent_[sink]; }

 private:
  using Time = std::chrono::steady_clock::time_point;
  Time now() const { return timed_ ? std::chrono::steady_clock::now() : Time(); }
  bool timed_;
  Time last_;
  double spent_[count] = {};
};

class RecordPath {
 public:
  RecordPath(const Case& c, const char* data, std::string out)
      : data_(open(data, O_RDONLY)),
        out_(std::move(out)),
        quarantine_(system_io(), out_ + ".quarantine", "rejected.jsonl"),
        journal_(make_memory_journal(16 << 20)),
        pipeline_(*journal_, quarantine_, clock_) {
    if (data_ < 0) std::perror(data), std::exit(1);
    unlink(out_.c_str());
    pipeline_.apply(setup_of(c, clock_));
    producer_.stats = std::make_shared<SourceStats>();
    const SinkType* file = find_sink_type("file");
    Settings settings = default_settings(file->type.options);
    settings.set("path", out_);
    sink_ = file->make(settings, {"out", system_io(), clock_, nullptr, journal_->uuid()});
    auto opened = sink_->open();
    if (!opened) std::fprintf(stderr, "%s\n", opened.error().message.c_str()), std::exit(1);
    StreamSet streams;
    streams.add(c.stream);
    cursor_ = journal_->open_cursor("out", streams, StartAt::end, WhenFull::block);
  }
  ~RecordPath() {
    sink_->close();
    close(data_);
    unlink(out_.c_str());
  }

  /// `count` records, around the end of the data where need be.
  void run(size_t count, Stages& stages) {
    for (size_t left = count; left > 0;) {
      stages.begin();
      fill();
      stages.end(Stages::read);
      left -= take_in(left);
      stages.end(Stages::pipeline);
      write_out();
      stages.end(Stages::sink);
      empty_out();
    }
    WEIR_CHECK(producer_.rejected == 0);
    WEIR_CHECK(cursor_->status().lag_records == 0);
  }

 private:
  /// One read, in the place of the socket's.
  void fill() {
    const std::span<char> space = input_.space();
    const size_t bytes = std::min(kReadBytesMax, space.size());
    ssize_t got = pread(data_, space.data(), bytes, at_);
    if (got == 0) got = pread(data_, space.data(), bytes, at_ = 0);
    WEIR_CHECK(got > 0);
    at_ += got;
    input_.filled(size_t(got));
  }

  /// A session's turn; returns the records.
  size_t take_in(size_t records_max) {
    size_t records = 0;
    for (Line line; records < records_max && reader_.next(line); ++records) {
      // The block may become full: a turn ends, and goes on at once.
      if (pipeline_.on_frame(producer_, line.payload) != Intake::taken) pipeline_.on_turn_end(producer_);
    }
    reader_.end_turn();
    input_.put_aside();
    WEIR_CHECK(pipeline_.on_turn_end(producer_) == Intake::taken);
    return records;
  }

  /// A sink runner's rounds, until nothing is left.
  void write_out() {
    while (cursor_->next(batch_, sink_->batch_limits(), 0, {})) {
      const Delivery delivery = sink_->deliver(batch_, {});
      WEIR_CHECK(delivery.kind == Delivery::Kind::delivered);
      cursor_->commit(batch_);
    }
  }

  void empty_out() {
    struct stat st;
    if (stat(out_.c_str(), &st) == 0 && st.st_size > kOutBytesMax) WEIR_CHECK(truncate(out_.c_str(), 0) == 0);
  }

  const int data_;
  off_t at_ = 0;
  const std::string out_;
  ManualClock clock_;
  Quarantine quarantine_;
  ReadBuffer buffer_;
  InputBuffer input_{buffer_, nullptr};
  LineReader reader_{input_};
  std::unique_ptr<Journal> journal_;
  Pipeline pipeline_;
  Producer producer_;
  std::unique_ptr<Sink> sink_;
  std::unique_ptr<Cursor> cursor_;
  BatchView batch_;
};

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string_view> args(argv + 1, argv + argc);
  const bool once = std::erase(args, "--once") > 0;
  const Case* found = nullptr;
  for (const Case& c : kCases)
    if (!args.empty() && args[0] == c.name) found = &c;
  if (!found || args.size() < 3 || args.size() > 4)
    return std::fputs("usage: record_path CASE DATAFILE COUNT [OUT] [--once]\n", stderr), 64;
  const auto count = size_t(std::atol(args[2].data()));
  RecordPath path(*found, args[1].data(),
                  std::string(args.size() > 3 ? args[3] : "/dev/shm/weir-record-path"));

  if (once) {
    Stages untimed(false);
    path.run(count, untimed);
    return 0;
  }
  Stages best(true);
  for (int round = 0; round < kRounds; ++round) {
    Stages stages(true);
    path.run(count, stages);
    if (round == 0 || stages.total() < best.total()) best = stages;
  }
  const auto per_record = [&](double ns) { return ns / double(count); };
  std::printf("%s: %.0f ns per record: read %.0f, decode to journal %.0f, journal to file %.0f\n",
              found->name, per_record(best.total()), per_record(best.ns(Stages::read)),
              per_record(best.ns(Stages::pipeline)), per_record(best.ns(Stages::sink)));
}
