#include "agent/sinks/sink_runner.h"
#include "agent/sinks/state_text.h"

namespace weir {
namespace {

void append_counters(std::string& out, const std::map<std::string, uint64_t>& counters) {
  out += '{';
  for (const auto& [name, n] : counters) {
    if (out.back() != '{') out += ',';
    json::append_quoted(out, name);
    out += ':';
    state_text::append_number(out, n);
  }
  out += '}';
}

void read_counters(std::string_view object, std::map<std::string, uint64_t>& out) {
  state_text::for_each(object, [&](std::string_view name, std::string_view value) {
    out[state_text::string(name)] = state_text::number(value);
  });
}

}  // namespace

void write_note(std::string& out, const SinkPlace& place, std::string_view state) {
  out += R"({"delivered":)";
  state_text::append_number(out, place.delivered);
  out += R"(,"retries":)";
  state_text::append_number(out, place.retries);
  out += R"(,"filtered":)";
  append_counters(out, place.filtered);
  out += R"(,"quarantined":)";
  append_counters(out, place.quarantined);
  if (!state.empty()) (out += R"(,"state":)") += state;
  out += '}';
}

void read_note(std::string_view note, SinkPlace& place) {
  if (note.empty()) return;
  place.delivered = state_text::number(state_text::member(note, "delivered"));
  place.retries = state_text::number(state_text::member(note, "retries"));
  read_counters(state_text::member(note, "filtered"), place.filtered);
  read_counters(state_text::member(note, "quarantined"), place.quarantined);
  place.state = state_text::member(note, "state");
}

}  // namespace weir
