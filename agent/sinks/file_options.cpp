#include "agent/sinks/file_options.h"

namespace weir {
namespace {

using Mistakes = std::vector<std::pair<std::string, std::string>>;

constexpr int64_t kSecond = 1'000'000'000;

Mistakes validate(const Settings& s) {
  Mistakes mistakes;
  const std::string& path = s.text("path");
  if (path.empty()) mistakes.emplace_back("path", "must not be empty");
  if (path.ends_with('/')) mistakes.emplace_back("path", "is a directory: name a file in it");
  if (auto parsed = PathTemplate::parse(path); !parsed) mistakes.emplace_back("path", parsed.error().message);
  const bool rotates = !s.null("rotate.max_bytes") || !s.null("rotate.every");
  const auto needs_rotation = [&](const char* option) {
    if (!rotates)
      mistakes.emplace_back(option, "changes nothing without rotation: set rotate.max_bytes or rotate.every");
  };
  if (!s.null("rotate.keep")) needs_rotation("rotate.keep");
  if (!s.null("rotate.keep_bytes")) needs_rotation("rotate.keep_bytes");
  if (s.text("rotate.compress") != "none") needs_rotation("rotate.compress");
  if (rotates && s.text("rotate.compress") == "none" && !s.null("rotate.max_bytes") &&
      !s.null("rotate.keep_bytes") && s.integer("rotate.keep_bytes") < s.integer("rotate.max_bytes"))
    mistakes.emplace_back("rotate.keep_bytes", "is less than rotate.max_bytes: no rotated file would stay");
  return mistakes;
}

OptionTable writing_options() {
  return {
      {.name = "path",
       .type = OptionType::path,
       .sentence =
           "File to append to; relative to the working directory. Missing directories are made. "
           "`{stream}`, `{service}`, `{scenario}`, `{level}`, `{logger}`, `{kind}` and "
           "`{process_group}` stand for what a record holds there, if that is a plain name of at most "
           "64 letters, digits, `_`, `-` and `.` (not first), `none` if it holds nothing, else "
           "`invalid-` and a number. `{{word}}` is `{word}` itself.",
       .required = true},
      {.name = "format",
       .type = OptionType::choice,
       .default_text = "jsonl",
       .sentence = "`jsonl`: one JSON line per record, as it is. `text`: one line for people, with date and "
                   "time, level, `[service/logger]`, message and correlation id.",
       .choices = {"jsonl", "text"}},
      {.name = "write_mode",
       .type = OptionType::choice,
       .default_text = "auto",
       .sentence = "`auto`: all that waits, in one write, nothing held back. `line`: one write per "
                   "`flush_every_n` records (default 1). `batch`: one write per `flush_every_n` records "
                   "(default 100) or after `flush_every_ms`.",
       .choices = {"auto", "line", "batch"}},
      {.name = "flush_every_n",
       .type = OptionType::integer,
       .sentence = "Records per write in the modes `line` and `batch`; null: the mode's default.",
       .min = 1,
       .max = 8192,
       .nullable = true},
      {.name = "flush_every_ms",
       .type = OptionType::integer,
       .default_text = "100",
       .sentence = "Milliseconds after which records that wait for `flush_every_n` are written all the same; "
                   "null: never.",
       .min = 1,
       .max = 86'400'000,
       .nullable = true},
      {.name = "fsync_every_n",
       .type = OptionType::integer,
       .sentence = "One fdatasync after the write that holds every n-th record; null: never.",
       .min = 1,
       .max = INT64_C(1) << 40,
       .nullable = true},
      {.name = "mode",
       .type = OptionType::file_mode,
       .default_text = "0640",
       .sentence = "Permissions of a file that is made."},
  };
}

OptionTable rotation_options() {
  return {
      {.name = "rotate.max_bytes",
       .type = OptionType::bytes,
       .sentence =
           "The file is set aside as `<path>.<UTC time>.<n>`, and a new one begun, before it would "
           "grow past this size in bytes; only a single longer record makes it larger. Null: no limit.",
       .min = 1,
       .max = INT64_C(1) << 50,
       .nullable = true},
      {.name = "rotate.every",
       .type = OptionType::duration,
       .sentence = "The same, this long after the first record in it; an empty file stays. Null: no limit.",
       .min = kSecond,
       .max = 3660LL * 86'400 * kSecond,
       .nullable = true},
      {.name = "rotate.keep",
       .type = OptionType::integer,
       .sentence = "How many rotated files stay, the oldest go first. Null: all.",
       .min = 1,
       .max = 1'000'000'000,
       .nullable = true},
      {.name = "rotate.keep_bytes",
       .type = OptionType::bytes,
       .sentence =
           "How large the rotated files may be together, in bytes, the oldest go first. Null: any size.",
       .min = 1,
       .max = INT64_C(1) << 60,
       .nullable = true},
      {.name = "rotate.compress",
       .type = OptionType::choice,
       .default_text = "none",
       .sentence = "Rotated files become `.zst` or `.gz`, in the background.",
       .choices = {"none", "zstd", "gzip"}},
  };
}

uint64_t or_else(const Settings& s, const char* option, uint64_t when_null) {
  return s.null(option) ? when_null : uint64_t(s.integer(option));
}

Packing packing_of(const std::string& word) {
  return word == "zstd" ? Packing::zstd : word == "gzip" ? Packing::gzip : Packing::none;
}

}  // namespace

FileOptions::FileOptions(const Settings& s)
    : path(*PathTemplate::parse(s.text("path"))),
      text(s.text("format") == "text"),
      mode(mode_t(s.integer("mode"))),
      steps(s.text("write_mode") != "auto"),
      flush_every_n(or_else(s, "flush_every_n", s.text("write_mode") == "line" ? 1 : 100)),
      flush_every_ns(s.null("flush_every_ms") ? -1 : s.integer("flush_every_ms") * 1'000'000),
      fsync_every_n(or_else(s, "fsync_every_n", 0)),
      max_bytes(or_else(s, "rotate.max_bytes", UINT64_MAX)),
      every_ns(s.null("rotate.every") ? 0 : s.integer("rotate.every")),
      keep{or_else(s, "rotate.keep", UINT64_MAX), or_else(s, "rotate.keep_bytes", UINT64_MAX),
           packing_of(s.text("rotate.compress"))} {}

ComponentType file_component() {
  OptionTable options = writing_options();
  for (Option& option : rotation_options()) options.push_back(std::move(option));
  return {"file", {"jsonl"}, "Appends records to a file, one line each.", std::move(options), validate};
}

}  // namespace weir
