// floor: the least that a receiver between a socket and files can do, for comparison: one thread reads, finds
// the line feeds, and writes whole lines. It checks nothing, changes nothing, routes nothing.
//   floor unix:PATH|tcp:PORT FILE...      each file gets every line; ends on SIGTERM
// Prints "ready ADDRESS" once it listens.
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

constexpr size_t kBufferBytes = 256 * 1024;

struct Connection {
  std::string partial;  ///< an unfinished last line
};

int listen_on(const std::string& address, std::string& real) {
  if (address.rfind("unix:", 0) == 0) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::strncpy(at.sun_path, address.c_str() + 5, sizeof at.sun_path - 1);
    unlink(at.sun_path);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) || listen(fd, 64)) std::exit(1);
    real = address;
    return fd;
  }
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(uint16_t(std::atoi(address.c_str() + 4)));
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) || listen(fd, 64)) std::exit(1);
  socklen_t size = sizeof at;
  getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size);
  real = "tcp:127.0.0.1:" + std::to_string(ntohs(at.sin_port));
  return fd;
}

void write_all(int fd, const char* data, size_t bytes) {
  while (bytes > 0) {
    const ssize_t n = write(fd, data, bytes);
    if (n < 0) std::exit(1);
    data += n, bytes -= size_t(n);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return std::fputs("usage: floor ADDRESS FILE...\n", stderr), 64;
  std::string real;
  std::vector<pollfd> fds{{listen_on(argv[1], real), POLLIN, 0}};
  std::vector<Connection> connections(1);
  std::vector<int> files;
  for (int i = 2; i < argc; ++i) files.push_back(open(argv[i], O_WRONLY | O_CREAT | O_APPEND, 0640));
  std::printf("ready %s\n", real.c_str());
  std::fflush(stdout);
  std::vector<char> buffer(kBufferBytes);
  for (;;) {
    poll(fds.data(), fds.size(), -1);
    if (fds[0].revents & POLLIN) {
      fds.push_back({accept(fds[0].fd, nullptr, nullptr), POLLIN, 0});
      connections.emplace_back();
    }
    for (size_t i = 1; i < fds.size(); ++i) {
      if (!fds[i].revents) continue;
      std::string& partial = connections[i].partial;
      std::memcpy(buffer.data(), partial.data(), partial.size());
      const ssize_t got = read(fds[i].fd, buffer.data() + partial.size(), buffer.size() - partial.size());
      if (got <= 0) {
        close(fds[i].fd);
        fds.erase(fds.begin() + long(i));
        connections.erase(connections.begin() + long(i));
        break;
      }
      const size_t have = partial.size() + size_t(got);
      const char* last = static_cast<const char*>(memrchr(buffer.data(), '\n', have));
      const size_t whole = last ? size_t(last + 1 - buffer.data()) : 0;
      for (int file : files) write_all(file, buffer.data(), whole);
      partial.assign(buffer.data() + whole, have - whole);
    }
  }
}
