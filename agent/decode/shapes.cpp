#include "agent/decode/shapes.h"

#include <algorithm>
#include <cstring>

#include "agent/core/json.h"

namespace weir::decode {
namespace {

constexpr size_t kGlueBytesMax = 254;
constexpr int kAlternativesMax = 16;
constexpr size_t kBytesMax = 65535;    // ShapeStep::bytes
constexpr size_t kMembersMax = 16384;  // RecordShape::members of all shapes together
constexpr size_t kShareMax = 8;        // one shape may have an eighth of each

}  // namespace

/// A record taken apart.
struct Shapes::Draft {
  struct Step {
    ShapeStep step;
    std::string_view glue;
  };
  std::vector<Step> steps;
  const std::unique_ptr<RecordShape> shape = std::make_unique<RecordShape>();
};

/// Takes a record apart that the parser has accepted. Gives up (ok() is false) on what glue cannot say:
/// escaped keys, long keys, very many fields.
class Shapes::Drafter {
 public:
  Drafter(std::string_view text, Draft& out)
      : out_(out), shape_(*out.shape), end_(text.data() + text.size()) {
    glue_ = text.data();
    record(json::skip_space(glue_) + 1);
    emit(end_, Hole::end, kAnyType);
  }
  bool ok() const { return ok_; }

 private:
  using Anchor = RecordShape::Anchor;
  using Entry = RecordShape::Entry;

  /// `p` within the glue that is not finished, or right behind its hole.
  Anchor anchor(const char* p) const { return {uint16_t(out_.steps.size()), int16_t(p - glue_)}; }

  /// The glue ends at `to`, where the hole begins.
  void emit(const char* to, Hole hole, uint8_t allowed) {
    const std::string_view glue(glue_, size_t(to - glue_));
    const auto quotes = size_t(std::count(glue.begin(), glue.end(), '"'));
    if (glue.size() > kGlueBytesMax || quotes > kQuotesMax || glue.find('\\') != glue.npos ||
        out_.steps.size() == kShapeStepsMax)
      ok_ = false;
    if (!ok_) return;
    Draft::Step& made = out_.steps.emplace_back();
    made.glue = glue;
    ShapeStep& step = made.step;
    step.size = uint8_t(glue.size());
    step.quotes = uint8_t(quotes);
    step.hole = hole;
    step.wanted = ~0u;
    if (step.simple()) {
      step.first_quote = quotes > 0 ? uint8_t(glue.find('"')) : step.size;
      std::memcpy(step.glue, glue.data(), glue.size());
      if (glue.size() < 32) step.wanted = (1u << glue.size()) - 1;
    }
    step.allowed = allowed;
  }

  /// Behind the brace of the record.
  void record(const char* p) {
    uint32_t ordinal = 0;
    for (p = json::skip_space(p); *p != '}' && ok_; ++ordinal) {
      const char* const key = p;
      Entry entry;
      p = take_key(p, entry);
      if (!ok_) return;
      const std::string_view name(key + 1, std::string_view(key + 1, size_t(p - key - 1)).find('"'));
      const Reserved* const reserved =
          name.size() > 16 ? nullptr : find_reserved(eight_bytes(name, 0), eight_bytes(name, 8), name.size());
      entry.ordinal = ordinal;
      p = behind(value(p, entry, reserved, reserved == nullptr ? kAnyType : allowed_by(*reserved)));
      if (reserved == nullptr) continue;
      shape_.present |= uint64_t(1) << unsigned(reserved->field);
      shape_.fields[size_t(reserved->field)] = entry;
    }
    shape_.member_count = ordinal;
  }

  static uint8_t allowed_by(const Reserved& reserved) {
    uint8_t allowed = reserved.allowed;
    if (reserved.extra == Extra::integer) allowed |= ShapeStep::kInteger;
    if (reserved.extra == Extra::finite) allowed |= ShapeStep::kFinite;
    return allowed;
  }

  /// `p` at the opening quote of a key; returns where its value begins.
  const char* take_key(const char* p, Entry& entry) {
    bool escaped;
    entry.key = anchor(p);
    p = json::skip_string(p, escaped);
    entry.key_end = anchor(p);
    if (escaped || p - glue_ > ptrdiff_t(kGlueBytesMax)) ok_ = false;
    return json::skip_space(json::skip_space(p) + 1);
  }

  /// `p` at the end of a value; returns where the next one begins, or the closing bracket.
  static const char* behind(const char* p) {
    p = json::skip_space(p);
    return *p == ',' ? json::skip_space(p + 1) : p;
  }

  /// `reserved`: what is known of the field, for the record's own members. Fills in `entry`.
  const char* value(const char* p, Entry& entry, const Reserved* reserved, uint8_t allowed) {
    entry.type = json::type_of(*p);
    if (entry.type == JsonType::object || entry.type == JsonType::array) return container(p, entry, reserved);
    const char* const behind = json::skip_value(p);
    entry.value = anchor(p);
    if (entry.type == JsonType::string && reserved != nullptr && reserved->extra == Extra::stream) {
      // The name of the stream is part of the shape: nothing has to look at it again.
      shape_.stream = parse_stream({p + 1, size_t(behind - p - 2)});
      if (!shape_.stream || behind - glue_ > ptrdiff_t(kGlueBytesMax)) ok_ = false;
    } else if (entry.type == JsonType::string) {
      emit(p + 1, Hole::text, allowed);
      glue_ = behind - 1;
    } else {
      entry.bare = true;
      emit(p, Hole::bare, allowed);
      glue_ = behind;
    }
    entry.value_end = anchor(behind);
    return behind;
  }

  const char* container(const char* p, Entry& entry, const Reserved* reserved) {
    const bool object = *p == '{';
    const bool lists_members = reserved != nullptr && reserved->extra == Extra::members;
    uint8_t allowed = kAnyType;
    if (reserved != nullptr && reserved->extra == Extra::objects) allowed = kObject;
    if (reserved != nullptr && reserved->extra == Extra::strings) allowed = kString;
    entry.value = anchor(p);
    if (lists_members) entry.first_member = uint32_t(shape_.members.size());
    for (p = json::skip_space(p + 1); *p != '}' && *p != ']' && ok_; p = behind(p)) {
      Entry child;
      if (object) p = take_key(p, child);
      if (!ok_) return p;
      p = value(p, child, nullptr, allowed);
      if (lists_members) shape_.members.push_back(child), ++entry.member_count;
    }
    entry.value_end = anchor(p + 1);
    return p + 1;
  }

  Draft& out_;
  RecordShape& shape_;
  const char* const end_;
  const char* glue_;
  bool ok_ = true;
};

Shapes::Shapes() : draft_(std::make_unique<Draft>()) { forget(); }
Shapes::~Shapes() = default;

void Shapes::forget() {
  steps_.clear();
  steps_.resize(1);
  shapes_.clear();
  bytes_.clear();
  members_ = 0;
}

size_t Shapes::memory_bytes() const {
  size_t bytes = steps_.capacity() * sizeof(ShapeStep) + shapes_.capacity() * sizeof(shapes_[0]) +
                 bytes_.capacity() + draft_->steps.capacity() * sizeof(Draft::Step);
  const auto add = [&](const RecordShape& s) {
    bytes += sizeof s + s.members.capacity() * sizeof(RecordShape::Entry);
  };
  for (const auto& shape : shapes_) add(*shape);
  add(*draft_->shape);
  return bytes;
}

void Shapes::judge_window() {
  if (missed_ > tried_ / 2) {
    resting_ = rest_;
    rest_ = std::min(rest_ * 2, kRestMax);
  } else {
    rest_ = kRestMin;
    // Those that are known may be of programs that have gone: now and then all begin anew, with the next
    // record.
    if (crowded_ && missed_ > tried_ / kMissedShare && ++crowded_windows_ == kCrowdedWindows) resting_ = 1;
  }
  if (resting_ > 0) crowded_windows_ = 0;
  tried_ = missed_ = futile_ = 0;
  crowded_ = false;
}

void Shapes::learn(std::string_view text) {
  count_miss();
  crowded_ |= steps_.size() + kShapeStepsMax > kStepsMax || shapes_.size() == kShapesMax;
  if (crowded_ || futile_ >= kFutileMax || resting_ > 0) return;
  draft_->steps.clear();
  RecordShape& shape = *draft_->shape;
  shape.present = 0, shape.member_count = 0, shape.stream.reset();
  shape.members.clear();  // its fields are read where they are present
  if (!Drafter(text, *draft_).ok() || !insert(*draft_)) ++futile_;
}

/// The child of `parent` that is this step, 0: none. `last`: the last alternative, 0: there is no child at
/// all.
uint32_t Shapes::find_child(uint32_t parent, const Draft& draft, size_t step, uint32_t& last) const {
  const Draft::Step& wanted = draft.steps[step];
  last = 0;
  if (parent + 1 == steps_.size()) return 0;
  for (uint32_t child = parent + 1; child != last; child = steps_[child].sibling) {
    const ShapeStep& s = steps_[child];
    if (s.hole == wanted.step.hole && std::string_view(bytes_).substr(s.bytes, s.size) == wanted.glue)
      return child;
    last = child;
    if (s.sibling == 0) break;
  }
  return 0;
}

bool Shapes::insert(Draft& draft) {
  uint32_t at = 0, last = 0;
  size_t known = 0;
  for (uint32_t child; known < draft.steps.size() && (child = find_child(at, draft, known, last)) != 0;
       ++known)
    at = child;
  if (known == draft.steps.size()) return false;  // it was there, and its holes did not fit
  int alternatives = 0;
  for (uint32_t s = last == 0 ? 0 : at + 1; s != 0; s = steps_[s].sibling) ++alternatives;
  size_t bytes = bytes_.size();
  for (size_t step = known; step < draft.steps.size(); ++step) bytes += draft.steps[step].glue.size();
  const size_t members = members_ + draft.shape->members.size();
  const bool wide =
      (bytes - bytes_.size()) * kShareMax > kBytesMax || (members - members_) * kShareMax > kMembersMax;
  if (wide) return false;
  if (alternatives >= kAlternativesMax || bytes > kBytesMax || members > kMembersMax) {
    crowded_ = true;
    return false;
  }
  members_ = members;
  if (last != 0) steps_[last].sibling = uint16_t(steps_.size());
  for (; known < draft.steps.size(); ++known) {
    // Made where it stays: the sanitizers of g++ 12 do not align what is on the stack that much.
    ShapeStep& step = steps_.emplace_back(draft.steps[known].step);
    step.bytes = uint16_t(bytes_.size());
    bytes_ += draft.steps[known].glue;
    if (step.hole == Hole::end) step.shape = uint16_t(shapes_.size());
  }
  draft.shape->id = next_id_++;
  draft.shape->glues = uint32_t(draft.steps.size());
  shapes_.push_back(std::make_unique<RecordShape>(*draft.shape));
  return true;
}

}  // namespace weir::decode
