#include "agent/pipeline/pipeline.h"

#include <doctest/doctest.h>

#include "agent/process/sample.h"
#include "agent/process/set_fields.h"
#include "tests/support/journal_fill.h"
#include "tests/support/temp_dir.h"

namespace weir {
namespace {

using Lines = std::vector<std::string>;

struct Fixture {
  test::TempDir dir;
  ManualClock clock;
  Quarantine quarantine{system_io(), dir / "quarantine", "rejected.jsonl"};
  std::unique_ptr<Journal> journal;
  std::unique_ptr<Cursor> cursor;
  Pipeline pipeline;
  Producer producer;

  explicit Fixture(uint64_t bytes_max = 4 << 20)
      : journal(make_memory_journal(bytes_max)),
        cursor(journal->open_cursor("c", StreamSet::all(), StartAt::end, WhenFull::block)),
        pipeline(*journal, quarantine, clock) {
    PipelineSetup setup;
    setup.policy = "{}";
    setup.client_memory_ns = INT64_C(1'000'000'000) * 3600;
    setup.clients_max = 3;
    pipeline.apply(std::move(setup));
    producer = make_producer();
  }
  Producer make_producer() {
    Producer p;
    p.stats = std::make_shared<SourceStats>();
    p.peer.uid = 1000;
    return p;
  }
  /// One turn of these lines.
  Intake send(Producer& p, const Lines& lines) {
    for (std::string line : lines) {
      size_t bytes = line.size();
      line.append(64, '\0');
      pipeline.on_frame(p, std::string_view(line).substr(0, bytes));
    }
    return pipeline.on_turn_end(p);
  }
  Lines journalled() {
    Lines out;
    BatchView batch;
    while (cursor->next(batch, {}, 0, {})) {
      for (auto& line : test::lines_of(batch)) out.push_back(line);
      cursor->commit(batch);
    }
    return out;
  }
  uint64_t hello(Producer& p, const std::string& id, std::optional<uint64_t> next_seq = {}) {
    auto welcome = pipeline.on_hello(p, {id, next_seq, {}});
    REQUIRE(welcome);
    return welcome->last_seq;
  }
};

const std::string kLog = R"({"stream":"log","ts":1,"m":)";
std::string log_line(int n) { return kLog + std::to_string(n) + "}"; }

TEST_CASE_FIXTURE(Fixture, "what no rule changes stays byte for byte") {
  std::string odd = R"(  { "stream" : "tracing" , "a":[1E+2, 1.50,"\u00e9/\/"],"b":{} } )";
  send(producer, {odd, log_line(1)});
  CHECK(journalled() == Lines{odd, log_line(1)});
}

TEST_CASE_FIXTURE(Fixture,
                  "a line of the agent's own counts and numbers as any other, and is not looked at") {
  const auto turn = [&](Producer& p, bool own) {
    hello(p, own ? "own" : "other", 1);
    for (int n = 0; n < 4; ++n) {
      std::string line = log_line(n);
      const size_t bytes = line.size();
      line.append(64, '\0');
      if (n == 2) pipeline.on_jump(p, 2);  // comes again
      const std::string_view view = std::string_view(line).substr(0, bytes);
      own ? pipeline.on_line(p, Stream::log, view) : pipeline.on_frame(p, view);
      if (n == 1) pipeline.on_turn_end(p);
    }
    pipeline.on_turn_end(p);
    return std::make_pair(journalled(), std::array{p.next_seq, p.client->last_seq, p.stats->received,
                                                   p.stats->journalled, p.stats->duplicate, p.stats->bytes});
  };
  Producer own = make_producer();
  const auto as_own = turn(own, true);
  CHECK(as_own == turn(producer, false));
  CHECK(as_own.first == Lines{log_line(0), log_line(1), log_line(3)});

  // With a stamp it is decoded, so that the fields can be added.
  own.stamp = true;
  std::string line = log_line(9) + std::string(64, '\0');
  pipeline.on_line(own, Stream::log, std::string_view(line).substr(0, line.size() - 64));
  pipeline.on_turn_end(own);
  CHECK(journalled().front().find("\"_peer\"") != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture,
                  "ts is added where a log, telemetry or monitoring record has none, never to a trace") {
  send(producer, {R"({"stream":"log"})", R"({"stream":"metrics","ts":null,"v":1})", R"({"stream":"trace"})"});
  std::string now = rfc3339(clock.wall_ns());
  CHECK(journalled() == Lines{R"({"stream":"log","ts":")" + now + "\"}",
                              R"({"stream":"metrics","ts":")" + now + R"(","v":1})",
                              R"({"stream":"trace"})"});
}

TEST_CASE_FIXTURE(Fixture, "a stamp comes from the agent, whatever the producer claims") {
  producer.stamp = true;
  producer.peer.pid = 7;
  send(producer, {R"({"stream":"trace","_peer":"forged"})"});
  std::string now = rfc3339(clock.wall_ns());
  CHECK(journalled() ==
        Lines{R"({"stream":"trace","_peer":{"uid":1000,"pid":7},"_received":")" + now + R"(","_id":"1"})"});
}

TEST_CASE_FIXTURE(Fixture, "an array of records is several, each judged for itself") {
  send(producer, {"[" + log_line(1) + ", 5 ," + log_line(2) + "]", "[]", "[1"});
  CHECK(journalled() == Lines{log_line(1), log_line(2)});
  CHECK(producer.stats->received == 4);
  CHECK(producer.stats->rejected[size_t(Reason::not_an_object)] == 1);
  CHECK(producer.stats->rejected[size_t(Reason::bad_json)] == 1);
}

TEST_CASE_FIXTURE(Fixture, "a disabled stream is counted and goes nowhere") {
  PipelineSetup setup;
  setup.streams[size_t(Stream::log)].enabled = false;
  pipeline.apply(std::move(setup));
  send(producer, {log_line(1), R"({"stream":"trace"})"});
  CHECK(journalled() == Lines{R"({"stream":"trace"})"});
  CHECK(producer.stats->disabled == 1);
  CHECK(producer.stats->received == producer.stats->accepted);
}

TEST_CASE_FIXTURE(Fixture,
                  "what leaves a redacted stream is redacted; what the agent adds only where it is named") {
  PipelineSetup setup;
  PipelineStream& log = setup.streams[size_t(Stream::log)];
  log.redactor = std::make_shared<Redactor>(RedactOptions{.keys = {"uid"}, .patterns = {"[0-9]+"}}, 0);
  log.processors.push_back(make_set({.entries = {{"host", "\"h1\""}}}));
  pipeline.apply(std::move(setup));
  producer.stamp = true;
  producer.peer.pid = 7;
  send(producer, {R"({"stream":"log","m":"a1","n":2})", R"({"stream":"log","ts":3,"host":4})",
                  R"({"stream":"trace","n":5})"});
  const std::string now = rfc3339(clock.wall_ns());
  const auto stamp = [&](int id, const char* uid) {
    return std::string(R"(,"_peer":{"uid":)") + uid + R"(,"pid":7},"_received":")" + now + R"(","_id":")" +
           std::to_string(id) + "\"}";
  };
  CHECK(journalled() == Lines{R"({"stream":"log","m":"a***","n":"***","host":"h***","ts":")" + now + "\"" +
                                  stamp(1, "\"***\""),
                              R"({"stream":"log","ts":"***","host":"***")" + stamp(2, "\"***\""),
                              R"({"stream":"trace","n":5)" + stamp(3, "1000")});
}

TEST_CASE_FIXTURE(Fixture,
                  "a record that a rule drops is counted, keeps its number and is not in the journal") {
  PipelineSetup setup;
  setup.clients_max = 3;
  setup.client_memory_ns = INT64_C(1'000'000'000) * 3600;
  setup.streams[size_t(Stream::log)].processors.push_back(make_sample({.ratio = 0}));
  pipeline.apply(std::move(setup));
  hello(producer, "c", 1);
  send(producer, {log_line(1), R"({"stream":"log","ts":1,"status":"error"})", log_line(3)});
  CHECK(journalled() == Lines{R"({"stream":"log","ts":1,"status":"error"})"});
  CHECK(producer.stats->dropped_by_rule.find("sample")->second == 2);
  CHECK(producer.stats->received == 3);
  CHECK(producer.stats->accepted == 3);
  CHECK(producer.client->last_seq == 3);
}

TEST_CASE_FIXTURE(Fixture, "numbers: what was disposed of is recognised, gaps are counted") {
  CHECK(hello(producer, "c", 1) == 0);
  send(producer, {log_line(1), "bad", log_line(3)});
  CHECK(producer.client->last_seq == 3);
  REQUIRE(producer.rejects.size() == 1);
  CHECK(producer.rejects[0].seq == 2);

  Producer again = make_producer();
  CHECK(hello(again, "c", 2) == 3);
  send(again, {"bad", log_line(3), log_line(4)});
  CHECK(again.stats->duplicate == 2);
  CHECK(again.rejects.empty());
  CHECK(again.client->last_seq == 4);
  CHECK(journalled() == Lines{log_line(1), log_line(3), log_line(4)});

  Producer later = make_producer();
  CHECK(hello(later, "c", 10) == 4);
  CHECK(later.client->gaps == 5);
  CHECK(later.client->last_seq == 9);
  Producer next = make_producer();
  CHECK(hello(next, "c") == 9);
  CHECK(next.next_seq == 10);
}

TEST_CASE_FIXTURE(Fixture,
                  "a client belongs to the uid that used it first, and one connection serves it at a time") {
  bool told = false;
  REQUIRE(pipeline.on_hello(producer, {"c", 1, [&] { told = true; }}));
  Producer other = make_producer();
  other.peer.uid = 1001;
  auto refused = pipeline.on_hello(other, {"c", 1, {}});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message == "not_yours");
  CHECK_FALSE(told);
  Producer second = make_producer();
  hello(second, "c", 1);
  CHECK(told);
  pipeline.on_close(producer);  // the one that was taken over must not take it away from the second
  CHECK(second.client->owner == &second);
}

TEST_CASE_FIXTURE(Fixture, "clients that are away are forgotten, least recently seen first") {
  for (const char* id : {"a", "b", "c", "d"}) {
    Producer p = make_producer();
    hello(p, id, 5);
    pipeline.on_close(p);
    clock.advance_ns(1);
  }
  CHECK(pipeline.clients().all().size() == 3);
  Producer p = make_producer();
  CHECK(hello(p, "a", 1) == 0);
}

TEST_CASE_FIXTURE(Fixture, "a last line counts when it is whole, else it is truncated and takes no number") {
  auto last = [&](std::string line) {
    size_t bytes = line.size();
    line.append(64, '\0');
    pipeline.on_last_frame(producer, std::string_view(line).substr(0, bytes));
    pipeline.on_turn_end(producer);
  };
  hello(producer, "c", 1);
  last(log_line(1).substr(0, 20));
  CHECK(producer.next_seq == 1);
  CHECK(producer.stats->rejected[size_t(Reason::truncated)] == 1);
  last(R"({"stream":"log)"
       "\xc3");
  last("[" + log_line(1));
  CHECK(producer.stats->rejected[size_t(Reason::truncated)] == 3);
  last(log_line(1));
  CHECK(journalled() == Lines{log_line(1)});
  last(R"({"stream":5})");
  CHECK(producer.stats->rejected[size_t(Reason::bad_field)] == 1);
}

TEST_CASE("a full journal pauses the intake; nothing is lost, and a client is told only what is in") {
  Fixture f(1 << 20);
  f.hello(f.producer, "c", 1);
  std::string big = kLog + "\"" + std::string(100'000, 'x') + "\"}";
  uint64_t sent = 0;
  Intake intake = Intake::taken;
  while (intake == Intake::taken) {
    intake = f.send(f.producer, {big, big});
    sent += 2;
    REQUIRE(sent < 100);
  }
  CHECK(f.producer.client->last_seq < sent);
  CHECK(f.producer.stats->journalled == f.producer.stats->received);
  CHECK(f.pipeline.pending_records() > 0);
  CHECK(f.pipeline.retry_pending() == Intake::pause);
  uint64_t got = f.journalled().size();
  CHECK(f.pipeline.retry_pending() == Intake::taken);
  got += f.journalled().size();
  CHECK(got == sent);
  CHECK(f.producer.client->last_seq == sent);
  CHECK(f.producer.stats->journalled == sent);
}

TEST_CASE("a turn of refusals behind a full journal is its own client's affair") {
  Fixture f(1 << 20);
  f.hello(f.producer, "a", 1);
  Producer other = f.make_producer();
  f.hello(other, "b", 1);
  std::string big = kLog + "\"" + std::string(100'000, 'x') + "\"}";
  uint64_t sent = 0;
  do REQUIRE(++sent < 100);
  while (f.send(f.producer, {big}) == Intake::taken);
  CHECK(f.send(other, {"bad", "bad"}) == Intake::pause);
  CHECK(other.client->last_seq == 0);
  while (f.pipeline.retry_pending() == Intake::pause) REQUIRE(!f.journalled().empty());
  CHECK(f.producer.client->last_seq == sent);
  CHECK(other.client->last_seq == 2);
}

TEST_CASE_FIXTURE(Fixture, "a refused line that is sent again is a duplicate, not refused twice") {
  hello(producer, "c", 1);
  send(producer, {"bad", "[1"});
  pipeline.on_bad_frame(producer, Reason::too_long, "x", 300'000);
  pipeline.on_turn_end(producer);
  Producer again = make_producer();
  CHECK(hello(again, "c", 1) == 3);
  send(again, {"bad", "[1"});
  pipeline.on_bad_frame(again, Reason::too_long, "x", 300'000);
  pipeline.on_turn_end(again);
  CHECK(again.stats->duplicate == 3);
  CHECK(again.rejects.empty());
}

TEST_CASE_FIXTURE(Fixture, "a refusal leaves one line in the quarantine that names all of it") {
  producer.stats->name = "local";
  hello(producer, "c", 1);
  send(producer, {"\xff\x01"});
  std::string line = test::read_file(dir / "quarantine/rejected.jsonl");
  CHECK(
      line ==
      R"({"time":")" + rfc3339(clock.wall_ns()) +
          R"(","source":"local","peer":{"uid":1000,"pid":0},"client_id":"c","seq":1,"reason":"bad_utf8","detail":)" +
          line.substr(line.find("\"detail\":") + 9, line.find(",\"offset\"") - line.find("\"detail\":") - 9) +
          R"(,"offset":0,"length":2,"raw_base64":"/wE="})" + "\n");
}

}  // namespace
}  // namespace weir
