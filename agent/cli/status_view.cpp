#include "agent/cli/status_view.h"

#include <fmt/format.h>

#include <cmath>

#include "agent/cli/json_text.h"
#include "agent/cli/table.h"
#include "agent/core/frame_handler.h"

namespace weir::cli {
namespace {

using nlohmann::json;

std::string safe_text(const json& object, const char* key) { return terminal_safe(text_of(object, key)); }

uint64_t sum_of(const json& counts) {
  uint64_t sum = 0;
  if (counts.is_object())
    for (const auto& [name, n] : counts.items()) sum += n.is_number() ? n.get<uint64_t>() : 0;
  return sum;
}

/// `rejected: bad_json 2, too_long 1`; empty when all are zero.
std::string reasons(std::string_view label, const json& counts) {
  std::string out;
  if (counts.is_object())
    for (const auto& [name, n] : counts.items())
      if (n.is_number() && n.get<uint64_t>() > 0)
        out += fmt::format("{}{} {}", out.empty() ? "" : ", ", terminal_safe(name),
                           with_commas(n.get<uint64_t>()));
  return out.empty() ? out : fmt::format("{}: {}", label, out);
}

std::string joined(const json& names) {
  std::string out;
  if (names.is_array())
    for (const json& name : names)
      out += (out.empty() ? "" : ", ") +
             (name.is_string() ? terminal_safe(name.get<std::string>()) : name.dump());
  return out;
}

std::string_view state_colour(const std::string& state) {
  if (state == "ok") return kGreen;
  if (state == "retrying" || state == "paused" || state == "draining" || state == "full") return kYellow;
  return kRed;
}

/// `FILE:LINE:COL: PATH: TEXT`, without what it has not.
std::string reload_error(const json& e) {
  if (e.is_string()) return terminal_safe(e.get<std::string>());
  std::string out = fmt::format("{}:{}:{}: ", safe_text(e, "file"), count_of(e, "line"), count_of(e, "col"));
  if (const std::string path = safe_text(e, "path"); !path.empty()) out += path + ": ";
  return out + safe_text(e, "message");
}

std::string clock_time(const std::string& rfc3339) {
  return rfc3339.size() >= 19 ? rfc3339.substr(11, 8) : rfc3339;
}

class View {
 public:
  View(const json& before, const json& now, double seconds, bool colour)
      : before_(before), now_(now), seconds_(seconds), colour_(colour) {}

  std::string render() {
    head();
    sources();
    streams();
    journal();
    sinks();
    clients();
    balance();
    return std::move(out_);
  }

 private:
  void head() {
    line(paint(fmt::format("weir {}", safe_text(now_, "version")), kBold, colour_) +
         fmt::format("  pid {}  up {}  generation {}  {}", count_of(now_, "pid"),
                     short_span(count_of(now_, "uptime_s")), count_of(now_, "generation"), short_files()));
    const json& last = member(now_, "last_reload");
    if (!last.is_object() || text_of(last, "result").empty()) return;
    const std::string result = safe_text(last, "result");
    line(fmt::format("last reload {} ", clock_time(safe_text(last, "time"))) +
         paint(result, result == "refused" ? kRed : kGreen, colour_));
    if (const json& errors = member(last, "errors"); errors.is_array())
      for (const json& e : errors) line("    " + paint(reload_error(e), kRed, colour_));
  }

  std::string short_files() const {
    const std::string files = joined(member(now_, "config_files"));
    return fit(files.empty() ? "built-in configuration" : files, 32);
  }

  /// Per second, of a counter at `path` such as {"sinks", NAME, "delivered"}.
  std::string rate(const char* group, const std::string& name, const char* counter) const {
    const json& was = member(member(before_, group), name.c_str());
    const uint64_t from = count_of(was, counter),
                   to = count_of(member(member(now_, group), name.c_str()), counter);
    if (!was.is_object() || to < from || seconds_ <= 0) return "-";
    return with_commas(uint64_t(std::llround(double(to - from) / seconds_)));
  }

  void sources() {
    Table table({{"SOURCE", false, 12},
                 {"CONNS", true},
                 {"RECEIVED", true},
                 {"/S", true},
                 {"JOURNALLED", true},
                 {"REJECTED", true},
                 {"BYTES", true}});
    each("sources", [&](const std::string& name, const json& s) {
      const uint64_t rejected = sum_of(member(s, "rejected"));
      table.add_row({{terminal_safe(name)},
                     number(s, "connections"),
                     number(s, "received"),
                     {rate("sources", name, "received")},
                     number(s, "journalled"),
                     {with_commas(rejected), rejected ? kRed : ""},
                     {short_bytes(count_of(s, "bytes"))}});
      table.add_note(safe_text(s, "address"), kDim);
      note(table, reasons("rejected", member(s, "rejected")), kRed);
      note(table, reasons("dropped by rule", member(s, "dropped_by_rule")));
      note(table, reasons("rings", member(s, "rings")));
      std::string others;
      for (const char* key : {"duplicate", "disabled"})
        if (count_of(s, key) > 0)
          others += fmt::format("{}{}: {}", others.empty() ? "" : ", ", key, with_commas(count_of(s, key)));
      note(table, others);
    });
    section(table);
  }

  void streams() {
    Table table({{"STREAM", false, 14}, {"", false}, {"RECORDS", true}, {"/S", true}, {"BYTES", true}});
    for (const char* name : {"trace", "log", "telemetry", "monitoring"}) {
      const json& s = member(member(now_, "streams"), name);
      if (!s.is_object()) continue;
      const bool enabled = !member(s, "enabled").is_boolean() || member(s, "enabled").get<bool>();
      table.add_row({{name},
                     {enabled ? "on" : "disabled", enabled ? kGreen : kDim},
                     number(s, "records"),
                     {rate("streams", name, "records")},
                     {short_bytes(count_of(s, "bytes"))}});
    }
    section(table);
  }

  void journal() {
    const json& j = member(now_, "journal");
    if (!j.is_object()) return;
    const uint64_t bytes = count_of(j, "bytes"), bytes_max = count_of(j, "bytes_max");
    const std::string state = safe_text(j, "state"), oldest = clock_time(safe_text(j, "oldest"));
    out_ += '\n';
    line(paint("JOURNAL ", kDim, colour_) + safe_text(j, "type") + "  " +
         paint(state, state_colour(state), colour_) +
         fmt::format("  {} of {} ({}%)", short_bytes(bytes), short_bytes(bytes_max),
                     bytes_max ? bytes * 100 / bytes_max : 0) +
         "  written " + safe_text(j, "written") + (oldest.empty() ? "" : "  oldest " + oldest));
  }

  void sinks() {
    Table table({{"SINK", false, 14},
                 {"STATE", false},
                 {"DELIVERED", true},
                 {"/S", true},
                 {"LAG", true},
                 {"DROPPED", true}});
    each("sinks", [&](const std::string& name, const json& s) {
      const std::string state = safe_text(s, "state");
      const uint64_t lag = count_of(s, "lag_records"), dropped = sum_of(member(s, "dropped"));
      table.add_row({{terminal_safe(name)},
                     {state, state_colour(state)},
                     number(s, "delivered"),
                     {rate("sinks", name, "delivered")},
                     {with_commas(lag), lag ? kYellow : ""},
                     {with_commas(dropped), dropped ? kRed : ""}});
      const std::string streams = joined(member(s, "streams"));
      table.add_note(fmt::format("{}: {}", safe_text(s, "type"), streams.empty() ? "no stream" : streams),
                     kDim);
      if (lag > 0) note(table, fmt::format("behind by {}", short_bytes(count_of(s, "lag_bytes"))), kYellow);
      note(table, reasons("dropped", member(s, "dropped")), kRed);
      note(table, reasons("quarantined", member(s, "quarantined")), kRed);
      note(table, reasons("filtered", member(s, "filtered")));
      last_error(table, s, state);
    });
    section(table);
  }

  static void last_error(Table& table, const json& sink, const std::string& state) {
    const std::string error = safe_text(sink, "last_error");
    if (error.empty()) return;
    const json& retry = member(sink, "retry_in_s");
    const std::string again =
        retry.is_number() && state != "ok" ? fmt::format(" (again in {:.1f} s)", retry.get<double>()) : "";
    table.add_note("last error: " + error + again, state == "ok" ? kDim : kRed);
  }

  void clients() {
    const json& all = member(now_, "clients");
    if (!all.is_object() || all.empty()) return;
    uint64_t gaps = 0;
    for (const auto& [id, client] : all.items()) gaps += count_of(client, "gaps");
    out_ += '\n';
    line(paint("CLIENTS ", kDim, colour_) +
         fmt::format("{}{} numbered", with_commas(all.size()),
                     all.size() >= kStatusClientsMax ? " or more" : "") +
         (gaps ? paint(fmt::format(", {} numbers never came", with_commas(gaps)), kYellow, colour_) : ""));
  }

  void balance() {
    const json& error = member(now_, "conservation_error");
    out_ += '\n';
    if (error.is_number() && error.get<double>() != 0)
      line(
          paint(fmt::format("balance: {} records are not accounted for; this is a bug of weir", error.dump()),
                kRed, colour_));
    else
      line(paint("balance: every record accounted for", kGreen, colour_));
  }

  template <class Fn>
  void each(const char* group, Fn&& fn) const {
    if (const json& all = member(now_, group); all.is_object())
      for (const auto& [name, value] : all.items()) fn(name, value);
  }
  static Cell number(const json& object, const char* key) { return {with_commas(count_of(object, key))}; }
  static void note(Table& table, std::string text, std::string_view colour = {}) {
    if (!text.empty()) table.add_note(std::move(text), colour);
  }
  void line(const std::string& text) { out_ += text + "\n"; }
  void section(const Table& table) {
    if (table.empty()) return;
    out_ += '\n';
    table.render(out_, colour_);
  }

  const json& before_;
  const json& now_;
  const double seconds_;
  const bool colour_;
  std::string out_;
};

}  // namespace

std::string status_view(const json& before, const json& now, double seconds, bool colour) {
  return View(before, now, seconds, colour).render();
}

}  // namespace weir::cli
