#include "agent/cli/top_rates.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <string>

#include "agent/cli/json_text.h"
#include "agent/core/frame_handler.h"

namespace weir::cli {
namespace {

using nlohmann::json;

uint64_t sum_of(const json& counts) {
  uint64_t sum = 0;
  if (counts.is_object())
    for (const auto& [name, n] : counts.items()) sum += count_of(counts, name.c_str());
  return sum;
}

double number_of(const json& value) { return value.is_number() ? value.get<double>() : 0; }

/// The name of a program as the kernel has it; empty: not known. It is the program's to choose.
std::string program_of(uint64_t pid) {
  std::string name;
  if (std::ifstream comm("/proc/" + std::to_string(pid) + "/comm"); comm) std::getline(comm, name);
  return name;
}

class Rates {
 public:
  Rates(const json& before, const json& now) : before_(before), now_(now) {
    const bool same = count_of(before, "pid") == count_of(now, "pid");
    seconds_ = same ? number_of(member(now, "uptime_s")) - number_of(member(before, "uptime_s")) : 0;
  }

  json all() {
    json out = json::object();
    for (const char* key : {"version", "pid", "uptime_s", "generation", "config_hash", "config_files",
                            "journal", "memory_bytes", "conservation_error"})
      out[key] = member(now_, key);
    out["last_reload"] = member(member(now_, "last_reload"), "result");
    out["seconds"] = known() ? json(seconds_) : json();
    out["sources"] = each("sources", [&](const json& was, const json& is) { return source(was, is); });
    out["streams"] = each("streams", [&](const json& was, const json& is) { return stream(was, is); });
    out["sinks"] = each("sinks", [&](const json& was, const json& is) { return sink(was, is); });
    out["producers"] = producers();
    out["others_per_s"] = known() ? json(std::max(0.0, taken_ - numbered_)) : json();
    return out;
  }

 private:
  bool known() const { return seconds_ > 0; }
  json per_second(uint64_t from, uint64_t to) const {
    return known() && to >= from ? json(double(to - from) / seconds_) : json();
  }
  json rate(const json& was, const json& is, const char* key) const {
    return was.is_object() ? per_second(count_of(was, key), count_of(is, key)) : json();
  }
  json rate_of_sum(const json& was, const json& is, const char* key) const {
    return was.is_object() ? per_second(sum_of(member(was, key)), sum_of(member(is, key))) : json();
  }

  template <class Fn>
  json each(const char* group, Fn fn) const {
    json out = json::object();
    if (const json& all = member(now_, group); all.is_object())
      for (const auto& [name, is] : all.items())
        out[name] = fn(member(member(before_, group), name.c_str()), is);
    return out;
  }

  json source(const json& was, const json& is) {
    json out = {{"type", member(is, "type")}, {"address", member(is, "address")}};
    for (const char* key : {"connections", "received"}) out[key] = count_of(is, key);
    for (const char* key : {"received", "journalled", "duplicate", "disabled", "bytes"})
      out[std::string(key) + "_per_s"] = rate(was, is, key);
    for (const char* key : {"rejected", "dropped_by_rule"})
      out[std::string(key) + "_per_s"] = rate_of_sum(was, is, key);
    taken_ += number_of(out["received_per_s"]) - number_of(out["duplicate_per_s"]);
    return out;
  }

  json stream(const json& was, const json& is) const {
    return {{"enabled", member(is, "enabled")},
            {"records", count_of(is, "records")},
            {"records_per_s", rate(was, is, "records")},
            {"bytes_per_s", rate(was, is, "bytes")}};
  }

  json sink(const json& was, const json& is) const {
    json out = json::object();
    for (const char* key :
         {"type", "state", "delivered", "lag_records", "lag_bytes", "last_error", "retry_in_s"})
      out[key] = member(is, key);
    for (const char* key : {"routed", "delivered"}) out[std::string(key) + "_per_s"] = rate(was, is, key);
    for (const char* key : {"dropped", "quarantined", "filtered"}) {
      out[key] = sum_of(member(is, key));
      out[std::string(key) + "_per_s"] = rate_of_sum(was, is, key);
    }
    const double deliveries = number_of(member(is, "deliveries")) - number_of(member(was, "deliveries")),
                 took =
                     number_of(member(is, "delivery_seconds")) - number_of(member(was, "delivery_seconds"));
    out["delivery_s"] = known() && was.is_object() && deliveries > 0 ? json(took / deliveries) : json();
    const double lag = double(count_of(is, "lag_records")), done = number_of(out["delivered_per_s"]);
    out["behind_s"] = lag == 0 ? json(0) : done > 0 ? json(lag / done) : json();
    return out;
  }

  /// What a client has resent is no record of it, nor are numbers that never came.
  json numbered(const json& was, const json& is) const {
    return per_second(count_of(was, "last_seq") + count_of(is, "gaps"),
                      count_of(is, "last_seq") + count_of(was, "gaps"));
  }

  /// Noisiest first.
  json producers() {
    json out = json::array();
    const json& clients = member(now_, "clients");
    if (!clients.is_object()) return out;
    const bool local =
        program_of(count_of(now_, "pid")) == "weir";  // else its numbers are of other processes
    const bool met_now = member(before_, "clients").size() < kStatusClientsMax;  // those that were not there
    for (const auto& [id, is] : clients.items()) {
      const json& was = member(member(before_, "clients"), id.c_str());
      json client = {{"client_id", id}, {"uid", member(is, "uid")}, {"pid", member(is, "pid")}};
      client["last_seq"] = count_of(is, "last_seq"), client["gaps"] = count_of(is, "gaps");
      client["records_per_s"] = was.is_object() || met_now ? numbered(was, is) : json();
      const std::string program = local ? program_of(count_of(is, "pid")) : "";
      client["program"] = program.empty() ? json() : json(program);
      numbered_ += number_of(client["records_per_s"]);
      out.push_back(std::move(client));
    }
    std::stable_sort(out.begin(), out.end(), [](const json& a, const json& b) {
      return number_of(member(a, "records_per_s")) > number_of(member(b, "records_per_s"));
    });
    return out;
  }

  const json& before_;
  const json& now_;
  double seconds_ = 0;
  double taken_ = 0, numbered_ = 0;  ///< records per second, of all and of numbered clients
};

/// Of the sample line that begins with `series`, a name with its labels; nothing: it is not there.
std::optional<double> metric(std::string_view metrics, const std::string& series) {
  const size_t at = metrics.find("\n" + series + " ");
  double value = 0;
  if (at == metrics.npos) return std::nullopt;
  const char* const digits = metrics.data() + at + series.size() + 2;
  const auto read = std::from_chars(digits, metrics.data() + metrics.size(), value);
  return read.ec == std::errc() ? std::optional(value) : std::nullopt;
}

}  // namespace

void add_metrics(json& status, std::string_view metrics) {
  if (const auto bytes = metric(metrics, "process_resident_memory_bytes")) status["memory_bytes"] = *bytes;
  const auto sinks = status.find("sinks");
  if (sinks == status.end() || !sinks->is_object()) return;
  for (auto& [name, sink] : sinks->items()) {
    if (!sink.is_object()) continue;
    const std::string label = "{sink=\"" + name + "\"}";
    if (const auto n = metric(metrics, "weir_sink_delivery_seconds_count" + label)) sink["deliveries"] = *n;
    if (const auto sum = metric(metrics, "weir_sink_delivery_seconds_sum" + label))
      sink["delivery_seconds"] = *sum;
  }
}

json top_rates(const json& before, const json& now) { return Rates(before, now).all(); }

}  // namespace weir::cli
