#include "client/cpp/src/process.h"

#include <linux/membarrier.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace weir::detail {

__thread Thread thread __attribute__((tls_model("initial-exec")));
WEIR_CONSTINIT Process process;
WEIR_CONSTINIT SpanShapes span_shapes{};

namespace {

/// Not for the first second after a failure: each try costs system calls.
constexpr uint64_t kRetryNs = 1'000'000'000;
constexpr size_t kStackBytes = 512 << 10;
constexpr std::chrono::milliseconds kAtEnd{500};

/// What the thread has of its ring; the ids that its records carry stay.
void forget_ring(Thread& t) {
  const Context context = t.context;
  const uint32_t waits = t.waits;
  t = Thread{};
  t.context = context;
  t.waits = waits;
}

void thread_ends(void* ring_of_it) {
  Ring* const mine = static_cast<Ring*>(ring_of_it);
  Thread& t = thread;
  if (t.ring != mine) return;
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);  // no handler may want a lock that is held here
  write_counters();
  t.cells = nullptr;
  {
    const Lock lock(process.rings_lock);
    Ring& first = mine->first ? *mine->first : *mine;
    for (Counter* c = process.counters.load(); c; c = CounterAccess::next(*c)) {
      std::atomic<uint64_t>& cell = first.cells[CounterAccess::index(*c)];
      CounterAccess::shared(*c).fetch_add(cell.exchange(0));
    }
    first.in_use = false;
  }
  forget_ring(t);
  mine->header->closed.store(1, std::memory_order_release);
  wake_connection();
}

void before_fork() {
  pthread_mutex_lock(&process.lock);
  pthread_mutex_lock(&process.rings_lock);
  pthread_mutex_lock(&process.arena_lock);
}

void after_fork_in_parent() {
  pthread_mutex_unlock(&process.arena_lock);
  pthread_mutex_unlock(&process.rings_lock);
  pthread_mutex_unlock(&process.lock);
}

/// The child's first record makes everything anew; its sites keep their ids.
void after_fork_in_child() {
  for (Ring* ring = process.rings.exchange(nullptr); ring;) ring = forget_parents_ring(ring);
  for (std::atomic<int>* fd : {&process.doorbell, &process.wake, &process.shared.socket})
    if (const int old = fd->exchange(-1); old >= 0) close(old);
  process.rings_count = 0;
  process.lost = process.retired_dropped = process.retired_rejected = 0;
  for (Counter* c = process.counters.load(); c; c = CounterAccess::next(*c)) {
    CounterAccess::shared(*c) = 0;
    CounterAccess::written(*c) = 0;
  }
  Shared& shared = process.shared;
  shared.transport = Transport::none;
  shared.sent = shared.acknowledged = shared.rejected = shared.connections = 0;
  shared.tried = false;
  shared.why_away[0] = 0;
  shared.flushes_wanted = shared.flushes_done = 0;
  process.ready = false;
  forget_ring(thread);
  if (process.has_hooks) pthread_setspecific(process.key, nullptr);
  process.flushed = PTHREAD_COND_INITIALIZER;
  after_fork_in_parent();
}

bool start_connection() {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // the program's signals are for its own threads
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t made;
  const bool started = pthread_create(&made, &attributes, run_connection, nullptr) == 0;
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

/// What a process needs once. Under Process::lock.
bool start_process() {
  if (!process.has_hooks) {
    if (pthread_key_create(&process.key, thread_ends) != 0) return false;
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    process.has_hooks = true;
  }
  Arena& arena = process.arena;
  if (!arena.header || arena.header->pid != uint32_t(getpid())) {
    const Arena made = make_arena(&arena);
    if (!made.header) return false;
    if (arena.header) {
      munmap(arena.header, ring::kHeaderBytes + arena.capacity);
      close(arena.fd);
    }
    arena = made;
  }
  for (std::atomic<int>* fd : {&process.doorbell, &process.wake})
    if (*fd < 0 && (*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) return false;
  process.clock = clock_kind_of_process();
  // The agent looks for records behind a barrier of all processes that asked for it (wire.md section 2).
  syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0);
  return start_connection();
}

bool process_is_ready() {
  if (process.ready.load(std::memory_order_acquire)) return true;
  const Lock lock(process.lock);
  if (!process.ready.load(std::memory_order_relaxed) && start_process())
    process.ready.store(true, std::memory_order_release);
  return process.ready.load(std::memory_order_relaxed);
}

void list(Ring* made) {
  ++process.rings_count;
  uint64_t number = 0;
  made->next = process.rings.load(std::memory_order_acquire);
  do {
    made->header->number = number = made->next ? made->next->header->number + 1 : 1;
  } while (!process.rings.compare_exchange_weak(made->next, made, std::memory_order_acq_rel));
  std::atomic<uint64_t>& told = process.arena.header->rings;
  uint64_t before = told.load(std::memory_order_relaxed);
  while (before < number && !told.compare_exchange_weak(before, number, std::memory_order_acq_rel)) {
  }
}

Ring* new_ring() {
  if (!process_is_ready() || process.rings_count.load() >= kRingsMax) return nullptr;
  const uint64_t wanted = __atomic_load_n(&process.settings.ring_bytes, __ATOMIC_RELAXED);
  Ring* const made = make_ring(wanted ? wanted : ring::kCapacityDefault, process.clock);
  if (made) list(made);
  return made;
}

void use_ring(Thread& t, Ring* ring) {
  t.head = 0;
  t.mask = ring->capacity - 1;
  t.reserved = ring->capacity / 8;
  t.limit = ring->capacity - t.reserved;
  t.record_bytes_max = uint32_t(ring->capacity / 4);
  t.header = ring->header;
  t.napping = &process.arena.header->napping;
  t.ring = ring;
  t.tsc = process.clock == ring::ClockKind::tsc;
  t.data = ring->data;
  wake_connection();
}

/// Under pressure: on with a bigger ring, once there is one. What is in the old one is read from there; its
/// cells and shapes stay the thread's, which a signal handler may have interrupted at work with them.
bool change_ring(Thread& t) {
  Ring* const old = t.ring;
  // Not waited for: a signal handler may be here, in the midst of what holds it.
  if (!old->bigger.load(std::memory_order_relaxed) || pthread_mutex_trylock(&process.rings_lock) != 0)
    return false;
  Ring* const next = old->bigger.exchange(nullptr, std::memory_order_acquire);
  if (next && pthread_setspecific(process.key, next) == 0) {
    next->first = old->first ? old->first : old;
    next->in_use = false;
    next->header->tid = old->header->tid;
    list(next);
    use_ring(t, next);
    old->header->closed.store(1, std::memory_order_release);
  } else if (next) {
    free_ring(next);
  }
  pthread_mutex_unlock(&process.rings_lock);
  return t.ring == next;
}

bool has_room(Thread& t, size_t bytes, bool important) {
  const uint64_t tail = t.header->tail.load(std::memory_order_acquire), capacity = t.mask + 1;
  if (t.head - tail <= capacity) t.limit = tail + capacity - t.reserved;  // else it is nonsense
  return t.head + bytes <= t.limit + (important ? t.reserved : 0);
}

/// WaitForRoom. Not for an agent that is away.
bool wait_for_room(Thread& t, size_t bytes, bool important) {
  constexpr uint64_t kMostNs = 1'000'000, kNapNs = 50'000;
  const int saved = errno;
  const uint64_t until = monotonic_ns() + kMostNs - kNapNs;
  bool found = false;
  while (!found && process.shared.transport.load() != Transport::none && monotonic_ns() < until) {
    if (t.napping->load(std::memory_order_relaxed)) ring_doorbell();
    const timespec nap{0, long(kNapNs)};
    nanosleep(&nap, nullptr);
    found = has_room(t, bytes, important);
  }
  errno = saved;
  return found;
}

}  // namespace

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

namespace {

/// After all other destructors of this program: what they have written goes out, too. It stands here, and not
/// beside flush(), because this file is part of every program that writes a record.
__attribute__((destructor(101))) void program_ends() {
  if (!process.ready || process.arena.header->pid != uint32_t(getpid())) return;
  {
    const Lock lock(process.lock);
    process.shared.ending = true;
  }
  wait_for_flush(kAtEnd);
}

}  // namespace

bool open_ring(Thread& t) noexcept {
  const uint64_t now = monotonic_ns();
  if (now < t.retry_clock_ns) return false;
  Ring* const made = new_ring();
  if (!made || pthread_setspecific(process.key, made) != 0) {
    if (made) made->in_use = false, made->header->closed.store(1);
    t.retry_clock_ns = now + kRetryNs;
    return false;
  }
  t.cells = made->cells;
  t.shapes = made->shapes;
  use_ring(t, made);
  return true;
}

void count_drop(Thread& t) noexcept {
  (t.header ? t.header->dropped : process.lost).fetch_add(1, std::memory_order_relaxed);
}

bool make_room(Thread& t, size_t bytes, bool important) noexcept {
  if (has_room(t, bytes, important) || change_ring(t)) return true;
  if (t.waits && wait_for_room(t, bytes, important)) return true;
  count_drop(t);
  if (t.napping->load(std::memory_order_relaxed)) ring_doorbell();
  return false;
}

void ring_doorbell() noexcept {
  const int saved = errno;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n =
      write(process.doorbell.load(std::memory_order_relaxed), &one, sizeof one);
  errno = saved;
}

void wake_connection() noexcept {
  const int saved = errno;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(process.wake.load(std::memory_order_relaxed), &one, sizeof one);
  errno = saved;
}

uint64_t monotonic_ns() noexcept {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return uint64_t(t.tv_sec) * 1'000'000'000 + uint64_t(t.tv_nsec);
}

ring::ClockKind clock_kind_of_process() noexcept {
  static std::atomic<int> known{-1};
  if (known.load(std::memory_order_relaxed) < 0) known = int(clock_kind());
  return ring::ClockKind(known.load(std::memory_order_relaxed));
}

uint64_t clock_now_slow() noexcept {
#if defined(__x86_64__)
  if (clock_kind_of_process() == ring::ClockKind::tsc) return __rdtsc();
#endif
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return uint64_t(t.tv_sec) * 1'000'000'000 + uint64_t(t.tv_nsec);
}

void seed_random(Thread& t) noexcept {
  while (t.random == 0)
    if (getrandom(&t.random, sizeof t.random, GRND_NONBLOCK) != sizeof t.random)
      t.random = clock_now_slow() ^ uint64_t(reinterpret_cast<uintptr_t>(&t)) << 20;
}

uint32_t prepare(Thread& t, Site& site, const ArgName* args, size_t count) noexcept {
  if (!t.data && !open_ring(t)) return count_drop(t), 0;
  uint32_t id = site.id.load(std::memory_order_acquire);
  if (id == 0) {
    const Lock lock(process.arena_lock);
    id = site.id.load(std::memory_order_relaxed);
    if (id == 0) {
      id = add_site(process.arena, site, args, count);
      site.id.store(id, std::memory_order_release);
    }
  }
  return id != kNoSite ? id : (count_drop(t), 0);
}

}  // namespace weir::detail
