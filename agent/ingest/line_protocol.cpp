// Newline-delimited JSON, plain or acknowledged (interface.md section 2).
#include "agent/ingest/control_line.h"
#include "agent/ingest/line_reader.h"
#include "agent/ingest/protocol.h"

namespace weir {
namespace {

class LineProtocol final : public Protocol {
 public:
  LineProtocol(InputBuffer& input, FrameHandler& handler, Producer& producer, bool begun)
      : Protocol(input, handler, producer, line_replies()), reader_(input), first_line_(!begun) {}

  bool feed() override {
    Line line;
    while (reader_.next(line)) {
      if (take_control(line)) return false;
      if (discarding_) continue;
      if (line.too_long) {
        handler_.on_bad_frame(producer_, Reason::too_long, line.payload, line.length);
        continue;
      }
      const Intake intake = handler_.on_frame(producer_, line.payload);
      if (intake == Intake::again) reader_.put_back();
      if (intake != Intake::taken) return false;
    }
    return true;
  }

  bool feed_last() override {
    Line line;
    if (!reader_.last(line) || take_control(line) || discarding_) return true;
    if (line.too_long) {
      handler_.on_bad_frame(producer_, Reason::truncated, line.payload, line.length);
    } else if (handler_.on_last_frame(producer_, line.payload) == Intake::again) {
      reader_.put_back();
      return false;
    }
    return true;
  }

  void end_turn() override { reader_.end_turn(); }
  bool between() const override { return Protocol::between() && !reader_.skipping() && !first_line_; }

 private:
  bool take_control(const Line& line) {
    const bool first = std::exchange(first_line_, false);
    const bool control =
        producer_.client ? is_control_line(line.payload) : first && is_hello_line(line.payload);
    if (control) request_ = parse_control_line(line.payload);
    return control;
  }

  LineReader reader_;
  bool first_line_;
};

}  // namespace

std::unique_ptr<Protocol> make_line_protocol(InputBuffer& input, FrameHandler& handler, Producer& producer,
                                             bool begun) {
  return std::make_unique<LineProtocol>(input, handler, producer, begun);
}

}  // namespace weir
