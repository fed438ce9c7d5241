#include "agent/ring/ring.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace weir::ring {
namespace {

constexpr uint64_t kRecordsMax = UINT64_MAX / 2;  // so that counting on cannot wrap around

template <class T>
T load_once(const char* from) {
  return __atomic_load_n(reinterpret_cast<const T*>(from), __ATOMIC_RELAXED);
}

}  // namespace

tl::expected<std::unique_ptr<Ring>, Refusal> Ring::attach(int fd, uint64_t ring_id) {
  auto memory = SharedMemory::map(fd, kCapacityMin, kCapacityMax, SharedMemory::Data::twice);
  if (!memory) return tl::unexpected(memory.error());
  RingHeader header;
  std::memcpy(static_cast<void*>(&header), memory->header(), offsetof(RingHeader, head));
  if (header.magic != kRingMagic) return refuse("not a ring: its first bytes are not WEIRRNG1");
  if (header.version != kVersion || header.header_bytes != kHeaderBytes)
    return refuse("a ring of another version; this agent knows version 1");
  if (header.capacity != memory->capacity()) return refuse("its header names another capacity than its size");
  if ((header.capacity & (header.capacity - 1)) != 0) return refuse("its capacity is no power of two");
  if (header.ring_id != ring_id) return refuse("its header names another ring_id than the frame");
  if (header.clock != ClockKind::realtime && header.clock != ClockKind::tsc)
    return refuse("its clock is of an unknown kind");
  std::unique_ptr<Ring> ring(new Ring(std::move(*memory), header));
  if (const char* wrong = ring->read_place()) return refuse(wrong);
  return ring;
}

Ring::Ring(SharedMemory memory, const RingHeader& header)
    : memory_(std::move(memory)),
      header_(static_cast<RingHeader*>(memory_.header())),
      id_(header.ring_id),
      number_(header.number),
      clock_(header.clock),
      dropped_told_(header_->dropped_told.load(std::memory_order_relaxed)) {}

/// Where an agent before this one has come to. A place that cannot be one: nothing tells where a record
/// begins, so all that is there is skipped.
const char* Ring::read_place() {
  places_done_ = header_->places_done.load(std::memory_order_acquire);
  const RingPlace& place = header_->places[places_done_ & 1];
  const uint64_t tail = place.tail.load(std::memory_order_relaxed);
  records_ = place.records.load(std::memory_order_relaxed);
  const uint64_t head = header_->head.load(std::memory_order_acquire);
  if (records_ > kRecordsMax) return "its place makes no sense: so many records cannot be";
  if (tail > head || head - tail > capacity() || tail % kAlign != 0 || head % kAlign != 0)
    return "its place makes no sense: it does not lie within what is committed";
  index_ = head_ = old_head_ = tail_ = noted_ = tail;
  header_->tail.store(tail, std::memory_order_release);  // that agent may have died before it did
  return nullptr;
}

const char* Ring::skip(const char* why) {
  index_ = old_head_ = head_;
  peeked_ = false;
  return why;
}

const char* Ring::look() {
  old_head_ = head_;
  closed_ = header_->closed.load(std::memory_order_acquire) != 0;
  const uint64_t head = header_->head.load(std::memory_order_acquire);
  dropped_ = header_->dropped.load(std::memory_order_relaxed);
  const uint64_t before = std::exchange(head_, head);
  if (head < before) return skip("its head went back");
  if (head - tail_ > capacity() || head % kAlign != 0) return skip("its head is where it cannot be");
  return nullptr;
}

uint64_t Ring::take_dropped() {
  if (dropped_ <= dropped_told_) return 0;
  uint64_t told = header_->dropped_told.load(std::memory_order_relaxed);
  if (told < dropped_ &&
      !header_->dropped_told.compare_exchange_strong(told, dropped_, std::memory_order_relaxed))
    return 0;  // its client tells of them just now: at the next look
  const uint64_t before = std::max(std::exchange(dropped_told_, dropped_), told);
  return dropped_ > before ? dropped_ - before : 0;
}

bool Ring::peek(const char*& wrong) {
  wrong = nullptr;
  if (peeked_) return index_ < end_;
  if (drained()) return false;
  const char* const at = memory_.data() + (index_ & (capacity() - 1));
  next_ = {load_once<uint32_t>(at), 0, 0};
  if (next_.bytes < sizeof(RecordHeader) || next_.bytes % kAlign != 0 || next_.bytes > capacity() / 4 ||
      next_.bytes > head_ - index_) {
    wrong = skip("a record has a length that none can have");
    return false;
  }
  next_.site = load_once<uint32_t>(at + offsetof(RecordHeader, site));
  next_.clock = load_once<uint64_t>(at + offsetof(RecordHeader, clock));
  peeked_ = true;
  return true;
}

std::string_view Ring::take(std::vector<char>& copy) {
  const size_t bytes = last_bytes_ = next_.bytes;
  if (copy.size() < bytes + kReadBeyond) copy.resize(bytes + kReadBeyond);
  const char* const at = memory_.data() + (index_ & (capacity() - 1));
  std::memcpy(copy.data(), &next_, sizeof next_);
  std::memcpy(copy.data() + sizeof next_, at + sizeof next_, bytes - sizeof next_);
  index_ += bytes;
  ++records_;
  peeked_ = false;
  return {copy.data(), bytes};
}

void Ring::note_mark(uint64_t mark) {
  if (noted_ == index_) return;
  noted_ = index_;
  const bool full = waiting_.size() == kPlacesMax;
  if (full || (!waiting_.empty() && waiting_.back().mark == mark))
    waiting_.back() = {index_, records_, mark};
  else
    waiting_.push_back({index_, records_, mark});
}

/// The place before the tail: what the tail gives free is written over.
void Ring::store_place(const Place& place) {
  RingPlace& next = header_->places[(places_done_ + 1) & 1];
  next.tail.store(place.tail, std::memory_order_relaxed);
  next.records.store(place.records, std::memory_order_relaxed);
  header_->places_done.store(++places_done_, std::memory_order_release);
  header_->tail.store(place.tail, std::memory_order_release);
  tail_ = place.tail;
}

}  // namespace weir::ring
