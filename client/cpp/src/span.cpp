#include "weir/span.h"

#include <cstdio>
#include <cstdlib>

#include "client/cpp/src/process.h"

namespace weir {

using namespace detail;

namespace {

constexpr uint64_t mix(uint64_t h, uint64_t value) {
  h = (h ^ value) * 0xff51afd7ed558ccd;
  return h ^ h >> 29;
}

/// Of all threads' shapes; under the lock. The place where it is, or where it would be; null: full.
SpanShape* find_shape(uint64_t hash) {
  for (size_t i = 0; i < kShapesMax; ++i) {
    SpanShape& s = process.shapes[(hash + i) & (kShapesMax - 1)];
    if (s.site == 0 || s.hash == hash) return &s;
  }
  return nullptr;
}

}  // namespace

Span::Span(const char* name, const char* file, int line) noexcept
    : name_(name),
      file_(file),
      line_(line),
      shape_(mix(mix(uint64_t(line), reinterpret_cast<uintptr_t>(file)), reinterpret_cast<uintptr_t>(name))),
      thread_(&thread) {
  Context& c = thread_->context;
  parent_has_ = c.has;
  uint64_t high, low, parent;
  if (c.has & ring::kTraceId) {
    std::memcpy(&high, c.trace_id, 8);
    std::memcpy(&low, c.trace_id + 8, 8);
  } else {
    high = random_number(*thread_);
    low = random_number(*thread_);
  }
  std::memcpy(&parent, c.span_id, 8);
  const uint64_t mine = random_number(*thread_);
  put(put(reinterpret_cast<char*>(trace_id_), high), low);
  put(reinterpret_cast<char*>(span_id_), mine);
  put(reinterpret_cast<char*>(parent_id_), parent);
  put(put(reinterpret_cast<char*>(c.trace_id), high), low);
  put(reinterpret_cast<char*>(c.span_id), mine);
  c.has |= ring::kTraceId | ring::kSpanId;
  start_ = clock_now();
}

bool Span::make_room(size_t bytes, size_t& cap) noexcept {
  if (count_ == kSetsMax) return shortened_ = true, false;
  if (used_ + bytes > kValuesBytesMax) {
    shortened_ = true;
    if (used_ + 16 > kValuesBytesMax) return false;
    cap = bytes > 16 ? kValuesBytesMax - used_ - 4 : cap;  // of what is short nothing can be cut
    bytes = bytes < kValuesBytesMax - used_ ? bytes : kValuesBytesMax - used_;
  }
  if (used_ + bytes <= room_) return true;
  uint32_t room = room_;
  while (room < used_ + bytes) room *= 2;
  char* const more = static_cast<char*>(values_ == inline_ ? std::malloc(room) : std::realloc(values_, room));
  if (!more) return shortened_ = true, false;
  if (values_ == inline_) std::memcpy(more, inline_, used_);
  values_ = more;
  room_ = room;
  return true;
}

Span& Span::error(std::string_view type, std::string_view message) noexcept {
  if (!failure_) failure_ = static_cast<Failure*>(std::malloc(sizeof(Failure)));
  if (!failure_) return *this;
  failure_->type_bytes = uint8_t(TextWire::kept(type, sizeof failure_->type));
  failure_->message_bytes = uint16_t(TextWire::kept(message, sizeof failure_->message));
  put_bytes(failure_->type, type.data(), failure_->type_bytes);
  put_bytes(failure_->message, message.data(), failure_->message_bytes);
  return *this;
}

/// The site for this name, place, and these keys and types; 0 when there is none, and that is counted.
uint32_t Span::site(Thread& t) noexcept {
  if (!t.data && !open_ring(t)) return count_drop(t), 0;
  SpanShape& mine = t.shapes[shape_ & (kSpanShapes - 1)];
  if (__builtin_expect(mine.hash == shape_ && mine.site, 1)) return mine.site;
  const Lock lock(process.arena_lock);
  SpanShape* const shape = find_shape(shape_);
  if (!shape) return count_drop(t), 0;
  if (shape->site == 0) {
    char where[512];
    std::snprintf(where, sizeof where, "%s:%d", file_, line_);
    const Site site{ring::RecordKind::span, ring::Level::info, name_, "", where};
    const uint32_t id = add_site(process.arena, site, keys_, count_);
    if (id == kNoSite) return count_drop(t), 0;
    *shape = {shape_, id};
  }
  mine = *shape;
  return mine.site;
}

size_t Span::error_bytes() const noexcept {
  return failure_ ? 1 + failure_->type_bytes + 2 + failure_->message_bytes : 0;
}

void Span::end() noexcept {
  if (done_) return;
  done_ = true;
  Thread& t = thread;
  Context& c = t.context;
  // What ends out of order, or in another thread, leaves the ids alone that others have set.
  if (&t == thread_ && std::memcmp(c.span_id, span_id_, 8) == 0) {
    std::memcpy(c.span_id, parent_id_, 8);
    c.has = uint8_t((c.has & ~(ring::kTraceId | ring::kSpanId)) |
                    (parent_has_ & (ring::kTraceId | ring::kSpanId)));
  }
  const Busy busy(t);
  if (!busy) {
    count_drop(t);
  } else if (const uint32_t id = site(t)) {
    const bool parent = parent_has_ & ring::kSpanId, correlation = c.has & ring::kCorrelationId;
    const size_t bytes = aligned(sizeof(ring::RecordHeader) + 1 + 24 + (parent ? 8 : 0) +
                                 (correlation ? 1 + c.correlation_bytes : 0) + error_bytes() + 8 + used_);
    if (char* const at = reserve(t, bytes, failure_)) {
      char* to = put(at + sizeof(ring::RecordHeader),
                     uint8_t(ring::kTraceId | ring::kSpanId | (parent ? ring::kParentId : 0) |
                             (correlation ? ring::kCorrelationId : 0) | (failure_ ? ring::kError : 0) |
                             (shortened_ ? ring::kShortened : 0)));
      std::memcpy(to, trace_id_, 16);
      std::memcpy(to + 16, span_id_, 8);
      to += 24;
      if (parent) std::memcpy(to, parent_id_, 8), to += 8;
      if (correlation) to = put_correlation(to, c);
      if (failure_) {
        to = put_bytes(put(to, failure_->type_bytes), failure_->type, failure_->type_bytes);
        to = put_bytes(put(to, failure_->message_bytes), failure_->message, failure_->message_bytes);
      }
      put_bytes(put(to, start_), values_, used_);
      commit(t, at, bytes, id);
    }
  }
  if (values_ != inline_) std::free(values_);
  if (failure_) std::free(failure_);
}

}  // namespace weir
