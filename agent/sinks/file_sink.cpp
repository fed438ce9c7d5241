#include "agent/sinks/file_sink.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/core/log.h"

namespace weir {
namespace {

std::string system_error(const char* what, const std::string& path) {
  return std::string(what) + ' ' + path + ": " + std::strerror(errno);
}

/// Parent directories of output files are created (interface.md section 7).
void make_parents(Io& io, const std::string& path) {
  for (size_t slash = 1; (slash = path.find('/', slash)) != std::string::npos; ++slash)
    io.mkdir(path.substr(0, slash), 0750);
}

std::vector<std::pair<std::string, std::string>> validate_file(const Settings& s) {
  std::vector<std::pair<std::string, std::string>> mistakes;
  if (s.text("path").empty()) mistakes.emplace_back("path", "must not be empty");
  if (s.text("path").ends_with('/')) mistakes.emplace_back("path", "is a directory: name a file in it");
  return mistakes;
}

std::unique_ptr<Sink> make_file(const Settings& settings, const SinkContext& context) {
  return std::make_unique<FileSink>(settings, context);
}

}  // namespace

const SinkType kFileSinkType{
    {"file",
     {"jsonl"},
     "Appends records to a file, one JSON line each.",
     {
         {"path",
          OptionType::path,
          "",
          "File to append to; relative to the working directory. Missing directories are made.",
          {},
          INT64_MIN,
          INT64_MAX,
          true},
         {"format", OptionType::choice, "jsonl", "How a record is written.", {"jsonl"}},
         {"write_mode",
          OptionType::choice,
          "auto",
          "`auto`: all that waits, in one write, nothing held back. `line`: one write per `flush_every_n` "
          "records "
          "(default 1). `batch`: one write per `flush_every_n` records (default 100) or after "
          "`flush_every_ms`.",
          {"auto", "line", "batch"}},
         {"flush_every_n",
          OptionType::integer,
          "",
          "Records per write in the modes `line` and `batch`; null: the mode's default.",
          {},
          1,
          8192,
          false,
          true},
         {"flush_every_ms",
          OptionType::integer,
          "100",
          "Milliseconds after which records that wait for `flush_every_n` are written all the same; null: "
          "never.",
          {},
          1,
          86'400'000,
          false,
          true},
         {"fsync_every_n",
          OptionType::integer,
          "",
          "One fdatasync after the write that holds every n-th record; null: never.",
          {},
          1,
          INT64_C(1) << 40,
          false,
          true},
         {"mode", OptionType::file_mode, "0640", "Permissions of a file that is made."},
     },
     validate_file},
    make_file,
    "block"};

FileSink::FileSink(const Settings& s, const SinkContext& context)
    : name_(context.name),
      path_(s.text("path")),
      mode_(mode_t(s.integer("mode"))),
      line_mode_(s.text("write_mode") == "line"),
      step_mode_(s.text("write_mode") != "auto"),
      flush_every_n_(!s.null("flush_every_n") ? uint64_t(s.integer("flush_every_n"))
                     : line_mode_             ? 1
                                              : 100),
      fsync_every_n_(s.null("fsync_every_n") ? 0 : uint64_t(s.integer("fsync_every_n"))),
      flush_every_ns_(s.null("flush_every_ms") ? -1 : s.integer("flush_every_ms") * 1'000'000),
      io_(context.io),
      clock_(context.clock),
      quarantine_(context.quarantine) {}

BatchLimits FileSink::batch_limits() const {
  BatchLimits limits;
  if (!step_mode_) return limits;
  limits.records_step = flush_every_n_;
  limits.records_max = std::max<uint64_t>(limits.records_max / flush_every_n_, 1) * flush_every_n_;
  limits.bytes_max = UINT64_MAX;
  limits.linger_ns = flush_every_ns_;
  return limits;
}

Result<void> FileSink::open_or_create() {
  // O_NONBLOCK so that a fifo planted at the path cannot hold the worker; a regular file does not care.
  constexpr int flags = O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
  fd_ = io_.open(path_, flags, 0);
  if (fd_ < 0 && errno == ENOENT) {
    make_parents(io_, path_);
    fd_ = io_.open(path_, flags | O_CREAT | O_EXCL, mode_);
  }
  if (fd_ >= 0) return {};
  if (errno == ELOOP)
    return fail("cannot open " + path_ + ": it is a symbolic link; give the path of the file itself");
  return fail(system_error("cannot open", path_));
}

Result<void> FileSink::open() {
  if (auto opened = open_or_create(); !opened) return opened;
  struct stat st;
  std::string wrong;
  if (io_.fstat(fd_, &st) != 0)
    wrong = system_error("cannot look at", path_);
  else if (!S_ISREG(st.st_mode))
    wrong = path_ + " is not a regular file; choose another path";
  else if (st.st_uid != geteuid())
    wrong = path_ + " belongs to another user; choose another path";
  else if (st.st_nlink != 1)
    wrong = path_ + " has more than one hard link; choose another path";
  if (wrong.empty()) {
    if (auto cut = cut_unfinished_line(st.st_size); !cut) wrong = cut.error().message;
  }
  if (wrong.empty()) return {};
  close();
  return fail(wrong);
}

/// What a crash left of a line would otherwise grow together with the next record: it goes to the quarantine.
/// Only what fits there is taken away; anything longer is ended where it is, because it may be somebody's
/// text.
Result<void> FileSink::cut_unfinished_line(off_t size) {
  char tail[kQuarantineRawBytesMax];
  size_t bytes = size_t(std::min<off_t>(size, sizeof tail));
  if (bytes == 0) return {};
  if (io_.pread(fd_, tail, bytes, size - off_t(bytes)) != ssize_t(bytes))
    return fail(system_error("cannot read", path_));
  std::string_view text(tail, bytes);
  size_t lf = text.rfind('\n');
  if (lf == bytes - 1) return {};
  text = text.substr(lf == text.npos ? 0 : lf + 1);
  bool fits = lf != std::string_view(tail, bytes).npos || off_t(bytes) == size;
  bool kept = false;
  if (fits && quarantine_) {
    quarantine_->add_refusal(clock_.wall_ns(), name_, "truncated", "unfinished last line found in " + path_,
                             0, text);
    kept = quarantine_->flush();
  }
  if (kept) {
    if (io_.ftruncate(fd_, size - off_t(text.size())) == 0) return {};
    return fail(system_error("cannot cut the unfinished last line of", path_));
  }
  log::warn("sink {}: {} does not end in a line feed; it gets one", name_, path_);
  iovec lf_part{const_cast<char*>("\n"), 1};
  if (io_.writev(fd_, &lf_part, 1) == 1) return {};
  return fail(system_error("cannot write", path_));
}

void FileSink::close() noexcept {
  if (fd_ >= 0) io_.close(fd_);
  fd_ = -1;
}

Delivery FileSink::deliver(const BatchView& batch, std::stop_token stop) {
  records_done_ = 0;
  const uint64_t group_max = step_mode_ ? flush_every_n_ : UINT64_MAX;
  std::string error;
  auto flush = [&] {
    error = write_parts();
    records_done_ += line_bytes_.size();
    since_sync_ += line_bytes_.size();
    parts_.clear(), line_bytes_.clear();
    if (error.empty() && fsync_every_n_ && since_sync_ >= fsync_every_n_) {
      since_sync_ %= fsync_every_n_;
      if (io_.fdatasync(fd_) != 0) error = system_error("cannot fdatasync", path_);
    }
    if (error.empty() && stop.stop_requested() && records_done_ < batch.records) error = "stopped";
  };
  batch.for_each([&](std::string_view line, Stream) {
    if (!error.empty()) return;
    bool follows = !parts_.empty() &&
                   static_cast<const char*>(parts_.back().iov_base) + parts_.back().iov_len == line.data();
    if (follows)
      parts_.back().iov_len += line.size();
    else
      parts_.push_back({const_cast<char*>(line.data()), line.size()});
    line_bytes_.push_back(uint32_t(line.size()));
    if (line_bytes_.size() == group_max || parts_.size() == IOV_MAX) flush();
  });
  if (error.empty() && !line_bytes_.empty()) flush();
  return error.empty() ? Delivery::delivered() : Delivery::down(error, records_done_);
}

std::string FileSink::write_parts() {
  left_ = parts_;
  size_t written = 0;
  for (size_t i = 0; i < left_.size();) {
    ssize_t n = io_.writev(fd_, left_.data() + i, int(left_.size() - i));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      std::string error = system_error("cannot write", path_);
      cut_back(written);
      return error;
    }
    written += size_t(n);
    for (size_t bytes = size_t(n); bytes > 0;) {
      size_t step = std::min(bytes, left_[i].iov_len);
      left_[i].iov_base = static_cast<char*>(left_[i].iov_base) + step;
      left_[i].iov_len -= step;
      bytes -= step;
      if (left_[i].iov_len == 0) ++i;
    }
  }
  return {};
}

/// Leaves whole lines only, in the file and in line_bytes_.
void FileSink::cut_back(size_t written) {
  size_t whole = 0, lines = 0;
  while (lines < line_bytes_.size() && whole + line_bytes_[lines] <= written) whole += line_bytes_[lines++];
  line_bytes_.resize(lines);
  struct stat st;
  if (written > whole && io_.fstat(fd_, &st) == 0) io_.ftruncate(fd_, st.st_size - off_t(written - whole));
}

}  // namespace weir
