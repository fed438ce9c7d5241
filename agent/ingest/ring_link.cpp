#include "agent/ingest/ring_link.h"

#include <sys/stat.h>

#include <cstdio>

#include "agent/core/clock.h"
#include "agent/core/log.h"
#include "agent/ingest/session.h"

namespace weir {
namespace {

constexpr int64_t kAttachedAnew = 4;  // descriptors that are kept anew when a client connects once more
constexpr size_t kPayloadBytes = sizeof(uint8_t) + sizeof(uint64_t);

}  // namespace

RingLink::RingLink(IngestContext& context, FrameHandler& handler, const Producer& producer,
                   std::shared_ptr<UidShare> share, std::function<void()> on_change,
                   std::function<void(const char*)> on_violation)
    : context_(context),
      handler_(handler),
      producer_(producer),
      share_(std::move(share)),
      on_change_(std::move(on_change)),
      on_violation_(std::move(on_violation)) {}

RingLink::~RingLink() {
  if (set_) set_->on_gone = nullptr, sweeper_->remove(*set_);
  count_memory(0);
}

void RingLink::count_memory(uint64_t bytes) {
  if (share_) share_->aside.bytes += bytes - counted_;
  counted_ = bytes;
}

void RingLink::attach(std::string_view payload, const Replies& replies, std::string& out) {
  ring::Attached attached{ring::kBadFrame, "a RING frame has nine bytes"};
  uint8_t what = 0;
  uint64_t ring_id = 0;
  if (payload.size() == kPayloadBytes) {
    what = uint8_t(payload[0]), ring_id = frames::load<uint64_t>(payload.data() + 1);
    ring::Descriptor fd = descriptors_.take();
    attached = attach_one(what, ring_id, fd);
  }
  replies.ring(out, what, ring_id, attached.code, attached.text);
  if (attached.code == ring::kAttached) return;
  ++producer_.stats->ring_refusals;
  if (attached.follows) return;
  log::sampled(log::Level::warn, "ring_attach", "{}: a ring is refused: {}", producer_.peer.address,
               attached.text);
  if (attached.code != ring::kTooMany && attached.code != ring::kBadClock) on_violation_("it is no ring");
}

void RingLink::make_set() {
  if (!context_.rings)
    context_.rings =
        std::make_shared<RingSweeper>(context_.io, context_.gate, context_.waiting, system_clock());
  sweeper_ = context_.rings;
  sweeper_->tools().transcoder.set_line_bytes_max(context_.buffer.record_bytes_max);
  set_ = std::make_shared<ring::RingSet>(handler_, producer_, sweeper_->tools());
  set_->on_violation = on_violation_;
  set_->on_gone = [this](uint64_t ring_id) {
    count_memory(set_->bytes());
    context_.kept.forget(key_, KeptStore::ring_part(ring_id));
  };
  sweeper_->add(set_, on_change_);
}

/// A client sends its rings without waiting for what becomes of arena and doorbell; when one of these is
/// refused it sends their records itself.
ring::Attached RingLink::attach_one(uint8_t what, uint64_t ring_id, ring::Descriptor& fd) {
  for (const ring::Attached* base : {&arena_refusal_, &doorbell_refusal_})
    if (what == ring::kRing && base->code != ring::kAttached) return {base->code, base->text, true};
  auto attached = attach_to_set(what, ring_id, fd);
  if (attached.code == ring::kBadOrder) return attached;  // there is one
  if (what == ring::kArena) arena_refusal_ = attached;
  if (what == ring::kDoorbell && !adopting_) doorbell_refusal_ = attached;  // else its rings are read late
  return attached;
}

/// Takes away a doorbell only.
ring::Attached RingLink::attach_to_set(uint8_t what, uint64_t ring_id, ring::Descriptor& fd) {
  if (!set_) make_set();
  uint64_t bytes_left = UINT64_MAX;
  if (share_ && !adopting_)
    bytes_left = share_->aside.bytes_max - std::min(share_->aside.bytes_max, share_->aside.bytes);
  const int kept = fd.get();
  auto attached = set_->attach(what, ring_id, kept, bytes_left);
  if (what == ring::kDoorbell && attached.code == ring::kAttached)
    if (const char* wrong = sweeper_->set_doorbell(*set_, std::move(fd))) return {ring::kBadMemory, wrong};
  if (attached.code == ring::kAttached && !adopting_) keep(what, ring_id, kept);
  count_memory(set_->bytes());
  sweeper_->hurry(*set_);
  return attached;
}

/// The same memory of the same client has the same key, whoever reads it. The hash is none that resists: no
/// user may come by the key of another, and put his card in its place.
std::string RingLink::key_of(int arena) const {
  struct stat st {};
  fstat(arena, &st);
  const std::string who = std::to_string(st.st_ino) + " " + producer_.client->identity->client_id;
  char text[40];
  std::snprintf(text, sizeof text, "%u_%016zx", unsigned(producer_.peer.uid.value_or(0)),
                std::hash<std::string>()(who));
  return text;
}

/// Who connects once more with the same memory is not new, but may not do so without end.
bool RingLink::keep_arena(int fd) {
  KeptStore& store = context_.kept;
  std::string key = key_of(fd);
  const bool known = store.keeps(key, KeptStore::kArena);
  if (!(known ? within_budget(kAttachedAnew) : store.admits_new())) return false;
  use_key(std::move(key));
  if (known || store.keep(key_, KeptStore::kArena, fd)) return true;
  store.release(key_);  // rings alone nobody can read
  key_.clear();
  return false;
}

/// Of rings no more in a second than a program makes that uses threads for a while.
bool RingLink::keep_part(uint8_t what, uint64_t ring_id, int fd) {
  if (key_.empty()) return false;
  if (what == ring::kDoorbell) return context_.kept.keep(key_, KeptStore::kDoorbell, fd);
  return within_budget(1) && context_.kept.keep(key_, KeptStore::ring_part(ring_id), fd);
}

void RingLink::keep(uint8_t what, uint64_t ring_id, int fd) {
  if (!context_.kept.available() && key_.empty()) return;
  const bool kept = what == ring::kArena ? keep_arena(fd) : keep_part(what, ring_id, fd);
  if (kept || what == ring::kDoorbell || std::exchange(unkept_, true)) return;
  log::sampled(
      log::Level::warn, "ring_kept",
      "{}: the service manager does not keep all of its rings: when it dies together with the agent, "
      "what they hold is lost; {}",
      producer_.peer.address,
      key_.empty() ? "too many processes are new at present: have it connect anew later"
                   : "raise FileDescriptorStoreMax, or make fewer threads anew");
}

bool RingLink::within_budget(int64_t descriptors) {
  const auto uid = producer_.peer.uid;
  return !uid || context_.shares.may_keep(*uid, system_clock().monotonic_ns(), descriptors);
}

void RingLink::use_key(std::string key) {
  key_ = std::move(key);
  context_.kept.retain(key_);
}

bool RingLink::adopt(KeptGroup& group, Adopt how) {
  make_set();
  use_key(group.key);
  adopting_ = true;  // it is kept as it is
  bool all = true;
  const auto attach = [&](uint8_t what, uint64_t ring_id, ring::Descriptor& fd) {
    const auto attached = attach_one(what, ring_id, fd);
    if (attached.code == ring::kAttached || what == ring::kDoorbell) return;  // without it they are read late
    all = false;
    if (how == Adopt::whole) return;
    if (what == ring::kRing) context_.kept.forget(key_, KeptStore::ring_part(ring_id));
    ++producer_.stats->ring_refusals;
    if (!attached.follows)
      log::error("{}: what was kept of its rings cannot be read: {}", producer_.peer.address, attached.text);
  };
  attach(ring::kArena, 0, group.arena);
  if (group.doorbell.get() >= 0) attach(ring::kDoorbell, 0, group.doorbell);
  for (auto& [ring_id, fd] : group.rings) attach(ring::kRing, ring_id, fd);
  adopting_ = false;
  return all;
}

void RingLink::uncount() {
  count_memory(0);
  share_.reset();
}

void RingLink::give_back() {
  if (set_) set_->on_gone = nullptr;
  close();
}

void RingLink::finish() {
  if (!set_) return;
  set_->finish();
  sweeper_->hurry(*set_);
}

void RingLink::close() {
  if (!set_) return;
  set_->close();
  sweeper_->remove(*set_);
  set_.reset();
  count_memory(0);
  if (!key_.empty()) context_.kept.release(key_);
  key_.clear();
}

}  // namespace weir
