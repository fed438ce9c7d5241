#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/ingest/budget.h"
#include "agent/ingest/kept_card.h"
#include "agent/ring/shared_memory.h"

namespace weir {

/// All that was kept of one connection. What did not come is -1.
struct KeptGroup {
  std::string key;
  KeptCard card;
  ring::Descriptor connection, arena, doorbell;
  std::vector<std::pair<uint64_t, ring::Descriptor>> rings = {};  ///< by ring_id
};

/// What the service manager keeps of this process's descriptors, so that the next agent can go on with them
/// (docs/decisions/0020-descriptor-store.md). They are named `weir.KEY.PART`; KEY stands for a connection, or
/// for a process's arena, which may be that of several connections one after the other. Pipe thread only.
class KeptStore {
 public:
  static constexpr std::string_view kCard = "card", kConnection = "conn", kArena = "arena",
                                    kDoorbell = "bell";
  /// As FileDescriptorStoreMax= of systemd/weir.service; a service manager that says its own ($FDSTORE) is
  /// believed.
  static constexpr size_t kDescriptorsMax = 8192;
  static constexpr size_t kConnectionsMax = 1024;  ///< of those; the others end with the agent
  static constexpr int64_t kNewAtOnce = 1000;      ///< then 100 in a second

  /// Takes what an agent before this one has left. `io` outlives it.
  explicit KeptStore(boost::asio::io_context& io);
  /// Is there anybody who keeps?
  bool available() const { return descriptors_max_ > 0; }
  static std::string ring_part(uint64_t ring_id);

  /// So that those who only come and go cannot keep the service manager busy: false, when there have been
  /// very many lately. Asked before something new is kept that has not proved yet that it stays.
  bool admits_new();
  /// Is there room for one more connection and its card?
  bool has_room() const;
  bool keeps(const std::string& key, std::string_view part) const;
  /// Has the service manager been told everything, so that a SIGKILL now would take nothing with it?
  bool all_told() const { return waiting_.empty(); }
  /// A part that is kept under this name already is replaced. False: there is no room for it.
  bool keep(const std::string& key, std::string_view part, int fd);
  void forget(const std::string& key, std::string_view part);
  /// Someone goes on with this key; when the last one has let go of it, all of it is forgotten.
  void retain(const std::string& key) { ++users_[key]; }
  void release(const std::string& key);
  /// The agent ends: from here on nothing is forgotten, and what is kept is the next one's.
  void leave();
  bool leaving() const { return leaving_ && available(); }

  /// What was left of connections of this source.
  std::vector<KeptGroup> take(const std::string& source);
  /// When every source has taken: ends the connections that are left, so that their clients connect anew;
  /// says what rings are left, which stay where they are.
  void close_left();

 private:
  struct Message {
    std::string text, name;
    ring::Descriptor fd;
    bool stores;
  };
  static constexpr size_t kWaitingMax = 1024;  ///< that something new may be added to
  void drop(const std::string& name);
  bool tell(const std::string& text, const std::string& name, int fd, bool stores);
  bool tell_waiting();
  void retry();
  void give_up();

  size_t descriptors_max_ = 0;
  std::set<std::string> names_;
  size_t connections_ = 0;            ///< of names_
  std::map<std::string, int> users_;  ///< by key
  std::vector<KeptGroup> groups_;     ///< not taken yet
  std::deque<Message> waiting_;       ///< the service manager had no room for them, or for one before
  boost::asio::steady_timer timer_;   ///< runs as long as there are any
  std::shared_ptr<KeptStore*> self_;  ///< for its handler
  Budget new_{kNewAtOnce, 10'000'000};
  bool leaving_ = false;
};

}  // namespace weir
