#pragma once
#include <memory>
#include <optional>
#include <utility>

#include "agent/core/frame_handler.h"
#include "agent/ingest/input_buffer.h"
#include "agent/ingest/replies.h"
#include "agent/ingest/request.h"

namespace weir {

/// What the bytes of one connection mean: lines or frames. Takes them from the buffer and hands the records
/// over; never waits. A turn: feed(), at the end of the connection feed_last(), then end_turn(), and when the
/// handler's turn has ended, take_request().
class Protocol {
 public:
  Protocol(InputBuffer& input, FrameHandler& handler, Producer& producer, const Replies& replies)
      : input_(input), handler_(handler), producer_(producer), replies_(replies) {}
  virtual ~Protocol() = default;

  /// True: nothing whole is left in the buffer. False: the turn is to end here, the rest comes in the next.
  virtual bool feed() = 0;
  /// What is left behind the last whole line or frame of a connection. False: as above.
  virtual bool feed_last() = 0;
  /// Before the buffer is put aside.
  virtual void end_turn() = 0;
  /// Does the next byte begin a line or a frame, whoever reads it?
  virtual bool between() const { return input_.holds_nothing(); }
  /// What the client asked for behind the records of this turn.
  std::optional<Request> take_request() { return std::exchange(request_, std::nullopt); }
  /// After a nack: records are thrown away, without numbers, until on_welcome().
  void discard() { discarding_ = true; }
  void on_welcome() { discarding_ = false; }
  bool discarding() const { return discarding_; }
  const Replies& replies() const { return replies_; }

 protected:
  InputBuffer& input_;
  FrameHandler& handler_;
  Producer& producer_;
  const Replies& replies_;
  std::optional<Request> request_;
  bool discarding_ = false;
};

/// `begun`: another agent has read its first line.
std::unique_ptr<Protocol> make_line_protocol(InputBuffer& input, FrameHandler& handler, Producer& producer,
                                             bool begun = false);
/// `rings`: RING frames are understood, too.
std::unique_ptr<Protocol> make_frame_protocol(InputBuffer& input, FrameHandler& handler, Producer& producer,
                                              bool rings);

}  // namespace weir
