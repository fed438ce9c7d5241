// The golden frames of proto/vectors/frames/frames.json: what clients send is read as they say, what the
// agent says is written as they say. Whole conversations: tests/contract/frame_talks_test.cpp.
#include "tests/support/frame_vectors.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "agent/ingest/frame_reader.h"
#include "agent/ingest/replies.h"
#include "tests/support/frame_bytes.h"

namespace weir {
namespace {

using nlohmann::json;
using test::from_hex;

std::string payload_of(const json& vector) {
  return vector.contains("payload") ? vector["payload"].get<std::string>()
                                    : from_hex(vector["payload_hex"].get<std::string>());
}

/// The agent's own words for what the vector says.
std::string said(const json& v) {
  const Replies& replies = frame_replies();
  const uint64_t seq = v.value("seq", uint64_t(0));
  const std::string reason = v.value("reason", ""), detail = v.value("detail", "");
  std::string out;
  switch (v["type"].get<int>()) {
    case frames::kWelcome:
      CHECK(v["level"] == "durable");
      replies.welcome(out,
                      {v["client_id"].get_ref<const std::string&>(), AckLevel::durable,
                       v["last_seq"].get<uint64_t>(), 256 << 10, R"({"trace":{"context_diff":"full"}})"});
      break;
    case frames::kAck:
      replies.ack(out, seq);
      break;
    case frames::kReject:
      replies.reject(out, {seq, {Reason(v["code"].get<int>()), v["offset"].get<uint32_t>(), detail}});
      break;
    case frames::kNack:
      replies.nack(out, seq, frames::NackCode(v["code"].get<int>()));
      break;
    case frames::kSync:
      replies.synced(out, from_hex(v["id_hex"].get<std::string>()), 0);
      break;
    case frames::kBye:
      replies.bye(out, reason);
      break;
    case frames::kPolicy:
      replies.policy(out, payload_of(v));
      break;
    case frames::kError:
      replies.error(out, reason, detail);
      break;
  }
  return out;
}

TEST_CASE("every golden frame is read as it says, and those of the agent are written so") {
  const json vectors = test::read_json("proto/vectors/frames/frames.json")["frames"];
  CHECK(vectors.size() >= 15);
  size_t from_agent = 0;
  for (const json& v : vectors) {
    CAPTURE(v["name"].get<std::string>());
    const std::string bytes = from_hex(v["hex"].get<std::string>());
    ReadBuffer shared;
    InputBuffer buffer(shared, nullptr);
    std::copy(bytes.begin(), bytes.end(), buffer.space().data());
    buffer.filled(bytes.size());
    Frame frame;
    REQUIRE(FrameReader(buffer).next(frame) == FrameReader::Got::frame);
    CHECK(int(frame.type) == v["type"].get<int>());
    CHECK(int(frame.flags) == v["flags"].get<int>());
    CHECK(frame.payload == payload_of(v));
    CHECK(buffer.size() == 0);
    CHECK(test::frame(frames::Type(frame.type), payload_of(v), frame.flags) == bytes);
    if (v["from"] != "agent") continue;
    ++from_agent;
    CHECK(said(v) == bytes);
  }
  CHECK(from_agent >= 8);
}

}  // namespace
}  // namespace weir
