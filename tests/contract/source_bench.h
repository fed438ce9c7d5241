#pragma once
// A source on a pipe thread of its own, and a FrameHandler that collects, for the contract suite of sources.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <map>

#include "agent/app/pipe_thread.h"
#include "agent/core/clock.h"
#include "agent/ingest/listener.h"
#include "tests/support/temp_dir.h"

namespace weir::test {

/// Collects what sources hand over. Pipe thread only, read through PipeThread::call.
class Collector final : public FrameHandler {
 public:
  std::vector<std::string> frames, last_frames, bad_frames;
  int turns = 0, closed = 0;
  bool pause = false;   ///< the journal is full
  bool failed = false;  ///< it takes nothing any more
  bool plain_waits = false;
  AckLevel max = AckLevel::received;
  uint64_t mark = 0;              ///< one more for each turn that was taken
  uint64_t reached = UINT64_MAX;  ///< of levels above received
  std::map<std::string, std::shared_ptr<ClientState>> clients;

  Intake on_frame(Producer& p, std::string_view payload) override {
    const uint64_t seq = p.client ? p.next_seq++ : 0;
    if (p.client && seq <= p.client->last_seq) return Intake::taken;
    if (payload == "bad") {
      if (p.client) p.rejects.push_back({seq, {Reason::bad_json, 3, "expected a value"}});
    } else {
      frames.emplace_back(payload);
    }
    return Intake::taken;
  }
  Intake on_last_frame(Producer&, std::string_view payload) override {
    last_frames.emplace_back(payload);
    return Intake::taken;
  }
  void on_bad_frame(Producer&, Reason reason, std::string_view, uint64_t length) override {
    bad_frames.push_back(std::string(reason_name(reason)) + " " + std::to_string(length));
  }
  Intake on_turn_end(Producer& p) override {
    ++turns;
    if (pause) return Intake::pause;
    if (failed && !p.listens()) plain_waits = true;
    if (failed) return plain_waits ? Intake::refused : Intake::taken;
    ++mark;
    if (p.client && p.next_seq - 1 > p.client->last_seq)
      p.client->last_seq = p.next_seq - 1, p.client->mark = mark;
    return Intake::taken;
  }
  Result<Welcome> on_hello(Producer& p, Hello hello) override {
    auto& client = clients[hello.client_id];
    if (!client) {
      client = std::make_shared<ClientState>();
      client->identity = std::make_shared<ClientIdentity>(ClientIdentity{hello.client_id, p.peer.uid});
    }
    if (hello.client_id == "somebody else's") return fail("not_yours");
    if (client->owner && client->owner != &p) client->taken_over();
    client->owner = &p;
    client->taken_over = hello.taken_over;
    p.client = client;
    p.level = std::min(hello.level, max);
    const Welcome welcome{client->last_seq, p.level};
    on_jump(p, hello.next_seq.value_or(client->last_seq + 1));
    return welcome;
  }
  void on_jump(Producer& p, uint64_t next_seq) override {
    p.next_seq = next_seq;
    p.client->last_seq = std::max(p.client->last_seq, next_seq - 1);
  }
  void on_close(Producer& p) override {
    ++closed;
    if (p.client && p.client->owner == &p) p.client->owner = nullptr;
  }
  std::string policy() const override { return "{\"x\":1}"; }
  uint64_t journal_mark() const override { return mark; }
  bool is_secured(uint64_t) const override { return true; }
  bool has_reached(uint64_t wanted, AckLevel level) const override {
    return level <= AckLevel::received || wanted <= reached;
  }
  AckLevel level_max() const override { return max; }
};

struct Row {
  const char* type;
  std::vector<std::pair<const char*, OptionValue>> (*settings)(const TempDir&);
};
inline const std::vector<Row>& rows() {
  static const std::vector<Row> list{
      {"unix",
       [](const TempDir& dir) -> std::vector<std::pair<const char*, OptionValue>> {
         return {{"path", dir / "s.sock"}};
       }},
      {"tcp",
       [](const TempDir&) -> std::vector<std::pair<const char*, OptionValue>> {
         return {{"bind", std::string("127.0.0.1:0")}};
       }},
  };
  return list;
}

struct Bench {
  explicit Bench(const Row& row) {
    const ListenerType* type = find_listener_type(row.type);
    Settings settings = default_settings(type->type.options);
    for (const auto& [name, value] : row.settings(dir)) settings.set(name, value);
    source = make_listener(*type, "under_test", settings, context);
  }
  ~Bench() {
    pipe.call([&] { source->stop(); });
    wait([&] { return source->drained(); });
    source.reset();
    pipe.stop();
  }
  Result<void> start() {
    return pipe.call([&] { return source->start(handler); });
  }
  /// Until the condition, looked at on the pipe thread, holds; each look lets the pipe thread run in between.
  template <class Condition>
  void wait(Condition condition) {
    for (int64_t deadline = system_clock().monotonic_ns() + 10'000'000'000; !pipe.call(condition);
         std::this_thread::yield())
      REQUIRE(system_clock().monotonic_ns() < deadline);
  }
  int connect() const {
    std::string address = source->address();
    int fd;
    if (address.starts_with("unix:")) {
      sockaddr_un to{};
      to.sun_family = AF_UNIX;
      address.copy(to.sun_path, sizeof to.sun_path - 1, 5);
      fd = socket(AF_UNIX, SOCK_STREAM, 0);
      if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return ::close(fd), -1;
    } else {
      sockaddr_in to{};
      to.sin_family = AF_INET;
      to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      to.sin_port = htons(uint16_t(std::stoi(address.substr(address.rfind(':') + 1))));
      fd = socket(AF_INET, SOCK_STREAM, 0);
      const int on = 1;  // what is sent is there when send() returns
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return ::close(fd), -1;
    }
    return fd;
  }
  /// The journal has written or synced everything up to `mark`.
  void reach(uint64_t mark) {
    pipe.call([&] {
      handler.reached = mark;
      context.waiting.on_progress();
    });
  }
  static void send(int fd, const std::string& text) {
    REQUIRE(::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == ssize_t(text.size()));
  }
  /// At least one byte, as soon as there are some.
  static std::string read_some(int fd) {
    char chunk[4096];
    pollfd ready{fd, POLLIN, 0};
    REQUIRE(::poll(&ready, 1, 10'000) == 1);
    const ssize_t n = ::recv(fd, chunk, sizeof chunk, 0);
    REQUIRE(n > 0);
    return {chunk, size_t(n)};
  }
  /// Until `end` has come; nothing may come behind it.
  static std::string read_until(int fd, const std::string& end) {
    std::string out;
    while (!out.ends_with(end)) {
      CAPTURE(out);
      out += read_some(fd);
    }
    return out;
  }
  static bool silent(int fd) {
    pollfd ready{fd, POLLIN, 0};
    return ::poll(&ready, 1, 0) == 0;
  }
  /// Everything until the agent closes.
  static std::string read_to_end(int fd) {
    std::string out;
    char chunk[4096];
    ssize_t n;
    while ((n = ::recv(fd, chunk, sizeof chunk, 0)) > 0) out.append(chunk, size_t(n));
    ::close(fd);
    return out;
  }

  TempDir dir;
  Collector handler;
  ReadBuffer buffer;
  PipeThread pipe;
  IntakeGate gate{pipe.io()};
  IngestContext context{pipe.io(), gate, buffer};
  std::shared_ptr<Source> source;
};

template <class Fn>
void for_each_source(Fn fn) {
  for (const Row& row : rows()) {
    CAPTURE(row.type);
    Bench bench(row);
    fn(bench);
  }
}

}  // namespace weir::test
