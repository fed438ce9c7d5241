#pragma once
#include <string>
#include <string_view>
#include <utility>

#include "agent/core/result.h"

namespace weir::cli {

/// Owns a descriptor.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd();
  int get() const { return fd_; }

 private:
  int fd_;
};

/// Error: the reason alone (`No such file or directory`). `timeout_ms`: how long a listener whose queue is
/// full may take; -1: for ever.
Result<Fd> connect_unix(const std::string& path, int timeout_ms = -1);

/// Where records go in: `unix:PATH` or `tcp:HOST:PORT` (`tcp:[::1]:4320`).
struct IngestAddress {
  std::string path;  ///< not empty: Unix
  std::string host, port;
  std::string text() const;
};
Result<IngestAddress> parse_ingest_address(std::string_view text);
/// `--to`, else the default ingest socket. Error: what to set.
Result<IngestAddress> ingest_address(const std::string& to);
/// Error: a whole sentence that names the address and the remedy.
Result<Fd> connect_ingest(const IngestAddress& address);

}  // namespace weir::cli
