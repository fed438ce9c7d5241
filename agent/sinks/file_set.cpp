#include "agent/sinks/file_set.h"

#include <algorithm>

#include "agent/sinks/file_batch.h"

namespace weir {

Result<void> FileSet::begin(int root, const std::string& prefix) {
  clear();
  root_ = root, prefix_ = prefix;
  for (auto known = expected_.begin(); known != expected_.end();) {
    auto& [path, expected] = *known;
    const bool here = path.starts_with(prefix_);
    const FilePlace place = here ? place_of(path.substr(prefix_.size())) : FilePlace{path};
    const MarkMatch match = trim_to_mark(setup_, place, expected.mark, expected.same_boot);
    if (match == MarkMatch::failed) return fail(system_error("cannot make whole", path));
    // What others have done to a file is looked at when a record goes there.
    const bool settled = match == MarkMatch::exact || !here;
    known = settled ? expected_.erase(known) : std::next(known);
  }
  return {};
}

Result<OutputFile*> FileSet::get(const std::string& relative) {
  const auto found = index_.find(relative);
  if (found != index_.end()) {
    files_.splice(files_.begin(), files_, found->second);
  } else {
    if (auto room = make_room(); !room) return tl::unexpected(room.error());
    files_.emplace_front(setup_, place_of(relative), relative);
    index_[relative] = files_.begin();
    if (const auto known = expected_.find(files_.front().file.path()); known != expected_.end()) {
      files_.front().file.expect(known->second.mark, known->second.same_boot);
      expected_.erase(known);
    }
  }
  Entry& entry = files_.front();
  if (entry.batch != batch_) {
    if (auto followed = entry.file.follow(); !followed) {
      if (entry.file.has_mark()) expected_[entry.file.path()] = {entry.file.mark(), entry.file.same_boot()};
      index_.erase(relative);
      files_.pop_front();
      return tl::unexpected(followed.error());
    }
    entry.batch = batch_;
  }
  return &entry.file;
}

Result<void> FileSet::make_room() {
  if (files_.size() < kOpenFilesMax) return {};
  Entry& last = files_.back();
  // What fsync_every_n promises does not end with the file's turn, nor does what is committed.
  if (const std::string error = setup_.sync || setup_.keep ? last.file.sync() : ""; !error.empty())
    return fail(error);
  index_.erase(last.relative);
  files_.pop_back();
  return {};
}

std::string FileSet::sync_all() {
  std::string first;
  for (Entry& entry : files_)
    if (std::string error = entry.file.sync(); first.empty()) first = std::move(error);
  return first;
}

int64_t FileSet::old_at_ns() const {
  int64_t at = INT64_MAX;
  if (setup_.every_ns > 0)
    for (const Entry& entry : files_) at = std::min(at, entry.file.old_at_ns());
  return at;
}

void FileSet::rotate_when_old() {
  for (Entry& entry : files_) entry.file.rotate_when_old();
}

void FileSet::clear() noexcept {
  for (const Entry& entry : files_)
    if (entry.file.has_mark()) expected_[entry.file.path()] = {entry.file.mark(), entry.file.same_boot()};
  index_.clear();
  files_.clear();
}

void FileSet::expect(const FileMark& mark, bool same_boot) { expected_[mark.path] = {mark, same_boot}; }

std::vector<FileMark> FileSet::marks() const {
  std::vector<FileMark> marks;
  for (const Entry& entry : files_)
    if (entry.file.has_mark()) marks.push_back(entry.file.mark());
  for (const auto& [path, expected] : expected_) marks.push_back(expected.mark);
  return marks;
}

OutputFile* FileSet::find(const std::string& relative) {
  const auto found = index_.find(relative);
  return found == index_.end() ? nullptr : &found->second->file;
}

void FileSet::settle() {
  for (Entry& entry : files_) entry.file.settle();
}

bool FileSet::in_checkpoint() const {
  return std::ranges::all_of(files_, [](const Entry& entry) { return entry.file.in_checkpoint(); });
}

void FileSet::set_in_checkpoint() {
  for (Entry& entry : files_) entry.file.set_in_checkpoint();
}

}  // namespace weir
