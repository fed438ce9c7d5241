#include "agent/ring/transcode.h"

#include <cstring>

#include "agent/core/clock.h"
#include "agent/ring/text_out.h"

namespace weir::ring {
namespace {

constexpr std::string_view kDoesNotFit = "its values do not fit its length";
constexpr std::string_view kUnknownString = "it names a string that is not in the arena";
/// Names of members, numbers, ids and braces of any line, beside text, keys and arguments.
constexpr size_t kFixedBytes = 1024;
/// An argument that is not text; a time is 32 with its quotes.
constexpr size_t kValueBytes = 48;

template <class T>
T load(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

}  // namespace

/// False: the line would become too long. Growing keeps what is written.
bool Transcoder::room(size_t bytes) {
  const size_t used = size_t(to_ - buffer_.data());
  if (used + bytes + kPadding <= buffer_.size()) [[likely]]
    return true;
  return grow(used + bytes + kPadding);
}

bool Transcoder::grow(size_t bytes) {
  // What is asked for is the most that may come, so the limit has room for that.
  if (size_t(to_ - buffer_.data()) > line_bytes_max_ ||
      bytes > out::kTextGrowth * (line_bytes_max_ + kFixedBytes) + (1 << 20)) {
    out_.too_long = true;
    return false;
  }
  const size_t used = size_t(to_ - buffer_.data());
  buffer_.resize(std::max(bytes, 2 * buffer_.size()));
  to_ = buffer_.data() + used;
  return true;
}

bool Transcoder::take(const char*& from, size_t bytes) {
  if (bytes > size_t(end_ - from_)) return false;
  from = from_;
  from_ += bytes;
  return true;
}

template <class Size>
bool Transcoder::take_text(Text& text) {
  const char* size;
  if (!take(size, sizeof(Size))) return false;
  text.size = load<Size>(size);
  return take(text.at, text.size);
}

bool Transcoder::take_value(Value& value) {
  // By ValueType; 0 where the value tells itself.
  constexpr uint8_t kSizes[] = {0, 4, 4, 8, 8, 8, 1, 0, 4, 0, 8, 16, 8};
  Text text;
  value.size = 0;
  switch (value.type) {
    case ValueType::null:
      return true;
    case ValueType::text:
      if (!take_text<uint16_t>(text)) return false;
      break;
    case ValueType::json:
      if (!take_text<uint32_t>(text)) return false;
      break;
    case ValueType::string: {
      const char* id;
      std::string_view string;
      if (!take(id, sizeof(uint32_t))) return false;
      if (!arena_->string(load<uint32_t>(id), string)) return refuse(kUnknownString), false;
      text = {string.data(), string.size()};
      break;
    }
    default:
      return take(value.at, kSizes[size_t(value.type)]);
  }
  value.at = text.at, value.size = text.size;
  return true;
}

bool Transcoder::read_head(const Site& site, Head& head) {
  const char* has;
  if (!take(has, 1)) return false;
  head.has = uint8_t(*has);
  if ((head.has & kTraceId) && !take(head.trace_id, 16)) return false;
  if ((head.has & kSpanId) && !take(head.span_id, 8)) return false;
  if ((head.has & kParentId) && !take(head.parent_id, 8)) return false;
  if ((head.has & kCorrelationId) && !take_text<uint8_t>(head.correlation_id)) return false;
  if (head.has & kError) {
    if (site.kind != RecordKind::span) return false;
    if (!take_text<uint8_t>(head.error_type) || !take_text<uint16_t>(head.error_message)) return false;
  }
  return site.kind == RecordKind::log || take(head.first, 8);
}

/// Only padding may be left.
bool Transcoder::at_end() { return size_t(end_ - from_) < kAlign; }

int64_t Transcoder::time(const char* at) const { return clock_->ns(kind_, load<uint64_t>(at)); }

const Transcoded& Transcoder::transcode(std::string_view record, ClockKind kind, Arena& arena,
                                        const RingClock& clock) {
  const auto header = load<RecordHeader>(record.data());
  from_ = record.data() + sizeof header, end_ = record.data() + record.size();
  kind_ = kind, arena_ = &arena, clock_ = &clock, record_clock_ = header.clock;
  to_ = buffer_.data();
  out_ = {};
  if (header.site & kDynamic)
    dynamic_record(header.site & ~kDynamic);
  else if (const Site* site = arena.site(header.site))
    site_record(*site);
  else
    refuse("it names a site that is not in the arena");
  if (!out_.refused.empty() || out_.too_long) return out_;
  out_.line = {buffer_.data(), size_t(to_ - buffer_.data())};
  return out_;
}

void Transcoder::site_record(const Site& site) {
  Head head;
  if (!read_head(site, head)) return refuse(kDoesNotFit);
  for (size_t i = 0; i < site.arguments.size(); ++i) {
    values_[i].type = site.arguments[i].type;
    if (!take_value(values_[i])) return out_.refused.empty() ? refuse(kDoesNotFit) : void();
  }
  if (!at_end()) return refuse(kDoesNotFit);
  out_.plain = site.plain;
  const size_t texts = head.has & (kCorrelationId | kError) ? out::kTextGrowth * (2 * 256 + 65536) : 0;
  if (!room(site.constant_bytes + kFixedBytes + texts)) return;

  to_ = out::copy(to_, site.begin);
  switch (site.kind) {
    case RecordKind::log:
      out_.stream = Stream::log;
      to_ = out::integer(to_, clock_->ns(kind_, record_clock_));
      to_ = out::copy(to_, site.middle);
      write_message(site);
      if (!room(site.constant_bytes + kFixedBytes + texts)) return;
      to_ = out::copy(to_, site.end);
      write_ids(head);
      break;
    case RecordKind::span:
      out_.stream = Stream::trace;
      write_ids(head);
      to_ = out::integer(out::copy(to_, ",\"start\":"), time(head.first));
      to_ = out::integer(out::copy(to_, ",\"end\":"), clock_->ns(kind_, record_clock_));
      write_error(site, head);
      break;
    default:
      out_.stream = Stream::telemetry;
      to_ = out::integer(to_, clock_->ns(kind_, record_clock_));
      to_ = out::copy(to_, site.middle);
      if (const auto value = load<double>(head.first); std::isfinite(value))
        to_ = out::number(to_, value, false);
      else
        *to_++ = '"', to_ = out::number(to_, value, false), *to_++ = '"';
      to_ = out::copy(to_, site.end);
      write_ids(head);
  }
  if (out_.too_long) return;
  write_attributes(site);
  if (head.has & kShortened) to_ = out::copy(to_, ",\"shortened\":true");
  *to_++ = '}';
}

void Transcoder::write_ids(const Head& head) {
  const auto id = [&](uint8_t bit, const char* at, size_t bytes, std::string_view key) {
    if (!(head.has & bit)) return;
    to_ = out::hex(out::copy(to_, key), at, bytes);
    *to_++ = '"';
  };
  id(kTraceId, head.trace_id, 16, ",\"trace_id\":\"");
  id(kSpanId, head.span_id, 8, ",\"span_id\":\"");
  id(kParentId, head.parent_id, 8, ",\"parent_span_id\":\"");
  if (!(head.has & kCorrelationId)) return;
  to_ = out::text(out::copy(to_, ",\"correlation_id\":\""), head.correlation_id);
  *to_++ = '"';
}

void Transcoder::write_error(const Site& site, const Head& head) {
  if (!(head.has & kError)) {
    to_ = out::copy(to_, ",\"status\":\"ok\"");
    return;
  }
  to_ = out::copy(to_, ",\"status\":\"error\",\"error\":{\"type\":\"");
  to_ = out::text(to_, head.error_type);
  to_ = out::text(out::copy(to_, "\",\"message\":\""), head.error_message);
  to_ = out::copy(to_, "\"");
  to_ = out::copy(to_, site.end);
  *to_++ = '}';
}

void Transcoder::write_message(const Site& site) {
  for (const Site::Piece& piece : site.message) {
    if (piece.argument < 0) {
      to_ = out::copy(to_, piece.text);
      continue;
    }
    const Value& value = values_[size_t(piece.argument)];
    if (!room(out::kTextGrowth * value.size + site.constant_bytes + kFixedBytes)) return;
    if (is_text(value) || value.type == ValueType::json)
      to_ = out::text(to_, {value.at, value.size});
    else
      write_bare(value);
  }
}

void Transcoder::write_attributes(const Site& site) {
  if (site.arguments.empty()) return;
  for (size_t i = 0; i < site.arguments.size(); ++i) {
    const out::Constant& key = site.arguments[i].key;
    if (!room(key.size() + out::kTextGrowth * values_[i].size + kValueBytes + kFixedBytes)) return;
    to_ = out::copy(to_, key);
    write_value(values_[i]);
  }
  *to_++ = '}';
}

bool Transcoder::is_text(const Value& value) const {
  return value.type == ValueType::text || value.type == ValueType::string;
}

/// As JSON; there is room.
void Transcoder::write_value(const Value& value) {
  switch (value.type) {
    case ValueType::text:
    case ValueType::string:
      return write_text({value.at, value.size});
    case ValueType::json:
      return write_json(value);
    case ValueType::f64:
      if (std::isfinite(load<double>(value.at))) return write_bare(value);
      break;
    case ValueType::time:
    case ValueType::id16:
    case ValueType::id8:
      break;
    default:
      return write_bare(value);
  }
  *to_++ = '"';
  write_bare(value);
  *to_++ = '"';
}

void Transcoder::write_text(std::string_view text) {
  *to_++ = '"';
  to_ = out::text(to_, text);
  *to_++ = '"';
}

/// What is not text, without quotes.
void Transcoder::write_bare(const Value& value) {
  switch (value.type) {
    case ValueType::i32:
      to_ = out::integer(to_, load<int32_t>(value.at));
      break;
    case ValueType::u32:
      to_ = out::integer(to_, load<uint32_t>(value.at));
      break;
    case ValueType::i64:
      to_ = out::integer(to_, load<int64_t>(value.at));
      break;
    case ValueType::u64:
      to_ = out::integer(to_, load<uint64_t>(value.at));
      break;
    case ValueType::f64:
      to_ = out::number(to_, load<double>(value.at), true);
      break;
    case ValueType::boolean:
      to_ = *value.at ? out::copy(to_, "true") : out::copy(to_, "false");
      break;
    case ValueType::time:
      to_ = format_rfc3339(to_, time(value.at));
      break;
    case ValueType::id16:
      to_ = out::hex(to_, value.at, 16);
      break;
    case ValueType::id8:
      to_ = out::hex(to_, value.at, 8);
      break;
    default:
      to_ = out::copy(to_, "null");
  }
}

/// As it is, but in one line: a line feed between its tokens means as much as a space. One within a string is
/// left, for the decoder to refuse.
void Transcoder::write_json(const Value& value) {
  out_.plain = false;
  std::memcpy(to_, value.at, value.size);
  char* const end = to_ + value.size;
  if (std::memchr(to_, '\n', value.size)) {
    bool within = false;
    for (char* p = to_; p < end; ++p) {
      if (*p == '"') within = !within;
      if (*p == '\\' && within && p + 1 < end) ++p;
      if (*p == '\n' && !within) *p = ' ';
    }
  }
  to_ = end;
}

void Transcoder::dynamic_record(uint32_t stream) {
  if (stream >= kStreamCount) return refuse("its stream is not one of the four");
  out_.stream = Stream(stream);
  bool has_service = arena_->service_member().empty();
  if (!room(kFixedBytes)) return;
  to_ = out::copy(to_, "{\"stream\":\"");
  to_ = out::copy(to_, stream_name(out_.stream));
  *to_++ = '"';
  if (out_.stream != Stream::trace)
    to_ = out::integer(out::copy(to_, ",\"ts\":"), clock_->ns(kind_, record_clock_));
  while (from_ < end_ && *from_ != 0) {
    Text name;
    const char* type;
    Value& value = values_[0];
    if (!take_text<uint8_t>(name) || !take(type, 1)) return refuse(kDoesNotFit);
    if (uint8_t(*type) > uint8_t(ValueType::id8)) return refuse("it has a value of an unknown type");
    value.type = ValueType(*type);
    has_service |= std::string_view(name) == "service";
    if (!take_value(value)) return out_.refused.empty() ? refuse(kDoesNotFit) : void();
    if (!room(out::kTextGrowth * (name.size + value.size) + kFixedBytes)) return;
    *to_++ = ',';
    write_text(name);
    *to_++ = ':';
    write_value(value);
  }
  if (!at_end()) return refuse(kDoesNotFit);
  if (!has_service) {
    if (!room(arena_->service_member().size() + kFixedBytes)) return;
    to_ = out::copy(to_, std::string_view(arena_->service_member()));
  }
  *to_++ = '}';
}

}  // namespace weir::ring
