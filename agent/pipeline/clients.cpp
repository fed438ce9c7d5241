#include "agent/pipeline/clients.h"

#include <algorithm>

namespace weir {

std::shared_ptr<ClientState> ClientTable::see(const std::string& client_id, const Peer& peer) {
  auto found = by_id_.find(client_id);
  if (found != by_id_.end()) {
    by_age_.splice(by_age_.begin(), by_age_, found->second);
  } else {
    auto client = std::make_shared<ClientState>();
    client->identity = std::make_shared<ClientIdentity>(ClientIdentity{client_id, peer.uid});
    by_age_.push_front(std::move(client));
    by_id_[by_age_.front()->identity->client_id] = by_age_.begin();
  }
  by_age_.front()->last_seen_ns = clock_.monotonic_ns();
  auto client = by_age_.front();
  forget_old();
  return client;
}

void ClientTable::remember(const std::vector<RememberedClient>& clients, uint64_t mark) {
  const int64_t monotonic_ns = clock_.monotonic_ns(), wall_ns = clock_.wall_ns();
  for (const RememberedClient& r : clients) {
    if (by_id_.contains(r.mark.client->client_id)) continue;
    auto client = std::make_shared<ClientState>();
    client->identity = r.mark.client;
    client->last_seq = r.mark.seq;
    client->mark = mark;
    client->last_seen_ns = monotonic_ns - std::max<int64_t>(0, wall_ns - r.seen_ns);
    by_age_.push_back(std::move(client));
    by_id_[by_age_.back()->identity->client_id] = std::prev(by_age_.end());
  }
  forget_old();
}

void ClientTable::forget_old() {
  auto too_old = [&](const ClientState& c) { return clock_.monotonic_ns() - c.last_seen_ns > memory_ns_; };
  // Connected clients stay whatever their age; they are few beside the limit, so looking past them is cheap.
  for (auto it = by_age_.end(); it != by_age_.begin();) {
    --it;
    if (by_age_.size() <= clients_max_ && !too_old(**it)) break;
    if ((*it)->owner) continue;
    by_id_.erase((*it)->identity->client_id);
    it = by_age_.erase(it);
  }
}

}  // namespace weir
