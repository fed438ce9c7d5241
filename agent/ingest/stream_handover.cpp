// How a connection outlives the agent: what of it the service manager keeps, and how the next agent goes on
// (docs/decisions/0020-descriptor-store.md).
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>

#include "agent/core/log.h"
#include "agent/core/uuid.h"
#include "agent/ingest/stream_session.h"

namespace weir {
namespace {

/// The same in every process of this build.
uint64_t hash_of(const std::string& text) { return std::hash<std::string>()(text); }

}  // namespace

void StreamSession::push_policy(const std::string& policy) {
  if (!welcomed_ || ending()) return;
  set_busy();
  if (card_) card_->set_policy(hash_of(policy));
  protocol_->replies().policy(out_, policy);
  connection_.cancel();
}

/// Who has said no hello is often gone soon, and each would cost the service manager four messages.
void StreamSession::keep() {
  if (std::exchange(was_young_, false)) return;
  keep_now();
  note_idle();
}

void StreamSession::keep_now() {
  if (is_kept_ || !keepable_ || !context_.kept.available() || ending() || draining_) return;
  if (!protocol_ || (producer_.client && !welcomed_) || (rings_ && !rings_->all_kept())) return;
  if (kept_key_.empty()) {
    if (!context_.kept.has_room()) return;
    keep_as(random_uuid());
  }
  if (!card_) return;
  is_kept_ = context_.kept.keep(kept_key_, KeptStore::kConnection, connection_.fd());
}

/// Under this key from now on, with a card that says who it is now.
void StreamSession::keep_as(const std::string& key) {
  if (!context_.kept.available()) return;
  const bool same_client = card_ && producer_.client &&
                           card_->client().client_id == producer_.client->identity->client_id &&
                           card_->client().level == producer_.level;
  if (key == kept_key_ && same_client) return;
  if (key == kept_key_ && !context_.kept.admits_new()) return forget_card();
  auto card = KeptCard::make({producer_.stats->name, producer_.peer,
                              producer_.client ? producer_.client->identity->client_id : "",
                              producer_.service, producer_.level, &protocol_->replies() == &frame_replies()});
  const int error = errno;
  if (key != kept_key_) {
    context_.kept.retain(key);
    if (!kept_key_.empty()) context_.kept.release(kept_key_);
    is_kept_ = is_kept_ && context_.kept.keep(key, KeptStore::kConnection, connection_.fd());
  }
  kept_key_ = key;
  if (card && context_.kept.keep(key, KeptStore::kCard, card->fd())) {
    card_ = std::move(card);
    card_->set_policy(hash_of(handler_.policy()));
    return;
  }
  forget_card();
  log::sampled(
      log::Level::warn, "kept_card",
      "{}: there is no card for the next agent ({}): it will not go on with this connection, nor with "
      "rings of a process that dies together with this agent; raise LimitNOFILE",
      producer_.peer.address, card ? "no room in the service manager" : std::strerror(error));
}

/// The next agent must not take it for the client it was before.
void StreamSession::forget_card() {
  keep_no_more();
  context_.kept.forget(kept_key_, KeptStore::kCard);
  card_.reset();
}

/// The next agent shall close it, so that its client begins anew.
void StreamSession::keep_no_more() {
  set_busy();
  if (std::exchange(is_kept_, false)) context_.kept.forget(kept_key_, KeptStore::kConnection);
}

void StreamSession::set_busy() {
  if (card_) card_->set_busy();
}

void StreamSession::let_go() {
  if (rings_) rings_->close();
  if (kept_key_.empty()) return;
  // The service manager's descriptor of it lives a little longer than ours.
  if (is_kept_ && !handing_over_) ::shutdown(connection_.fd(), SHUT_RDWR);
  context_.kept.release(kept_key_);
}

bool StreamSession::is_written() const {
  return handler_.has_reached(mark_, std::min(handler_.level_max(), AckLevel::buffered));
}

/// Says so when nothing of the connection is in this process alone, as soon as that is true.
void StreamSession::note_idle() {
  if (!is_kept_ || !resting_ || closing_ || end_of_input_ || backlog_) return;
  if (!protocol_->between() || protocol_->discarding()) return;
  if (!out_.empty() || !last_words_.empty() || !acks_.empty() || !context_.kept.all_told()) return;
  if (is_written())
    card_->set_idle(producer_.client ? producer_.next_seq : 1);
  else
    context_.waiting.add(*this);
}

/// The last thing before this agent's end of the connection is closed: the service manager's stays open.
asio::awaitable<void> StreamSession::hand_over() {
  while (!is_written() && !stopped_) co_await wait_progress(Connection::TimePoint::max());
  unlink();
  resting_ = true;
  note_idle();
}

/// The agent ends, and the next one can go on from the next byte.
bool StreamSession::may_hand_over() const {
  return is_kept_ && context_.kept.leaving() && !backlog_ && protocol_->between() && !protocol_->discarding();
}

bool StreamSession::resume(KeptGroup& group) {
  const KeptClient client = group.card.client();
  const auto next_seq = group.card.idle_at();
  if (!next_seq || client.level > handler_.level_max()) return false;
  if (!client.client_id.empty() && !resume_client(client, *next_seq)) return false;
  if (client.frames) {
    make_rings();
    protocol_ = make_frame_protocol(input_, handler_, producer_, rings_ != nullptr);
  } else {
    protocol_ = make_line_protocol(input_, handler_, producer_, true);
  }
  const bool has_rings = group.arena.get() >= 0 || !group.rings.empty();
  if (rings_ && has_rings && !rings_->adopt(group, RingLink::Adopt::whole)) {
    rings_->give_back();
    handler_.on_close(producer_);
    return false;
  }
  card_ = std::move(group.card);
  kept_key_ = group.key;
  is_kept_ = true, was_young_ = false;
  context_.kept.retain(kept_key_);
  if (welcomed_ && card_->policy() != hash_of(handler_.policy())) push_policy(handler_.policy());
  return true;
}

bool StreamSession::resume_client(const KeptClient& client, uint64_t next_seq) {
  Hello hello;
  hello.client_id = client.client_id, hello.service = client.service, hello.level = client.level;
  hello.next_seq = next_seq;
  hello.taken_over = [self = weak_from_this()] {
    if (auto session = self.lock()) static_cast<StreamSession&>(*session).on_taken_over();
  };
  producer_.service = client.service;
  if (!handler_.on_hello(producer_, std::move(hello))) return false;
  owed_seq_ = told_seq_ = producer_.next_seq - 1;
  welcomed_ = true;
  return true;
}

}  // namespace weir
