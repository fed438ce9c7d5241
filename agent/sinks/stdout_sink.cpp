#include "agent/sinks/stdout_sink.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "agent/core/json.h"
#include "agent/sinks/pretty.h"

namespace weir {
namespace {

std::unique_ptr<Sink> make_stdout(const Settings& settings, const SinkContext& context) {
  return std::make_unique<StdoutSink>(settings, context);
}

}  // namespace

const SinkType kStdoutSinkType{{"stdout",
                                {},
                                "Writes records to standard output.",
                                {
                                    {"format",
                                     OptionType::choice,
                                     "auto",
                                     "`json`: one JSON line per record. `pretty`: for people. `text`: one "
                                     "plain line per record, with date and time. `auto`: pretty "
                                     "on a terminal, json otherwise.",
                                     {"auto", "json", "pretty", "text"}},
                                }},
                               make_stdout};

StdoutSink::StdoutSink(const Settings& s, const SinkContext&) : format_(s.text("format")) {}

Result<void> StdoutSink::open() {
  terminal_ = isatty(STDOUT_FILENO);
  colour_ = terminal_ && !std::getenv("NO_COLOR");
  if (format_ == "auto") format_ = terminal_ ? "pretty" : "json";
  struct stat st;
  if (fstat(STDOUT_FILENO, &st) != 0)
    return fail("standard output is closed; start the agent with one, or use a file sink");
  fd_ = STDOUT_FILENO;
  // A description of our own can be non-blocking without changing that of whoever shares ours.
  if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
    int own = ::open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (own >= 0)
      fd_ = own, own_fd_ = true;
    else if (errno == ENXIO)
      return fail("nobody reads standard output any more");
  }
  return {};
}

void StdoutSink::close() noexcept {
  if (own_fd_) ::close(fd_);
  fd_ = -1, own_fd_ = false;
}

void StdoutSink::render(const BatchView& batch) {
  line_ends_.clear();
  rest_bytes_ = text_.size();
  batch.for_each([&](std::string_view line, Stream) {
    if (format_ == "pretty") {
      append_pretty(text_, line, colour_);
    } else if (format_ == "text") {
      append_text(text_, line);
    } else if (terminal_) {
      json::append_terminal_safe(text_, line.substr(0, line.size() - 1));
      text_ += '\n';
    } else {
      text_ += line;
    }
    line_ends_.push_back(text_.size());
  });
}

/// Records of the batch that are out. One that is half out counts: its rest is kept in text_ and goes first
/// next time.
uint64_t StdoutSink::lines_out() const {
  uint64_t lines = uint64_t(std::ranges::upper_bound(line_ends_, written_) - line_ends_.begin());
  bool half = lines < line_ends_.size() && written_ > (lines == 0 ? rest_bytes_ : line_ends_[lines - 1]);
  return lines + half;
}

Delivery StdoutSink::deliver(const BatchView& batch, std::stop_token stop) {
  render(batch);
  auto give_up = [&](Delivery delivery) {
    delivery.done = lines_out();
    size_t end = delivery.done == 0 ? rest_bytes_ : line_ends_[delivery.done - 1];
    text_ = end > written_ ? text_.substr(written_, end - written_) : "";
    written_ = 0;
    return delivery;
  };
  while (written_ < text_.size()) {
    pollfd ready{fd_, POLLOUT, 0};
    int n = ::poll(&ready, 1, 100);
    if (n == 0 && stop.stop_requested()) return give_up(Delivery::retry("nobody reads standard output"));
    if (n <= 0) continue;
    // Shared descriptions block: PIPE_BUF bytes are what poll promises to fit.
    size_t bytes = text_.size() - written_;
    if (!own_fd_) bytes = std::min<size_t>(bytes, PIPE_BUF);
    ssize_t out = ::write(fd_, text_.data() + written_, bytes);
    if (out > 0)
      written_ += size_t(out);
    else if (errno != EINTR && errno != EAGAIN)
      return give_up(Delivery::down(std::string("cannot write to standard output: ") + std::strerror(errno)));
  }
  text_.clear();
  if (text_.capacity() > (4u << 20)) text_.shrink_to_fit();
  written_ = 0;
  return Delivery::delivered();
}

}  // namespace weir
