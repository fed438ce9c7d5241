#pragma once
#include <string>

#include "agent/core/options.h"
#include "agent/ingest/read_pace.h"
#include "agent/ingest/session.h"

namespace weir {

/// One connection of the line protocol, plain or acknowledged (interface.md section 2).
class LineSession final : public Session {
 public:
  LineSession(IngestContext& context, FrameHandler& handler, std::unique_ptr<ByteStream> stream,
              Producer producer, const Settings& settings);
  void push_policy(const std::string& policy) override;

 private:
  asio::awaitable<void> serve() override;
  asio::awaitable<void> turn();
  asio::awaitable<void> wait_readable();
  asio::awaitable<void> send_replies();
  asio::awaitable<void> linger();
  int64_t wait_ns();
  bool fill();
  bool hung_up();
  void feed();
  void feed_last();
  void add_replies();
  void on_control(const std::string& text);
  void say_error(std::string_view reason, std::string_view detail);
  void on_taken_over();
  bool ending() const { return stopped_ || closing_; }

  InputBuffer input_;
  LineReader reader_;
  ReadPace pace_;
  int64_t pause_ns_ = 0;                          ///< after the turn in hand
  IoStep::Kind wants_ = IoStep::Kind::want_read;  ///< what the last read waits for
  std::string out_;        ///< replies not sent yet; nothing is read while there are any
  std::string control_;    ///< a control line that feed() came to: handled when the lines before it are in
  uint64_t told_seq_ = 0;  ///< highest number acknowledged to the client
  bool first_line_ = true;
  bool acknowledged_ = false;   ///< the first line was a hello
  bool wants_replies_ = false;  ///< level above `none`
  bool backlog_ = false;        ///< feed() stopped before the lines it had were through
  bool end_of_input_ = false;
  bool closing_ = false;  ///< send what is to be said, then close
};

}  // namespace weir
