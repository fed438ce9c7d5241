#include "agent/core/quarantine.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "agent/core/clock.h"
#include "agent/core/json.h"
#include "agent/core/log.h"
#include "agent/core/text.h"

namespace weir {

Quarantine::Quarantine(Io& io, std::string directory, std::string file_name)
    : io_(io), directory_(std::move(directory)), file_name_(std::move(file_name)) {}

Quarantine::~Quarantine() {
  flush();
  if (fd_ >= 0) io_.close(fd_);
}

void Quarantine::set_raw(bool raw) {
  std::lock_guard lock(mutex_);
  raw_ = raw;
}

void Quarantine::append_raw(std::string_view head, uint64_t length, bool raw) {
  pending_ += ",\"length\":" + std::to_string(length);
  if (!raw) return;
  // A cut at 64 KiB may split a character: what was text stays text.
  std::string_view text = head;
  for (int i = 0; i < 3 && length > head.size() && !text.empty() && !is_utf8(text); ++i)
    text.remove_suffix(1);
  if (is_utf8(text)) {
    pending_ += ",\"raw\":";
    json::append_quoted(pending_, text);
  } else {
    pending_ += ",\"raw_base64\":\"";
    append_base64(pending_, head);
    pending_ += '"';
  }
}

void Quarantine::add_reject(int64_t wall_ns, const Producer& producer, uint64_t seq, const Fault& fault,
                            std::string_view head, uint64_t length) {
  std::lock_guard lock(mutex_);
  std::string& out = pending_;
  out += "{\"time\":\"" + rfc3339(wall_ns) + "\",\"source\":";
  json::append_quoted(out, producer.stats->name);
  out += ",\"peer\":{\"uid\":";
  out += producer.peer.uid ? std::to_string(*producer.peer.uid) : "null";
  out += ",\"pid\":";
  out += producer.peer.uid ? std::to_string(producer.peer.pid) : "null";
  out += "},\"client_id\":";
  if (producer.client)
    json::append_quoted(out, producer.client->identity->client_id);
  else
    out += "null";
  out += ",\"seq\":" + (seq ? std::to_string(seq) : std::string("null"));
  out += ",\"reason\":\"" + std::string(reason_name(fault.reason)) + "\",\"detail\":";
  json::append_quoted(out, fault.detail);
  out += ",\"offset\":" + std::to_string(fault.offset);
  append_raw(head.substr(0, kQuarantineRawBytesMax), length, raw_);
  out += "}\n";
  ++pending_lines_;
  if (out.size() > (1 << 20)) write_pending();
}

void Quarantine::add_refusal(int64_t wall_ns, std::string_view sink, std::string_view reason,
                             std::string_view answer, uint64_t attempts, std::string_view line) {
  std::lock_guard lock(mutex_);
  std::string& out = pending_;
  out += "{\"time\":\"" + rfc3339(wall_ns) +
         "\",\"source\":null,\"peer\":null,\"client_id\":null,\"seq\":null,\"sink\":";
  json::append_quoted(out, sink);
  out += ",\"reason\":";
  json::append_quoted(out, reason);
  out += ",\"detail\":";
  json::append_quoted(out, answer);
  out += ",\"answer\":";
  json::append_quoted(out, answer);
  out += ",\"attempts\":" + std::to_string(attempts) + ",\"offset\":null";
  append_raw(line, line.size(), true);  // whole: nobody else has it any more; rules have been applied to it
  out += "}\n";
  ++pending_lines_;
}

bool Quarantine::flush() {
  std::lock_guard lock(mutex_);
  return write_pending();
}

uint64_t Quarantine::lines_lost() const {
  std::lock_guard lock(mutex_);
  return lines_lost_;
}

bool Quarantine::ensure_open() {
  if (fd_ >= 0) return true;
  auto parent = directory_.substr(0, directory_.rfind('/'));
  for (size_t slash = 1; (slash = parent.find('/', slash)) != std::string::npos; ++slash)
    io_.mkdir(parent.substr(0, slash), 0755);  // what is there stays as it is
  io_.mkdir(parent, 0700);
  io_.mkdir(directory_, 0700);
  std::string path = directory_ + '/' + file_name_;
  fd_ = io_.open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
  if (fd_ < 0) return false;
  struct stat st;
  if (io_.fstat(fd_, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1 || st.st_uid != geteuid()) {
    io_.close(fd_);
    fd_ = -1;
    errno = EPERM;
    return false;
  }
  file_bytes_ = uint64_t(st.st_size);
  return true;
}

bool Quarantine::write_pending() {
  if (pending_.empty()) return true;
  std::string path = directory_ + '/' + file_name_;
  if (ensure_open() && file_bytes_ > 0 && file_bytes_ + pending_.size() > kQuarantineFileBytesMax) {
    io_.rename(path, path + ".1");
    io_.close(fd_);
    fd_ = -1;
  }
  iovec part{pending_.data(), pending_.size()};
  ssize_t written = ensure_open() ? io_.writev(fd_, &part, 1) : -1;
  const bool whole = written == ssize_t(pending_.size());
  if (!whole) {
    lines_lost_ += pending_lines_;
    log::sampled(log::Level::error, "quarantine",
                 "quarantine {}: cannot write: {}; {} refused records are counted but not kept", path,
                 written < 0 ? std::strerror(errno) : "disk full", pending_lines_);
  }
  if (whole)
    file_bytes_ += uint64_t(written);
  else if (written > 0)
    io_.ftruncate(fd_, off_t(file_bytes_));  // no torn line stays
  pending_.clear();
  pending_lines_ = 0;
  return whole;
}

}  // namespace weir
