#pragma once
#include <functional>
#include <memory>
#include <string>

#include "agent/core/frame_handler.h"
#include "agent/core/latency.h"
#include "agent/core/options.h"
#include "agent/ingest/connection.h"
#include "agent/ingest/idempotency_keys.h"
#include "agent/ingest/input_buffer.h"
#include "agent/ingest/kept_store.h"
#include "agent/ingest/uid_shares.h"
#include "agent/ingest/violations.h"
#include "agent/ingest/waiting_list.h"

namespace weir {

class RingSweeper;

/// What all sessions of the pipe thread share.
struct IngestContext {
  asio::io_context& io;
  IntakeGate& gate;
  ReadBuffer& buffer;
  UidShares shares = {};
  IdempotencyKeys keys = {};
  Violations violations = {};
  /// Of HTTP requests, held by all sessions; theirs too, because they may outlive the context.
  std::shared_ptr<size_t> body_bytes = std::make_shared<size_t>(0);
  /// Told when the journal has got on.
  WaitingList waiting = {};
  /// From the turn in which records of a client that waits were read until it was told.
  LatencyHistogram acknowledged = {};
  /// Descriptors that outlive this process.
  KeptStore kept{io};
  /// Made with the first ring.
  std::shared_ptr<RingSweeper> rings = {};
};

/// One accepted connection: one coroutine, which keeps it alive. Pipe thread only; start(), drain(), stop()
/// and push_policy() come from the listener.
class Session : public std::enable_shared_from_this<Session>, public Waiter {
 public:
  Session(IngestContext& context, FrameHandler& handler, std::unique_ptr<ByteStream> stream,
          Producer producer);
  virtual ~Session();
  /// `on_end` is called once, when the connection is closed.
  void start(std::function<void(Session&)> on_end);
  /// Read until nothing is there, then close.
  void drain();
  /// Close at once; what was read is kept.
  void stop();
  /// Tells the client a changed policy, where its protocol has a word for that.
  virtual void push_policy(const std::string&) {}
  /// The listener's options have changed.
  virtual void reconfigure(const Settings&) {}
  /// Time to have it kept for the next agent, if it can be; from time to time.
  virtual void keep() {}
  /// Instead of beginning: goes on where an agent before this one has stopped. False: it cannot; the card and
  /// the rings of `group` are still there. Before start().
  virtual bool resume(KeptGroup&) { return false; }
  /// Its bytes are those of its socket: nothing but this process's memory stands between them (as TLS does).
  void set_keepable() { keepable_ = true; }
  Producer& producer() { return producer_; }

 protected:
  /// The connection's whole life after the TLS handshake.
  virtual asio::awaitable<void> serve() = 0;
  /// After serve(), also when that has thrown.
  virtual void let_go() {}
  /// Until the journal has taken what was handed over, has given it back, or stop().
  asio::awaitable<void> end_turn();

  IngestContext& context_;
  FrameHandler& handler_;
  Connection connection_;
  Producer producer_;
  std::shared_ptr<UidShare> share_;  ///< of the user at the other end; null where users are not known
  bool draining_ = false;
  bool stopped_ = false;
  bool keepable_ = false;

 private:
  static asio::awaitable<void> session_loop(std::shared_ptr<Session> self);
  asio::awaitable<bool> handshake();
  std::function<void(Session&)> on_end_;
};

}  // namespace weir
