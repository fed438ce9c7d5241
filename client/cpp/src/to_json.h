#pragma once
// Records of a ring as JSON lines (proto/RING.md, "What becomes of a record"), for an agent that cannot read
// the ring: a remote one, or one without it. Reads only this process's own memory.
#include <string>
#include <vector>

#include "client/cpp/src/memory.h"

namespace weir::detail {

/// Nanoseconds since the epoch of a ring's clock. Looks at both clocks now and then.
class ClockMap {
 public:
  explicit ClockMap(ring::ClockKind kind);
  /// Before a sweep: what is read next was written shortly before.
  void look();
  uint64_t ns(uint64_t clock) const;

 private:
  ring::ClockKind kind_;
  uint64_t first_ns_ = 0, first_ticks_ = 0, ns_ = 0, ticks_ = 0;
  double ns_per_tick_ = 1;
};

class ToJson {
 public:
  /// The name of this program, a member of each record; empty: none.
  void set_service(std::string_view service);
  /// Takes in the arena's entries from where it was to `used`.
  void learn(const char* entries, uint64_t used);
  /// Appends one object, without line feed. False: the record is none; nothing is appended.
  bool append(std::string& out, const char* record, size_t bytes, const ClockMap& clock) const;

 private:
  struct Argument {
    ring::ValueType type;
    std::string key;  ///< `"name":`, escaped
    bool replaced;    ///< by a later one of the same name, which counts
  };
  struct Known {
    ring::RecordKind kind;
    ring::Level level;
    std::string name, text, where;
    std::vector<Argument> args;
  };
  class Reader;
  bool append_site(std::string& out, Reader& in, const Known& site, uint64_t ns, const ClockMap& clock) const;
  bool append_dynamic(std::string& out, Reader& in, uint32_t stream, uint64_t ns,
                      const ClockMap& clock) const;

  std::string service_member_;  ///< `,"service":"..."`, or nothing
  uint64_t learned_ = 0;
  std::vector<Known> sites_;          ///< by id less one
  std::vector<std::string> strings_;  ///< likewise
};

}  // namespace weir::detail
