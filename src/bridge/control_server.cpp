#include <algorithm>
#include <limits>
#include <unordered_map>
#include <utility>

#include "base/bytes.h"
#include "base/json.h"
#include "bridge/server.h"
#include "daemon/line_server.h"
#include "kafka/settings.h"
#include "wire/admin.h"

namespace sio::bridge {

namespace {

constexpr std::size_t max_open = 1'000;          // requests of one client; the next is refused
constexpr std::size_t max_backlog = 32U << 20U;  // unread bytes of one client
constexpr std::size_t max_clients = 256;
constexpr std::size_t max_dlq_records = 10'000;  // of one command
constexpr std::size_t default_dlq_limit = 100;
constexpr std::size_t max_headers = 100;  // of one record to be produced
constexpr std::uint64_t max_partition = std::numeric_limits<std::int32_t>::max();
constexpr std::uint64_t max_offset = std::numeric_limits<std::int64_t>::max();

using json::Kind;

tl::unexpected<Error> malformed(std::string what) { return fail(Errc::malformed, std::move(what)); }

/// The member, unless it is absent or null.
std::optional<std::string_view> member(std::string_view object, std::string_view key) {
    const auto found = json::member(object, key);
    if (!found || json::kind_of(*found) == Kind::null) return std::nullopt;
    return found;
}

Result<std::optional<std::string>> text_of(std::string_view object, std::string_view key) {
    const auto found = member(object, key);
    if (!found) return std::optional<std::string>{};
    if (json::kind_of(*found) != Kind::string) return malformed(std::string(key) + " must be a text");
    return std::optional<std::string>{json::decode_string(*found)};
}

Result<std::optional<std::uint64_t>> number_of(std::string_view object, std::string_view key, std::uint64_t most) {
    const auto found = member(object, key);
    if (!found) return std::optional<std::uint64_t>{};
    const auto number = base::parse_decimal(*found, most);
    if (!number) {
        return malformed(std::string(key) + " must be a whole number from 0 to " + std::to_string(most));
    }
    return number;
}

Result<std::string> topic_of(std::string_view object) {
    auto topic = text_of(object, "topic");
    if (!topic) return tl::unexpected(topic.error());
    if (!*topic) return malformed("topic is missing");
    if (!kafka::is_topic_name(**topic)) {
        return malformed("topic: '" + base::one_line((*topic)->substr(0, kafka::max_topic_bytes)) +
                         "' is no name of a topic");
    }
    return std::move(**topic);
}

Result<void> read_headers(std::string_view object, ProduceRequest& out) {
    const auto headers = member(object, "headers");
    if (!headers) return {};
    if (json::kind_of(*headers) != Kind::object) return malformed("headers must be an object of texts");
    for (json::Walker each{*headers}; each.next();) {
        if (json::kind_of(each.value()) != Kind::string) return malformed("headers must be an object of texts");
        if (out.headers.size() >= max_headers) return fail(Errc::too_large, "more than 100 headers");
        out.headers.emplace_back(json::decode_string(each.key()), json::decode_string(each.value()));
    }
    return {};
}

Result<ProduceRequest> parse_produce(std::string_view object) {
    ProduceRequest out;
    auto topic = topic_of(object);
    if (!topic) return tl::unexpected(topic.error());
    out.topic = std::move(*topic);
    const auto partition = number_of(object, "partition", max_partition);
    if (!partition) return tl::unexpected(partition.error());
    if (*partition) out.partition = static_cast<std::int32_t>(**partition);
    auto key = text_of(object, "key");
    if (!key) return tl::unexpected(key.error());
    out.key = std::move(*key);
    auto value = text_of(object, "value");
    if (!value) return tl::unexpected(value.error());
    const auto encoded = text_of(object, "value_base64");
    if (!encoded) return tl::unexpected(encoded.error());
    if (*value && *encoded) return malformed("value and value_base64 are two ways to say one thing");
    out.value = std::move(*value);
    if (*encoded) {
        out.value = base::decode_base64(**encoded);
        if (!out.value) return malformed("value_base64 is not base64");
    }
    if (auto done = read_headers(object, out); !done) return tl::unexpected(done.error());
    return out;
}

Result<RecordName> parse_record(std::string_view object) {
    RecordName out;
    auto topic = topic_of(object);
    if (!topic) return tl::unexpected(topic.error());
    out.topic = std::move(*topic);
    const auto partition = number_of(object, "partition", max_partition);
    if (!partition) return tl::unexpected(partition.error());
    const auto offset = number_of(object, "offset", max_offset);
    if (!offset) return tl::unexpected(offset.error());
    if (!*partition || !*offset) return malformed("a record has topic, partition and offset");
    out.partition = static_cast<std::int32_t>(**partition);
    out.offset = static_cast<std::int64_t>(**offset);
    return out;
}

struct ReplayRequest {
    std::vector<std::pair<std::int32_t, std::int64_t>> records;
    bool is_all = true;
    bool again = false;
};

Result<ReplayRequest> parse_replay(std::string_view object) {
    ReplayRequest out;
    if (const auto again = member(object, "again")) {
        if (json::kind_of(*again) != Kind::boolean) return malformed("again must be true or false");
        out.again = *again == "true";
    }
    if (!member(object, "records")) return out;
    out.is_all = false;
    const auto ids = wire::parse_texts(object, "records");
    if (!ids) return tl::unexpected(ids.error());
    if (ids->size() > max_dlq_records) return fail(Errc::too_large, "more than 10,000 records");
    for (const std::string& id : *ids) {
        const std::size_t slash = std::min(id.find('/'), id.size());
        const auto partition = base::parse_decimal(std::string_view(id).substr(0, slash), max_partition);
        const auto offset =
            base::parse_decimal(std::string_view(id).substr(std::min(slash + 1, id.size())), max_offset);
        if (!partition || !offset) {
            return malformed("records: '" + base::one_line(id.substr(0, 64)) + "' is not like PARTITION/OFFSET");
        }
        out.records.emplace_back(static_cast<std::int32_t>(*partition), static_cast<std::int64_t>(*offset));
    }
    return out;
}

/// Not all codes of Error are codes of the protocol.
std::string_view code_of(Errc code) noexcept {
    if (code == Errc::io) return wire::admin_error::unavailable;
    if (code == Errc::usage) return wire::admin_error::malformed;
    return to_string(code);
}

daemon::LineServer::Options line_options(std::string node) {
    daemon::LineServer::Options options;
    options.component = "bridge";
    options.greeting.program = "sio-bridge";
    options.greeting.version = SIO_VERSION;
    options.greeting.node = std::move(node);
    options.max_backlog = max_backlog;
    options.max_clients = max_clients;
    return options;
}

}  // namespace

struct ControlServer::Parts final : daemon::LineServer::Owner {
    Parts(net::Loop& loop, ServerHost& server_host, std::string node)
        : host(server_host), lines(loop, *this, line_options(std::move(node))) {}

    /// What an Answer holds. Goes unanswered only where nobody waits any more.
    struct Question {
        std::weak_ptr<Parts*> server;
        std::uint64_t client;
        std::uint64_t id;
        bool is_answered = false;

        Question(std::weak_ptr<Parts*> server_given, std::uint64_t client_given, std::uint64_t id_given)
            : server(std::move(server_given)), client(client_given), id(id_given) {}
        Question(const Question&) = delete;
        Question& operator=(const Question&) = delete;
        ~Question() { answer(fail(Errc::unavailable, "the bridge has put the question aside")); }

        void answer(const Result<std::string>& members) {
            if (std::exchange(is_answered, true)) return;
            if (const auto alive = server.lock()) (*alive)->answer(client, id, members);
        }
    };

    Answer answer_to(std::uint64_t client, std::uint64_t id) {
        ++open[client];
        return [question = std::make_shared<Question>(self, client, id)](const Result<std::string>& members) {
            question->answer(members);
        };
    }

    void answer(std::uint64_t client, std::uint64_t id, const Result<std::string>& members) {
        const auto found = open.find(client);
        if (found == open.end()) return;  // it has gone
        --found->second;
        if (!members) {
            refuse(client, id, code_of(members.error().code), members.error().what);
            return;
        }
        std::string out;
        wire::append_admin_ok(out, id, *members);
        if (out.size() > wire::admin_max_line) {
            refuse(client, id, wire::admin_error::too_large, "the answer is longer than 8 MiB: ask for less");
            return;
        }
        lines.send(client, out);
    }

    void refuse(std::uint64_t client, std::optional<std::uint64_t> id, std::string_view code,
                std::string_view message) {
        std::string out;
        wire::append_admin_error(out, id, code, message);
        lines.send(client, out);
    }

    void on_gone(std::uint64_t client) override { open.erase(client); }

    void on_line(std::uint64_t client, std::string_view line) override {
        const auto request = wire::parse_admin_request(line);
        if (!request) {
            refuse(client, wire::admin_line_id(line), wire::admin_error::malformed, request.error().what);
            return;
        }
        if (open[client] >= max_open) {
            refuse(client, request->id, wire::admin_error::busy, "1,000 requests are open already");
            return;
        }
        const auto done = take(client, *request);
        if (done) return;
        refuse(client, request->id, code_of(done.error().code), done.error().what);
    }

    /// Errors: what the request is refused for.
    Result<void> take(std::uint64_t client, const wire::AdminRequest& request) {
        const std::string_view text = request.text;
        if (request.cmd == "health") {
            host.on_health(answer_to(client, request.id));
        } else if (request.cmd == "partitions") {
            host.on_partitions(answer_to(client, request.id));
        } else if (request.cmd == "reload") {
            host.on_reload(answer_to(client, request.id));
        } else if (request.cmd == "produce") {
            auto produce = parse_produce(text);
            if (!produce) return tl::unexpected(produce.error());
            host.on_produce(std::move(*produce), answer_to(client, request.id));
        } else if (request.cmd == "trace") {
            auto record = parse_record(text);
            if (!record) return tl::unexpected(record.error());
            host.on_trace(std::move(*record), answer_to(client, request.id));
        } else if (request.cmd == "dlq_list") {
            const auto limit = number_of(text, "limit", max_dlq_records);
            if (!limit) return tl::unexpected(limit.error());
            if (*limit && **limit == 0) return malformed("limit must be a whole number from 1 to 10000");
            host.on_dlq_list(limit->value_or(default_dlq_limit), answer_to(client, request.id));
        } else if (request.cmd == "dlq_replay") {
            auto replay = parse_replay(text);
            if (!replay) return tl::unexpected(replay.error());
            if (!replay->is_all && replay->records.empty()) {
                answer_to(client, request.id)(std::string("\"results\":[]"));  // none are not all
                return {};
            }
            host.on_dlq_replay(std::move(replay->records), replay->again, answer_to(client, request.id));
        } else {
            refuse(client, request.id, wire::admin_error::unknown_command,
                   "there is no command '" + base::one_line(request.cmd.substr(0, 64)) + "'");
        }
        return {};
    }

    ServerHost& host;
    std::shared_ptr<Parts*> self = std::make_shared<Parts*>(this);  // for answers that come when we are gone
    std::unordered_map<std::uint64_t, std::size_t> open;            // requests of each client that has asked something
    daemon::LineServer lines;
};

ControlServer::ControlServer(net::Loop& loop, ServerHost& host, std::string node)
    : parts_(std::make_unique<Parts>(loop, host, std::move(node))) {}

ControlServer::~ControlServer() = default;

Result<void> ControlServer::listen(const std::string& path) { return parts_->lines.listen(path); }

void ControlServer::stop_listening() { parts_->lines.stop_listening(); }

}  // namespace sio::bridge
