#include "agent/sinks/file_sink.h"

#include <algorithm>

#include "agent/core/log.h"
#include "agent/sinks/file_set_sink.h"

namespace weir {
namespace {

std::unique_ptr<Sink> make_file(const Settings& settings, const SinkContext& context) {
  FileOptions options(settings);
  if (options.path.has_fields()) return std::make_unique<FileSetSink>(std::move(options), context);
  return std::make_unique<FileSink>(std::move(options), context);
}

}  // namespace

const SinkType kFileSinkType{file_component(), make_file, "block", check_file_place};

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
  housekeeper_.start(
      [place = FilePlace{options_.path.path()}](std::stop_token) { return std::vector{place}; });
  return {};
}

void FileSink::restore(SinkMemory memory) {
  keep_ = std::move(memory.keep);
  if (!keep_) return;
  setup_.keep = [this] { return keep(); };
  auto marks = read_marks(memory.state);
  for (FileMark& mark : marks) {
    if (mark.path == file_.path())
      file_.expect(mark, memory.same_boot);
    else if (trim_to_mark(setup_, {mark.path}, mark, memory.same_boot) ==
             MarkMatch::failed)  // it was its path
      log::warn("sink {}: {}; its last records may be written again", setup_.sink,
                system_error("cannot make whole", mark.path));
  }
}

std::string FileSink::state() const {
  if (!keep_) return {};
  return file_.has_mark() ? marks_text({file_.mark()}) : marks_text({});
}

std::string FileSink::keep() {
  if (std::string error = file_.sync(); !error.empty()) return error;
  if (!keep_(true)) return kCannotKeep;
  file_.set_in_checkpoint();
  return {};
}

Result<void> FileSink::sync() {
  if (std::string error = file_.sync(); !error.empty()) return fail(error);
  return {};
}

void FileSink::close() noexcept {
  housekeeper_.stop();
  file_.close();
}

Delivery FileSink::deliver(const BatchView& batch, std::stop_token stop) {
  batch_.collect(batch);
  std::span lines = batch_.lines();
  size_t done = 0;
  std::string error;
  if (auto followed = file_.follow(); !followed) return Delivery::down(followed.error().message);
  if (keep_) {
    if (auto rotated = file_.rotate_if_due(lines[0].size()); !rotated)
      return Delivery::down(rotated.error().message);
    lines = lines.first(fitting(lines, file_.room()));
  }
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
  file_.settle();
  if (!again.error.empty()) error = std::move(again.error);
  if (!error.empty()) return Delivery::down(error, again.lines);
  return again.lines < batch_.lines().size() ? Delivery::partial(again.lines) : Delivery::delivered();
}

std::string FileSink::sync_after(uint64_t records) {
  since_sync_ += records;
  if (options_.fsync_every_n == 0 || since_sync_ < options_.fsync_every_n) return {};
  since_sync_ %= options_.fsync_every_n;
  return file_.sync();
}

}  // namespace weir
