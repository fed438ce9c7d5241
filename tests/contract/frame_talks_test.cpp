// The golden conversations of proto/vectors/frames, word for word, with the real pipeline behind a TCP
// port. tests/integration/test_frames.py has them with the real binary, and on a Unix socket.
#include <filesystem>

#include "agent/pipeline/pipeline.h"
#include "tests/contract/source_bench.h"
#include "tests/support/frame_vectors.h"
#include "tests/support/journal_fill.h"

namespace weir {
namespace {

using nlohmann::json;
using test::Bench;

std::string read_exactly(int fd, size_t bytes) {
  std::string out(bytes, '\0');
  size_t got = 0;
  while (got < bytes) {
    const ssize_t n = ::recv(fd, out.data() + got, bytes - got, 0);
    if (n <= 0) break;
    got += size_t(n);
  }
  out.resize(got);
  return out;
}

void walk(Bench& b, const json& talk) {
  std::map<std::string, int> connections;
  for (const json& step : talk["steps"]) {
    const std::string name = step["on"], note = step["note"];
    CAPTURE(note);
    if (!connections.contains(name)) connections[name] = b.connect();
    const int fd = connections[name];
    if (step.contains("send")) Bench::send(fd, test::from_hex(step["send"]));
    if (step.contains("receive")) {
      const std::string expected = test::from_hex(step["receive"]);
      CHECK(read_exactly(fd, expected.size()) == expected);
    }
    if (step.contains("half_close")) shutdown(fd, SHUT_WR);
    if (step.contains("closed")) CHECK(Bench::read_to_end(fd).empty());
  }
}

TEST_CASE("golden conversations") {
  size_t talks = 0;
  for (const auto& entry : std::filesystem::directory_iterator(WEIR_ROOT "/proto/vectors/frames")) {
    const std::string name = entry.path().filename();
    if (!name.starts_with("talk_")) continue;
    ++talks;
    CAPTURE(name);
    const json talk = test::read_json("proto/vectors/frames/" + name);
    test::TempDir dir;
    Quarantine quarantine(system_io(), dir / "quarantine", "rejected.jsonl");
    auto journal = make_memory_journal(4 << 20);
    auto cursor = journal->open_cursor("c", StreamSet::all(), StartAt::end, WhenFull::block);
    Pipeline pipeline(*journal, quarantine, system_clock());
    PipelineSetup setup;
    setup.policy = R"({"trace":{"context_diff":"full"}})";
    setup.client_memory_ns = INT64_MAX, setup.clients_max = 10;
    pipeline.apply(std::move(setup));
    Bench b(test::rows().back());
    REQUIRE(b.pipe.call([&] { return b.source->start(pipeline); }));
    walk(b, talk);
    b.wait([&] { return b.source->stats()->connections == 0; });

    std::vector<std::string> stored;
    BatchView batch;
    while (cursor->next(batch, {}, 0, {})) {
      for (const std::string& line : test::lines_of(batch)) stored.push_back(line);
      cursor->commit(batch);
    }
    CHECK(stored == talk["stored"].get<std::vector<std::string>>());
    const auto stats = b.source->stats();
    for (const char* counter : {"received", "accepted", "journalled", "duplicate"}) {
      const std::string_view is = counter;
      const uint64_t count = is == "received"     ? stats->received
                             : is == "accepted"   ? stats->accepted
                             : is == "journalled" ? stats->journalled
                                                  : stats->duplicate;
      CAPTURE(counter);
      CHECK(count == talk["source"][counter].get<uint64_t>());
    }
    for (size_t reason = 1; reason < kReasonCount; ++reason)
      CHECK(stats->rejected[reason] ==
            talk["source"]["rejected"].value(std::string(reason_name(Reason(reason))), uint64_t(0)));
    for (const auto& client : pipeline.clients().all()) {
      const json& expected = talk["clients"].at(client->identity->client_id);
      CHECK(client->last_seq == expected["last_seq"].get<uint64_t>());
      CHECK(client->gaps == expected["gaps"].get<uint64_t>());
      CHECK(client->dropped == expected["dropped"].get<uint64_t>());
    }
    CHECK(pipeline.clients().all().size() == talk["clients"].size());
  }
  CHECK(talks >= 7);
}

}  // namespace
}  // namespace weir
