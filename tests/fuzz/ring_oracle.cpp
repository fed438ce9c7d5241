#include <algorithm>
#include <map>

#include "agent/decode/decoder.h"
#include "agent/ring/ring_set.h"
#include "tests/fuzz/oracles.h"
#include "tests/support/ring_memory.h"

namespace weir::test {
namespace {

constexpr size_t kStepsMax = 4096;

/// A client whose next step comes whenever the agent hands something over.
class Client final : public FrameHandler {
 public:
  explicit Client(std::string_view steps) : left_(steps) {
    owner_.stats = std::make_shared<SourceStats>();
    owner_.client = std::make_shared<ClientState>();
    owner_.client->identity = std::make_shared<ClientIdentity>(ClientIdentity{"c", {}});
    arena_.string("a string");
    arena_.site(ring::RecordKind::log, "log {a} {b}", "logger", "f:1",
                {{"a", ring::ValueType::text}, {"b", ring::ValueType::i64}});
    arena_.site(ring::RecordKind::span, "span", "", "f:2",
                {{"s", ring::ValueType::string}, {"j", ring::ValueType::json}});
    arena_.site(ring::RecordKind::gauge, "gauge", "s", "", {{"t", ring::ValueType::time}});
  }

  std::string run() {
    tools_.transcoder.set_line_bytes_max(256 << 10);
    ring::RingSet set(*this, owner_, tools_);
    set.attach(ring::kArena, 0, arena_.fd, UINT64_MAX);
    for (ClientRing* r : {&one_, &two_}) set.attach(ring::kRing, r->header().ring_id, r->fd, UINT64_MAX);
    for (size_t n = 0; n < kStepsMax && !left_.empty(); ++n) {
      step();
      if (n % 3 == 0) set.sweep(), set.publish();
    }
    set.finish();
    for (int n = 0; n < 100 && !set.finished(); ++n) set.sweep(), set.publish();
    if (wrong_.empty() && !set.finished()) wrong_ = "its end is never reached";
    set.close();
    return wrong_;
  }

 private:
  uint64_t take(size_t bytes) {
    uint64_t value = 0;
    bytes = std::min(bytes, left_.size());
    std::memcpy(&value, left_.data(), bytes);
    left_.remove_prefix(bytes);
    return value;
  }
  std::string take_text() {
    size_t bytes = take(1);
    bytes = std::min(bytes, left_.size());
    const std::string text(left_.substr(0, bytes));
    left_.remove_prefix(bytes);
    return text;
  }
  void step() {
    const auto what = uint8_t(take(1));
    ClientRing& r = what & 0x80 ? two_ : one_;
    ring::RingHeader& header = r.header();
    switch (what % 10) {
      case 0:
      case 1: {
        const auto site = uint32_t(take(1));
        const uint64_t clock = take(2);
        r.write(site & 0x80 ? ring::kDynamic | (site & 7) : site, clock, take_text());
        break;
      }
      case 2: {
        const uint64_t at = take(2) * 8 % r.capacity(), word = take(8);
        std::memcpy(r.data() + at, &word, sizeof word);
        break;
      }
      case 3:
        header.head += 8 * take(1);
        break;
      case 4:
        header.head = take(8);
        break;
      case 5:
        header.head -= take(2);
        break;
      case 6: {  // an entry, whole or not
        const auto kind = uint8_t(take(1)), record = uint8_t(take(1)), args = uint8_t(take(1));
        const auto id = uint32_t(take(1));
        const std::string body = take_text();
        if (arena_.header().used < arena_.capacity() - 512) arena_.add(kind, id, record, record, args, body);
        break;
      }
      case 7: {
        const uint64_t at = take(2) % arena_.capacity() / 8 * 8, word = take(8);
        std::memcpy(arena_.data() + at, &word, sizeof word);
        break;
      }
      case 8:
        arena_.header().used = what & 0x40 ? take(8) : 8 * take(2) % arena_.capacity();
        break;
      default:
        header.dropped += take(1);
        header.tail = take(2), header.places_done = take(2), header.capacity = take(8);
    }
  }

  Intake took(Producer& producer) {
    ++producer.next_seq;
    if (!left_.empty()) step();
    return Intake::taken;
  }
  Intake on_frame(Producer& producer, std::string_view line) override {
    if (line.empty()) wrong_ = "an empty line";
    decoder_.decode(line, {}, fields_);
    return took(producer);
  }
  Intake on_line(Producer& producer, Stream stream, std::string_view line) override {
    if (line.find('\n') != line.npos) wrong_ = "a line feed within a line";
    if (const Fault fault = decoder_.decode(line, {}, fields_))
      wrong_ = std::string(line.substr(0, 2000)) + ": " + std::string(fault.detail);
    else if (fields_.stream != stream)
      wrong_ = "of another stream than it says";
    else if (stream != Stream::trace && !fields_.has(Field::ts))
      wrong_ = "no ts";
    return took(producer);
  }
  Intake on_last_frame(Producer&, std::string_view) override { return Intake::taken; }
  void on_bad_frame(Producer& producer, Reason, std::string_view head, uint64_t length) override {
    if (head.size() > length) wrong_ = "more of a record than there is";
    took(producer);
  }
  Intake on_turn_end(Producer& producer) override {
    producer.client->last_seq = producer.next_seq - 1;
    ++mark_;
    if (!left_.empty() && left_.front() % 3 == 0) step();
    return Intake::taken;
  }
  uint64_t journal_mark() const override { return mark_; }
  bool has_reached(uint64_t, AckLevel) const override { return true; }
  AckLevel level_max() const override { return AckLevel::received; }
  bool is_secured(uint64_t) const override { return true; }
  Result<Welcome> on_hello(Producer& producer, Hello hello) override {
    producer.client = std::make_shared<ClientState>();
    producer.next_seq = *hello.next_seq;
    return Welcome{};
  }
  void on_jump(Producer&, uint64_t) override {}
  void on_close(Producer&) override {}
  std::string policy() const override { return "{}"; }

  std::string_view left_;
  std::string wrong_;
  Producer owner_;
  ring::RingTools tools_;
  ClientArena arena_;
  ClientRing one_{1}, two_{2};
  Decoder decoder_;
  FieldTable fields_;
  uint64_t mark_ = 0;
};

}  // namespace

std::string check_ring(std::string_view steps) { return Client(steps).run(); }

}  // namespace weir::test
