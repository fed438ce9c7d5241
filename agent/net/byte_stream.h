#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace weir {

/// What one step on a ByteStream came to.
struct IoStep {
  enum class Kind {
    done,        ///< `bytes` were moved (at least one)
    want_read,   ///< nothing yet: wait until fd() is readable, then call the same again
    want_write,  ///< the same for writable
    closed,      ///< reading only: the other side has ended its half, in order
    failed,      ///< the connection is of no use any more; `error` says why
    untrusted,   ///< TLS: the certificates do not allow it (expired, wrong host, unknown issuer...)
  };
  Kind kind = Kind::done;
  size_t bytes = 0;
  std::string error;
  bool is(Kind k) const { return kind == k; }
};

/// One connected, non-blocking stream of bytes: TCP, Unix socket or TLS above it, all behind these calls, so
/// that nothing else knows which it is (toolchain.md finding 2). Whoever uses it waits on fd() himself, by
/// poll(2) in a sink's worker or by Asio on the pipe thread. Always try before waiting: TLS may hold bytes
/// that fd() does not show. One thread at a time. The destructor closes.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  virtual int fd() const = 0;
  /// TLS: call until done, before anything else. Others are done at once.
  virtual IoStep handshake() = 0;
  virtual IoStep read_some(std::span<char> into) = 0;
  virtual IoStep write_some(std::string_view from) = 0;
  /// Tells the other side that nothing more will be written, as far as that goes without waiting.
  virtual void shutdown_write() noexcept = 0;
  /// Is nothing more there after a read that left room? Over TLS a read is a TLS record, however much waits
  /// behind it.
  virtual bool short_read_empties() const { return false; }
  /// `CN=...` or the first name of the other side's certificate; empty without one.
  virtual std::string peer_name() const { return {}; }
};

/// Takes over a connected socket and makes it non-blocking.
std::unique_ptr<ByteStream> make_socket_stream(int fd);

}  // namespace weir
