// The process's rings and counters, by those who do not write records all the time.
#include "client/cpp/src/process.h"

namespace weir {
namespace detail {
namespace {

uint64_t total(Counter& counter) {
  uint64_t sum = CounterAccess::shared(counter).load(std::memory_order_relaxed);
  const uint32_t index = CounterAccess::index(counter).load(std::memory_order_relaxed);
  if (index == 0) return sum;
  for (Ring* ring = process.rings.load(std::memory_order_acquire); ring; ring = ring->next)
    sum += ring->cells[index].load(std::memory_order_relaxed);
  return sum;
}

uint64_t records_in(const Ring& ring) {
  uint64_t count = 0;
  const uint64_t head = ring.header->head.load(std::memory_order_acquire);
  for (uint64_t at = ring.header->tail.load(std::memory_order_relaxed); at < head; ++count) {
    uint32_t bytes;
    std::memcpy(&bytes, ring.data + (at & (ring.capacity - 1)), sizeof bytes);
    at += bytes;
  }
  return count;
}

/// Nobody writes to it any more. What is in it is lost, and so is what it has dropped and nobody was told of.
void let_go(Ring* ring) {
  const uint64_t dropped = ring->header->dropped.load();
  const uint64_t told = ring->state == Ring::State::attached ? dropped : ring->header->dropped_told.load();
  process.retired_dropped += told;
  process.retired_rejected += ring->header->rejected.load();
  process.lost += dropped - told + records_in(*ring);
  --process.rings_count;
  free_ring(ring);
}

}  // namespace

void write_counters() noexcept {
  const Lock lock(process.rings_lock);
  for (Counter* c = process.counters.load(std::memory_order_acquire); c; c = CounterAccess::next(*c)) {
    const uint64_t now = total(*c);
    uint64_t& written = CounterAccess::written(*c);
    if (now != written && CounterAccess::metric(*c).write(double(now - written), true)) written = now;
  }
}

void make_bigger_rings() noexcept {
  for (Ring* r = process.rings.load(std::memory_order_acquire); r; r = r->next) {
    const ring::RingHeader& h = *r->header;
    if (r->capacity != ring::kCapacityDefault || !h.dropped.load(std::memory_order_relaxed) ||
        h.closed.load(std::memory_order_relaxed) || r->bigger.load(std::memory_order_relaxed))
      continue;
    r->bigger.store(make_ring(kCapacityUnderPressure, process.clock), std::memory_order_release);
  }
}

void free_finished_rings() noexcept {
  const Lock lock(process.rings_lock);
  uint32_t waiting = 0;
  // The first one stays: threads put theirs before it meanwhile. The newest come first.
  for (Ring* before = process.rings.load(std::memory_order_acquire); before;) {
    Ring* const ring = before->next;
    if (!ring) return;
    const ring::RingHeader& h = *ring->header;
    const bool closed = h.closed.load(std::memory_order_acquire);
    const bool drained = h.tail.load(std::memory_order_relaxed) == h.head.load(std::memory_order_relaxed);
    const bool ours = ring->state != Ring::State::attached && ring->state != Ring::State::asked;
    if (closed && !ring->in_use && (drained || (ours && ++waiting > kWaitingRingsMax))) {
      before->next = ring->next;
      let_go(ring);
    } else {
      before = ring;
    }
  }
}

bool Metric::write(double value, bool quiet) noexcept {
  Thread& t = thread;
  const Busy busy(t);
  if (!busy) return quiet ? false : (count_drop(t), false);
  uint32_t id = site.id.load(std::memory_order_acquire);
  if (!ready(t, id)) {
    ArgName names[kLabelsMax];
    for (size_t i = 0; i < labels_count; ++i) names[i] = {labels[i].key, ring::ValueType::text};
    if (quiet && !t.data && !open_ring(t)) return false;
    if (!(id = prepare(t, site, names, labels_count))) return false;
  }
  size_t bytes = sizeof(ring::RecordHeader) + 1 + 8;
  for (size_t i = 0; i < labels_count; ++i) bytes += TextWire::bytes(labels[i].value, 1024);
  bytes = aligned(bytes);
  if (quiet && t.head + bytes > t.header->tail.load(std::memory_order_acquire) + (t.mask + 1) - t.reserved)
    return false;
  char* const at = reserve(t, bytes, false);
  if (!at) return false;
  char* to = put(put(at + sizeof(ring::RecordHeader), uint8_t(0)), value);
  for (size_t i = 0; i < labels_count; ++i) to = TextWire::put(to, labels[i].value, 1024);
  commit(t, at, bytes, id);
  return true;
}

}  // namespace detail

void Counter::add_slowly(detail::Thread& t, uint64_t n) noexcept {
  using namespace detail;
  const Busy busy(t);
  if (!busy || (!t.cells && !open_ring(t))) {
    shared_.fetch_add(n, std::memory_order_relaxed);
    if (index_.load(std::memory_order_relaxed) != 0) return;
  }
  if (!busy) return;
  const Lock lock(process.rings_lock);
  if (index_.load(std::memory_order_relaxed) == 0 && !listed_) {
    listed_ = true;
    if (process.counters_count + 1 < kCounters) index_ = ++process.counters_count;
    next_ = process.counters.load(std::memory_order_relaxed);
    process.counters.store(this, std::memory_order_release);
  }
  if (!t.cells) return;  // counted above
  if (const uint32_t index = index_.load(std::memory_order_relaxed))
    add_to_cell(t.cells[index], n);
  else
    shared_.fetch_add(n, std::memory_order_relaxed);
}

}  // namespace weir
