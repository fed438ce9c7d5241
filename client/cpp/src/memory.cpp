#include "client/cpp/src/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <new>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace weir::detail {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

/// A memfd of exactly this size, sealed as the agent wants it; -1: none.
int sealed_memory(const char* name, uint64_t bytes) {
  const int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -1;
  if (ftruncate(fd, off_t(bytes)) == 0 && fcntl(fd, F_ADD_SEALS, kSeals) == 0) return fd;
  close(fd);
  return -1;
}

/// Header page, then the data twice; null: no memory. All pages are there at once: a record must not wait for
/// one.
char* map_ring(int fd, uint64_t capacity) {
  const size_t header = ring::kHeaderBytes, all = header + 2 * capacity;
  void* const place = mmap(nullptr, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place == MAP_FAILED) return nullptr;
  char* const at = static_cast<char*>(place);
  const int both = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_FIXED | MAP_POPULATE;
  if (mmap(at, header + capacity, both, flags, fd, 0) != MAP_FAILED &&
      mmap(at + header + capacity, capacity, both, flags, fd, off_t(header)) != MAP_FAILED &&
      madvise(at, all, MADV_DONTFORK) == 0)
    return at;
  munmap(at, all);
  return nullptr;
}

uint64_t random_id() {
  uint64_t id = 0;
  while (id == 0)
    if (getrandom(&id, sizeof id, 0) != sizeof id) id = clock_now_slow() ^ uint64_t(getpid()) << 40;
  return id;
}

}  // namespace

ring::ClockKind clock_kind() noexcept {
#if defined(__x86_64__)
  // Intel SDM, 18.17.1: bit 8 of edx of leaf 0x80000007 says that the counter is invariant.
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(0x80000007, &a, &b, &c, &d) && (d & 1 << 8)) return ring::ClockKind::tsc;
#endif
  return ring::ClockKind::realtime;
}

Ring* make_ring(uint64_t capacity, ring::ClockKind clock) noexcept {
  void* const place = mmap(nullptr, sizeof(Ring), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (place == MAP_FAILED) return nullptr;
  const int fd = sealed_memory("weir-ring", ring::kHeaderBytes + capacity);
  char* const at = fd < 0 ? nullptr : map_ring(fd, capacity);
  if (!at) {
    if (fd >= 0) close(fd);
    munmap(place, sizeof(Ring));
    return nullptr;
  }
  Ring* const made = new (place) Ring;
  made->header = new (at) ring::RingHeader{};
  made->header->magic = ring::kRingMagic;
  made->header->version = ring::kVersion;
  made->header->header_bytes = ring::kHeaderBytes;
  made->header->capacity = capacity;
  made->header->ring_id = random_id();
  made->header->tid = uint32_t(syscall(SYS_gettid));
  made->header->clock = clock;
  made->data = at + ring::kHeaderBytes;
  made->capacity = capacity;
  made->fd = fd;
  return made;
}

void free_ring(Ring* ring) noexcept {
  if (Ring* const bigger = ring->bigger.load(std::memory_order_acquire)) free_ring(bigger);
  munmap(ring->header, ring::kHeaderBytes + 2 * ring->capacity);
  if (ring->fd >= 0) close(ring->fd);
  munmap(ring, sizeof(Ring));
}

Ring* forget_parents_ring(Ring* ring) noexcept {
  Ring* const next = ring->next;
  if (Ring* const bigger = ring->bigger.load(std::memory_order_relaxed)) forget_parents_ring(bigger);
  if (ring->fd >= 0) close(ring->fd);
  munmap(ring, sizeof(Ring));
  return next;
}

Arena make_arena(const Arena* from) noexcept {
  Arena arena;
  arena.capacity = from && from->header ? from->capacity : ring::kArenaBytesDefault;
  const size_t all = ring::kHeaderBytes + arena.capacity;
  arena.fd = sealed_memory("weir-arena", all);
  if (arena.fd < 0) return {};
  void* const place = mmap(nullptr, all, PROT_READ | PROT_WRITE, MAP_SHARED, arena.fd, 0);
  if (place == MAP_FAILED) {
    close(arena.fd);
    return {};
  }
  arena.header = new (place) ring::ArenaHeader{};
  arena.header->magic = ring::kArenaMagic;
  arena.header->version = ring::kVersion;
  arena.header->header_bytes = ring::kHeaderBytes;
  arena.header->capacity = arena.capacity;
  arena.header->pid = uint32_t(getpid());
  arena.data = static_cast<char*>(place) + ring::kHeaderBytes;
  if (from && from->header) {
    std::memcpy(arena.data, from->data, from->used);
    arena.sites = from->sites;
    arena.used = from->used;
    arena.header->used.store(arena.used, std::memory_order_release);
  }
  return arena;
}

uint32_t add_site(Arena& arena, const Site& site, const ArgName* args, size_t count) noexcept {
  const auto kept = [](const char* text, size_t max) {
    return TextWire::kept(text ? std::string_view(text) : std::string_view(), max);
  };
  constexpr size_t kNameMax = 255, kTextMax = 8192;
  const char* const texts[3] = {site.name, site.text, site.where};
  size_t bytes = sizeof(ring::EntryHeader);
  for (const char* text : texts) bytes += 2 + kept(text, kTextMax);
  for (size_t i = 0; i < count; ++i) bytes += 2 + kept(args[i].name, kNameMax);
  bytes = aligned(bytes);
  if (arena.used + bytes > arena.capacity) return kNoSite;
  char* to = arena.data + arena.used;
  const ring::EntryHeader header{uint32_t(bytes),    arena.sites + 1,     ring::kSite,
                                 uint8_t(site.kind), uint8_t(site.level), uint8_t(count)};
  to = put(to, header);
  for (const char* text : texts) {
    const size_t n = kept(text, kTextMax);
    to = put_bytes(put(to, uint16_t(n)), text ? text : "", n);
  }
  for (size_t i = 0; i < count; ++i) {
    const size_t n = kept(args[i].name, kNameMax);
    to = put(put(to, uint8_t(args[i].type)), uint8_t(n));
    to = put_bytes(to, args[i].name ? args[i].name : "", n);
  }
  arena.header->used.store(arena.used += bytes, std::memory_order_release);
  return ++arena.sites;
}

}  // namespace weir::detail
