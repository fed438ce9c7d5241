#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/ring/shared_memory.h"
#include "agent/ring/text_out.h"
#include "proto/ring.h"

namespace weir::ring {

/// A call site, with all of its JSON that is the same in every record.
struct Site {
  struct Argument {
    ValueType type;
    out::Constant key;      ///< `"name":`, with what stands before it
    std::string name;       ///< as in the arena
    bool replaced = false;  ///< by a later one of the same name, which counts
  };
  /// A part of a log's message: text, or the argument that stands in its place.
  struct Piece {
    out::Constant text;  ///< escaped
    int argument = -1;
  };
  RecordKind kind = RecordKind::log;
  out::Constant begin;   ///< up to the first thing that changes
  out::Constant middle;  ///< log: from behind `ts` to the message; metric: to the value
  out::Constant end;     ///< log: behind the message; span: `where`; metric: behind the value
  std::vector<Argument> arguments;
  std::vector<Piece> message;
  bool plain = true;  ///< its lines are records whatever the values are, `json` set aside
  size_t constant_bytes = 0;
};

/// A process's sites and strings. What is indexed was copied first, so it does not change any more.
class Arena {
 public:
  static constexpr size_t kSitesMax = 64
                                      << 10;  ///< more than any program has; it bounds what we keep of them
  /// `service`: the process's name, a member of each of its records; empty: none.
  static tl::expected<std::unique_ptr<Arena>, Refusal> attach(int fd, std::string_view service = {});

  /// Null: not known, or it makes no sense. Valid as long as the arena.
  const Site* site(uint32_t id);
  /// False: not known. `out` is valid as long as the arena; 16 readable bytes follow it.
  bool string(uint32_t id, std::string_view& out);
  /// Why nothing more of it is read; null: all is well. Said once.
  const char* take_fault() { return std::exchange(new_fault_, nullptr); }
  uint64_t rings_made() const { return header_->rings.load(std::memory_order_acquire); }
  void set_napping(bool napping) { header_->napping.store(napping, std::memory_order_relaxed); }
  uint64_t capacity() const { return memory_.capacity(); }
  /// `,"service":"..."`, or nothing.
  const std::string& service_member() const { return service_member_; }

 private:
  struct Entry {
    uint32_t offset, bytes;  // in copy_
  };
  Arena(SharedMemory memory, std::string_view service);
  void read_on();
  bool index(uint32_t offset, uint32_t left, uint32_t& bytes);

  const std::string service_member_;
  SharedMemory memory_;
  ArenaHeader* const header_;
  const std::unique_ptr<char[]> copy_;  // of the entries, as they were when `used` had come so far
  uint32_t copied_ = 0;
  std::vector<Entry> sites_, strings_;
  std::vector<std::unique_ptr<const Site>> rendered_;  // by id, when first asked for
  std::vector<bool> senseless_;
  bool broken_ = false;
  const char* new_fault_ = nullptr;
};

/// From the bytes of an entry of kind kSite; `service_member` as of its arena. Null: it makes no sense.
std::unique_ptr<const Site> make_site(std::string_view entry, std::string_view service_member);

}  // namespace weir::ring
