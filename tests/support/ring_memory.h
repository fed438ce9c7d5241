#pragma once
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "proto/ring.h"

/// A client's side of rings and arenas, for tests: slow and simple.
namespace weir::test {

template <class T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
template <class Size>
std::string sized(std::string_view text) {
  return raw(Size(text.size())) + std::string(text);
}
inline std::string padded(std::string text) {
  text.resize((text.size() + 7) / 8 * 8);
  return text;
}

class ClientMemory {
 public:
  static constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  explicit ClientMemory(size_t capacity, int seals = kSeals) : capacity_(capacity) {
    fd = memfd_create("weir", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (ftruncate(fd, off_t(ring::kHeaderBytes + capacity)) != 0) std::abort();
    if (seals) fcntl(fd, F_ADD_SEALS, seals);
    base_ = static_cast<char*>(
        mmap(nullptr, ring::kHeaderBytes + capacity, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  }
  ~ClientMemory() { munmap(base_, ring::kHeaderBytes + capacity_), close(fd); }
  ClientMemory(const ClientMemory&) = delete;
  ClientMemory& operator=(const ClientMemory&) = delete;
  char* data() const { return base_ + ring::kHeaderBytes; }
  size_t capacity() const { return capacity_; }
  int fd;

 protected:
  char* base_;

 private:
  size_t capacity_;
};

class ClientRing : public ClientMemory {
 public:
  explicit ClientRing(uint64_t id, size_t capacity = 64 << 10,
                      ring::ClockKind clock = ring::ClockKind::realtime)
      : ClientMemory(capacity) {
    header().magic = ring::kRingMagic, header().version = ring::kVersion;
    header().header_bytes = ring::kHeaderBytes, header().capacity = capacity, header().ring_id = id;
    header().clock = clock;
  }
  ring::RingHeader& header() { return *reinterpret_cast<ring::RingHeader*>(base_); }
  /// False: no room. `length`: what the record says of itself, when that is not so.
  bool write(uint32_t site, uint64_t clock, const std::string& body, int64_t length = -1) {
    const std::string all = record_bytes(site, clock, body, length);
    const uint64_t head = header().head;
    if (head - header().tail + all.size() > capacity()) return ++header().dropped, false;
    for (size_t i = 0; i < all.size(); ++i) data()[(head + i) % capacity()] = all[i];
    header().head.store(head + all.size(), std::memory_order_release);
    return true;
  }
  static std::string record_bytes(uint32_t site, uint64_t clock, const std::string& body,
                                  int64_t length = -1) {
    const std::string rest = padded(body);
    const auto bytes = uint32_t(length < 0 ? sizeof(ring::RecordHeader) + rest.size() : size_t(length));
    return raw(bytes) + raw(site) + raw(clock) + rest;
  }
};

class ClientArena : public ClientMemory {
 public:
  using Arguments = std::vector<std::pair<std::string, ring::ValueType>>;
  explicit ClientArena(size_t capacity = 64 << 10) : ClientMemory(capacity) {
    header().magic = ring::kArenaMagic, header().version = ring::kVersion;
    header().header_bytes = ring::kHeaderBytes, header().capacity = capacity;
  }
  ring::ArenaHeader& header() { return *reinterpret_cast<ring::ArenaHeader*>(base_); }
  uint32_t site(ring::RecordKind kind, std::string_view name, std::string_view text = "",
                std::string_view where = "", const Arguments& arguments = {},
                ring::Level level = ring::Level::info) {
    std::string body = sized<uint16_t>(name) + sized<uint16_t>(text) + sized<uint16_t>(where);
    for (const auto& [argument, type] : arguments) body += raw(type) + sized<uint8_t>(argument);
    add(ring::kSite, ++sites_, uint8_t(kind), uint8_t(level), uint8_t(arguments.size()), body);
    return sites_;
  }
  uint32_t string(std::string_view text) {
    add(ring::kString, ++strings_, 0, 0, 0, sized<uint32_t>(text));
    return strings_;
  }
  void add(uint8_t kind, uint32_t id, uint8_t record, uint8_t level, uint8_t args, const std::string& body) {
    std::string entry =
        padded(raw(uint32_t(0)) + raw(id) + raw(kind) + raw(record) + raw(level) + raw(args) + body);
    const uint64_t used = header().used;
    entry.replace(0, 4, raw(uint32_t(entry.size())));
    std::memcpy(data() + used, entry.data(), entry.size());
    header().used.store(used + entry.size(), std::memory_order_release);
  }

 private:
  uint32_t sites_ = 0, strings_ = 0;
};

}  // namespace weir::test
