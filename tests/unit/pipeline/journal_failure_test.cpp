// What becomes of records when the journal answers `failed` (delivery.md section 3).
#include <doctest/doctest.h>

#include "agent/pipeline/pipeline.h"
#include "tests/support/journal_fill.h"
#include "tests/support/temp_dir.h"

namespace weir {
namespace {

using Lines = std::vector<std::string>;

/// A journal in memory that answers as it is told.
class MoodyJournal final : public Journal {
 public:
  AppendResult answer = AppendResult::taken;
  int taken_before = INT32_MAX;  ///< so many are taken all the same
  AckLevel last_level = AckLevel::none;
  uint64_t synced_mark = 0;

  AppendResult append(Transaction& t) override {
    if (answer != AppendResult::taken && taken_before-- <= 0) return answer;
    last_level = t.level, ++mark_;
    return inner_->append(t);
  }
  std::shared_ptr<Block> new_block(size_t bytes_min) override { return inner_->new_block(bytes_min); }
  const std::string& uuid() const override { return inner_->uuid(); }
  Position end() const override { return inner_->end(); }
  Position written() const override { return inner_->end(); }
  Position synced() const override { return 0; }
  uint64_t mark() const override { return mark_; }
  uint64_t reached(AckLevel level) const override {
    return level == AckLevel::durable ? synced_mark : mark();
  }
  AckLevel level_max() const override { return AckLevel::durable; }
  uint64_t secured() const override { return 0; }
  std::unique_ptr<Cursor> open_cursor(std::string_view name, StreamSet streams, StartAt start,
                                      LagLimit limit) override {
    return inner_->open_cursor(name, streams, start, limit);
  }
  JournalStatus status() const override { return inner_->status(); }
  void on_space(std::function<void()>) override {}
  void set_bytes_max(uint64_t) override {}
  void fail_after(int appends) { answer = AppendResult::failed, taken_before = appends; }
  void heal() { answer = AppendResult::taken; }

 private:
  uint64_t mark_ = 0;
  std::unique_ptr<Journal> inner_ = make_memory_journal(64 << 20);
};

struct Fixture {
  test::TempDir dir;
  ManualClock clock;
  Quarantine quarantine{system_io(), dir / "quarantine", "rejected.jsonl"};
  MoodyJournal journal;
  std::unique_ptr<Cursor> cursor = journal.open_cursor("c", StreamSet::all(), StartAt::end, WhenFull::block);
  Pipeline pipeline{journal, quarantine, clock};
  Producer plain = make_producer(), client = make_producer();

  Fixture() {
    PipelineSetup setup;
    setup.clients_max = 3;
    setup.client_memory_ns = INT64_C(1'000'000'000) * 3600;
    pipeline.apply(std::move(setup));
    hello(client, "c", AckLevel::durable);
  }
  static Producer make_producer() {
    Producer p;
    p.stats = std::make_shared<SourceStats>();
    p.peer.uid = 1000;
    return p;
  }
  void hello(Producer& p, const std::string& id, AckLevel level, std::optional<uint64_t> next_seq = 1) {
    const auto welcome = pipeline.on_hello(p, {id, next_seq, {}, level});
    REQUIRE(welcome);
    CHECK(welcome->level == level);
  }
  Intake send(Producer& p, const Lines& lines) {
    for (std::string line : lines) {
      const size_t bytes = line.size();
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
  /// received = accepted + rejected, accepted = journalled + duplicate, and nothing waits.
  bool balanced(const Producer& p) const {
    uint64_t rejected = 0;
    for (uint64_t n : p.stats->rejected) rejected += n;
    return pipeline.pending_records() == 0 && p.stats->received == p.stats->accepted + rejected &&
           p.stats->accepted == p.stats->journalled + p.stats->duplicate;
  }
};

std::string line(int n) { return R"({"stream":"log","ts":1,"m":)" + std::to_string(n) + "}"; }

TEST_CASE_FIXTURE(Fixture, "the journal is told what the producer waits for") {
  CHECK(send(client, {line(1)}) == Intake::taken);
  CHECK(journal.last_level == AckLevel::durable);
  CHECK(send(plain, {line(2)}) == Intake::taken);
  CHECK(journal.last_level == AckLevel::received);
}

TEST_CASE_FIXTURE(Fixture, "a mark stands behind what the client itself sent") {
  CHECK(send(client, {line(1)}) == Intake::taken);
  const uint64_t mark = client.client->mark;
  CHECK(mark == journal.mark());
  CHECK(send(plain, {line(2)}) == Intake::taken);
  CHECK(send(client, {}) == Intake::taken);
  CHECK(client.client->mark == mark);
  CHECK(send(client, {"bad"}) == Intake::taken);  // its number is in the journal, too
  CHECK(client.client->mark == journal.mark());
}

TEST_CASE_FIXTURE(Fixture, "a hello hastens what is not safe enough for it yet, and only that") {
  Producer first = make_producer();
  hello(first, "d", AckLevel::received);
  CHECK(journal.mark() == 0);  // nothing of it is there
  CHECK(send(first, {line(1), line(2)}) == Intake::taken);
  Producer again = make_producer();
  hello(again, "d", AckLevel::received);
  CHECK(journal.mark() == 1);
  Producer strict = make_producer();
  hello(strict, "d", AckLevel::durable);
  CHECK(journal.last_level == AckLevel::durable);
  CHECK(strict.client->mark == 2);
  CHECK(strict.client->last_seq == 2);
  journal.synced_mark = 2;
  hello(strict, "d", AckLevel::durable);
  CHECK(journal.mark() == 2);
}

TEST_CASE_FIXTURE(Fixture, "a numbered client gets back what a failed journal does not take, uncounted") {
  CHECK(send(client, {line(1)}) == Intake::taken);
  journal.fail_after(0);
  CHECK(send(client, {line(2), "bad", line(4)}) == Intake::taken);  // nothing waits
  CHECK(client.given_back());
  CHECK(client.client->last_seq == 1);
  CHECK(client.stats->journalled == 1);
  CHECK(client.stats->received == 2);  // and the refusal, which comes again with the others
  CHECK(balanced(client));

  journal.heal();
  client.next_seq = 2;  // as the session does with its nack
  CHECK(send(client, {line(2), "bad", line(4)}) == Intake::taken);
  CHECK_FALSE(client.given_back());
  CHECK(client.client->last_seq == 4);
  CHECK(journalled() == Lines{line(1), line(2), line(4)});
  CHECK(balanced(client));
}

TEST_CASE_FIXTURE(Fixture, "what was appended before the failure stays") {
  const std::string big = R"({"stream":"log","ts":1,"m":")" + std::string(700'000, 'x') + "\"}";
  journal.fail_after(1);
  CHECK(send(client, {big, big, big}) == Intake::taken);  // a block each
  CHECK(client.given_back());
  CHECK(client.client->last_seq == 1);
  CHECK(client.stats->journalled == 1);
  CHECK(balanced(client));
}

TEST_CASE_FIXTURE(Fixture,
                  "plain records and those of clients that do not listen wait, others are given back") {
  Producer deaf = make_producer();
  hello(deaf, "deaf", AckLevel::none);
  CHECK_FALSE(deaf.listens());
  journal.fail_after(0);
  CHECK(send(plain, {line(1)}) == Intake::refused);
  CHECK(send(client, {line(2)}) == Intake::refused);
  CHECK(client.given_back());
  CHECK(send(deaf, {line(3)}) == Intake::refused);
  CHECK(pipeline.pending_records() == 2);
  CHECK(pipeline.retry_pending() == Intake::refused);
  CHECK(plain.stats->received == 0);

  journal.heal();
  CHECK(pipeline.retry_pending() == Intake::taken);
  CHECK(journalled() == Lines{line(1), line(3)});
  CHECK(deaf.client->last_seq == 1);
  CHECK(balanced(plain));
}

TEST_CASE_FIXTURE(Fixture, "what waited for space is given back when the journal fails meanwhile") {
  journal.answer = AppendResult::full, journal.taken_before = 0;
  CHECK(send(client, {line(1)}) == Intake::pause);
  CHECK(pipeline.pending_records() == 1);
  journal.answer = AppendResult::failed;
  CHECK(pipeline.retry_pending() == Intake::taken);
  CHECK(client.given_back());
  CHECK(pipeline.pending_records() == 0);
}

TEST_CASE_FIXTURE(Fixture, "a jump counts what is left out, and what comes again is a duplicate") {
  CHECK(send(client, {line(1)}) == Intake::taken);
  pipeline.on_jump(client, 5);
  CHECK(client.client->gaps == 3);
  CHECK(send(client, {line(5)}) == Intake::taken);
  pipeline.on_jump(client, 1);
  CHECK(send(client, {line(1)}) == Intake::taken);
  CHECK(client.stats->duplicate == 1);
  CHECK(client.client->last_seq == 5);
  CHECK(client.client->gaps == 3);
  CHECK(journalled() == Lines{line(1), line(5)});
}

}  // namespace
}  // namespace weir
