// What it costs the agent to drain a ring of spans: to lines, and into the journal in memory. By hand:
//   ./dev build release ring_drain && build/release/ring_drain
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "agent/pipeline/pipeline.h"
#include "agent/ring/ring_set.h"
#include "tests/support/ring_memory.h"

using namespace weir;

namespace {

constexpr int kRounds = 400;

double now_ns() {
  return double(std::chrono::duration_cast<std::chrono::nanoseconds>(
                    std::chrono::steady_clock::now().time_since_epoch())
                    .count());
}

struct Spans {
  test::ClientArena arena;
  uint32_t site;
  std::string body;
  Spans() {
    using ring::ValueType;
    site = arena.site(ring::RecordKind::span, "db.query", "", "db.cc:120",
                      {{"http.method", ValueType::text},
                       {"http.route", ValueType::text},
                       {"http.status", ValueType::i32},
                       {"bytes", ValueType::u64},
                       {"retries", ValueType::i32},
                       {"cache", ValueType::boolean},
                       {"ratio", ValueType::f64},
                       {"shard", ValueType::u32}});
    body = std::string(1, char(ring::kTraceId | ring::kSpanId | ring::kParentId));
    body +=
        "0123456789abcdef"
        "01234567"
        "89abcdef";
    body += test::raw(uint64_t(1'769'000'000'123'000'000));
    body += test::sized<uint16_t>("GET") + test::sized<uint16_t>("/orders/{id}/items");
    body +=
        test::raw(int32_t(200)) + test::raw(uint64_t(18734)) + test::raw(int32_t(0)) + test::raw(uint8_t(1));
    body += test::raw(0.75) + test::raw(uint32_t(17));
  }
};

void transcode(Spans& s) {
  auto arena = std::move(*ring::Arena::attach(s.arena.fd));
  ring::RingClock clock;
  ring::Transcoder transcoder;
  std::string record = test::ClientRing::record_bytes(s.site, 1'769'000'000'123'456'789, s.body);
  const size_t size = record.size();
  record.append(ring::Transcoder::kReadBeyond, '\0');
  double best = 1e9;
  size_t bytes = 0;
  for (int round = 0; round < 50; ++round) {
    const double begin = now_ns();
    for (int i = 0; i < 20000; ++i)
      bytes =
          transcoder.transcode({record.data(), size}, ring::ClockKind::realtime, *arena, clock).line.size();
    best = std::min(best, (now_ns() - begin) / 20000);
  }
  std::printf("transcode: %zu bytes of record, %zu of line: %.0f ns\n", size, bytes, best);
}

/// `rings` rings, written in turn so that the merge changes over with each run of `run` records.
void drain(Spans& s, size_t rings, uint64_t run) {
  auto journal = make_memory_journal(64 << 20);
  Quarantine quarantine(system_io(), "/tmp/ring_drain", "rejected.jsonl");
  Pipeline pipeline(*journal, quarantine, system_clock());
  PipelineSetup setup;
  setup.policy = "{}", setup.clients_max = 100, setup.client_memory_ns = INT64_MAX;
  setup.record_bytes_max = 256 << 10;
  pipeline.apply(std::move(setup));
  Producer owner;
  owner.stats = std::make_shared<SourceStats>();
  owner.peer.uid = 0;
  Hello hello;
  hello.client_id = "bench";
  if (!pipeline.on_hello(owner, std::move(hello))) std::abort();
  ring::RingTools tools;
  ring::RingSet set(pipeline, owner, tools);
  set.attach(ring::kArena, 0, s.arena.fd, UINT64_MAX);
  std::vector<std::unique_ptr<test::ClientRing>> clients;
  for (size_t i = 0; i < rings; ++i) {
    clients.push_back(std::make_unique<test::ClientRing>(i + 1, 256 << 10));
    if (set.attach(ring::kRing, i + 1, clients.back()->fd, UINT64_MAX).code != 0) std::abort();
  }
  double best = 1e9, total = 0;
  uint64_t clock = 1'769'000'000'000'000'000, records = 0;
  for (int round = 0; round < kRounds; ++round) {
    for (uint64_t n = 0; clients[n / run % rings]->write(s.site, ++clock, s.body); ++n) continue;
    uint64_t swept = 0;
    const double begin = now_ns();
    for (;;) {
      const ring::Swept some = set.sweep();
      set.publish();
      swept += some.records;
      if (!some.more) break;
    }
    const double ns = now_ns() - begin;
    total += ns, records += swept;
    if (swept > 0) best = std::min(best, ns / double(swept));
  }
  std::printf(
      "drained and stored, %zu ring%s, runs of %llu: %.0f ns per span (best round), %.0f (all %llu)\n", rings,
      rings == 1 ? "" : "s", static_cast<unsigned long long>(run), best, total / double(records),
      static_cast<unsigned long long>(records));
  set.close();
}

}  // namespace

int main() {
  Spans spans;
  transcode(spans);
  drain(spans, 1, 1 << 20);
  drain(spans, 4, 16);
  drain(spans, 4, 1);
}
