#include "agent/journal/fsck.h"

#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "agent/cli/command.h"
#include "agent/cli/console.h"
#include "agent/cli/progress.h"
#include "agent/core/clock.h"
#include "agent/journal/disk_journal.h"

namespace weir::cli {
namespace {

struct FsckFlags {
  std::string directory, output = "text";
  bool repair = false;
};

nlohmann::ordered_json as_json(const JournalReport& r) {
  nlohmann::ordered_json out = {{"uuid", r.uuid},      {"format", r.format},
                                {"in_use", r.in_use},  {"records", r.records},
                                {"bytes", r.bytes},    {"lost_records", r.lost_records},
                                {"clients", r.clients}};
  out["segments"] = out["readers"] = out["faults"] = nlohmann::ordered_json::array();
  for (const SegmentReport& s : r.segments)
    out["segments"].push_back({{"name", s.name},
                               {"bytes", s.bytes},
                               {"transactions", s.transactions},
                               {"records", s.records},
                               {"first", std::to_string(s.first)},
                               {"end", std::to_string(s.end)},
                               {"made", rfc3339(s.made_ns)}});
  for (const auto& reader : r.readers)
    out["readers"].push_back({{"name", reader.name},
                              {"position", std::to_string(reader.position)},
                              {"secured", std::to_string(reader.secured)}});
  for (const JournalFault& f : r.faults)
    out["faults"].push_back({{"file", f.file}, {"text", f.text}, {"lost", f.lost}});
  return out;
}

void print(const JournalReport& r) {
  std::string out;
  for (const JournalFault& f : r.faults) out += terminal_safe(f.file + ": " + f.text) + "\n";
  out += fmt::format("journal {}: {} in {} {}, {} {}\n", terminal_safe(r.uuid), short_bytes(r.bytes),
                     r.segments.size(), plural(r.segments.size(), "segment", "segments"),
                     with_commas(r.records), plural(r.records, "record", "records"));
  if (!r.segments.empty())
    out += fmt::format("positions {} to {}, since {}\n", r.segments.front().first, r.segments.back().end,
                       rfc3339(r.segments.front().made_ns));
  for (const auto& reader : r.readers)
    out += fmt::format("sink {}: has passed {}\n", terminal_safe(reader.name), reader.position);
  write_out(out);
}

int fsck(const FsckFlags& flags) {
  std::string directory = flags.directory;
  struct stat st;
  if (stat((directory + "/journal.json").c_str(), &st) != 0 &&
      stat((directory + "/journal/journal.json").c_str(), &st) == 0)
    directory += "/journal";  // it was the data directory
  Progress progress("weir fsck", "checked");
  const auto report =
      check_journal(system_io(), directory, [&](uint64_t done, uint64_t of) { progress.show(done, of); });
  progress.end();
  if (!report) {
    say("weir fsck: {}", report.error().message);
    return kFailure;
  }
  if (flags.output == "json")
    write_out(as_json(*report).dump() + "\n");
  else
    print(*report);
  if (report->in_use && !report->faults.empty())
    say("weir fsck: an agent is writing to it just now, so its end may look unfinished");
  if (report->faults.empty()) {
    say("{}: in order", directory);
    return kOk;
  }
  if (!flags.repair) {
    say("{}: {} {}, {} {} lost; an agent puts right what can be at its start, `weir fsck --repair` does so "
        "now",
        directory, report->faults.size(), plural(report->faults.size(), "fault", "faults"),
        with_commas(report->lost_records), plural(report->lost_records, "record", "records"));
    return kFailure;
  }
  DiskJournalOptions options;
  options.path = directory;
  const std::string above = directory.substr(0, directory.find_last_of('/') + 1);
  options.quarantine = above + "quarantine/journal";
  options.bytes_max = UINT64_MAX;
  options.work = DiskJournalOptions::Work::by_hand;
  auto journal = DiskJournal::open(std::move(options), system_io(), system_clock());
  if (!journal) {
    say("weir fsck: {}", journal.error().message);
    return kFailure;
  }
  (*journal)->settle(INT64_MAX);
  say("{}: put right; what could not be read is in {}quarantine/journal", directory, above);
  return kOk;
}

}  // namespace

void add_fsck(CLI::App& app, Action& action) {
  auto flags = std::make_shared<FsckFlags>();
  CLI::App* command = app.add_subcommand("fsck", "Check a disk journal, explain what is wrong, put it right");
  command->add_option("DIR", flags->directory, "The journal's directory, or the data directory it is in")
      ->required();
  command->add_flag("--repair", flags->repair,
                    "Cut torn ends, move what cannot be read to the quarantine; the agent must not run");
  add_output_flag(*command, flags->output, {"text", "json"});
  command->footer(
      R"(Reads every byte and changes nothing without --repair. Exit code 0: in order or put right, 1: faults.

Examples:
  weir fsck /var/lib/weir
  weir fsck /var/lib/weir -o json | jq '.faults[]'
  weir fsck --repair /var/lib/weir/journal)");
  command->callback([flags, &action] { action = [flags] { return fsck(*flags); }; });
}

}  // namespace weir::cli
