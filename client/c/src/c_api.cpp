// The C interface (client/c/include/weir.h) over the C++ one.
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "client/c/include/weir.h"
#include "client/cpp/src/members.h"
#include "client/cpp/src/record.h"
#include "weir/weir.h"

using namespace weir;

struct weir_span {
  Span span;
};
struct weir_step {
  Step step;
};
struct weir_counter {
  weir_counter(const char* name, const char* unit, Labels labels) : counter(name, unit, labels) {}
  Counter counter;
};
struct weir_gauge {
  weir_gauge(const char* name, const char* unit, Labels labels) : gauge(name, unit, labels) {}
  Gauge gauge;
};
struct weir_histogram {
  weir_histogram(const char* name, const char* unit, Labels labels) : histogram(name, unit, labels) {}
  Histogram histogram;
};
struct weir_context {
  explicit weir_context(TraceContext c) : context(std::move(c)), scope(context) {}
  TraceContext context;
  ContextScope scope;
};

namespace {

std::string_view text(const char* s) { return s ? std::string_view(s) : std::string_view(); }

Value value_of(const weir_arg& a) {
  switch (a.type) {
    case WEIR_TYPE_I64:
      return a.value.i;
    case WEIR_TYPE_U64:
      return a.value.u;
    case WEIR_TYPE_F64:
      return a.value.f;
    case WEIR_TYPE_BOOL:
      return a.value.u != 0;
    case WEIR_TYPE_TEXT:
      return text(a.value.s);
    case WEIR_TYPE_JSON:
      return Json{text(a.value.s)};
    default:
      return nullptr;
  }
}

constexpr size_t kArgsMax = 64;

/// What is no level is the nearest one.
Level level_of(int level) {
  return level < WEIR_LEVEL_TRACE ? Level::trace : level > WEIR_LEVEL_FATAL ? Level::fatal : Level(level);
}

bool is_text(const weir_arg& a) { return a.type == WEIR_TYPE_TEXT || a.type == WEIR_TYPE_JSON; }

ring::ValueType wire_type(const weir_arg& a) { return value_of(a).type(); }

size_t bytes_of(const weir_arg& a, size_t cap) {
  switch (a.type) {
    case WEIR_TYPE_TEXT:
      return detail::TextWire::bytes(text(a.value.s), cap);
    case WEIR_TYPE_JSON:
      return detail::Wire<Json>::bytes(Json{text(a.value.s)}, cap);
    case WEIR_TYPE_BOOL:
      return 1;
    default:
      return wire_type(a) == ring::ValueType::null ? 0 : 8;
  }
}

char* put_arg(char* to, const weir_arg& a, size_t cap) {
  switch (a.type) {
    case WEIR_TYPE_TEXT:
      return detail::TextWire::put(to, text(a.value.s), cap);
    case WEIR_TYPE_JSON:
      return detail::Wire<Json>::put(to, Json{text(a.value.s)}, cap);
    case WEIR_TYPE_BOOL:
      return detail::put(to, a.value.u != 0);
    default:
      return wire_type(a) == ring::ValueType::null ? to : detail::put(to, a.value.u);
  }
}

uint64_t types_of(const weir_arg* args, size_t count) {
  uint64_t hash = 1 + count;
  for (size_t i = 0; i < count; ++i) hash = hash * 0x9e3779b97f4a7c15 + uint64_t(args[i].type) + 1;
  return hash;
}

/// The site's number in the arena; 0: there is none, and that is counted.
uint32_t site_id(detail::Thread& t, weir_site* site, const weir_arg* args, size_t count) {
  const uint32_t known = __atomic_load_n(&site->id, __ATOMIC_ACQUIRE);
  if (detail::ready(t, known)) return known;
  detail::ArgName names[kArgsMax] = {};
  for (size_t i = 0; i < count; ++i) names[i] = {args[i].name, wire_type(args[i])};
  detail::Site made{ring::RecordKind::log, level_of(site->level), site->message,
                    site->logger,          site->where,           {known}};
  const uint32_t id = detail::prepare(t, made, names, count);
  __atomic_store_n(&site->types, types_of(args, count), __ATOMIC_RELAXED);
  __atomic_store_n(&site->id, made.id.load(), __ATOMIC_RELEASE);
  return id;
}

/// Of a site whose arguments have other types than the first time.
void log_dynamic(const weir_site* site, const weir_arg* args, size_t count) {
  try {
    detail::Members attributes;
    for (size_t i = 0; i < count; ++i) attributes.add(text(args[i].name), value_of(args[i]));
    constexpr const char* kNames[] = {"trace", "debug", "info", "warn", "error", "fatal"};
    detail::DynamicRecord record(detail::DynamicStream::log);
    record.text("level", kNames[size_t(level_of(site->level))]);
    record.ids(true, true);
    record.text_if("logger", text(site->logger));
    record.text("message", text(site->message));
    if (count) record.json("attributes", attributes.text());
    record.write(site->level >= WEIR_LEVEL_ERROR);
  } catch (...) {
    detail::count_drop(detail::thread);
  }
}

template <class Handle>
Handle* new_metric(const char* name, const char* unit, const weir_arg* labels, size_t count) {
  const auto known = [](const char* s) { return s ? s : ""; };
  Label l[detail::kLabelsMax]{};
  size_t kept = 0;
  for (size_t i = 0; i < count && kept < detail::kLabelsMax; ++i)
    if (labels[i].type == WEIR_TYPE_TEXT) l[kept++] = {known(labels[i].name), known(labels[i].value.s)};
  const char *const n = known(name), *const u = known(unit);
  switch (kept) {
    case 0:
      return new (std::nothrow) Handle(n, u, {});
    case 1:
      return new (std::nothrow) Handle(n, u, {l[0]});
    case 2:
      return new (std::nothrow) Handle(n, u, {l[0], l[1]});
    case 3:
      return new (std::nothrow) Handle(n, u, {l[0], l[1], l[2]});
    default:
      return new (std::nothrow) Handle(n, u, {l[0], l[1], l[2], l[3]});
  }
}

/// Nothing that C++ throws goes through C.
template <class F>
void quietly(F&& f) noexcept {
  try {
    f();
  } catch (...) {
  }
}

}  // namespace

extern "C" {

void weir_configure(const char* service, const char* address, const char* ack) {
  quietly([&] {
    Options options;
    options.service = text(service);
    options.address = text(address);
    if (!text(ack).empty()) options.ack = ack;
    configure(options);
  });
}

int weir_flush(unsigned timeout_ms) { return flush(std::chrono::milliseconds(timeout_ms)); }

void weir_get_stats(weir_stats* out) {
  const Stats s = stats();
  const weir_stats all{out->size, int(s.transport), s.rings,    s.dropped,
                       s.sent,    s.acknowledged,   s.rejected, s.connections};
  std::memcpy(out, &all, out->size < sizeof all ? out->size : sizeof all);
}

size_t weir_last_error(char* to, size_t size) {
  size_t bytes = 0;
  if (size > 0) *to = 0;
  quietly([&] {
    const std::string why = last_error();
    bytes = why.size();
    if (size > 0) to[why.copy(to, size - 1)] = 0;
  });
  return bytes;
}

void weir_log_at(weir_site* site, const weir_arg* args, size_t count) {
  if (count > kArgsMax) count = kArgsMax;
  detail::Thread& t = detail::thread;
  {
    const detail::Busy busy(t);
    if (!busy) return detail::count_drop(t);
    const uint32_t id = site_id(t, site, args, count);
    if (!id) return;
    if (__atomic_load_n(&site->types, __ATOMIC_RELAXED) == types_of(args, count)) {
      const size_t fixed = sizeof(ring::RecordHeader) + detail::context_bytes(t.context);
      size_t texts = 0, others = fixed, cap = detail::kTextBytesMax;
      size_t bytes = fixed;
      bool cut = false;
      for (size_t i = 0; i < count; ++i) {
        bytes += bytes_of(args[i], cap);
        texts += is_text(args[i]);
        others += 8;
        cut = cut || (is_text(args[i]) && text(args[i].value.s).size() > cap);
      }
      if (cut || detail::aligned(bytes) > t.record_bytes_max) {
        cut = true;
        cap = texts ? (t.record_bytes_max - others - 16) / texts : 0;
        if (cap > detail::kTextBytesMax) cap = detail::kTextBytesMax;
        bytes = fixed;
        for (size_t i = 0; i < count; ++i) bytes += bytes_of(args[i], cap);
      }
      bytes = detail::aligned(bytes);
      char* const at = detail::reserve(t, bytes, site->level >= WEIR_LEVEL_ERROR);
      if (!at) return;
      char* to = detail::put_context(at + sizeof(ring::RecordHeader), t.context, cut ? ring::kShortened : 0);
      for (size_t i = 0; i < count; ++i) to = put_arg(to, args[i], cap);
      return detail::commit(t, at, bytes, id);
    }
  }
  log_dynamic(site, args, count);
}

void weir_log_text(int level, const char* message, const char* logger) {
  log(level_of(level), text(message), text(logger));
}

weir_span* weir_span_begin_at(const char* name, const char* file, int line) {
  return new (std::nothrow) weir_span{Span(name, file, line)};
}
void weir_span_set(weir_span* span, weir_arg a) {
  if (!span) return;
  switch (a.type) {
    case WEIR_TYPE_I64:
      span->span.set(a.name, a.value.i);
      return;
    case WEIR_TYPE_U64:
      span->span.set(a.name, a.value.u);
      return;
    case WEIR_TYPE_F64:
      span->span.set(a.name, a.value.f);
      return;
    case WEIR_TYPE_BOOL:
      span->span.set(a.name, a.value.u != 0);
      return;
    case WEIR_TYPE_TEXT:
      span->span.set(a.name, text(a.value.s));
      return;
    case WEIR_TYPE_JSON:
      span->span.set(a.name, Json{text(a.value.s)});
      return;
    default:
      span->span.set(a.name, nullptr);
  }
}
void weir_span_error(weir_span* span, const char* type, const char* message) {
  if (span) span->span.error(text(type), text(message));
}
void weir_span_end(weir_span* span) { delete span; }

weir_step* weir_step_begin(const char* step_name) {
  return new (std::nothrow) weir_step{Step(text(step_name))};
}
void weir_step_trace_id(weir_step* s, const char* id) {
  if (s) s->step.trace_id(text(id));
}
void weir_step_scenario(weir_step* s, const char* scenario) {
  if (s) s->step.scenario(text(scenario));
}
void weir_step_index(weir_step* s, int64_t index) {
  if (s) s->step.index(index);
}
void weir_step_line_no(weir_step* s, int64_t line_no) {
  if (s) s->step.line_no(line_no);
}
void weir_step_msg_in(weir_step* s, const char* type_name, const char* identity, const char* hash) {
  if (s) s->step.msg_in({text(type_name), text(identity), text(hash)});
}
void weir_step_msg_out(weir_step* s, const char* type_name, const char* identity, const char* hash) {
  if (s) s->step.msg_out({text(type_name), text(identity), text(hash)});
}
void weir_step_ctx_before(weir_step* s, weir_arg a) {
  if (s) s->step.ctx_before(text(a.name), value_of(a));
}
void weir_step_ctx_after(weir_step* s, weir_arg a) {
  if (s) s->step.ctx_after(text(a.name), value_of(a));
}
void weir_step_ctx(weir_step* s, weir_arg a) {
  if (s) s->step.ctx(text(a.name), value_of(a));
}
void weir_step_ctx_set(weir_step* s, weir_arg a) {
  if (s) s->step.ctx_set(text(a.name), value_of(a));
}
void weir_step_ctx_unset(weir_step* s, const char* key) {
  if (s) s->step.ctx_unset(text(key));
}
void weir_step_set(weir_step* s, weir_arg a) {
  if (s) s->step.set(text(a.name), value_of(a));
}
void weir_step_error(weir_step* s, const char* type, const char* message, const char* where,
                     const char* stack) {
  if (s) s->step.error(text(type), text(message), text(where), text(stack));
}
void weir_step_end(weir_step* s) { delete s; }

void weir_ingress(const char* port, const char* type_name, const char* trace_id) {
  ingress(text(port), {text(type_name)}, text(trace_id));
}
void weir_egress(const char* port, const char* type_name, const char* trace_id) {
  egress(text(port), {text(type_name)}, text(trace_id));
}
void weir_monitor(const char* rule, const char* severity, const char* state, double value, double threshold,
                  const char* message) {
  monitor({text(rule), text(severity), text(state), text(message), value, threshold});
}

weir_counter* weir_counter_new(const char* name, const char* unit, const weir_arg* labels, size_t count) {
  return new_metric<weir_counter>(name, unit, labels, count);
}
weir_gauge* weir_gauge_new(const char* name, const char* unit, const weir_arg* labels, size_t count) {
  return new_metric<weir_gauge>(name, unit, labels, count);
}
weir_histogram* weir_histogram_new(const char* name, const char* unit, const weir_arg* labels, size_t count) {
  return new_metric<weir_histogram>(name, unit, labels, count);
}
void weir_counter_add(weir_counter* c, uint64_t n) {
  if (c) c->counter.add(n);
}
void weir_gauge_set(weir_gauge* g, double value) {
  if (g) g->gauge.set(value);
}
void weir_histogram_record(weir_histogram* h, double value) {
  if (h) h->histogram.record(value);
}

void weir_correlation_set(const char* id) { detail::set_correlation(detail::thread.context, text(id)); }

weir_context* weir_context_begin(weir_get_header get, void* user) {
  weir_context* made = nullptr;
  quietly([&] { made = new weir_context(extract([&](const char* name) { return text(get(user, name)); })); });
  return made;
}
void weir_context_end(weir_context* context) { delete context; }
void weir_inject(weir_set_header set, void* user) {
  quietly([&] {
    inject([&](const char* name, std::string_view value) { set(user, name, std::string(value).c_str()); });
  });
}

}  // extern "C"
