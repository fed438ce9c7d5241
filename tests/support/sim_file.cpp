#include "tests/support/sim_file.h"

#include <algorithm>
#include <cstring>

namespace weir::test {
namespace {

const std::shared_ptr<const std::array<char, SimFile::kPageBytes>>& zero_page() {
  static const auto page = std::make_shared<const std::array<char, SimFile::kPageBytes>>();
  return page;
}

size_t pages_of(uint64_t bytes) { return size_t((bytes + SimFile::kPageBytes - 1) / SimFile::kPageBytes); }

}  // namespace

SimFile::Page& SimFile::slot(std::vector<Page>& pages, size_t i) const {
  if (pages.size() <= i) pages.resize(i + 1);
  return pages[i];
}

/// Page `i` holds that from now on, and is to be written back.
void SimFile::change(size_t i, Page page, size_t cut_by) {
  Page& now = slot(now_, i);
  pages_ += (page != nullptr) - (now != nullptr);
  now = page;
  Changed& changed = changed_[i];
  changed.dirty = true;
  auto& versions = changed.versions;
  if (versions.size() >= kVersionsMax) {
    const auto middle = versions.begin() + kVersionsMax / 2;
    if (middle->cut_by == 0) versions.erase(middle);
  }
  versions.push_back({std::move(page), cut_by});
}

void SimFile::set_size(uint64_t bytes) {
  if (bytes == size_) return;
  size_ = bytes;
  lengths_.push_back(bytes);
  length_dirty_ = true;
}

uint64_t SimFile::room(uint64_t offset, uint64_t bytes, uint64_t free_pages) const {
  for (uint64_t done = 0; done < bytes;) {
    const size_t i = size_t((offset + done) / kPageBytes);
    if (!at(now_, i) && free_pages-- == 0) return done;
    done = std::min(bytes, (i + 1) * kPageBytes - offset);
  }
  return bytes;
}

size_t SimFile::read(char* out, size_t bytes, uint64_t offset) const {
  if (offset >= size_) return 0;
  bytes = size_t(std::min<uint64_t>(bytes, size_ - offset));
  for (size_t done = 0; done < bytes;) {
    const size_t i = size_t((offset + done) / kPageBytes), begin = size_t((offset + done) % kPageBytes);
    const size_t step = std::min(bytes - done, kPageBytes - begin);
    if (const Page page = at(now_, i))
      std::memcpy(out + done, page->data() + begin, step);
    else
      std::memset(out + done, 0, step);
    done += step;
  }
  return bytes;
}

void SimFile::write(const char* from, size_t bytes, uint64_t offset) {
  for (size_t done = 0; done < bytes;) {
    const size_t i = size_t((offset + done) / kPageBytes), begin = size_t((offset + done) % kPageBytes);
    const size_t step = std::min(bytes - done, kPageBytes - begin);
    const Page old = at(now_, i);
    auto page = std::make_shared<Bytes>(old ? *old : *zero_page());
    std::memcpy(page->data() + begin, from + done, step);
    change(i, std::move(page), 0);
    done += step;
  }
  if (bytes > 0) set_size(std::max<uint64_t>(size_, offset + bytes));
}

void SimFile::resize(uint64_t bytes) {
  const uint64_t before = size_;
  set_size(bytes);
  if (bytes >= before) return;
  const size_t number = lengths_.size();
  size_t i = size_t(bytes / kPageBytes);
  if (const size_t kept = size_t(bytes % kPageBytes); kept > 0) {
    if (const Page old = at(now_, i)) {
      auto page = std::make_shared<Bytes>();
      std::memcpy(page->data(), old->data(), kept);
      change(i, std::move(page), number);
    }
    ++i;
  }
  for (; i < now_.size(); ++i)
    if (now_[i]) change(i, nullptr, number);
}

void SimFile::allocate(uint64_t bytes) {
  for (size_t i = 0; i < pages_of(bytes); ++i)
    if (!at(now_, i)) change(i, zero_page(), 0);
  set_size(std::max(size_, bytes));
}

void SimFile::sync(bool ok) {
  if (!ok) {
    for (auto& [i, changed] : changed_) changed.dirty = false;
    return;
  }
  const bool length_known = length_dirty_ || lengths_.empty();
  for (auto it = changed_.begin(); it != changed_.end();) {
    Changed& changed = it->second;
    if (changed.dirty) {
      slot(disk_, it->first) = at(now_, it->first);
      it = changed_.erase(it);
      continue;
    }
    // An earlier sync failed on it. What a change of length took from it is gone for good all the same.
    auto& versions = changed.versions;
    const auto last = std::find_if(versions.rbegin(), versions.rend(), [](auto& v) { return v.cut_by > 0; });
    if (length_known && last != versions.rend()) {
      slot(disk_, it->first) = last->page;
      versions.erase(versions.begin(), last.base());
    }
    ++it;
  }
  if (!length_dirty_) return;
  disk_size_ = size_, length_dirty_ = false;
  lengths_.clear();
}

void SimFile::drop_clean() {
  for (auto it = changed_.begin(); it != changed_.end();) {
    if (it->second.dirty) {
      ++it;
      continue;
    }
    slot(now_, it->first) = at(disk_, it->first);
    it = changed_.erase(it);
  }
  count_pages();
}

void SimFile::count_pages() {
  pages_ = uint64_t(std::ranges::count_if(now_, [](const Page& page) { return page != nullptr; }));
}

void SimFile::clear_behind_end(std::vector<Page>& pages, uint64_t size) const {
  if (pages.size() > pages_of(size)) pages.resize(pages_of(size));
  const size_t kept = size_t(size % kPageBytes), last = size_t(size / kPageBytes);
  const Page old = at(pages, last);
  if (kept == 0 || !old || std::all_of(old->begin() + kept, old->end(), [](char c) { return c == 0; }))
    return;
  auto page = std::make_shared<Bytes>();
  std::memcpy(page->data(), old->data(), kept);
  pages[last] = std::move(page);
}

void SimFile::cut(SimRandom& random, const PowerCut& how) {
  const auto pick = [&](size_t from, size_t to) { return from + size_t(random() % (to - from + 1)); };
  const size_t length = how.lengths == PowerCut::Changes::lost   ? 0
                        : how.lengths == PowerCut::Changes::kept ? lengths_.size()
                                                                 : pick(0, lengths_.size());
  for (auto& [i, changed] : changed_) {
    const auto& versions = changed.versions;
    // Version 0 is what is on the disk. What a change of length made is there if and only if that change is.
    size_t from = 0, to = versions.size();
    for (size_t v = versions.size(); v > 0; --v) {
      const size_t cut_by = versions[v - 1].cut_by;
      if (cut_by > length) to = v - 1;
      if (cut_by > 0 && cut_by <= length && from == 0) from = v;
    }
    const auto page_of = [&](size_t v) { return v == 0 ? at(disk_, i) : versions[v - 1].page; };
    Page result;
    switch (how.data) {
      case PowerCut::Data::lost:
        result = page_of(from);
        break;
      case PowerCut::Data::kept:
        result = page_of(to);
        break;
      case PowerCut::Data::mixed:
        result = page_of(pick(from, to));
        break;
      case PowerCut::Data::torn: {
        auto page = std::make_shared<Bytes>();
        for (size_t at = 0; at < kPageBytes; at += kSectorBytes)
          if (const Page part = page_of(pick(from, to)))
            std::memcpy(page->data() + at, part->data() + at, kSectorBytes);
        result = std::move(page);
      }
    }
    slot(disk_, i) = std::move(result);
  }
  if (length > 0) disk_size_ = lengths_[length - 1];
  clear_behind_end(disk_, disk_size_);
  now_ = disk_, size_ = disk_size_;
  changed_.clear(), lengths_.clear(), length_dirty_ = false;
  count_pages();
}

void SimFile::flip_bit(uint64_t offset, unsigned bit) {
  const size_t i = size_t(offset / kPageBytes);
  for (auto* pages : {&now_, &disk_}) {
    const Page old = at(*pages, i);
    auto page = std::make_shared<Bytes>(old ? *old : *zero_page());
    (*page)[offset % kPageBytes] ^= char(1u << bit);
    slot(*pages, i) = std::move(page);
  }
  count_pages();
}

}  // namespace weir::test
