#include "agent/cli/screen.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "agent/cli/console.h"
#include "agent/core/clock.h"

namespace weir::cli {
namespace {

/// Alternate screen, cursor hidden, lines that are too long after all are cut by the terminal; and back.
constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[H\x1b[2J";
constexpr std::string_view kLeave = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";

/// Around a picture: a terminal that knows these shows nothing of it before it is whole; others pass over
/// them.
constexpr std::string_view kBegin = "\x1b[?2026h", kEnd = "\x1b[?2026l";

}  // namespace

ScreenSize screen_size() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {};
  return {size.ws_col, size.ws_row};
}

Screen::Screen() {
  sigemptyset(&blocked_);
  for (const int signal : {SIGWINCH, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT})
    sigaddset(&blocked_, signal);
  sigprocmask(SIG_BLOCK, &blocked_, &before_);
  signals_ = Fd(signalfd(-1, &blocked_, SFD_CLOEXEC | SFD_NONBLOCK));
  take();
}

Screen::~Screen() {
  give_back();
  sigprocmask(SIG_SETMASK, &before_, nullptr);
}

void Screen::take() {
  keys_ = tcgetattr(STDIN_FILENO, &modes_) == 0;
  input_ = keys_;
  if (keys_) {
    termios raw = modes_;
    raw.c_lflag &= ~tcflag_t(ICANON | ECHO);
    raw.c_cc[VMIN] = 1, raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
  }
  write_out(kEnter);
}

void Screen::give_back() {
  write_out(kLeave);
  if (keys_) tcsetattr(STDIN_FILENO, TCSADRAIN, &modes_);
}

void Screen::draw(const std::vector<std::string>& lines) {
  std::string out(kBegin);
  if (std::exchange(resized_, false)) out += "\x1b[2J";
  for (size_t i = 0; i < lines.size(); ++i) out += fmt::format("\x1b[{};1H{}\x1b[K", i + 1, lines[i]);
  if (lines.size() < screen_size().height) out += fmt::format("\x1b[{};1H\x1b[J", lines.size() + 1);
  out += kEnd;
  if (!write_out(out)) input_ = false, signal_ = SIGHUP;  // the terminal is gone
}

Screen::Input Screen::wait(int64_t deadline_ns) {
  for (;;) {
    if (signal_ != 0) return {Event::quit};
    const int64_t left_ns = deadline_ns - system_clock().monotonic_ns();
    if (left_ns <= 0) return {Event::timeout};
    std::array<pollfd, 2> ready{{{signals_.get(), POLLIN, 0}, {input_ ? STDIN_FILENO : -1, POLLIN, 0}}};
    poll(ready.data(), ready.size(), int(std::min<int64_t>(left_ns / 1'000'000 + 1, 60'000)));
    if (ready[0].revents != 0)
      if (const Input input = on_signal(); input.event != Event::timeout) return input;
    if (ready[1].revents == 0) continue;
    char key = 0;
    if (read(STDIN_FILENO, &key, 1) == 1) return {Event::key, key};
    input_ = false;
  }
}

/// timeout: nothing that matters to the caller.
Screen::Input Screen::on_signal() {
  signalfd_siginfo info{};
  if (read(signals_.get(), &info, sizeof info) != sizeof info) return {Event::timeout};
  const int signal = int(info.ssi_signo);
  if (signal == SIGWINCH) return resized_ = true, Input{Event::redraw};
  if (signal == SIGCONT) return {Event::timeout};
  if (signal == SIGTSTP) return suspend(), Input{Event::redraw};
  signal_ = signal;
  return {Event::quit};
}

void Screen::suspend() {
  give_back();
  raise(SIGSTOP);
  take();
}

void Screen::die_of(int signal) {
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal);
  std::signal(signal, SIG_DFL);
  raise(signal);
  sigprocmask(SIG_UNBLOCK, &one, nullptr);
}

}  // namespace weir::cli
