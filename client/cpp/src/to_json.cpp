#include "client/cpp/src/to_json.h"

#include "client/cpp/src/json_text.h"

namespace weir::detail {
namespace {

using ring::Has;
using ring::RecordKind;
using ring::ValueType;

constexpr const char* kLevels[] = {"trace", "debug", "info", "warn", "error", "fatal"};
constexpr const char* kStreams[] = {"trace", "log", "telemetry", "monitoring"};

uint64_t realtime_ns() {
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return uint64_t(t.tv_sec) * 1'000'000'000 + uint64_t(t.tv_nsec);
}

void append_member(std::string& out, std::string_view name, std::string_view text) {
  out.append(",\"").append(name).append("\":");
  append_quoted(out, text);
}

void append_id(std::string& out, std::string_view name, std::string_view bytes) {
  out.append(",\"").append(name).append("\":\"");
  append_hex(out, bytes.data(), bytes.size());
  out += '"';
}

}  // namespace

ClockMap::ClockMap(ring::ClockKind kind) : kind_(kind) {
  if (kind_ == ring::ClockKind::realtime) return;
  first_ns_ = realtime_ns();
  first_ticks_ = clock_now_slow();
  uint64_t now = first_ns_;
  while (now - first_ns_ < 200'000) now = realtime_ns();
  look();
}

void ClockMap::look() {
  if (kind_ == ring::ClockKind::realtime) return;
  const uint64_t before = clock_now_slow();
  ns_ = realtime_ns();
  ticks_ = before + (clock_now_slow() - before) / 2;
  // A clock that was set would spoil the rate: it is measured anew from here.
  const double rate = double(int64_t(ns_ - first_ns_)) / double(ticks_ - first_ticks_);
  if (first_ticks_ && ns_per_tick_ != 1 && std::abs(rate / ns_per_tick_ - 1) > 0.01) {
    first_ns_ = ns_;
    first_ticks_ = ticks_;
  } else if (rate > 0) {
    ns_per_tick_ = rate;
  }
}

uint64_t ClockMap::ns(uint64_t clock) const {
  if (kind_ == ring::ClockKind::realtime) return clock;
  return ns_ + uint64_t(int64_t(double(int64_t(clock - ticks_)) * ns_per_tick_));
}

/// Goes through a record; what lies beyond its end reads as zeros, and ok() says so.
class ToJson::Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  template <class T>
  T number() {
    T value{};
    if (const std::string_view b = bytes(sizeof value); !b.empty())
      std::memcpy(&value, b.data(), sizeof value);
    return value;
  }
  std::string_view bytes(size_t count) {
    if (count > rest_.size()) return ok_ = false, std::string_view();
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }
  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty() || rest_[0] == 0; }

  void value(std::string& out, ValueType type, const std::vector<std::string>& strings,
             const ClockMap& clock) {
    switch (type) {
      case ValueType::null:
        return void(out.append("null"));
      case ValueType::i32:
        return append_integer(out, number<int32_t>());
      case ValueType::u32:
        return append_integer(out, number<uint32_t>());
      case ValueType::i64:
        return append_integer(out, number<int64_t>());
      case ValueType::u64:
        return append_integer(out, number<uint64_t>());
      case ValueType::f64:
        return append_double(out, number<double>());
      case ValueType::boolean:
        return void(out.append(number<uint8_t>() ? "true" : "false"));
      case ValueType::text:
        return append_quoted(out, bytes(number<uint16_t>()));
      case ValueType::string: {
        const uint32_t id = number<uint32_t>();
        ok_ = ok_ && id > 0 && id <= strings.size();
        return append_quoted(out, ok_ ? std::string_view(strings[id - 1]) : std::string_view());
      }
      case ValueType::json:
        return detail::append(out, bytes(number<uint32_t>()));
      case ValueType::time:
        return append_time(out, clock.ns(number<uint64_t>()));
      case ValueType::id16:
      case ValueType::id8: {
        const std::string_view id = bytes(type == ValueType::id16 ? 16 : 8);
        out += '"';
        append_hex(out, id.data(), id.size());
        out += '"';
        return;
      }
    }
    ok_ = false;
  }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

void ToJson::set_service(std::string_view service) {
  service_member_.clear();
  if (!service.empty()) append_member(service_member_, "service", service);
}

void ToJson::learn(const char* entries, uint64_t used) {
  while (learned_ < used) {
    ring::EntryHeader header;
    std::memcpy(&header, entries + learned_, sizeof header);
    Reader in({entries + learned_ + sizeof header, header.bytes - sizeof header});
    learned_ += header.bytes;
    if (header.kind == ring::kString) {
      strings_.emplace_back(in.bytes(in.number<uint32_t>()));
      continue;
    }
    Known site{RecordKind(header.record), ring::Level(header.level), {}, {}, {}, {}};
    for (std::string* text : {&site.name, &site.text, &site.where}) *text = in.bytes(in.number<uint16_t>());
    for (int i = 0; i < header.args; ++i) {
      Argument a{ValueType(in.number<uint8_t>()), {}, false};
      append_quoted(a.key, in.bytes(in.number<uint8_t>()));
      a.key += ':';
      for (Argument& before : site.args) before.replaced |= before.key == a.key;
      site.args.push_back(std::move(a));
    }
    sites_.push_back(std::move(site));
  }
}

bool ToJson::append(std::string& out, const char* record, size_t bytes, const ClockMap& clock) const {
  const size_t before = out.size();
  Reader in({record, bytes});
  const auto header = in.number<ring::RecordHeader>();
  const uint64_t ns = clock.ns(header.clock);
  bool good = in.ok();
  if (header.site & ring::kDynamic)
    good = good && append_dynamic(out, in, header.site & ~ring::kDynamic, ns, clock);
  else
    good = good && header.site > 0 && header.site <= sites_.size() &&
           append_site(out, in, sites_[header.site - 1], ns, clock);
  if (!good) out.resize(before);
  return good;
}

bool ToJson::append_dynamic(std::string& out, Reader& in, uint32_t stream, uint64_t ns,
                            const ClockMap& clock) const {
  if (stream > 3) return false;
  out.append("{\"stream\":\"").append(kStreams[stream]).append("\"");
  if (stream != 0) append_integer(out.append(",\"ts\":"), ns);
  bool has_service = false;
  while (in.ok() && !in.at_end()) {
    out += ',';
    const std::string_view name = in.bytes(in.number<uint8_t>());
    has_service |= name == "service";
    append_quoted(out, name);
    out += ':';
    in.value(out, ValueType(in.number<uint8_t>()), strings_, clock);
  }
  if (!has_service) out += service_member_;
  out += '}';
  return in.ok();
}

/// `{name}` in a message is replaced by that argument; a text without its quotes.
static void append_message(std::string& out, std::string_view message,
                           const std::vector<std::pair<std::string_view, std::string_view>>& args) {
  out.append(",\"message\":\"");
  while (!message.empty()) {
    const size_t open = message.find('{');
    const size_t close = open == message.npos ? message.npos : message.find('}', open);
    if (close == message.npos) break;
    append_escaped(out, message.substr(0, open));
    const std::string_view name = message.substr(open + 1, close - open - 1);
    bool found = false;
    for (const auto& [key, value] : args) {
      if (found || key.substr(1, key.size() - 3) != name) continue;
      found = true;
      if (value.size() >= 2 && value[0] == '"')
        out.append(value.substr(1, value.size() - 2));
      else
        append_escaped(out, value);
    }
    if (!found) append_escaped(out, message.substr(open, close - open + 1));
    message.remove_prefix(close + 1);
  }
  append_escaped(out, message);
  out += '"';
}

bool ToJson::append_site(std::string& out, Reader& in, const Known& site, uint64_t ns,
                         const ClockMap& clock) const {
  const uint8_t has = in.number<uint8_t>();
  std::string ids, failure;
  if (has & Has::kTraceId) append_id(ids, "trace_id", in.bytes(16));
  if (has & Has::kSpanId) append_id(ids, "span_id", in.bytes(8));
  if (has & Has::kParentId) append_id(ids, "parent_span_id", in.bytes(8));
  if (has & Has::kCorrelationId) append_member(ids, "correlation_id", in.bytes(in.number<uint8_t>()));
  if (has & Has::kError) {
    failure = ",\"status\":\"error\",\"error\":{\"type\":";
    append_quoted(failure, in.bytes(in.number<uint8_t>()));
    append_member(failure, "message", in.bytes(in.number<uint16_t>()));
    if (!site.where.empty()) append_member(failure, "where", site.where);
    failure += '}';
  }
  const bool log = site.kind == RecordKind::log, span = site.kind == RecordKind::span;
  const uint64_t fixed = log ? 0 : in.number<uint64_t>();

  struct Place {
    std::string_view key;
    size_t begin, bytes;
  };
  std::string values;
  std::vector<Place> places;
  for (const Argument& a : site.args) {
    const size_t before = values.size();
    values.append(values.empty() ? "" : ",").append(a.key);
    const size_t begin = values.size();
    in.value(values, a.type, strings_, clock);
    if (a.replaced)
      values.resize(before);
    else
      places.push_back({a.key, begin, values.size() - begin});
  }
  if (!in.ok()) return false;

  if (log) {
    std::vector<std::pair<std::string_view, std::string_view>> named;
    for (const Place& p : places) named.push_back({p.key, std::string_view(values).substr(p.begin, p.bytes)});
    append_integer(out.append("{\"stream\":\"log\"").append(service_member_).append(",\"ts\":"), ns);
    append_member(out, "level", kLevels[size_t(site.level) % 6]);
    append_message(out, site.name, named);
    if (!site.text.empty()) append_member(out, "logger", site.text);
    out += ids;
  } else if (span) {
    append_member(out.append("{\"stream\":\"trace\"").append(service_member_).append(",\"kind\":\"span\""),
                  "name", site.name);
    append_integer(out.append(ids).append(",\"start\":"), clock.ns(fixed));
    append_integer(out.append(",\"end\":"), ns);
    out.append(failure.empty() ? ",\"status\":\"ok\"" : failure);
  } else {
    const char* const type = site.kind == RecordKind::counter ? "counter"
                             : site.kind == RecordKind::gauge ? "gauge"
                                                              : "histogram";
    double value;
    std::memcpy(&value, &fixed, sizeof value);
    append_integer(out.append("{\"stream\":\"telemetry\"").append(service_member_).append(",\"ts\":"), ns);
    append_member(out, "name", site.name);
    append_member(out, "type", type);
    if (site.kind == RecordKind::counter) out.append(",\"temporality\":\"delta\"");
    append_double(out.append(",\"value\":"), value, false);
    if (!site.text.empty()) append_member(out, "unit", site.text);
    out += ids;
  }
  if (!values.empty()) out.append(",\"attributes\":{").append(values).append("}");
  out.append(has & Has::kShortened ? ",\"shortened\":true}" : "}");
  return true;
}

}  // namespace weir::detail
