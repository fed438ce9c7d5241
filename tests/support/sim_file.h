#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace weir::test {

using SimRandom = std::mt19937_64;

/// What a power cut does to what was not synced. Synced things stay, whatever is said here.
struct PowerCut {
  /// Of a page that was written to: the old content, the newest, any in between, or each sector by itself.
  enum class Data { lost, kept, mixed, torn };
  /// Of the changes of one directory, and of the lengths of one file: none, all, or those up to some moment.
  enum class Changes { lost, kept, prefix };
  Data data = Data::torn;
  Changes lengths = Changes::prefix, names = Changes::prefix;
};

/// The content of one simulated file: what readers see (the page cache), what is on the disk, and what is on
/// its way between the two. Pages are written back by themselves, in no order; a page holds what was written
/// to it up to some moment, or sectors of several moments. A copy shares its pages with the original.
class SimFile {
 public:
  static constexpr size_t kPageBytes = 4096, kSectorBytes = 512;

  uint64_t size() const { return size_; }
  /// Space set aside, whole pages.
  uint64_t pages() const { return pages_; }
  /// How many bytes of a write can be done when there is room for `free_pages` more.
  uint64_t room(uint64_t offset, uint64_t bytes, uint64_t free_pages) const;

  size_t read(char* out, size_t bytes, uint64_t offset) const;
  void write(const char* from, size_t bytes, uint64_t offset);
  void resize(uint64_t bytes);
  /// As resize(), but never shorter, and with its space set aside.
  void allocate(uint64_t bytes);

  /// `ok`: what is dirty is on the disk. Else it is clean without being there, as Linux does it: the next
  /// sync() has nothing to do with it. Its length is in the file system's own journal: that waits for the
  /// next.
  void sync(bool ok);
  /// The cache forgets clean pages: readers see what is on the disk.
  void drop_clean();
  void cut(SimRandom& random, const PowerCut& how);
  /// In the cache and on the disk.
  void flip_bit(uint64_t offset, unsigned bit);

 private:
  using Bytes = std::array<char, kPageBytes>;
  using Page = std::shared_ptr<const Bytes>;  ///< null: a hole
  /// What a page held at some moment since it was synced.
  struct Version {
    Page page;
    size_t cut_by = 0;  ///< > 0: the number of the change of length that made it
  };
  struct Changed {
    std::vector<Version> versions;
    bool dirty = true;
  };
  /// Forgets moments in the middle of a page that was written to very often.
  static constexpr size_t kVersionsMax = 24;

  Page& slot(std::vector<Page>& pages, size_t i) const;
  static Page at(const std::vector<Page>& pages, size_t i) { return i < pages.size() ? pages[i] : nullptr; }
  void change(size_t i, Page page, size_t cut_by);
  void set_size(uint64_t bytes);
  void count_pages();
  void clear_behind_end(std::vector<Page>& pages, uint64_t size) const;

  std::vector<Page> now_, disk_;
  std::map<size_t, Changed> changed_;
  uint64_t size_ = 0, disk_size_ = 0, pages_ = 0;
  std::vector<uint64_t> lengths_;  ///< since disk_size_, in order of time
  bool length_dirty_ = false;
};

}  // namespace weir::test
