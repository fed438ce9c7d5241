// How a connection gets the records out of the rings: hands the rings over, or reads them itself.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "client/cpp/src/connection.h"
#include "proto/frames.h"

namespace weir::detail {
namespace {

constexpr size_t kBatchBytes = 64 << 10;

uint32_t record_bytes(const Ring& r, uint64_t at) {
  uint32_t bytes;
  std::memcpy(&bytes, r.data + (at & (r.capacity - 1)), sizeof bytes);
  return bytes;
}

uint64_t record_clock(const Ring& r, uint64_t at) {
  uint64_t clock;
  std::memcpy(&clock, r.data + (at & (r.capacity - 1)) + offsetof(ring::RecordHeader, clock), sizeof clock);
  return clock;
}

/// As the agent does it, so that the next one goes on from here (proto/RING.md, reading).
void take_over(Ring& r, uint64_t to, uint64_t records) {
  ring::RingHeader& h = *r.header;
  const uint64_t done = h.places_done.load(std::memory_order_relaxed);
  const ring::RingPlace& last = h.places[done & 1];
  ring::RingPlace& next = h.places[(done + 1) & 1];
  next.tail.store(to, std::memory_order_relaxed);
  next.records.store(last.records.load(std::memory_order_relaxed) + records, std::memory_order_relaxed);
  h.places_done.store(done + 1, std::memory_order_release);
  h.tail.store(to, std::memory_order_release);
}

}  // namespace

bool Connection::send_descriptor(ring::RingWhat what, uint64_t ring_id, int fd) {
  std::string frame;
  frames::append_header(frame, frames::kRing, 9);
  frames::append(frame, uint8_t(what));
  frames::append(frame, ring_id);
  iovec bytes{frame.data(), frame.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* const with = CMSG_FIRSTHDR(&message);
  with->cmsg_level = SOL_SOCKET;
  with->cmsg_type = SCM_RIGHTS;
  with->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(with), &fd, sizeof fd);
  const ssize_t n = sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n < 0) return false;
  out_.assign(frame, size_t(n), frame.npos);  // the descriptor went with the first byte
  return true;
}

/// Each descriptor in a message of its own, so nothing else may be half sent.
void Connection::attach_new_rings() {
  send();
  const auto clear = [&] { return state_ == State::open && out_.empty(); };
  if (ring_feature_ && !base_attached_) {
    if (!clear() || !send_descriptor(ring::kArena, 0, process_.arena.fd)) return;
    send();
    base_attached_ = clear() && send_descriptor(ring::kDoorbell, 0, process_.doorbell);
    if (!base_attached_) return go_down(0);
  }
  std::vector<Ring*> fresh;
  for (Ring* r = process_.rings.load(); r; r = r->next)
    if (r->state == Ring::State::fresh) fresh.push_back(r);
  // The oldest first: when the newest one has come, the agent has all.
  std::reverse(fresh.begin(), fresh.end());
  for (Ring* r : fresh) {
    r->read = r->header->tail.load(std::memory_order_acquire);
    if (!ring_feature_) {
      r->state = Ring::State::refused;
      continue;
    }
    send();
    if (!clear() || !send_descriptor(ring::kRing, r->header->ring_id, r->fd)) return;
    r->state = Ring::State::asked;
  }
}

void Connection::take_ring_answer(std::string_view payload) {
  if (payload.size() < 11) return go_down(0);
  const bool good = frames::load<uint16_t>(payload.data() + 9) == 0;
  const uint64_t ring_id = frames::load<uint64_t>(payload.data() + 1);
  if (uint8_t(payload[0]) != ring::kRing) {
    if (good) return;
    ring_feature_ = false;  // without arena or doorbell there are only frames
    process_.shared.transport = Transport::frames;
    for (Ring* r = process_.rings.load(); r; r = r->next) r->state = Ring::State::fresh;
    return;
  }
  for (Ring* r = process_.rings.load(); r; r = r->next)
    if (r->header->ring_id == ring_id && r->state == Ring::State::asked)
      r->state = good ? Ring::State::attached : Ring::State::refused;
}

bool Connection::unread_records() const {
  for (const Ring* r = process_.rings.load(); r; r = r->next)
    if (r->state == Ring::State::refused && r->header->head.load() != r->read) return true;
  return false;
}

/// All rings together by the records' clocks, up to now, so that a trace that crosses threads keeps its
/// order.
bool Connection::sweep() {
  if (state_ != State::open || !outbox_.has_room()) return false;
  struct Source {
    Ring* ring;
    uint64_t at, head, records;
  };
  std::vector<Source> sources;
  const uint64_t cut = clock_now_slow();
  for (Ring* r = process_.rings.load(std::memory_order_acquire); r; r = r->next) {
    if (r->state != Ring::State::refused) continue;
    const uint64_t head = r->header->head.load(std::memory_order_acquire);
    if (head != r->read) sources.push_back({r, r->read, head, 0});
  }
  if (sources.empty()) return false;
  clock_.look();
  to_json_.learn(process_.arena.data, process_.arena.header->used.load(std::memory_order_acquire));
  std::string lines;
  uint64_t count = 0;
  const auto ship = [&] {
    if (count) outbox_.add(std::move(lines), count);
    lines.clear();
    count = 0;
    for (Source& s : sources)
      if (s.at != s.ring->read) {
        take_over(*s.ring, s.at, s.records);
        s.ring->read = s.at;
        s.records = 0;
      }
  };
  while (outbox_.has_room()) {
    Source* first = nullptr;
    uint64_t first_clock = cut;
    for (Source& s : sources) {
      if (s.at == s.head) continue;
      const uint64_t clock = record_clock(*s.ring, s.at);
      if (clock <= first_clock) first = &s, first_clock = clock;
    }
    if (!first) break;
    const uint32_t bytes = record_bytes(*first->ring, first->at);
    const size_t before = lines.size();
    const char* const record = first->ring->data + (first->at & (first->ring->capacity - 1));
    if (to_json_.append(lines, record, bytes, clock_) && lines.size() - before <= record_bytes_max_) {
      lines += '\n';
      ++count;
    } else {
      lines.resize(before);
      ++process_.lost;
    }
    first->at += bytes;
    ++first->records;
    if (lines.size() >= kBatchBytes) ship();
  }
  ship();
  return true;
}

}  // namespace weir::detail
