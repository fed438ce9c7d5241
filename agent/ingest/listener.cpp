#include "agent/ingest/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "agent/core/check.h"
#include "agent/core/clock.h"
#include "agent/core/log.h"
#include "agent/core/passed_sockets.h"
#include "agent/ingest/kept_rings.h"
#include "agent/ingest/listeners.h"
#include "agent/net/tls.h"

namespace weir {
namespace {

/// Connections accepted in one go, so that a flood of them does not hold up those that are there.
constexpr int kAcceptsPerTurn = 64;
constexpr auto kAcceptRetry = std::chrono::milliseconds(100);
constexpr auto kKeepEvery = std::chrono::seconds(1);

int dup_of(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 0); }

Peer peer_of(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  Peer peer;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) storage.ss_family = AF_UNSPEC;
  char text[INET6_ADDRSTRLEN] = "";
  if (storage.ss_family == AF_UNIX) {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0) {
      peer.uid = credentials.uid;
      peer.pid = credentials.pid;
    }
    peer.address = "unix:uid=" + std::to_string(credentials.uid) + ",pid=" + std::to_string(credentials.pid);
  } else if (storage.ss_family == AF_INET) {
    auto& in = reinterpret_cast<sockaddr_in&>(storage);
    inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
    peer.address = std::string("tcp:") + text + ":" + std::to_string(ntohs(in.sin_port));
  } else if (storage.ss_family == AF_INET6) {
    auto& in = reinterpret_cast<sockaddr_in6&>(storage);
    inet_ntop(AF_INET6, &in.sin6_addr, text, sizeof text);
    peer.address = std::string("tcp:[") + text + "]:" + std::to_string(ntohs(in.sin6_port));
  }
  return peer;
}

class Listener final : public Source, public std::enable_shared_from_this<Listener> {
 public:
  Listener(const ListenerType& type, std::string name, const Settings& settings, IngestContext& context,
           std::shared_ptr<Source> before)
      : type_(type), settings_(settings), context_(context), before_(std::move(before)), socket_(context.io) {
    stats_->name = std::move(name);
    stats_->type = type.type.name;
  }
  ~Listener() override { close_socket(); }  // sessions hold their listener, so none is left

  Result<void> start(FrameHandler& handler) override {
    auto tls = make_tls(settings_);
    if (!tls) return tl::unexpected(tls.error());
    tls_ = *tls;
    auto opened = open_socket();
    if (!opened) return tl::unexpected(opened.error());
    handler_ = &handler;
    listen_ = *opened;
    struct stat st;
    if (!listen_.unlink_path.empty() && lstat(listen_.unlink_path.c_str(), &st) == 0)
      inode_ = st.st_ino, device_ = st.st_dev;
    stats_->address = listen_.address;
    socket_.assign(listen_.fd);
    asio::co_spawn(context_.io, accept_loop(shared_from_this()), asio::detached);
    if (context_.kept.available()) asio::co_spawn(context_.io, keep_loop(shared_from_this()), asio::detached);
    return {};
  }

  void adopt() override {
    auto groups = context_.kept.take(stats_->name);
    // Rings that are read on say hello, too: a connection of the same name takes over from them, not they
    // from it.
    std::ranges::stable_partition(
        groups, [](const KeptGroup& g) { return g.connection.get() < 0 || !g.card.idle_at(); });
    for (KeptGroup& group : groups) {
      context_.kept.retain(group.key);
      const bool goes_on = group.connection.get() >= 0 && resume(group);
      if (!goes_on && !group.rings.empty()) read_on(group);
      context_.kept.release(group.key);  // nobody goes on with it: it is forgotten
    }
  }

  void stop_accepting() override {
    if (socket_.is_open()) {
      accept_waiting(INT32_MAX);
      close_socket();
    }
    for (Session* s : sessions_) s->drain();
    for (KeptRings* k : kept_) k->drain();
  }

  bool drained() const override { return sessions_.empty() && kept_.empty(); }

  void stop() noexcept override {
    close_socket();
    for (Session* s : sessions_) s->stop();
    for (KeptRings* k : kept_) k->stop();
  }

  Result<void> check(const Settings& settings) const override {
    auto tls = make_tls(settings);
    if (!tls) return tl::unexpected(tls.error());
    if (socket_.is_open() || before_) return {};
    const auto passed = passed_socket(stats_->name, settings.text(type_.address_option));
    if (!passed) return type_.check(settings);
    ::close(passed->fd);
    return {};
  }

  Result<void> reconfigure(const std::string& name, const Settings& settings) override {
    auto tls = make_tls(settings);
    if (!tls) return tl::unexpected(tls.error());
    tls_ = *tls;
    if (type_.change && !passed_) {
      if (auto changed = type_.change(settings); !changed) return changed;
    }
    settings_ = settings;
    stats_->name = name;
    for (Session* s : sessions_) {
      apply_options(s->producer());
      s->reconfigure(settings);
    }
    return {};
  }

  void push_policy(const std::string& policy) override {
    for (Session* s : sessions_) s->push_policy(policy);
  }

  int share_socket() const override { return fcntl(listen_.fd, F_DUPFD_CLOEXEC, 0); }
  std::string address() const override { return listen_.address; }
  std::shared_ptr<SourceStats> stats() const override { return stats_; }

 private:
  static asio::awaitable<void> accept_loop(std::shared_ptr<Listener> self) {
    while (self->socket_.is_open()) {
      if (!self->accept_waiting(
              kAcceptsPerTurn)) {  // no descriptors left: the waiting ones keep until some are free
        asio::steady_timer timer(self->context_.io, kAcceptRetry);
        co_await timer.async_wait(kAwait);
        continue;
      }
      co_await self->socket_.async_wait(asio::posix::stream_descriptor::wait_read, kAwait);
    }
  }

  /// False when the system could not give a descriptor.
  bool accept_waiting(int most) {
    for (int i = 0; i < most; ++i) {
      int fd = accept4(socket_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        begin_session(fd);
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return true;
      } else if (errno != EINTR && errno != ECONNABORTED) {
        log::sampled(log::Level::error, "accept",
                     "{}: cannot accept a connection: {}; raise LimitNOFILE or `ulimit -n`", listen_.address,
                     std::strerror(errno));
        return false;
      }
    }
    return true;
  }

  /// Null without TLS.
  static Result<std::shared_ptr<Tls>> make_tls(const Settings& s) {
    if (!s.values().contains("tls.cert") || s.null("tls.cert")) return std::shared_ptr<Tls>();
    return make_tls_server({s.null("tls.ca") ? "" : s.text("tls.ca"), s.text("tls.cert"), s.text("tls.key")},
                           s.list("tls.allow_names"));
  }

  static void refuse(int fd, const Peer& peer, std::string_view reason, std::string_view detail) {
    std::string word = "{\"weir\":\"error\",\"reason\":\"";
    word.append(reason).append("\",\"detail\":\"").append(detail).append("\"}\n");
    log::sampled(log::Level::warn, reason, "{}: connection refused: {}", peer.address, detail);
    ::send(fd, word.data(), word.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    ::close(fd);
  }

  void begin_session(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
               sizeof on);  // acknowledgements go out at once; fails on Unix sockets
    Producer producer = producer_of(peer_of(fd));
    if (producer.peer.uid && context_.shares.full(*producer.peer.uid))
      return refuse(fd, producer.peer, "too_many_connections",
                    "this user has as many connections as limits.per_uid.connections allows");
    if (context_.violations.refuses(producer.peer, system_clock().monotonic_ns()))
      return refuse(fd, producer.peer, "violations", "this process has broken the protocol three times");
    auto stream = tls_ ? tls_->wrap(fd, "") : make_socket_stream(fd);
    auto session = type_.make_session(context_, *handler_, std::move(stream), std::move(producer), settings_);
    if (!tls_) session->set_keepable();
    start_session(std::move(session));
  }

  void start_session(std::shared_ptr<Session> session) {
    sessions_.insert(session.get());
    session->start([self = shared_from_this()](Session& ended) { self->sessions_.erase(&ended); });
  }

  Producer producer_of(Peer peer) const {
    Producer producer;
    producer.stats = stats_;
    producer.peer = std::move(peer);
    apply_options(producer);
    return producer;
  }

  /// A connection that stood still at the end of the agent before. Else its client has to begin anew, and is
  /// told so by its end.
  bool resume(KeptGroup& group) {
    const int fd = group.connection.get();
    if (const int own = tls_ ? -1 : dup_of(fd); own >= 0) {
      auto session = type_.make_session(context_, *handler_, make_socket_stream(own),
                                        producer_of(peer_of(fd)), settings_);
      session->set_keepable();
      if (session->resume(group)) {
        start_session(std::move(session));
        return true;
      }
    }
    ::shutdown(fd, SHUT_RDWR);
    context_.kept.forget(group.key, KeptStore::kConnection);
    return false;
  }

  void read_on(KeptGroup& group) {
    auto rings = std::make_shared<KeptRings>(context_, *handler_, producer_of(group.card.client().peer));
    KeptRings* const key = rings.get();
    kept_.insert(key);
    if (!rings->start(group, [self = shared_from_this()](KeptRings& ended) { self->kept_.erase(&ended); }))
      kept_.erase(key);
  }

  /// Once a second: connections that have lived that long are worth keeping.
  static asio::awaitable<void> keep_loop(std::shared_ptr<Listener> self) {
    asio::steady_timer timer(self->context_.io);
    while (self->socket_.is_open()) {
      for (Session* s : self->sessions_) s->keep();
      timer.expires_after(kKeepEvery);
      co_await timer.async_wait(kAwait);
    }
  }

  void apply_options(Producer& producer) const {
    producer.default_stream =
        settings_.null("default_stream") ? std::nullopt : parse_stream(settings_.text("default_stream"));
    producer.stamp = settings_.boolean("stamp");
  }

  Result<ListenSocket> open_socket() {
    if (const auto before = std::exchange(before_, nullptr)) {
      const int fd = before->share_socket();
      if (fd < 0) return fail(before->address() + ": " + std::strerror(errno));
      const std::string address = before->address();
      return ListenSocket{fd, std::string(type_.type.name) + address.substr(address.find(':')), ""};
    }
    auto passed = passed_socket(stats_->name, settings_.text(type_.address_option));
    if (!passed) return type_.open(settings_);
    passed_ = true;
    return ListenSocket{passed->fd, std::string(type_.type.name) + ":" + passed->address, ""};
  }

  void close_socket() noexcept {
    if (!socket_.is_open()) return;
    boost::system::error_code ignored;
    socket_.close(ignored);
    struct stat st;
    if (!listen_.unlink_path.empty() && lstat(listen_.unlink_path.c_str(), &st) == 0 && st.st_ino == inode_ &&
        st.st_dev == device_)
      unlink(listen_.unlink_path.c_str());
  }

  const ListenerType& type_;
  Settings settings_;
  IngestContext& context_;
  FrameHandler* handler_ = nullptr;
  ListenSocket listen_;
  std::shared_ptr<Source> before_;  ///< until start()
  bool passed_ = false;             ///< by the service manager, whose it stays
  ino_t inode_ = 0;
  dev_t device_ = 0;
  asio::posix::stream_descriptor socket_;
  std::shared_ptr<Tls> tls_;
  std::shared_ptr<SourceStats> stats_ = std::make_shared<SourceStats>();
  std::set<Session*> sessions_;
  std::set<KeptRings*> kept_;
};

}  // namespace

std::shared_ptr<Source> make_listener(const ListenerType& type, std::string name, const Settings& settings,
                                      IngestContext& context, std::shared_ptr<Source> before) {
  return std::make_shared<Listener>(type, std::move(name), settings, context, std::move(before));
}

const ListenerType* find_listener_type(std::string_view name) {
  for (const ListenerType& t : listener_types())
    if (t.type.name == name) return &t;
  return nullptr;
}

std::vector<ComponentType> listener_component_types() {
  std::vector<ComponentType> types;
  for (const ListenerType& t : listener_types()) types.push_back(t.type);
  return types;
}

}  // namespace weir
