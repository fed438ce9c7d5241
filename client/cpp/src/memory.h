#pragma once
// Shared memory of the client: a ring for each thread, one arena for the process (proto/RING.md).
#include "weir/site.h"

namespace weir::detail {

/// A thread's ring with what the client keeps beside it, in a mapping of its own. Made by its thread, freed
/// by the connection's thread once it is closed and drained.
struct Ring {
  Ring* next = nullptr;  ///< of the process's list
  ring::RingHeader* header = nullptr;
  char* data = nullptr;
  uint64_t capacity = 0;
  int fd = -1;                         ///< -1: memory that the agent cannot get
  std::atomic<Ring*> bigger{nullptr};  ///< made by the connection's thread, for its thread to go on with
  Ring* first = nullptr;           ///< its thread's, whose shapes and cells it goes on with; null: this one
  std::atomic<bool> in_use{true};  ///< shapes and cells, by its thread: not to be freed
  // The connection's thread only:
  enum class State { fresh, asked, attached, refused } state = State::fresh;
  uint64_t read = 0;      ///< bytes, when it sends the records itself
  uint64_t flush_to = 0;  ///< head when flush() was asked for
  // Its thread:
  const SpanShape* shapes[kSpanShapes]{};
  std::atomic<uint64_t> cells[kCounters]{};  ///< read by others
};

/// Null: no memory, or no descriptor left.
Ring* make_ring(uint64_t capacity, ring::ClockKind clock) noexcept;
void free_ring(Ring* ring) noexcept;  ///< and the bigger one that nobody has gone on with
/// In the child of a fork, where its mapping has not come along. Returns the next one.
Ring* forget_parents_ring(Ring* ring) noexcept;

struct Arena {
  ring::ArenaHeader* header = nullptr;
  char* data = nullptr;
  uint64_t capacity = 0;
  int fd = -1;
  uint32_t sites = 0;  ///< how many are in it
  uint64_t used = 0;   ///< as in the header, which others can write
};

/// header is null when there is no memory. `from`: its entries come along (of the parent, after a fork).
Arena make_arena(const Arena* from) noexcept;
/// The new site's id, kNoSite when it has no room. Under the lock.
uint32_t add_site(Arena& arena, const Site& site, const ArgName* args, size_t count) noexcept;

ring::ClockKind clock_kind() noexcept;  ///< asks the processor
ring::ClockKind clock_kind_of_process() noexcept;

}  // namespace weir::detail
