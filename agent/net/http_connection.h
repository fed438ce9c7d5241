#pragma once
#include <poll.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/core/clock.h"
#include "agent/net/byte_stream.h"
#include "agent/net/connector.h"
#include "agent/net/http_response.h"

namespace weir {

/// How a request ended.
struct HttpOutcome {
  enum class Kind {
    answered,   ///< `answer`, whole (or cut at 64 KiB of body)
    failed,     ///< no answer, or not all of it: what the server made of the request is not known
    untrusted,  ///< certificates do not allow it
  };
  Kind kind = Kind::failed;
  HttpAnswer answer;
  std::string error;  ///< failed, untrusted
};

/// One HTTP/1.1 connection, kept between requests as long as the server keeps it; one request at a time. It
/// never waits: whoever owns it polls waits_for() and calls step(). One thread at a time.
///
/// An answer can only ever belong to the request in hand: a connection on which anything is outstanding, or
/// came unasked, is closed, never used again.
class HttpConnection {
 public:
  /// `endpoint` and `clock` outlive it.
  HttpConnection(const HttpEndpoint& endpoint, const Clock& clock)
      : endpoint_(endpoint), clock_(clock), connector_(endpoint, clock) {}

  /// Begins a request: these bytes, one part after the other, head included. They stay until the end.
  void start(const std::vector<std::string_view>* parts);
  /// Goes as far as it can. True: outcome() is there, and the next request may begin.
  bool step();
  /// What to poll for until the next step(), and when to call it at the latest (monotonic).
  pollfd waits_for() const;
  int64_t wake_at_ns() const;
  HttpOutcome& outcome() { return outcome_; }
  bool busy() const { return phase_ != Phase::idle; }
  /// Gives up the request in hand, and the connection.
  void close();

 private:
  enum class Phase { idle, connecting, exchanging };
  bool kept_connection_is_good();
  void begin_exchange();
  bool step_connecting();
  bool step_exchange();
  bool send();
  bool receive();
  bool end_of_reading(std::string why);
  bool finish_answered(bool reusable);
  bool fail(HttpOutcome::Kind kind, std::string error);
  bool sent_all() const { return part_ == parts_->size(); }
  std::string timeout_text() const;

  const HttpEndpoint& endpoint_;
  const Clock& clock_;
  Connector connector_;
  std::unique_ptr<ByteStream> stream_;
  HttpResponseReader reader_;
  HttpOutcome outcome_;
  Phase phase_ = Phase::idle;
  const std::vector<std::string_view>* parts_ = nullptr;
  size_t part_ = 0, offset_ = 0;  ///< what is sent: parts before this, bytes of it
  int64_t deadline_ns_ = 0;
  bool reused_ = false;      ///< the connection had been kept
  bool heard_ = false;       ///< something of the answer has come
  bool want_write_ = false;  ///< the stream waits for room
  bool answered_ = false;    ///< the whole answer came before the whole request was sent
  std::string send_error_;   ///< sending failed; there may be an answer that says why
  char buffer_[16 << 10];
};

}  // namespace weir
