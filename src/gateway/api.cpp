#include "gateway/api.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "base/bytes.h"
#include "base/json.h"
#include "base/log.h"

namespace sio::gateway {

namespace {

using wire::ObjectWriter;
namespace admin_error = wire::admin_error;

constexpr std::string_view unauthorized = "unauthorized";
constexpr std::string_view limited_code = "limited";
constexpr std::string_view not_allowed = "not_allowed";
constexpr std::string_view key_reused = "key_reused";
constexpr std::string_view retry_soon = "Retry-After: 1\r\n";
constexpr std::array<std::string_view, ApiStats::classes> class_names = {"2xx", "4xx", "5xx", "gone"};

std::string error_object(const ApiFault& fault) {
    ObjectWriter error;
    error.text("code", fault.code).text("message", fault.message);
    if (fault.index) error.number("index", static_cast<std::int64_t>(*fault.index));
    if (!fault.pointer.empty()) error.text("pointer", fault.pointer);
    return ObjectWriter().boolean("ok", false).raw("error", error.object()).object();
}

ApiFault fault_of(std::string_view code, std::string message) {
    return {std::string(code), std::move(message), std::nullopt, {}};
}

void fill(HttpAnswer& answer, int status, std::string body, std::string headers = {}) {
    answer.status = status;
    answer.content_type = "application/json";
    answer.headers = "Cache-Control: no-store\r\n" + std::move(headers);
    answer.body = std::move(body);
}

HttpService::Wish refuse_head(HttpAnswer& answer, int status, std::string_view code, std::string message,
                              std::string headers = {}) {
    fill(answer, status, error_object(fault_of(code, std::move(message))), std::move(headers));
    return HttpService::Wish::answer;
}

std::string_view key_of(const proto::HttpHead& head) {
    constexpr std::string_view scheme = "bearer ";
    if (const auto given = head.header("authorization")) {
        const bool is_bearer =
            given->size() > scheme.size() && base::equal_ignoring_case(given->substr(0, scheme.size()), scheme);
        return is_bearer ? base::trim(given->substr(scheme.size())) : std::string_view();
    }
    return head.header("x-api-key").value_or("");
}

bool is_json(std::string_view content_type) {
    return base::equal_ignoring_case(base::trim(content_type.substr(0, content_type.find(';'))), "application/json");
}

int status_of(const ApiFault& fault) {
    if (fault.index) return 400;  // a batch is refused whole, whatever is wrong with the item
    if (fault.code == admin_error::not_found) return 404;
    return fault.code == admin_error::unavailable ? 503 : 400;
}

}  // namespace

struct Api::Job final : base::Timer {
    Job(Api& a, std::uint64_t n) : api(a), number(n) {}

    Api& api;
    std::uint64_t number;
    ApiVerb verb{};
    std::string name;             // of the key
    std::string idempotency_key;  // empty: none
    std::string body;
    ApiRequest request;  // its views point into body
    std::optional<Idempotency::Claim> claim;
    std::size_t next = 0;  // item
    std::vector<std::optional<std::size_t>> reached;
    std::vector<std::string> objects;  // results of presence
    std::optional<ApiFault> trouble;   // the last item of presence that failed
    bool has_begun = false;            // goes on without its client
    bool is_waiting = false;
    bool is_turning = false;  // ask_presence() is on the stack

    [[nodiscard]] std::string results(bool stored) const {
        const auto one = [&](std::size_t i) {
            if (!objects.empty()) return objects[i];
            ObjectWriter out;
            out.boolean("ok", true);
            if (reached[i]) {
                out.number("reached", static_cast<std::int64_t>(*reached[i]));
            } else {
                out.boolean("stored", stored);
            }
            return out.object();
        };
        if (!request.is_batch) return one(0);
        std::string list = "[";
        for (std::size_t i = 0; i < request.items.size(); ++i) {
            if (i > 0) list += ',';
            list += one(i);
        }
        return ObjectWriter().boolean("ok", !trouble).raw("results", list + ']').object();
    }

private:
    void expire(Millis) override { api.go_on(*this); }
};

Api::Api(Engine& engine, Hub& hub, Presence& presence, Cluster* cluster, Owner& owner, ApiOptions options)
    : loop_(engine.loop()),
      engine_(engine),
      hub_(hub),
      presence_(presence),
      cluster_(cluster),
      owner_(owner),
      options_(std::move(options)),
      idempotency_(
          engine.loop(), cluster == nullptr
                             ? Idempotency::Send{}
                             : [cluster](std::span<const std::string_view> command, redis::Connection::Done done) {
                                   return cluster->commands().send(command, std::move(done));
                               }) {}

Api::~Api() = default;

Result<void> Api::load_keys() {
    auto keys = ApiKeys::read(options_.keys_file);
    if (!keys) return tl::unexpected(keys.error());
    keys_ = std::move(*keys);
    log::info("api", "keys_loaded", {{"file", options_.keys_file}, {"keys", keys_.size()}});
    if (keys_.is_exposed()) {
        log::warn("api", "keys_exposed",
                  {{"file", options_.keys_file}, {"remedy", "others may read the keys: chmod 600"}});
    }
    return {};
}

// --- heads ----------------------------------------------------------------------------------------------------------

HttpService::Wish Api::on_head(std::uint64_t number, const proto::HttpHead& head, HttpAnswer& answer) {
    if (!head.path.starts_with(path)) return Wish::nothing;
    const auto verb = api_verb(head.path.substr(path.size()));
    if (!verb) return refuse_head(answer, 404, admin_error::not_found, "there is no such path");
    if (head.header("origin")) {
        ++stats_.refused_origin;
        return refuse_head(answer, 403, admin_error::denied, "this API is for servers, not for pages");
    }
    if (head.method != "POST") return refuse_head(answer, 405, not_allowed, "only POST is", "Allow: POST\r\n");
    const std::string name(keys_.find(key_of(head)));
    if (name.empty()) {
        ++stats_.refused_key;
        return refuse_head(answer, 401, unauthorized, "a key is needed: Authorization: Bearer KEY",
                           "WWW-Authenticate: Bearer realm=\"sio\"\r\n");
    }
    const auto refuse = [&](int status, std::string_view code, std::string message, std::string headers = {}) {
        count(name, *verb, status);
        log::debug("api", "refused",
                   {{"key", name}, {"command", to_string(*verb)}, {"status", status}, {"reason", message}});
        return refuse_head(answer, status, code, std::move(message), std::move(headers));
    };
    if (draining_) return refuse(503, admin_error::unavailable, "this gateway is leaving", std::string(retry_soon));
    if (const auto wait = limited(name)) {
        ++stats_.refused_rate;
        return refuse(429, limited_code, "more requests than api-rate",
                      "Retry-After: " + std::to_string((*wait + 999) / 1000) + "\r\n");
    }
    if (!is_json(head.header("content-type").value_or("")) || head.header("content-encoding")) {
        return refuse(415, admin_error::unsupported, "a body is application/json, and not compressed");
    }
    if (head.content_length > options_.max_body) {
        return refuse(413, admin_error::too_large, "the body is larger than api-max-body");
    }
    const auto key = head.header("idempotency-key");
    if (key && (key->empty() || key->size() > max_idempotency_key ||
                !std::ranges::all_of(*key, [](char c) { return c > ' ' && c <= '~'; }))) {
        return refuse(400, admin_error::malformed, "an Idempotency-Key has 1 to 255 visible ASCII characters");
    }
    if (jobs_.size() >= max_open) {
        ++stats_.refused_busy;
        return refuse(503, admin_error::busy, "too many requests at the same time", std::string(retry_soon));
    }
    if (!head.chunked && head.content_length == 0) return refuse(400, admin_error::malformed, "there is no body");
    auto job = std::make_unique<Job>(*this, number);
    job->verb = *verb;
    job->name = name;
    // To ask again who is online is never wrong, and an old answer is.
    if (key && *verb != ApiVerb::presence) job->idempotency_key = *key;
    jobs_.emplace(number, std::move(job));
    return Wish::body;
}

std::optional<Millis> Api::limited(std::string_view name) {
    if (options_.rate == 0) return std::nullopt;
    const double most = options_.rate;
    const double per_ms = most / 1000;
    const auto [entry, is_new] = buckets_.try_emplace(std::string(name), Bucket{most, loop_.now()});
    Bucket& bucket = entry->second;
    bucket.tokens = std::min(most, bucket.tokens + static_cast<double>(loop_.now() - bucket.at) * per_ms);
    bucket.at = loop_.now();
    if (bucket.tokens < 1) return static_cast<Millis>(std::ceil((1 - bucket.tokens) / per_ms));
    bucket.tokens -= 1;
    return std::nullopt;
}

void Api::too_large(std::uint64_t number, HttpAnswer& answer) {
    refuse_head(answer, 413, admin_error::too_large, "the body is larger than api-max-body");
    if (const Job* job = find(number)) count(job->name, job->verb, 413);
    jobs_.erase(number);
}

void Api::on_gone(std::uint64_t number) {
    const Job* job = find(number);
    if (job == nullptr || job->has_begun) return;
    count(job->name, job->verb, 0);
    jobs_.erase(number);
}

Api::Job* Api::find(std::uint64_t number) {
    const auto found = jobs_.find(number);
    return found == jobs_.end() ? nullptr : found->second.get();
}

// --- bodies ---------------------------------------------------------------------------------------------------------

void Api::on_request(std::uint64_t number, std::string body) {
    Job* job = find(number);
    if (job == nullptr) return;
    job->has_begun = true;
    job->body = std::move(body);
    auto parsed = parse_api_request(job->verb, job->body);
    if (const auto* fault = std::get_if<ApiFault>(&parsed)) return refuse(*job, status_of(*fault), *fault);
    job->request = std::move(std::get<ApiRequest>(parsed));
    if (job->verb != ApiVerb::presence) {
        for (std::size_t i = 0; i < job->request.items.size(); ++i) {
            const std::string& nsp = job->request.items[i].nsp;
            if (hub_.find_namespace(nsp) != nullptr || owner_.serves(nsp)) continue;
            ApiFault fault = fault_of(admin_error::not_found, "there is no namespace '" + nsp + "'");
            if (job->request.is_batch) fault.index = i;
            fault.pointer = (fault.index ? "/" + std::to_string(i) : "") + "/nsp";
            return refuse(*job, status_of(fault), fault);
        }
    }
    if (job->idempotency_key.empty()) return carry_out(*job);
    if (cluster_ != nullptr && !cluster_->is_live()) {
        return refuse(*job, 503,
                      fault_of(admin_error::unavailable,
                               "Redis is away: it cannot be told whether this key has been used, nor kept"),
                      std::string(retry_soon));
    }
    std::string text(to_string(job->verb));
    text += '\n';
    text += job->body;
    idempotency_.begin(
        job->name, job->idempotency_key, to_hex(digest_of(text)),
        [this, number, alive = std::weak_ptr<char>(alive_)](Idempotency::Verdict verdict, Idempotency::Claim claim,
                                                            const Idempotency::Answer& before) {
            if (alive.expired()) return;
            Job* one = find(number);
            if (one == nullptr) return;
            switch (verdict) {
                case Idempotency::Verdict::carry_out:
                    one->claim = std::move(claim);
                    carry_out(*one);
                    return;
                case Idempotency::Verdict::replay:
                    ++stats_.replays;
                    answer(*one, before.status, before.body, "Idempotent-Replayed: true\r\n");
                    return;
                case Idempotency::Verdict::differs:
                    return refuse(*one, 422, fault_of(key_reused, "this Idempotency-Key was used for another request"));
                case Idempotency::Verdict::busy:
                    return refuse(*one, 409,
                                  fault_of(admin_error::busy, "a request with this Idempotency-Key is under way"),
                                  std::string(retry_soon));
                case Idempotency::Verdict::unavailable:
                    return refuse(
                        *one, 503,
                        fault_of(admin_error::unavailable, "Redis does not say whether this Idempotency-Key was used"),
                        std::string(retry_soon));
            }
        });
}

void Api::carry_out(Job& job) {
    if (job.verb == ApiVerb::presence) {
        ask_presence(job);
    } else {
        go_on(job);
    }
}

// A large batch takes several turns of the loop, so that it holds nobody up.
void Api::go_on(Job& job) {
    const std::size_t end = std::min(job.next + items_per_turn, job.request.items.size());
    const std::uint64_t before = hub_.stats().deliveries;
    for (; job.next < end && hub_.stats().deliveries - before < Hub::deliveries_per_turn; ++job.next) {
        const ApiItem& item = job.request.items[job.next];
        Namespace* nsp = hub_.find_namespace(item.nsp);
        const bool is_for_all = cluster_ != nullptr && item.how != Disconnection::of_transport;
        std::optional<std::size_t> reached;
        if (!is_for_all) reached = 0;
        if (job.verb == ApiVerb::emit) {
            const Event event{item.event, item.arguments.arguments, item.arguments.attachments};
            if (nsp != nullptr) {
                if (!is_for_all) reached = hub_.count(*nsp, item.selection);
                hub_.emit(*nsp, item.selection, event, item.is_volatile);
            } else if (is_for_all) {
                cluster_->broadcast_in(item.nsp, item.selection, event, item.is_volatile);
            }
        } else if (is_for_all) {
            cluster_->change(item.nsp,
                             job.verb == ApiVerb::join    ? Cluster::Change::join
                             : job.verb == ApiVerb::leave ? Cluster::Change::leave
                                                          : Cluster::Change::disconnect,
                             item.selection, item.rooms, item.how == Disconnection::of_client);
        } else if (nsp != nullptr) {
            reached = job.verb == ApiVerb::join    ? join_here(hub_, *nsp, item.selection, item.rooms)
                      : job.verb == ApiVerb::leave ? leave_here(hub_, *nsp, item.selection, item.rooms)
                                                   : disconnect_here(hub_, *nsp, item.selection, item.how);
        }
        job.reached.push_back(reached);
    }
    if (job.next < job.request.items.size()) {
        loop_.timers().arm(job, loop_.now());
    } else {
        finish(job);
    }
}

// One after the other; an answer may come during the call that asks.
void Api::ask_presence(Job& job) {
    if (std::exchange(job.is_turning, true)) return;
    const std::uint64_t number = job.number;
    while (!job.is_waiting && job.next < job.request.items.size()) {
        job.is_waiting = true;
        presence_.answer(std::string(job.request.items[job.next].text),
                         [this, number, alive = std::weak_ptr<char>(alive_)](const Result<std::string>& members) {
                             if (alive.expired()) return;
                             Job* one = find(number);
                             if (one == nullptr) return;
                             if (members) {
                                 one->objects.push_back("{\"ok\":true," + *members + '}');
                             } else {
                                 one->trouble = fault_of(to_string(members.error().code), members.error().what);
                                 one->objects.push_back(error_object(*one->trouble));
                             }
                             ++one->next;
                             one->is_waiting = false;
                             ask_presence(*one);
                         });
    }
    job.is_turning = false;
    if (job.is_waiting) return;
    if (job.trouble && !job.request.is_batch) {
        refuse(job, status_of(*job.trouble), *job.trouble, std::string(retry_soon));
    } else {
        answer(job, 200, job.results(false));
    }
}

// In a cluster commands are answered in the order sent: the answer to one that follows says that Redis has the rest.
void Api::finish(Job& job) {
    const bool waits = std::ranges::any_of(job.reached, [](const auto& reached) { return !reached; });
    const bool may_be_stored = waits && cluster_->is_live();
    const Idempotency::Answer last{!waits || may_be_stored ? 200 : 202, job.results(may_be_stored)};
    const auto told = [this, number = job.number, waits, status = last.status,
                       alive = std::weak_ptr<char>(alive_)](bool ok) {
        if (alive.expired()) return;
        Job* one = find(number);
        if (one == nullptr) return;
        const bool is_stored = waits && ok && status == 200;
        answer(*one, waits && !is_stored ? 202 : 200, one->results(is_stored));
    };
    if (job.claim) {
        idempotency_.settle(std::move(*job.claim), last, told);
    } else if (!may_be_stored) {
        told(false);
    } else if (!cluster_->commands().send(
                   {"PING"}, [told](const redis::Reply* reply) { told(reply != nullptr && !reply->is_error()); })) {
        told(false);
    }
}

void Api::refuse(Job& job, int status, const ApiFault& fault, std::string headers) {
    answer(job, status, error_object(fault), std::move(headers));
}

void Api::answer(Job& job, int status, std::string body, std::string headers) {
    count(job.name, job.verb, status);
    log::debug("api", "request",
               {{"key", job.name},
                {"command", to_string(job.verb)},
                {"status", status},
                {"items", job.request.items.size()},
                {"bytes", job.body.size()}});
    HttpAnswer out;
    fill(out, status, std::move(body), std::move(headers));
    const std::uint64_t number = job.number;
    const auto found = jobs_.find(number);
    finished_ = std::move(found->second);
    jobs_.erase(found);
    engine_.answer(number, out);
}

// --- counting -------------------------------------------------------------------------------------------------------

void Api::count(const std::string& name, ApiVerb verb, int status) {
    ++stats_.requests;
    const std::size_t which = status == 0 ? 3 : status < 300 ? 0 : status < 500 ? 1 : 2;
    ++stats_.by_name[name][static_cast<std::size_t>(verb)][which];
}

void Api::append_metrics(ObjectWriter& out) const {
    const auto n = [](std::uint64_t value) { return static_cast<std::int64_t>(value); };
    ObjectWriter keys;
    for (const auto& [name, verbs] : stats_.by_name) {
        ObjectWriter commands;
        for (std::size_t verb = 0; verb < verbs.size(); ++verb) {
            ObjectWriter classes;
            for (std::size_t which = 0; which < ApiStats::classes; ++which) {
                if (verbs[verb][which] > 0) classes.number(class_names[which], n(verbs[verb][which]));
            }
            if (!classes.members().empty()) commands.raw(to_string(static_cast<ApiVerb>(verb)), classes.object());
        }
        keys.raw(name, commands.object());
    }
    out.number("apiRequests", n(stats_.requests))
        .number("apiOpen", n(jobs_.size()))
        .number("apiReplays", n(stats_.replays))
        .number("apiForgotten", n(forgotten()))
        .number("apiRefusedKey", n(stats_.refused_key))
        .number("apiRefusedOrigin", n(stats_.refused_origin))
        .number("apiRefusedRate", n(stats_.refused_rate))
        .number("apiRefusedBusy", n(stats_.refused_busy))
        .raw("apiKeys", keys.object());
}

void Api::append_metrics(daemon::Exposition& out) const {
    out.family("sio_api_requests_total", "counter",
               "Requests of the HTTP API, by name of the key, command and status.");
    for (const auto& [name, verbs] : stats_.by_name) {
        for (std::size_t verb = 0; verb < verbs.size(); ++verb) {
            for (std::size_t which = 0; which < ApiStats::classes; ++which) {
                if (verbs[verb][which] == 0) continue;
                out.sample("sio_api_requests_total", verbs[verb][which],
                           "{key=\"" + name + "\",command=\"" + std::string(to_string(static_cast<ApiVerb>(verb))) +
                               "\",status=\"" + std::string(class_names[which]) + "\"}");
            }
        }
    }
    out.family("sio_api_refused_total", "counter", "Requests of the HTTP API that were refused before they were read.");
    out.sample("sio_api_refused_total", stats_.refused_key, R"({reason="key"})");
    out.sample("sio_api_refused_total", stats_.refused_origin, R"({reason="origin"})");
    out.sample("sio_api_refused_total", stats_.refused_rate, R"({reason="rate"})");
    out.sample("sio_api_refused_total", stats_.refused_busy, R"({reason="busy"})");
    out.counter("sio_api_replays_total", "Requests answered again from their Idempotency-Key.", stats_.replays);
    out.counter("sio_api_forgotten_total", "Answers under an Idempotency-Key forgotten before their time.",
                forgotten());
    out.gauge("sio_api_open", "Requests of the HTTP API that are received or carried out.", jobs_.size());
}

}  // namespace sio::gateway
