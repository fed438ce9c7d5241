#pragma once
// What the threads of a process share. In static storage and constant-initialised: it is there before the
// first constructor and after the last destructor.
#include <pthread.h>

#include "client/cpp/src/memory.h"
#include "weir/client.h"
#include "weir/metrics.h"
#include "weir/span.h"

namespace weir {

struct CounterAccess {
  static detail::Metric& metric(Counter& c) { return c.metric_; }
  static std::atomic<uint32_t>& index(Counter& c) { return c.index_; }
  static std::atomic<uint64_t>& shared(Counter& c) { return c.shared_; }
  static uint64_t& written(Counter& c) { return c.written_; }
  static Counter*& next(Counter& c) { return c.next_; }
};

namespace detail {

inline constexpr uint64_t kCapacityUnderPressure = 1 << 20;
inline constexpr uint32_t kRingsMax = 1024;
inline constexpr uint32_t kWaitingRingsMax = 64;  ///< of threads that have ended, while the agent is away
inline constexpr size_t kShapesMax = 4096;        ///< of spans

struct Settings {
  char service[128], address[256], ack[16];
  uint64_t ring_bytes;
};

/// What the connection's thread tells the others.
struct Shared {
  std::atomic<Transport> transport{Transport::none};
  std::atomic<uint64_t> sent{0}, acknowledged{0}, rejected{0}, connections{0};
  std::atomic<bool> tried{false};  ///< to connect, at least once
  std::atomic<int> socket{-1};     ///< for the child of a fork, to close
  std::atomic<uint32_t> settings_version{0};
  uint64_t flushes_wanted = 0, flushes_done = 0;  ///< under Process::lock, as the next two
  bool flush_failed = false;
  char why_away[256] = {};  ///< last_error(); likewise
  bool ending = false;      ///< the program: an agent that is away is not waited for
};

struct Process {
  std::atomic<bool> ready{false};
  bool has_hooks = false;  ///< for forks and threads' ends: once, also for the children
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;  ///< of starting, of settings and flush()
  pthread_cond_t flushed = PTHREAD_COND_INITIALIZER;
  pthread_mutex_t arena_lock = PTHREAD_MUTEX_INITIALIZER;
  /// Of counters, and of taking rings off the list. Before arena_lock.
  pthread_mutex_t rings_lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_key_t key = 0;
  Arena arena;
  ring::ClockKind clock = ring::ClockKind::realtime;
  std::atomic<int> doorbell{-1}, wake{-1};
  std::atomic<Ring*> rings{nullptr};
  std::atomic<uint32_t> rings_count{0};
  std::atomic<uint64_t> lost{0};  ///< records that were dropped where there was no ring
  std::atomic<uint64_t> retired_dropped{0}, retired_rejected{0};  ///< of rings that are let go of
  std::atomic<Counter*> counters{nullptr};
  uint32_t counters_count = 0;  ///< with a cell; the first is number 1
  Settings settings{};
  Shared shared;
};
extern Process process;

/// Written under Process::arena_lock, read by all. All zeros at first: it takes no place in the program's
/// file.
struct SpanShapes {
  SpanShape all[2 * kShapesMax];                    ///< by hash; a power of two
  ArgName keys[kShapesMax * (Span::kSetsMax + 1)];  ///< one behind the other, each shape's with its kNoKey
  size_t keys_used;
  std::atomic<uint32_t> count;
};
extern SpanShapes span_shapes;

/// The compiler is to refuse what would need a constructor at the program's start.
#if defined(__clang__)
#define WEIR_CONSTINIT [[clang::require_constant_initialization]]
#elif __GNUC__ >= 10
#define WEIR_CONSTINIT __constinit
#else
#define WEIR_CONSTINIT
#endif

class Lock {
 public:
  explicit Lock(pthread_mutex_t& mutex) : mutex_(mutex) { pthread_mutex_lock(&mutex_); }
  ~Lock() { pthread_mutex_unlock(&mutex_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  pthread_mutex_t& mutex_;
};

/// Wakes the connection's thread.
void wake_connection() noexcept;
/// weir::flush().
bool wait_for_flush(std::chrono::milliseconds timeout);
/// A record for each counter that has gone up, in the calling thread's ring. What finds no room stays for the
/// next time.
void write_counters() noexcept;
/// For each thread whose records found no room: a bigger ring to go on with. The connection's thread.
void make_bigger_rings() noexcept;
/// Frees rings that are closed and drained; of those that wait for an agent the oldest, when they are too
/// many. The connection's thread.
void free_finished_rings() noexcept;
/// The connection's thread (connection.cpp).
void* run_connection(void*) noexcept;
uint64_t monotonic_ns() noexcept;

}  // namespace detail
}  // namespace weir
