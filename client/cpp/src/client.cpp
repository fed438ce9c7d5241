#include "weir/client.h"

#include <cstring>

#include "client/cpp/src/process.h"

namespace weir {

using namespace detail;

namespace {

template <size_t n>
void copy_text(char (&to)[n], const std::string& from) {
  const size_t bytes = from.size() < n ? from.size() : 0;  // too long is none
  std::memcpy(to, from.data(), bytes);
  to[bytes] = 0;
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

WaitForRoom::WaitForRoom() noexcept { ++thread.waits; }
WaitForRoom::~WaitForRoom() { --thread.waits; }

Stats stats() noexcept {
  const Lock lock(process.rings_lock);
  const Shared& shared = process.shared;
  Stats out;
  out.transport = shared.transport;
  out.dropped = process.lost + process.retired_dropped;
  out.rejected = shared.rejected + process.retired_rejected;
  for (const Ring* r = process.rings.load(); r; r = r->next) {
    ++out.rings;
    out.dropped += r->header->dropped.load(std::memory_order_relaxed);
    out.rejected += r->header->rejected.load(std::memory_order_relaxed);
  }
  out.sent = shared.sent;
  out.acknowledged = shared.acknowledged;
  out.connections = shared.connections;
  return out;
}

std::string last_error() {
  const Lock lock(process.lock);
  return process.shared.why_away;
}

}  // namespace weir
