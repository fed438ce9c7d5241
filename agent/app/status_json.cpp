#include "agent/app/status_json.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

namespace weir {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json errors_json(const std::vector<ConfigError>& errors) {
  Json list = Json::array();
  for (const ConfigError& e : errors)
    list.push_back({{"file", e.where.file},
                    {"line", e.where.line},
                    {"col", e.where.column},
                    {"path", e.path},
                    {"message", e.message},
                    {"suggestion", e.suggestion.empty() ? Json(nullptr) : Json(e.suggestion)}});
  return list;
}

template <class Map>
Json counters(const Map& map) {
  Json out = Json::object();
  for (const auto& [name, n] : map) out[name] = n;
  return out;
}

Json source_json(const SourceStats& s) {
  Json rejected = Json::object();
  for (size_t i = 1; i < kReasonCount; ++i)
    if (s.rejected[i] > 0) rejected[std::string(reason_name(Reason(i)))] = s.rejected[i];
  Json out = {{"type", s.type},
              {"address", s.address},
              {"connections", s.connections},
              {"received", s.received},
              {"accepted", s.accepted},
              {"journalled", s.journalled},
              {"rejected", rejected},
              {"dropped_by_rule", counters(s.dropped_by_rule)},
              {"duplicate", s.duplicate},
              {"disabled", s.disabled},
              {"bytes", s.bytes}};
  if (s.rings_ever + s.ring_violations + s.ring_refusals > 0)
    out["rings"] = {{"attached", s.rings},
                    {"dropped", s.ring_dropped},
                    {"violations", s.ring_violations},
                    {"refused", s.ring_refusals}};
  return out;
}

Json client_json(const ClientState& c) {
  Json out = {{"uid", c.identity->uid ? Json(*c.identity->uid) : Json(nullptr)},
              {"pid", c.identity->uid && c.pid ? Json(c.pid) : Json(nullptr)},
              {"last_seq", c.last_seq},
              {"gaps", c.gaps}};
  if (c.dropped > 0) out["dropped"] = c.dropped;
  return out;
}

Json sink_json(const SinkStatus& s) {
  Json streams = Json::array();
  for (Stream stream : kStreams)
    if (s.streams.has(stream)) streams.push_back(stream_name(stream));
  return {
      {"type", s.type},
      {"streams", streams},
      {"state", s.state},
      {"routed", s.routed},
      {"delivered", s.delivered},
      {"filtered", counters(s.filtered)},
      {"dropped", counters(s.dropped)},
      {"quarantined", counters(s.quarantined)},
      {"lag_records", s.lag_records},
      {"lag_bytes", s.lag_bytes},
      {"last_error", s.last_error.empty() ? Json(nullptr) : Json(s.last_error)},
      {"retry_in_s",
       s.state == "ok" || s.state == "draining" || s.state == "paused" ? Json(nullptr) : Json(s.retry_in_s)}};
}

Json journal_json(const JournalStatus& j) {
  Json out = {{"type", j.type},
              {"bytes", j.bytes},
              {"bytes_max", j.bytes_max},
              {"oldest", j.oldest_ns ? Json(rfc3339(j.oldest_ns)) : Json(nullptr)},
              {"written", std::to_string(j.written)},
              {"synced", std::to_string(j.synced)},
              {"state", j.state}};
  if (j.type == "disk") {
    out["error"] = j.error.empty() ? Json(nullptr) : Json(j.error);
    out["fsync_errors"] = j.fsync_errors;
    out["torn_bytes"] = j.torn_bytes;
    out["damaged_records"] = j.damaged_records;
  }
  return out;
}

Json sandbox_json(const Sandbox& sandbox) {
  return {{"landlock", sandbox.landlock},
          {"no_new_privs", sandbox.no_new_privs},
          {"write", sandbox.paths.write},
          {"read", sandbox.paths.read}};
}

}  // namespace

std::string status_json(const TopologyStatus& status, const ReloadState& reload, double uptime_s) {
  Json out = {{"version", WEIR_VERSION},
              {"pid", getpid()},
              {"uptime_s", uptime_s},
              {"generation", reload.generation},
              {"config_hash", reload.config_hash},
              {"config_files", reload.config_files},
              {"last_reload",
               {{"time", rfc3339(reload.last_time_ns)},
                {"result", reload.last.result},
                {"errors", errors_json(reload.last.errors)}}}};
  if (reload.sandbox) out["sandbox"] = sandbox_json(*reload.sandbox);
  Json sources = Json::object(), streams = Json::object(), sinks = Json::object(), clients = Json::object();
  for (const SourceStats& s : status.sources) sources[s.name] = source_json(s);
  for (Stream s : kStreams) {
    const StreamStats& stats = status.streams[size_t(s)];
    streams[std::string(stream_name(s))] = {
        {"enabled", status.enabled[size_t(s)]}, {"records", stats.records}, {"bytes", stats.bytes}};
  }
  for (const SinkStatus& s : status.sinks) sinks[s.name] = sink_json(s);
  for (const ClientState& c : status.clients) clients[c.identity->client_id] = client_json(c);
  out["sources"] = std::move(sources);
  out["streams"] = std::move(streams);
  out["journal"] = journal_json(status.journal);
  out["sinks"] = std::move(sinks);
  out["clients"] = std::move(clients);
  out["conservation_error"] = status.conservation_error();
  return dump(out);
}

std::string reload_json(const ReloadResult& result) {
  Json components = Json::object();
  for (const auto& [name, c] : result.components)
    components[name] = {{"action", c.action},   {"result", c.result},           {"message", c.message},
                        {"options", c.options}, {"lag_records", c.lag_records}, {"lag_bytes", c.lag_bytes}};
  return dump({{"generation", result.generation},
               {"result", result.result},
               {"config_hash", result.config_hash.empty() ? Json(nullptr) : Json(result.config_hash)},
               {"errors", errors_json(result.errors)},
               {"components", components}});
}

}  // namespace weir
