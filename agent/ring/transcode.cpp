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

inline bool Transcoder::take(const char*& from, size_t bytes) {
  if (bytes > size_t(end_ - from_)) [[unlikely]]
    return false;
  from = from_;
  from_ += bytes;
  return true;
}

template <class Size>
inline bool Transcoder::take_text(Text& text) {
  const char* size;
  if (!take(size, sizeof(Size))) return false;
  text.size = load<Size>(size);
  return take(text.at, text.size);
}

/// Moves on behind a value.
bool Transcoder::skip(ValueType type) {
  // By ValueType; of texts that of their length.
  constexpr uint8_t kSizes[] = {0, 4, 4, 8, 8, 8, 1, 2, 4, 4, 8, 16, 8};
  const char* at;
  if (!take(at, kSizes[size_t(type)])) return false;
  if (type == ValueType::text) return take(at, load<uint16_t>(at));
  return type != ValueType::json || take(at, load<uint32_t>(at));
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
  const char* const head_begin = from_;
  if (!read_head(site, head)) return refuse(kDoesNotFit);
  out_.plain = site.plain;
  // Beside the message, which makes room for itself.
  needed_ = site.constant_bytes + kFixedBytes + kValueBytes * site.arguments.size() +
            out::kTextGrowth * size_t(end_ - head_begin);
  if (!room(needed_)) return;
  to_ = out::copy(to_, site.begin);
  switch (site.kind) {
    case RecordKind::log:
      out_.stream = Stream::log;
      to_ = out::integer(to_, clock_->ns(kind_, record_clock_));
      to_ = out::copy(to_, site.middle);
      if (!write_message(site)) return;
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
  if (!write_attributes(site)) return;
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

/// Its arguments are still to be read when it is done.
bool Transcoder::write_message(const Site& site) {
  const char* const arguments = from_;
  if (site.message.size() > 1 || (!site.message.empty() && site.message[0].argument >= 0))
    for (size_t i = 0; i < site.arguments.size(); ++i) {
      argument_at_[i] = from_;
      if (!skip(site.arguments[i].type)) return refuse(kDoesNotFit), false;
    }
  for (const Site::Piece& piece : site.message) {
    if (piece.argument < 0) {
      to_ = out::copy(to_, piece.text);
    } else {
      from_ = argument_at_[size_t(piece.argument)];
      if (!transfer<true>(site.arguments[size_t(piece.argument)].type)) return false;
    }
    if (!room(needed_)) return false;
  }
  from_ = arguments;
  return true;
}

bool Transcoder::write_attributes(const Site& site) {
  for (const Site::Argument& a : site.arguments) {
    if (a.replaced) [[unlikely]] {
      if (!skip(a.type)) return refuse(kDoesNotFit), false;
      continue;
    }
    to_ = out::copy(to_, a.key);
    if (!transfer<false>(a.type)) return false;
  }
  if (!site.arguments.empty()) *to_++ = '}';
  return at_end() || (refuse(kDoesNotFit), false);
}

/// Takes a value and writes it as JSON, or as a part of a text. There is room for what is in the record.
template <bool kInText>
bool Transcoder::transfer(ValueType type) {
  const char* at;
  const auto number = [&]<class T>(T) {
    if (!take(at, sizeof(T))) [[unlikely]]
      return refuse(kDoesNotFit), false;
    to_ = out::integer(to_, load<T>(at));
    return true;
  };
  const auto quote = [&] {
    if constexpr (!kInText) *to_++ = '"';
  };
  switch (type) {
    case ValueType::i32:
      return number(int32_t());
    case ValueType::u32:
      return number(uint32_t());
    case ValueType::i64:
      return number(int64_t());
    case ValueType::u64:
      return number(uint64_t());
    case ValueType::null:
      to_ = out::copy(to_, "null");
      return true;
    case ValueType::boolean:
      if (!take(at, 1)) break;
      to_ = *at ? out::copy(to_, "true") : out::copy(to_, "false");
      return true;
    case ValueType::f64: {
      if (!take(at, sizeof(double))) break;
      const auto value = load<double>(at);
      const bool finite = std::isfinite(value);
      if (!finite) quote();
      to_ = out::number(to_, value, true);
      if (!finite) quote();
      return true;
    }
    case ValueType::text: {
      Text text;
      if (!take_text<uint16_t>(text)) break;
      quote();
      to_ = out::text(to_, text);
      quote();
      return true;
    }
    case ValueType::string: {
      std::string_view text;
      if (!take(at, sizeof(uint32_t))) break;
      if (!arena_->string(load<uint32_t>(at), text)) return refuse(kUnknownString), false;
      if (!room(out::kTextGrowth * text.size() + needed_)) return false;
      quote();
      to_ = out::text(to_, text);
      quote();
      return true;
    }
    case ValueType::json: {
      Text text;
      if (!take_text<uint32_t>(text)) break;
      if constexpr (kInText)
        to_ = out::text(to_, text);
      else
        write_json(text);
      return true;
    }
    case ValueType::time:
    case ValueType::id16:
    case ValueType::id8: {
      const size_t bytes = type == ValueType::id16 ? 16 : 8;
      if (!take(at, bytes)) break;
      quote();
      to_ = type == ValueType::time ? format_rfc3339(to_, time(at)) : out::hex(to_, at, bytes);
      quote();
      return true;
    }
  }
  return refuse(kDoesNotFit), false;
}

/// As it is, but in one line: a line feed between its tokens means as much as a space. One within a string is
/// left, for the decoder to refuse.
void Transcoder::write_json(std::string_view value) {
  out_.plain = false;
  char* const end = out::copy(to_, value);
  if (std::memchr(to_, '\n', value.size())) {
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
    if (!take_text<uint8_t>(name) || !take(type, 1)) return refuse(kDoesNotFit);
    if (uint8_t(*type) > uint8_t(ValueType::id8)) return refuse("it has a value of an unknown type");
    has_service |= std::string_view(name) == "service";
    const char* const value = from_;
    if (!skip(ValueType(*type))) return refuse(kDoesNotFit);
    needed_ = out::kTextGrowth * (name.size + size_t(from_ - value)) + kFixedBytes;
    if (!room(needed_)) return;
    from_ = value;
    to_ = out::text(out::copy(to_, ",\""), name);
    to_ = out::copy(to_, "\":");
    if (!transfer<false>(ValueType(*type))) return;
  }
  if (!at_end()) return refuse(kDoesNotFit);
  if (!has_service) {
    if (!room(arena_->service_member().size() + kFixedBytes)) return;
    to_ = out::copy(to_, std::string_view(arena_->service_member()));
  }
  *to_++ = '}';
}

}  // namespace weir::ring
