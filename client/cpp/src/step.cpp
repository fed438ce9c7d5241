#include "weir/step.h"

#include <cstring>
#include <new>
#include <optional>

#include "client/cpp/src/ids.h"
#include "client/cpp/src/json_text.h"
#include "client/cpp/src/members.h"
#include "client/cpp/src/policy.h"
#include "client/cpp/src/process.h"
#include "client/cpp/src/record.h"
#include "weir/context.h"

namespace weir {

using namespace detail;

namespace {

constexpr size_t kTypeMax = 1024, kMessageMax = 4096, kWhereMax = 1024, kStackMax = 8192;

std::string_view cut(std::string_view text, size_t max) { return text.substr(0, TextWire::kept(text, max)); }

void append_signature(std::string& out, const Signature& s) {
  append_quoted(out.append("{\"type_name\":"), s.type_name);
  for (const auto& [name, text] :
       {std::pair<const char*, std::string_view>{"identity", s.identity}, {"hash", s.hash}}) {
    out.append(",\"").append(name).append("\":");
    text.empty() ? append(out, "null") : append_quoted(out, text);
  }
  out += '}';
}

void boundary(const char* kind, std::string_view port, const Signature& message, std::string_view trace_id,
              bool enters) noexcept {
  try {
    std::string json;
    append_signature(json, message);
    const uint64_t now = clock_now();
    const TraceContext* const remote = thread.context.remote;
    if (trace_id.empty() && remote) trace_id = remote->trace_text;
    DynamicRecord record(DynamicStream::trace);
    record.text("kind", kind);
    if (!trace_id.empty()) record.text("trace_id", trace_id);
    record.ids(trace_id.empty(), false);
    record.text("step_name", port);
    record.time("t_enter", now);
    record.time("t_exit", now);
    record.text("status", "ok");
    record.json(enters ? "msg_in" : "msg_out", enters ? json : "[" + json + "]");
    record.write(false);
  } catch (...) {
    count_drop(thread);
  }
}

}  // namespace

struct Step::State {
  explicit State(std::string_view step_name) : name(step_name), before(thread.context), owner(&thread) {
    start = clock_now();
    const uint64_t made[3] = {random_number(thread), random_number(thread), random_number(thread)};
    std::memcpy(ids, made, sizeof ids);
    const Context& c = thread.context;
    if (c.has & ring::kTraceId) std::memcpy(ids, c.trace_id, kTraceBytes);
    if (c.remote) trace_text = c.remote->trace_text;
    if (trace_text.empty()) enter();
  }
  void enter() { change_ids(thread.context, ids, ids + kTraceBytes, kBothIds); }
  void leave() {
    Context& c = thread.context;
    if (&thread != owner || std::memcmp(c.span_id, ids + kTraceBytes, sizeof c.span_id) != 0) return;
    change_ids(c, before.trace_id, before.span_id, before.has);
  }
  void write();

  std::string name, trace_text, scenario, ctx_id, msg_in, msg_out, error, unset;
  Members ctx_before, ctx_after, ctx, ctx_set, attributes;
  std::optional<int64_t> line_no, index, work_index;
  int64_t msg_out_count = 0;
  Context before;
  Thread* owner;
  uint64_t start = 0;
  static constexpr size_t kTraceBytes = 16;
  uint8_t ids[kTraceBytes + 8];  ///< of trace and span
};

void Step::State::write() {
  DynamicRecord r(DynamicStream::trace);
  if (trace_text.empty())
    r.id("trace_id", ids, kTraceBytes);
  else
    r.text("trace_id", trace_text);
  r.id("span_id", ids + kTraceBytes, sizeof ids - kTraceBytes);
  const bool same_trace = trace_text.empty() && std::memcmp(ids, before.trace_id, kTraceBytes) == 0;
  if (same_trace && (before.has & ring::kSpanId))
    r.id("parent_span_id", before.span_id, sizeof before.span_id);
  r.ids(false, false);
  r.text_if("scenario", scenario);
  if (line_no) r.integer("line_no", *line_no);
  if (index) r.integer("step_index", *index);
  r.text("step_name", name);
  if (work_index) r.integer("work_index", *work_index);
  r.time("t_enter", start);
  const uint64_t end = clock_now();
  r.time("t_exit", end);
  r.number("duration_ms", ticks_to_ns(end - start) / 1e6);
  r.text("status", error.empty() ? "ok" : "error");
  if (!error.empty()) r.json("error", error);
  if (!msg_in.empty()) r.json("msg_in", msg_in);
  if (msg_out_count) {
    r.json("msg_out", msg_out + "]");
    r.integer("msg_out_count", msg_out_count);
  }
  r.text_if("ctx_id", ctx_id);
  const std::pair<const char*, Members*> objects[] = {{"ctx_before", &ctx_before},
                                                      {"ctx_after", &ctx_after},
                                                      {"ctx", &ctx},
                                                      {"ctx_set", &ctx_set},
                                                      {"attributes", &attributes}};
  const auto fit = [&](size_t text_bytes) {
    size_t bytes = unset.size() + DynamicRecord::kMemberBytes + 16;
    for (const auto& [key, members] : objects)
      if (members->is_there())
        bytes += members->bytes(text_bytes) + DynamicRecord::kMemberBytes + std::strlen(key);
    return bytes <= r.room();
  };
  constexpr size_t kTextBytesMin = 32;
  size_t text_bytes = 64 << 10;
  while (text_bytes >= kTextBytesMin && !fit(text_bytes)) text_bytes /= 2;
  if (text_bytes >= kTextBytesMin && !fit(SIZE_MAX))
    for (const auto& [key, members] : objects)
      if (members->shorten(text_bytes)) r.set_shortened();
  for (const auto& [key, members] : objects)
    if (members->is_there()) r.json(key, members->text());
  if (!unset.empty()) r.json("ctx_unset", unset + "]");
  r.write(!error.empty());
}

/// No memory: what was to be added is left out.
template <class State, class F>
static void guarded(State* state, F&& f) noexcept {
  if (!state) return;
  try {
    f(*state);
  } catch (...) {
  }
}

Step::Step(std::string_view step_name) noexcept : state_(nullptr) {
  try {
    state_ = new State(step_name);
  } catch (...) {
    count_drop(thread);
  }
}

Step& Step::trace_id(std::string_view id) noexcept {
  guarded(state_, [&](State& s) {
    s.trace_text.clear();
    if (parse_hex(id, s.ids, s.kTraceBytes)) return s.enter();
    s.leave();
    s.trace_text = id;
  });
  return *this;
}

Step& Step::scenario(std::string_view name) noexcept {
  guarded(state_, [&](State& s) { s.scenario = name; });
  return *this;
}

Step& Step::line_no(int64_t number) noexcept {
  guarded(state_, [&](State& s) { s.line_no = number; });
  return *this;
}

Step& Step::index(int64_t step_index) noexcept {
  guarded(state_, [&](State& s) { s.index = step_index; });
  return *this;
}

Step& Step::work_index(int64_t number) noexcept {
  guarded(state_, [&](State& s) { s.work_index = number; });
  return *this;
}

Step& Step::msg_in(const Signature& message) noexcept {
  guarded(state_, [&](State& s) {
    s.msg_in.clear();
    append_signature(s.msg_in, message);
  });
  return *this;
}

Step& Step::msg_out(const Signature& message) noexcept {
  guarded(state_, [&](State& s) {
    s.msg_out += s.msg_out_count++ ? ',' : '[';
    append_signature(s.msg_out, message);
  });
  return *this;
}

/// A member of a context, if the agent's policy wants it. The object is there in any case.
static void add_key(Members& to, std::string_view key, const Value& value) {
  if (policy().keeps(key))
    to.add(key, value);
  else
    to.open();
}

Step& Step::ctx_before(std::string_view key, const Value& value) noexcept {
  guarded(state_, [&](State& s) { add_key(s.ctx_before, key, value); });
  return *this;
}

Step& Step::ctx_after(std::string_view key, const Value& value) noexcept {
  guarded(state_, [&](State& s) { add_key(s.ctx_after, key, value); });
  return *this;
}

Step& Step::ctx(std::string_view key, const Value& value) noexcept {
  guarded(state_, [&](State& s) { add_key(s.ctx, key, value); });
  return *this;
}

Step& Step::ctx_set(std::string_view key, const Value& value) noexcept {
  guarded(state_, [&](State& s) { add_key(s.ctx_set, key, value); });
  return *this;
}

Step& Step::ctx_unset(std::string_view key) noexcept {
  guarded(state_, [&](State& s) {
    if (!policy().keeps(key)) return;
    s.unset += s.unset.empty() ? '[' : ',';
    append_quoted(s.unset, key);
  });
  return *this;
}

Step& Step::ctx_id(std::string_view id) noexcept {
  guarded(state_, [&](State& s) { s.ctx_id = id; });
  return *this;
}

Step& Step::set(std::string_view key, const Value& value) noexcept {
  guarded(state_, [&](State& s) { s.attributes.add(key, value); });
  return *this;
}

Step& Step::error(std::string_view type, std::string_view message, std::string_view where,
                  std::string_view stack) noexcept {
  guarded(state_, [&](State& s) {
    std::string json = "{\"type\":";
    append_quoted(json, cut(type, kTypeMax));
    append_quoted(json.append(",\"message\":"), cut(message, kMessageMax));
    if (!where.empty()) append_quoted(json.append(",\"where\":"), cut(where, kWhereMax));
    if (!stack.empty()) append_quoted(json.append(",\"stack\":"), cut(stack, kStackMax));
    s.error = json + "}";
  });
  return *this;
}

void Step::end() noexcept {
  if (!state_) return;
  state_->leave();
  try {
    state_->write();
  } catch (...) {
    count_drop(thread);
  }
  delete state_;
  state_ = nullptr;
}

void ingress(std::string_view port, const Signature& message, std::string_view trace_id) noexcept {
  boundary("ingress", port, message, trace_id, true);
}

void egress(std::string_view port, const Signature& message, std::string_view trace_id) noexcept {
  boundary("egress", port, message, trace_id, false);
}

}  // namespace weir
