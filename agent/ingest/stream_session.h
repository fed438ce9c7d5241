#pragma once
#include <memory>
#include <optional>
#include <string>

#include "agent/core/options.h"
#include "agent/ingest/ack_queue.h"
#include "agent/ingest/protocol.h"
#include "agent/ingest/read_pace.h"
#include "agent/ingest/ring_link.h"
#include "agent/ingest/session.h"

namespace weir {

/// One connection of a `unix` or `tcp` listener: its first bytes tell whether it speaks lines or frames; what
/// is taken, acknowledged and answered is the same for both (interface.md section 2).
class StreamSession final : public Session {
 public:
  StreamSession(IngestContext& context, FrameHandler& handler, std::unique_ptr<ByteStream> stream,
                Producer producer, const Settings& settings);
  void push_policy(const std::string& policy) override;
  void on_progress() override;
  void keep() override;
  bool resume(KeptGroup& group) override;

 private:
  asio::awaitable<void> serve() override;
  void let_go() override;
  asio::awaitable<void> finish_rings();
  void on_violation(std::string_view what);
  bool is_refused();
  void keep_now();
  void keep_as(const std::string& key);
  void keep_no_more();
  void forget_card();
  void set_busy();
  void note_idle();
  bool is_written() const;
  bool may_hand_over() const;
  asio::awaitable<void> hand_over();
  bool resume_client(const KeptClient& client, uint64_t next_seq);
  asio::awaitable<void> turn();
  asio::awaitable<void> obey(Request request);
  asio::awaitable<void> welcome(Hello hello);
  asio::awaitable<void> wait_readable();
  asio::awaitable<void> wait_acknowledged();
  asio::awaitable<void> wait_written();
  asio::awaitable<void> wait_progress(Connection::TimePoint deadline);
  asio::awaitable<void> send_replies();
  asio::awaitable<void> linger();
  bool choose_protocol();
  void make_rings();
  int64_t wait_ns();
  bool fill();
  bool hung_up();
  void add_replies();
  void give_up_from(uint64_t seq);
  void acknowledge();
  void send_now();
  void on_dropped(const Request& request);
  void say_error(std::string_view text);
  void on_taken_over();
  bool ending() const { return stopped_ || closing_; }
  /// Someone counts on acknowledgements and refusals.
  bool tells() const { return welcomed_ && producer_.listens(); }

  InputBuffer input_;
  std::unique_ptr<Protocol> protocol_;  ///< null until enough has come to tell
  std::unique_ptr<RingLink> rings_;     ///< of frames on a Unix socket
  std::optional<KeptCard> card_;        ///< what the next agent is told of it
  std::string kept_key_;                ///< of it in the KeptStore
  uint64_t mark_ = 0;                   ///< of the journal: all that was read lies before it
  ReadPace pace_;
  int64_t pause_ns_ = 0;                          ///< after the turn in hand
  IoStep::Kind wants_ = IoStep::Kind::want_read;  ///< what the last read waits for
  std::string out_;         ///< replies not sent yet; nothing is read while there are any
  std::string last_words_;  ///< to be said when all else is
  AckQueue acks_;
  uint64_t owed_seq_ = 0;      ///< highest number that was acknowledged or is in acks_
  uint64_t told_seq_ = 0;      ///< highest number acknowledged
  uint64_t owed_records_ = 0;  ///< of this connection, up to owed_seq_
  int64_t turn_began_ns_ = 0;  ///< monotonic; of clients that are told
  bool welcomed_ = false;
  bool sending_ = false;   ///< serve() is at it with out_
  bool sleeping_ = false;  ///< serve() waits for on_progress()
  bool backlog_ = false;   ///< a turn ended before the lines it had were through
  bool end_of_input_ = false;
  bool closing_ = false;       ///< send what is to be said, then close
  bool is_kept_ = false;       ///< the connection itself, not only what its rings need
  bool resting_ = false;       ///< serve() waits for more to read, and has done with all that was
  bool was_young_ = true;      ///< no keep() yet
  bool handing_over_ = false;  ///< to the next agent: it stays open
};

}  // namespace weir
