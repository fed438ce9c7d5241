#include "weir/span.h"

#include <cstdio>
#include <cstdlib>

#include "client/cpp/src/process.h"

namespace weir {

using namespace detail;

namespace {

/// Of a span that has ended: no key is expected, none is taken.
constexpr ArgName kEnded = kNoKey;

constexpr uint64_t kMix = 0xff51afd7ed558ccd;

uint64_t hash_of(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) * kMix; }

/// Which of its thread's shapes a span of this place looks at: the last one and, next to it, the one before.
/// Spans that set a key now and then alternate between two.
size_t place_index(const char* name, int line) {
  static_assert(kSpanShapes == 512);
  return ((reinterpret_cast<uintptr_t>(name) + (uint64_t(line) << 32)) * kMix) >> 56 << 1;
}

/// It is the last one from here on.
void remember(const SpanShape** at, const SpanShape* shape) {
  if (at[0] == shape) return;
  at[1] = at[0];
  at[0] = shape;
}

bool is_same(const ArgName& a, const ArgName& b) { return a.name == b.name && a.type == b.type; }

bool is_of_place(const SpanShape& s, const char* name, const char* file, int line) {
  return s.name == name && s.file == file && s.line == line;
}

bool begins_with(const SpanShape& s, const ArgName* keys, size_t count) {
  if (s.keys_count < count) return false;
  for (size_t i = 0; i < count; ++i)
    if (!is_same(s.keys[i], keys[i])) return false;
  return true;
}

/// For a record's bytes, 16 at least.
void copy_record(char* to, const char* from, size_t bytes) {
  for (size_t i = 0; i + 16 < bytes; i += 16) std::memcpy(to + i, from + i, 16);
  std::memcpy(to + bytes - 16, from + bytes - 16, 16);
}

struct WantedShape {
  const char* name;
  const char* file;
  int line;
  const ArgName* keys;
  size_t count;

  uint64_t hash() const {
    uint64_t h = hash_of(name) + hash_of(file) * 3 + uint64_t(line);
    for (size_t i = 0; i < count; ++i)
      h = (h << 13 | h >> 51) ^ (hash_of(keys[i].name) + uint64_t(keys[i].type));
    return h * kMix >> 32;
  }
  bool is(const SpanShape& s) const {
    return is_of_place(s, name, file, line) && s.keys_count == count && begins_with(s, keys, count);
  }
};

/// The place where it is, or where it would be; null: none is free near there. No lock is needed to find one.
SpanShape* find_shape(const WantedShape& wanted) {
  constexpr size_t kSlots = 2 * kShapesMax, kTries = 256;
  const uint64_t hash = wanted.hash();
  for (size_t i = 0; i < kTries; ++i) {
    SpanShape& s = span_shapes.all[(hash + i) & (kSlots - 1)];
    if (s.site.load(std::memory_order_acquire) == 0 || wanted.is(s)) return &s;
  }
  return nullptr;
}

/// It with its site, which is kNoSite where the arena had no room for it; made now if it is not known. Null:
/// there are kShapesMax.
const SpanShape* shape_of(const WantedShape& wanted) {
  SpanShape* s = find_shape(wanted);
  if (!s || s->site.load(std::memory_order_relaxed)) return s;
  if (span_shapes.count.load(std::memory_order_relaxed) == kShapesMax) return nullptr;
  const Lock lock(process.arena_lock);
  s = find_shape(wanted);
  if (!s || s->site.load(std::memory_order_relaxed)) return s;
  if (span_shapes.count.load(std::memory_order_relaxed) == kShapesMax) return nullptr;
  char where[512];
  std::snprintf(where, sizeof where, "%s:%d", wanted.file, wanted.line);
  const uint32_t id =
      add_site(process.arena, {ring::RecordKind::span, ring::Level::info, wanted.name, "", where},
               wanted.keys, wanted.count);
  span_shapes.count.fetch_add(1, std::memory_order_relaxed);
  ArgName* const keys = span_shapes.keys + span_shapes.keys_used;
  span_shapes.keys_used += wanted.count + 1;
  for (size_t i = 0; i < wanted.count; ++i) keys[i] = wanted.keys[i];
  keys[wanted.count] = kNoKey;
  s->keys_count = uint32_t(wanted.count);
  s->name = wanted.name;
  s->file = wanted.file;
  s->line = wanted.line;
  s->keys = keys;
  s->site.store(id, std::memory_order_release);
  return s;
}

}  // namespace

Span::Span(const char* name, const char* file, int line) noexcept
    : name_(name), file_(file), line_(line), thread_(&thread) {
  Thread& t = *thread_;
  const SpanShape* const last = t.shapes ? t.shapes[place_index(name, line)] : nullptr;
  if (last && is_of_place(*last, name, file, line)) {
    shape_ = last;
    next_ = last->keys;
  } else {
    shape_ = nullptr;
    next_ = keys_;
    keys_[0] = kNoKey;
  }

  Context& c = t.context;
  const uint8_t had = had_ = c.has;
  const uint64_t random = take_random(t, 3), mine = random_of(random + kRandomStep);
  char* to = inline_ + kTraceIdAt;
  if (had & ring::kTraceId)
    std::memcpy(to, c.trace_id, 16);
  else
    put(put(to, random_of(random + 2 * kRandomStep)), random_of(random + 3 * kRandomStep));
  to = put(inline_ + kSpanIdAt, mine);
  inline_[kHasAt] = kBothIds;
  if (had & ring::kSpanId) {
    inline_[kHasAt] = kBothIds | ring::kParentId;
    std::memcpy(to, c.span_id, 8);
    to += 8;
  }
  set_ids(c, inline_ + kTraceIdAt);
  to_ = to + 8;
  end_ = inline_ + kInline;
  put(to, clock_now(t));
}

void Span::add_text(const char* key, std::string_view value) noexcept { add<TextWire>(key, value); }

/// The other one that this thread remembers of this place, if it has the same keys so far, and then this one.
const SpanShape* Span::other_shape(size_t count, const ArgName& key) const noexcept {
  const Thread& t = thread;
  if (!t.shapes) return nullptr;
  const SpanShape** const at = t.shapes + place_index(name_, line_);
  const SpanShape* const other = at[0] == shape_ ? at[1] : at[0];
  const bool is_it = other && other != shape_ && is_of_place(*other, name_, file_, line_) &&
                     other->keys_count > count && is_same(other->keys[count], key) &&
                     begins_with(*other, shape_->keys, count);
  return is_it ? other : nullptr;
}

/// So that this key's value can be put, with texts of at most `cap`; false: it is left out.
bool Span::make_way(ArgName key, size_t bytes, size_t& cap) noexcept {
  if (next_ == &kEnded) return false;
  const size_t count = size_t(next_ - (shape_ ? shape_->keys : keys_));
  if (count == kSetsMax) return shortened_ = true, false;
  if (size_t(end_ - to_) < bytes && !make_room(bytes, cap)) return false;
  if (is_same(*next_, key)) return true;
  if (shape_) {
    if (const SpanShape* const other = other_shape(count, key)) {
      // Expected from now on one time in four: one that has come to stay soon is, two in turns rarely change.
      if ((inline_[kSpanIdAt] & 3) == 0) remember(thread.shapes + place_index(name_, line_), other);
      shape_ = other;
      next_ = other->keys + count;
      return true;
    }
    for (size_t i = 0; i < count; ++i) keys_[i] = shape_->keys[i];
    shape_ = nullptr;
    next_ = keys_ + count;
  }
  keys_[count] = key;
  keys_[count + 1] = kNoKey;
  return true;
}

bool Span::make_room(size_t bytes, size_t& cap) noexcept {
  const size_t used = size_t(to_ - record_), most = start_at() + 8 + kValuesBytesMax;
  if (used + bytes > most) {
    shortened_ = true;
    if (used + 16 > most) return false;
    cap = bytes > 16 ? most - used - 4 : cap;  // of what is short nothing can be cut
    bytes = bytes < most - used ? bytes : most - used;
  }
  size_t room = size_t(end_ - record_);
  if (used + bytes <= room) return true;
  while (room < used + bytes) room *= 2;
  char* const more = static_cast<char*>(record_ == inline_ ? std::malloc(room) : std::realloc(record_, room));
  if (!more) return shortened_ = true, false;
  if (record_ == inline_) std::memcpy(more, inline_, used);
  record_ = more;
  to_ = more + used;
  end_ = more + (room < most ? room : most);
  return true;
}

Span& Span::error(std::string_view type, std::string_view message) noexcept {
  if (next_ == &kEnded) return *this;
  if (!failure_) failure_ = static_cast<Failure*>(std::malloc(sizeof(Failure)));
  if (!failure_) return *this;
  failure_->type_bytes = uint8_t(TextWire::kept(type, sizeof failure_->type));
  failure_->message_bytes = uint16_t(TextWire::kept(message, sizeof failure_->message));
  put_bytes(failure_->type, type.data(), failure_->type_bytes);
  put_bytes(failure_->message, message.data(), failure_->message_bytes);
  return *this;
}

/// The site for this name, place, and these keys and types; 0 when there is none, and that is counted.
inline uint32_t Span::site(Thread& t) noexcept {
  const SpanShape* shape = shape_;
  if (__builtin_expect(!t.data || !shape || next_->type != kNoKey.type, 0)) {
    shape = whole_shape(t);
    if (!shape) return count_drop(t), 0;
  }
  return shape->site.load(std::memory_order_relaxed);
}

__attribute__((noinline, cold)) const SpanShape* Span::whole_shape(Thread& t) noexcept {
  if (!t.data && !open_ring(t)) return nullptr;
  const ArgName* const keys = shape_ ? shape_->keys : keys_;
  const WantedShape wanted{name_, file_, line_, keys, size_t(next_ - keys)};
  const SpanShape** const at = t.shapes + place_index(name_, line_);
  const SpanShape* shape = nullptr;
  for (size_t i = 0; i < 2 && !shape; ++i)
    if (at[i] && wanted.is(*at[i])) shape = at[i];
  if (!shape) shape = shape_of(wanted);
  if (!shape || shape->site.load(std::memory_order_relaxed) == kNoSite) return nullptr;
  remember(at, shape);
  return shape;
}

/// Of what stands between the ids and the start.
inline size_t Span::more_bytes(const Context& c) const noexcept {
  return (c.has & ring::kCorrelationId ? 1 + c.correlation_bytes : 0) +
         (failure_ ? 1 + failure_->type_bytes + 2 + failure_->message_bytes : 0);
}

__attribute__((always_inline)) inline void Span::write(Thread& t, uint32_t site) noexcept {
  const size_t more = more_bytes(t.context), used = size_t(to_ - record_), bytes = aligned(used + more);
  char* const at = reserve(t, bytes, failure_);
  if (!at) return;
  if (__builtin_expect(more == 0 && !shortened_, 1))
    copy_record(at + kHasAt, record_ + kHasAt, used - kHasAt);
  else
    write_more(at, used);
  commit(t, at, bytes, site);
}

__attribute__((noinline, cold)) void Span::write_more(char* at, size_t used) const noexcept {
  const Context& c = thread.context;
  const size_t start = start_at();
  const bool correlation = c.has & ring::kCorrelationId;
  copy_record(at + kHasAt, record_ + kHasAt, start - kHasAt);
  at[kHasAt] = char(record_[kHasAt] | (correlation ? ring::kCorrelationId : 0) |
                    (failure_ ? ring::kError : 0) | (shortened_ ? ring::kShortened : 0));
  char* to = at + start;
  if (correlation) to = put_correlation(to, c);
  if (failure_) {
    to = put_bytes(put(to, failure_->type_bytes), failure_->type, failure_->type_bytes);
    to = put_bytes(put(to, failure_->message_bytes), failure_->message, failure_->message_bytes);
  }
  put_bytes(to, record_ + start, used - start);
}

__attribute__((noinline, cold)) void Span::give_back() noexcept {
  if (record_ != inline_) {
    std::free(record_);
    record_ = inline_;
  }
  std::free(failure_);
  failure_ = nullptr;
}

void Span::end() noexcept {
  if (next_ == &kEnded) return;
  Thread& t = thread;
  Context& c = t.context;
  // What ends out of order, or in another thread, leaves the ids alone that others have set.
  if (&t == thread_ && std::memcmp(c.span_id, record_ + kSpanIdAt, 8) == 0) {
    if (had_ & ring::kSpanId) std::memcpy(c.span_id, record_ + kParentIdAt, 8);
    c.has = uint8_t((c.has & ~kBothIds) | (had_ & kBothIds));
  }
  {
    const Busy busy(t);
    if (!busy)
      count_drop(t);
    else if (const uint32_t id = site(t))
      write(t, id);
  }
  if (__builtin_expect(record_ != inline_ || failure_, 0)) give_back();
  next_ = &kEnded;
}

}  // namespace weir
