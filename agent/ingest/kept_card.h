#pragma once
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "agent/core/frame_handler.h"
#include "agent/ring/shared_memory.h"

namespace weir {

/// Who a connection's client is, as the kernel and its hello have said.
struct KeptClient {
  std::string source;  ///< the listener's name
  Peer peer;
  std::string client_id;  ///< empty: it has said no hello
  std::string service;
  AckLevel level = AckLevel::none;
  bool frames = false;  ///< else lines
};

/// What an agent tells the next one of a connection, in memory that the service manager keeps: who it is, and
/// from which record on it could go on at this moment. Only agents of ours have it. Pipe thread only.
class KeptCard {
 public:
  static std::optional<KeptCard> make(const KeptClient& client);
  /// Of an agent before this one. Nothing: it is none, or of another version.
  static std::optional<KeptCard> read(ring::Descriptor fd);
  KeptCard(KeptCard&& other) noexcept { *this = std::move(other); }
  KeptCard& operator=(KeptCard&& other) noexcept;
  ~KeptCard();

  int fd() const { return fd_.get(); }
  const KeptClient& client() const { return client_; }
  /// From here on something of the connection is in this process alone.
  void set_busy() { words_->next_seq.store(0, std::memory_order_release); }
  /// Nothing is: all that was read is journalled, all that was to be said is said. The next record, if it has
  /// numbers, is `next_seq`, which is not 0.
  void set_idle(uint64_t next_seq) { words_->next_seq.store(next_seq, std::memory_order_release); }
  /// What it was told of the policy last: a hash of it.
  void set_policy(uint64_t hash) { words_->policy.store(hash, std::memory_order_relaxed); }
  uint64_t policy() const { return words_->policy.load(std::memory_order_relaxed); }
  /// Nothing: it was busy.
  std::optional<uint64_t> idle_at() const {
    const uint64_t seq = words_->next_seq.load(std::memory_order_acquire);
    return seq > 0 ? std::optional(seq) : std::nullopt;
  }

 private:
  struct Words {
    uint64_t magic, text_bytes;
    std::atomic<uint64_t> next_seq;  ///< 0: busy
    std::atomic<uint64_t> policy;
  };
  KeptCard() = default;
  bool map();

  ring::Descriptor fd_;
  KeptClient client_;
  Words* words_ = nullptr;  ///< the text follows
};

}  // namespace weir
