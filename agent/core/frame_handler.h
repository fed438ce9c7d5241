#pragma once
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/core/ack_level.h"
#include "agent/core/reason.h"
#include "agent/core/result.h"
#include "agent/core/stream.h"

namespace weir {

/// taken: go on. pause: taken too, but end the turn now (after on_turn_end: read nothing until IntakeGate
/// opens again). again: only a part of the frame (an array) was taken; end the turn, then hand the same frame
/// over again. refused, of on_turn_end: the journal has failed; what waits is of producers that do not
/// listen, what the others handed over was given back (Producer::given_back).
enum class Intake { taken, pause, again, refused };

/// Counters of one source (delivery.md section 2). Pipe thread only; others read a copy made on the pipe
/// thread. received = accepted + rejected; accepted = journalled + dropped_by_rule + duplicate + disabled.
struct SourceStats {
  std::string name, type, address;
  uint64_t connections = 0;
  uint64_t received = 0, accepted = 0, journalled = 0, duplicate = 0, disabled = 0, bytes = 0;
  std::array<uint64_t, kReasonCount> rejected{};
  /// Of its shared-memory rings: attached now, and ever; records the clients dropped because one was full;
  /// times a ring was not what a ring is; attempts to attach that were refused.
  uint64_t rings = 0, rings_ever = 0, ring_dropped = 0, ring_violations = 0, ring_refusals = 0;
  std::map<std::string, uint64_t, std::less<>> dropped_by_rule;
};

/// Who is at the other end. uid and pid come from the kernel (SO_PEERCRED), never from the payload
/// (security.md).
struct Peer {
  std::optional<uid_t> uid;
  pid_t pid = 0;
  std::string address;  ///< for messages: `unix:uid=1000,pid=42` or `tcp:127.0.0.1:5555`
};

/// Who a numbered client is. Never changes, so any thread may look.
struct ClientIdentity {
  std::string client_id;
  std::optional<uid_t> uid;
};

/// Of the clients a status lists the ones seen last, so that one that is not there may only be left out.
inline constexpr size_t kStatusClientsMax = 1000;

/// What is remembered of a numbered client across its connections (interface.md section 2). Pipe thread only.
struct ClientState {
  std::shared_ptr<const ClientIdentity> identity;
  pid_t pid = 0;
  uint64_t last_seq = 0;             ///< highest number disposed of, nothing missing below
  uint64_t mark = 0;                 ///< for has_reached(): everything up to last_seq lies before it
  uint64_t gaps = 0;                 ///< numbers that never came
  uint64_t dropped = 0;              ///< records it says it dropped itself
  int64_t last_seen_ns = 0;          ///< monotonic
  const void* owner = nullptr;       ///< the Producer that serves it now
  std::function<void()> taken_over;  ///< says bye to that connection
};

/// A refusal to be told to a numbered client.
struct RejectNote {
  uint64_t seq;
  Fault fault;
};

/// The sending side of one connection. Owned by the session, alive until its last on_turn_end returned.
struct Producer {
  std::shared_ptr<SourceStats> stats;
  Peer peer;
  std::optional<Stream> default_stream;
  AckLevel level = AckLevel::received;  ///< what the client waits for
  std::string service = {};             ///< what it calls itself in its hello
  bool stamp = false;                   ///< add `_peer`, `_received`, `_id` (records.md section 2)
  std::shared_ptr<ClientState> client;  ///< set by on_hello; empty on a plain connection
  size_t array_done = 0;                ///< elements of the array in hand that were taken (Intake::again)
  uint64_t next_seq = 0;                ///< the number of the next record; counted up by the handler
  uint64_t records = 0, rejected = 0;   ///< handed over on this connection; counted by the handler
  std::vector<RejectNote> rejects;  ///< filled by the handler for numbered clients, emptied by the session

  /// It reads what it is told, and sends again what was given back.
  bool listens() const { return client && level != AckLevel::none; }
  /// After on_turn_end(), and when the gate has opened: what lies above client->last_seq was not taken, as if
  /// it had never come, because the journal has failed.
  bool given_back() const { return client && client->last_seq + 1 < next_seq; }
};

/// The first line of an acknowledged connection, checked for form.
struct Hello {
  std::string client_id;  ///< empty: the handler makes one
  std::optional<uint64_t> next_seq;
  std::function<void()> taken_over;     ///< called when another connection says hello with this client_id
  AckLevel level = AckLevel::received;  ///< asked for
  std::string service = {};             ///< empty: it does not say
};

struct Welcome {
  uint64_t last_seq = 0;                ///< highest already disposed of when the hello came
  AckLevel level = AckLevel::received;  ///< granted: what was asked for, or level_max()
};

/// The pipeline as sources see it; also implemented by tests and the simulator. Everything on the pipe
/// thread.
class FrameHandler {
 public:
  virtual ~FrameHandler() = default;
  /// One line without its line ending (an array of records counts as several). The bytes are untrusted and at
  /// least 64 readable bytes follow them. Never keeps the view. Counts, rejects and numbers by itself.
  virtual Intake on_frame(Producer& producer, std::string_view payload_untrusted) = 0;
  /// As on_frame(), for a line that the agent has written itself: it is a record of this stream whatever is
  /// in it (one object, with a `ts` where its stream has one), so nothing needs to look at it who does not
  /// want to.
  virtual Intake on_line(Producer& producer, Stream stream, std::string_view line) {
    return (void)stream, on_frame(producer, line);
  }
  /// The last line of a connection, without line feed: taken if it is whole, else counted as truncated (not
  /// numbered).
  virtual Intake on_last_frame(Producer& producer, std::string_view payload_untrusted) = 0;
  /// A line that never became a frame: too_long (numbered) or truncated (not numbered); or a ring's record
  /// that never became a line: bad_json (numbered). `head_untrusted` is at most its first 64 KiB, `length`
  /// all of it.
  virtual void on_bad_frame(Producer& producer, Reason reason, std::string_view head_untrusted,
                            uint64_t length) = 0;
  /// Once per read: appends the pending transaction. After `taken`, producer.client->last_seq covers all
  /// frames that were not given back.
  virtual Intake on_turn_end(Producer& producer) = 0;
  /// What was handed over so far, for is_secured(): asked after on_turn_end() has answered taken.
  virtual uint64_t journal_mark() const = 0;
  /// Has everything before `mark` reached the level?
  virtual bool has_reached(uint64_t mark, AckLevel level) const = 0;
  /// The highest level this agent can give.
  virtual AckLevel level_max() const = 0;
  /// Is what lies before `mark` as safe as this agent makes it? (Journal::secured())
  virtual bool is_secured(uint64_t mark) const = 0;
  /// Sets producer.client, next_seq and level, tells the former owner. Between turns. Error text is the
  /// reason word (`not_yours`).
  virtual Result<Welcome> on_hello(Producer& producer, Hello hello) = 0;
  /// The next record has this number, whatever the last one had: what is left out is a gap, what comes again
  /// a duplicate. Between turns.
  virtual void on_jump(Producer& producer, uint64_t next_seq) = 0;
  /// The connection ended: forgets `taken_over` of its client, if it is still this connection's.
  virtual void on_close(Producer& producer) = 0;
  /// Policy of welcome and policy lines, as a JSON object (interface.md section 2).
  virtual std::string policy() const = 0;
};

}  // namespace weir
