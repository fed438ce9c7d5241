// What the agent says on a connection, as frames or as lines (proto/WIRE.md).
#include <sys/socket.h>

#include <cerrno>

#include "client/cpp/src/connection.h"
#include "client/cpp/src/json_read.h"
#include "client/cpp/src/policy.h"
#include "proto/frames.h"

namespace weir::detail {
namespace {

constexpr uint64_t kNackPauseNs = 100'000'000;
constexpr size_t kInMax = 1 << 20;
constexpr std::string_view kAnyMagic = frames::kMagic.substr(0, 4);  // behind it stands the version

}  // namespace

void Connection::read_socket() {
  char bytes[16384];
  while (fd_ >= 0) {
    const ssize_t n = recv(fd_, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n <= 0) return go_down(0, "the agent has closed the connection");
    in_.append(bytes, size_t(n));
    while (fd_ >= 0 && (lines_ ? take_line() : take_magic() && take_frame())) {
    }
  }
}

/// The version of an agent that knows ours: the same. Any other is asked to take lines.
bool Connection::take_magic() {
  if (magic_read_) return true;
  if (in_.size() < frames::kMagic.size()) return false;
  if (in_.compare(0, frames::kMagic.size(), frames::kMagic) != 0) {
    lines_next_ = in_.compare(0, kAnyMagic.size(), kAnyMagic) == 0;
    return go_down(lines_next_ ? 1 : kAfterRefusal, "what answers there is no weir agent of this version"),
           false;
  }
  in_.erase(0, frames::kMagic.size());
  return magic_read_ = true;
}

bool Connection::take_frame() {
  if (in_.size() < frames::kHeaderBytes) return false;
  const uint32_t length = frames::load<uint32_t>(in_.data());
  if (length > kInMax) return go_down(kAfterRefusal), false;
  if (in_.size() < frames::kHeaderBytes + length) return false;
  const std::string frame = in_.substr(0, frames::kHeaderBytes + length);
  in_.erase(0, frame.size());
  const std::string_view payload = std::string_view(frame).substr(frames::kHeaderBytes);
  const uint8_t type = uint8_t(frame[4]);
  if ((frame[5] & frames::kCritical) && type > frames::kReject) return go_down(kAfterRefusal), false;
  take(type, payload);
  return true;
}

bool Connection::take_line() {
  const size_t end = in_.find('\n');
  if (end == in_.npos && in_.size() > kInMax) return go_down(kAfterRefusal), false;
  if (end == in_.npos) return false;
  const std::string line = in_.substr(0, end);
  in_.erase(0, end + 1);
  take_word(line);
  return true;
}

void Connection::take(uint8_t type, std::string_view payload) {
  Shared& shared = process_.shared;
  switch (type) {
    case frames::kWelcome:
      return take_welcome(payload);
    case frames::kRing:
      return take_ring_answer(payload);
    case frames::kPolicy:
      return set_policy(parse_policy(payload));
    case frames::kAck:
      if (payload.size() >= 8)
        shared.acknowledged += outbox_.acknowledge(frames::load<uint64_t>(payload.data()));
      return;
    case frames::kReject:
      ++shared.rejected;
      return;
    case frames::kNack:
      return take_nack();
    case frames::kBye:
      return go_down(kAfterRefusal, "the agent says BYE");
    case frames::kError:
      return take_error(payload.substr(0, payload.find(':')), payload);
    default:
      return;
  }
}

/// A control line (interface.md section 2); what is not known is of a later version.
void Connection::take_word(std::string_view line) {
  const std::string word = json_string(json_member(line, "weir"));
  if (word == "welcome") return take_welcome(line);
  if (word == "policy") return set_policy(parse_policy(json_member(line, "policy")));
  if (word == "nack") return take_nack();
  if (word == "bye") return go_down(kAfterRefusal, "the agent says bye");
  if (word == "error") return take_error(json_string(json_member(line, "reason")), line);
  if (word == "ack")
    process_.shared.acknowledged += outbox_.acknowledge(json_number(json_member(line, "seq"), 0));
  if (word == "reject") ++process_.shared.rejected;
}

void Connection::take_nack() {
  state_ = State::paused;
  outbox_.rewind();
  next_try_ns_ = monotonic_ns() + kNackPauseNs;
}

void Connection::take_error(std::string_view reason, std::string_view text) {
  lines_next_ = !lines_ && reason == "bad_version";
  go_down(lines_next_ ? 1 : kAfterRefusal, "the agent says " + std::string(text));
}

void Connection::take_welcome(std::string_view json) {
  Shared& shared = process_.shared;
  set_policy(parse_policy(json_member(json, "policy")));
  record_bytes_max_ =
      json_number(json_member(json_member(json, "limits"), "record_bytes_max"), record_bytes_max_);
  shared.acknowledged += outbox_.acknowledge(json_number(json_member(json, "last_seq"), 0));
  outbox_.rewind();
  ring_feature_ = false;
  for (const std::string_view feature : json_elements(json_member(json, "features")))
    ring_feature_ = ring_feature_ || (!lines_ && address_.unix_socket && json_string(feature) == "ring");
  state_ = State::open;
  backoff_ns_ = 0;
  ++shared.connections;
  set_why_away({});
  shared.transport = ring_feature_ ? Transport::ring : lines_ ? Transport::lines : Transport::frames;
  tell_drops();
}

}  // namespace weir::detail
