#include "agent/ring/ring_set.h"

#include <algorithm>
#include <cstdio>

#include "agent/core/log.h"

namespace weir::ring {
namespace {

constexpr size_t kRawBytesMax = 64 << 10;  // of what FrameHandler::on_bad_frame is shown
constexpr const char* kNoMemoryLeft =
    "this user has as much memory as limits.per_uid.memory allows; raise it, or use fewer or smaller rings";

}  // namespace

RingSet::RingSet(FrameHandler& handler, const Producer& owner, RingTools& tools)
    : handler_(handler),
      owner_(owner),
      tools_(tools),
      safe_(std::min(handler.level_max(), AckLevel::buffered)) {}

RingSet::~RingSet() {
  for (auto& ring : rings_) uncount(*ring);
}

void RingSet::close() {
  for (auto& ring : rings_) detach(*ring);
  rings_.clear();
}

Attached RingSet::attach(uint8_t what, uint64_t ring_id, int fd, uint64_t bytes_left) {
  if (what < kArena || what > kRing || (what == kRing) != (ring_id != 0))
    return {kBadFrame, "u8 RingWhat, u64 ring_id (0 but for rings)"};
  if (fd == Descriptor::kLost)
    return {kTooMany, "the agent has no descriptors left: raise LimitNOFILE or `ulimit -n`"};
  if (fd < 0) return {kNoDescriptor, "no descriptor came with it (SCM_RIGHTS)"};
  if (what == kArena) return attach_arena(fd, bytes_left);
  if (what == kRing) return attach_ring(fd, ring_id, bytes_left);
  if (has_doorbell_) return {kBadOrder, "a doorbell is attached already"};
  has_doorbell_ = true;
  return {};
}

Attached RingSet::attach_arena(int fd, uint64_t bytes_left) {
  if (arena_) return {kBadOrder, "an arena is attached already"};
  auto arena = Arena::attach(fd, owner_.service);
  if (!arena) return {arena.error().code, arena.error().text};
  if ((*arena)->capacity() > bytes_left) return {kTooMany, kNoMemoryLeft};
  arena_ = std::move(*arena);
  bytes_ += arena_->capacity();
  return {};
}

Attached RingSet::attach_ring(int fd, uint64_t ring_id, uint64_t bytes_left) {
  if (!arena_) return {kBadOrder, "the arena comes first"};
  if (rings_.size() >= kRingsMax)
    return {kTooMany, fmt::format("a connection has at most {} rings, one for each thread", kRingsMax)};
  if (tools_.rings >= kAllRingsMax)
    return {kTooMany,
            fmt::format("all processes together have {} rings, as many as there may be", kAllRingsMax)};
  auto attached = Ring::attach(fd, ring_id);
  if (!attached) return {attached.error().code, attached.error().text};
  Ring& ring = **attached;
  if (ring.clock() == ClockKind::tsc && !RingClock::has_tsc())
    return {kBadClock, "this machine's time stamp counter is no clock: use ClockKind::realtime"};
  if (ring.capacity() > bytes_left) return {kTooMany, kNoMemoryLeft};

  char name[32];
  std::snprintf(name, sizeof name, "/%016llx", static_cast<unsigned long long>(ring_id));
  ring.producer.stats = owner_.stats;
  ring.producer.peer = owner_.peer;
  Hello hello;
  hello.client_id = owner_.client->identity->client_id + name;
  hello.next_seq = ring.records() + 1;
  hello.level = AckLevel::none;
  // Whoever attaches it anew goes on from its place: this reader must not touch it any more.
  hello.taken_over = [this, &ring] {
    uncount(ring);
    if (on_gone) on_gone(ring.id());
    rings_.erase(std::ranges::find(rings_, &ring, [](auto& r) { return r.get(); }));
  };
  if (auto welcome = handler_.on_hello(ring.producer, std::move(hello)); !welcome)
    return {kBadFrame, welcome.error().message + ": this ring belongs to another user"};
  ++tools_.rings, ++owner_.stats->rings, ++owner_.stats->rings_ever;
  bytes_ += ring.capacity();
  newest_ = std::max(newest_, ring.number());
  rings_.push_back(std::move(*attached));
  return {};
}

void RingSet::detach(Ring& ring) {
  handler_.on_close(ring.producer);
  uncount(ring);
  if (on_gone) on_gone(ring.id());
}

void RingSet::uncount(const Ring& ring) {
  --tools_.rings, --owner_.stats->rings;
  bytes_ -= ring.capacity();
}

void RingSet::count_dropped(Ring& ring) {
  const uint64_t more = ring.take_dropped();
  owner_.stats->ring_dropped += more;
  if (owner_.client) owner_.client->dropped += more;
}

void RingSet::violation(Ring& ring, const char* what) {
  ++owner_.stats->ring_violations;
  log::sampled(log::Level::warn, "ring", "{}: ring {:016x}: {}; everything up to its head is skipped",
               owner_.peer.address, ring.id(), what);
  if (on_violation) on_violation(what);
}

/// A record that may go now. What was there at the look before is due whatever its clock says, so that a
/// clock which is wrong, or was set back, holds nothing up.
void RingSet::look_ahead(Ring& ring, int64_t cut_ns) {
  const char* wrong;
  const bool found = ring.peek(wrong);
  if (wrong) violation(ring, wrong);
  if (!found) return;
  int64_t ns = tools_.clock.ns(ring.clock(), ring.next_clock());
  if (ns > cut_ns) {
    if (!ring.next_is_old() && !finishing_) return;
    ns = cut_ns;
  }
  heap_.push_back({ns, &ring});
  std::push_heap(heap_.begin(), heap_.end());
}

void RingSet::look(int64_t cut_ns) {
  heap_.clear();
  for (auto& ring : rings_) {
    if (const char* wrong = ring->look()) violation(*ring, wrong);
    count_dropped(*ring);
    look_ahead(*ring, cut_ns);
  }
}

uint64_t RingSet::written() const {
  uint64_t sum = 0;
  for (const auto& ring : rings_) sum += ring->head() + ring->dropped();
  return sum;
}

Intake RingSet::take(Ring& ring) {
  const std::string_view record = ring.take(tools_.record);
  const Transcoded& t = tools_.transcoder.transcode(record, ring.clock(), *arena_, tools_.clock);
  if (t.refused.empty() && !t.too_long)
    return t.plain ? handler_.on_line(ring.producer, t.stream, t.line)
                   : handler_.on_frame(ring.producer, t.line);
  const Reason reason = t.too_long ? Reason::too_long : Reason::bad_json;
  if (!t.too_long)
    log::sampled(log::Level::warn, "ring_record", "{}: ring {:016x}: a record is refused: {}",
                 owner_.peer.address, ring.id(), t.refused);
  handler_.on_bad_frame(ring.producer, reason, record.substr(0, kRawBytesMax), record.size());
  return Intake::taken;
}

/// Whose ring was made after the cut has written nothing before it.
bool RingSet::awaits_ring(int64_t monotonic_ns) {
  if (!arena_ || finishing_) return false;
  if (awaited_ == 0) {
    cut_ns_ = tools_.clock.now_ns();
    const uint64_t made = arena_->rings_made();
    if (made <= newest_) return false;
    awaited_ = made, awaited_since_ns_ = monotonic_ns;
  }
  if (newest_ < awaited_ && monotonic_ns - awaited_since_ns_ < kRingAwaitedNs) return true;
  newest_ = std::max(newest_, awaited_);
  awaited_ = 0;
  return false;
}

Swept RingSet::sweep() {
  Swept swept;
  const std::optional<int64_t> cut = std::exchange(cut_ns_, std::nullopt);
  if (!arena_ || rings_.empty()) return swept;
  tools_.clock.refresh();
  const int64_t cut_ns = cut ? *cut : tools_.clock.now_ns();
  look(cut_ns);
  size_t bytes = 0;
  while (!heap_.empty() && swept.intake == Intake::taken && !swept.more) {
    Ring& ring = *heap_.front().ring;
    ring.producer.stamp = owner_.stamp;
    Intake intake = Intake::taken;
    // Its records, as long as none of another ring comes before: one transaction.
    do {
      std::pop_heap(heap_.begin(), heap_.end());
      heap_.pop_back();
      intake = take(ring);
      ++swept.records;
      bytes += ring.last_bytes();
      look_ahead(ring, cut_ns);
      swept.more = bytes >= kSweepBytesMax || intake != Intake::taken;
    } while (!swept.more && !heap_.empty() && heap_.front().ring == &ring);
    swept.intake = handler_.on_turn_end(ring.producer);
    if (!ring.producer.rejects.empty()) ring.add_rejected(ring.producer.rejects.size());
    ring.producer.rejects.clear();
  }
  if (arena_)
    if (const char* fault = arena_->take_fault()) {
      ++owner_.stats->ring_violations;
      log::sampled(log::Level::warn, "ring", "{}: {}; nothing more of it is read", owner_.peer.address,
                   fault);
      if (on_violation) on_violation(fault);
    }
  return swept;
}

void RingSet::publish() {
  const uint64_t mark = handler_.journal_mark();
  for (auto& ring : rings_) {
    ring->note_mark(mark);
    ring->publish([this](uint64_t m) { return handler_.has_reached(m, safe_); });
  }
  let_go_of_closed();
}

void RingSet::let_go_of_closed() {
  std::erase_if(rings_, [this](auto& ring) {
    if (!ring->closed() || !ring->drained() || !ring->published()) return false;
    detach(*ring);
    return true;
  });
}

bool RingSet::waits() const {
  return std::ranges::any_of(rings_, [](auto& ring) { return !ring->published(); });
}

void RingSet::set_napping(bool napping) {
  if (arena_) arena_->set_napping(napping);
}

void RingSet::finish() {
  finishing_ = true;
  for (auto& ring : rings_) {
    if (const char* wrong = ring->look()) violation(*ring, wrong);
    count_dropped(*ring);  // there may be no more sweep
    ring->end_here();
  }
}

bool RingSet::finished() const {
  return std::ranges::all_of(rings_, [](auto& ring) { return ring->drained() && ring->published(); });
}

}  // namespace weir::ring
