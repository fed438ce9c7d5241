#include "agent/sinks/file_set.h"

#include <algorithm>

namespace weir {

void FileSet::begin(int root, const std::string& prefix) {
  clear();
  root_ = root, prefix_ = prefix;
}

Result<OutputFile*> FileSet::get(const std::string& relative) {
  const auto found = index_.find(relative);
  if (found != index_.end()) {
    files_.splice(files_.begin(), files_, found->second);
  } else {
    if (auto room = make_room(); !room) return tl::unexpected(room.error());
    files_.emplace_front(setup_, FilePlace{prefix_ + relative, root_, prefix_.size()}, relative);
    index_[relative] = files_.begin();
  }
  Entry& entry = files_.front();
  if (entry.batch != batch_) {
    if (auto followed = entry.file.follow(); !followed) {
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
  // What fsync_every_n promises does not end with the file's turn.
  const std::string error = setup_.sync ? last.file.sync() : "";
  index_.erase(last.relative);
  files_.pop_back();
  if (!error.empty()) return fail(error);
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
  index_.clear();
  files_.clear();
}

}  // namespace weir
