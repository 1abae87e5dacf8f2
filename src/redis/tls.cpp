#include "redis/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "net/resolver.h"

namespace sio::redis {

namespace {

struct Free {
    void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
    void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
};

/// The newest reason in OpenSSL's queue, which is emptied.
std::string take_reason() {
    std::string reason;
    // The last entry is the outermost cause; the first one is where it began, and what an operator can act on.
    while (const unsigned long code = ERR_get_error()) {
        if (!reason.empty()) continue;
        if (const char* text = ERR_reason_error_string(code)) {
            reason = text;
        } else {
            std::array<char, 256> buffer;
            ERR_error_string_n(code, buffer.data(), buffer.size());
            reason = buffer.data();
        }
    }
    return reason.empty() ? "unknown reason" : reason;
}

tl::unexpected<Error> wrong(const std::string& what, const std::string& file) {
    return fail(Errc::config, "cannot use " + what + " " + file + ": " + take_reason());
}

// OpenSSL's own socket BIO writes without MSG_NOSIGNAL.
int write_socket(BIO* bio, const char* from, int bytes) noexcept {
    BIO_clear_retry_flags(bio);
    const int fd = *static_cast<const int*>(BIO_get_data(bio));
    const auto n = ::send(fd, from, static_cast<std::size_t>(bytes), MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
    return static_cast<int>(n);
}

int read_socket(BIO* bio, char* to, int room) noexcept {
    BIO_clear_retry_flags(bio);
    const int fd = *static_cast<const int*>(BIO_get_data(bio));
    const auto n = ::recv(fd, to, static_cast<std::size_t>(room), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
    return static_cast<int>(n);
}

long control_socket(BIO*, int command, long, void*) noexcept { return command == BIO_CTRL_FLUSH ? 1 : 0; }

const BIO_METHOD* socket_method() {
    static BIO_METHOD* const method = [] {
        BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sio socket");
        if (made == nullptr) return made;
        BIO_meth_set_write(made, write_socket);
        BIO_meth_set_read(made, read_socket);
        BIO_meth_set_ctrl(made, control_socket);
        return made;
    }();
    return method;
}

}  // namespace

struct Tls::Parts {
    int fd = -1;  // the BIO of ssl points here
    std::unique_ptr<SSL_CTX, Free> context;
    std::unique_ptr<SSL, Free> ssl;
};

Tls::Tls(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Tls::~Tls() { ERR_clear_error(); }

Result<std::unique_ptr<Tls>> Tls::create(const Endpoint& endpoint, const std::string& host, int fd) {
    ERR_clear_error();
    auto parts = std::make_unique<Parts>();
    parts->context.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX* context = parts->context.get();
    if (context == nullptr) return fail(Errc::config, "cannot use TLS: " + take_reason());
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (endpoint.tls_verify) {
        if (!endpoint.tls_ca_file.empty()) {
            if (SSL_CTX_load_verify_file(context, endpoint.tls_ca_file.c_str()) != 1) {
                return wrong("the CA file", endpoint.tls_ca_file);
            }
        } else if (SSL_CTX_set_default_verify_paths(context) != 1) {
            return wrong("the CA files of", "the system");
        }
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    } else {
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
    }
    if (!endpoint.tls_cert_file.empty()) {
        if (SSL_CTX_use_certificate_chain_file(context, endpoint.tls_cert_file.c_str()) != 1) {
            return wrong("the certificate", endpoint.tls_cert_file);
        }
        if (SSL_CTX_use_PrivateKey_file(context, endpoint.tls_key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
            return wrong("the key", endpoint.tls_key_file);
        }
    }

    parts->ssl.reset(SSL_new(context));
    SSL* ssl = parts->ssl.get();
    BIO* bio = ssl == nullptr || socket_method() == nullptr ? nullptr : BIO_new(socket_method());
    if (bio == nullptr) return fail(Errc::config, "cannot use TLS: " + take_reason());
    parts->fd = fd;
    BIO_set_data(bio, &parts->fd);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_connect_state(ssl);
    const std::string& name = endpoint.tls_server_name.empty() ? host : endpoint.tls_server_name;
    const bool numeric = net::is_numeric(name);
    X509_VERIFY_PARAM* param = SSL_get0_param(ssl);
    const int named = numeric ? X509_VERIFY_PARAM_set1_ip_asc(param, name.c_str())
                              : X509_VERIFY_PARAM_set1_host(param, name.c_str(), name.size());
    if (named != 1) return fail(Errc::config, "cannot use TLS: " + name + " is no name that a certificate can have");
    // SSL_set_tlsext_host_name() is a macro with an old-style cast.
    if (!numeric) {
        SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, const_cast<char*>(name.c_str()));
    }
    return std::unique_ptr<Tls>(new Tls(std::move(parts)));
}

Tls::Io Tls::judge(int result, std::string_view doing) {
    const int error = errno;
    SSL* ssl = parts_->ssl.get();
    switch (SSL_get_error(ssl, result)) {
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE: return Io::again;
        case SSL_ERROR_ZERO_RETURN: return Io::closed;
        case SSL_ERROR_SYSCALL:
            if (ERR_peek_error() == 0 && (error == 0 || result == 0)) return Io::closed;
            error_ = std::string(doing) + ": " + std::strerror(error);
            return Io::failed;
        default: break;
    }
    const long verdict = SSL_get_verify_result(ssl);
    const std::string reason = take_reason();
    if (reason == "unexpected eof while reading") return Io::closed;
    error_ = std::string(doing) + ": ";
    if (verdict != X509_V_OK && (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0) {
        error_ += std::string("the server's certificate: ") + X509_verify_cert_error_string(verdict);
    } else {
        error_ += reason;
    }
    return Io::failed;
}

Tls::Io Tls::handshake() {
    ERR_clear_error();
    errno = 0;
    const int result = SSL_do_handshake(parts_->ssl.get());
    return result == 1 ? Io::done : judge(result, "TLS handshake");
}

Tls::Io Tls::read(char* to, std::size_t room, std::size_t& bytes) {
    ERR_clear_error();
    errno = 0;
    const int result = SSL_read_ex(parts_->ssl.get(), to, room, &bytes);
    return result == 1 ? Io::done : judge(result, "reading with TLS");
}

Tls::Io Tls::write(std::string_view from, std::size_t& bytes) {
    ERR_clear_error();
    errno = 0;
    const int result = SSL_write_ex(parts_->ssl.get(), from.data(), from.size(), &bytes);
    return result == 1 ? Io::done : judge(result, "writing with TLS");
}

}  // namespace sio::redis
