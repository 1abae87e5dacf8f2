// How many tokens a second one core checks, each kind beside cjose alone.
//
// Ours is Verifier::check(): cut, strict base64url, header policy, choice of key, cryptography, claims, clock. The peer
// is the plain call of the library underneath with the key made beforehand: import and decrypt or verify, no claims
// read; for EdDSA, which cjose lacks, EVP_DigestVerify. Both run in turns in one process; each number is the median of
// short runs on the clock of this thread's CPU, with the slowest and the fastest.
//
// Usage: bench-tokens [--quick] [--json]

#include <cjose/cjose.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "auth/base64url.h"
#include "auth/keys.h"
#include "auth/mint.h"
#include "auth/verifier.h"
#include "base/json.h"

namespace {

using namespace sio;
using namespace sio::auth;

constexpr Seconds now = 1'767'312'000;
constexpr int rounds = 7;
constexpr int quick_rounds = 3;
constexpr double seconds_a_run = 0.25;
constexpr double quick_seconds_a_run = 0.08;
constexpr double least_small_v5 = 20'000;  // a second: what the daemon must do

[[noreturn]] void stop(const char* what) {
    std::fprintf(stderr, "bench-tokens: %s\n", what);
    std::exit(1);
}

double cpu_seconds() {
    timespec spent{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return static_cast<double>(spent.tv_sec) + static_cast<double>(spent.tv_nsec) / 1e9;
}

/// Runs a second of CPU time, from one run of about `seconds`. Stops the program when one run says no.
double rate(const std::function<bool()>& one, double seconds) {
    const double begin = cpu_seconds();
    double spent = 0;
    std::uint64_t count = 0;
    do {
        for (int i = 0; i < 16; ++i) {
            if (!one()) stop("a token that is good was refused");
        }
        count += 16;
        spent = cpu_seconds() - begin;
    } while (spent < seconds);
    return static_cast<double>(count) / spent;
}

struct Spread {
    double median = 0;
    double slowest = 0;
    double fastest = 0;
};

Spread spread_of(std::vector<double> rates) {
    std::sort(rates.begin(), rates.end());
    return {rates[rates.size() / 2], rates.front(), rates.back()};
}

struct Row {
    std::string name;
    std::size_t bytes = 0;
    std::string peer_name;
    std::function<bool()> ours;
    std::function<bool()> peer;
    std::vector<double> our_rates;
    std::vector<double> peer_rates;
};

std::shared_ptr<cjose_jwk_t> shared(cjose_jwk_t* jwk) {
    if (jwk == nullptr) stop("cannot make a key");
    return {jwk, ReleaseJwk{}};
}

bool decrypts(const std::string& token, const cjose_jwk_t* key) {
    cjose_err error{};
    cjose_jwe_t* const jwe = cjose_jwe_import(token.data(), token.size(), &error);
    std::size_t size = 0;
    std::uint8_t* const plain = cjose_jwe_decrypt(jwe, key, &size, &error);
    const bool good = plain != nullptr && size > 0;
    cjose_get_dealloc()(plain);
    cjose_jwe_release(jwe);
    return good;
}

bool verifies(const std::string& token, const cjose_jwk_t* key) {
    cjose_err error{};
    cjose_jws_t* const jws = cjose_jws_import(token.data(), token.size(), &error);
    const bool good = cjose_jws_verify(jws, key, &error);
    cjose_jws_release(jws);
    return good;
}

bool verifies_ed25519(const std::string& token, EVP_PKEY* key) {
    const std::size_t dot = token.rfind('.');
    const auto signature = decode_base64url(std::string_view{token}.substr(dot + 1));
    EVP_MD_CTX* const context = EVP_MD_CTX_new();
    const bool good =
        signature && EVP_DigestVerifyInit(context, nullptr, nullptr, nullptr, key) == 1 &&
        EVP_DigestVerify(context, reinterpret_cast<const unsigned char*>(signature->data()), signature->size(),
                         reinterpret_cast<const unsigned char*>(token.data()), dot) == 1;
    EVP_MD_CTX_free(context);
    return good;
}

class Bench {
public:
    Bench() {
        policy_.secrets = {"a secret of sessions for the bench", "an older one"};
        policy_.jwt_secrets = {"a secret of signatures for the bench, long enough"};
        std::array<unsigned char, 64> random{};
        if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) stop("no randomness");
        random_.assign(reinterpret_cast<const char*>(random.data()), random.size());
        add_sessions();
        add_hmac();
        add_cjose("RS256", rsa(), "rs");
        add_cjose("PS256", rsa(), "ps");
        cjose_err error{};
        add_cjose("ES256", shared(cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, &error)), "es");
        add_ed25519();
        auto keys = Jwks::parse("{\"keys\":[" + key_set_ + "]}");
        if (!keys) stop(keys.error().what.c_str());
        auto verifier = Verifier::create(policy_, std::move(*keys));
        if (!verifier) stop(verifier.error().what.c_str());
        verifier_ = std::make_unique<Verifier>(std::move(*verifier));
    }

    void run(int times, double seconds) {
        for (int i = 0; i <= times; ++i) {  // the first turn warms up
            for (Row& row : rows_) {
                const double ours = rate(row.ours, i == 0 ? seconds / 4 : seconds);
                const double peer = rate(row.peer, i == 0 ? seconds / 4 : seconds);
                if (i == 0) continue;
                row.our_rates.push_back(ours);
                row.peer_rates.push_back(peer);
            }
        }
    }

    void print() const {
        std::printf("tokens a second on one core: median (slowest to fastest); the peer is the plain library call\n");
        for (const Row& row : rows_) {
            const Spread ours = spread_of(row.our_rates);
            const Spread peer = spread_of(row.peer_rates);
            std::printf("%-12s %5zu bytes  %8.0f (%.0f to %.0f)  %s %8.0f (%.0f to %.0f)\n", row.name.c_str(),
                        row.bytes, ours.median, ours.slowest, ours.fastest, row.peer_name.c_str(), peer.median,
                        peer.slowest, peer.fastest);
        }
    }

    void print_json() const {
        std::string out = R"({"bench":"tokens","unit":"tokens a second of one core's CPU time","rows":[)";
        for (const Row& row : rows_) {
            const Spread ours = spread_of(row.our_rates);
            const Spread peer = spread_of(row.peer_rates);
            std::array<char, 400> line{};
            std::snprintf(line.data(), line.size(),
                          "%s{\"token\":%s,\"bytes\":%zu,\"sio\":%.0f,\"sio_slowest\":%.0f,\"sio_fastest\":%.0f,"
                          "\"peer\":\"%s\",\"peer_rate\":%.0f,\"peer_slowest\":%.0f,\"peer_fastest\":%.0f}",
                          out.back() == '[' ? "" : ",", json::quote(row.name).c_str(), row.bytes, ours.median,
                          ours.slowest, ours.fastest, row.peer_name.c_str(), peer.median, peer.slowest, peer.fastest);
            out += line.data();
        }
        std::printf("%s]}\n", out.c_str());
    }

    /// Whether small v5 tokens are checked as fast as the daemon promises.
    [[nodiscard]] bool is_fast_enough() const {
        const auto row = std::find_if(rows_.begin(), rows_.end(), [](const Row& one) { return one.name == "v5"; });
        return row != rows_.end() && spread_of(row->our_rates).median >= least_small_v5;
    }

private:
    static std::shared_ptr<cjose_jwk_t> rsa() {
        cjose_err error{};
        return shared(
            cjose_jwk_create_RSA_random(2048, reinterpret_cast<const std::uint8_t*>("\x01\x00\x01"), 3, &error));
    }

    /// Claims of about what the packages make, with `extra` bytes of an application's own.
    static std::string claims_of(std::size_t extra) {
        std::string claims =
            R"({"name":"Ada Lovelace","email":"ada@example.com","picture":"https://example.com/a.png")";
        for (int i = 0; extra > 0; ++i) {
            const std::size_t now_bytes = std::min<std::size_t>(extra, 60);
            claims +=
                ",\"grant" + std::to_string(i) + R"(":["read","write",")" + std::string(now_bytes / 2, 'g') + "\"]";
            extra -= now_bytes;
        }
        return claims + "}";
    }

    std::string minted(TokenKind kind, const std::string& secret, std::size_t extra) const {
        Minting minting;
        minting.kind = kind;
        minting.secret = secret;
        minting.user = "42";
        minting.claims = claims_of(extra);
        minting.now = now;
        minting.random = random_;
        auto token = mint(minting);
        if (!token) stop(token.error().what.c_str());
        return std::move(*token);
    }

    void add(std::string name, const std::string& token, std::string peer_name, std::function<bool()> peer) {
        rows_.push_back({std::move(name),
                         token.size(),
                         std::move(peer_name),
                         [this, token] { return verifier_->check(token, now).verdict == Verdict::valid; },
                         std::move(peer),
                         {},
                         {}});
    }

    void add_sessions() {
        const std::string& secret = policy_.secrets[0];
        const auto four = shared(symmetric_jwk(nextauth_v4_key(secret)).release());
        const auto five = shared(symmetric_jwk(authjs_v5_key(secret, "authjs.session-token", 64)).release());
        for (const bool is_large : {false, true}) {
            const std::size_t extra = is_large ? 3'600 : 0;
            const std::string v4 = minted(TokenKind::nextauth_v4, secret, extra);
            const std::string v5 = minted(TokenKind::authjs_v5, secret, extra);
            add(is_large ? "v4, large" : "v4", v4, "cjose", [v4, four] { return decrypts(v4, four.get()); });
            add(is_large ? "v5, large" : "v5", v5, "cjose", [v5, five] { return decrypts(v5, five.get()); });
        }
    }

    void add_hmac() {
        const std::string& secret = policy_.jwt_secrets[0];
        const auto key = shared(symmetric_jwk(secret).release());
        const std::string token = minted(TokenKind::jwt, secret, 0);
        add("HS256", token, "cjose", [token, key] { return verifies(token, key.get()); });
    }

    void add_key(std::string jwk, const std::string& kid) {
        jwk.insert(jwk.size() - 1, R"(,"kid":")" + kid + "\"");
        if (!key_set_.empty()) key_set_ += ',';
        key_set_ += jwk;
    }

    std::string signed_claims() const {
        std::string claims = claims_of(0);
        claims.pop_back();
        return claims + R"(,"sub":"42","iat":1767312000,"exp":1767398400,"iss":"https://id.example.com/"})";
    }

    void add_cjose(const char* algorithm, const std::shared_ptr<cjose_jwk_t>& key, const char* kid) {
        cjose_err error{};
        char* const jwk = cjose_jwk_to_json(key.get(), false, &error);
        add_key(jwk, kid);
        cjose_get_dealloc()(jwk);
        cjose_header_t* const header = cjose_header_new(&error);
        cjose_header_set(header, "alg", algorithm, &error);
        cjose_header_set(header, "kid", kid, &error);
        const std::string claims = signed_claims();
        cjose_jws_t* const jws = cjose_jws_sign(key.get(), header, reinterpret_cast<const std::uint8_t*>(claims.data()),
                                                claims.size(), &error);
        const char* text = nullptr;
        if (jws == nullptr || !cjose_jws_export(jws, &text, &error)) stop("cannot sign");
        const std::string token = text;
        cjose_jws_release(jws);
        cjose_header_release(header);
        add(algorithm, token, "cjose", [token, key] { return verifies(token, key.get()); });
    }

    void add_ed25519() {
        const std::shared_ptr<EVP_PKEY> key{EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), ReleasePkey{}};
        std::array<unsigned char, 64> bytes{};
        std::size_t size = 32;
        EVP_PKEY_get_raw_public_key(key.get(), bytes.data(), &size);
        add_key(R"({"kty":"OKP","crv":"Ed25519","x":")" +
                    base64url({reinterpret_cast<const char*>(bytes.data()), size}) + "\"}",
                "ed");
        std::string token = base64url(R"({"alg":"EdDSA","kid":"ed"})") + "." + base64url(signed_claims());
        size = bytes.size();
        EVP_MD_CTX* const context = EVP_MD_CTX_new();
        EVP_DigestSignInit(context, nullptr, nullptr, nullptr, key.get());
        EVP_DigestSign(context, bytes.data(), &size, reinterpret_cast<const unsigned char*>(token.data()),
                       token.size());
        EVP_MD_CTX_free(context);
        token += "." + base64url({reinterpret_cast<const char*>(bytes.data()), size});
        add("EdDSA", token, "EVP", [token, key] { return verifies_ed25519(token, key.get()); });
    }

    Policy policy_;
    std::string random_;
    std::string key_set_;
    std::unique_ptr<Verifier> verifier_;
    std::vector<Row> rows_;
};

}  // namespace

int main(int argc, char** argv) {
    bool quick = false;
    bool as_json = false;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word == "--quick") {
            quick = true;
        } else if (word == "--json") {
            as_json = true;
        } else {
            std::fprintf(stderr, "usage: bench-tokens [--quick] [--json]\n");
            return 64;
        }
    }
    Bench bench;
    bench.run(quick ? quick_rounds : rounds, quick ? quick_seconds_a_run : seconds_a_run);
    if (as_json) {
        bench.print_json();
    } else {
        bench.print();
    }
    if (!bench.is_fast_enough()) stop("fewer than 20,000 small v5 tokens a second");
    return 0;
}
