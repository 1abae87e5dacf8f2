#include "cluster/session.h"

#include <criterion/criterion.h>

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "cluster/msgpack.h"
#include "unit/cluster/golden.h"

using namespace sio;
using cluster::StoredSession;

namespace {

StoredSession of_node() {
    StoredSession session;
    session.sid = "sid-1";
    session.pid = "pid-1";
    session.rooms = {"sid-1", "room1"};
    session.data = R"({"name":"é","b":{"_placeholder":true,"num":0}})";
    session.data_attachments = {"\x01"};
    return session;
}

std::string encoded(const StoredSession& session) {
    std::string out;
    cluster::append_session(out, session);
    return out;
}

/// The stored form of a JSON object.
std::string stored(std::string_view json) {
    std::string bytes;
    cr_assert(cluster::msgpack::from_json(json, {}, bytes).has_value());
    std::string out;
    base::append_base64(out, bytes);
    return out;
}

}  // namespace

Test(cluster_session, is_stored_byte_for_byte_as_node_stores_it) { cr_expect(encoded(of_node()) == golden::session); }

Test(cluster_session, reads_what_node_stored) {
    const auto session = cluster::decode_session(golden::session);
    cr_assert(session.has_value());
    const StoredSession want = of_node();
    cr_expect(session->sid == want.sid && session->pid == want.pid && session->rooms == want.rooms);
    cr_expect(session->data == want.data && session->data_attachments == want.data_attachments);
    cr_expect(!session->user && !session->since && !session->node);
}

Test(cluster_session, our_own_members_come_back) {
    StoredSession session = of_node();
    session.user = "";
    session.since = cluster::StreamId{1795419353120, 3};
    session.node = "AbCd";
    session.granted = {"course_1", "course_2"};
    const auto back = cluster::decode_session(encoded(session));
    cr_assert(back.has_value());
    cr_expect(back->user == session.user && back->since == session.since && back->node == session.node);
    cr_expect(back->rooms == session.rooms && back->granted == session.granted);
}

Test(cluster_session, the_owner_stands_where_redis_can_compare_and_replace_it) {
    StoredSession session = of_node();
    session.owner = "0123456789abcdef";
    for (const bool has_more : {false, true}) {
        if (has_more) {
            session.user = "ada";
            session.since = cluster::StreamId{1, 2};
            session.node = "a node whose name is long";
            session.nsp = "/chat";
            session.granted = {"course_1"};
            session.stays = {{"room1", {7, 1}, std::nullopt}};
        }
        std::string value = encoded(session);
        cr_assert(value.substr(cluster::owner_mark_at, cluster::owner_mark.size()) == cluster::owner_mark);
        cr_assert(value.substr(cluster::owner_at, cluster::owner_text_size) == cluster::owner_text(*session.owner));
        const std::string other = cluster::owner_text("fedcba9876543210");
        cr_assert(other.size() == cluster::owner_text_size);
        cr_expect(cluster::is_owned_by(value, cluster::owner_text(*session.owner)));
        cr_expect(!cluster::is_owned_by(value, other) && !cluster::is_owned_by(value.substr(0, 20), other));
        value.replace(cluster::owner_at, other.size(), other);
        const auto back = cluster::decode_session(value);
        cr_assert(back.has_value() && back->owner == "fedcba9876543210");
        cr_assert(back->sid == session.sid && back->rooms == session.rooms && back->user == session.user);
    }
}

Test(cluster_session, stays_come_back_and_broken_ones_are_refused) {
    StoredSession session = of_node();
    session.stays = {{"room1", {7, 1}, std::nullopt}, {"left", {3, 0}, cluster::StreamId{9, 9}}};
    const auto back = cluster::decode_session(encoded(session));
    cr_assert(back.has_value() && back->stays.size() == 2);
    cr_expect(back->stays[0].room == "room1" && back->stays[0].after == (cluster::StreamId{7, 1}));
    cr_expect(!back->stays[0].through);
    cr_expect(back->stays[1].room == "left" && back->stays[1].through == (cluster::StreamId{9, 9}));
    for (const std::string_view stays : {R"("x")", R"([["room"]])", R"([["room","7"]])", R"([["room","7-1","x"]])",
                                         R"([[null,"7-1"]])", R"([["a","1-1","1-1","1-1"]])", R"([{}])"}) {
        const std::string json = R"({"sid":"s","pid":"p","rooms":[],"stays":)" + std::string(stays) + "}";
        cr_expect(!cluster::decode_session(stored(json)), "%s", json.c_str());
    }
}

Test(cluster_session, rooms_that_are_numbers_are_named_by_their_digits) {
    const auto session = cluster::decode_session(stored(R"({"rooms":["s",12,-3],"pid":"p","sid":"s","x":1})"));
    cr_assert(session.has_value());
    cr_expect(session->rooms == (std::vector<std::string>{"s", "12", "-3"}));
    cr_expect(session->data == "{}");
}

Test(cluster_session, a_broken_one_is_refused) {
    for (const std::string_view json :
         {"[]", "{}", R"({"sid":"s","pid":"p"})", R"({"sid":"s","rooms":[]})", R"({"sid":"s","pid":"p","rooms":"r"})",
          R"({"sid":"","pid":"p","rooms":[]})", R"({"sid":"s","pid":"p","rooms":[null]})",
          R"({"sid":[],"pid":"p","rooms":[]})"}) {
        cr_expect(!cluster::decode_session(stored(json)), "%s", std::string{json}.c_str());
    }
    for (const std::string_view text : {"", "*", "AAAA", "wQ=="}) cr_expect(!cluster::decode_session(text));
    const auto cut = golden::session.substr(0, golden::session.size() - 8);
    cr_expect(!cluster::decode_session(cut));
}

Test(cluster_session, its_key_is_prefix_and_pid) {
    std::string key;
    cluster::append_session_key(key, "sio:session:", "abc");
    cr_expect(key == "sio:session:abc");
}
