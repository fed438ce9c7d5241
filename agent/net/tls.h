#pragma once
#include <memory>
#include <string>
#include <vector>

#include "agent/core/result.h"
#include "agent/net/byte_stream.h"

namespace weir {

/// Where certificates come from; all PEM files, empty: none.
struct TlsFiles {
  std::string ca;    ///< issuers that are trusted; as a client, empty means those of the system
  std::string cert;  ///< our own certificate, with its chain
  std::string key;   ///< its private key
  bool operator==(const TlsFiles&) const = default;
};

/// One side's certificates, TLS 1.2 and later (security.md). Files that have changed are read again when the
/// next connection begins; if they are of no use the former ones go on, which is said in the log. Any thread.
class Tls {
 public:
  virtual ~Tls() = default;
  /// Takes over a connected socket; call handshake() next. `server_name`: whom a client wants to reach, a
  /// host name or an address, always checked against the certificate; empty on the server's side.
  virtual std::unique_ptr<ByteStream> wrap(int fd, const std::string& server_name) = 0;
};

/// Error: the file and what is wrong with it.
Result<std::shared_ptr<Tls>> make_tls_client(const TlsFiles& files);
/// With `files.ca` clients must show a certificate of one of these issuers; with `allowed_names` one whose
/// subject alternative names (DNS, URI, e-mail, IP) hold one of these.
Result<std::shared_ptr<Tls>> make_tls_server(const TlsFiles& files, std::vector<std::string> allowed_names);

}  // namespace weir
