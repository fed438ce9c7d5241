#include "agent/ingest/replies.h"

#include "agent/core/json.h"

namespace weir {
namespace {

std::string_view nack_name(frames::NackCode code) {
  return code == frames::kFull ? "full" : code == frames::kFailed ? "failed" : "not_yours";
}

/// The members of both welcomes, without the braces.
void append_welcome(std::string& out, const WelcomeReply& w, std::string_view more_limits) {
  out += "\"proto\":[1,0],\"client_id\":";
  json::append_quoted(out, w.client_id);
  out.append(",\"ack\":\"").append(ack_level_name(w.level)).append("\",\"last_seq\":");
  out.append(std::to_string(w.last_seq)).append(",\"limits\":{\"record_bytes_max\":");
  out.append(std::to_string(w.record_bytes_max)).append(more_limits).append("},\"policy\":").append(w.policy);
}

class LineReplies final : public Replies {
 public:
  void welcome(std::string& out, const WelcomeReply& welcome) const override {
    out += "{\"weir\":\"welcome\",";
    append_welcome(out, welcome, "");
    out += "}\n";
  }
  void reject(std::string& out, const RejectNote& note) const override {
    out.append("{\"weir\":\"reject\",\"seq\":").append(std::to_string(note.seq)).append(",\"reason\":\"");
    out.append(reason_name(note.fault.reason)).append("\",\"offset\":");
    out.append(std::to_string(note.fault.offset)).append(",\"detail\":");
    json::append_quoted(out, note.fault.detail);
    out += "}\n";
  }
  void ack(std::string& out, uint64_t seq) const override {
    out.append("{\"weir\":\"ack\",\"seq\":").append(std::to_string(seq)).append("}\n");
  }
  void nack(std::string& out, uint64_t seq, frames::NackCode code) const override {
    out.append("{\"weir\":\"nack\",\"seq\":").append(std::to_string(seq)).append(",\"reason\":\"");
    out.append(nack_name(code)).append("\"}\n");
  }
  void synced(std::string& out, std::string_view id, uint64_t seq) const override {
    out.append("{\"weir\":\"synced\",\"id\":").append(id).append(",\"seq\":").append(std::to_string(seq));
    out += "}\n";
  }
  void bye(std::string& out, std::string_view reason) const override {
    out.append("{\"weir\":\"bye\",\"reason\":\"").append(reason).append("\"}\n");
  }
  void ring(std::string&, uint8_t, uint64_t, uint16_t, std::string_view) const override {}
  void policy(std::string& out, std::string_view policy) const override {
    out.append("{\"weir\":\"policy\",\"policy\":").append(policy).append("}\n");
  }
  void error(std::string& out, std::string_view reason, std::string_view detail) const override {
    out += "{\"weir\":\"error\",\"reason\":";
    json::append_quoted(out, reason);
    out += ",\"detail\":";
    json::append_quoted(out, detail);
    out += "}\n";
  }
};

class FrameReplies final : public Replies {
 public:
  void welcome(std::string& out, const WelcomeReply& welcome) const override {
    const size_t frame_bytes_max = welcome.record_bytes_max + frames::kPayloadSlackBytes;
    std::string text = "{";
    append_welcome(text, welcome, ",\"payload_bytes_max\":" + std::to_string(frame_bytes_max));
    append_text(out, frames::kWelcome,
                text + (welcome.rings ? ",\"features\":[\"ring\"]}" : ",\"features\":[]}"));
  }
  void reject(std::string& out, const RejectNote& note) const override {
    const std::string text =
        "at byte " + std::to_string(note.fault.offset) + ": " + std::string(note.fault.detail);
    append_refusal(out, frames::kReject, note.seq, uint16_t(note.fault.reason), text);
  }
  void ack(std::string& out, uint64_t seq) const override {
    frames::append_header(out, frames::kAck, sizeof seq);
    frames::append(out, seq);
  }
  void nack(std::string& out, uint64_t seq, frames::NackCode code) const override {
    append_refusal(out, frames::kNack, seq, code, nack_name(code));
  }
  void synced(std::string& out, std::string_view id, uint64_t) const override {
    append_text(out, frames::kSync, id);
  }
  void bye(std::string& out, std::string_view reason) const override {
    append_text(out, frames::kBye, reason);
  }
  void ring(std::string& out, uint8_t what, uint64_t ring_id, uint16_t code,
            std::string_view text) const override {
    frames::append_header(out, frames::kRing, sizeof what + sizeof ring_id + sizeof code + text.size());
    frames::append(out, what);
    frames::append(out, ring_id);
    frames::append(out, code);
    out += text;
  }
  void policy(std::string& out, std::string_view policy) const override {
    append_text(out, frames::kPolicy, policy);
  }
  void error(std::string& out, std::string_view reason, std::string_view detail) const override {
    if (reason == nack_name(frames::kNotYours)) nack(out, 0, frames::kNotYours);
    append_text(out, frames::kError, std::string(reason) + ": " + std::string(detail));
  }

 private:
  static void append_text(std::string& out, frames::Type type, std::string_view text) {
    frames::append_header(out, type, text.size());
    out += text;
  }
  static void append_refusal(std::string& out, frames::Type type, uint64_t seq, uint16_t code,
                             std::string_view text) {
    frames::append_header(out, type, sizeof seq + sizeof code + text.size());
    frames::append(out, seq);
    frames::append(out, code);
    out += text;
  }
};

}  // namespace

const Replies& line_replies() {
  static const LineReplies replies;
  return replies;
}

const Replies& frame_replies() {
  static const FrameReplies replies;
  return replies;
}

}  // namespace weir
