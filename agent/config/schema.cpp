#include "agent/config/schema.h"

#include <algorithm>

namespace weir::config {
namespace {

struct FutureWords {
  std::string_view where;
  std::vector<std::string_view> words;
};

const std::vector<FutureWords>& future_words() {
  static const std::vector<FutureWords> table{
      {"", {"web"}},
      {"listen.*.type", {"ring", "otlp", "statsd", "zipkin", "prometheus", "syslog"}},
      {"sinks.*.type",
       {"otlp", "otel_otlp", "kafka", "loki", "zipkin", "prometheus", "remote_write", "statsd", "syslog",
        "redis", "postgres", "sqlite", "elasticsearch"}},
  };
  return table;
}

}  // namespace

const SectionType& top_section() {
  static const SectionType section{
      "",
      "At the top level of the file.",
      {{.name = "data_dir",
        .type = OptionType::path,
        .sentence = "Directory of the quarantine files. Null: `/var/lib/weir` as root, else "
                    "`$XDG_STATE_HOME/weir` or "
                    "`~/.local/state/weir`.",
        .nullable = true},
       {.name = "drain_timeout",
        .type = OptionType::duration,
        .default_text = "1s",
        .sentence = "How long an orderly stop waits for sinks to take what is in the journal.",
        .min = 0,
        .max = 3'600'000'000'000}}};
  return section;
}

const SectionType& control_section() {
  static const SectionType section{
      "control",
      "The socket of `weir status`, `tail` and `reload`.",
      {{.name = "path",
        .type = OptionType::path,
        .sentence =
            "Path of the control socket. Null: `control.sock` beside the first Unix listener's socket.",
        .nullable = true}}};
  return section;
}

const SectionType& metrics_section() {
  static const SectionType section{
      "metrics",
      "`GET /metrics` (Prometheus, OpenMetrics), `/healthz` and `/readyz` over TCP, beside the control "
      "socket.",
      {{.name = "bind",
        .type = OptionType::string,
        .sentence = "HOST:PORT to listen on, as `127.0.0.1:9464`; port 0 takes a free one (the ready line "
                    "shows it). Null: not over TCP.",
        .nullable = true},
       {.name = "insecure",
        .type = OptionType::boolean,
        .default_text = "false",
        .sentence = "Allows an address that others can reach: whoever does reads all counters and names."}}};
  return section;
}

const SectionType& journal_section() {
  static const SectionType section{
      "journal",
      "Where records wait for their sinks, and the tape that `weir tail -n` reads.",
      {{.name = "type",
        .type = OptionType::choice,
        .default_text = "memory",
        .sentence = "`memory` survives nothing and costs nothing; `disk` survives kill -9 and power cuts.",
        .choices = {"memory", "disk"}},
       {.name = "path",
        .type = OptionType::path,
        .sentence = "Directory of a `disk` journal, its own. Null: `data_dir/journal`.",
        .nullable = true},
       {.name = "max_bytes",
        .type = OptionType::bytes,
        .default_text = "64MiB",
        .sentence = "Total size in bytes, where nothing is written `4GiB` for a `disk` journal; when a sink "
                    "lags this far "
                    "behind, its `when_full` decides. At least twice `limits.record_bytes_max`; `disk`: at "
                    "least 8MiB.",
        .min = 1 << 20,
        .max = 1LL << 40}}};
  return section;
}

const SectionType& limits_section() {
  static const SectionType section{
      "limits",
      "What a producer may send.",
      {{.name = "record_bytes_max",
        .type = OptionType::bytes,
        .default_text = "256KiB",
        .sentence = "Longest record in bytes, without its line feed; a longer one is refused as `too_long`.",
        .min = 1 << 10,
        .max = 8 << 20},
       {.name = "per_uid.connections",
        .type = OptionType::integer,
        .sentence = "Connections that one user may have to Unix listeners at a time; more are refused. Null: "
                    "no limit.",
        .min = 1,
        .max = 1'000'000,
        .nullable = true},
       {.name = "per_uid.memory",
        .type = OptionType::bytes,
        .sentence =
            "Memory in bytes that the unfinished lines of one user may take; a line that goes on beyond "
            "it is refused as `too_long`. Null: no limit.",
        .min = 64 << 10,
        .max = INT64_C(1) << 40,
        .nullable = true},
       {.name = "per_uid.bytes_per_s",
        .type = OptionType::bytes,
        .sentence =
            "Bytes per second that are read of one user; what is sent faster waits in the socket. Null: "
            "no limit.",
        .min = 1 << 10,
        .max = INT64_C(1) << 40,
        .nullable = true}}};
  return section;
}

const SectionType& clients_section() {
  static const SectionType section{
      "clients",
      "What is remembered of clients that number their records.",
      {{.name = "memory",
        .type = OptionType::duration,
        .default_text = "24h",
        .sentence = "How long the last number of a client that is away is remembered.",
        .min = 1'000'000'000,
        .max = 366LL * 86'400'000'000'000},
       {.name = "max",
        .type = OptionType::integer,
        .default_text = "100000",
        .sentence = "How many clients are remembered, the least recently seen goes first.",
        .min = 1,
        .max = 100'000'000}}};
  return section;
}

const SectionType& quarantine_section() {
  static const SectionType section{
      "quarantine",
      "Refused records, in `data_dir/quarantine`.",
      {{.name = "raw",
        .type = OptionType::boolean,
        .default_text = "true",
        .sentence =
            "Whether the refused bytes themselves (at most the first 64 KiB) are kept beside the reason."}}};
  return section;
}

const SectionType& log_section() {
  static const SectionType section{"log",
                                   "The agent's own log on stderr.",
                                   {{.name = "level",
                                     .type = OptionType::choice,
                                     .default_text = "info",
                                     .sentence = "The least severe level that is written.",
                                     .choices = {"trace", "debug", "info", "warn", "error"}}}};
  return section;
}

const SectionType& sandbox_section() {
  static const SectionType section{
      "sandbox",
      "Where this is written, be it as `sandbox: {}`, the agent gives up at its start what it does not need: "
      "it opens no file but those listed here and those that its configuration names then (Landlock, where "
      "the "
      "kernel has it), executes no program, gains no rights, and cannot be dumped or looked into. Its data, "
      "the directories of its sockets, outputs, certificates, references `${file:...}` and configuration "
      "files, `/etc`, `/usr` and what a resolver needs are in it without being listed. A reload that names "
      "something outside is refused; a change of this section needs a restart.",
      {{.name = "write",
        .type = OptionType::string_list,
        .default_text = "[]",
        .sentence =
            "Directories that a later configuration may write to, too. They must be there at the start."},
       {.name = "read",
        .type = OptionType::string_list,
        .default_text = "[]",
        .sentence = "Files and directories that a later configuration may read, too."}}};
  return section;
}

const SectionType& stream_section() {
  static const SectionType section{
      "streams.<name>",
      "One of `trace`, `log`, `telemetry` and `monitoring`. A stream that is not named is enabled and goes "
      "to no sink: "
      "its records live on the tape only.",
      {{.name = "enabled",
        .type = OptionType::boolean,
        .default_text = "true",
        .sentence = "`false`: its records are counted as `disabled` and go nowhere."},
       {.name = "sinks",
        .type = OptionType::string_list,
        .default_text = "[]",
        .sentence = "Names of the sinks that get this stream."}}};
  return section;
}

const SectionType& signature_section() {
  static const SectionType section{
      "streams.<name>.signature",
      "How messages (`msg_in`, `msg_out`) are named. Always on for `trace`, for other streams when written.",
      {{.name = "mode",
        .type = OptionType::choice,
        .default_text = "type_only",
        .sentence = "`type_only` keeps the type name, `type_and_identity` also an identity, `hash` also a "
                    "SHA-256 of the "
                    "message.",
        .choices = {"type_only", "type_and_identity", "hash"}}}};
  return section;
}

const SectionType& context_diff_section() {
  static const SectionType section{
      "streams.<name>.context_diff",
      "What is kept of the context around a step. Always on for `trace`, for other streams when written.",
      {{.name = "mode",
        .type = OptionType::choice,
        .default_text = "full",
        .sentence = "`full` keeps all keys, `whitelist` the listed ones, `none` nothing. In a "
                    "`runtime.tracing` tree the "
                    "default is `none`.",
        .choices = {"none", "whitelist", "full"}},
       {.name = "whitelist",
        .type = OptionType::string_list,
        .default_text = "[]",
        .sentence = "Keys kept by `mode: whitelist`; a dotted entry reaches into objects."},
       {.name = "max_value_len",
        .type = OptionType::integer,
        .default_text = "256",
        .sentence = "Longest string within a kept value, in code points; what is longer is cut.",
        .min = 1,
        .max = 8 << 20},
       {.name = "snapshots",
        .type = OptionType::boolean,
        .default_text = "true",
        .sentence = "`false` keeps only `ctx_diff`: before and after become null."},
       {.name = "max_traces",
        .type = OptionType::integer,
        .default_text = "10000",
        .sentence = "How many contexts are remembered for producers that send only `ctx` or its changes.",
        .min = 1,
        .max = 10'000'000},
       {.name = "max_context_bytes",
        .type = OptionType::bytes,
        .default_text = "16MiB",
        .sentence = "Memory of those contexts in bytes.",
        .min = 1 << 10,
        .max = 1LL << 40},
       {.name = "idle",
        .type = OptionType::duration,
        .default_text = "10m",
        .sentence = "After this time without a record a context is forgotten.",
        .min = 1'000'000,
        .max = 366LL * 86'400'000'000'000}}};
  return section;
}

const SectionType& set_section() {
  static const SectionType section{
      "streams.<name>.set",
      "Fields that are added where they are absent, behind all that was sent. Each key is a dotted path from "
      "the record's top (`attributes.env`), each value text, or without quotes a number, `true` or `false`; "
      "what `${...}` puts in is text. Null is absent in reserved fields. An object on the way that was sent "
      "gets new members at its end; where something else stands on the way, nothing is added. `stream`, "
      "`trace_id`, `ts`, `ctx*`, `msg_*` and names that begin with `_` cannot be set.",
      {{.name = "overwrite",
        .type = OptionType::boolean,
        .default_text = "false",
        .sentence = "`true`: fields that were sent are replaced in their place."}}};
  return section;
}

const SectionType& redact_section() {
  static const SectionType section{
      "streams.<name>.redact",
      "What must not leave the agent. Rules hold for the finished line, so for files, terminals and `weir "
      "tail` alike; differences are found before, so a context's diff still tells that a redacted value "
      "changed. Refused records are not redacted: with secrets in records write `quarantine: {raw: false}`, "
      "too.",
      {{.name = "keys",
        .type = OptionType::string_list,
        .default_text = "[]",
        .sentence = "Names of keys, at any depth: their whole value goes, whatever its type. Exact and "
                    "case-sensitive; compared decoded, so `pass\\u0077ord` is `password`."},
       {.name = "paths",
        .type = OptionType::string_list,
        .default_text = "[]",
        .sentence = "Dotted paths from the record's top (`attributes.http.authorization`): the whole value "
                    "goes. A key that holds dots is tried, too; arrays are gone through element by element. "
                    "A path into `ctx`, `ctx_before`, `ctx_after`, `ctx_set` or `ctx_diff` means that place "
                    "of the context in all of them."},
       {.name = "patterns",
        .type = OptionType::string_list,
        .default_text = "[]",
        .sentence = "Regular expressions (RE2) over decoded values at any depth, not over keys: in a string "
                    "each match is replaced, the rest stays; a number in which one matches goes as a whole. "
                    "They are not tried on what the agent computes (hash, `ts`, `_peer`, `_received`, "
                    "`_id`)."},
       {.name = "replace", .default_text = "***", .sentence = "The text that stands there instead."}}};
  return section;
}

const SectionType& sample_section() {
  static const SectionType section{
      "streams.<name>.sample",
      "Keeps a part of the traces; what is dropped is counted as `dropped_by_rule` `sample`. All records of "
      "one `trace_id` share one fate, in every agent; records without one are taken by their count.",
      {{.name = "ratio", .type = OptionType::ratio, .sentence = "The part that is kept.", .required = true},
       {.name = "keep_errors",
        .type = OptionType::boolean,
        .default_text = "true",
        .sentence = "Keeps every record with `status` `error`, an `error`, a `level` from `error` up, or as "
                    "monitoring a `severity` from `error` up."}}};
  return section;
}

std::vector<const SectionType*> all_sections() {
  return {&top_section(),     &control_section(), &metrics_section(),    &journal_section(),
          &limits_section(),  &clients_section(), &quarantine_section(), &log_section(),
          &sandbox_section(), &stream_section(),  &signature_section(),  &context_diff_section(),
          &set_section(),     &redact_section(),  &sample_section()};
}

const std::vector<std::string_view>& top_level_names() {
  static const std::vector<std::string_view> names{
      "listen",     "control", "metrics", "data_dir",      "journal", "limits", "clients",
      "quarantine", "log",     "sandbox", "drain_timeout", "streams", "sinks",  "runtime"};
  return names;
}

bool is_future(std::string_view where, std::string_view word) {
  for (const FutureWords& group : future_words())
    if (group.where == where)
      return std::find(group.words.begin(), group.words.end(), word) != group.words.end();
  return false;
}

const Option* find_option(const OptionTable& table, std::string_view name) {
  const auto it = std::find_if(table.begin(), table.end(), [&](const Option& o) { return o.name == name; });
  return it == table.end() ? nullptr : &*it;
}

}  // namespace weir::config
