#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <random>
#include <thread>

#include "agent/cli/command.h"
#include "agent/cli/connect.h"
#include "agent/cli/console.h"
#include "agent/cli/demo_records.h"
#include "agent/core/clock.h"

namespace weir::cli {
namespace {

bool send_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(size_t(n));
  }
  return true;
}

/// The agent closes once every line is in its journal.
bool wait_for_close(int fd) {
  shutdown(fd, SHUT_WR);
  std::array<char, 256> ignored;
  ssize_t n;
  do {
    n = recv(fd, ignored.data(), ignored.size(), 0);
  } while (n > 0 || (n < 0 && errno == EINTR));
  return n == 0;
}

int demo(const std::string& to) {
  const Result<IngestAddress> address = ingest_address(to);
  if (!address) return say("weir demo: {}", address.error().message), to.empty() ? kUnreachable : kUsage;
  const Result<Fd> socket = connect_ingest(*address);
  if (!socket) return say("weir demo: {}", socket.error().message), kUnreachable;

  std::random_device device;
  const auto random = [&] { return uint64_t(device()) << 32 | device(); };
  const std::vector<DemoRecord> records = demo_records(system_clock().wall_ns(), random);
  const auto start = std::chrono::steady_clock::now();
  bool sent = true;
  for (const DemoRecord& record : records) {
    std::this_thread::sleep_until(start + std::chrono::nanoseconds(record.at_ns));
    if (!(sent = send_all(socket->get(), record.line))) break;
  }
  if (!sent || !wait_for_close(socket->get())) {
    say("weir demo: the agent at {} closed the connection: {}", address->text(), std::strerror(errno));
    return kFailure;
  }
  say("weir demo: {} records sent to {}; `weir tail -n {} --no-follow` shows them again", records.size(),
      address->text(), records.size());
  return kOk;
}

}  // namespace

void add_demo(CLI::App& app, Action& action) {
  auto to = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("demo", "Send a small demonstration through the agent");
  command->add_option("--to", *to, "The agent's address (default: its Unix socket)")
      ->type_name("unix:PATH|tcp:HOST:PORT");
  command->footer(
      R"(Three short traces of an order pipeline (one fails), logs, metrics and an alert, over two seconds.

Examples:
  weir agent &  weir demo
  weir tail trace &  weir demo)");
  command->callback([to, &action] { action = [to] { return demo(*to); }; });
}

}  // namespace weir::cli
