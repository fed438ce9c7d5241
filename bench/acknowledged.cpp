// Many numbered clients that keep a window of records under way: how much is acknowledged, and how long it
// takes.
//   acknowledged SOCKET LEVEL CLIENTS SECONDS [WINDOW]
// One JSON line: records per second, and percentiles of the time from a write to the acknowledgement that
// covers its last record.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kChunkRecords = 16;

struct Client {
  int fd = -1;
  std::string in;
  std::string out;
  unsigned long long sent = 0, acknowledged = 0;
  std::deque<std::pair<unsigned long long, Clock::time_point>> waiting;  // last number of a chunk
  bool welcome = false;
};

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

int open_socket(const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("connect");
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

void flush(Client& c) {
  while (!c.out.empty()) {
    const ssize_t n = write(c.fd, c.out.data(), c.out.size());
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) die("write");
    c.out.erase(0, size_t(n));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "acknowledged SOCKET LEVEL CLIENTS SECONDS [WINDOW]\n");
    return 64;
  }
  const int clients = std::atoi(argv[3]);
  const auto length = std::chrono::duration<double>(std::atof(argv[4]));
  const unsigned long long window = argc > 5 ? std::strtoull(argv[5], nullptr, 10) : 256;
  std::string chunk;
  for (int i = 0; i < kChunkRecords; ++i)
    chunk +=
        "{\"stream\":\"log\",\"level\":\"info\",\"service\":\"orders\",\"message\":\"order 48151623 was "
        "accepted and handed on to the warehouse in time\",\"attributes\":{\"customer\":\"c-4711\","
        "\"amount\":1299,\"currency\":\"EUR\",\"items\":3,\"region\":\"eu-central-1\"}}\n";
  std::vector<Client> all(size_t(clients), Client{});
  std::vector<pollfd> polled;
  for (int i = 0; i < clients; ++i) {
    all[size_t(i)].fd = open_socket(argv[1]);
    all[size_t(i)].out = "{\"weir\":\"hello\",\"client_id\":\"bench-" + std::to_string(getpid()) + "-" +
                         std::to_string(i) + "\",\"ack\":\"" + argv[2] + "\"}\n";
    polled.push_back({all[size_t(i)].fd, POLLIN | POLLOUT, 0});
  }
  std::vector<double> times;
  std::string granted;
  const auto begin = Clock::now(), end = begin + std::chrono::duration_cast<Clock::duration>(length);
  unsigned long long acknowledged = 0;
  auto now = begin;
  for (bool draining = false; !draining || acknowledged > 0;) {
    if (poll(polled.data(), nfds_t(polled.size()), 1000) < 0) die("poll");
    now = Clock::now();
    draining = now >= end;
    bool under_way = false;
    for (size_t i = 0; i < all.size(); ++i) {
      Client& c = all[i];
      if (polled[i].revents & (POLLIN | POLLHUP)) {
        char text[65536];
        const ssize_t n = read(c.fd, text, sizeof text);
        if (n == 0 || (n < 0 && errno != EAGAIN)) die("read");
        if (n > 0) c.in.append(text, size_t(n));
        for (size_t lf; (lf = c.in.find('\n')) != c.in.npos; c.in.erase(0, lf + 1)) {
          const std::string line = c.in.substr(0, lf);
          if (line.find("\"welcome\"") != line.npos) {
            c.welcome = true;
            const size_t at = line.find("\"ack\":\"") + 7;
            granted = line.substr(at, line.find('"', at) - at);
          } else if (line.find("\"ack\"") != line.npos) {
            const auto seq = std::strtoull(line.c_str() + line.find("\"seq\":") + 6, nullptr, 10);
            acknowledged += seq - c.acknowledged;
            c.acknowledged = seq;
            for (; !c.waiting.empty() && c.waiting.front().first <= seq; c.waiting.pop_front())
              times.push_back(
                  std::chrono::duration<double, std::milli>(now - c.waiting.front().second).count());
          }
        }
      }
      while (c.welcome && !draining && c.out.empty() && c.sent + kChunkRecords <= c.acknowledged + window) {
        c.out = chunk;
        c.sent += kChunkRecords;
        c.waiting.emplace_back(c.sent, now);
        flush(c);
      }
      flush(c);
      polled[i].events = short(POLLIN | (c.out.empty() ? 0 : POLLOUT));
      under_way |= c.sent > c.acknowledged;
    }
    if (draining && !under_way) break;
  }
  const double seconds = std::chrono::duration<double>(now - begin).count();
  std::sort(times.begin(), times.end());
  const auto percentile = [&](double p) {
    return times.empty() ? 0.0 : times[std::min(times.size() - 1, size_t(p * double(times.size())))];
  };
  std::printf(
      "{\"asked\":\"%s\",\"granted\":\"%s\",\"clients\":%d,\"window\":%llu,\"records\":%llu,"
      "\"records_per_s\":%.0f,\"ack_ms\":{\"p50\":%.2f,\"p99\":%.2f,\"max\":%.2f}}\n",
      argv[2], granted.c_str(), clients, window, acknowledged, double(acknowledged) / seconds,
      percentile(0.5), percentile(0.99), percentile(1));
}
