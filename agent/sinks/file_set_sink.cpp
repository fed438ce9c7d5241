#include "agent/sinks/file_set_sink.h"

#include <fcntl.h>

#include <algorithm>
#include <map>
#include <utility>

#include "agent/core/check.h"
#include "agent/sinks/state_text.h"

namespace weir {

FileSetSink::FileSetSink(FileOptions options, const SinkContext& context)
    : options_(std::move(options)),
      setup_(output_file_setup(options_, context)),
      files_(setup_),
      housekeeper_(context.io, context.name, options_.keep),
      batch_(options_.text) {
  setup_.rotated = [this](const FilePlace& place) { housekeeper_.post(place); };
}

Result<void> FileSetSink::open() {
  const std::string& root = options_.path.root();
  make_parents(setup_.io, root + "/");
  root_ = setup_.io.open(root, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (root_ < 0) return fail(system_error("cannot open the directory", root));
  auto begun = keep_ && sync_directories(setup_.io, {root}) != 0
                   ? Result<void>(fail(system_error("cannot sync the directories above", root)))
                   : files_.begin(root_, options_.path.prefix());
  if (!begun) {
    setup_.io.close(std::exchange(root_, -1));
    return begun;
  }
  housekeeper_.start([this](std::stop_token stop) { return places(stop); });
  return {};
}

void FileSetSink::close() noexcept {
  housekeeper_.stop();
  files_.clear();
  if (root_ >= 0) setup_.io.close(root_);
  root_ = -1;
}

/// Opens everything anew where the root's path leads elsewhere by now.
Result<void> FileSetSink::follow_root() {
  Io& io = setup_.io;
  const ScopedFd now(io, io.open(options_.path.root(), O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
  struct stat held, found;
  if (now.ok() && io.fstat(root_, &held) == 0 && io.fstat(now.get(), &found) == 0 &&
      held.st_dev == found.st_dev && held.st_ino == found.st_ino)
    return {};
  close();
  return open();
}

Delivery FileSetSink::deliver(const BatchView& batch, std::stop_token stop) {
  if (auto followed = follow_root(); !followed) return Delivery::down(followed.error().message);
  batch_.collect(batch);
  find_paths(batch);
  take_ahead();
  files_.begin_batch();
  std::string error, planned;
  size_t records = written_.size();
  if (keep_) planned = plan(records);
  if (keep_ && records > 0 && !files_.in_checkpoint()) error = keep();
  for (size_t at = 0; error.empty() && at < records;) {
    const size_t end = options_.steps ? std::min<size_t>(records, at + options_.flush_every_n) : records;
    error = write_step(at, end);
    at = end;
    if (error.empty() && stop.stop_requested() && at < records) error = "stopped";
  }
  return keep_ ? finish_kept(records, error.empty() ? planned : error) : finish(error);
}

/// Opens the files of the first records and rotates those that are due. `upto`: how many records go in before
/// one of them has to be rotated again, or more of them would be open than may. Empty, or what went wrong
/// with the record number `upto`.
std::string FileSetSink::plan(size_t& upto) {
  constexpr uint64_t kUnplanned = UINT64_MAX - 1;
  room_.assign(paths_.size(), kUnplanned);
  size_t open = 0;
  for (size_t i = 0; i < path_of_.size(); ++i) {
    uint64_t& room = room_[path_of_[i]];
    const uint64_t bytes = batch_.lines()[i].size();
    upto = i;
    if (room == kUnplanned) {
      if (open++ == kOpenFilesMax) return {};
      const auto file = files_.get(paths_[path_of_[i]]);
      if (!file) return file.error().message;
      if (auto rotated = (*file)->rotate_if_due(bytes); !rotated) return rotated.error().message;
      room = (*file)->room();
    } else if (bytes > room) {
      return {};
    }
    if (room != UINT64_MAX) room -= std::min(bytes, room);
  }
  upto = path_of_.size();
  return {};
}

/// Of the first `upto` records all are done that lie before the first one that is not written.
Delivery FileSetSink::finish_kept(size_t upto, std::string error) {
  const auto missing = std::ranges::find(written_.begin(), written_.begin() + ptrdiff_t(upto), 0);
  const auto done = size_t(missing - written_.begin());
  std::vector<uint64_t> back(paths_.size());
  for (size_t i = done; i < upto; ++i)
    if (written_[i]) back[path_of_[i]] += batch_.lines()[i].size();
  for (size_t path = 0; path < paths_.size(); ++path)
    if (OutputFile* file = back[path] > 0 ? files_.find(paths_[path]) : nullptr) file->take_back(back[path]);
  files_.settle();
  if (!error.empty()) return Delivery::down(std::move(error), done);
  return done < written_.size() ? Delivery::partial(done) : Delivery::delivered();
}

/// Which file each record goes to, and where it is in the journal.
void FileSetSink::find_paths(const BatchView& batch) {
  paths_.clear(), path_index_.clear(), path_of_.clear(), positions_.clear();
  std::string path;
  batch.for_each([&](std::string_view line, Stream stream) {
    options_.path.render(line, stream, path);
    const auto [found, fresh] = path_index_.try_emplace(path, uint32_t(paths_.size()));
    if (fresh) paths_.push_back(path);
    path_of_.push_back(found->second);
  });
  for (const BatchSlice& slice : batch.slices)
    for (uint32_t i = 0; i < slice.entry_count; ++i)
      if (batch.streams.has(slice.block->entry(slice.first_entry + i).stream))
        positions_.push_back(slice.begin + i);
  WEIR_CHECK(positions_.size() == path_of_.size());
}

void FileSetSink::take_ahead() {
  written_.assign(positions_.size(), 0);
  for (size_t i = 0, n = 0; i < positions_.size() && n < ahead_.size();) {
    if (positions_[i] == ahead_[n]) written_[i] = 1;
    positions_[i] < ahead_[n] ? ++i : ++n;
  }
}

/// The records from `begin` to `end`, file by file; one write for each file where nothing parts it.
std::string FileSetSink::write_step(size_t begin, size_t end) {
  order_.clear();
  for (size_t i = begin; i < end; ++i)
    if (!written_[i]) order_.push_back(uint32_t(i));
  std::ranges::sort(order_, {}, [this](uint32_t i) { return std::pair(path_of_[i], i); });
  for (size_t at = 0; at < order_.size();) {
    size_t next = at + 1;
    while (next < order_.size() && path_of_[order_[next]] == path_of_[order_[at]]) ++next;
    std::string error = write_run(paths_[path_of_[order_[at]]], std::span(order_).subspan(at, next - at));
    if (!error.empty()) return error;
    at = next;
  }
  if (options_.fsync_every_n == 0) return {};
  since_sync_ += order_.size();
  if (since_sync_ < options_.fsync_every_n) return {};
  since_sync_ %= options_.fsync_every_n;
  return files_.sync_all();
}

std::string FileSetSink::write_run(const std::string& path, std::span<const uint32_t> records) {
  const auto file = files_.get(path);
  if (!file) return file.error().message;
  picked_.clear();
  for (uint32_t i : records) picked_.push_back(batch_.lines()[i]);
  const auto appended = (*file)->append(picked_);
  const auto kept = append_again_if_removed(**file, std::span(picked_).first(appended.lines));
  for (uint32_t i : records.first(kept.lines)) written_[i] = 1;
  return kept.error.empty() ? appended.error : kept.error;
}

Delivery FileSetSink::finish(const std::string& error) {
  const auto done = size_t(std::ranges::find(written_, 0) - written_.begin());
  // What an earlier batch had written beyond the end of this one stays known.
  const Position end = positions_.empty() ? 0 : positions_.back() + 1;
  std::erase_if(ahead_, [end](Position p) { return p < end; });
  std::vector<Position> now;
  for (size_t i = done; i < written_.size(); ++i)
    if (written_[i]) now.push_back(positions_[i]);
  ahead_.insert(ahead_.begin(), now.begin(), now.end());
  return error.empty() ? Delivery::delivered() : Delivery::down(error, done);
}

/// The marks of the files; where nothing outlives the process: what is written ahead of others, so that a
/// sink with other options does not write it again.
std::string FileSetSink::state() const {
  if (keep_) return marks_text(files_.marks());
  if (ahead_.empty()) return {};
  std::string out = R"({"ahead":[)";
  for (const Position p : ahead_) {
    if (out.back() != '[') out += ',';
    state_text::append_number(out, p);
  }
  return out + "]}";
}

void FileSetSink::restore(SinkMemory memory) {
  state_text::for_each(state_text::member(memory.state, "ahead"), [&](auto, std::string_view position) {
    ahead_.push_back(state_text::number(position));
  });
  keep_ = std::move(memory.keep);
  if (!keep_) return;
  setup_.keep = [this] { return keep(); };
  for (const FileMark& mark : read_marks(memory.state)) files_.expect(mark, memory.same_boot);
}

std::string FileSetSink::keep() {
  if (std::string error = files_.sync_all(); !error.empty()) return error;
  if (!keep_(true)) return kCannotKeep;
  files_.set_in_checkpoint();
  return {};
}

Result<void> FileSetSink::sync() {
  if (std::string error = files_.sync_all(); !error.empty()) return fail(error);
  return {};
}

/// Every active file whose rotated files there is something to do with, for the housekeeper's first look.
/// Each directory is read once.
std::vector<FilePlace> FileSetSink::places(std::stop_token stop) {
  std::vector<FilePlace> out;
  find_places("", 0, out, stop);
  return out;
}

void FileSetSink::find_places(const std::string& directory, size_t depth, std::vector<FilePlace>& out,
                              const std::stop_token& stop) {
  const auto place_of = [this](const std::string& relative) {
    const std::string& prefix = options_.path.prefix();
    return FilePlace{prefix + relative, root_, prefix.size()};
  };
  std::vector<std::string> names;
  std::map<std::string, RotatedTally, std::less<>> tallies;
  const ScopedFd fd(setup_.io, open_directory(setup_.io, place_of(directory + "x"), false));
  if (!fd.ok() || setup_.io.list(fd.get(), names) != 0) return;
  const bool last = depth + 1 == options_.path.depth();
  for (const std::string& name : names) {
    if (stop.stop_requested()) return;
    RotatedName rotated;
    struct stat st;
    if (!last) {  // ends at once where it is no directory
      if (options_.path.may_be(depth, name)) find_places(directory + name + "/", depth + 1, out, stop);
    } else if (parse_rotated_name(name, rotated) && options_.path.may_be(depth, rotated.base) &&
               setup_.io.fstatat(fd.get(), name, &st) == 0) {
      RotatedTally& tally = tallies[std::string(rotated.base)];
      ++tally.files, tally.bytes += uint64_t(st.st_size);
      tally.raw |= rotated.packing == Packing::none, tally.part |= rotated.part;
    }
  }
  for (const auto& [base, tally] : tallies)
    if (housekeeper_.concerns(tally)) out.push_back(place_of(directory + base));
}

}  // namespace weir
