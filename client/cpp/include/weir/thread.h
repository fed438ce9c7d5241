#pragma once
// What a thread needs to write records into its ring (proto/ring.h) without allocation, lock or system call.
// Internal: programs include weir/weir.h.
//
// Life of a record: enter() takes the thread's busy word (a signal handler that comes in between finds it
// taken, and its record is counted as dropped); reserve() finds room or counts a drop; the values are stored;
// commit() stores the clock, then `head`: from there on the record survives this process.
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include <cstring>
#include <ctime>
#include <new>
#include <string_view>

#include "proto/ring.h"

/// What is only as fast as it should be within its caller; where code is to be small or easy to step through,
/// a function as any other.
#if defined(__OPTIMIZE__) && !defined(__OPTIMIZE_SIZE__)
#define WEIR_INLINE inline __attribute__((always_inline))
#else
#define WEIR_INLINE inline
#endif

namespace weir {
struct TraceContext;
}

namespace weir::detail {

struct Ring;  // src/memory.h

/// Ids that every record of a thread carries.
struct Context {
  uint8_t has;    ///< of ring::Has: kTraceId, kSpanId, kCorrelationId
  uint8_t flags;  ///< of traceparent
  uint8_t correlation_bytes;
  uint8_t trace_id[16];
  uint8_t span_id[8];
  char correlation[128];
  const TraceContext* remote;  ///< of the innermost ContextScope
};

struct ArgName {
  const char* name;
  ring::ValueType type;
};

/// The keys that a span of one place has set, of all that there have been. Of a process (src/process.h).
struct SpanShape {
  std::atomic<uint32_t> site;  ///< stored last; 0: not there
  uint32_t keys_count;
  const char* name;
  const char* file;
  int line;
  const ArgName* keys;  ///< behind the last one kNoKey
};
inline constexpr ArgName kNoKey{nullptr, ring::ValueType(255)};
inline constexpr size_t kSpanShapes = 512, kCounters = 512;

/// All zeros until the thread's first record; and again in the child of a fork, but for the context.
struct Thread {
  char* data;  ///< null: no ring
  uint64_t head;
  uint64_t limit;           ///< an ordinary record ends here at the latest
  uint64_t mask, reserved;  ///< bytes of the ring less one; behind `limit`, for errors
  ring::RingHeader* header;
  const std::atomic<uint32_t>* napping;
  std::atomic<uint64_t>* cells;  ///< of counters
  const SpanShape** shapes;      ///< the last two of a place, by a hash of it
  uint32_t record_bytes_max;
  uint32_t busy;
  uint64_t random;          ///< state; 0: not seeded
  uint64_t retry_clock_ns;  ///< no new ring is tried before
  Ring* ring;
  bool tsc;
  uint32_t waits;  ///< WaitForRoom that live
  Context context;
};
extern __thread Thread thread __attribute__((tls_model("initial-exec")));

/// Makes this thread's ring, and before the first one of a process what all share. False: there is none now.
bool open_ring(Thread& t) noexcept;
/// A record that was never written: counted in the ring, or for the process where there is no ring.
void count_drop(Thread& t) noexcept;
/// Looks how far the reader is. False: full; it is counted.
bool make_room(Thread& t, size_t bytes, bool important) noexcept;
void ring_doorbell() noexcept;
uint64_t clock_now_slow() noexcept;

/// By the ring's clock (ring.h, ClockKind).
inline uint64_t clock_now(const Thread& t = thread) noexcept {
#if defined(__x86_64__)
  if (__builtin_expect(t.tsc, 1)) return __rdtsc();
#endif
  return clock_now_slow();
}

/// The busy word. A signal handler that writes while this thread writes finds it taken.
class Busy {
 public:
  explicit Busy(Thread& t) noexcept : t_(t), mine_(!__atomic_load_n(&t.busy, __ATOMIC_RELAXED)) {
    if (!mine_) return;
    __atomic_store_n(&t.busy, 1, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
  }
  ~Busy() {
    if (!mine_) return;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&t_.busy, 0, __ATOMIC_RELAXED);
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  explicit operator bool() const noexcept { return mine_; }

 private:
  Thread& t_;
  const bool mine_;
};

inline constexpr size_t aligned(size_t bytes) { return (bytes + ring::kAlign - 1) & ~(ring::kAlign - 1); }

/// The next line is this core's before it is written: a store that misses holds up the ones behind it.
inline void prefetch_for_write(const char* at) noexcept {
#if defined(__x86_64__)
  asm volatile("prefetchw %0" : : "m"(*at));
#else
  __builtin_prefetch(at, 1);
#endif
}

/// Room for a record of `bytes` (aligned), its end zeroed; null when there is none, and that is counted.
/// `important`: it may take what is kept for errors.
inline char* reserve(Thread& t, size_t bytes, bool important) noexcept {
  if (__builtin_expect(t.head + bytes > t.limit + (important ? t.reserved : 0), 0) &&
      !make_room(t, bytes, important))
    return nullptr;
  char* at = t.data + (t.head & t.mask);
  const uint64_t zero = 0;
  std::memcpy(at + bytes - sizeof zero, &zero, sizeof zero);
  for (size_t ahead = 0; ahead < bytes; ahead += 64) prefetch_for_write(at + 1024 + ahead);
  return at;
}

/// `at` is what reserve() gave for as many bytes.
inline void commit(Thread& t, char* at, size_t bytes, uint32_t site) noexcept {
  const uint32_t head[2] = {uint32_t(bytes), site};
  std::memcpy(at, head, sizeof head);
  const uint64_t now = clock_now(t);
  std::memcpy(at + sizeof head, &now, sizeof now);
  t.head += bytes;
  t.header->head.store(t.head, std::memory_order_release);
  if (__builtin_expect(t.napping->load(std::memory_order_relaxed) != 0, 0)) ring_doorbell();
}

template <class T>
struct __attribute__((packed)) Unaligned {
  T value;
};
/// A store of its type, not of characters: what else is in registers need not be read again behind it.
template <class T>
inline char* put(char* to, T value) noexcept {
  new (to) Unaligned<T>{value};
  return to + sizeof value;
}

/// memcpy for texts: most are shorter than a call costs.
inline char* put_bytes(char* to, const char* from, size_t bytes) noexcept {
  if (bytes > 64) {
    std::memcpy(to, from, bytes);
  } else if (bytes >= 16) {
    for (size_t i = 0; i + 16 < bytes; i += 16) std::memcpy(to + i, from + i, 16);
    std::memcpy(to + bytes - 16, from + bytes - 16, 16);
  } else if (bytes >= 8) {
    std::memcpy(to, from, 8);
    std::memcpy(to + bytes - 8, from + bytes - 8, 8);
  } else if (bytes >= 4) {
    std::memcpy(to, from, 4);
    std::memcpy(to + bytes - 4, from + bytes - 4, 4);
  } else {
    for (size_t i = 0; i < bytes; ++i) to[i] = from[i];
  }
  return to + bytes;
}

inline size_t context_bytes(const Context& c) noexcept {
  return size_t(1 + (c.has & ring::kTraceId ? 16 : 0) + (c.has & ring::kSpanId ? 8 : 0) +
                (c.has & ring::kCorrelationId ? 1 + c.correlation_bytes : 0));
}

inline char* put_correlation(char* to, const Context& c) noexcept {
  *to++ = char(c.correlation_bytes);
  return put_bytes(to, c.correlation, c.correlation_bytes);
}

/// The byte of ring::Has and what it announces.
inline char* put_context(char* to, const Context& c, uint8_t more) noexcept {
  *to++ = char(c.has | more);
  if (__builtin_expect(c.has == 0, 1)) return to;
  if (c.has & ring::kTraceId) std::memcpy(to, c.trace_id, 16), to += 16;
  if (c.has & ring::kSpanId) std::memcpy(to, c.span_id, 8), to += 8;
  return c.has & ring::kCorrelationId ? put_correlation(to, c) : to;
}

inline constexpr uint8_t kBothIds = ring::kTraceId | ring::kSpanId;

/// Other ids for the records from here on; `has`: which of them there are. A signal handler that comes in
/// between sees none, and its span leaves them alone only once they are announced.
void change_ids(Context& c, const uint8_t* trace_id, const uint8_t* span_id, uint8_t has) noexcept;

/// The same for a span: `ids` are those of the context's trace, if it has one, and of the span.
inline void set_ids(Context& c, const void* ids) noexcept {
  // Word by word, as they were stored just now: wider loads would wait for the stores.
  uint64_t words[3];
  for (size_t i = 0; i < 3; ++i) std::memcpy(words + i, static_cast<const char*>(ids) + 8 * i, 8);
  const auto copy = [&] {
    std::memcpy(c.trace_id, words, 8);
    std::memcpy(c.trace_id + 8, words + 1, 8);
    std::memcpy(c.span_id, words + 2, 8);
  };
  copy();
  if (__builtin_expect((c.has & kBothIds) == kBothIds, 1)) return;
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  c.has |= kBothIds;
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  copy();
}

/// Cut at what there is room for; empty: none.
void set_correlation(Context& c, std::string_view id) noexcept;

void seed_random(Thread& t) noexcept;
inline constexpr uint64_t kRandomStep = 0xa0761d6478bd642f;
/// Of a state: the two halves of its product with itself, as wyrand has them. Never 0.
inline uint64_t random_of(uint64_t state) noexcept {
  __extension__ using Wide = unsigned __int128;
  const Wide product = Wide(state) * (state ^ 0xe7037ed1a0b428db);
  const uint64_t z = uint64_t(product >> 64) ^ uint64_t(product);
  return z ? z : 1;
}
/// The state that these many numbers begin with: random_of(state + kRandomStep) is the first. Advanced in one
/// instruction: a signal handler takes others.
inline uint64_t take_random(Thread& t, uint64_t numbers) noexcept {
  if (__builtin_expect(t.random == 0, 0)) seed_random(t);
  uint64_t state = numbers * kRandomStep;
#if defined(__x86_64__)
  asm("xaddq %0, %1" : "+r"(state), "+m"(t.random) : : "cc");
  return state;
#else
  return __atomic_fetch_add(&t.random, state, __ATOMIC_RELAXED);
#endif
}
/// For ids; never 0.
inline uint64_t random_number(Thread& t) noexcept { return random_of(take_random(t, 1) + kRandomStep); }

}  // namespace weir::detail
