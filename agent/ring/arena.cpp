#include "agent/ring/arena.h"

#include <algorithm>
#include <cstring>

namespace weir::ring {
namespace {

constexpr size_t kPadding = 16;

}  // namespace

tl::expected<std::unique_ptr<Arena>, Refusal> Arena::attach(int fd, std::string_view service) {
  auto memory = SharedMemory::map(fd, kArenaBytesMin, kArenaBytesMax, SharedMemory::Data::once);
  if (!memory) return tl::unexpected(memory.error());
  ArenaHeader header;
  std::memcpy(static_cast<void*>(&header), memory->header(), offsetof(ArenaHeader, used));
  if (header.magic != kArenaMagic) return refuse("not an arena: its first bytes are not WEIRRAN1");
  if (header.version != kVersion || header.header_bytes != kHeaderBytes)
    return refuse("an arena of another version; this agent knows version 1");
  if (header.capacity != memory->capacity()) return refuse("its header names another capacity than its size");
  return std::unique_ptr<Arena>(new Arena(std::move(*memory), service));
}

Arena::Arena(SharedMemory memory, std::string_view service)
    : service_member_(service.empty() ? "" : ",\"service\":\"" + out::escaped(service) + "\""),
      memory_(std::move(memory)),
      header_(static_cast<ArenaHeader*>(memory_.header())),
      copy_(new char[memory_.capacity() + kPadding]) {}  // what is not written costs nothing

/// Copies what was published since, then looks at the copy.
void Arena::read_on() {
  if (broken_) return;
  const uint64_t used = header_->used.load(std::memory_order_acquire);
  if (used == copied_) return;
  const auto fault = [&](const char* text) { broken_ = true, new_fault_ = text; };
  if (used < copied_ || used > memory_.capacity() || used % kAlign != 0)
    return fault("`used` of its arena makes no sense");
  std::memcpy(copy_.get() + copied_, memory_.data() + copied_, used - copied_);
  while (copied_ < used) {
    uint32_t bytes;
    if (!index(copied_, uint32_t(used) - copied_, bytes))
      return fault("an entry of its arena makes no sense");
    copied_ += bytes;
  }
}

bool Arena::index(uint32_t offset, uint32_t left, uint32_t& bytes) {
  EntryHeader entry;
  if (left < sizeof entry) return false;
  std::memcpy(&entry, copy_.get() + offset, sizeof entry);
  bytes = entry.bytes;
  if (bytes < sizeof entry || bytes > left || bytes % kAlign != 0) return false;
  if (entry.kind != kSite && entry.kind != kString) return true;  // of a later version
  auto& list = entry.kind == kSite ? sites_ : strings_;
  if (entry.id != list.size() + 1 || sites_.size() > kSitesMax) return false;
  list.push_back({offset, bytes});
  return true;
}

const Site* Arena::site(uint32_t id) {
  if (id > sites_.size()) read_on();
  if (id == 0 || id > sites_.size()) return nullptr;
  if (rendered_.size() < sites_.size()) rendered_.resize(sites_.size()), senseless_.resize(sites_.size());
  auto& site = rendered_[id - 1];
  if (!site && !senseless_[id - 1]) [[unlikely]] {
    const Entry& entry = sites_[id - 1];
    site = make_site({copy_.get() + entry.offset, entry.bytes}, service_member_);
    senseless_[id - 1] = !site;
  }
  return site.get();
}

bool Arena::string(uint32_t id, std::string_view& out) {
  if (id > strings_.size()) read_on();
  if (id == 0 || id > strings_.size()) return false;
  const Entry& entry = strings_[id - 1];
  constexpr uint32_t kBefore = sizeof(EntryHeader) + sizeof(uint32_t);
  uint32_t bytes;
  if (entry.bytes < kBefore) return false;
  std::memcpy(&bytes, copy_.get() + entry.offset + sizeof(EntryHeader), sizeof bytes);
  if (bytes > entry.bytes - kBefore) return false;
  out = {copy_.get() + entry.offset + kBefore, bytes};
  return true;
}

}  // namespace weir::ring
