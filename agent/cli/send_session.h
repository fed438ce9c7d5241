#pragma once
#include <cstdint>
#include <deque>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "agent/cli/line_input.h"
#include "agent/decode/decoder.h"

namespace weir::cli {

/// A record that the agent did not take.
struct Refusal {
  uint64_t ordinal = 0;  ///< in the order of input
  std::string file;
  uint64_t line = 0;
  std::string reason;
  uint64_t offset = 0;
  std::string detail;
};

/// The sending side of the line protocol (interface.md section 2), without its socket: lines go in, bytes
/// come out, the agent's bytes go in. Plain when `level` is none: then nothing is known of what became of the
/// lines.
///
/// Numbers count as the agent's do: one per line, one per element of an array, none for a blank line.
class SendSession {
 public:
  SendSession(std::string level, const std::string& client_id, const std::string& service);

  bool plain() const { return level_ == "none"; }
  /// The agent has said welcome, and there is room in the window.
  bool room() const;
  /// The agent has said welcome once.
  bool welcomed() const { return welcomed_; }
  /// And on this connection.
  bool ready() const { return welcomed_ && !nacked_; }
  /// What the agent takes; until it has said so, its default.
  uint64_t record_bytes_max() const { return record_bytes_max_; }
  void take(const InputLine& line);

  std::string_view outgoing() const { return std::string_view(out_).substr(out_begin_); }
  void wrote(size_t bytes);

  void feed(std::string_view agent_bytes);
  /// The connection is lost: nothing is taken until another one stands. Not for a plain session, where nobody
  /// knows what arrived.
  void disconnected();
  /// Another one stands: says hello again; with the welcome goes out what was not acknowledged.
  void reconnected();
  /// After a nack: says hello again once `now_ns` (monotonic) has gone on a little.
  void tick(int64_t now_ns);

  bool settled() const { return pending_.empty(); }
  const std::string& failure() const {
    return failure_;
  }  ///< what the agent said before closing; empty: nothing
  /// The lowest level that a welcome has granted.
  const std::string& granted() const { return granted_; }
  /// What is acknowledged survives the agent, so after its restart the rest may be sent again.
  bool outlives_agent() const { return granted_ == "buffered" || granted_ == "durable"; }
  uint64_t sent() const { return numbered_ + refused_here_; }  ///< records read
  uint64_t refused() const { return refused_ + refused_here_; }
  uint64_t acknowledged() const { return acknowledged_; }
  /// Refusals come before the acknowledgement that covers them: until that is there, fewer are taken than it
  /// seems.
  uint64_t taken() const { return acknowledged_ > refused_ ? acknowledged_ - refused_ : 0; }
  /// The first kRefusalsMax that were told, in the order of input.
  std::vector<Refusal> refusals() const;

  static constexpr uint64_t kWindowBytes = 4 << 20;
  static constexpr size_t kWindowLines = 1 << 16;
  static constexpr size_t kRefusalsMax = 10'000;

 private:
  /// A line that is not acknowledged yet; kept whole, for a nack or another connection.
  struct Pending {
    uint64_t first_seq;
    uint64_t numbers;
    uint64_t ordinal;
    std::string file;
    uint64_t line;
    std::string text;
  };
  uint64_t numbers_of(std::string_view text);
  void hello(uint64_t next_seq);
  void hello_again();
  void take_agent_line(std::string_view line);
  void grant(std::string level);
  void on_welcome(const nlohmann::json& message);
  void on_ack(uint64_t seq);
  void on_reject(const nlohmann::json& message);
  void on_nack();
  const Pending* pending_of(uint64_t seq) const;
  void refuse_here(const InputLine& line, std::string reason, std::string detail);
  void note(Refusal refusal);

  const std::string level_;
  std::string client_id_, service_, granted_, failure_;
  bool welcomed_ = false, nacked_ = false;
  int64_t nacked_ns_ = 0;
  uint64_t record_bytes_max_ = 256 << 10;
  uint64_t first_seq_ = 1, next_seq_ = 1, ordinal_ = 0;
  uint64_t refused_seq_ = 0;  ///< the highest that was refused: what is sent again may be refused again
  uint64_t numbered_ = 0, acknowledged_ = 0, refused_ = 0, refused_here_ = 0;
  std::deque<Pending> pending_;
  uint64_t pending_bytes_ = 0;
  std::string out_, partial_, padded_;
  size_t out_begin_ = 0;
  ArraySplitter splitter_;
  std::vector<Refusal> refusals_;
};

}  // namespace weir::cli
