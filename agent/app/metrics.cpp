#include "agent/app/metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <initializer_list>
#include <utility>

namespace weir {
namespace {

/// kLatencyBoundsNs in seconds, in the canonical form of OpenMetrics.
constexpr std::array<std::string_view, kLatencyBoundsNs.size()> kBounds{
    "1e-05", "2.5e-05", "5e-05", "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01",
    "0.025", "0.05",    "0.1",   "0.25",   "0.5",     "1.0",    "2.5",   "5.0",    "10.0",  "60.0"};

using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

/// The text exposition formats of Prometheus (0.0.4) and OpenMetrics (1.0). They differ in the name under
/// which a counter is announced, and in the last line.
class Exposition {
 public:
  explicit Exposition(MetricsFormat format) : open_metrics_(format == MetricsFormat::open_metrics) {}

  void counter(std::string_view name, std::string_view help) { announce(name, "counter", help); }
  void gauge(std::string_view name, std::string_view help) { announce(name, "gauge", help); }

  void histogram(std::string_view name, std::string_view help) { announce(name, "histogram", help); }

  /// Of the histogram announced last.
  void buckets(const std::pair<std::string_view, std::string_view>& label, const LatencySnapshot& h) {
    uint64_t count = 0;
    for (size_t i = 0; i < h.counts.size(); ++i) {
      count += h.counts[i];
      const std::string_view le = i < kBounds.size() ? kBounds[i] : "+Inf";
      if (label.first.empty())
        sample({{"le", le}}, std::to_string(count), "_bucket");
      else
        sample({label, {"le", le}}, std::to_string(count), "_bucket");
    }
    const auto put = [&](std::string_view value, std::string_view suffix) {
      label.first.empty() ? sample({}, value, suffix) : sample({label}, value, suffix);
    };
    put(number(h.sum_s), "_sum");
    put(std::to_string(count), "_count");
  }

  /// Of the family announced last.
  void sample(Labels labels, uint64_t value) { sample(labels, std::to_string(value)); }
  void sample(Labels labels, double value) { sample(labels, number(value)); }

  std::string finish() && {
    if (open_metrics_) text_ += "# EOF\n";
    return std::move(text_);
  }

 private:
  void announce(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    std::string_view family = name;
    if (open_metrics_ && type == "counter") family.remove_suffix(std::string_view("_total").size());
    for (const auto& [word, rest] :
         {std::pair<std::string_view, std::string_view>{"HELP", help}, {"TYPE", type}})
      text_.append("# ").append(word).append(" ").append(family).append(" ").append(rest).append("\n");
  }
  static std::string number(double value) {
    char digits[32];
    return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
  }
  void sample(Labels labels, std::string_view value, std::string_view suffix = {}) {
    text_.append(name_).append(suffix);
    char before = '{';
    for (const auto& [key, word] : labels) {
      text_ += std::exchange(before, ',');
      text_.append(key).append("=\"");
      for (const char c : word)
        c == '\n' ? text_ += "\\n" : c == '"' || c == '\\' ? (text_ += '\\') += c : text_ += c;
      text_ += '"';
    }
    if (labels.size() > 0) text_ += '}';
    text_.append(" ").append(value).append("\n");
  }

  const bool open_metrics_;
  std::string name_, text_;
};

void sources(Exposition& out, const std::vector<SourceStats>& all) {
  const auto each = [&](auto member) {
    for (const SourceStats& s : all) out.sample({{"source", s.name}}, s.*member);
  };
  out.counter("weir_records_received_total", "Records read, good or bad.");
  each(&SourceStats::received);
  out.counter("weir_records_accepted_total", "Records that are what they should be.");
  each(&SourceStats::accepted);
  out.counter("weir_records_journalled_total", "Records that are in the journal.");
  each(&SourceStats::journalled);
  out.counter("weir_records_duplicate_total", "Records that were sent again and recognised.");
  each(&SourceStats::duplicate);
  out.counter("weir_records_disabled_total", "Records of a stream that is disabled.");
  each(&SourceStats::disabled);
  out.counter("weir_received_bytes_total", "Bytes of records read.");
  each(&SourceStats::bytes);
  out.counter("weir_records_rejected_total", "Records refused, by reason.");
  for (const SourceStats& s : all)
    for (size_t i = 1; i < kReasonCount; ++i)
      out.sample({{"source", s.name}, {"reason", reason_name(Reason(i))}}, s.rejected[i]);
  out.counter("weir_records_dropped_by_rule_total", "Records a rule has dropped before the journal.");
  for (const SourceStats& s : all)
    for (const auto& [rule, n] : s.dropped_by_rule) out.sample({{"source", s.name}, {"rule", rule}}, n);
  out.gauge("weir_connections", "Open connections.");
  each(&SourceStats::connections);
}

void journal(Exposition& out, const JournalStatus& j) {
  out.gauge("weir_journal_bytes", "Bytes the journal holds.");
  out.sample({}, j.bytes);
  out.gauge("weir_journal_bytes_max", "Bytes it may hold.");
  out.sample({}, j.bytes_max);
  out.gauge("weir_journal_state", "1 for the state it is in.");
  for (std::string_view state : {"ok", "full", "readonly", "failed"})
    out.sample({{"state", state}}, uint64_t(j.state == state));
  out.counter("weir_journal_fsync_errors_total", "Syncs that have failed.");
  out.sample({}, j.fsync_errors);
  out.counter("weir_journal_torn_bytes_total",
              "Bytes at its end that were not written whole, cut off at the start.");
  out.sample({}, j.torn_bytes);
  out.counter("weir_journal_corrupt_records_total", "Records that were damaged or missing.");
  out.sample({}, j.damaged_records);
}

void sinks(Exposition& out, const std::vector<SinkStatus>& all) {
  const auto each = [&](auto member) {
    for (const SinkStatus& s : all) out.sample({{"sink", s.name}}, s.*member);
  };
  const auto each_of = [&](auto member, std::string_view label) {
    for (const SinkStatus& s : all)
      for (const auto& [word, n] : s.*member) out.sample({{"sink", s.name}, {label, word}}, n);
  };
  out.counter("weir_records_routed_total", "Records of a sink's streams.");
  each(&SinkStatus::routed);
  out.counter("weir_records_delivered_total", "Records it has delivered.");
  each(&SinkStatus::delivered);
  out.counter("weir_records_filtered_total", "Records its filters keep back.");
  each_of(&SinkStatus::filtered, "rule");
  out.counter("weir_records_dropped_total", "Records that never reach it.");
  each_of(&SinkStatus::dropped, "reason");
  out.counter("weir_records_quarantined_total", "Records it was refused.");
  each_of(&SinkStatus::quarantined, "reason");
  out.counter("weir_sink_retries_total", "Deliveries tried again.");
  each(&SinkStatus::retries);
  out.gauge("weir_sink_lag_records", "Records that wait for it.");
  each(&SinkStatus::lag_records);
  out.gauge("weir_sink_lag_bytes", "Their bytes.");
  each(&SinkStatus::lag_bytes);
  out.gauge("weir_sink_up", "1: it delivers.");
  for (const SinkStatus& s : all)
    out.sample({{"sink", s.name}}, uint64_t(s.state == "ok" || s.state == "draining"));
}

uint64_t resident_bytes() {
  unsigned long long pages_all = 0, pages = 0;
  if (std::FILE* const file = std::fopen("/proc/self/statm", "re")) {
    if (std::fscanf(file, "%llu %llu", &pages_all, &pages) != 2) pages = 0;
    std::fclose(file);
  }
  return pages * uint64_t(sysconf(_SC_PAGESIZE));
}

void latencies(Exposition& out, const TopologyStatus& status) {
  out.histogram("weir_stage_duration_seconds",
                "From the turn that read a record: until it was journalled; until its client was told.");
  out.buckets({"stage", "journalled"}, status.journalled);
  out.buckets({"stage", "acknowledged"}, status.acknowledged);
  out.histogram("weir_journal_fsync_seconds", "Syncs of the journal's segments.");
  out.buckets({}, status.journal.fsync);
  out.histogram("weir_sink_delivery_seconds", "Deliveries of a batch, good or bad.");
  for (const SinkStatus& s : status.sinks) out.buckets({"sink", s.name}, s.delivery);
  out.histogram("weir_sink_latency_seconds",
                "Records, from the turn that read them until they were delivered.");
  for (const SinkStatus& s : status.sinks) out.buckets({"sink", s.name}, s.latency);
}

uint64_t open_descriptors() {
  uint64_t n = 0;
  if (DIR* const directory = opendir("/proc/self/fd")) {
    while (const dirent* entry = readdir(directory)) n += entry->d_name[0] != '.';
    closedir(directory);
    --n;  // the one it is read by
  }
  return n;
}

/// Under the names that every Prometheus client uses.
void process(Exposition& out, double uptime_s) {
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return double(t.tv_sec) + double(t.tv_usec) / 1e6; };
  out.counter("process_cpu_seconds_total", "User and system time.");
  out.sample({}, seconds(usage.ru_utime) + seconds(usage.ru_stime));
  out.gauge("process_resident_memory_bytes", "Resident memory.");
  out.sample({}, resident_bytes());
  out.gauge("process_open_fds", "Open descriptors.");
  out.sample({}, open_descriptors());
  out.gauge("weir_uptime_seconds", "Since the start.");
  out.sample({}, uptime_s);
  out.gauge("weir_build_info", "1, with the version.");
  out.sample({{"version", WEIR_VERSION}}, uint64_t(1));
}

}  // namespace

MetricsFormat metrics_format(std::string_view accept) {
  return accept.find("application/openmetrics-text") != accept.npos ? MetricsFormat::open_metrics
                                                                    : MetricsFormat::prometheus;
}

std::string_view metrics_content_type(MetricsFormat format) {
  return format == MetricsFormat::open_metrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                               : "text/plain; version=0.0.4; charset=utf-8";
}

std::string metrics_text(const TopologyStatus& status, const ReloadState& reload, double uptime_s,
                         MetricsFormat format) {
  Exposition out(format);
  sources(out, status.sources);
  out.counter("weir_stream_records_total", "Records of a stream, disabled ones too.");
  for (Stream s : kStreams) out.sample({{"stream", stream_name(s)}}, status.streams[size_t(s)].records);
  journal(out, status.journal);
  sinks(out, status.sinks);
  latencies(out, status);
  uint64_t gaps = 0, dropped = 0;
  for (const ClientState& c : status.clients) gaps += c.gaps, dropped += c.dropped;
  out.counter("weir_client_gap_records_total", "Numbers of the clients that are remembered that never came.");
  out.sample({}, gaps);
  out.counter("weir_client_dropped_records_total", "Records they say they have dropped themselves.");
  out.sample({}, dropped);
  out.gauge("weir_config_generation", "Of the configuration that runs.");
  out.sample({}, reload.generation);
  out.counter("weir_config_reloads_total", "Reloads, by result.");
  for (const auto& [result, n] : reload.results) out.sample({{"result", result}}, n);
  out.gauge("weir_conservation_error", "0 as long as the counters add up.");
  out.sample({}, double(status.conservation_error()));
  process(out, uptime_s);
  return std::move(out).finish();
}

}  // namespace weir
