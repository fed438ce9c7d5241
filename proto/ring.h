#pragma once
// Layout of the shared-memory ring (proto/RING.md), shared by the agent and its native clients. C++17, no
// dependency. Everything is little-endian; the two sides are on one machine.
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace weir::ring {

inline constexpr uint64_t kRingMagic = 0x31474e5252494557;   ///< "WEIRRNG1"
inline constexpr uint64_t kArenaMagic = 0x314e415252494557;  ///< "WEIRRAN1"
inline constexpr uint32_t kVersion = 1;
/// Of ring and arena; what is written begins behind it.
inline constexpr size_t kHeaderBytes = 4096;
/// Of a ring's data: a power of two.
inline constexpr uint64_t kCapacityMin = 64 << 10, kCapacityDefault = 256 << 10, kCapacityMax = 16 << 20;
/// Of an arena's entries: a multiple of 4096.
inline constexpr uint64_t kArenaBytesMin = 64 << 10, kArenaBytesDefault = 1 << 20, kArenaBytesMax = 16 << 20;
inline constexpr size_t kAlign = 8;

enum class ClockKind : uint32_t {
  realtime = 0,  ///< nanoseconds since the epoch
  tsc = 1,       ///< this machine's time stamp counter; the agent knows what time that is
};

/// How far the agent has come with a ring, for the next agent: of two places the one that was finished last.
struct RingPlace {
  std::atomic<uint64_t> tail;     ///< bytes
  std::atomic<uint64_t> records;  ///< in them, all ever
};

/// The first page of a ring's memfd. Made by the client; one thread of it writes records.
struct RingHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t header_bytes;  ///< kHeaderBytes
  uint64_t capacity;      ///< bytes of data behind the header
  uint64_t ring_id;       ///< random, not 0: the ring's records are numbered under it
  uint32_t tid;           ///< of the thread, a hint
  ClockKind clock;
  uint64_t number;                          ///< of its process's rings, from 1 on; 0: not told
  alignas(128) std::atomic<uint64_t> head;  ///< client: bytes ever committed. A release store commits.
  /// Agent: bytes ever taken over for good; the client may write up to tail + capacity.
  alignas(128) std::atomic<uint64_t> tail;
  std::atomic<uint64_t> places_done;  ///< agent: places[places_done & 1] counts
  RingPlace places[2];
  /// So many of `dropped` are counted: by an agent that reads the ring, or told by its client with DROPS.
  std::atomic<uint64_t> dropped_told;
  std::atomic<uint64_t> rejected;              ///< agent: records that it refused, all ever
  alignas(128) std::atomic<uint64_t> dropped;  ///< client: records that found no room, all ever
  std::atomic<uint32_t> closed;                ///< client: 1: its thread is gone, nothing more comes
};

/// The first page of a process's arena: call sites and strings, each said once.
struct ArenaHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t header_bytes;  ///< kHeaderBytes
  uint64_t capacity;      ///< bytes of entries behind the header
  uint32_t pid;
  uint32_t reserved;
  /// Client: the highest number of a ring there is, stored before that ring's first record is committed.
  std::atomic<uint64_t> rings;
  alignas(128) std::atomic<uint64_t> used;  ///< client: bytes of whole entries. A release store publishes.
  /// Agent: 1: it sleeps deeply; who commits a record then writes to the doorbell (an eventfd).
  alignas(128) std::atomic<uint32_t> napping;
};

static_assert(std::atomic<uint64_t>::is_always_lock_free && sizeof(std::atomic<uint64_t>) == 8);
static_assert(sizeof(RingHeader) <= kHeaderBytes && sizeof(ArenaHeader) <= kHeaderBytes);
static_assert(offsetof(RingHeader, head) == 128 && offsetof(RingHeader, tail) == 256);
static_assert(offsetof(RingHeader, dropped) == 384 && offsetof(ArenaHeader, used) == 128);
static_assert(offsetof(ArenaHeader, napping) == 256);

/// What an arena's entry begins with; `bytes` is a multiple of kAlign and counts all of it.
struct EntryHeader {
  uint32_t bytes;
  uint32_t id;  ///< of sites and of strings, each from 1 on without holes
  uint8_t kind;
  uint8_t record;  ///< RecordKind of a site
  uint8_t level;   ///< Level of a site that logs
  uint8_t args;    ///< how many a site has
};
static_assert(sizeof(EntryHeader) == 12);
enum EntryKind : uint8_t {
  /// Behind the header: `u16 n, name` (the message of a log, the name of a span or metric), `u16 n, text`
  /// (logger of a log, unit of a metric; else empty), `u16 n, FILE:LINE` (or empty), and for each argument
  /// `u8 ValueType, u8 n, name`.
  kSite = 1,
  kString = 2,  ///< behind the header: `u32 n, bytes`, UTF-8
};
enum class RecordKind : uint8_t { log = 1, span = 2, counter = 3, gauge = 4, histogram = 5 };
enum class Level : uint8_t { trace = 0, debug = 1, info = 2, warn = 3, error = 4, fatal = 5 };

/// Values lie one behind the other, unaligned.
enum class ValueType : uint8_t {
  null = 0,     ///< nothing
  i32 = 1,      ///< 4 bytes
  u32 = 2,      ///< 4
  i64 = 3,      ///< 8
  u64 = 4,      ///< 8
  f64 = 5,      ///< 8
  boolean = 6,  ///< 1: 0 or 1
  text = 7,     ///< u16 n, bytes: UTF-8; what is not is replaced by the agent
  string = 8,   ///< u32 id of a string in the arena
  json = 9,     ///< u32 n, bytes: one JSON value
  time = 10,    ///< u64 of the ring's clock
  id16 = 11,    ///< 16 bytes, shown as 32 hexadecimal digits
  id8 = 12,     ///< 8 bytes, shown as 16
};

/// What a record begins with; `bytes` is a multiple of kAlign, at most a quarter of the capacity, and counts
/// all of it.
struct RecordHeader {
  uint32_t bytes;
  uint32_t site;   ///< id of a site, or kDynamic and a stream
  uint64_t clock;  ///< when it was committed, by the ring's clock
};
static_assert(sizeof(RecordHeader) == 16);

/// Top bit of RecordHeader::site: the record says itself what it holds. The low bits are its stream (0 trace,
/// 1 log, 2 telemetry, 3 monitoring); behind the header come members of its JSON object until only padding
/// is left (fewer than kAlign zeros, or none): `u8 n (not 0), name, u8 ValueType, value`.
inline constexpr uint32_t kDynamic = 1u << 31;

/// Behind the header of a site's record: a byte of these, what they announce in this order, then the
/// arguments (of a metric: an f64 value first; of a span: u64 clock of its start first).
enum Has : uint8_t {
  kTraceId = 1,        ///< 16 bytes
  kSpanId = 2,         ///< 8
  kParentId = 4,       ///< 8
  kCorrelationId = 8,  ///< u8 n, bytes
  kError = 16,         ///< of a span: u8 n, type; u16 n, message. Its status is then `error`
  kShortened = 32,     ///< the client has cut texts to make it fit
};

/// Payload of a RING frame, with one descriptor (SCM_RIGHTS) at its first byte: `u8 RingWhat, u64 ring_id` (0
/// but for rings). Answered by RING: the same nine bytes, `u16 code` (0: it is attached) and text.
enum RingWhat : uint8_t { kArena = 1, kDoorbell = 2, kRing = 3 };
/// Of the answer; what is not known is a refusal.
enum RingCode : uint16_t {
  kAttached = 0,
  kBadFrame =
      1,  ///< not nine bytes, an unknown RingWhat, a ring_id where none belongs or none where one does
  kNoDescriptor = 2,  ///< it came without one
  kBadMemory = 3,     ///< seals, size, magic, version, capacity
  kBadOrder = 4,      ///< a ring before the arena, or an arena or doorbell twice
  kTooMany = 5,   ///< rings of this connection, of the agent, memory of this user (limits.per_uid.memory), or
                  ///< descriptors or mappings of the agent
  kBadClock = 6,  ///< ClockKind::tsc, and this machine's counter is no clock
};

}  // namespace weir::ring
