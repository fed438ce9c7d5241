#include "agent/ingest/ring_link.h"

#include "agent/core/log.h"
#include "agent/ingest/session.h"

namespace weir {
namespace {

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
  if (set_) sweeper_->remove(*set_);
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
    attached = attach_one(what, ring_id);
  }
  replies.ring(out, what, ring_id, attached.code, attached.text);
  if (attached.code == ring::kAttached) return;
  ++producer_.stats->ring_refusals;
  log::sampled(log::Level::warn, "ring_attach", "{}: a ring is refused: {}", producer_.peer.address,
               attached.text);
  if (attached.code != ring::kTooMany && attached.code != ring::kBadClock) on_violation_("it is no ring");
}

ring::Attached RingLink::attach_one(uint8_t what, uint64_t ring_id) {
  ring::Descriptor fd = descriptors_.take();
  if (!set_) {
    if (!context_.rings)
      context_.rings =
          std::make_shared<RingSweeper>(context_.io, context_.gate, context_.waiting, system_clock());
    sweeper_ = context_.rings;
    sweeper_->tools().transcoder.set_line_bytes_max(context_.buffer.record_bytes_max);
    set_ = std::make_shared<ring::RingSet>(handler_, producer_, sweeper_->tools());
    set_->on_violation = on_violation_;
    sweeper_->add(set_, on_change_);
  }
  uint64_t bytes_left = UINT64_MAX;
  if (share_) bytes_left = share_->aside.bytes_max - std::min(share_->aside.bytes_max, share_->aside.bytes);
  auto attached = set_->attach(what, ring_id, fd.get(), bytes_left);
  if (what == ring::kDoorbell && attached.code == ring::kAttached)
    if (const char* wrong = sweeper_->set_doorbell(*set_, std::move(fd))) return {ring::kBadMemory, wrong};
  count_memory(set_->bytes());
  sweeper_->hurry(*set_);
  return attached;
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
}

}  // namespace weir
