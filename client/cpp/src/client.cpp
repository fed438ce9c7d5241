#include "weir/client.h"

#include <unistd.h>

#include <cstring>

#include "client/cpp/src/process.h"

namespace weir {

using namespace detail;

namespace {

constexpr std::chrono::milliseconds kAtEnd{500};

template <size_t n>
void copy_text(char (&to)[n], const std::string& from) {
  const size_t bytes = from.size() < n ? from.size() : 0;  // too long is none
  std::memcpy(to, from.data(), bytes);
  to[bytes] = 0;
}

bool wait_for_flush(std::chrono::milliseconds timeout) {
  timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  const int64_t ns = until.tv_nsec + (timeout.count() % 1000) * 1'000'000;
  until.tv_sec += timeout.count() / 1000 + ns / 1'000'000'000;
  until.tv_nsec = ns % 1'000'000'000;
  const Lock lock(process.lock);
  Shared& shared = process.shared;
  const uint64_t wanted = ++shared.flushes_wanted;
  wake_connection();
  while (shared.flushes_done < wanted)
    if (pthread_cond_clockwait(&process.flushed, &process.lock, CLOCK_MONOTONIC, &until) != 0) return false;
  return !shared.flush_failed;
}

/// After all other destructors of this program: what they have written goes out, too.
__attribute__((destructor(101))) void program_ends() {
  if (!process.ready || process.arena.header->pid != uint32_t(getpid())) return;
  {
    const Lock lock(process.lock);
    process.shared.ending = true;
  }
  wait_for_flush(kAtEnd);
}

}  // namespace

void configure(const Options& options) noexcept {
  const uint64_t bytes = options.ring_bytes;
  const bool power = bytes >= ring::kCapacityMin && bytes <= ring::kCapacityMax && (bytes & (bytes - 1)) == 0;
  const bool known = options.ack == "none" || options.ack == "received" || options.ack == "buffered" ||
                     options.ack == "durable";
  {
    const Lock lock(process.lock);
    Settings& s = process.settings;
    copy_text(s.service, options.service);
    copy_text(s.address, options.address);
    copy_text(s.ack, known ? options.ack : "received");
    __atomic_store_n(&s.ring_bytes, power ? bytes : ring::kCapacityDefault, __ATOMIC_RELAXED);
    ++process.shared.settings_version;
  }
  wake_connection();
}

bool flush(std::chrono::milliseconds timeout) noexcept {
  return !process.ready.load(std::memory_order_acquire) || wait_for_flush(timeout);
}

Stats stats() noexcept {
  const Lock lock(process.rings_lock);
  const Shared& shared = process.shared;
  Stats out;
  out.transport = shared.transport;
  out.dropped = process.lost + process.retired_dropped;
  for (const Ring* r = process.rings.load(); r; r = r->next) {
    ++out.rings;
    out.dropped += r->header->dropped.load(std::memory_order_relaxed);
  }
  out.sent = shared.sent;
  out.acknowledged = shared.acknowledged;
  out.rejected = shared.rejected;
  out.connections = shared.connections;
  return out;
}

}  // namespace weir
