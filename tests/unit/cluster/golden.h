// What the Node packages write. Made by cluster/golden.mjs --write; do not edit.
// clang-format off
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace sio::golden {

using namespace std::string_view_literals;

inline constexpr std::string_view stream_hello =
    "{\"packet\":{\"type\":2,\"data\":[\"hello\",1,\"2\",{\"a\":[true,null]},null]},\"opts\":{\""
    "rooms\":[],\"except\":[],\"flags\":{}}}"sv;
inline constexpr std::string_view stream_flags =
    "{\"packet\":{\"type\":2,\"data\":[\"x\"]},\"opts\":{\"rooms\":[\"r1\",\"\303\251\\\"\\n\"],"
    "\"except\":[\"r2\"],\"flags\":{\"volatile\":true,\"compress\":false}}}"sv;
inline constexpr std::string_view stream_with_id =
    "{\"packet\":{\"type\":2,\"data\":[\"q\",1],\"id\":7},\"opts\":{\"rooms\":[\"sid-1\"],\"exce"
    "pt\":[],\"flags\":{}}}"sv;
inline constexpr std::string_view stream_binary =
    "gqZwYWNrZXSCpHR5cGUCpGRhdGGSo2JpbsQCAQKkb3B0c4Olcm9vbXORpXJvb20xpmV4Y2VwdJClZmxhZ3OA"sv;
inline constexpr std::string_view stream_two_binary =
    "gqZwYWNrZXSCpHR5cGUCpGRhdGGTo2JpboKhYcQBAKFulss/+AAAAAAAAP/OAAERcNL//2PAzwAAAQAAAAAA0////wA"
    "AAAAAxQEsBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQ"
    "UFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB"
    "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUF"
    "BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU"
    "FBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFpG9wdHODpXJvb21zkKZleGNlcHSRoXilZmxhZ3OA"sv;
inline constexpr std::string_view stream_binary_date =
    "gqZwYWNrZXSCpHR5cGUCpGRhdGGXoWTX/xycOABrA+zZ1v9rA+zZxwz/O4uHwP//////////xAEJwIGhdcCkb3B0c4O"
    "lcm9vbXOQpmV4Y2VwdJClZmxhZ3OA"sv;
inline constexpr std::string_view stream_join =
    "{\"opts\":{\"rooms\":[\"room1\"],\"except\":[],\"flags\":{}},\"rooms\":[\"a\",\"b\"]}"sv;
inline constexpr std::string_view stream_leave =
    "{\"opts\":{\"rooms\":[],\"except\":[\"room1\"],\"flags\":{}},\"rooms\":[\"a\"]}"sv;
inline constexpr std::string_view stream_disconnect =
    "{\"opts\":{\"rooms\":[\"nobody\"],\"except\":[],\"flags\":{}},\"close\":true}"sv;
inline constexpr std::string_view payload_fetch =
    "\204\244type\007\244data\202\244opts\203\245rooms\220\246except\220\245flags\200\251request"
    "Id\260b06cfaa030759f19\243uid\260710f65ae4c7f8b9e\243nsp\241/"sv;
inline constexpr std::string_view payload_ask =
    "\204\244type\003\244data\203\246packet\202\244type\002\244data\222\246askall\001\251request"
    "Id\260b06cfaa030759f19\244opts\203\245rooms\220\246except\220\245flags\201\247timeout\315\001"
    "\364\243uid\260710f65ae4c7f8b9e\243nsp\241/"sv;
inline constexpr std::string_view payload_ask_binary =
    "\204\244type\003\244data\203\246packet\202\244type\002\244data\222\246askall\304\003\001\002"
    "\003\251requestId\260b06cfaa030759f19\244opts\203\245rooms\221\241r\246except\220\245flags\202"
    "\264expectSingleResponse\303\247timeout\315\001\364\243uid\260710f65ae4c7f8b9e\243nsp\241/"sv;
inline constexpr std::string_view payload_emit =
    "\204\244type\011\244data\201\246packet\223\242ev\001\201\241a\241b\243uid\260710f65ae4c7f8b"
    "9e\243nsp\241/"sv;
inline constexpr std::string_view payload_emit_ack =
    "\204\244type\011\244data\202\251requestId\260b06cfaa030759f19\246packet\222\242ev\001\243ui"
    "d\260710f65ae4c7f8b9e\243nsp\241/"sv;
inline constexpr std::string_view payload_sockets =
    "\204\244type\010\244data\202\251requestId\260b06cfaa030759f19\247sockets\221\204\242id\245s"
    "id-1\251handshake\211\247headers\202\244host\251localhost\252user-agent\241n\244time\331>Mo"
    "n Nov 23 2026 07:35:53 GMT+0000 (Coordinated Universal Time)\247address\251127.0.0.1\247xdo"
    "main\302\246secure\303\246issued\317\000\000\001\242\007U0 \243url\261/socket.io/\?EIO=4\245"
    "query\202\243EIO\2414\251transport\251websocket\244auth\201\245token\241x\245rooms\222\245s"
    "id-1\245room1\244data\202\244name\242\303\251\241n\313\?\370\000\000\000\000\000\000\243uid"
    "\260710f65ae4c7f8b9e\243nsp\241/"sv;
inline constexpr std::string_view payload_no_sockets =
    "\204\244type\010\244data\202\251requestId\260b06cfaa030759f19\247sockets\220\243uid\260710f"
    "65ae4c7f8b9e\243nsp\241/"sv;
inline constexpr std::string_view payload_emit_answer =
    "\204\244type\012\244data\202\251requestId\260b06cfaa030759f19\246packet\202\244from\244node"
    "\245bytes\304\002\007\010\243uid\260710f65ae4c7f8b9e\243nsp\241/"sv;
inline constexpr std::string_view payload_count =
    "\204\244type\013\244data\202\251requestId\260b06cfaa030759f19\253clientCount\000\243uid\260"
    "710f65ae4c7f8b9e\243nsp\241/"sv;
inline constexpr std::string_view payload_ack =
    "\204\244type\014\244data\202\251requestId\260b06cfaa030759f19\246packet\201\244from\242c2\243"
    "uid\260710f65ae4c7f8b9e\243nsp\241/"sv;
inline constexpr std::string_view payload_ack_nothing =
    "\204\244type\014\244data\202\251requestId\260b06cfaa030759f19\246packet\300\243uid\260710f6"
    "5ae4c7f8b9e\243nsp\241/"sv;
inline constexpr std::string_view session =
    "hKNzaWSlc2lkLTGjcGlkpXBpZC0xpXJvb21zkqVzaWQtMaVyb29tMaRkYXRhgqRuYW1losOpoWLEAQE="sv;
inline constexpr std::string_view classic_all =
    "\223\247emitter\203\244type\002\244data\223\245hello\001\242\303\251\243nsp\241/\203\245roo"
    "ms\220\245flags\200\246except\220"sv;
inline constexpr std::string_view classic_room =
    "\223\247emitter\203\244type\002\244data\221\245hello\243nsp\245/chat\203\245rooms\221\245ro"
    "om1\245flags\201\250volatile\303\246except\221\241x"sv;
inline constexpr std::string_view classic_binary =
    "\223\247emitter\203\244type\002\244data\223\243bin\304\002\001\002\201\241d\327\377\034\234"
    "8\000k\003\354\331\243nsp\241/\203\245rooms\222\241a\241b\245flags\200\246except\220"sv;
inline constexpr std::string_view classic_join =
    "{\"type\":2,\"opts\":{\"rooms\":[\"a\"],\"except\":[]},\"rooms\":[\"x\",\"y\"]}"sv;
inline constexpr std::string_view classic_leave =
    "{\"type\":3,\"opts\":{\"rooms\":[],\"except\":[]},\"rooms\":[\"x\"]}"sv;
inline constexpr std::string_view classic_disconnect =
    "{\"type\":4,\"opts\":{\"rooms\":[],\"except\":[\"a\"]},\"close\":true}"sv;
inline constexpr std::string_view classic_server_side =
    "{\"uid\":\"emitter\",\"type\":6,\"data\":[\"ev\",1,\"x\"]}"sv;

/// A JSON text, and the bytes that msgpack.encode(JSON.parse(text)) makes.
struct Encoded { std::string_view json, bytes; };
inline constexpr std::array encoded{
    Encoded{"null"sv,
    "\300"sv},
    Encoded{"true"sv,
    "\303"sv},
    Encoded{"false"sv,
    "\302"sv},
    Encoded{"0"sv,
    "\000"sv},
    Encoded{"1"sv,
    "\001"sv},
    Encoded{"127"sv,
    "\177"sv},
    Encoded{"128"sv,
    "\314\200"sv},
    Encoded{"255"sv,
    "\314\377"sv},
    Encoded{"256"sv,
    "\315\001\000"sv},
    Encoded{"65535"sv,
    "\315\377\377"sv},
    Encoded{"65536"sv,
    "\316\000\001\000\000"sv},
    Encoded{"4294967295"sv,
    "\316\377\377\377\377"sv},
    Encoded{"4294967296"sv,
    "\317\000\000\000\001\000\000\000\000"sv},
    Encoded{"9007199254740991"sv,
    "\317\000\037\377\377\377\377\377\377"sv},
    Encoded{"9007199254740992"sv,
    "\313C@\000\000\000\000\000\000"sv},
    Encoded{"-1"sv,
    "\377"sv},
    Encoded{"-32"sv,
    "\340"sv},
    Encoded{"-33"sv,
    "\320\337"sv},
    Encoded{"-128"sv,
    "\320\200"sv},
    Encoded{"-129"sv,
    "\321\377\177"sv},
    Encoded{"-32768"sv,
    "\321\200\000"sv},
    Encoded{"-32769"sv,
    "\322\377\377\177\377"sv},
    Encoded{"-2147483648"sv,
    "\322\200\000\000\000"sv},
    Encoded{"-2147483649"sv,
    "\323\377\377\377\377\177\377\377\377"sv},
    Encoded{"-9007199254740991"sv,
    "\323\377\340\000\000\000\000\000\001"sv},
    Encoded{"-9007199254740992"sv,
    "\313\303@\000\000\000\000\000\000"sv},
    Encoded{"0.5"sv,
    "\313\?\340\000\000\000\000\000\000"sv},
    Encoded{"-0.1"sv,
    "\313\277\271\231\231\231\231\231\232"sv},
    Encoded{"1e+21"sv,
    "\313DK\032\344\326\342\357P"sv},
    Encoded{"1e+300"sv,
    "\313~7\344<\210\000u\234"sv},
    Encoded{"5e-324"sv,
    "\313\000\000\000\000\000\000\000\001"sv},
    Encoded{"\"\""sv,
    "\240"sv},
    Encoded{"\"a\""sv,
    "\241a"sv},
    Encoded{"\"wwwwwwwwwwwwwwwwwwwwwwwwwwwwwww\""sv,
    "\277wwwwwwwwwwwwwwwwwwwwwwwwwwwwwww"sv},
    Encoded{"\"wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwy\""sv,
    "\331 wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwy"sv},
    Encoded{"\"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\""sv,
    "\331\377yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"sv},
    Encoded{"\"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\""sv,
    "\332\001\000yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"sv},
    Encoded{"\"\303\251\342\202\254\360\237\230\200\""sv,
    "\251\303\251\342\202\254\360\237\230\200"sv},
    Encoded{"\"\\\"\\\\\\n\\t\\u0001\""sv,
    "\245\"\\\012\011\001"sv},
    Encoded{"[]"sv,
    "\220"sv},
    Encoded{"{}"sv,
    "\200"sv},
    Encoded{"[[]]"sv,
    "\221\220"sv},
    Encoded{"[{}]"sv,
    "\221\200"sv},
    Encoded{"[1,[2,[3]],{\"a\":{\"b\":[]}}]"sv,
    "\223\001\222\002\221\003\201\241a\201\241b\220"sv},
    Encoded{"[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]"sv,
    "\237\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000"sv},
    Encoded{"[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]"sv,
    "\334\000\020\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000"sv},
    Encoded{"{\"\":null,\"a\":1}"sv,
    "\202\240\300\241a\001"sv},
    Encoded{"{\"k0\":0,\"k1\":1,\"k2\":2,\"k3\":3,\"k4\":4,\"k5\":5,\"k6\":6,\"k7\":7,\"k8\":8,\"k9\":9,"
    "\"k10\":10,\"k11\":11,\"k12\":12,\"k13\":13,\"k14\":14}"sv,
    "\217\242k0\000\242k1\001\242k2\002\242k3\003\242k4\004\242k5\005\242k6\006\242k7\007\242k8\010"
    "\242k9\011\243k10\012\243k11\013\243k12\014\243k13\015\243k14\016"sv},
    Encoded{"{\"k0\":0,\"k1\":1,\"k2\":2,\"k3\":3,\"k4\":4,\"k5\":5,\"k6\":6,\"k7\":7,\"k8\":8,\"k9\":9,"
    "\"k10\":10,\"k11\":11,\"k12\":12,\"k13\":13,\"k14\":14,\"k15\":15}"sv,
    "\336\000\020\242k0\000\242k1\001\242k2\002\242k3\003\242k4\004\242k5\005\242k6\006\242k7\007"
    "\242k8\010\242k9\011\243k10\012\243k11\013\243k12\014\243k13\015\243k14\016\243k15\017"sv},
    Encoded{"[[],{},[[],1],\"x,y\",\",\",\"[\",\"}\"]"sv,
    "\227\220\200\222\220\001\243x,y\241,\241[\241}"sv},
    Encoded{"1.0"sv,
    "\001"sv},
    Encoded{"1e3"sv,
    "\315\003\350"sv},
    Encoded{"-0"sv,
    "\000"sv},
    Encoded{"1E-2"sv,
    "\313\?\204z\341G\256\024{"sv},
    Encoded{"12345678901234567890"sv,
    "\313C\345j\2251\235c\341"sv},
    Encoded{"1e999"sv,
    "\313\177\360\000\000\000\000\000\000"sv},
    Encoded{"-1e999"sv,
    "\313\377\360\000\000\000\000\000\000"sv},
    Encoded{"1e-999"sv,
    "\000"sv},
    Encoded{"123456789012345.0"sv,
    "\317\000\000pH\206\015\337y"sv},
    Encoded{"0.0000001e7"sv,
    "\001"sv},
    Encoded{" [ 1 , { \"a\" : 2 } ] "sv,
    "\222\001\201\241a\002"sv},
    Encoded{"\"\\u00e9\\ud83d\\ude00\\/\""sv,
    "\247\303\251\360\237\230\200/"sv},
    Encoded{"[ ]"sv,
    "\220"sv},
};

/// Bytes, and the JSON of what msgpack.decode() makes of them.
inline constexpr std::array decoded{
    Encoded{"null"sv,
    "\313\177\370\000\000\000\000\000\000"sv},
    Encoded{"null"sv,
    "\313\177\360\000\000\000\000\000\000"sv},
    Encoded{"null"sv,
    "\313\377\360\000\000\000\000\000\000"sv},
    Encoded{"0"sv,
    "\000"sv},
    Encoded{"0.1"sv,
    "\313\?\271\231\231\231\231\231\232"sv},
    Encoded{"0.3333333333333333"sv,
    "\313\?\325UUUUUU"sv},
    Encoded{"1e+21"sv,
    "\313DK\032\344\326\342\357P"sv},
    Encoded{"1.5e+21"sv,
    "\313DTT+\241*3|"sv},
    Encoded{"123456789012345680000"sv,
    "\313D\032\305:~\004\274\332"sv},
    Encoded{"0.000001"sv,
    "\313>\260\306\367\240\265\355\215"sv},
    Encoded{"1e-7"sv,
    "\313>z\327\362\232\274\257H"sv},
    Encoded{"1.25e-7"sv,
    "\313>\200\306\367\240\265\355\215"sv},
    Encoded{"5e-324"sv,
    "\313\000\000\000\000\000\000\000\001"sv},
    Encoded{"1.7976931348623157e+308"sv,
    "\313\177\357\377\377\377\377\377\377"sv},
    Encoded{"-123.456"sv,
    "\313\300^\335/\032\237\276w"sv},
    Encoded{"100.5"sv,
    "\313@Y \000\000\000\000\000"sv},
    Encoded{"4294967296.5"sv,
    "\313A\360\000\000\000\010\000\000"sv},
    Encoded{"100000000000000000000"sv,
    "\313D\025\257\035x\265\214@"sv},
    Encoded{"9007199254740992"sv,
    "\313C@\000\000\000\000\000\000"sv},
    Encoded{"9223372036854776000"sv,
    "\313C\340\000\000\000\000\000\000"sv},
    Encoded{"0.000001234"sv,
    "\313>\264\263\375YB\315\226"sv},
    Encoded{"1e+23"sv,
    "\313D\265-\002\307\341J\366"sv},
    Encoded{"\"1970-01-01T00:00:00.000Z\""sv,
    "\326\377\000\000\000\000"sv},
    Encoded{"\"1970-01-01T00:00:00.001Z\""sv,
    "\327\377\000=\011\000\000\000\000\000"sv},
    Encoded{"\"1969-12-31T23:59:59.999Z\""sv,
    "\307\014\377;\213\207\300\377\377\377\377\377\377\377\377"sv},
    Encoded{"\"1970-01-01T00:00:00.999Z\""sv,
    "\327\377\356.\037\000\000\000\000\000"sv},
    Encoded{"\"1970-01-01T00:00:01.000Z\""sv,
    "\326\377\000\000\000\001"sv},
    Encoded{"\"2026-11-23T07:35:53.120Z\""sv,
    "\327\377\034\2348\000k\003\354\331"sv},
    Encoded{"\"2026-11-23T07:35:53.120Z\""sv,
    "\327\377\034\2348\000k\003\354\331"sv},
    Encoded{"\"0001-01-01T00:00:00.000Z\""sv,
    "\307\014\377\000\000\000\000\377\377\377\361\210n\011\000"sv},
    Encoded{"\"-000001-12-31T23:59:59.999Z\""sv,
    "\307\014\377;\213\207\300\377\377\377\361\206\213\203\377"sv},
    Encoded{"\"9999-12-31T23:59:59.999Z\""sv,
    "\307\014\377;\213\207\300\000\000\000:\377\364A\177"sv},
    Encoded{"\"+010000-01-01T00:00:00.000Z\""sv,
    "\307\014\377\000\000\000\000\000\000\000:\377\364A\200"sv},
    Encoded{"\"+275760-09-13T00:00:00.000Z\""sv,
    "\307\014\377\000\000\000\000\000\000\007\333\250!\200\000"sv},
    Encoded{"\"-271821-04-20T00:00:00.000Z\""sv,
    "\307\014\377\000\000\000\000\377\377\370$W\336\200\000"sv},
    Encoded{"\"2000-02-29T00:00:00.000Z\""sv,
    "\326\3778\273\014\000"sv},
    Encoded{"\"2024-02-29T00:00:00.000Z\""sv,
    "\326\377e\337\311\000"sv},
    Encoded{"\"2100-01-01T00:00:00.000Z\""sv,
    "\326\377\364\206W\000"sv},
    Encoded{"\"2514-05-30T01:53:03.999Z\""sv,
    "\327\377\356.\037\003\377\377\377\377"sv},
    Encoded{"\"2514-05-30T01:53:04.000Z\""sv,
    "\307\014\377\000\000\000\000\000\000\000\004\000\000\000\000"sv},
    Encoded{"{\"a\":null,\"b\":[null]}"sv,
    "\202\241a\300\241b\221\300"sv},
    Encoded{"0.10000000149011612"sv,
    "\312=\314\314\315"sv},
    Encoded{"{\"5\":1}"sv,
    "\201\005\001"sv},
    Encoded{"{\"-1\":1}"sv,
    "\201\377\001"sv},
    Encoded{"5"sv,
    "\323\000\000\000\000\000\000\000\005"sv},
    Encoded{"5"sv,
    "\315\000\005"sv},
    Encoded{"\"a\""sv,
    "\331\001a"sv},
    Encoded{"[null]"sv,
    "\334\000\001\300"sv},
    Encoded{"{\"a\":false}"sv,
    "\337\000\000\000\001\333\000\000\000\001a\302"sv},
};

struct Hash { std::string_view nsp; std::int32_t hash; };
inline constexpr std::array hashes{
    Hash{""sv, 0},
    Hash{"/"sv, 47},
    Hash{"/admin"sv, 1438238848},
    Hash{"/custom"sv, 1708878944},
    Hash{"/chat"sv, 46457863},
    Hash{"/a"sv, 1554},
    Hash{"/notifications"sv, -1014064871},
    Hash{"/my-namespace"sv, -1403629527},
    Hash{"/\303\251\360\237\230\200\303\274-long-name-here"sv, -328506289},
};

struct Stream { std::string_view nsp; std::uint32_t count; std::string_view stream; };
inline constexpr std::array streams{
    Stream{"/"sv, 1, "s"sv},
    Stream{"/"sv, 4, "s-3"sv},
    Stream{"/chat"sv, 4, "s-3"sv},
    Stream{"/notifications"sv, 4, "s--3"sv},
    Stream{"/my-namespace"sv, 4, "s--3"sv},
    Stream{"/my-namespace"sv, 3, "s-0"sv},
};

struct Date { std::int64_t ms; std::string_view text; };
inline constexpr std::array dates{
    Date{0, "Thu Jan 01 1970 00:00:00 GMT+0000 (Coordinated Universal Time)"sv},
    Date{1795419353120, "Mon Nov 23 2026 07:35:53 GMT+0000 (Coordinated Universal Time)"sv},
    Date{951782400000, "Tue Feb 29 2000 00:00:00 GMT+0000 (Coordinated Universal Time)"sv},
    Date{-1, "Wed Dec 31 1969 23:59:59 GMT+0000 (Coordinated Universal Time)"sv},
    Date{1000000000000, "Sun Sep 09 2001 01:46:40 GMT+0000 (Coordinated Universal Time)"sv},
    Date{-62135596800000, "Mon Jan 01 0001 00:00:00 GMT+0000 (Coordinated Universal Time)"sv},
    Date{253402300800000, "Sat Jan 01 10000 00:00:00 GMT+0000 (Coordinated Universal Time)"sv},
    Date{4107542400000, "Mon Mar 01 2100 00:00:00 GMT+0000 (Coordinated Universal Time)"sv},
};

}  // namespace sio::golden
