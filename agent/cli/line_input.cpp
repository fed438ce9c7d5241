#include "agent/cli/line_input.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/core/json.h"

namespace weir::cli {

namespace {

constexpr size_t kReadBytes = 128 << 10;

/// Where `text` (bytes of a longer one) may be cut: not within a character, not behind a CR.
size_t cut_at(std::string_view text) {
  size_t end = text.size();
  while (end > text.size() - 3 && (text[end - 1] & 0xC0) == 0x80) --end;
  if ((text[end - 1] & 0xC0) == 0xC0) --end;  // its first byte goes with the rest
  if (text[end - 1] == '\r') --end;
  return end;
}

}  // namespace

Result<LineInput> LineInput::open(const std::vector<std::string>& files) {
  LineInput input;
  for (const std::string& file : files) {
    Fd fd(file == "-" ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : ::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0) return fail(fmt::format("cannot read {}: {}", file, std::strerror(errno)));
    input.inputs_.push_back({file, std::move(fd)});
  }
  return input;
}

std::optional<InputLine> LineInput::next() {
  while (current_ < inputs_.size()) {
    const size_t lf = buffer_.find('\n', scanned_);
    if (split_bytes_ > 0 && std::min(lf, buffer_.size()) - begin_ > split_bytes_) return next_part();
    if (lf == buffer_.npos && !ended_) {
      scanned_ = buffer_.size();
      if (scanned_ - begin_ > kInputLineBytesMax) skipping_ = true, begin_ = scanned_;
      return std::nullopt;
    }
    if (lf == buffer_.npos && begin_ == buffer_.size() && !skipping_) {
      end_input();
      return std::nullopt;
    }
    const size_t end = std::min(lf, buffer_.size());
    const bool rest = std::exchange(in_parts_, false);
    if (!rest) ++line_;
    InputLine out{std::string_view(buffer_).substr(begin_, end - begin_), inputs_[current_].name, line_,
                  skipping_, rest};
    if (std::exchange(skipping_, false)) out.text = {};
    begin_ = scanned_ = std::min(end + 1, buffer_.size());
    return out;
  }
  return std::nullopt;
}

InputLine LineInput::next_part() {
  const std::string_view part = std::string_view(buffer_).substr(begin_, split_bytes_);
  const bool continues = std::exchange(in_parts_, true);
  if (!continues) ++line_;
  const size_t end = cut_at(part);
  begin_ += end;
  scanned_ = std::max(scanned_, begin_);
  return {part.substr(0, end), inputs_[current_].name, line_, false, continues, true};
}

void LineInput::end_input() {
  ++current_;
  line_ = 0;
  ended_ = skipping_ = in_parts_ = false;
  buffer_.clear();
  begin_ = scanned_ = 0;
}

Result<void> LineInput::fill() {
  buffer_.erase(0, begin_);
  scanned_ -= begin_;
  begin_ = 0;
  if (current_ >= inputs_.size() || ended_) return {};
  const size_t had = buffer_.size();
  buffer_.resize(had + kReadBytes);
  ssize_t n;
  do {
    n = read(inputs_[current_].fd.get(), buffer_.data() + had, kReadBytes);
  } while (n < 0 && errno == EINTR);
  const int error = errno;
  buffer_.resize(had + size_t(std::max<ssize_t>(n, 0)));
  if (n <= 0) ended_ = true;
  if (n < 0) return fail(fmt::format("cannot read {}: {}", inputs_[current_].name, std::strerror(error)));
  return {};
}

}  // namespace weir::cli
