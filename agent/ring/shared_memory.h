#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <utility>

#include "proto/ring.h"

namespace weir::ring {

/// A file descriptor of ours; negative: none.
class Descriptor {
 public:
  static constexpr int kLost = -2;  ///< one was sent, and this process had no room for it
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor();
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

/// Why memory is not attached: the answer to the client's RING frame.
struct Refusal {
  RingCode code;
  std::string text;  ///< a sentence for the client
};
/// That the memory is not as it must be.
inline tl::unexpected<Refusal> refuse(std::string text) {
  return tl::unexpected<Refusal>(Refusal{kBadMemory, std::move(text)});
}

/// Memory that a client has made and sealed (proto/RING.md): a header page, which both sides write, and data,
/// which only the client writes. Sealed as it is, it can neither shrink nor be cut: no access faults. What
/// stands in it may change at any time.
class SharedMemory {
 public:
  enum class Data {
    once,
    twice,  ///< one behind the other, so that nothing in it is ever cut
  };
  /// Checks seals, kind and size before anything is mapped.
  static tl::expected<SharedMemory, Refusal> map(int fd, uint64_t capacity_min, uint64_t capacity_max,
                                                 Data data);
  SharedMemory(SharedMemory&& other) noexcept { *this = std::move(other); }
  SharedMemory& operator=(SharedMemory&& other) noexcept {
    std::swap(base_, other.base_), std::swap(mapped_bytes_, other.mapped_bytes_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~SharedMemory();

  void* header() const { return base_; }
  const char* data() const { return base_ + kHeaderBytes; }
  /// Of the data, as the kernel says.
  uint64_t capacity() const { return capacity_; }

 private:
  SharedMemory() = default;
  char* base_ = nullptr;
  size_t mapped_bytes_ = 0;
  uint64_t capacity_ = 0;
};

}  // namespace weir::ring
