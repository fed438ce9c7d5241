// Every Source runs this suite; a new kind is one row in `rows()`.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/app/pipe_thread.h"
#include "agent/core/clock.h"
#include "agent/ingest/listener.h"
#include "tests/support/temp_dir.h"

namespace weir {
namespace {

/// Collects what sources hand over. Pipe thread only, read through PipeThread::call.
class Collector final : public FrameHandler {
 public:
  std::vector<std::string> frames, last_frames, bad_frames;
  int turns = 0, closed = 0;
  bool pause = false;

  Intake on_frame(Producer& p, std::string_view payload) override {
    if (p.client) ++p.next_seq;
    frames.emplace_back(payload);
    return Intake::taken;
  }
  Intake on_last_frame(Producer&, std::string_view payload) override {
    last_frames.emplace_back(payload);
    return Intake::taken;
  }
  void on_bad_frame(Producer&, Reason reason, std::string_view, uint64_t length) override {
    bad_frames.push_back(std::string(reason_name(reason)) + " " + std::to_string(length));
  }
  void on_jump(Producer& p, uint64_t next_seq) override { p.next_seq = next_seq; }
  Intake on_turn_end(Producer& p) override {
    ++turns;
    if (pause) return Intake::pause;
    if (p.client) p.client->last_seq = std::max(p.client->last_seq, p.next_seq - 1);
    return Intake::taken;
  }
  Result<Welcome> on_hello(Producer& p, Hello hello) override {
    p.client = std::make_shared<ClientState>();
    p.client->identity = std::make_shared<ClientIdentity>(ClientIdentity{hello.client_id, p.peer.uid});
    p.next_seq = hello.next_seq.value_or(1);
    p.level = std::min(hello.level, level_max());
    p.client->last_seq = p.next_seq - 1;
    return Welcome{0, p.level};
  }
  void on_close(Producer&) override { ++closed; }
  std::string policy() const override { return "{\"x\":1}"; }
  uint64_t journal_mark() const override { return 0; }
  bool is_secured(uint64_t) const override { return true; }
  bool has_reached(uint64_t, AckLevel) const override { return true; }
  AckLevel level_max() const override { return AckLevel::received; }
};

struct Row {
  const char* type;
  std::vector<std::pair<const char*, OptionValue>> (*settings)(const test::TempDir&);
};
const std::vector<Row>& rows() {
  static const std::vector<Row> list{
      {"unix",
       [](const test::TempDir& dir) -> std::vector<std::pair<const char*, OptionValue>> {
         return {{"path", dir / "s.sock"}};
       }},
      {"tcp",
       [](const test::TempDir&) -> std::vector<std::pair<const char*, OptionValue>> {
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
      if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return ::close(fd), -1;
    }
    return fd;
  }
  static void send(int fd, const std::string& text) {
    REQUIRE(::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == ssize_t(text.size()));
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

  test::TempDir dir;
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

TEST_CASE("a source listens when start returns, and hands over lines until the end of the connection") {
  for_each_source([](Bench& b) {
    REQUIRE(b.start());
    int fd = b.connect();
    REQUIRE(fd >= 0);
    Bench::send(fd, "a\nb\r\nunfinished");
    shutdown(fd, SHUT_WR);
    CHECK(Bench::read_to_end(fd).empty());
    b.wait([&] { return b.handler.closed == 1; });
    CHECK(b.handler.frames == std::vector<std::string>{"a", "b"});
    CHECK(b.handler.last_frames == std::vector<std::string>{"unfinished"});
    CHECK(b.pipe.call([&] { return b.source->stats()->connections; }) == 0);
  });
}

TEST_CASE("stop is safe without start and twice, and nobody listens after it") {
  for_each_source([](Bench& b) {
    b.pipe.call([&] { b.source->stop(); });
    REQUIRE(b.start());
    b.pipe.call([&] { b.source->stop(); });
    b.pipe.call([&] { b.source->stop(); });
    CHECK(b.connect() < 0);
  });
}

TEST_CASE("stop_accepting takes who waits already, reads all they sent, then closes them") {
  for_each_source([](Bench& b) {
    REQUIRE(b.start());
    std::vector<int> fds;
    for (int i = 0; i < 20; ++i) {
      fds.push_back(b.connect());
      REQUIRE(fds.back() >= 0);
      Bench::send(fds.back(), "one\ntwo\n");
    }
    b.pipe.call([&] { b.source->stop_accepting(); });
    b.wait([&] { return b.source->drained(); });
    CHECK(b.handler.frames.size() == 40);
    CHECK(b.connect() < 0);
    for (int fd : fds) CHECK(Bench::read_to_end(fd).empty());
  });
}

TEST_CASE("a pause stops the reading, and opening the gate goes on with it") {
  for_each_source([](Bench& b) {
    b.handler.pause = true;
    REQUIRE(b.start());
    int fd = b.connect();
    Bench::send(fd, "a\n");
    b.wait([&] { return b.handler.turns == 1; });
    Bench::send(fd, "b\n");
    int other = b.connect();
    Bench::send(other, "c\n");
    b.wait([&] { return b.source->stats()->connections == 2; });
    CHECK(b.pipe.call([&] { return b.handler.frames.size(); }) == 1);
    b.pipe.call([&] {
      b.handler.pause = false;
      b.gate.open();
    });
    b.wait([&] { return b.handler.frames.size() == 3; });
    ::close(fd);
    ::close(other);
  });
}

TEST_CASE("acknowledged: welcome, rejects and acks, sync, policy, error and close") {
  for_each_source([](Bench& b) {
    REQUIRE(b.start());
    int fd = b.connect();
    Bench::send(fd,
                "\n "
                "{\"weir\":\"hello\",\"client_id\":\"c\",\"ack\":\"durable\",\"next_seq\":5}\nr5\nr6\n{"
                "\"weir\":\"sync\",\"id\":[7]}\nr7\n");
    b.wait([&] { return b.handler.frames.size() == 3; });
    b.pipe.call([&] { b.source->push_policy("{\"y\":2}"); });
    Bench::send(fd, "{\"weir\":\"nonsense\"}\n");
    std::string replies = Bench::read_to_end(fd);
    CHECK(replies.starts_with(
        "{\"weir\":\"welcome\",\"proto\":[1,0],\"client_id\":\"c\",\"ack\":\"received\",\"last_seq\":0,"
        "\"limits\":{\"record_bytes_max\":262144},\"policy\":{\"x\":1}}\n"));
    CHECK(replies.find("{\"weir\":\"ack\",\"seq\":6}\n{\"weir\":\"synced\",\"id\":[7],\"seq\":6}\n{\"weir\":"
                       "\"ack\",\"seq\":7}\n") != replies.npos);
    CHECK(replies.find("{\"weir\":\"policy\",\"policy\":{\"y\":2}}\n") != replies.npos);
    CHECK(replies.find("{\"weir\":\"error\",\"reason\":\"unknown_control\"") != replies.npos);
  });
}

TEST_CASE("a line over the limit is skipped and the next one is read") {
  for_each_source([](Bench& b) {
    b.buffer.record_bytes_max = 1000;
    REQUIRE(b.start());
    int fd = b.connect();
    std::string huge(100'000, 'x');
    Bench::send(fd, huge + "\nnext\n");
    b.wait([&] { return b.handler.frames.size() == 1; });
    CHECK(b.handler.bad_frames == std::vector<std::string>{"too_long 100000"});
    ::close(fd);
  });
}

}  // namespace
}  // namespace weir
