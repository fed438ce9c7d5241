#include "agent/config/section.h"

namespace weir {
namespace {

/// A bar would end the cell.
std::string cell(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string type_cell(const Option& option) {
  switch (option.type) {
    case OptionType::boolean:
      return "true or false";
    case OptionType::integer:
      return "integer";
    case OptionType::bytes:
      return "size (`64MiB`)";
    case OptionType::duration:
      return "duration (`250ms`)";
    case OptionType::string:
      return "text";
    case OptionType::path:
      return "path";
    case OptionType::string_list:
      return "list of text";
    case OptionType::file_mode:
      return "file mode";
    case OptionType::ratio:
      return "number from 0 to 1";
    case OptionType::secret:
      return "secret (`${env:NAME}`)";
    case OptionType::secret_map:
      return "map of names to text";
    case OptionType::choice:
      break;
  }
  std::string out;
  for (std::string_view choice : option.choices)
    out += (out.empty() ? "`" : ", `") + std::string(choice) + "`";
  return out;
}

std::string default_cell(const Option& option) {
  if (option.required) return "required";
  if (option.type == OptionType::secret_map) return "`{}`";
  if (option.default_text.empty()) return option.type == OptionType::string_list ? "`[]`" : "null";
  return "`" + std::string(option.default_text) + "`";
}

std::string limits_text(const Option& option) {
  const bool number = option.type == OptionType::integer || option.type == OptionType::bytes ||
                      option.type == OptionType::duration;
  std::string out;
  if (number && option.min != INT64_MIN) out += " At least `" + format_option(option, option.min) + "`.";
  if (number && option.max != INT64_MAX) out += " At most `" + format_option(option, option.max) + "`.";
  return out;
}

void add_table(std::string& out, const OptionTable& table) {
  if (table.empty()) return;
  out += "| option | type | default | meaning |\n|---|---|---|---|\n";
  for (const Option& option : table)
    out += "| `" + std::string(option.name) + "` | " + cell(type_cell(option)) + " | " +
           cell(default_cell(option)) + " | " + cell(option.sentence) + cell(limits_text(option)) + " |\n";
  out += "\n";
}

void add_components(std::string& out, std::string_view title, std::string_view group,
                    std::string_view sentence, const std::vector<ComponentType>& types) {
  out += "## " + std::string(title) + "\n\n" + std::string(sentence) + "\n\n";
  for (const ComponentType& type : types) {
    out += "### `" + std::string(group) + ".<name>: {type: " + std::string(type.name) + "}`\n\n" +
           std::string(type.sentence);
    for (std::string_view alias : type.aliases) out += " Also written `type: " + std::string(alias) + "`.";
    out += "\n\n";
    add_table(out, type.options);
  }
}

constexpr std::string_view kIntroduction = R"(# Configuration reference

Generated from the option tables of the program; do not edit. `weir check FILE` checks a file against
them, `weir check FILE --print` shows what results.

- Unknown keys, and keys named twice, are errors. Every mistake is shown at once, as `file:line:col:
  path: text`.
- Sizes: `B`, `KB`, `MB`, `GB` (thousands), `KiB`, `MiB`, `GiB` (1024); a number alone is bytes.
  Durations: `ns`, `us`, `ms`, `s`, `m`, `h`, `d`; the unit is required.
- `${VAR}`, `${VAR:-default}`, `${env:VAR}`, `${file:/path}` (its content without the last line feed),
  `${cred:name}` (a systemd credential) and `$$` (a dollar sign) are replaced in values. A variable that
  is not set is an error; what was put in is never read as YAML again.
- Several files, and the `*.yaml` of a directory in name order, are merged: maps key by key, everything
  else by the later one. `--set key=value` comes on top; a name that holds a dot is put in double quotes
  there (`--set 'sinks."a.b".path=x'`).
- Names of listeners and sinks: up to 64 letters, digits, `_`, `.` and `-`.

)";

}  // namespace

std::string config_reference(const std::vector<ComponentType>& listener_types,
                             const std::vector<ComponentType>& sink_types) {
  std::string out(kIntroduction);
  add_components(
      out, "Listeners", "listen",
      "Where records come in. Without `listen`: one Unix listener named `local` at `$WEIR_SOCKET`, else "
      "`/run/weir/weir.sock` as root, else `$XDG_RUNTIME_DIR/weir/weir.sock`.",
      listener_types);
  for (const config::SectionType* section : config::all_sections()) {
    out += section->path.empty() ? "## Top level\n\n" : "## `" + std::string(section->path) + "`\n\n";
    out += std::string(section->sentence) + "\n\n";
    add_table(out, section->options);
  }
  add_components(out, "Sinks", "sinks", "Where records leave. A sink gets the streams that name it.",
                 sink_types);
  out +=
      R"(## `runtime`

Two trees of the framework are taken as they are. Setting up one stream in both, or in a tree and in `streams`, is a mistake.
Other keys under `runtime`, and top-level keys beside it that weir does not know, are ignored with a note.

`runtime.tracing` becomes `streams.trace` and a sink: `enabled`, `signature`, `context_diff` (default mode here: `none`), and
`sink: {name, settings}` with the adapters `trace_stdout` (type `stdout`) and `trace_jsonl` (type `file`).

`runtime.observability` has the sections `tracing`, `logging`, `telemetry` and `monitoring`, each with the options of its stream
and a list `exporters` of `{kind, enabled, settings}`. Each exporter becomes a sink named `<section>_<kind>`, with `_2` and so on
where the name is taken; one with `enabled: false` is not looked at.

| kind | sink |
|---|---|
| `jsonl` | `file` |
| `file_plain` | `file` with `format: text` |
| `stdout` | `stdout` |
| `stdout_plain` | `stdout` with `format: text` |

The adapters' names of a section are understood as kinds there (`trace_jsonl`, `log_stdout`, `telemetry_jsonl`,
`monitoring_stdout`...). The kinds `otel_otlp`, `otel_otlp_logical`, `otel_otlp_topology` and `opentracing_bridge` are not in this
build; `service` and `otlp` among the settings are for them. `settings` are the sink's options; `trace_slice` is also understood as
`full` (all), `logical` (business_logic) and `topology` (platform_internals). Files without `path` are
`logs/<file_prefix>_<YYYYMMDDTHHMMSSZ>_pid<PID>` with `.jsonl` or `.log`, of the agent's start; `file_prefix` is a setting, and
by default the section's name.
)";
  return out;
}

}  // namespace weir
