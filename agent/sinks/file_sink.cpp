#include "agent/sinks/file_sink.h"

#include <algorithm>

#include "agent/sinks/pretty.h"

namespace weir {
namespace {

constexpr int kRemovalsMax = 3;  ///< in the middle of one batch
constexpr size_t kTextBytesKept = 4 << 20;

OutputFileSetup setup_of(const FileOptions& options, const SinkContext& context) {
  return {.sink = context.name,
          .mode = options.mode,
          .max_bytes = options.max_bytes,
          .every_ns = options.every_ns,
          .sync = options.fsync_every_n > 0,
          .io = context.io,
          .clock = context.clock,
          .quarantine = context.quarantine};
}

std::unique_ptr<Sink> make_file(const Settings& settings, const SinkContext& context) {
  return std::make_unique<FileSink>(settings, context);
}

}  // namespace

const SinkType kFileSinkType{file_component(), make_file, "block"};

FileSink::FileSink(const Settings& settings, const SinkContext& context)
    : options_(settings),
      setup_(setup_of(options_, context)),
      file_(setup_, {options_.path}),
      housekeeper_(context.io, context.name, options_.keep) {
  setup_.rotated = [this](const FilePlace& place) { housekeeper_.post(place); };
}

BatchLimits FileSink::batch_limits() const {
  BatchLimits limits;
  if (!options_.steps) return limits;
  const uint64_t n = options_.flush_every_n;
  limits.records_step = n;
  limits.records_max = std::max<uint64_t>(limits.records_max / n, 1) * n;
  limits.bytes_max = UINT64_MAX;
  limits.linger_ns = options_.flush_every_ns;
  return limits;
}

Result<void> FileSink::open() {
  if (auto opened = file_.open(); !opened) return opened;
  if (!options_.keep.any()) return {};
  pass_rotated_names();
  housekeeper_.start([place = FilePlace{options_.path}](std::stop_token) { return std::vector{place}; });
  return {};
}

/// After a clock that went back between two lives, new names must still be the last, because the first go
/// first.
void FileSink::pass_rotated_names() {
  const FilePlace place{options_.path};
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

void FileSink::collect(const BatchView& batch) {
  lines_.clear();
  if (!options_.text) {
    batch.for_each([&](std::string_view line, Stream) { lines_.push_back(line); });
    return;
  }
  text_.clear();
  if (text_.capacity() > kTextBytesKept) text_.shrink_to_fit();
  // Only lengths are sure while the text grows.
  batch.for_each([&](std::string_view line, Stream) {
    const size_t begin = text_.size();
    append_text(text_, line);
    lines_.emplace_back(nullptr, text_.size() - begin);
  });
  const char* at = text_.data();
  for (std::string_view& line : lines_) {
    line = {at, line.size()};
    at += line.size();
  }
}

Delivery FileSink::deliver(const BatchView& batch, std::stop_token stop) {
  collect(batch);
  done_ = 0;
  std::string error;
  if (auto followed = file_.follow(); !followed) return Delivery::down(followed.error().message);
  while (error.empty() && done_ < lines_.size()) {
    const uint64_t left = lines_.size() - done_;
    const uint64_t step = options_.steps ? std::min(left, options_.flush_every_n) : left;
    auto appended = file_.append(std::span(lines_).subspan(done_, step));
    done_ += appended.lines;
    error = std::move(appended.error);
    if (error.empty()) error = sync_after(step);
    if (error.empty() && stop.stop_requested() && done_ < lines_.size()) error = "stopped";
  }
  if (std::string again = write_again_if_removed(); !again.empty()) error = std::move(again);
  return error.empty() ? Delivery::delivered() : Delivery::down(error, done_);
}

std::string FileSink::sync_after(uint64_t records) {
  since_sync_ += records;
  if (options_.fsync_every_n == 0 || since_sync_ < options_.fsync_every_n) return {};
  since_sync_ %= options_.fsync_every_n;
  return file_.sync();
}

/// What went into a file that was removed meanwhile is nowhere: into the new one with it. So a removal costs
/// what the file held before, and nothing else.
std::string FileSink::write_again_if_removed() {
  for (int i = 0; i < kRemovalsMax && file_.removed(); ++i) {
    const uint64_t lost = std::min(done_, file_.lines_since_open());
    done_ -= lost;
    if (auto followed = file_.follow(); !followed) return followed.error().message;
    auto appended = file_.append(std::span(lines_).subspan(done_, lost));
    done_ += appended.lines;
    if (!appended.error.empty()) return std::move(appended.error);
  }
  return {};
}

}  // namespace weir
