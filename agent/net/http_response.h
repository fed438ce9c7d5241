#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace weir {

inline constexpr size_t kAnswerHeaderBytesMax = 64 << 10;
inline constexpr size_t kAnswerBodyBytesMax = 64 << 10;

/// What a server said.
struct HttpAnswer {
  int status = 0;
  std::string reason;          ///< of the status line, untrusted like all of it
  std::string body;            ///< at most its first kAnswerBodyBytesMax bytes
  std::string location;        ///< of a redirect
  int64_t retry_after_ns = 0;  ///< what Retry-After asks for
  bool from_proxy = false;     ///< the proxy's, to CONNECT: the server has not been reached
};

/// Reads one answer (RFC 9112) that comes in pieces; Beast's parser, fed by hand. Answers of class 1xx are
/// skipped. Bounded whatever comes: headers (those of 1xx included) and body each to 64 KiB.
class HttpResponseReader {
 public:
  enum class State {
    more,      ///< not whole yet
    complete,  ///< whole
    cut,       ///< headers whole, body longer than is read: the connection is of no use any more
    failed,    ///< no answer that can be read: see error()
  };
  HttpResponseReader();
  ~HttpResponseReader();
  /// For the next answer. `wall_ns`: now, for dates in Retry-After. `without_body`: to CONNECT.
  void reset(int64_t wall_ns, bool without_body = false);
  State feed(std::string_view bytes_untrusted);
  /// The other side has ended its half.
  State end_of_stream();
  /// Once complete or cut.
  HttpAnswer& answer();
  /// Once complete: the server keeps the connection, and nothing came behind the answer.
  bool can_go_on() const;
  const std::string& error() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Seconds or a date (RFC 9110 section 10.2.3), as nanoseconds from `wall_ns`; a time that has passed is 0.
std::optional<int64_t> parse_retry_after_ns(std::string_view text, int64_t wall_ns);

}  // namespace weir
