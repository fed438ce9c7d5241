#include "agent/ingest/kept_store.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "agent/core/clock.h"
#include "agent/core/log.h"
#include "agent/core/passed_sockets.h"
#include "agent/core/service_manager.h"

namespace weir {
namespace {

constexpr auto kRetry = std::chrono::milliseconds(10);
constexpr int64_t kLeaveNs = 500'000'000;

size_t descriptors_max() {
  if (!has_service_manager()) return 0;
  const char* const said = std::getenv("FDSTORE");
  size_t n = KeptStore::kDescriptorsMax;
  if (said) std::from_chars(said, said + std::string_view(said).size(), n);
  return n;
}

std::string name_of(const std::string& key, std::string_view part) {
  return std::string(kStoredPrefix) + key + "." + std::string(part);
}

/// What was left under one key, before its card is read.
struct Parts {
  std::map<std::string, ring::Descriptor> by_name;
  ring::Descriptor take(std::string_view part) {
    const auto found = by_name.find(std::string(part));
    if (found == by_name.end()) return ring::Descriptor();
    ring::Descriptor out = std::move(found->second);
    by_name.erase(found);
    return out;
  }
};

}  // namespace

std::string KeptStore::ring_part(uint64_t ring_id) {
  char text[24];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(ring_id));
  return text;
}

KeptStore::KeptStore(boost::asio::io_context& io)
    : descriptors_max_(descriptors_max()), timer_(io), self_(std::make_shared<KeptStore*>(this)) {
  std::map<std::string, Parts> by_key;
  for (StoredDescriptor& stored : take_stored_descriptors()) {
    ring::Descriptor fd(stored.fd);
    const std::string rest = stored.name.substr(kStoredPrefix.size());
    const size_t dot = rest.rfind('.');
    names_.insert(stored.name);
    connections_ += stored.name.ends_with(kConnection);
    if (dot == rest.npos)
      drop(stored.name);
    else
      by_key[rest.substr(0, dot)].by_name.insert_or_assign(rest.substr(dot + 1), std::move(fd));
  }
  for (auto& [key, parts] : by_key) {
    auto card = KeptCard::read(parts.take(kCard));
    if (!card) {
      log::warn("kept descriptors {} are of another version of weir, or incomplete; they are let go of", key);
      users_[key] = 1;
      release(key);
      continue;
    }
    KeptGroup group{key, std::move(*card), parts.take(kConnection), parts.take(kArena),
                    parts.take(kDoorbell)};
    for (auto& [part, fd] : parts.by_name) {
      uint64_t ring_id = 0;
      const auto read = std::from_chars(part.data(), part.data() + part.size(), ring_id, 16);
      if (read.ptr == part.data() + part.size() && ring_id != 0)
        group.rings.emplace_back(ring_id, std::move(fd));
    }
    groups_.push_back(std::move(group));
  }
}

void KeptStore::drop(const std::string& name) {
  if (names_.erase(name) == 0) return;
  connections_ -= name.ends_with(kConnection);
  // What it was not told of needs no taking back.
  if (std::erase_if(waiting_, [&](const Message& m) { return m.stores && m.name == name; }) > 0) return;
  tell("FDSTOREREMOVE=1\nFDNAME=" + name, name, -1, false);
}

/// In order, now or as soon as it has room again. False: it never will.
bool KeptStore::tell(const std::string& text, const std::string& name, int fd, bool stores) {
  if (!available()) return false;
  if (waiting_.empty()) {
    const Told told = try_tell_service_manager(text, fd);
    if (told == Told::unreachable) return give_up(), false;
    if (told == Told::yes) return true;
  }
  ring::Descriptor waits(fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (fd >= 0 && waits.get() < 0) return false;
  if (waiting_.empty()) retry();
  waiting_.push_back({text, name, std::move(waits), stores});
  return true;
}

/// False: there are some left.
bool KeptStore::tell_waiting() {
  while (!waiting_.empty()) {
    const Told told = try_tell_service_manager(waiting_.front().text, waiting_.front().fd.get());
    if (told == Told::no_room) return false;
    if (told == Told::unreachable) return give_up(), true;
    waiting_.pop_front();
  }
  return true;
}

void KeptStore::give_up() {
  log::error("$NOTIFY_SOCKET cannot be reached: {}; no more descriptors are kept there until the next start",
             std::strerror(errno));
  descriptors_max_ = 0;
  waiting_.clear(), names_.clear();
  connections_ = 0;
}

void KeptStore::retry() {
  timer_.expires_after(kRetry);
  timer_.async_wait([alive = std::weak_ptr(self_)](boost::system::error_code error) {
    const auto self = alive.lock();
    if (error || !self) return;
    if (!(*self)->tell_waiting()) (*self)->retry();
  });
}

void KeptStore::leave() {
  leaving_ = true;
  const int64_t until_ns = system_clock().monotonic_ns() + kLeaveNs;
  while (!tell_waiting() && system_clock().monotonic_ns() < until_ns) std::this_thread::sleep_for(kRetry);
}

bool KeptStore::has_room() const {
  return available() && connections_ < kConnectionsMax && names_.size() + 2 <= descriptors_max_ &&
         waiting_.size() < kWaitingMax;
}

bool KeptStore::admits_new() { return new_.take(system_clock().monotonic_ns()); }

bool KeptStore::keep(const std::string& key, std::string_view part, int fd) {
  if (!available()) return false;
  const std::string name = name_of(key, part);
  drop(name);
  if (part == kConnection && connections_ == kConnectionsMax) return false;
  if (waiting_.size() >= kWaitingMax) {
    log::sampled(log::Level::warn, "kept_store",
                 "the service manager takes no more descriptors at present; {} wait", waiting_.size());
    return false;
  }
  if (names_.size() >= descriptors_max_) {
    log::sampled(
        log::Level::warn, "kept_store",
        "the service manager keeps {} descriptors, as many as it may: of further processes the death "
        "of both sides costs records; raise FileDescriptorStoreMax",
        names_.size());
    return false;
  }
  // Its end is noticed here; the service manager must not let go of it by itself.
  if (!tell("FDSTORE=1\nFDPOLL=0\nFDNAME=" + name, name, fd, true)) return false;
  names_.insert(name);
  connections_ += part == kConnection;
  return true;
}

bool KeptStore::keeps(const std::string& key, std::string_view part) const {
  return names_.contains(name_of(key, part));
}

void KeptStore::forget(const std::string& key, std::string_view part) {
  if (!leaving_) drop(name_of(key, part));
}

void KeptStore::release(const std::string& key) {
  const auto found = users_.find(key);
  if (found == users_.end() || --found->second > 0) return;
  users_.erase(found);
  if (leaving_) return;
  const std::string prefix = name_of(key, "");
  std::vector<std::string> parts;
  for (auto it = names_.lower_bound(prefix); it != names_.end() && it->starts_with(prefix); ++it)
    parts.push_back(*it);
  for (const std::string& name : parts) drop(name);
}

std::vector<KeptGroup> KeptStore::take(const std::string& source) {
  std::vector<KeptGroup> out;
  std::erase_if(groups_, [&](KeptGroup& group) {
    if (group.card.client().source != source) return false;
    out.push_back(std::move(group));
    return true;
  });
  return out;
}

void KeptStore::close_left() {
  for (KeptGroup& group : groups_) {
    if (group.connection.get() >= 0) {
      ::shutdown(group.connection.get(), SHUT_RDWR);
      forget(group.key, kConnection);
      group.connection = ring::Descriptor();
    }
    if (group.rings.empty()) {
      users_[group.key] = 1;
      release(group.key);
      continue;
    }
    log::error(
        "what was kept of {} at listener {} waits: there is no listener of that name now; configure it and "
        "start again",
        group.card.client().peer.address, group.card.client().source);
  }
}

}  // namespace weir
