#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "agent/core/listen_port.h"
#include "agent/core/socket_path.h"
#include "agent/ingest/http_session.h"
#include "agent/ingest/listener.h"
#include "agent/ingest/stream_session.h"

namespace weir {
namespace {

std::vector<Option> with_common(std::vector<Option> own) {
  own.push_back({"default_stream",
                 OptionType::choice,
                 "",
                 "Stream of records that name none; null: they are refused as `no_stream`.",
                 {"trace", "log", "telemetry", "monitoring"},
                 INT64_MIN,
                 INT64_MAX,
                 false,
                 true});
  own.push_back({"stamp", OptionType::boolean, "false",
                 "Adds `_peer` (uid and pid, from the kernel), `_received` and `_id` to each record."});
  return own;
}

/// Of listeners that others may reach.
std::vector<Option> with_network(std::vector<Option> own) {
  own.push_back({.name = "insecure",
                 .type = OptionType::boolean,
                 .default_text = "false",
                 .sentence = "Allows an address that others can reach without TLS and client certificates."});
  own.push_back({.name = "tls.cert",
                 .type = OptionType::path,
                 .sentence = "Certificate of the listener with its chain, a PEM file; read again when it "
                             "changes. Null: no TLS.",
                 .nullable = true});
  own.push_back({.name = "tls.key",
                 .type = OptionType::path,
                 .sentence = "Private key of that certificate, a PEM file.",
                 .nullable = true});
  own.push_back({.name = "tls.ca",
                 .type = OptionType::path,
                 .sentence =
                     "Issuers of client certificates, a PEM file: a client must show one. Null: clients "
                     "need none.",
                 .nullable = true});
  own.push_back({.name = "tls.allow_names",
                 .type = OptionType::string_list,
                 .default_text = "[]",
                 .sentence =
                     "Subject alternative names, one of which a client's certificate must hold; empty: "
                     "any client of these issuers."});
  return with_common(std::move(own));
}

template <class SessionType>
std::shared_ptr<Session> make_session(IngestContext& context, FrameHandler& handler,
                                      std::unique_ptr<ByteStream> stream, Producer producer,
                                      const Settings& settings) {
  return std::make_shared<SessionType>(context, handler, std::move(stream), std::move(producer), settings);
}

UnixSocketOptions rights_of(const Settings& s) {
  UnixSocketOptions options;
  options.mode = mode_t(s.integer("mode"));
  if (!s.null("owner")) options.owner = s.text("owner");
  if (!s.null("group")) options.group = s.text("group");
  return options;
}

Result<void> change_unix_listener(const Settings& s) {
  return set_socket_rights(s.text("path"), rights_of(s));
}

Result<ListenSocket> open_unix_listener(const Settings& s) {
  auto fd = listen_unix(s.text("path"), rights_of(s));
  if (!fd) return tl::unexpected(fd.error());
  return ListenSocket{*fd, "unix:" + s.text("path"), s.text("path")};
}

Result<void> check_unix_listener(const Settings& s) { return check_unix_address(s.text("path")); }

std::vector<std::pair<std::string, std::string>> validate_network(const Settings& s) {
  std::vector<std::pair<std::string, std::string>> mistakes;
  const bool tls = !s.null("tls.cert"), clients = !s.null("tls.ca");
  if (tls && s.null("tls.key")) mistakes.emplace_back("tls.key", "is missing: name the key of tls.cert");
  if (!tls && !s.null("tls.key"))
    mistakes.emplace_back("tls.cert", "is missing: name the certificate of tls.key");
  if (!tls && clients) mistakes.emplace_back("tls.ca", "needs tls.cert and tls.key beside it");
  if (!clients && !s.list("tls.allow_names").empty())
    mistakes.emplace_back("tls.allow_names", "needs tls.ca beside it: without it nobody shows a certificate");
  auto address = split_address(s.text("bind"));
  if (!address) {
    mistakes.emplace_back("bind", address.error().message);
  } else if (!is_loopback(address->host) && !(tls && clients) && !s.boolean("insecure")) {
    const std::string lacks = tls ? "asks for no client certificates: add tls.ca"
                                  : "has no TLS: bind 127.0.0.1, add tls with cert, key and ca";
    mistakes.emplace_back("bind", address->host + " can be reached from outside and this listener " + lacks +
                                      ", or write `insecure: true` next to it if the network is trusted");
  }
  return mistakes;
}

std::vector<std::pair<std::string, std::string>> validate_unix(const Settings& s) {
  if (s.text("path").empty()) return {{"path", "must not be empty"}};
  if (s.text("path").size() >= sizeof(sockaddr_un::sun_path))
    return {{"path", "is longer than the " + std::to_string(sizeof(sockaddr_un::sun_path) - 1) +
                         " bytes that a socket path may have"}};
  return {};
}

Result<ListenSocket> open_port(const Settings& s, const std::string& scheme) {
  auto port = listen_port(scheme, s.text("bind"));
  if (!port) return tl::unexpected(port.error());
  return ListenSocket{port->fd, scheme + ":" + port->address, ""};
}

Result<void> check_tcp_listener(const Settings& s) { return check_port("tcp", s.text("bind")); }
Result<void> check_http_listener(const Settings& s) { return check_port("http", s.text("bind")); }
Result<ListenSocket> open_tcp_listener(const Settings& s) { return open_port(s, "tcp"); }
Result<ListenSocket> open_http_listener(const Settings& s) { return open_port(s, "http"); }

std::vector<std::pair<std::string, std::string>> validate_http(const Settings& s) {
  auto mistakes = validate_network(s);
  if (!s.text("path").starts_with('/')) mistakes.emplace_back("path", "must begin with /");
  if (s.null("auth.basic.user") != s.null("auth.basic.password"))
    mistakes.emplace_back("auth.basic", "needs both user and password");
  return mistakes;
}

const Option kBind{.name = "bind",
                   .type = OptionType::string,
                   .sentence = "HOST:PORT to listen on; port 0 takes a free one (the ready line shows it).",
                   .required = true};

}  // namespace

const std::vector<ListenerType>& listener_types() {
  static const std::vector<ListenerType> types{
      {{"unix",
        {},
        "A Unix stream socket. Who sends is known from the kernel (SO_PEERCRED).",
        with_common({
            {"path",
             OptionType::path,
             "",
             "Socket file. A stale one is replaced, a live one is refused; a missing directory is made.",
             {},
             INT64_MIN,
             INT64_MAX,
             true},
            {"mode", OptionType::file_mode, "0660",
             "Permissions of the socket file: who may write may send."},
            {"owner",
             OptionType::string,
             "",
             "User name or number that owns the socket file; null: the agent's.",
             {},
             INT64_MIN,
             INT64_MAX,
             false,
             true},
            {"group",
             OptionType::string,
             "",
             "Group name or number of the socket file; null: the agent's.",
             {},
             INT64_MIN,
             INT64_MAX,
             false,
             true},
        }),
        validate_unix},
       "path",
       open_unix_listener,
       check_unix_listener,
       change_unix_listener,
       make_session<StreamSession>},
      {{"tcp", {}, "A TCP port, with TLS where `tls` is given.", with_network({kBind}), validate_network},
       "bind",
       open_tcp_listener,
       check_tcp_listener,
       nullptr,
       make_session<StreamSession>},
      {{"http",
        {},
        "HTTP and HTTPS: takes what the `http` sink of another agent sends, and NDJSON or a JSON array from "
        "any "
        "other program, by POST. Answers 200 when every sink with `when_full: block` has written the "
        "records; a "
        "request whose `Idempotency-Key` was taken before is answered and not taken again.",
        with_network({
            kBind,
            {.name = "path",
             .type = OptionType::string,
             .default_text = "/",
             .sentence = "Path that requests name; `/` takes any."},
            {.name = "auth.bearer",
             .type = OptionType::secret,
             .sentence = "Token that requests must show as `Authorization: Bearer`. Null: none.",
             .nullable = true},
            {.name = "auth.basic.user",
             .type = OptionType::string,
             .sentence = "Name that requests must show by basic authentication. Null: none.",
             .nullable = true},
            {.name = "auth.basic.password",
             .type = OptionType::secret,
             .sentence = "The password of that name.",
             .nullable = true},
        }),
        validate_http},
       "bind",
       open_http_listener,
       check_http_listener,
       nullptr,
       make_session<HttpSession>},
  };
  return types;
}

}  // namespace weir
