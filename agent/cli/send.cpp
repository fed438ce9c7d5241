#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <cstring>

#include "agent/cli/command.h"
#include "agent/cli/connect.h"
#include "agent/cli/console.h"
#include "agent/cli/json_text.h"
#include "agent/cli/line_input.h"
#include "agent/cli/send_session.h"
#include "agent/cli/send_text.h"
#include "agent/cli/session_socket.h"
#include "agent/core/clock.h"

namespace weir::cli {
namespace {

struct SendFlags {
  std::vector<std::string> files;
  std::string to, ack = "received", client_id, service, output = "text", when_full;
  bool text = false;
};

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kWelcomeWaitNs = 30 * kSecond;
constexpr int64_t kAgentBackNs = 30 * kSecond;  ///< so long it may take to restart
constexpr int kReconnectMs = 50;
constexpr size_t kRefusalsShown = 20;

/// The line on a terminal that says how far it is, about ten times a second.
class Progress {
 public:
  explicit Progress(int64_t now_ns) : began_ns_(now_ns) {}
  void show(const SendSession& session, int64_t now_ns) {
    if (!on_ || now_ns - shown_ns_ < kSecond / 10) return;
    shown_ns_ = now_ns;
    const double seconds = double(now_ns - began_ns_) / double(kSecond);
    const uint64_t done = session.plain() ? session.sent() : session.taken();
    write_err(fmt::format("\r\x1b[K{} {}, {} refused, {}/s", with_commas(done),
                          session.plain() ? "sent" : "taken", with_commas(session.refused()),
                          with_commas(uint64_t(double(done) / std::max(seconds, 0.001)))));
    visible_ = true;
  }
  void clear() {
    if (std::exchange(visible_, false)) write_err("\r\x1b[K");
  }

 private:
  const bool on_ = stderr_is_terminal();
  const int64_t began_ns_;
  int64_t shown_ns_ = 0;
  bool visible_ = false;
};

/// Moves bytes between the input, the session and the socket until the agent has closed. An agent that
/// restarts is waited for, where what it has acknowledged outlives it.
class Transfer {
 public:
  Transfer(IngestAddress address, Fd socket, LineInput input, SendSession& session)
      : address_(std::move(address)), input_(std::move(input)), session_(session) {
    use(std::move(socket));
  }

  /// Empty: everything was written and the agent closed in good order. Otherwise what went wrong.
  std::string run() {
    Progress progress(connected_ns_);
    do {
      while (!closed_ && failure_.empty() && session_.failure().empty()) {
        take_lines();
        wait_and_move();
        const int64_t now = system_clock().monotonic_ns();
        session_.tick(now);
        progress.show(session_, now);
        if (session_.ready()) welcomed_ = true;
        if (!welcomed_ && now - connected_ns_ > kWelcomeWaitNs)
          failure_ = "no welcome came within 30 s", silent_ = true;
      }
      progress.clear();
    } while (lost_agent() && connect_again());
    if (!session_.failure().empty()) return session_.failure();
    if (failure_.empty() && !half_closed_) return "the agent closed the connection";
    if (failure_.empty() && !session_.settled())
      return "the agent closed the connection before it had acknowledged all";
    return failure_;
  }
  bool input_failed() const { return input_failed_; }

 private:
  void use(Fd socket) {
    socket_ = std::move(socket);
    fcntl(socket_.get(), F_SETFL, O_NONBLOCK);
    connected_ns_ = system_clock().monotonic_ns();
    welcomed_ = half_closed_ = closed_ = false;
  }

  bool lost_agent() const {
    const bool done = half_closed_ && session_.settled();
    return session_.outlives_agent() && session_.failure().empty() && !silent_ && !done;
  }

  bool connect_again() {
    say("weir send: {}; waiting for it", failure_.empty() ? "the agent closed the connection"
                                                          : "the connection to the agent broke: " + failure_);
    socket_ = Fd();
    session_.disconnected();
    const int64_t until_ns = system_clock().monotonic_ns() + kAgentBackNs;
    while (system_clock().monotonic_ns() < until_ns) {
      if (Result<Fd> socket = connect_ingest(address_)) {
        use(std::move(*socket));
        failure_.clear();
        session_.reconnected();
        return true;
      }
      poll(nullptr, 0, kReconnectMs);
    }
    failure_ = "the agent did not come back within 30 s";
    return false;
  }

  void take_lines() {
    while (session_.room() && !input_.done()) {
      if (const std::optional<InputLine> line = input_.next())
        session_.take(*line);
      else if (input_.fd() < 0 || !input_ready_)
        break;
      else
        fill();
    }
    if (input_.done() && session_.outgoing().empty() && session_.ready() && !half_closed_) {
      shutdown(socket_.get(), SHUT_WR);
      half_closed_ = true;
    }
  }

  void fill() {
    input_ready_ = false;  // one read per turn: a slow input must not hold up the rest
    if (const Result<void> got = input_.fill(); !got) {
      say("weir send: {}", got.error().message);
      input_failed_ = true;
    }
  }

  void wait_and_move() {
    const bool want_input = session_.room() && !input_.done() && !input_ready_;
    const short socket_events = short(POLLIN | (session_.outgoing().empty() ? 0 : POLLOUT));
    std::array<pollfd, 2> ready{
        {{socket_.get(), socket_events, 0}, {want_input ? input_.fd() : -1, POLLIN, 0}}};
    if (poll(ready.data(), ready.size(), 100) < 0 && errno != EINTR) failure_ = std::strerror(errno);
    if (ready[1].revents != 0) input_ready_ = true;
    if (ready[0].revents & POLLOUT) write_session(socket_.get(), session_);
    if (ready[0].revents & (POLLIN | POLLHUP | POLLERR)) read_some();
  }

  void read_some() {
    const auto end = read_session(socket_.get(), session_);
    if (!end) return;
    if (end->empty()) closed_ = true;
    failure_ = *end;
  }

  const IngestAddress address_;
  Fd socket_;
  LineInput input_;
  SendSession& session_;
  std::string failure_;
  int64_t connected_ns_ = 0;
  bool welcomed_ = false, silent_ = false;  ///< on this connection
  bool input_ready_ = false, input_failed_ = false, half_closed_ = false, closed_ = false;
};

void print_refusals(const SendSession& session) {
  size_t shown = 0;
  for (const Refusal& r : session.refusals()) {
    if (shown++ == kRefusalsShown) break;
    say("{}:{}: {} at byte {}{}{}", r.file, r.line, r.reason, r.offset, r.detail.empty() ? "" : ": ",
        r.detail);
  }
  if (session.refused() > kRefusalsShown) say("and {} more", with_commas(session.refused() - kRefusalsShown));
}

void print_json(const SendSession& session, const SendFlags& flags, uint64_t dropped_lines) {
  nlohmann::ordered_json refusals = nlohmann::ordered_json::array();
  for (const Refusal& r : session.refusals())
    refusals.push_back({{"file", r.file},
                        {"line", r.line},
                        {"reason", r.reason},
                        {"offset", r.offset},
                        {"detail", r.detail}});
  nlohmann::ordered_json out{{"sent", session.sent()},
                             {"taken", session.taken()},
                             {"refused", session.refused()},
                             {"level", session.granted()},
                             {"refusals", refusals}};
  if (session.plain()) out["taken"] = nullptr;  // nobody told
  if (flags.text) out["dropped_lines"] = dropped_lines;
  write_out(json_text(out));
}

void print_summary(const SendSession& session) {
  print_refusals(session);
  if (session.plain())
    say("weir send: {} sent, not acknowledged", with_commas(session.sent() - session.refused()));
  else
    say("weir send: {} taken, {} refused", with_commas(session.taken()), with_commas(session.refused()));
}

int report(const SendFlags& flags, const SendSession& session, const TextSendResult& result) {
  if (flags.output == "json") print_json(session, flags, result.dropped_lines);
  if (result.dropped_lines > 0) say("weir send: {} lines dropped", with_commas(result.dropped_lines));
  if (!result.failure.empty()) {
    if (flags.output != "json") print_refusals(session);
    say("weir send: {}", result.failure);
    if (!session.welcomed()) return result.failure.starts_with("the agent refused") ? kFailure : kUnreachable;
    say("weir send: {} of {} records sent were acknowledged", with_commas(session.acknowledged()),
        with_commas(session.sent()));
    return kFailure;
  }
  if (flags.output != "json") print_summary(session);
  const bool lower = session.granted() != flags.ack;
  if (lower)
    say("weir send: asked for the level {}, the agent grants {}; it grants more with `journal: {{type: "
        "disk}}`",
        flags.ack, session.granted());
  const bool all = session.refused() == 0 && result.dropped_lines == 0 && !result.input_failed;
  return all && !lower ? kOk : kFailure;
}

/// What is wrong with the combination of flags; empty: nothing.
std::string_view contradiction(const SendFlags& flags) {
  const bool plain = flags.ack == "none";
  if (plain && !(flags.client_id.empty() && (flags.service.empty() || flags.text)))
    return "--client-id and --service need an acknowledged connection; leave out --ack none";
  if (!flags.when_full.empty() && !flags.text) return "--when-full is for --text";
  if (flags.when_full == "drop" && plain)
    return "--when-full drop counts what the agent took; leave out --ack none";
  return {};
}

int send_files(const SendFlags& flags) {
  if (const std::string_view wrong = contradiction(flags); !wrong.empty())
    return say("weir send: {}", wrong), kUsage;
  const Result<IngestAddress> address = ingest_address(flags.to);
  if (!address)
    return say("weir send: {}", address.error().message), flags.to.empty() ? kUnreachable : kUsage;
  Result<LineInput> input =
      LineInput::open(flags.files.empty() ? std::vector<std::string>{"-"} : flags.files);
  if (!input) return say("weir send: {}", input.error().message), kFailure;

  SendSession session(flags.ack, flags.client_id, flags.service);
  if (flags.text) {
    const bool drop = flags.when_full == "drop";
    return report(flags, session, send_text(*address, std::move(*input), session, flags.service, drop));
  }
  Result<Fd> socket = connect_ingest(*address);
  if (!socket) return say("weir send: {}", socket.error().message), kUnreachable;
  Transfer transfer(*address, std::move(*socket), std::move(*input), session);
  std::string failure = transfer.run();
  return report(flags, session, {std::move(failure), transfer.input_failed(), 0});
}

}  // namespace

void add_send(CLI::App& app, Action& action) {
  auto flags = std::make_shared<SendFlags>();
  CLI::App* command = app.add_subcommand("send", "Send records (newline-delimited JSON) to an agent");
  command->add_option("FILE", flags->files, "Files to send; - or nothing is stdin");
  command->add_option("--to", flags->to, "The agent's address (default: its Unix socket)")
      ->type_name("unix:PATH|tcp:HOST:PORT");
  command->add_option("--ack", flags->ack, "What the agent must have done before a record counts as taken")
      ->type_name("none|received|buffered|durable")
      ->check(CLI::IsMember({"none", "received", "buffered", "durable"}).description(""));
  command->add_option("--client-id", flags->client_id, "Name under which the agent remembers what it has")
      ->type_name("ID");
  command
      ->add_option("--service", flags->service,
                   "Service that this client speaks for; with --text, of the records")
      ->type_name("S");
  command->add_flag(
      "--text", flags->text,
      "Lines are plain text: each becomes a log record, stack traces become one; lines that are "
      "JSON objects stay as they are");
  command
      ->add_option(
          "--when-full", flags->when_full,
          "With --text, when the agent does not take more: block stops reading (default), drop reads "
          "on, keeps 16 MiB, drops and counts the rest")
      ->type_name("block|drop")
      ->check(CLI::IsMember({"block", "drop"}).description(""));
  add_output_flag(*command, flags->output, {"text", "json"});
  command->footer(R"(Each refused record is reported as FILE:LINE: REASON at byte N: DETAIL.
With --text, or --ack buffered or durable, the agent may go away and come back: what it has not acknowledged
is sent again. With --text the first Ctrl-C lets it read on to the end of the pipe, the second ends it.
Exit codes: 0 all taken, 1 some refused or dropped or a lower level granted than asked, 69 agent not reachable.

Examples:
  echo '{"stream":"log","level":"info","message":"hi"}' | weir send
  weir send trace.jsonl
  app 2>&1 | weir send --text --service app
  weir send --to tcp:127.0.0.1:4320 --ack none trace.jsonl)");
  command->callback([flags, &action] { action = [flags] { return send_files(*flags); }; });
}

}  // namespace weir::cli
