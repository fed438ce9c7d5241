#include "agent/cli/send_session.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "agent/cli/json_text.h"
#include "agent/core/check.h"
#include "agent/ingest/control_line.h"

namespace weir::cli {
namespace {

constexpr size_t kPlainBufferBytes = 256 << 10;
constexpr int64_t kNackPauseNs = 100'000'000;
constexpr size_t kReadablePadding = 64;  ///< what ArraySplitter may look at behind its text

bool blank(std::string_view line) { return line.find_first_not_of(" \t\r") == line.npos; }

}  // namespace

SendSession::SendSession(std::string level, const std::string& client_id, const std::string& service)
    : level_(std::move(level)), client_id_(client_id), service_(service) {
  if (plain())
    welcomed_ = true, granted_ = level_;
  else
    hello(0);
}

void SendSession::hello(uint64_t next_seq) {
  nlohmann::ordered_json message{{"weir", "hello"}, {"ack", level_}};
  if (!client_id_.empty()) message["client_id"] = client_id_;
  if (!service_.empty()) message["service"] = service_;
  if (next_seq > 0) message["next_seq"] = next_seq;
  out_ += message.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

bool SendSession::room() const {
  if (plain()) return outgoing().size() < kPlainBufferBytes;
  return welcomed_ && !nacked_ && pending_bytes_ < kWindowBytes && pending_.size() < kWindowLines;
}

uint64_t SendSession::numbers_of(std::string_view text) {
  if (text.ends_with('\r')) text.remove_suffix(1);
  if (text.size() > record_bytes_max_ || !is_array_line(text)) return 1;
  padded_.assign(text).append(kReadablePadding, '\0');
  if (splitter_.split(std::string_view(padded_).substr(0, text.size()))) return 1;  // refused as a whole
  return splitter_.elements().size();
}

void SendSession::take(const InputLine& line) {
  ++ordinal_;
  if (line.too_long) return refuse_here(line, "too_long", "not sent: longer than any agent takes");
  if (blank(line.text)) return;
  // On a numbered connection the agent would obey it instead of storing it.
  if (!plain() && is_control_line(line.text))
    return refuse_here(line, "control_line",
                       "not sent: a record must not begin with the key weir; --ack none sends it");
  const uint64_t numbers = numbers_of(line.text);
  if (numbers == 0) return;
  out_.append(line.text).append("\n");
  numbered_ += numbers;
  if (plain()) return;
  pending_.push_back(
      {next_seq_, numbers, ordinal_, std::string(line.file), line.line, std::string(line.text)});
  pending_bytes_ += line.text.size();
  next_seq_ += numbers;
}

void SendSession::wrote(size_t bytes) {
  out_begin_ += bytes;
  WEIR_CHECK(out_begin_ <= out_.size());
  if (out_begin_ == out_.size() || out_begin_ > kWindowBytes) {
    out_.erase(0, out_begin_);
    out_begin_ = 0;
  }
}

void SendSession::feed(std::string_view bytes) {
  for (size_t end; (end = bytes.find('\n')) != bytes.npos; bytes.remove_prefix(end + 1)) {
    partial_ += bytes.substr(0, end);
    take_agent_line(partial_);
    partial_.clear();
  }
  if (partial_.size() + bytes.size() > kInputLineBytesMax)
    failure_ = "what answers is not an agent";
  else
    partial_ += bytes;
}

void SendSession::take_agent_line(std::string_view line) {
  if (plain()) return;
  const nlohmann::json message = nlohmann::json::parse(line, nullptr, false);
  const std::string word = text_of(message, "weir");
  if (word == "ack" || word == "synced") {
    on_ack(count_of(message, "seq"));
  } else if (word == "reject") {
    on_reject(message);
  } else if (word == "welcome") {
    on_welcome(message);
  } else if (word == "nack") {
    on_nack();
  } else if (word == "bye") {
    failure_ = "the agent said goodbye: " + text_of(message, "reason");
  } else if (word == "error") {
    const std::string detail = text_of(message, "detail");
    failure_ = "the agent refused the connection: " + text_of(message, "reason") +
               (detail.empty() ? "" : ": " + detail);
  } else if (word.empty() && !welcomed_) {
    failure_ = "what answers is not an agent";
  }
}

void SendSession::grant(std::string level) {
  constexpr std::array<std::string_view, 4> levels{"none", "received", "buffered", "durable"};
  const auto rank = [&](std::string_view name) { return std::ranges::find(levels, name); };
  if (!welcomed_ || rank(level) < rank(granted_)) granted_ = std::move(level);
}

void SendSession::on_welcome(const nlohmann::json& message) {
  grant(text_of(message, "ack"));
  if (std::string id = text_of(message, "client_id"); !id.empty()) client_id_ = std::move(id);
  if (const uint64_t max = count_of(member(message, "limits"), "record_bytes_max"); max > 0)
    record_bytes_max_ = max;
  if (!welcomed_) first_seq_ = next_seq_ = count_of(message, "last_seq") + 1;
  for (const Pending& line : pending_)
    out_.append(line.text).append("\n");  // after a nack, or a lost connection
  welcomed_ = true;
  nacked_ = false;
}

void SendSession::on_ack(uint64_t seq) {
  seq = std::min(seq, next_seq_ - 1);
  if (seq < first_seq_) return;
  acknowledged_ = std::max(acknowledged_, seq - first_seq_ + 1);
  while (!pending_.empty() && pending_.front().first_seq + pending_.front().numbers - 1 <= seq) {
    pending_bytes_ -= pending_.front().text.size();
    pending_.pop_front();
  }
}

const SendSession::Pending* SendSession::pending_of(uint64_t seq) const {
  auto after = std::upper_bound(pending_.begin(), pending_.end(), seq,
                                [](uint64_t wanted, const Pending& line) { return wanted < line.first_seq; });
  if (after == pending_.begin()) return nullptr;
  const Pending& line = *std::prev(after);
  return seq < line.first_seq + line.numbers ? &line : nullptr;
}

void SendSession::on_reject(const nlohmann::json& message) {
  const uint64_t seq = count_of(message, "seq");
  const Pending* line = pending_of(seq);
  if (!line || seq <= refused_seq_) return;  // not one of ours, or known
  refused_seq_ = seq;
  ++refused_;
  note({line->ordinal, line->file, line->line, text_of(message, "reason"), count_of(message, "offset"),
        text_of(message, "detail")});
}

/// Some lines are thrown away by the agent until it hears hello again. All that is not acknowledged is sent
/// again: what was stored of it is recognised by its number.
void SendSession::on_nack() {
  nacked_ = true;
  nacked_ns_ = 0;
}

void SendSession::tick(int64_t now_ns) {
  if (!nacked_ || nacked_ns_ < 0) return;
  if (nacked_ns_ == 0) nacked_ns_ = now_ns;
  if (now_ns - nacked_ns_ < kNackPauseNs) return;
  hello_again();
}

void SendSession::hello_again() {
  nacked_ns_ = -1;  // said; the welcome ends it
  hello(pending_.empty() ? next_seq_ : pending_.front().first_seq);
}

void SendSession::disconnected() {
  WEIR_CHECK(!plain());
  out_.clear();
  partial_.clear();
  out_begin_ = 0;
  nacked_ = true;
  nacked_ns_ = -1;  // no tick() says hello now
}

void SendSession::reconnected() {
  if (welcomed_)
    hello_again();
  else
    hello(0);
}

void SendSession::refuse_here(const InputLine& line, std::string reason, std::string detail) {
  ++refused_here_;
  note({ordinal_, std::string(line.file), line.line, std::move(reason), 0, std::move(detail)});
}

std::vector<Refusal> SendSession::refusals() const {
  std::vector<Refusal> sorted = refusals_;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Refusal& a, const Refusal& b) { return a.ordinal < b.ordinal; });
  return sorted;
}

void SendSession::note(Refusal refusal) {
  if (refusals_.size() < kRefusalsMax) refusals_.push_back(std::move(refusal));
}

}  // namespace weir::cli
