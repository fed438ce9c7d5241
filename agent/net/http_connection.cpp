#include "agent/net/http_connection.h"

#include <algorithm>

#include "agent/core/check.h"

namespace weir {

void HttpConnection::start(const std::vector<std::string_view>* parts) {
  WEIR_CHECK(phase_ == Phase::idle);
  parts_ = parts;
  outcome_ = {};
  reused_ = stream_ && kept_connection_is_good();
  if (reused_) return begin_exchange();
  stream_.reset();
  connector_.start();
  phase_ = Phase::connecting;
}

/// A server may close what it has kept at any time, and must not have said anything unasked.
bool HttpConnection::kept_connection_is_good() {
  return stream_->read_some(buffer_).is(IoStep::Kind::want_read);
}

void HttpConnection::begin_exchange() {
  part_ = offset_ = 0;
  heard_ = want_write_ = answered_ = false;
  send_error_.clear();
  reader_.reset(clock_.wall_ns());
  deadline_ns_ = clock_.monotonic_ns() + endpoint_.timeout_ns;
  phase_ = Phase::exchanging;
}

void HttpConnection::close() {
  connector_.cancel();
  stream_.reset();
  phase_ = Phase::idle;
}

bool HttpConnection::step() {
  if (phase_ == Phase::connecting && !step_connecting()) return false;
  if (phase_ == Phase::idle) return true;
  if (!step_exchange()) return false;
  if (phase_ == Phase::connecting) return step();  // once more, on a connection of its own
  return true;
}

/// False: not yet. After true it is connected, or has failed.
bool HttpConnection::step_connecting() {
  switch (connector_.step()) {
    case Connector::State::waiting:
      return false;
    case Connector::State::connected:
      stream_ = connector_.take();
      begin_exchange();
      return true;
    case Connector::State::failed:
      return fail(HttpOutcome::Kind::failed, connector_.error());
    case Connector::State::untrusted:
      return fail(HttpOutcome::Kind::untrusted, connector_.error());
    case Connector::State::refused:
      outcome_.answer = std::move(connector_.answer());
      return finish_answered(false);
  }
  return true;
}

bool HttpConnection::step_exchange() {
  want_write_ = false;
  if (!sent_all() && send_error_.empty() && send()) return true;
  if (answered_) {
    if (sent_all()) return finish_answered(false);
    if (!send_error_.empty())
      return fail(HttpOutcome::Kind::failed,
                  "the server answered before it had taken the request, then: " + send_error_);
  } else if (receive()) {
    return true;
  }
  if (clock_.monotonic_ns() < deadline_ns_) return false;
  return fail(HttpOutcome::Kind::failed, timeout_text());
}

/// True: it is over.
bool HttpConnection::send() {
  while (!sent_all()) {
    const std::string_view part = (*parts_)[part_];
    if (offset_ == part.size()) {
      ++part_, offset_ = 0;
      continue;
    }
    IoStep step = stream_->write_some(part.substr(offset_));
    if (step.is(IoStep::Kind::done)) {
      offset_ += step.bytes;
      continue;
    }
    want_write_ = step.is(IoStep::Kind::want_write);
    if (want_write_ || step.is(IoStep::Kind::want_read)) return false;
    if (step.is(IoStep::Kind::untrusted)) return fail(HttpOutcome::Kind::untrusted, std::move(step.error));
    send_error_ = step.error.empty() ? "the connection was closed" : std::move(step.error);
    return false;
  }
  return false;
}

/// True: it is over.
bool HttpConnection::receive() {
  for (;;) {
    IoStep step = stream_->read_some(buffer_);
    if (step.is(IoStep::Kind::want_read)) return false;
    if (step.is(IoStep::Kind::want_write)) {
      want_write_ = true;
      return false;
    }
    if (step.is(IoStep::Kind::untrusted)) return fail(HttpOutcome::Kind::untrusted, std::move(step.error));
    if (step.is(IoStep::Kind::failed)) return end_of_reading(std::move(step.error));
    const bool closed = step.is(IoStep::Kind::closed);
    heard_ = heard_ || !closed;
    const auto state = closed ? reader_.end_of_stream() : reader_.feed({buffer_, step.bytes});
    if (state == HttpResponseReader::State::more) continue;
    if (state == HttpResponseReader::State::failed) {
      if (closed) return end_of_reading(reader_.error());
      return fail(HttpOutcome::Kind::failed, "the answer: " + reader_.error());
    }
    outcome_.answer = std::move(reader_.answer());
    if (sent_all())
      return finish_answered(state == HttpResponseReader::State::complete && reader_.can_go_on());
    if (outcome_.answer.status / 100 != 2) return finish_answered(false);  // it does not want the rest
    answered_ = true;
    return false;
  }
}

/// The connection has ended before the answer had. A kept one may just have been closed as idle: that is
/// nobody's failure, and the same request, with the same key, goes out once more.
bool HttpConnection::end_of_reading(std::string why) {
  if (reused_ && !heard_) {
    reused_ = false;
    stream_.reset();
    connector_.start();
    phase_ = Phase::connecting;
    return true;
  }
  return fail(HttpOutcome::Kind::failed, send_error_.empty() ? std::move(why) : send_error_);
}

bool HttpConnection::finish_answered(bool reusable) {
  outcome_.kind = HttpOutcome::Kind::answered;
  if (!reusable) stream_.reset();
  phase_ = Phase::idle;
  return true;
}

bool HttpConnection::fail(HttpOutcome::Kind kind, std::string error) {
  outcome_.kind = kind;
  outcome_.error = std::move(error);
  close();
  return true;
}

pollfd HttpConnection::waits_for() const {
  if (phase_ == Phase::connecting) return connector_.waits_for();
  if (phase_ == Phase::idle) return {-1, 0, 0};
  return {stream_->fd(), short((answered_ ? 0 : POLLIN) | (want_write_ ? POLLOUT : 0)), 0};
}

int64_t HttpConnection::wake_at_ns() const {
  return phase_ == Phase::connecting ? connector_.wake_at_ns() : deadline_ns_;
}

std::string HttpConnection::timeout_text() const {
  const std::string what = !sent_all() ? "sending the request"
                           : heard_    ? "reading the answer"
                                       : "waiting for an answer";
  return what + " took longer than timeout";
}

}  // namespace weir
