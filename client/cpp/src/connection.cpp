#include "client/cpp/src/connection.h"

#include <linux/membarrier.h>
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "client/cpp/src/json_text.h"
#include "proto/frames.h"

namespace weir::detail {
namespace {

constexpr uint64_t kBackoffMinNs = 20'000'000, kBackoffMaxNs = 2'000'000'000, kSilenceNs = 100'000'000;
constexpr size_t kOutMax = 256 << 10;

std::string own_name() {
  char path[4096];
  const ssize_t n = readlink("/proc/self/exe", path, sizeof path);
  return n > 0 ? std::string(path, size_t(n)) : "";
}

std::string random_name() {
  char bytes[8] = {};
  if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) std::memcpy(bytes, "no-seed", 8);
  std::string name = std::to_string(getpid()) + "-";
  append_hex(name, bytes, sizeof bytes);
  return name;
}

void drain_event(int fd) {
  uint64_t count;
  [[maybe_unused]] const ssize_t n = read(fd, &count, sizeof count);
}

}  // namespace

Connection::Connection() : client_id_(random_name()), clock_(process.clock) {
  settings_version_ = process_.shared.settings_version.load() - 1;
  take_settings();
  counters_at_ns_ = monotonic_ns() + kSecond;
}

Connection::~Connection() {
  if (fd_ >= 0) close(fd_);
}

void Connection::take_settings() {
  if (settings_version_ == process_.shared.settings_version.load()) return;
  {
    const Lock lock(process_.lock);
    settings_ = process_.settings;
    settings_version_ = process_.shared.settings_version.load();
  }
  address_ = find_address(settings_.address);
  keeps_ = std::string_view(settings_.ack) != "none";
  if (state_ != State::down) go_down(0);
  set_why_away({});
  backoff_ns_ = next_try_ns_ = 0;
}

void Connection::turn() {
  turn_time_ns_ = monotonic_ns();
  take_settings();
  if (turn_time_ns_ >= counters_at_ns_) {
    write_counters();
    make_bigger_rings();
    counters_at_ns_ = turn_time_ns_ + kSecond;
    if (state_ == State::open) tell_drops();
  }
  begin_flush();
  if (state_ == State::down && turn_time_ns_ >= next_try_ns_) connect();
  if (state_ == State::paused && turn_time_ns_ >= next_try_ns_) say_hello();
  if (state_ == State::open) attach_new_rings();
  if (sweep()) active_ns_ = turn_time_ns_;
  free_finished_rings();
  send();
  end_flush(false);
  wait(turn_time_ns_);
  read_socket();
}

void Connection::connect() {
  std::string why;
  fd_ = dial(address_, why);
  process_.shared.tried = true;
  if (fd_ < 0) {
    go_down(0, why);
    return end_flush(true);
  }
  set_why_away("it has not answered yet");
  process_.shared.socket = fd_;
  in_.clear();
  lines_ = std::exchange(lines_next_, false);
  out_.assign(lines_ ? "" : frames::kMagic);
  out_sent_ = 0;
  magic_read_ = lines_;
  say_hello();
}

void Connection::say_hello() {
  std::string exe = own_name(), hello = lines_ ? "{\"weir\":\"hello\"," : "{";
  hello.append("\"proto\":[1,0],\"min\":1,\"client_id\":\"").append(client_id_).append("\",\"pid\":");
  append_integer(hello, getpid());
  append_quoted(hello.append(",\"exe\":"), exe);
  const std::string service = *settings_.service ? settings_.service : exe.substr(exe.rfind('/') + 1);
  append_quoted(hello.append(",\"service\":"), service);
  to_json_.set_service(service);
  hello.append(process_.clock == ring::ClockKind::tsc ? ",\"clock\":\"tsc\"" : ",\"clock\":\"realtime\"");
  append_quoted(hello.append(",\"ack\":"), *settings_.ack ? settings_.ack : "received");
  append_integer(hello.append(",\"next_seq\":"), outbox_.oldest_seq());
  hello.append(lines_ ? "}\n" : ",\"features\":[\"ring\"]}");
  if (!lines_) frames::append_header(out_, frames::kHello, hello.size());
  out_ += hello;
  state_ = State::greeted;
}

/// Empty: it is there.
void Connection::set_why_away(std::string_view why) {
  const std::string text = why.empty() ? "" : text_of(address_) + ": " + std::string(why);
  const Lock lock(process_.lock);
  const size_t bytes = TextWire::kept(text, sizeof process_.shared.why_away - 1);
  std::memcpy(process_.shared.why_away, text.c_str(), bytes);
  process_.shared.why_away[bytes] = 0;
}

void Connection::go_down(uint64_t pause_ns, std::string_view why) {
  set_why_away(why);
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  process_.shared.socket = -1;
  process_.shared.transport = Transport::none;
  state_ = State::down;
  ring_feature_ = base_attached_ = false;
  wake_up();  // the agent is away and may have set napping
  process_.arena.header->napping.store(0);
  outbox_.rewind();
  for (Ring* r = process_.rings.load(); r; r = r->next) r->state = Ring::State::fresh;
  backoff_ns_ = backoff_ns_ ? std::min(2 * backoff_ns_, kBackoffMaxNs) : kBackoffMinNs;
  next_try_ns_ = monotonic_ns() + (pause_ns ? pause_ns : backoff_ns_);
}

// --- waiting
// --------------------------------------------------------------------------------------------------

int Connection::wait_ms(uint64_t now) const {
  uint64_t until = counters_at_ns_;
  if (state_ == State::down || state_ == State::paused) until = std::min(until, next_try_ns_);
  if (flush_) until = std::min(until, now + kMs);
  const bool reads = state_ == State::open && !ring_feature_;
  if (reads && now - active_ns_ < kSilenceNs && outbox_.has_room()) until = std::min(until, now + 2 * kMs);
  if (reads && !napping_ && now - active_ns_ >= kSilenceNs) until = std::min(until, now + 20 * kMs);
  if (rings_by_descriptor() && unread_records()) until = std::min(until, now + 10 * kMs);
  return until <= now ? 0 : int((until - now + kMs - 1) / kMs);
}

/// Frames only: the doorbell is to be rung. Who has committed a record before it saw that is seen here.
void Connection::nap() {
  napping_ = true;
  process_.arena.header->napping.store(1);
  syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
  if (unread_records()) wake_up();
}

void Connection::wake_up() {
  if (!napping_) return;
  napping_ = false;
  process_.arena.header->napping.store(0);
  drain_event(process_.doorbell);
}

void Connection::wait(uint64_t now) {
  if (state_ == State::open && !ring_feature_ && !napping_ && now - active_ns_ >= kSilenceNs) nap();
  const short writes = out_sent_ < out_.size() ? POLLOUT : 0;
  pollfd all[3] = {{process_.wake, POLLIN, 0},
                   {fd_, short(POLLIN | writes), 0},
                   {napping_ ? process_.doorbell.load() : -1, POLLIN, 0}};
  poll(all, 3, wait_ms(now));
  if (all[0].revents) drain_event(process_.wake);
  if (all[2].revents) {
    wake_up();
    active_ns_ = monotonic_ns();
  }
}

// --- what is sent
// -----------------------------------------------------------------------------------------------

void Connection::send() {
  if (state_ == State::down) return;
  for (;;) {
    if (out_sent_ == out_.size()) {
      out_.clear();
      out_sent_ = 0;
    }
    uint64_t records = 0;
    while (state_ == State::open && out_.size() < kOutMax &&
           outbox_.next_batch(out_, !lines_, keeps_, records))
      process_.shared.sent += records;
    if (out_.empty()) return;
    const ssize_t n =
        ::send(fd_, out_.data() + out_sent_, out_.size() - out_sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n < 0) return go_down(0);
    out_sent_ += size_t(n);
  }
}

/// Of rings that the agent reads it knows itself what they dropped. Lines have no word for it.
void Connection::tell_drops() {
  if (lines_) return;
  const uint64_t lost = process_.lost.load();
  uint64_t count = lost - lost_reported_;
  lost_reported_ = lost;
  for (Ring* r = process_.rings.load(); r; r = r->next) {
    if (ring_feature_ && r->state != Ring::State::refused) continue;
    const uint64_t dropped = r->header->dropped.load(std::memory_order_relaxed);
    uint64_t told = r->header->dropped_told.load(std::memory_order_relaxed);
    while (told < dropped && !r->header->dropped_told.compare_exchange_weak(told, dropped)) {
    }
    if (told < dropped) count += dropped - told;
  }
  if (count == 0) return;
  constexpr std::string_view kWhy = "no room in the ring";
  frames::append_header(out_, frames::kDrops, sizeof count + kWhy.size());
  frames::append(out_, count);
  out_ += kWhy;
}

// --- flush()
// ----------------------------------------------------------------------------------------------------

void Connection::begin_flush() {
  if (flush_) return;
  {
    const Lock lock(process_.lock);
    if (process_.shared.flushes_done == process_.shared.flushes_wanted) return;
    flush_ = process_.shared.flushes_wanted;
  }
  next_try_ns_ = state_ == State::down ? 0 : next_try_ns_;
  write_counters();
  for (Ring* r = process_.rings.load(); r; r = r->next)
    r->flush_to = r->header->head.load(std::memory_order_acquire);
  flush_seq_ = 0;
}

bool Connection::flushed() const {
  for (const Ring* r = process_.rings.load(); r; r = r->next)
    if (r->header->tail.load(std::memory_order_acquire) < r->flush_to) return false;
  return true;
}

/// `failed`: the agent is not there. It goes on trying unless the program is at its end.
void Connection::end_flush(bool failed) {
  if (!flush_) return;
  if (!failed) {
    if (!flushed()) return;
    if (!flush_seq_) flush_seq_ = outbox_.next_seq();
    if (outbox_.oldest_seq() < flush_seq_ || out_sent_ < out_.size()) return;
  }
  const Lock lock(process_.lock);
  if (failed && !process_.shared.ending) return;
  process_.shared.flushes_done = failed ? process_.shared.flushes_wanted : flush_;
  process_.shared.flush_failed = failed;
  flush_ = 0;
  pthread_cond_broadcast(&process_.flushed);
}

void* run_connection(void*) noexcept {
  prctl(PR_SET_NAME, "weir");
  for (;;) {
    try {
      Connection connection;
      for (;;) connection.turn();
    } catch (...) {  // no memory: all anew; what was read and not acknowledged is gone, and counted
      ++process.lost;
    }
  }
}

}  // namespace weir::detail
