#include "agent/net/tls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "agent/core/log.h"

namespace weir {
namespace {

using ContextPtr = std::shared_ptr<SSL_CTX>;

/// The oldest error of this thread's OpenSSL queue; empties it.
std::string openssl_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (ERR_SYSTEM_ERROR(code)) return std::strerror(int(ERR_GET_REASON(code)));
  const char* reason = code ? ERR_reason_error_string(code) : nullptr;
  return reason ? reason : "unknown TLS error";
}

bool is_address(const std::string& name) {
  in6_addr any;
  return inet_pton(AF_INET, name.c_str(), &any) == 1 || inet_pton(AF_INET6, name.c_str(), &any) == 1;
}

std::string name_text(const GENERAL_NAME& name) {
  if (name.type == GEN_IPADD) {
    char text[INET6_ADDRSTRLEN] = "";
    const int length = name.d.iPAddress->length;
    if (length != 4 && length != 16) return {};
    const int family = length == 4 ? AF_INET : AF_INET6;
    inet_ntop(family, name.d.iPAddress->data, text, sizeof text);
    return text;
  }
  const ASN1_STRING* text = name.type == GEN_DNS     ? name.d.dNSName
                            : name.type == GEN_URI   ? name.d.uniformResourceIdentifier
                            : name.type == GEN_EMAIL ? name.d.rfc822Name
                                                     : nullptr;
  if (!text) return {};
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)), size_t(ASN1_STRING_length(text))};
}

std::vector<std::string> alternative_names(const X509* certificate) {
  std::vector<std::string> out;
  auto* names =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    std::string text = name_text(*sk_GENERAL_NAME_value(names, i));
    if (!text.empty()) out.push_back(std::move(text));
  }
  GENERAL_NAMES_free(names);
  return out;
}

class TlsStream final : public ByteStream {
 public:
  TlsStream(ContextPtr context, int fd, const std::string& server_name, bool server,
            std::shared_ptr<const std::vector<std::string>> allowed)
      : context_(std::move(context)), fd_(fd), server_(server), allowed_(std::move(allowed)) {
    fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK);
    ssl_ = SSL_new(context_.get());
    if (!ssl_ || SSL_set_fd(ssl_, fd_) != 1) return;
    if (server_) {
      SSL_set_app_data(ssl_, this);
      SSL_set_accept_state(ssl_);
    } else {
      SSL_set_connect_state(ssl_);
      name_fits_ = expect(server_name);
    }
  }
  ~TlsStream() override {
    SSL_free(ssl_);
    ::close(fd_);
  }

  int fd() const override { return fd_; }

  IoStep handshake() override {
    if (!ssl_ || !name_fits_) return {IoStep::Kind::failed, 0, "cannot begin TLS: " + openssl_error()};
    ERR_clear_error();
    const int n = SSL_do_handshake(ssl_);
    return n == 1 ? IoStep{} : problem(n);
  }

  /// OpenSSL's callback for each certificate of the client's chain: the last one, its own, must hold an
  /// allowed name. A refusal here is told to the client by an alert.
  static int check_client(int accepted, X509_STORE_CTX* chain) {
    if (accepted != 1 || X509_STORE_CTX_get_error_depth(chain) != 0) return accepted;
    const auto* ssl =
        static_cast<const SSL*>(X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
    const auto* stream = static_cast<const TlsStream*>(SSL_get_app_data(ssl));
    if (stream->is_allowed(X509_STORE_CTX_get_current_cert(chain))) return 1;
    X509_STORE_CTX_set_error(chain, X509_V_ERR_HOSTNAME_MISMATCH);
    return 0;
  }

  IoStep read_some(std::span<char> into) override {
    ERR_clear_error();
    const int n = SSL_read(ssl_, into.data(), int(std::min<size_t>(into.size(), INT32_MAX)));
    return n > 0 ? IoStep{IoStep::Kind::done, size_t(n), {}} : problem(n);
  }

  IoStep write_some(std::string_view from) override {
    ERR_clear_error();
    const int n = SSL_write(ssl_, from.data(), int(std::min<size_t>(from.size(), INT32_MAX)));
    return n > 0 ? IoStep{IoStep::Kind::done, size_t(n), {}} : problem(n);
  }

  void shutdown_write() noexcept override {
    ERR_clear_error();
    if (!broken_ && SSL_is_init_finished(ssl_)) SSL_shutdown(ssl_);
    ::shutdown(fd_, SHUT_WR);
  }

  std::string peer_name() const override {
    const X509* certificate = SSL_get0_peer_certificate(ssl_);
    if (!certificate) return {};
    auto names = alternative_names(certificate);
    if (!names.empty()) return names.front();
    char text[256] = "";
    X509_NAME_oneline(X509_get_subject_name(certificate), text, sizeof text);
    return text;
  }

 private:
  bool expect(const std::string& name) {
    // RFC 9525: the subject's common name is no host name.
    SSL_set_hostflags(ssl_, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (is_address(name)) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), name.c_str()) == 1;
    return SSL_set_tlsext_host_name(ssl_, name.c_str()) == 1 && SSL_set1_host(ssl_, name.c_str()) == 1;
  }

  bool is_allowed(const X509* certificate) const {
    if (!allowed_ || allowed_->empty()) return true;
    return std::ranges::any_of(alternative_names(certificate), [this](const std::string& name) {
      return std::ranges::find(*allowed_, name) != allowed_->end();
    });
  }

  /// Turns what OpenSSL says of the last call into a step.
  IoStep problem(int result) {
    const int system_error = errno;
    switch (SSL_get_error(ssl_, result)) {
      case SSL_ERROR_WANT_READ:
        return {IoStep::Kind::want_read, 0, {}};
      case SSL_ERROR_WANT_WRITE:
        return {IoStep::Kind::want_write, 0, {}};
      case SSL_ERROR_ZERO_RETURN:
        return {IoStep::Kind::closed, 0, {}};
      case SSL_ERROR_SYSCALL:
        broken_ = true;
        ERR_clear_error();
        return {IoStep::Kind::failed, 0,
                system_error ? std::strerror(system_error) : "the other side closed the connection"};
      default:
        break;
    }
    broken_ = true;
    const unsigned long code = ERR_peek_error();
    if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
      ERR_clear_error();
      return {IoStep::Kind::failed, 0, "the other side closed the connection without ending TLS"};
    }
    const long verify = SSL_get_verify_result(ssl_);
    const bool ours = ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED;
    if (ours && verify != X509_V_OK) {
      ERR_clear_error();
      return {IoStep::Kind::untrusted, 0,
              std::string("certificate not accepted: ") + X509_verify_cert_error_string(verify)};
    }
    // The other side's word on our certificate comes as an alert (RFC 8446 section 6.2).
    static constexpr int kCertificateAlerts[] = {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
                                                 SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,
                                                 SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE,
                                                 SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED,
                                                 SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED,
                                                 SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN,
                                                 SSL_R_TLSV1_ALERT_UNKNOWN_CA,
                                                 SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED,
                                                 SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE};
    const bool refused = std::find(std::begin(kCertificateAlerts), std::end(kCertificateAlerts),
                                   ERR_GET_REASON(code)) != std::end(kCertificateAlerts);
    return {refused ? IoStep::Kind::untrusted : IoStep::Kind::failed, 0, "TLS: " + openssl_error()};
  }

  ContextPtr context_;
  const int fd_;
  const bool server_;
  std::shared_ptr<const std::vector<std::string>> allowed_;
  SSL* ssl_ = nullptr;
  bool name_fits_ = true;
  bool broken_ = false;  // after a fatal error nothing may be said any more
};

/// What changes when a file is replaced.
struct Stamp {
  dev_t device = 0;
  ino_t inode = 0;
  int64_t modified_ns = 0;
  off_t size = 0;
  bool operator==(const Stamp&) const = default;
};

class TlsFromFiles final : public Tls {
 public:
  TlsFromFiles(TlsFiles files, std::vector<std::string> allowed, bool server)
      : files_(std::move(files)),
        server_(server),
        allowed_(std::make_shared<const std::vector<std::string>>(std::move(allowed))) {}

  Result<void> load() {
    auto stamps = this->stamps();
    auto context = make_context();
    if (!context) return tl::unexpected(context.error());
    context_ = *context, stamps_ = std::move(stamps);
    return {};
  }

  std::unique_ptr<ByteStream> wrap(int fd, const std::string& server_name) override {
    return std::make_unique<TlsStream>(current(), fd, server_name, server_, allowed_);
  }

 private:
  std::vector<Stamp> stamps() const {
    std::vector<Stamp> out;
    for (const std::string* path : {&files_.ca, &files_.cert, &files_.key}) {
      struct stat st {};
      if (!path->empty()) stat(path->c_str(), &st);
      out.push_back(
          {st.st_dev, st.st_ino, st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec, st.st_size});
    }
    return out;
  }

  ContextPtr current() {
    std::lock_guard lock(mutex_);
    auto now = stamps();
    if (now == stamps_) return context_;
    stamps_ = std::move(now);  // a bad state is tried once, not at every connection
    if (auto fresh = make_context()) {
      context_ = *fresh;
      log::info("certificates read again: {}{}{}", files_.cert, files_.cert.empty() ? "" : " ", files_.ca);
    } else {
      log::error("certificates have changed and cannot be read: {}; the former ones go on",
                 fresh.error().message);
    }
    return context_;
  }

  Result<ContextPtr> make_context() const {
    ContextPtr context(SSL_CTX_new(server_ ? TLS_server_method() : TLS_client_method()), SSL_CTX_free);
    if (!context) return fail("cannot set up TLS: " + openssl_error());
    SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
    SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                        SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    // Nobody is there to type the passphrase of a key.
    SSL_CTX_set_default_passwd_cb(context.get(), [](char*, int, int, void*) { return 0; });
    ERR_clear_error();
    if (!files_.cert.empty()) {
      if (SSL_CTX_use_certificate_chain_file(context.get(), files_.cert.c_str()) != 1)
        return fail("cannot use the certificate " + files_.cert + ": " + openssl_error());
      if (SSL_CTX_use_PrivateKey_file(context.get(), files_.key.c_str(), SSL_FILETYPE_PEM) != 1)
        return fail("cannot use the private key " + files_.key + ": " + openssl_error());
      if (SSL_CTX_check_private_key(context.get()) != 1)
        return fail("the private key " + files_.key + " does not belong to " + files_.cert);
    }
    if (!files_.ca.empty() && SSL_CTX_load_verify_locations(context.get(), files_.ca.c_str(), nullptr) != 1)
      return fail("cannot use the issuers in " + files_.ca + ": " + openssl_error());
    if (server_ && !files_.ca.empty()) {
      SSL_CTX_set_client_CA_list(context.get(), SSL_load_client_CA_file(files_.ca.c_str()));
      SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                         TlsStream::check_client);
      static constexpr unsigned char kSession[] = "weir";  // resumption needs a name once clients are checked
      SSL_CTX_set_session_id_context(context.get(), kSession, sizeof kSession - 1);
    }
    if (!server_) {
      if (files_.ca.empty()) SSL_CTX_set_default_verify_paths(context.get());
      SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    }
    return context;
  }

  const TlsFiles files_;
  const bool server_;
  const std::shared_ptr<const std::vector<std::string>> allowed_;
  std::mutex mutex_;
  ContextPtr context_;
  std::vector<Stamp> stamps_;
};

Result<std::shared_ptr<Tls>> loaded(std::shared_ptr<TlsFromFiles> tls) {
  if (auto ok = tls->load(); !ok) return tl::unexpected(ok.error());
  return std::shared_ptr<Tls>(std::move(tls));
}

}  // namespace

Result<std::shared_ptr<Tls>> make_tls_client(const TlsFiles& files) {
  return loaded(std::make_shared<TlsFromFiles>(files, std::vector<std::string>{}, false));
}

Result<std::shared_ptr<Tls>> make_tls_server(const TlsFiles& files, std::vector<std::string> allowed_names) {
  return loaded(std::make_shared<TlsFromFiles>(files, std::move(allowed_names), true));
}

}  // namespace weir
