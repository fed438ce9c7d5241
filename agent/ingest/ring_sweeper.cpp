#include "agent/ingest/ring_sweeper.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstdio>
#include <string_view>

namespace weir {
namespace {

/// A client's store of `head` may still be on its way while it has seen that nobody sleeps: this brings it
/// out, of programs that have registered for it (MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED). For others the
/// look a millisecond later does; the command for all of them may take 20 ms, in which nothing else is read.
void barrier() { syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0); }

bool is_eventfd(int fd) {
  char path[64], target[64];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  const ssize_t n = readlink(path, target, sizeof target);
  return n > 0 && std::string_view(target, size_t(n)).starts_with("anon_inode:[eventfd");
}

/// Never waits, whatever the client has made of the file's flags. False: this kernel cannot do that.
bool empty_doorbell(int fd) {
  uint64_t count;
  iovec bytes{&count, sizeof count};
  return preadv2(fd, &bytes, 1, -1, RWF_NOWAIT) >= 0 || errno == EAGAIN || errno == EINTR;
}

/// All at the same time, so that many are not many wake-ups.
int64_t next_look_ns(int64_t now_ns) {
  return (now_ns / RingSweeper::kSilentNs + 1) * RingSweeper::kSilentNs;
}

}  // namespace

void RingSweeper::add(std::shared_ptr<ring::RingSet> set, std::function<void()> on_change) {
  auto w = std::make_shared<Watched>();
  w->set = std::move(set);
  w->on_change = std::move(on_change);
  w->last_record_ns = clock_.monotonic_ns();
  watched_.push_back(std::move(w));
  timer_.cancel();
  if (std::exchange(running_, true)) return;
  asio::co_spawn(io_, run(shared_from_this()), asio::detached);
}

std::shared_ptr<RingSweeper::Watched> RingSweeper::find(const ring::RingSet& set) const {
  const auto found = std::ranges::find_if(watched_, [&](auto& w) { return w->set.get() == &set; });
  return found == watched_.end() ? nullptr : *found;
}

const char* RingSweeper::set_doorbell(ring::RingSet& set, ring::Descriptor eventfd) {
  const auto w = find(set);
  if (!is_eventfd(eventfd.get())) return "a doorbell is an eventfd";
  if (!empty_doorbell(eventfd.get())) return "this kernel cannot read an eventfd without waiting";
  w->doorbell = std::make_unique<Doorbell>(io_, eventfd.release());
  return nullptr;
}

void RingSweeper::remove(ring::RingSet& set) {
  if (const auto w = find(set)) {
    set.set_napping(false);
    w->removed = true;
    w->doorbell.reset();
    std::erase(watched_, w);
  }
  timer_.cancel();
}

void RingSweeper::hurry(ring::RingSet& set) {
  if (const auto w = find(set)) wake(*w);
}

void RingSweeper::wake(Watched& w) {
  if (w.sleep != Sleep::awake) w.set->set_napping(false);
  w.sleep = Sleep::awake;
  w.last_record_ns = clock_.monotonic_ns();
  timer_.cancel();
}

void RingSweeper::await_doorbell(const std::shared_ptr<Watched>& w) {
  if (!w->doorbell || std::exchange(w->armed, true)) return;
  w->doorbell->async_wait(Doorbell::wait_read, [self = weak_from_this(), w](boost::system::error_code error) {
    const auto sweeper = self.lock();
    w->armed = false;
    if (error || !sweeper || w->removed) return;
    empty_doorbell(w->doorbell->native_handle());
    if (w->sleep != Sleep::awake) sweeper->wake(*w);
  });
}

asio::awaitable<void> RingSweeper::run(std::shared_ptr<RingSweeper> self) {
  RingSweeper& s = *self;
  while (!s.watched_.empty()) {
    if (!s.gate_.is_open()) {
      co_await s.gate_.wait();
      continue;
    }
    int64_t next_ns;
    if (s.sweep_all(next_ns)) {
      co_await asio::post(s.io_, kAwait);
      continue;
    }
    if (!s.gate_.is_open()) continue;
    s.timer_.expires_after(std::chrono::nanoseconds(next_ns));
    co_await s.timer_.async_wait(kAwait);
  }
  s.running_ = false;
}

/// Each set has its share of a round. True: something is left. `next_ns`: when to look again.
bool RingSweeper::sweep_all(int64_t& next_ns) {
  const int64_t now_ns = clock_.monotonic_ns();
  bool more = false, any_waits = false, any_falls = false;
  next_ns = kSilentNs;
  for (const auto& w : watched_) {
    if (w->sleep == Sleep::deep && now_ns < w->look_ns) {
      next_ns = std::min(next_ns, w->look_ns - now_ns);
      continue;
    }
    if (w->sleep == Sleep::deep && w->armed && w->set->is_quiet()) {
      w->look_ns = next_look_ns(now_ns);
      next_ns = std::min(next_ns, w->look_ns - now_ns);
      continue;
    }
    more |= sweep_one(*w, now_ns);
    if (!gate_.is_open()) return false;
    if (w->sleep == Sleep::falling && w->look_ns == 0) any_falls = true;
    if (w->sleep == Sleep::deep && w->look_ns == 0) {
      w->look_ns = next_look_ns(now_ns);
      await_doorbell(w);
    }
    any_waits |= w->set->waits();
    next_ns = std::min(next_ns, w->sleep == Sleep::deep ? w->look_ns - now_ns : kNapNs);
  }
  if (any_falls) barrier();
  if (any_waits) waiting_.add(*this);
  return more;
}

/// True: it stopped before everything was through.
bool RingSweeper::sweep_one(Watched& w, int64_t now_ns) {
  if (w.set->awaits_ring(now_ns)) return false;
  const ring::Swept swept = w.set->sweep();
  gate_.set(swept.intake);
  if (!gate_.is_open()) return false;  // what waits has no mark yet
  w.set->publish();
  if (swept.records > 0) {
    if (w.sleep != Sleep::awake) w.set->set_napping(false);
    w.sleep = Sleep::awake;
    w.last_record_ns = now_ns;
  } else if (!w.set->finishing()) {
    fall_asleep(w, now_ns);
  }
  if (w.on_change && w.set->finishing()) w.on_change();
  return swept.more;
}

void RingSweeper::fall_asleep(Watched& w, int64_t now_ns) {
  if (w.sleep == Sleep::awake) {
    if (now_ns - w.last_record_ns < kSilentNs) return;
    w.set->set_napping(true);
    w.sleep = Sleep::falling;
  } else {
    w.sleep = Sleep::deep;
  }
  w.look_ns = 0;
}

void RingSweeper::on_progress() {
  unlink();
  bool any_waits = false;
  for (const auto& w : std::vector(watched_)) {
    if (w->removed || !w->set->waits() || !gate_.is_open()) continue;
    w->set->publish();
    any_waits |= w->set->waits();
    if (w->on_change && w->set->finishing()) w->on_change();
  }
  if (any_waits) waiting_.add(*this);
}

}  // namespace weir
