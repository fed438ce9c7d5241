#include "agent/sinks/file_sink.h"

#include <algorithm>

#include "agent/sinks/file_set_sink.h"

namespace weir {
namespace {

std::unique_ptr<Sink> make_file(const Settings& settings, const SinkContext& context) {
  FileOptions options(settings);
  if (options.path.has_fields()) return std::make_unique<FileSetSink>(std::move(options), context);
  return std::make_unique<FileSink>(std::move(options), context);
}

}  // namespace

const SinkType kFileSinkType{file_component(), make_file, "block"};

FileSink::FileSink(FileOptions options, const SinkContext& context)
    : options_(std::move(options)),
      setup_(output_file_setup(options_, context)),
      file_(setup_, {options_.path.path()}),
      housekeeper_(context.io, context.name, options_.keep),
      batch_(options_.text) {
  setup_.rotated = [this](const FilePlace& place) { housekeeper_.post(place); };
}

Result<void> FileSink::open() {
  if (auto opened = file_.open(); !opened) return opened;
  if (!options_.keep.any()) return {};
  pass_rotated_names();
  housekeeper_.start(
      [place = FilePlace{options_.path.path()}](std::stop_token) { return std::vector{place}; });
  return {};
}

/// After a clock that went back between two lives, new names must still be the last, because the first go
/// first.
void FileSink::pass_rotated_names() {
  const FilePlace place{options_.path.path()};
  const ScopedFd directory(setup_.io, open_directory(setup_.io, place, false));
  std::vector<std::string> names;
  if (!directory.ok() || setup_.io.list(directory.get(), names) != 0) return;
  RotatedName parsed;
  for (const std::string& name : names)
    if (parse_rotated_name(name, parsed) && parsed.base == place.name())
      setup_.numbers.pass(parsed.stamp, parsed.number);
}

void FileSink::close() noexcept {
  housekeeper_.stop();
  file_.close();
}

Delivery FileSink::deliver(const BatchView& batch, std::stop_token stop) {
  batch_.collect(batch);
  const std::span lines = batch_.lines();
  size_t done = 0;
  std::string error;
  if (auto followed = file_.follow(); !followed) return Delivery::down(followed.error().message);
  while (error.empty() && done < lines.size()) {
    const size_t left = lines.size() - done;
    const size_t step = options_.steps ? std::min<size_t>(left, options_.flush_every_n) : left;
    auto appended = file_.append(lines.subspan(done, step));
    done += appended.lines;
    error = std::move(appended.error);
    if (error.empty()) error = sync_after(step);
    if (error.empty() && stop.stop_requested() && done < lines.size()) error = "stopped";
  }
  auto again = append_again_if_removed(file_, lines.first(done));
  if (!again.error.empty()) error = std::move(again.error);
  return error.empty() ? Delivery::delivered() : Delivery::down(error, again.lines);
}

std::string FileSink::sync_after(uint64_t records) {
  since_sync_ += records;
  if (options_.fsync_every_n == 0 || since_sync_ < options_.fsync_every_n) return {};
  since_sync_ %= options_.fsync_every_n;
  return file_.sync();
}

}  // namespace weir
