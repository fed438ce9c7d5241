// Length-prefixed frames (proto/WIRE.md), behind the magic.
#include "agent/core/quarantine.h"
#include "agent/ingest/control_line.h"
#include "agent/ingest/frame_reader.h"
#include "agent/ingest/line_reader.h"
#include "agent/ingest/protocol.h"

namespace weir {
namespace {

constexpr size_t kControlBytesMax = 4096;

class FrameProtocol final : public Protocol {
 public:
  FrameProtocol(InputBuffer& input, FrameHandler& handler, Producer& producer, bool rings)
      : Protocol(input, handler, producer, frame_replies()), reader_(input), rings_(rings) {}

  bool feed() override {
    Frame frame;
    for (;;) {
      const auto got = reader_.next(frame);
      if (got == FrameReader::Got::nothing) return true;
      if (got == FrameReader::Got::too_long)
        return error("too_long: a frame's payload has at most limits.record_bytes_max and 64 KiB");
      if (!take(frame)) return false;
    }
  }

  /// The records that came whole of a frame that did not are kept: its sender is gone.
  bool feed_last() override {
    if (discarding_ || input_.size() == 0) return true;
    Frame frame;
    const bool begun = reader_.unfinished(frame);
    if (begun && frame.type == frames::kRecJson && producer_.client &&
        frame.payload.size() >= sizeof(uint64_t)) {
      if (!take_records(frame, false) && (request_ || offset_ > 0)) return false;
    } else {
      const std::string_view rest(input_.data(), input_.size());
      handler_.on_bad_frame(producer_, Reason::truncated, rest.substr(0, kQuarantineRawBytesMax),
                            rest.size());
    }
    input_.take(input_.size());
    return true;
  }

  void end_turn() override {
    if (request_ || input_.size() <= InputBuffer::kAsideFree || !input_.over_budget()) return;
    error("too_much_unfinished: no memory is left for frames that have begun; send it again later");
  }

 private:
  /// False: the turn ends here.
  bool take(const Frame& frame) {
    switch (frame.type) {
      case frames::kRecJson:
        if (!producer_.client) return error(kNoHello);
        if (discarding_) return offset_ = 0, true;
        if (frame.payload.size() < sizeof(uint64_t)) return error("bad_frame: REC_JSON begins with a u64");
        if (take_records(frame, true)) return true;
        if (request_ ? request_->kind == Request::Kind::jump : offset_ > 0) reader_.put_back();
        return false;
      case frames::kHello:
      case frames::kSync:
      case frames::kBye:
      case frames::kDrops:
        take_control(frame);
        return false;
      default:
        if (frame.type == frames::kRing && rings_) return take_control(frame), false;
        if ((frame.flags & frames::kCritical) == 0) return true;
        return error("unknown_frame: type " + std::to_string(frame.type) +
                     " is critical and not known to this agent");
    }
  }

  void take_control(const Frame& frame) {
    const std::string_view payload = frame.payload;
    if (payload.size() > kControlBytesMax) {
      error("bad_frame: HELLO, SYNC, BYE and DROPS have at most 4096 bytes");
    } else if (frame.type == frames::kHello) {
      request_ = parse_hello_frame(payload);
    } else if (frame.type == frames::kBye) {
      request_ = Request{.kind = Request::Kind::bye};
    } else if (!producer_.client) {
      error(kNoHello);
    } else if (frame.type == frames::kRing) {
      request_ = Request{.kind = Request::Kind::ring, .text = std::string(payload)};
    } else if (frame.type == frames::kSync) {
      request_ = Request{.kind = Request::Kind::sync, .text = std::string(payload)};
    } else if (payload.size() < sizeof(uint64_t)) {
      error("bad_frame: DROPS begins with a u64");
    } else {
      request_ = Request{.kind = Request::Kind::drops,
                         .text = std::string(payload.substr(sizeof(uint64_t))),
                         .number = frames::load<uint64_t>(payload.data())};
    }
  }

  /// The lines from offset_ on. False: the turn ends here; offset_ tells how far it came, 0 without a
  /// request_: to the end.
  bool take_records(const Frame& frame, bool whole) {
    const std::string_view payload = frame.payload;
    if (offset_ == 0 && !begin_records(frames::load<uint64_t>(payload.data()))) return false;
    Intake intake = Intake::taken;
    while (offset_ < payload.size()) {
      if (intake == Intake::pause) return false;
      const size_t lf = payload.find('\n', offset_);
      const bool last = lf == payload.npos;
      const std::string_view line = without_cr(payload.substr(offset_, last ? lf : lf - offset_));
      intake = is_blank(line) ? Intake::taken : take_line(line, last && !whole);
      if (intake == Intake::again) return false;
      offset_ = last ? payload.size() : lf + 1;
    }
    offset_ = 0;
    return intake == Intake::taken;
  }

  Intake take_line(std::string_view line, bool cut) {
    if (line.size() > input_.record_bytes_max()) {
      handler_.on_bad_frame(producer_, cut ? Reason::truncated : Reason::too_long,
                            line.substr(0, kQuarantineRawBytesMax), line.size());
      return Intake::taken;
    }
    return cut ? handler_.on_last_frame(producer_, line) : handler_.on_frame(producer_, line);
  }

  /// A number that is not the next one is the session's to obey, when the records before it are in.
  bool begin_records(uint64_t first_seq) {
    if (first_seq == 0 || first_seq > kSeqMax) return error("bad_frame: numbers of records begin at 1");
    if (first_seq != producer_.next_seq) {
      request_ = Request{.kind = Request::Kind::jump, .number = first_seq};
      return false;
    }
    offset_ = sizeof first_seq;
    return true;
  }

  bool error(std::string text) {
    request_ = Request{.kind = Request::Kind::error, .text = std::move(text)};
    return false;
  }

  static constexpr const char* kNoHello = "bad_hello: the first frame must be HELLO";
  FrameReader reader_;
  const bool rings_;
  size_t offset_ = 0;  ///< of the next line in the payload of a REC_JSON that is not through yet; 0: none is
};

}  // namespace

std::unique_ptr<Protocol> make_frame_protocol(InputBuffer& input, FrameHandler& handler, Producer& producer,
                                              bool rings) {
  return std::make_unique<FrameProtocol>(input, handler, producer, rings);
}

}  // namespace weir
