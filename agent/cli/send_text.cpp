#include "agent/cli/send_text.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "agent/cli/connector.h"
#include "agent/cli/console.h"
#include "agent/cli/session_socket.h"
#include "agent/cli/text_buffer.h"
#include "agent/core/clock.h"

namespace weir::cli {
namespace {

constexpr int64_t kMs = 1'000'000, kSecond = 1000 * kMs;
constexpr int64_t kQuietNs = 200 * kMs;  ///< after which a record is not continued any more
constexpr int64_t kWelcomeWaitNs = 30 * kSecond;
constexpr int64_t kBackoffMinNs = 50 * kMs, kBackoffMaxNs = 2 * kSecond;
constexpr int64_t kLastWordsNs = 5 * kSecond;  ///< to read after SIGTERM
constexpr int64_t kGiveUpNs = 5 * kSecond;     ///< without progress after the end, where waiting has an end
constexpr int kPollMs = 50;                    ///< while a time is waited for
constexpr int kIdlePollMs = 1000;

/// SIGINT, SIGTERM and SIGHUP as a descriptor; those that were ignored when we were started stay ignored.
Fd open_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action {};
    if (sigaction(number, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) sigaddset(&set, number);
  }
  sigprocmask(SIG_BLOCK, &set, nullptr);
  return Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

bool is_pipe(int fd) {
  struct stat info {};
  return fstat(fd, &info) == 0 && (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode));
}

/// One run of `weir send --text`.
class TextTransfer {
 public:
  TextTransfer(const IngestAddress& address, LineInput input, SendSession& session,
               const std::string& service, bool drop)
      : drop_(drop),
        input_(std::move(input)),
        session_(session),
        connector_(address),
        signals_(open_signals()),
        buffer_(session, service, drop ? kTextBufferBytes : 0),
        records_(service, [this](const TextRecord& record) { buffer_.add(record); }) {
    input_.split_at(session.record_bytes_max());
  }

  TextSendResult run(Fd socket) {
    now_ns_ = progress_ns_ = quiet_since_ns_ = system_clock().monotonic_ns();
    if (socket.get() >= 0)
      use(std::move(socket));
    else
      away_ns_ = now_ns_, start_connecting();
    while (result_.failure.empty() && !finished()) {
      buffer_.move(system_clock().wall_ns());
      take_lines();
      half_close();
      wait_and_move();
      now_ns_ = system_clock().monotonic_ns();
      session_.tick(now_ns_);
      check_connection();
      check_quiet();
      check_end();
    }
    result_.dropped_lines = buffer_.dropped_lines();
    return result_;
  }

 private:
  bool connected() const { return socket_.get() >= 0; }
  bool input_over() const { return stop_reading_ || input_.done(); }

  /// A plain connection is over when the agent has closed it: then all is in the journal.
  bool finished() const {
    if (session_.plain()) return half_closed_ && !connected();
    return ended_ && buffer_.empty() && session_.settled() && session_.welcomed();
  }

  // --- input ---

  /// With back-pressure: the session has room, and nothing waits before what would be read.
  bool wants_lines() const { return !input_over() && (drop_ || (buffer_.empty() && session_.room())); }

  void take_lines() {
    while (wants_lines()) {
      if (const std::optional<InputLine> line = input_.next()) {
        if (line->line == 1 && !line->continues) records_.flush();  // another file
        records_.take(*line, read_ns_);
      } else if (input_.fd() < 0 || !input_ready_) {
        break;
      } else {
        fill();
      }
    }
    if (!input_over() || ended_) return;
    records_.flush();
    buffer_.finish(system_clock().wall_ns());
    ended_ = true;
    progress_ns_ = now_ns_;
  }

  void fill() {
    input_ready_ = false;  // one read per turn: a fast input must not hold up the rest
    if (const Result<void> got = input_.fill(); !got) {
      say("weir send: {}", got.error().message);
      result_.input_failed = true;
    }
    read_ns_ = system_clock().wall_ns();
  }

  /// A program that has said nothing for a while has said all of its stack trace.
  void check_quiet() {
    if (input_ready_ || !wants_lines()) quiet_since_ns_ = now_ns_;
    if (records_.open() && now_ns_ - quiet_since_ns_ >= kQuietNs) records_.flush();
  }

  // --- connection ---

  void use(Fd socket) {
    socket_ = std::move(socket);
    fcntl(socket_.get(), F_SETFL, O_NONBLOCK);
    connected_ns_ = now_ns_;
    waiting_for_welcome_ = true;
    if (std::exchange(was_connected_, true)) session_.reconnected();
  }

  void start_connecting() {
    if (const Result<void> started = connector_.start(); !started) result_.failure = started.error().message;
  }

  void finish_connecting() {
    Result<Fd> socket = connector_.take();
    if (socket) return use(std::move(*socket));
    if (!std::exchange(told_away_, true)) say("weir send: {}; trying on", socket.error().message);
    retry_later();
  }

  void retry_later() {
    backoff_ns_ = std::clamp(backoff_ns_ * 2, kBackoffMinNs, kBackoffMaxNs);
    retry_ns_ = now_ns_ + backoff_ns_;
  }

  void lost(const std::string& reason) {
    socket_ = Fd();
    if (!session_.failure().empty()) {
      result_.failure = session_.failure();
    } else if (session_.plain()) {
      if (!half_closed_) result_.failure = reason;
    } else if (!session_.welcomed() && !drop_) {
      result_.failure = reason;
    } else if (!finished()) {
      session_.disconnected();
      if (!std::exchange(told_away_, true)) say("weir send: {}; waiting for it", reason);
      if (away_ns_ == 0) away_ns_ = now_ns_;
      retry_later();
    }
  }

  void check_connection() {
    if (connected() && !session_.failure().empty()) return lost(session_.failure());
    if (connected() && waiting_for_welcome_) {
      if (session_.ready())
        on_welcome();
      else if (now_ns_ - connected_ns_ > kWelcomeWaitNs)
        return lost("no welcome came within 30 s");
    }
    if (!connected() && connector_.fd() < 0 && retry_ns_ > 0 && now_ns_ >= retry_ns_) {
      retry_ns_ = 0;
      start_connecting();
    }
  }

  void on_welcome() {
    waiting_for_welcome_ = false;
    backoff_ns_ = 0;
    records_.set_record_bytes_max(session_.record_bytes_max());
    input_.split_at(session_.record_bytes_max());
    if (std::exchange(told_away_, false))
      say("weir send: the agent is back after {}", short_span(uint64_t((now_ns_ - away_ns_) / kSecond)));
    away_ns_ = 0;
    progress_ns_ = now_ns_;
  }

  void half_close() {
    if (!session_.plain() || half_closed_ || !ended_ || !buffer_.empty() || !session_.outgoing().empty())
      return;
    shutdown(socket_.get(), SHUT_WR);
    half_closed_ = true;
  }

  // --- the turn ---

  void wait_and_move() {
    const bool want_input = wants_lines() && !input_ready_;
    const short socket_events = short(POLLIN | (session_.outgoing().empty() ? 0 : POLLOUT));
    std::array<pollfd, 4> ready{{{socket_.get(), socket_events, 0},
                                 {want_input ? input_.fd() : -1, POLLIN, 0},
                                 {signals_.get(), POLLIN, 0},
                                 {connector_.fd(), POLLIN, 0}}};
    const bool timed = records_.open() || !connected() || !session_.ready() || interrupted_ || ended_;
    if (poll(ready.data(), ready.size(), timed ? kPollMs : kIdlePollMs) < 0 && errno != EINTR) {
      result_.failure = std::strerror(errno);
      return;
    }
    now_ns_ = system_clock().monotonic_ns();
    if (ready[1].revents != 0) input_ready_ = true;
    if (ready[0].revents & POLLOUT) write_session(socket_.get(), session_);
    if (ready[0].revents & (POLLIN | POLLHUP | POLLERR)) read_some();
    if (ready[2].revents & POLLIN) take_signals();
    if (ready[3].revents & POLLIN) finish_connecting();
  }

  void read_some() {
    const auto end = read_session(socket_.get(), session_);
    if (!end) return;
    lost(end->empty() ? "the agent closed the connection" : "the connection to the agent broke: " + *end);
  }

  // --- the end ---

  void take_signals() {
    signalfd_siginfo info;
    while (read(signals_.get(), &info, sizeof info) == sizeof info) {
      if (interrupted_) {
        give_up();
        continue;
      }
      interrupted_ = true;
      if (!is_pipe(input_.fd())) stop_reading();
      if (info.ssi_signo != SIGINT) read_until_ns_ = now_ns_ + kLastWordsNs;
      progress_ns_ = now_ns_;
    }
  }

  /// With back-pressure the end is waited for as long as it takes, unless somebody wants us to stop.
  void check_end() {
    if (read_until_ns_ > 0 && now_ns_ >= read_until_ns_ && !stop_reading_) {
      if (!input_.done() && !session_.ready())
        result_.failure = "stopped while the agent was away: what waited in the pipe was not read";
      stop_reading();
    }
    if (session_.acknowledged() != acknowledged_) {
      acknowledged_ = session_.acknowledged();
      progress_ns_ = now_ns_;
    }
    const bool waiting_ends = ended_ && !finished() && (drop_ || interrupted_);
    if (waiting_ends && now_ns_ - progress_ns_ >= kGiveUpNs) give_up();
  }

  /// What was read still counts, whatever there is room for.
  void stop_reading() {
    if (std::exchange(stop_reading_, true)) return;
    input_.cut();
    while (const std::optional<InputLine> line = input_.next()) records_.take(*line, read_ns_);
  }

  void give_up() {
    stop_reading();
    records_.flush();
    buffer_.finish(system_clock().wall_ns());
    ended_ = true;
    // While the agent is away nobody knows what waits in the pipe.
    if (!finished() || !session_.ready()) result_.failure = "stopped before the agent had acknowledged all";
    buffer_.give_up();
  }

  const bool drop_;
  LineInput input_;
  SendSession& session_;
  Connector connector_;
  const Fd signals_;
  TextBuffer buffer_;
  TextRecords records_;
  Fd socket_;
  TextSendResult result_;

  int64_t now_ns_ = 0, read_ns_ = 0, quiet_since_ns_ = 0, progress_ns_ = 0;
  int64_t connected_ns_ = 0, away_ns_ = 0, retry_ns_ = 0, backoff_ns_ = 0, read_until_ns_ = 0;
  uint64_t acknowledged_ = 0;
  bool was_connected_ = false, waiting_for_welcome_ = false, told_away_ = false;
  bool input_ready_ = false, stop_reading_ = false, ended_ = false, half_closed_ = false,
       interrupted_ = false;
};

}  // namespace

TextSendResult send_text(const IngestAddress& address, LineInput input, SendSession& session,
                         const std::string& service, bool drop) {
  if (drop) return TextTransfer(address, std::move(input), session, service, drop).run(Fd());
  Result<Fd> socket = connect_ingest(address);
  if (!socket) return {socket.error().message};
  return TextTransfer(address, std::move(input), session, service, drop).run(std::move(*socket));
}

}  // namespace weir::cli
