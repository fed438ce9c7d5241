// Nothing is allocated for a record: the whole way from bytes read to a file, in one thread.
#include <doctest/doctest.h>

#include <cstring>

#include "agent/ingest/line_reader.h"
#include "agent/pipeline/pipeline.h"
#include "agent/process/context_diff.h"
#include "agent/process/signature.h"
#include "agent/sinks/sink.h"
#include "tests/support/allocations.h"
#include "tests/support/temp_dir.h"

namespace weir {
namespace {

/// What happened on the way of some records.
struct Counts {
  uint64_t records = 0, turns = 0, blocks = 0, allocations = 0;
  uint64_t longer_rests = 0;  ///< reads that left a longer part of a line than the reader had room for
};

/// As bench/record_path.cpp. `read_bytes`: what one read gives at most; 0: one line.
class Path {
 public:
  Path(ContextDiffOptions diff, bool stamp) {
    PipelineSetup setup;
    PipelineStream& trace = setup.streams[size_t(Stream::trace)];
    trace.processors.push_back(make_signature({}));
    trace.processors.push_back(make_context_diff(diff, make_context_memory(), clock_));
    setup.record_bytes_max = 256 << 10;
    pipeline_.apply(std::move(setup));
    producer_.stats = std::make_shared<SourceStats>();
    producer_.stamp = stamp;
    producer_.peer = {1000, 12345, "unix:uid=1000,pid=12345"};
    const SinkType* file = find_sink_type("file");
    Settings settings = default_settings(file->type.options);
    settings.set("path", dir_ / "a-path-that-is-too-long-to-lie-within-a-string.jsonl");
    sink_ = file->make(settings, {"out", system_io(), clock_, nullptr, journal_->uuid()});
    REQUIRE(sink_->open());
    cursor_ = journal_->open_cursor("out", StreamSet::all(), StartAt::end, WhenFull::block);
  }
  ~Path() { sink_->close(); }

  /// `lines`, over and over, `count` of them.
  Counts run(const std::vector<std::string>& lines, uint64_t count, size_t read_bytes) {
    counts_ = {};
    const uint64_t before = test::allocations();
    while (counts_.records < count) {
      take_in(lines, read_bytes);
      write_out();
    }
    counts_.allocations = test::allocations() - before;
    CHECK(producer_.rejected == 0);
    CHECK(cursor_->status().lag_records == 0);
    return counts_;
  }

 private:
  void take_in(const std::vector<std::string>& lines, size_t read_bytes) {
    const std::span<char> space = input_.space();
    size_t used = 0;
    do {  // the rest of a line, or whole ones
      const std::string& line = lines[line_ % lines.size()];
      const size_t most = read_bytes == 0 ? space.size() : std::min(read_bytes, space.size());
      const size_t take = std::min(line.size() - line_done_, most - used);
      std::memcpy(space.data() + used, line.data() + line_done_, take);
      used += take, line_done_ += take;
      if (line_done_ == line.size()) ++line_, line_done_ = 0;
    } while (used < read_bytes);
    input_.filled(used);
    for (Line line; reader_.next(line); ++counts_.records)
      if (pipeline_.on_frame(producer_, line.payload) != Intake::taken) end_turn();
    reader_.end_turn();
    input_.put_aside();
    counts_.longer_rests += line_done_ > rest_room_;
    rest_room_ = line_done_ == 0 ? 0 : std::max(rest_room_, line_done_);  // nothing is held between lines
    end_turn();
  }
  void end_turn() {
    REQUIRE(pipeline_.on_turn_end(producer_) == Intake::taken);
    ++counts_.turns;
    clock_.advance_ns(1000);
  }
  void write_out() {
    while (cursor_->next(batch_, sink_->batch_limits(), 0, {})) {
      for (const BatchSlice& slice : batch_.slices)
        if (slice.block.get() != last_block_) last_block_ = slice.block.get(), ++counts_.blocks;
      REQUIRE(sink_->deliver(batch_, {}).kind == Delivery::Kind::delivered);
      cursor_->commit(batch_);
    }
  }

  test::TempDir dir_;
  ManualClock clock_;
  Quarantine quarantine_{system_io(), dir_ / "quarantine", "rejected.jsonl"};
  ReadBuffer buffer_;
  InputBuffer input_{buffer_, nullptr};
  LineReader reader_{input_};
  std::unique_ptr<Journal> journal_ = make_memory_journal(1 << 20);
  Pipeline pipeline_{*journal_, quarantine_, clock_};
  Producer producer_;
  std::unique_ptr<Sink> sink_;
  std::unique_ptr<Cursor> cursor_;
  BatchView batch_;
  uint64_t line_ = 0;
  size_t line_done_ = 0, rest_room_ = 0;
  const Block* last_block_ = nullptr;
  Counts counts_;
};

std::string number(uint64_t n) { return std::to_string(n * 2654435761u % (n % 3 == 0 ? 97 : 1'000'003)); }
std::string context(uint64_t n) {
  return R"({"order_id":)" + number(n / 2) + R"(,"customer":"c-)" + number(n) + R"(","amount":)" + number(n) +
         R"(.50,"currency":"EUR","retries":)" + std::to_string(n % 3) + R"(,"stage":"s)" +
         std::to_string(n % 5) + R"(","rush":)" + (n % 2 == 0 ? "true" : "null") + "}";
}
std::string trace(uint64_t n) {
  return R"({"stream":"trace","trace_id":"0af7651916cd43dd)" + number(n) +
         R"(","scenario":"order-intake","line_no":)" + number(n) +
         R"(,"step_index":3,"step_name":"price","work_index":0,"t_enter":"2026-01-21T00:00:00.003Z","duration_ms":)" +
         number(n) +
         R"(.25,"msg_in":{"type_name":"A"},"msg_out":[{"type_name":"B"}],"msg_out_count":1,"ctx_before":)" +
         context(n) + R"(,"ctx_after":)" + context(n + 1) +
         R"(,"status":"ok","error":null})"
         "\n";
}
std::string light(uint64_t n) {
  const std::string head =
      R"({"stream":"trace","trace_id":"0af7651916cd43dd8448eb211c80319c-)" + std::to_string(n % 7) + "\",";
  if (n % 3 == 0) return head + R"("ctx":)" + context(n) + "}\n";
  if (n % 3 == 1)
    return head + R"("ctx_set":{"stage":"t)" + number(n) +
           R"("},"ctx_unset":["retries"]})"
           "\n";
  return head + R"("ctx_set":{"retries":)" + number(n) + "}}\n";
}
std::string log(uint64_t n) {
  return R"({"stream":"log","level":"info","logger":"app.intake","message":"request \"r-)" + number(n) +
         R"(\" completed \u00e9","seq":)" + number(n) + "}\n";
}
std::string telemetry(uint64_t n) {
  return R"({"stream":"telemetry","name":"queue.depth","value":)" + number(n) +
         R"(.125,"unit":"1","attributes":{"host":"h)" + number(n) +
         R"("}})"
         "\n";
}
/// More kinds of trace than a processor of few would remember.
std::string kinds_of_trace(uint64_t n) {
  std::string context = "{\"order_id\":" + number(n);
  for (int key = 0; key < 7; ++key)
    if ((n >> key & 1) != 0) context += ",\"optional_" + std::to_string(key) + "\":" + number(n + 1);
  context += "}";
  return R"({"stream":"trace","trace_id":"t-)" + number(n) + R"(","ctx_before":)" + context +
         R"(,"ctx_after":)" + context + "}\n";
}

struct Row {
  const char* name;
  std::string (*line)(uint64_t n);
  ContextDiffOptions diff;
  bool stamp = false;
};

const ContextDiffOptions kWhitelist{.mode = ContextDiffMode::whitelist,
                                    .whitelist = {"order_id", "retries", "stage"}};
const Row kRows[] = {{"trace, whitelist", trace, kWhitelist},
                     {"trace, full", trace, {}},
                     {"trace, no snapshots", trace, {.snapshots = false}},
                     {"trace, none", trace, {.mode = ContextDiffMode::none}},
                     {"trace, light form", light, {}},
                     {"trace, light form, whitelist", light, kWhitelist},
                     {"trace, many kinds", kinds_of_trace, {}},
                     {"log, its ts added", log, {}},
                     {"telemetry, its ts added", telemetry, {}},
                     {"log, stamped", log, {}, true},
                     {"trace, stamped", trace, kWhitelist, true}};

/// What is allocated now and then: for each block the count of its readers; three transactions (each up to
/// 1,024 records of one block) share a piece of the journal's list; and when a read ends within a line, room
/// for what is there of it, if the reader has less.
uint64_t allowed(const Counts& counts) {
  const uint64_t transactions = counts.blocks + counts.records / 1024 + 1;
  return counts.blocks + transactions / 3 + 1 + counts.longer_rests;
}

}  // namespace

TEST_CASE("on the steady path nothing is allocated for a record, nor for a turn") {
  struct Reads {
    size_t bytes;
    uint64_t before, count;
  };
  // Large ones, some that cut lines, one for each line.
  constexpr Reads kReads[] = {{64 << 10, 30'000, 50'000}, {1000, 15'000, 15'000}, {0, 15'000, 15'000}};
  for (const Row& row : kRows) {
    std::vector<std::string> lines;
    for (uint64_t n = 0; n < 420; ++n) lines.push_back(row.line(n));
    for (const Reads& reads : kReads) {
      Path path(row.diff, row.stamp);
      // Until the journal has been full and every shape is known.
      path.run(lines, reads.before, reads.bytes);
      const Counts counts = path.run(lines, reads.count, reads.bytes);
      INFO(std::string(row.name), ": ", counts.records, " records in reads of ", reads.bytes, ", ",
           counts.turns, " turns, ", counts.blocks, " blocks, ", counts.longer_rests, " longer rests, ",
           counts.allocations, " allocations");
      CHECK(counts.allocations <= allowed(counts));
      CHECK(counts.allocations < counts.records / 25);
      if (reads.bytes == 0) CHECK((counts.turns >= counts.records && counts.longer_rests == 0));
    }
  }
}

}  // namespace weir
