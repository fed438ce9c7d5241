#pragma once
#include <functional>
#include <memory>
#include <string>

#include "agent/ingest/descriptors.h"
#include "agent/ingest/kept_store.h"
#include "agent/ingest/replies.h"
#include "agent/ingest/ring_sweeper.h"
#include "agent/ingest/uid_shares.h"

namespace weir {

struct IngestContext;

/// A framed connection's end of its client's shared-memory rings (proto/RING.md): takes the descriptors, and
/// holds what is attached. Pipe thread only.
class RingLink {
 public:
  /// `producer` is the connection's; it and `handler` outlive this. `share` may be null. `on_change`:
  /// finished() may have become true. `on_violation`: the client has broken a rule, within a sweep or an
  /// attach.
  RingLink(IngestContext& context, FrameHandler& handler, const Producer& producer,
           std::shared_ptr<UidShare> share, std::function<void()> on_change,
           std::function<void(const char*)> on_violation);
  ~RingLink();

  /// As ByteStream::read_some(), for the connection's own socket.
  IoStep read_some(int socket, std::span<char> into) { return descriptors_.read_some(socket, into); }
  /// Obeys a RING frame; the answer is appended to `out`.
  void attach(std::string_view payload, const Replies& replies, std::string& out);
  /// The connection is to end: what is committed now is taken, and nothing after that.
  void finish();
  bool finished() const { return !set_ || set_->finished(); }
  /// After the last turn, before the handler goes. Safe twice.
  void close();
  /// Reads on what an agent before this one had attached, whatever its user may attach by now. Before
  /// anything is attached. False: some of it cannot be read; of `parts` that was said, counted, and is
  /// forgotten, of `whole` nothing was.
  enum class Adopt { whole, parts };
  bool adopt(KeptGroup& group, Adopt how);
  /// Its memory is not counted as its user's any more.
  void uncount();
  /// After adopt(): somebody else adopts it.
  void give_back();
  /// What all this is kept under (KeptStore); empty: nothing is, yet.
  const std::string& key() const { return key_; }
  /// Could the next agent read on all that is attached?
  bool all_kept() const { return !unkept_; }
  size_t ring_count() const { return set_ ? set_->ring_count() : 0; }
  /// Changes whenever its client has written, or dropped, something.
  uint64_t written() const { return set_ ? set_->written() : 0; }

 private:
  ring::Attached attach_one(uint8_t what, uint64_t ring_id, ring::Descriptor& fd);
  ring::Attached attach_to_set(uint8_t what, uint64_t ring_id, ring::Descriptor& fd);
  void make_set();
  void keep(uint8_t what, uint64_t ring_id, int fd);
  bool keep_arena(int fd);
  bool keep_part(uint8_t what, uint64_t ring_id, int fd);
  bool within_budget(int64_t descriptors);
  std::string key_of(int arena) const;
  void use_key(std::string key);
  void count_memory(uint64_t bytes);

  IngestContext& context_;
  FrameHandler& handler_;
  const Producer& producer_;
  std::shared_ptr<UidShare> share_;
  const std::function<void()> on_change_;
  const std::function<void(const char*)> on_violation_;
  Descriptors descriptors_;
  std::shared_ptr<RingSweeper> sweeper_;
  std::shared_ptr<ring::RingSet> set_;
  ring::Attached arena_refusal_, doorbell_refusal_;  ///< kAttached: none
  std::string key_;
  bool adopting_ = false, unkept_ = false;
  uint64_t counted_ = 0;  // in share_
};

}  // namespace weir
