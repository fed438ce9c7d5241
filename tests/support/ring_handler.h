#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/core/frame_handler.h"

namespace weir::test {

/// Takes everything; the journal is as far as the test says.
struct RingHandler final : FrameHandler {
  std::vector<std::string> lines;
  std::vector<Reason> bad;
  std::map<std::string, std::shared_ptr<ClientState>> clients;
  uint64_t mark = 0, reached = UINT64_MAX, turns = 0;
  Intake turn_answer = Intake::taken;
  Intake on_frame(Producer& p, std::string_view line) override {
    lines.emplace_back(line);
    ++p.next_seq;
    return Intake::taken;
  }
  Intake on_last_frame(Producer&, std::string_view) override { return Intake::taken; }
  void on_bad_frame(Producer& p, Reason reason, std::string_view, uint64_t) override {
    bad.push_back(reason);
    ++p.next_seq;
  }
  Intake on_turn_end(Producer& p) override {
    ++turns, ++mark;
    p.client->last_seq = p.next_seq - 1;
    return turn_answer;
  }
  uint64_t journal_mark() const override { return mark; }
  bool has_reached(uint64_t m, AckLevel) const override { return m <= reached; }
  AckLevel level_max() const override { return AckLevel::durable; }
  bool is_secured(uint64_t) const override { return true; }
  Result<Welcome> on_hello(Producer& p, Hello hello) override {
    auto& client = clients[hello.client_id];
    if (!client) client = std::make_shared<ClientState>();
    if (client->taken_over) client->taken_over();
    client->taken_over = std::move(hello.taken_over);
    client->owner = &p;
    p.client = client;
    p.next_seq = *hello.next_seq;
    return Welcome{client->last_seq, hello.level};
  }
  void on_jump(Producer&, uint64_t) override {}
  void on_close(Producer& p) override {
    if (p.client->owner == &p) p.client->taken_over = nullptr, p.client->owner = nullptr;
  }
  std::string policy() const override { return "{}"; }
};

}  // namespace weir::test
