#include "agent/ring/shared_memory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace weir::ring {

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

tl::expected<SharedMemory, Refusal> SharedMemory::map(int fd, uint64_t capacity_min, uint64_t capacity_max,
                                                      Data data) {
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0) return refuse("not a memfd");
  if (seals != kSeals) return refuse("its seals must be exactly SHRINK, GROW and SEAL");
  // A hole of a file on huge pages may find none left when it is read.
  struct statfs kind;
  if (fstatfs(fd, &kind) != 0 || kind.f_type != TMPFS_MAGIC)
    return refuse("a memfd of ordinary pages is needed");
  struct stat st;
  if (fstat(fd, &st) != 0) return refuse("its size cannot be read");
  const auto size = uint64_t(st.st_size);
  if (size < kHeaderBytes + capacity_min || size > kHeaderBytes + capacity_max || size % 4096 != 0)
    return refuse("its size is out of range");

  SharedMemory memory;
  memory.capacity_ = size - kHeaderBytes;
  const size_t copies = data == Data::twice ? 2 : 1;
  const auto capacity = size_t(memory.capacity_);
  const size_t bytes = kHeaderBytes + copies * capacity;
  const auto cannot = [] {  // it is as it must be
    return tl::unexpected<Refusal>(Refusal{kTooMany, std::string("the agent cannot map it: ") +
                                                         std::strerror(errno) +
                                                         "; raise vm.max_map_count, or its limit of memory"});
  };
  void* const base = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return cannot();
  memory.base_ = static_cast<char*>(base), memory.mapped_bytes_ = bytes;
  if (mmap(base, kHeaderBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
    return cannot();
  for (size_t i = 0; i < copies; ++i) {
    char* const at = memory.base_ + kHeaderBytes + i * capacity;
    if (mmap(at, capacity, PROT_READ, MAP_SHARED | MAP_FIXED, fd, kHeaderBytes) == MAP_FAILED)
      return cannot();
  }
  return memory;
}

SharedMemory::~SharedMemory() {
  if (base_) munmap(base_, mapped_bytes_);
}

}  // namespace weir::ring
