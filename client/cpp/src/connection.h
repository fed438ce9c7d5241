#pragma once
// The connection to the agent, on a thread of its own: finds the agent, hands it the rings or sends their
// records as frames, and goes on when it comes back (proto/WIRE.md, proto/RING.md). An agent of another
// version of frames is sent lines.
//
// Life: down -> (dial) -> greeted (magic and HELLO are sent) -> open (WELCOME came) -> down. In `paused`,
// after a NACK, HELLO is said anew at `next_try`. One turn() sends what can be sent, then waits for the
// socket, a new ring, or time.
#include <memory>
#include <string>
#include <vector>

#include "client/cpp/src/address.h"
#include "client/cpp/src/outbox.h"
#include "client/cpp/src/process.h"
#include "client/cpp/src/to_json.h"

namespace weir::detail {

class Connection {
 public:
  Connection();
  ~Connection();
  void turn();

 private:
  enum class State { down, greeted, paused, open };

  void connect();
  void say_hello();
  void set_why_away(std::string_view why);
  void go_down(uint64_t pause_ns, std::string_view why = "the connection has ended");
  void take_settings();

  void wait(uint64_t now);
  int wait_ms(uint64_t now) const;
  void nap();
  void wake_up();

  // What the agent says (answers.cpp).
  void read_socket();
  bool take_magic();
  bool take_frame();
  bool take_line();
  void take(uint8_t type, std::string_view payload);
  void take_word(std::string_view line);
  void take_welcome(std::string_view json);
  void take_nack();
  void take_error(std::string_view reason, std::string_view text);
  void take_ring_answer(std::string_view payload);

  bool rings_by_descriptor() const { return state_ == State::open && ring_feature_; }
  void attach_new_rings();
  bool send_descriptor(ring::RingWhat what, uint64_t ring_id, int fd);
  void send();
  void tell_drops();

  /// Moves records of rings that the agent does not read itself to the outbox. True: there were some.
  bool sweep();
  bool unread_records() const;

  void begin_flush();
  void end_flush(bool failed);
  bool flushed() const;

  Process& process_ = process;
  Settings settings_{};
  uint32_t settings_version_ = 0;
  std::string client_id_;
  Address address_;
  bool keeps_ = true;  ///< ack is not none

  State state_ = State::down;
  int fd_ = -1;
  uint64_t next_try_ns_ = 0, backoff_ns_ = 0;
  bool ring_feature_ = false, magic_read_ = false, base_attached_ = false;
  bool lines_ = false, lines_next_ = false;  ///< this connection, the next one, speaks lines
  uint64_t record_bytes_max_ = 256 << 10;
  std::string in_, out_;
  size_t out_sent_ = 0;

  Outbox outbox_;
  ToJson to_json_;
  ClockMap clock_;
  uint64_t counters_at_ns_ = 0, active_ns_ = 0;
  uint64_t lost_reported_ = 0;
  bool napping_ = false;

  uint64_t flush_ = 0;  ///< the one that is going on; 0: none
  uint64_t flush_seq_ = 0;
  uint64_t turn_time_ns_ = 0;

  static constexpr uint64_t kMs = 1'000'000, kSecond = 1000 * kMs, kAfterRefusal = 10 * kSecond;
};

}  // namespace weir::detail
