#pragma once
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "agent/core/clock.h"
#include "agent/core/frame_handler.h"
#include "agent/journal/journal.h"

namespace weir {

/// Sequence memory (interface.md section 2): what is remembered of numbered clients, least recently seen
/// first out. Pipe thread only.
class ClientTable {
 public:
  explicit ClientTable(const Clock& clock) : clock_(clock) {}
  void set_limits(int64_t memory_ns, size_t clients_max) {
    memory_ns_ = memory_ns, clients_max_ = clients_max;
  }
  /// Finds or makes it, and marks it as seen now. Forgets who has been away for too long.
  std::shared_ptr<ClientState> see(const std::string& client_id, const Peer& peer);
  /// Those of an earlier process, most recently seen first; before anyone is seen. What they sent lies before
  /// `mark`.
  void remember(const std::vector<RememberedClient>& clients, uint64_t mark);
  /// Most recently seen first.
  const std::list<std::shared_ptr<ClientState>>& all() const { return by_age_; }

 private:
  void forget_old();
  const Clock& clock_;
  int64_t memory_ns_ = 24 * 3600 * INT64_C(1'000'000'000);
  size_t clients_max_ = 100'000;
  std::list<std::shared_ptr<ClientState>> by_age_;
  std::unordered_map<std::string_view, std::list<std::shared_ptr<ClientState>>::iterator> by_id_;
};

}  // namespace weir
