#include "agent/net/resolver.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <thread>

#include "agent/core/check.h"

namespace weir {
namespace {

std::atomic<int> lookups_running = 0;

/// `flags`: AI_NUMERICHOST asks nobody.
Result<std::vector<SocketAddress>> look_up(const std::string& host, uint16_t port, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC, hints.ai_socktype = SOCK_STREAM, hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int code = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (code != 0)
    return fail("cannot look up " + host + ": " +
                (code == EAI_SYSTEM ? std::strerror(errno) : gai_strerror(code)));
  std::vector<SocketAddress> out;
  for (const addrinfo* a = list; a && out.size() < 16; a = a->ai_next) {
    SocketAddress& address = out.emplace_back();
    std::memcpy(&address.bytes, a->ai_addr, a->ai_addrlen);
    address.length = a->ai_addrlen;
  }
  freeaddrinfo(list);
  if (out.empty()) return fail("cannot look up " + host + ": it has no address");
  return out;
}

/// The thread takes none of the agent's signals.
void start_detached(void (*run)(std::shared_ptr<Lookup>, std::string, uint16_t),
                    const std::shared_ptr<Lookup>& lookup, const std::string& host, uint16_t port) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread(run, lookup, host, port).detach();
  } catch (const std::system_error&) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace

std::string SocketAddress::text() const {
  char name[INET6_ADDRSTRLEN] = "?";
  if (bytes.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(bytes);
    inet_ntop(AF_INET6, &v6.sin6_addr, name, sizeof name);
    return "[" + std::string(name) + "]:" + std::to_string(ntohs(v6.sin6_port));
  }
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(bytes);
  inet_ntop(AF_INET, &v4.sin_addr, name, sizeof name);
  return std::string(name) + ":" + std::to_string(ntohs(v4.sin_port));
}

Lookup::Lookup() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Lookup::~Lookup() { ::close(fd_); }

void Lookup::finish(Result<std::vector<SocketAddress>> result) {
  result_ = std::move(result);
  done_ = true;
  const uint64_t one = 1;
  WEIR_CHECK(::write(fd_, &one, sizeof one) == sizeof one);
}

Result<std::shared_ptr<Lookup>> Resolver::start() {
  std::lock_guard lock(mutex_);
  if (running_ && !running_->done()) return running_;
  auto lookup = std::make_shared<Lookup>();
  if (auto numeric = look_up(host_, port_, AI_NUMERICHOST)) {
    lookup->finish(std::move(numeric));
    return lookup;
  }
  if (++lookups_running > kLookupsMax) {
    --lookups_running;
    return fail("cannot look up " + host_ + ": " + std::to_string(kLookupsMax) +
                " look-ups wait for an answer already: is the name server there?");
  }
  try {
    start_detached(
        [](std::shared_ptr<Lookup> own, std::string host, uint16_t port) {
          own->finish(look_up(host, port, 0));
          --lookups_running;
        },
        lookup, host_, port_);
  } catch (const std::system_error& e) {
    --lookups_running;
    return fail("cannot look up " + host_ + ": no thread for it: " + e.what());
  }
  running_ = lookup;
  return lookup;
}

}  // namespace weir
