#pragma once
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/core/result.h"

namespace weir {

struct SocketAddress {
  sockaddr_storage bytes{};
  socklen_t length = 0;
  std::string text() const;  ///< `127.0.0.1:80`, `[::1]:80`
};

/// One look-up of a name, on a thread of its own: getaddrinfo() cannot be interrupted, so whoever waits for
/// it must be able to leave. It ends by itself, and holds what it needs until then.
class Lookup {
 public:
  Lookup();
  ~Lookup();
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;
  int fd() const { return fd_; }  ///< readable, for good, once done() is true
  bool done() const { return done_; }
  /// Once done: in the order to be tried, or the error.
  const Result<std::vector<SocketAddress>>& result() const { return result_; }

 private:
  friend class Resolver;
  void finish(Result<std::vector<SocketAddress>> result);
  int fd_ = -1;
  std::atomic<bool> done_ = false;
  Result<std::vector<SocketAddress>> result_;
};

/// Looks up one name. One look-up at a time: who asks while it runs gets the same one. Any thread.
class Resolver {
 public:
  Resolver(std::string host, uint16_t port) : host_(std::move(host)), port_(port) {}
  /// Error: too many look-ups of this process wait for an answer (kLookupsMax).
  Result<std::shared_ptr<Lookup>> start();
  const std::string& host() const { return host_; }

  static constexpr int kLookupsMax = 32;

 private:
  const std::string host_;
  const uint16_t port_;
  std::mutex mutex_;
  std::shared_ptr<Lookup> running_;
};

}  // namespace weir
