// What the protocol documents say beyond the official suites: each case names the behaviour it protects.
// A case's `options` say how its server is set up (gateway.mjs); `side` limits it to one server.
// Where we deliberately differ from Node, the case asks `t.ours` and says what each side does.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import zlib from "node:zlib";
import { Failure, collect, oneOf, same, sleep, truth, within } from "./runner.mjs";
import { Poller, Tcp, Wire, ask, headerOrder, parseResponse } from "./client.mjs";

const { cases, add } = collect();
const calm = { pingInterval: 25000, pingTimeout: 20000, connectTimeout: 45000 };
const brisk = { pingInterval: 300, pingTimeout: 200, connectTimeout: 45000 };
const it = (name, fn, options = {}, settings = {}) => add(name, fn, { options: { ...calm, ...options }, ...settings });
const group = (title) => (name, fn, options, settings) => it(`${title}: ${name}`, fn, options, settings);

const base = (t) => `${t.url}${t.path}`;
const polling = "?EIO=4&transport=polling";
const errors = {
    0: "Transport unknown", 1: "Session ID unknown", 2: "Bad handshake method", 3: "Bad request",
    4: "Forbidden", 5: "Unsupported protocol version",
};
const errorBody = (code) => `{"code":${code},"message":"${errors[code]}"}`;
const placeholder = (n) => `{"_placeholder":true,"num":${n}}`;

/** The answer is the JSON error `code`, exactly. */
function isError(answer, code) {
    same([answer.status, answer.body], [code === 4 ? 403 : 400, errorBody(code)], `error ${code}`);
    same(answer.headers["content-type"], "application/json", "Content-Type of the error");
}

/** The answer has this status, no body and no Content-Type. */
function isBare(answer, status) {
    same([answer.status, answer.body], [status, ""], "status and body");
    same(answer.headers["content-type"], undefined, "Content-Type");
}

/** A body over the limit: Node's 413 is bare, ours says size and limit. */
function isTooLarge(t, answer, size, limit) {
    if (!t.ours) return isBare(answer, 413);
    same([answer.status, answer.body], [413, `${size} bytes of a body, of at most ${limit} (max-payload)`], "status and body");
}

/** A poll that is being held: gives { held }, the promise of its answer, once the request has reached the server. */
async function hold(session, ms = 60) {
    const held = session.get();
    held.catch(() => {});
    await sleep(ms);
    return { held };
}

function wire(t, query = "?EIO=4&transport=websocket", options) {
    const one = new Wire(`${base(t).replace(/^http/, "ws")}${query}`, options);
    t.after(() => one.end());
    return one;
}

/** A WebSocket session after its handshake; `handshake` is kept on it. */
async function connected(t, query = "", options) {
    const one = wire(t, `?EIO=4&transport=websocket${query}`, options);
    const first = await one.next();
    same(first[0], "0", "first frame's type");
    one.handshake = JSON.parse(first.slice(1));
    return one;
}

/** A WebSocket session that has joined `namespace` and taken the `auth` event. */
async function joined(t, { namespace = "/", auth, query, ws } = {}) {
    const one = await connected(t, query, ws);
    await join(one, namespace, auth);
    return one;
}

async function join(one, namespace = "/", auth) {
    const prefix = namespace === "/" ? "" : `${namespace},`;
    one.send(`40${prefix}${auth ? JSON.stringify(auth) : ""}`);
    const answer = await one.nextMessage();
    truth(answer.startsWith(`40${prefix}{`), `CONNECT is answered, got ${answer}`);
    one.connect = JSON.parse(answer.slice(2 + prefix.length));
    one.auth = await one.nextMessage();
    return one.connect;
}

/** A polling session that has joined the main namespace and taken the `auth` event. */
async function joinedPolling(t, { headers } = {}) {
    const session = await Poller.open(base(t), { headers });
    same((await session.post("40")).body, "ok", "answer to 40");
    const [first] = await session.take(2);
    session.connect = JSON.parse(first.slice(2));
    return session;
}

/** The session still answers: an event posted comes back by polling. */
async function pollingAlive(session) {
    const mark = randomBytes(4).toString("hex");
    same((await session.post(`42["message","${mark}"]`)).body, "ok", "answer to a POST");
    same(await session.packets(), [`42["message-back","${mark}"]`], "echo by polling");
}

async function websocketAlive(one) {
    const mark = randomBytes(4).toString("hex");
    one.send(`42["message","${mark}"]`);
    same(await one.nextMessage(), `42["message-back","${mark}"]`, "echo by WebSocket");
}

const gone = async (session) => isError(await session.get(), 1);
const closes = async (one, code = 1005, ms = 1000) => same((await within(one.closed, ms, "close")).code, code, "close code");

/** Probes `session` with a new WebSocket and waits for `3probe`. */
async function probe(t, session) {
    const one = new Wire(session.wsUrl);
    t.after(() => one.end());
    await one.opened;
    one.send("2probe");
    same(await one.next(), "3probe", "answer to the probe");
    return one;
}

/** Sends a request as raw text on a new TCP connection; gives the connection. */
async function raw(t, text, host) {
    const tcp = new Tcp(t.port, host);
    t.after(() => tcp.destroy());
    await tcp.opened;
    tcp.send(text);
    return tcp;
}

async function rawAnswer(t, text, ms = 2000) {
    const tcp = await raw(t, text);
    await tcp.until((s) => parseResponse(s) !== null, ms, "HTTP answer");
    const answer = parseResponse(tcp.text);
    truth(answer, `an HTTP answer came, got ${JSON.stringify(tcp.text)}`);
    return Object.assign(answer, { tcp });
}

const wsKey = "dGhlIHNhbXBsZSBub25jZQ==";
const upgradeText = (path, { key = wsKey, version = "13", method = "GET", extra = "" } = {}) =>
    `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
    (key === null ? "" : `Sec-WebSocket-Key: ${key}\r\n`) +
    (version === null ? "" : `Sec-WebSocket-Version: ${version}\r\n`) + extra + "\r\n";

// ---------------------------------------------------------------- routing and the query
{
    const routing = group("routing");
    routing("a path that only begins with the configured one is served", async (t) => {
        same((await ask(`${t.url}/socket.io/any/thing?EIO=4&transport=polling`)).status, 200, "status");
    });
    routing("the path without its slash is served, which is kinder than Node", async (t) => {
        const answer = await ask(`${t.url}/socket.io?EIO=4&transport=polling`);
        same(answer.status, t.ours ? 200 : 404, "status");
    });
    routing("another path is a 404", async (t) => {
        same((await ask(`${t.url}/nothing/here`)).status, 404, "status");
    });
    routing("a configured path is served and the default one is not", async (t) => {
        same((await ask(`${t.url}/live/${polling}`)).status, 200, "status of /live/");
        same((await ask(`${t.url}/socket.io/${polling}`)).status, 404, "status of /socket.io/");
        await joined(t);
    }, { path: "/live/" });
    routing("a WebSocket for another path is never opened and soon ended", async (t) => {
        const tcp = await raw(t, upgradeText("/elsewhere?EIO=4&transport=websocket"));
        await within(tcp.closed, 2500, "end of the connection");
        truth(!tcp.text.includes(" 101 "), "no 101 is sent");
    });
    routing("IPv6 loopback is served as IPv4 is", async (t) => {
        same((await ask(`http://[::1]:${t.port}${t.path}${polling}`)).status, 200, "status by IPv6");
        same((await ask(`http://127.0.0.1:${t.port}${t.path}${polling}`)).status, 200, "status by IPv4");
    });
    routing("the last of repeated parameters counts", async (t) => {
        same((await ask(`${base(t)}?EIO=4&transport=abc&transport=polling`)).status, 200, "polling last");
        isError(await ask(`${base(t)}?EIO=4&transport=polling&transport=abc`), 0);
        isError(await ask(`${base(t)}?EIO=4&EIO=3&transport=polling`), 5);
    });
    routing("an empty sid means a new session", async (t) => {
        same((await ask(`${base(t)}${polling}&sid=`)).status, 200, "status");
        await connected(t, "&sid=");
    });
    routing("the query is percent-decoded and its order is free", async (t) => {
        same((await ask(`${base(t)}?transport=poll%69ng&t=abc.1&EI%4F=4`)).status, 200, "status");
    });
    routing("unknown parameters and a cache buster are ignored", async (t) => {
        same((await ask(`${base(t)}${polling}&t=Q897fbp&b64=1&foo=bar&x`)).status, 200, "status");
    });
}

// ---------------------------------------------------------------- handshake
{
    const handshake = group("handshake");
    handshake("the keys stand in the documented order with the configured values", async (t) => {
        const answer = await ask(base(t) + polling);
        const sid = JSON.parse(answer.body.slice(1)).sid;
        same(answer.body, `0{"sid":"${sid}","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`, "body");
        truth(/^[A-Za-z0-9_-]{20}$/.test(sid), `sid ${sid} has 20 characters of the URL-safe alphabet`);
    });
    handshake("a WebSocket's handshake offers no upgrades", async (t) => {
        const one = await connected(t);
        same(one.handshake.upgrades, [], "upgrades");
        same(Object.keys(one.handshake), ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"], "keys");
    });
    handshake("header names, values and order are Node's", async (t) => {
        const answer = await ask(base(t) + polling);
        same(headerOrder(answer), ["content-type", "content-length", "cache-control"], "headers");
        same(answer.headers["content-type"], "text/plain; charset=UTF-8", "Content-Type");
        same(answer.headers["cache-control"], "no-store", "Cache-Control");
        same(Number(answer.headers["content-length"]), answer.bytes.length, "Content-Length");
    });
    handshake("old Internet Explorers get X-XSS-Protection", async (t) => {
        for (const agent of ["Mozilla/4.0 (compatible;MSIE 8.0)", "Mozilla/5.0 (Windows NT; Trident/7.0; rv:11.0) like Gecko"]) {
            const answer = await ask(base(t) + polling, { headers: { "User-Agent": agent } });
            same(answer.headers["x-xss-protection"], "0", `header for ${agent}`);
        }
        const answer = await ask(base(t) + polling, { headers: { "User-Agent": "Mozilla/5.0 Firefox" } });
        same(answer.headers["x-xss-protection"], undefined, "header for Firefox");
    });
    handshake("maxPayload is the configured size", async (t) => {
        same((await Poller.open(base(t))).open.maxPayload, 1000, "maxPayload");
    }, { maxHttpBufferSize: 1000 });
    handshake("without upgrades none are announced, yet one that comes is not refused", async (t) => {
        const session = await Poller.open(base(t));
        same(session.open.upgrades, [], "upgrades");
        const one = await probe(t, session);
        one.send("5");
        await join(one);
        await websocketAlive(one);
    }, { allowUpgrades: false });
    handshake("with WebSocket alone, polling is an unknown transport", async (t) => {
        isError(await ask(base(t) + polling), 0);
        await joined(t);
    }, { transports: ["websocket"] });
    handshake("with polling alone, WebSocket is an unknown transport and not announced", async (t) => {
        same((await Poller.open(base(t))).open.upgrades, [], "upgrades");
        const answer = await rawAnswer(t, upgradeText(`${t.path}?EIO=4&transport=websocket`));
        same([answer.status, answer.body], [400, errorBody(0)], "answer to the upgrade");
    }, { transports: ["polling"] });
    handshake("session ids differ and the Socket.IO id is another one of 20 characters", async (t) => {
        const a = await joined(t);
        const b = await joined(t);
        await join(a, "/custom");
        const ids = [a.handshake.sid, b.handshake.sid, a.connect.sid, b.connect.sid];
        same(new Set(ids).size, 4, "number of distinct ids");
        for (const id of ids) truth(/^[A-Za-z0-9_-]{20}$/.test(id), `${id} has 20 characters`);
    });
}

// ---------------------------------------------------------------- HTTP errors
{
    const http = group("HTTP error");
    for (const query of ["", "?EIO=4", "?EIO=4&transport=", "?EIO=4&transport=abc", "?EIO=4&transport=webtransport", "?EIO=4&transport=Polling"]) {
        http(`code 0 for GET ${query || "without a query"}`, async (t) => isError(await ask(base(t) + query), 0));
    }
    http("code 0 comes before the check of the sid", async (t) => {
        isError(await ask(`${base(t)}?EIO=4&transport=abc&sid=unknown`), 0);
        isError(await ask(`${base(t)}?EIO=3&transport=abc`, { method: "POST" }), 0);
    });
    for (const [method, query] of [["GET", "&sid=abc"], ["POST", "&sid=abc"], ["GET", "&sid=zzzzzzzzzzzzzzzzzzzz"], ["PUT", "&sid=abc"]]) {
        http(`code 1 for ${method} with ${query.slice(1)}`, async (t) => {
            isError(await ask(base(t) + polling + query, { method, body: method === "GET" ? undefined : "40" }), 1);
        });
    }
    http("code 1 comes before the check of the protocol and of the transport", async (t) => {
        isError(await ask(`${base(t)}?EIO=3&transport=polling&sid=unknown`), 1);
        isError(await ask(`${base(t)}?EIO=4&transport=websocket&sid=unknown`), 1);
    });
    for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
        http(`code 2 for ${method} without a sid`, async (t) => isError(await ask(base(t) + polling, { method }), 2));
    }
    http("HEAD without a sid is refused with the headers of code 2", async (t) => {
        const answer = await ask(base(t) + polling, { method: "HEAD" });
        same([answer.status, answer.body, answer.headers["content-type"]], [400, "", "application/json"], "answer");
    });
    http("code 2 comes before the checks of the upgrade and the protocol", async (t) => {
        isError(await ask(`${base(t)}?EIO=4&transport=websocket`, { method: "POST" }), 2);
        isError(await ask(`${base(t)}?EIO=3&transport=polling`, { method: "POST" }), 2);
    });
    http("code 3 for transport=websocket by a plain GET, before the check of the protocol", async (t) => {
        isError(await ask(`${base(t)}?EIO=4&transport=websocket`), 3);
        isError(await ask(`${base(t)}?EIO=3&transport=websocket`), 3);
    });
    http("code 3 for polling with the sid of a WebSocket session, which lives on", async (t) => {
        const one = await joined(t);
        isError(await ask(`${base(t)}${polling}&sid=${one.handshake.sid}`), 3);
        isError(await ask(`${base(t)}${polling}&sid=${one.handshake.sid}`, { method: "POST", body: "41" }), 3);
        await websocketAlive(one);
    });
    http("code 3 for a plain request of transport=websocket with a polling sid", async (t) => {
        const session = await joinedPolling(t);
        isError(await ask(session.url.replace("transport=polling", "transport=websocket")), 3);
        await pollingAlive(session);
    });
    http("code 3 for another protocol than the session's, which lives on", async (t) => {
        const session = await joinedPolling(t);
        for (const eio of ["EIO=3", "EIO=5", "foo=4"]) isError(await ask(session.url.replace("EIO=4", eio)), 3);
        await pollingAlive(session);
    });
    for (const eio of ["", "EIO=&", "EIO=3&", "EIO=5&", "EIO=abc&", "EIO=04&", "EIO=4.0&", "eio=4&"]) {
        http(`code 5 for ${eio ? eio.slice(0, -1) : "no EIO"}`, async (t) => isError(await ask(`${base(t)}?${eio}transport=polling`), 5));
    }
    http("errors leave a keep-alive connection open", async (t) => {
        const tcp = await raw(t, `GET ${t.path}?EIO=4&transport=abc HTTP/1.1\r\nHost: a\r\n\r\n`);
        await tcp.until((s) => parseResponse(s) !== null);
        const first = parseResponse(tcp.text);
        same([first.status, first.body], [400, errorBody(0)], "first answer");
        tcp.send(`GET ${t.path}${polling} HTTP/1.1\r\nHost: a\r\n\r\n`);
        await tcp.until((s) => parseResponse(s.slice(first.size)) !== null);
        same(parseResponse(tcp.text.slice(first.size)).status, 200, "second answer on the same connection");
    });
    http("an illegal character in Origin is a 400 and the end of the connection", async (t) => {
        const tcp = await raw(t, `GET ${t.path}${polling} HTTP/1.1\r\nHost: a\r\nOrigin: http://a\x01b\r\n\r\n`);
        await within(tcp.closed, 2000, "end");
        truth(tcp.text.startsWith("HTTP/1.1 400 "), `status line, got ${tcp.text.slice(0, 40)}`);
    });
    for (const method of ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"]) {
        http(`${method} with a valid sid is 500, empty, and harmless`, async (t) => {
            const session = await joinedPolling(t);
            isBare(await ask(session.url, { method }), 500);
            await pollingAlive(session);
        });
    }
    http("a session that ended answers code 1 to GET and POST", async (t) => {
        const session = await joinedPolling(t);
        await session.post("1");
        isError(await session.get(), 1);
        isError(await session.post("40"), 1);
    });
}

// ---------------------------------------------------------------- polling
{
    const poll = group("polling");
    poll("the answer to a POST has Node's headers", async (t) => {
        const session = await Poller.open(base(t));
        const answer = await session.post("40");
        same([answer.status, answer.body], [200, "ok"], "answer");
        same(headerOrder(answer), ["content-type", "content-length", "cache-control"], "headers");
        same([answer.headers["content-type"], answer.headers["content-length"], answer.headers["cache-control"]],
            ["text/html", "2", "no-store"], "values");
    });
    poll("the answer to a poll has Node's headers", async (t) => {
        const session = await Poller.open(base(t));
        await session.post("40");
        const answer = await session.get();
        same(headerOrder(answer), ["content-type", "content-length", "cache-control"], "headers");
        same(answer.headers["content-type"], "text/plain; charset=UTF-8", "Content-Type");
    });
    for (const type of [undefined, "text/plain;charset=UTF-8", "text/plain; charset=UTF-8", "application/json", "application/octet-stream;x=y", "nonsense"]) {
        poll(`a POST with Content-Type ${type ?? "absent"} is taken`, async (t) => {
            const session = await joinedPolling(t);
            const answer = await session.post('42["message","x"]', { headers: type ? { "Content-Type": type } : {} });
            same([answer.status, answer.body], [200, "ok"], "answer");
            same(await session.packets(), ['42["message-back","x"]'], "echo");
        });
    }
    poll("a POST of application/octet-stream is a bare 400 and ends the session", async (t) => {
        const session = await joinedPolling(t);
        isBare(await session.post("40", { headers: { "Content-Type": "application/octet-stream" } }), 400);
        await gone(session);
    });
    poll("an undecodable payload is answered ok, a held poll gets 1, the session is gone", async (t) => {
        const session = await joinedPolling(t);
        const { held } = await hold(session);
        const answer = await session.post("abc");
        same([answer.status, answer.body], [200, "ok"], "answer to the POST");
        const end = await held;
        same([end.status, end.body], [200, "1"], "held poll");
        await gone(session);
    });
    for (const [name, body] of [["an empty body", ""], ["a type of 7", "7"], ["an empty packet", '42["message"]\x1e'], ["a letter", "x42"]]) {
        poll(`${name} is a parse error`, async (t) => {
            const session = await joinedPolling(t);
            const { held } = await hold(session);
            const answer = await session.post(body);
            same([answer.status, answer.body], [200, "ok"], "answer");
            const end = await held;
            truth(end.body.split("\x1e").at(-1) === "1" || end.body.startsWith("42"), `held poll ended, got ${end.body}`);
            for (;;) {
                const next = await session.get();
                if (next.status !== 200) { isError(next, 1); break; }
            }
        });
    }
    poll("packets behind a bad one are never delivered", async (t) => {
        const other = await joined(t);
        const session = await joinedPolling(t);
        const mark = randomBytes(4).toString("hex");
        await session.post(`42["broadcast","${mark}-1"]\x1eabc\x1e42["broadcast","${mark}-2"]`);
        const last = await joined(t);
        last.send(`42["broadcast","${mark}-3"]`);
        const got = await other.nextMessage();
        // Node's Socket.IO layer hands events over a little later and drops those of a connection that has ended.
        if (got !== `42["broadcast","${mark}-3"]`) {
            same(got, `42["broadcast","${mark}-1"]`, "first broadcast");
            same(await other.nextMessage(), `42["broadcast","${mark}-3"]`, "next broadcast");
        }
    });
    poll("packets after a close packet are ignored", async (t) => {
        const other = await joined(t);
        const session = await joinedPolling(t);
        const mark = randomBytes(4).toString("hex");
        await session.post(`42["broadcast","${mark}-1"]\x1e1\x1e42["broadcast","${mark}-2"]`);
        const last = await joined(t);
        last.send(`42["broadcast","${mark}-3"]`);
        const got = await other.nextMessage();
        // Node's Socket.IO layer hands events over a little later and drops those of a connection that has ended.
        if (got !== `42["broadcast","${mark}-3"]`) {
            same(got, `42["broadcast","${mark}-1"]`, "first broadcast");
            same(await other.nextMessage(), `42["broadcast","${mark}-3"]`, "next broadcast");
        }
        await gone(session);
    });
    poll("0, 5, 6 and unasked pongs in a POST are ignored", async (t) => {
        const session = await joinedPolling(t);
        for (const packet of ["0", "5", "6", "3", "6\x1e6"]) same((await session.post(packet)).body, "ok", `answer to ${packet}`);
        await pollingAlive(session);
    });
    poll("text in any script passes both ways and lengths count bytes", async (t) => {
        const session = await joinedPolling(t);
        const text = "h\u00e9 \u20ac \ud83d\ude00 \u65e5\u672c\u8a9e \\u001e";
        await session.post(`42["message",${JSON.stringify(text)}]`);
        const answer = await session.get();
        same(JSON.parse(answer.body.slice(2)), ["message-back", text], "echo");
        same(Number(answer.headers["content-length"]), answer.bytes.length, "Content-Length");
    });
    for (const [name, spelling] of [
        ["with padding", "AQL/+w=="], ["without padding", "AQL/+w"], ["of the URL-safe alphabet", "AQL_-w=="],
        ["with line feeds", "AQL/\n+w==\n"], ["with CR LF", "AQL/\r\n+w==\r\n"],
    ]) {
        poll(`base64 ${name} is understood`, async (t) => {
            const session = await joinedPolling(t);
            same((await session.post(`451-["message",${placeholder(0)}]\x1eb${spelling}`)).body, "ok", "answer");
            same(await session.take(2), [`451-["message-back",${placeholder(0)}]`, "bAQL/+w=="], "echo");
        });
    }
    poll("base64 of many lines of 76 characters is understood", async (t) => {
        const session = await joinedPolling(t);
        const bytes = randomBytes(1000);
        const text = bytes.toString("base64").replace(/.{76}/g, "$&\n") + "\n";
        await session.post(`451-["message",${placeholder(0)}]\x1eb${text}`);
        same((await session.take(2))[1], "b" + bytes.toString("base64"), "attachment");
    });
    poll("attachments may come in a later POST", async (t) => {
        const session = await joinedPolling(t);
        await session.post(`452-["message",${placeholder(0)},${placeholder(1)}]`);
        await session.post("bAQ==");
        await session.post("3");
        await session.post("bAg==");
        same(await session.take(3), [`452-["message-back",${placeholder(0)},${placeholder(1)}]`, "bAQ==", "bAg=="], "echo");
    });
    poll("an empty attachment passes", async (t) => {
        const session = await joinedPolling(t);
        await session.post(`451-["message",${placeholder(0)}]\x1eb`);
        const got = await session.take(2);
        same(got, [`451-["message-back",${placeholder(0)}]`, "b"], "echo");
    });
    poll("a burst is answered in order; ours puts at most 16 packets into an answer", async (t) => {
        const session = await joinedPolling(t);
        const names = Array.from({ length: 40 }, (_, i) => `42["message",${i}]`);
        await session.post(names.join("\x1e"));
        const got = [];
        while (got.length < 40) {
            const packets = await session.packets();
            if (t.ours) truth(packets.length <= 16, `${packets.length} packets in one answer`);
            else same(packets.length, 40, "packets in one answer");
            got.push(...packets);
        }
        same(got, names.map((n) => n.replace("message", "message-back")), "packets");
    });
    poll("a capped answer never parts a packet from its attachments", async (t) => {
        const session = await joinedPolling(t);
        const one = `452-["message",${placeholder(0)},${placeholder(1)}]\x1ebAQ==\x1ebAg==`;
        await session.post(Array(15).fill(one).join("\x1e"));
        const got = [];
        while (got.length < 45) got.push(...await session.packets());
        for (let i = 0; i < 45; i += 3) {
            same(got.slice(i, i + 3), [`452-["message-back",${placeholder(0)},${placeholder(1)}]`, "bAQ==", "bAg=="], `packet ${i}`);
        }
    });
    poll("a chunked body is taken, wherever its chunks are cut", async (t) => {
        const session = await joinedPolling(t);
        const body = '42["message","chunked \u20ac"]';
        const bytes = Buffer.from(body);
        for (const size of [1, 3, 7, 100]) {
            const path = session.url.slice(t.url.length);
            const tcp = await raw(t, `POST ${path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`);
            for (let i = 0; i < bytes.length; i += size) {
                const part = bytes.subarray(i, i + size);
                tcp.send(Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from("\r\n")]));
                if (size > 1) await sleep(2);
            }
            tcp.send("0\r\n\r\n");
            await tcp.until((s) => parseResponse(s) !== null);
            same(parseResponse(tcp.text).body, "ok", "answer");
            same(await session.packets(), ['42["message-back","chunked \u20ac"]'], "echo");
        }
    });
    poll("chunk extensions and trailers are skipped", async (t) => {
        const session = await joinedPolling(t);
        const path = session.url.slice(t.url.length);
        const answer = await rawAnswer(t, `POST ${path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n` +
            `11;a=b\r\n42["message","x"]\r\n0\r\nTrailer: x\r\n\r\n`);
        same(answer.body, "ok", "answer");
        same(await session.packets(), ['42["message-back","x"]'], "echo");
    });
    poll("a body that waits for 100 Continue is taken", async (t) => {
        const session = await joinedPolling(t);
        const path = session.url.slice(t.url.length);
        const body = '42["message","x"]';
        const tcp = await raw(t, `POST ${path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`);
        await sleep(200);
        tcp.send(body);
        await tcp.until((s) => s.endsWith("ok"), 2000, "ok");
        same(await session.packets(), ['42["message-back","x"]'], "echo");
    });
    poll("a body cut into single bytes is taken", async (t) => {
        const session = await joinedPolling(t);
        const text = `POST ${session.url.slice(t.url.length)} HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\n\r\n42["message","x"]`;
        const tcp = await raw(t, "");
        for (const c of text) { tcp.send(c); await sleep(1); }
        await tcp.until((s) => parseResponse(s) !== null);
        same(parseResponse(tcp.text).body, "ok", "answer");
    });
    poll("pipelined POSTs and a poll are answered in turn", async (t) => {
        const session = await joinedPolling(t);
        const path = session.url.slice(t.url.length);
        const post = (s) => `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${s.length}\r\n\r\n${s}`;
        const tcp = await raw(t, post('42["message",1]') + post('42["message",2]') + `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
        const answers = [];
        let at = 0;
        while (answers.length < 3) {
            await tcp.until((s) => parseResponse(s.slice(at)) !== null, 2000, `answer ${answers.length + 1}`);
            const one = parseResponse(tcp.text.slice(at));
            answers.push(one.body);
            at += one.size;
        }
        same(answers, ["ok", "ok", '42["message-back",1]\x1e42["message-back",2]'], "answers");
    }, {}, { side: "gateway" });
    poll("polls and POSTs share one keep-alive connection, one after another", async (t) => {
        const session = await joinedPolling(t);
        const path = session.url.slice(t.url.length);
        const tcp = await raw(t, "");
        let at = 0;
        for (let i = 0; i < 5; i++) {
            const body = `42["message",${i}]`;
            for (const [request, answer] of [
                [`POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`, "ok"],
                [`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`, `42["message-back",${i}]`],
            ]) {
                tcp.send(request);
                truth(await tcp.until((s) => parseResponse(s.slice(at)) !== null), "the connection is kept");
                const one = parseResponse(tcp.text.slice(at));
                same(one.body, answer, "answer");
                at += one.size;
            }
        }
    });
    poll("a GET with a Content-Type and a length of 0 is a poll", async (t) => {
        const session = await Poller.open(base(t));
        await session.post("40");
        const answer = await session.get({ headers: { "Content-Type": "text/plain", "Content-Length": "0" } });
        same([answer.status, answer.body.slice(0, 2)], [200, "40"], "poll");
    });
    poll("HTTP/1.0 and Connection: close end the connection after the answer", async (t) => {
        for (const head of ["HTTP/1.1\r\nHost: a\r\nConnection: close", "HTTP/1.0"]) {
            const tcp = await raw(t, `GET ${t.path}${polling} ${head}\r\n\r\n`);
            await within(tcp.closed, 1500, "end of the connection");
            truth(tcp.text.includes('{"sid":'), "the handshake came");
        }
    });
    poll("header names are matched whatever their case", async (t) => {
        const session = await joinedPolling(t);
        const answer = await rawAnswer(t, `POST ${session.url.slice(t.url.length)} HTTP/1.1\r\nhOST: a\r\ncontent-LENGTH: 1\r\n\r\n3`);
        same(answer.body, "ok", "answer");
    });
    poll("an event posted by polling can be acknowledged", async (t) => {
        const session = await joinedPolling(t);
        await session.post('427["message-with-ack",{"a":[1,null]}]');
        same(await session.packets(), ['437[{"a":[1,null]}]'], "ack");
    });
    poll("volatile events are dropped without a held poll and delivered to one", async (t) => {
        const session = await joinedPolling(t);
        await session.post('42["volatile","lost"]');
        await session.post('42["message","kept"]');
        same(await session.packets(), ['42["message-back","kept"]'], "without a held poll");
        const { held } = await hold(session);
        await session.post('42["volatile","seen"]');
        same((await held).body, '42["volatile-back","seen"]', "with a held poll");
    });
}

// ---------------------------------------------------------------- overlaps and aborts
{
    const overlap = group("overlap");
    overlap("a second GET ends the session: 1 to the first, a bare 400 to itself", async (t) => {
        const session = await joinedPolling(t);
        const { held } = await hold(session);
        isBare(await session.get(), 400);
        const first = await held;
        same([first.status, first.body], [200, "1"], "first poll");
        await gone(session);
        isError(await session.post("3"), 1);
    });
    overlap("a second POST ends the session and cuts the first", async (t) => {
        const session = await joinedPolling(t);
        const first = await raw(t, `POST ${session.url.slice(t.url.length)} HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n42["mess`);
        await sleep(60);
        isBare(await session.post('42["message"]'), 400);
        await within(first.closed, 1000, "end of the first POST's connection");
        await gone(session);
    });
    overlap("an aborted GET ends the session", async (t) => {
        const session = await joinedPolling(t);
        const tcp = await raw(t, `GET ${session.url.slice(t.url.length)} HTTP/1.1\r\nHost: a\r\n\r\n`);
        await sleep(60);
        tcp.destroy();
        await sleep(60);
        await gone(session);
    });
    overlap("a GET aborted by a reset ends the session", async (t) => {
        const session = await joinedPolling(t);
        const tcp = await raw(t, `GET ${session.url.slice(t.url.length)} HTTP/1.1\r\nHost: a\r\n\r\n`);
        await sleep(60);
        tcp.socket.resetAndDestroy();
        await sleep(60);
        await gone(session);
    });
    overlap("an aborted POST ends the session", async (t) => {
        const session = await joinedPolling(t);
        const tcp = await raw(t, `POST ${session.url.slice(t.url.length)} HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n42["mess`);
        await sleep(60);
        tcp.destroy();
        await sleep(60);
        await gone(session);
    });
    overlap("a held GET and a POST go side by side", async (t) => {
        const session = await joinedPolling(t);
        const { held } = await hold(session);
        same((await session.post('42["message",1]')).body, "ok", "POST");
        same((await held).body, '42["message-back",1]', "poll");
        await pollingAlive(session);
    });
}

// ---------------------------------------------------------------- size limits
{
    const limit = group("size limit");
    const sized = (n) => `42["message","${"x".repeat(n - 16)}"]`;
    const small = { maxHttpBufferSize: 1000 };
    limit("a POST of exactly the limit is taken", async (t) => {
        const session = await joinedPolling(t);
        same(sized(1000).length, 1000, "length");
        same((await session.post(sized(1000))).body, "ok", "answer");
        same((await session.packets())[0].length, 1005, "echo");
    }, small);
    limit("a POST of one byte more is 413 (ours says why) and the session lives on", async (t) => {
        const session = await joinedPolling(t);
        isTooLarge(t, await session.post(sized(1001)), 1001, 1000);
        await pollingAlive(session);
    }, small);
    limit("bytes count, not characters", async (t) => {
        const session = await joinedPolling(t);
        isTooLarge(t, await session.post(sized(1000).replace("x", "\u20ac")), 1002, 1000);
        await pollingAlive(session);
        same((await session.post(sized(998).replace("x", "\u20ac"))).status, 200, "1000 bytes");
    }, small);
    limit("a chunked POST is refused as soon as it crosses the limit", async (t) => {
        const session = await joinedPolling(t);
        const tcp = await raw(t, `POST ${session.url.slice(t.url.length)} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`);
        tcp.send(`3e8\r\n${sized(1000)}\r\n`);
        await sleep(50);
        same(tcp.text, "", "answer at the limit");
        tcp.send("1\r\nx\r\n");
        await tcp.until((s) => s.startsWith("HTTP/1.1 413 "), 1000, "413");
        tcp.destroy();
        await pollingAlive(session);
    }, small);
    limit("a chunked POST of exactly the limit is taken", async (t) => {
        const session = await joinedPolling(t);
        const answer = await rawAnswer(t, `POST ${session.url.slice(t.url.length)} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n` +
            `3e8\r\n${sized(1000)}\r\n0\r\n\r\n`);
        same(answer.body, "ok", "answer");
    }, small);
    limit("a WebSocket message of exactly the limit is taken", async (t) => {
        const one = await joined(t);
        one.send(sized(1000));
        same((await one.nextMessage()).length, 1005, "echo");
    }, small);
    limit("a WebSocket message of one byte more ends the connection with 1009", async (t) => {
        const one = await joined(t);
        one.send(sized(1001));
        await closes(one, 1009);
    }, small);
    limit("binary of exactly the limit is taken, one byte more is 1009", async (t) => {
        const one = await joined(t);
        one.send(`451-["message",${placeholder(0)}]`);
        one.send(Buffer.alloc(1000, 1));
        await one.nextMessage();
        same((await one.nextMessage()).length, 1000, "echo");
        one.send(`451-["message",${placeholder(0)}]`);
        one.send(Buffer.alloc(1001, 1));
        await closes(one, 1009);
    }, small);
    limit("fragments are counted together", async (t) => {
        const one = await joined(t);
        const text = sized(1000);
        one.ws.send(text.slice(0, 600), { fin: false });
        one.ws.send(text.slice(600), { fin: true });
        same((await one.nextMessage()).length, 1005, "echo");
        one.ws.send(text.slice(0, 600), { fin: false });
        one.ws.send("x".repeat(401), { fin: true });
        await closes(one, 1009);
    }, small);
    limit("the default limit of 1,000,000 bytes holds for both transports", async (t) => {
        const session = await joinedPolling(t);
        same((await session.post(sized(1000000))).body, "ok", "answer");
        same((await session.packets())[0].length, 1000005, "echo by polling");
        isTooLarge(t, await session.post(sized(1000001)), 1000001, 1000000);
        const one = await joined(t);
        one.send(sized(1000000));
        same((await one.nextMessage(3000)).length, 1000005, "echo by WebSocket");
        one.send(sized(1000001));
        await closes(one, 1009);
    });
}

// ---------------------------------------------------------------- compression of polls
{
    const compression = group("compression");
    /** Polls an event whose answer is exactly `size` bytes long. */
    async function pollOf(t, size, accept, session) {
        session ??= await joinedPolling(t);
        await session.post(`42["message","${"y".repeat(size - 19)}"]`);
        const answer = await session.get({ headers: accept === null ? {} : { "Accept-Encoding": accept } });
        const encoding = answer.headers["content-encoding"];
        const plain = encoding === "gzip" ? zlib.gunzipSync(answer.bytes) : encoding === "deflate" ? zlib.inflateSync(answer.bytes) : answer.bytes;
        same(plain.toString(), `42["message-back","${"y".repeat(size - 19 )}"]`.slice(0, plain.length), "body");
        return { encoding, answer, plain };
    }
    const overhead = '42["message-back",""]'.length;
    const exact = (size) => size - overhead + 19;
    for (const [accept, expected] of [
        ["gzip", "gzip"], ["deflate", "deflate"], ["gzip, deflate", "gzip"], ["deflate, gzip", "deflate"],
        ["gzip, deflate, br, zstd", "gzip"], ["gzip;q=0.1, deflate;q=0.9", "deflate"], ["GZIP", "gzip"],
        ["gzip;q=0", undefined], ["gzip;q=0, deflate;q=0.5", "deflate"], ["br", undefined], ["identity", undefined],
        ["", undefined], [null, undefined], ["*", "gzip"], ["*;q=0", undefined],
    ]) {
        compression(`Accept-Encoding ${accept === null ? "absent" : JSON.stringify(accept)} gives ${expected ?? "none"}`, async (t) => {
            const { encoding, answer } = await pollOf(t, 4000, accept);
            // On a tie Node takes what is named first; gzip for both is as good.
            if (t.ours && accept === "deflate, gzip") oneOf(encoding, ["gzip", "deflate"], "Content-Encoding");
            else same(encoding, expected, "Content-Encoding");
            if (encoding === "deflate") same(answer.bytes[0], 0x78, "first byte (zlib)");
            same(answer.headers["content-type"], "text/plain; charset=UTF-8", "Content-Type");
        });
    }
    compression("1,024 bytes are compressed, 1,023 are not", async (t) => {
        const at = await pollOf(t, exact(1024), "gzip");
        same([at.plain.length, at.encoding], [1024, "gzip"], "at the threshold");
        const below = await pollOf(t, exact(1023), "gzip");
        same([below.plain.length, below.encoding], [1023, undefined], "below it");
    });
    compression("a configured threshold counts", async (t) => {
        same((await pollOf(t, exact(100), "gzip")).encoding, "gzip", "at 100 bytes");
        same((await pollOf(t, exact(99), "gzip")).encoding, undefined, "at 99 bytes");
    }, { httpCompression: { threshold: 100 } });
    compression("always means small answers too, but never POSTs and errors", async (t) => {
        const session = await joinedPolling(t);
        same((await pollOf(t, 30, "gzip", session)).encoding, "gzip", "small poll");
        same((await session.post("3", { headers: { "Accept-Encoding": "gzip" } })).headers["content-encoding"], undefined, "POST");
        const error = await ask(`${base(t)}?EIO=4`, { headers: { "Accept-Encoding": "gzip" } });
        isError(error, 0);
        same(error.headers["content-encoding"], undefined, "error");
    }, { httpCompression: true });
    compression("switched off it is never used", async (t) => {
        same((await pollOf(t, 5000, "gzip")).encoding, undefined, "Content-Encoding");
    }, { httpCompression: false });
    compression("a compressed answer keeps the other headers and the connection", async (t) => {
        const session = await joinedPolling(t);
        const big = `42["message","${"z".repeat(3000)}"]`;
        await session.post(big);
        const path = session.url.slice(t.url.length);
        const get = `GET ${path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n`;
        const tcp = await raw(t, get);
        await tcp.until((s) => parseResponse(s) !== null);
        const first = parseResponse(tcp.text);
        same([first.headers["cache-control"], first.headers["content-encoding"]], ["no-store", "gzip"], "headers");
        await session.post(big);
        tcp.send(get);
        await tcp.until((s) => parseResponse(s.slice(first.size)) !== null);
        same(zlib.gunzipSync(Buffer.from(parseResponse(tcp.text.slice(first.size)).body, "latin1")).length, 3000 + overhead, "second answer");
    });
}

// ---------------------------------------------------------------- heartbeat
{
    const heartbeat = group("heartbeat");
    const clock = () => performance.now();
    heartbeat("the interval restarts from the pong", async (t) => {
        const one = await connected(t);
        same(await one.next(), "2", "first ping");
        await sleep(120);
        const sent = clock();
        one.send("3");
        same(await one.next(), "2", "second ping");
        const waited = clock() - sent;
        truth(waited > 285 && waited < 420, `second ping ${Math.round(waited)} ms after the pong`);
    }, brisk);
    heartbeat("an unasked pong restarts the interval", async (t) => {
        const one = await connected(t);
        await sleep(200);
        const sent = clock();
        one.send("3");
        same(await one.next(), "2", "ping");
        const waited = clock() - sent;
        truth(waited > 285 && waited < 420, `ping ${Math.round(waited)} ms after the unasked pong`);
    }, brisk);
    heartbeat("the first packet after a ping restarts the timeout, once", async (t) => {
        const one = await joined(t);
        one.send("3");
        same(await one.next(), "2", "ping");
        const pinged = clock();
        await sleep(130);
        one.send('42["message",1]');
        await sleep(130);
        one.send('42["message",2]');
        await within(one.closed, 1000, "close");
        const lived = clock() - pinged;
        truth(lived > 310 && lived < 420, `closed ${Math.round(lived)} ms after the ping`);
    }, brisk);
    heartbeat("other traffic does not replace the pong", async (t) => {
        const one = await joined(t);
        const timer = setInterval(() => { if (!one.isClosed) one.send('42["message"]'); }, 40);
        t.after(() => clearInterval(timer));
        await within(one.closed, 1500, "close");
    }, brisk);
    heartbeat("a ping waits for the next poll, and the timeout runs", async (t) => {
        const session = await Poller.open(base(t));
        await sleep(350);
        same((await session.get()).body, "2", "next poll");
        await sleep(170);
        await gone(session);
    }, brisk);
    heartbeat("a held poll gets 2 and then 1 when no pong comes", async (t) => {
        const session = await Poller.open(base(t));
        const started = clock();
        same((await session.get()).body, "2", "first poll");
        const end = await session.get();
        same([end.status, end.body], [200, "1"], "second poll");
        const lived = clock() - started;
        truth(lived > 470 && lived < 640, `ended after ${Math.round(lived)} ms`);
        await gone(session);
    }, brisk);
    heartbeat("a WebSocket without a pong gets an empty close frame in time", async (t) => {
        const one = await connected(t);
        const started = clock();
        await closes(one, 1005);
        const lived = clock() - started;
        truth(lived > 470 && lived < 640, `ended after ${Math.round(lived)} ms`);
    }, brisk);
    heartbeat("a ping by the client ends a WebSocket with an empty close frame", async (t) => {
        const one = await joined(t);
        one.send("2");
        await closes(one);
    });
    heartbeat("a ping by the client ends a polling session", async (t) => {
        const session = await joinedPolling(t);
        const { held } = await hold(session);
        same((await session.post("2")).status, 200, "status of the POST");
        const end = await within(held, 1000, "end of the held poll");
        same(end.body, "1", "held poll");
        await gone(session);
    });
    heartbeat("2probe on an established WebSocket ends it too", async (t) => {
        const one = await joined(t);
        one.send("2probe");
        await closes(one);
    });
    heartbeat("a pong with content counts", async (t) => {
        const one = await connected(t);
        for (let i = 0; i < 3; i++) { same(await one.next(), "2", "ping"); one.send("3abc"); }
    }, brisk);
    heartbeat("pongs by POST keep a polling session", async (t) => {
        const session = await Poller.open(base(t));
        for (let i = 0; i < 4; i++) {
            same((await session.get()).body, "2", "poll");
            same((await session.post("3")).body, "ok", "pong");
        }
    }, brisk);
    heartbeat("the switch to WebSocket cancels the ping timeout that is running", async (t) => {
        const session = await Poller.open(base(t));
        same((await session.get()).body, "2", "poll");
        const one = await probe(t, session);
        one.send("5");
        await sleep(450);
        truth(!one.isClosed, "the connection is open after the old deadline");
        await join(one);
    }, brisk);
}

// ---------------------------------------------------------------- upgrade
{
    const upgrade = group("upgrade");
    upgrade("a WebSocket for an unknown session is refused", async (t) => {
        const one = wire(t, "?EIO=4&transport=websocket&sid=unknown");
        const answer = await within(one.refused, 1000, "refusal");
        same([answer.status, answer.body], [400, "Session ID unknown"], "answer");
    });
    upgrade("a second WebSocket while one is probing is opened and closed empty", async (t) => {
        const session = await joinedPolling(t);
        const one = await probe(t, session);
        const second = new Wire(session.wsUrl);
        await closes(second);
        one.send("5");
        await websocketAlive(one);
    });
    upgrade("a second WebSocket after the upgrade is opened and closed empty", async (t) => {
        const session = await joinedPolling(t);
        const one = await probe(t, session);
        one.send("5");
        await websocketAlive(one);
        await closes(new Wire(session.wsUrl));
        await websocketAlive(one);
    });
    upgrade("a probe that goes no further is closed in time and polling continues", async (t) => {
        const session = await joinedPolling(t);
        const one = await probe(t, session);
        await within(one.closed, 900, "close of the probe");
        await pollingAlive(session);
    }, { upgradeTimeout: 400 });
    upgrade("a WebSocket that never probes is closed in time and polling continues", async (t) => {
        const session = await joinedPolling(t);
        const one = new Wire(session.wsUrl);
        await one.opened;
        await within(one.closed, 900, "close");
        await pollingAlive(session);
    }, { upgradeTimeout: 400 });
    upgrade("a held poll is released with 6 soon after the probe", async (t) => {
        const session = await joinedPolling(t);
        const { held } = await hold(session);
        await probe(t, session);
        const answer = await within(held, 300, "release of the poll");
        same([answer.status, answer.body], [200, "6"], "poll");
        same((await within(session.get(), 300, "release of the next poll")).body, "6", "next poll");
    });
    upgrade("a session is not disturbed by a WebSocket that has not probed", async (t) => {
        const session = await joinedPolling(t);
        const one = new Wire(session.wsUrl);
        t.after(() => one.end());
        await one.opened;
        await pollingAlive(session);
    });
    upgrade("messages keep using polling while probing", async (t) => {
        const session = await joinedPolling(t);
        const one = await probe(t, session);
        await session.post('42["message","during"]');
        const got = [];
        while (got.length === 0) got.push(...(await session.packets()).filter((p) => p !== "6"));
        same(got, ['42["message-back","during"]'], "poll while probing");
        one.send("5");
        await websocketAlive(one);
    });
    upgrade("what waits is flushed to the WebSocket in order", async (t) => {
        const session = await joinedPolling(t);
        const one = await probe(t, session);
        await session.post(Array.from({ length: 20 }, (_, i) => `42["message",${i}]`).join("\x1e"));
        one.send("5");
        for (let i = 0; i < 20; i++) same(await one.nextMessage(), `42["message-back",${i}]`, `frame ${i}`);
    });
    upgrade("a poll that is held at the switch is ended with 1", async (t) => {
        const session = await joinedPolling(t);
        const { held } = await hold(session);
        const one = new Wire(session.wsUrl);
        t.after(() => one.end());
        await one.opened;
        one.send("5");
        const answer = await within(held, 500, "end of the poll");
        same([answer.status, answer.body], [200, "1"], "poll");
        await websocketAlive(one);
    });
    upgrade("5 without a probe is accepted", async (t) => {
        const session = await joinedPolling(t);
        const one = new Wire(session.wsUrl);
        t.after(() => one.end());
        await one.opened;
        one.send("5");
        await websocketAlive(one);
    });
    upgrade("without any poll, the answer to a posted CONNECT goes out by WebSocket", async (t) => {
        const session = await Poller.open(base(t));
        await session.post("40");
        const one = new Wire(session.wsUrl);
        t.after(() => one.end());
        await one.opened;
        one.send("2probe");
        same(await one.next(), "3probe", "probe");
        one.send("5");
        truth((await one.next()).startsWith('40{"sid":'), "CONNECT answer by WebSocket");
        same(await one.next(), '42["auth",{}]', "auth by WebSocket");
    });
    upgrade("the client may upgrade at once, before any POST, and pong unasked", async (t) => {
        const session = await Poller.open(base(t));
        const one = new Wire(session.wsUrl);
        t.after(() => one.end());
        await one.opened;
        one.send("2probe");
        one.send("5");
        one.send("3");
        one.send("40");
        same(await one.next(), "3probe", "probe");
        truth((await one.next()).startsWith('40{"sid":'), "CONNECT answer");
    });
    for (const packet of ["2", "2other", "3", '42["message"]', "abc", "6", "1", "4"]) {
        upgrade(`${JSON.stringify(packet)} instead of a probe closes the WebSocket, polling continues`, async (t) => {
            const session = await joinedPolling(t);
            const one = new Wire(session.wsUrl);
            await one.opened;
            one.send(packet);
            await within(one.closed, 1000, "close");
            await pollingAlive(session);
        });
    }
    upgrade("a message after the probe and before 5 closes the WebSocket, polling continues", async (t) => {
        const session = await joinedPolling(t);
        const one = await probe(t, session);
        one.send('42["message"]');
        await within(one.closed, 1000, "close");
        await pollingAlive(session);
    });
    upgrade("when the probing WebSocket dies, polling continues and another probe works", async (t) => {
        const session = await joinedPolling(t);
        (await probe(t, session)).end();
        await sleep(60);
        await session.post('42["message","x"]');
        const got = [];
        while (got.length === 0) got.push(...(await session.packets()).filter((p) => p !== "6"));
        same(got, ['42["message-back","x"]'], "poll after the death");
        const again = await probe(t, session);
        again.send("5");
        await websocketAlive(again);
    });
    upgrade("after the switch polling gets code 3 for GET and POST", async (t) => {
        const session = await joinedPolling(t);
        const one = await probe(t, session);
        one.send("5");
        await websocketAlive(one);
        isError(await session.get(), 3);
        isError(await session.post("41"), 3);
        await websocketAlive(one);
    });
    upgrade("when the session ends, the probing WebSocket is closed", async (t) => {
        const session = await joinedPolling(t);
        const one = await probe(t, session);
        await session.post("1");
        await within(one.closed, 1000, "close of the probe");
    });
    upgrade("on the TCP connection of the handshake it works", async (t) => {
        const tcp = await raw(t, `GET ${t.path}${polling} HTTP/1.1\r\nHost: a\r\n\r\n`);
        await tcp.until((s) => parseResponse(s) !== null);
        const first = parseResponse(tcp.text);
        const sid = JSON.parse(first.body.slice(1)).sid;
        tcp.send(upgradeText(`${t.path}?EIO=4&transport=websocket&sid=${sid}`));
        await tcp.until((s) => s.slice(first.size).includes("\r\n\r\n"), 1000, "101");
        truth(tcp.text.slice(first.size).startsWith("HTTP/1.1 101 "), "101 on the same connection");
    });
    upgrade("a POST and a WebSocket in a keep-alive connection after a poll work", async (t) => {
        const session = await joinedPolling(t);
        const path = session.url.slice(t.url.length);
        const tcp = await raw(t, `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n\r\n42["message",1]` + `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
        await tcp.until((s) => s.includes("message-back"), 1500, "poll");
        const before = tcp.text.length;
        tcp.send(upgradeText(session.wsUrl.replace(/^ws:\/\/[^/]*/, "")));
        await tcp.until((s) => s.slice(before).startsWith("HTTP/1.1 101 "), 1000, "101");
    });
    upgrade("binary after the upgrade goes in binary frames although the polls had b64=1", async (t) => {
        const session = await Poller.open(base(t), { query: "&b64=1" });
        await session.post("40");
        await session.take(2);
        const one = await probe(t, session);
        one.send("5");
        one.send(`451-["message",${placeholder(0)}]`);
        one.send(Buffer.from([1, 2]));
        same(await one.nextMessage(), `451-["message-back",${placeholder(0)}]`, "packet");
        same([...await one.nextMessage()], [1, 2], "attachment");
    });
    upgrade("attachments may follow on the WebSocket after their packet was posted", async (t) => {
        const session = await joinedPolling(t);
        await session.post(`451-["message",${placeholder(0)}]`);
        const one = await probe(t, session);
        one.send("5");
        one.send(Buffer.from([9]));
        same(await one.nextMessage(), `451-["message-back",${placeholder(0)}]`, "packet");
        same([...await one.nextMessage()], [9], "attachment");
    });
}

// ---------------------------------------------------------------- WebSocket details
{
    const websocket = group("WebSocket");
    websocket("a text frame that begins with b is a binary message", async (t) => {
        const one = await joined(t);
        one.send(`451-["message",${placeholder(0)}]`);
        one.send("bAQIDBA==");
        await one.nextMessage();
        same([...await one.nextMessage()], [1, 2, 3, 4], "attachment");
    });
    websocket("with b64=1 in its own query attachments are text", async (t) => {
        const one = await joined(t, { query: "&b64=1" });
        one.send(`451-["message",${placeholder(0)}]`);
        one.send(Buffer.from([1, 2, 3, 4]));
        await one.nextMessage();
        same(await one.nextMessage(), "bAQIDBA==", "attachment");
    });
    for (const offer of [
        "permessage-deflate", "permessage-deflate; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; client_max_window_bits; server_max_window_bits=15", "x-unknown; a=1, permessage-deflate",
    ]) {
        websocket(`the offer ${JSON.stringify(offer)} is declined and the connection works`, async (t) => {
            const answer = await rawAnswer(t, upgradeText(`${t.path}?EIO=4&transport=websocket`, { extra: `Sec-WebSocket-Extensions: ${offer}\r\n` }));
            same([answer.status, answer.headers["sec-websocket-extensions"]], [101, undefined], "answer");
            await answer.tcp.until((s) => s.includes('{"sid":'), 1000, "handshake");
        });
    }
    websocket("the 101 has the right Accept and no extras", async (t) => {
        const answer = await rawAnswer(t, upgradeText(`${t.path}?EIO=4&transport=websocket`));
        same(answer.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "Sec-WebSocket-Accept");
        same([answer.headers.upgrade.toLowerCase(), answer.headers.connection.toLowerCase()], ["websocket", "upgrade"], "Upgrade and Connection");
        same(answer.headers["set-cookie"], undefined, "Set-Cookie");
        same(answer.headers["access-control-allow-origin"], undefined, "CORS");
    });
    websocket("frames sent together with the upgrade request are not lost", async (t) => {
        const mask = (text) => {
            const body = Buffer.from(text);
            return Buffer.concat([Buffer.from([0x81, 0x80 | body.length, 0, 0, 0, 0]), body]);
        };
        const tcp = await raw(t, Buffer.concat([Buffer.from(upgradeText(`${t.path}?EIO=4&transport=websocket`)), mask("40")]));
        await tcp.until((s) => s.includes('40{"sid":'), 1500, "CONNECT answer");
    }, {}, { side: "gateway" });
    websocket("1 ends the connection: ours at once, Node's by the missing pong", async (t) => {
        const one = await joined(t);
        const started = performance.now();
        one.send("1");
        await within(one.closed, 1500, "close");
        const waited = performance.now() - started;
        if (t.ours) truth(waited < 100, `closed after ${Math.round(waited)} ms`);
    }, brisk);
    for (const packet of ["0", "0{}", "5", "6", "3", "3probe"]) {
        websocket(`${packet} on an established connection is ignored`, async (t) => {
            const one = await joined(t);
            one.send(packet);
            await websocketAlive(one);
        });
    }
    for (const packet of ["7", "abc", "", "\ud83d\ude00", " 40", "-"]) {
        websocket(`${JSON.stringify(packet)} is undecodable and ends it with an empty close frame`, async (t) => {
            const one = await joined(t);
            one.send(packet);
            await closes(one);
        });
    }
    websocket("a client's close frame is answered with its code", async (t) => {
        const one = await joined(t);
        one.ws.close(1000, "End by user");
        same((await within(one.closed, 1000, "close")).code, 1000, "code");
    });
    websocket("an empty close frame is answered", async (t) => {
        const one = await joined(t);
        one.ws.close();
        same((await within(one.closed, 1000, "close")).code, 1005, "code");
    });
    websocket("a control ping is answered with its payload", async (t) => {
        const one = await joined(t);
        const pong = new Promise((done) => one.ws.on("pong", (d) => done(d.toString())));
        one.ws.ping("hello");
        same(await within(pong, 1000, "pong"), "hello", "payload");
    });
    websocket("fragmented binary in pieces of 8,184 bytes is put together", async (t) => {
        const one = await joined(t);
        const bytes = randomBytes(50000);
        one.send(`451-["message",${placeholder(0)}]`);
        for (let i = 0; i < bytes.length; i += 8184) {
            one.ws.send(bytes.subarray(i, i + 8184), { binary: true, fin: i + 8184 >= bytes.length });
        }
        await one.nextMessage();
        truth(bytes.equals(await one.nextMessage()), "the attachment is the same");
    });
    websocket("1,000 events sent at once come back in order", async (t) => {
        const one = await joined(t);
        for (let i = 0; i < 1000; i++) one.send(`42["message",${i}]`);
        for (let i = 0; i < 1000; i++) same(await one.nextMessage(3000), `42["message-back",${i}]`, `event ${i}`);
    });
    websocket("an Origin of any kind is served while no check is configured", async (t) => {
        for (const origin of ["http://evil.example", "null", `http://127.0.0.1:${t.port}/socket.io/?eio=4`]) {
            const one = await connected(t, "", { headers: { Origin: origin } });
            one.end();
        }
    });
}

// ---------------------------------------------------------------- refused upgrades
{
    const refused = group("refused upgrade");
    const isRefusal = (answer, message) => {
        same([answer.status, answer.body], [400, message], "status and body");
        same(answer.headers["content-type"], "text/html", "Content-Type");
        same((answer.headers.connection ?? "").toLowerCase(), "close", "Connection");
        same(Number(answer.headers["content-length"]), message.length, "Content-Length");
        same(answer.headers["access-control-allow-origin"], undefined, "CORS header");
    };
    const cors = { cors: { origin: "*" } };
    refused("unknown transport", async (t) => isRefusal(await rawAnswer(t, upgradeText(`${t.path}?EIO=4&transport=abc`)), errors[0]), cors);
    refused("no transport", async (t) => isRefusal(await rawAnswer(t, upgradeText(`${t.path}?EIO=4`)), errors[0]), cors);
    refused("unknown session", async (t) => isRefusal(await rawAnswer(t, upgradeText(`${t.path}?EIO=4&transport=websocket&sid=abc`)), errors[1]), cors);
    refused("method other than GET", async (t) => {
        const answer = await rawAnswer(t, upgradeText(`${t.path}?EIO=4&transport=websocket`, { method: "PUT" }));
        same([answer.status, answer.body], [400, errors[2]], "answer");
    }, cors);
    refused("protocol of another session", async (t) => {
        const session = await joinedPolling(t);
        const answer = await rawAnswer(t, upgradeText(`${t.path}?EIO=3&transport=websocket&sid=${session.sid}`));
        same([answer.status, answer.body], [400, errors[3]], "answer");
        await pollingAlive(session);
    }, cors);
    refused("protocol that is not 4", async (t) => {
        for (const eio of ["EIO=3&", "", "EIO=abc&"]) {
            const tcp = await raw(t, upgradeText(`${t.path}?${eio}transport=websocket`));
            await within(tcp.closed, 1500, "end of the connection");
            truth(tcp.text.includes("400 Bad Request") && tcp.text.includes(errors[5]), `refusal, got ${tcp.text}`);
            if (t.ours) truth(tcp.text.startsWith("HTTP/1.1 400 "), "ours sends no 101 before");
        }
    }, cors);
    refused("the connection is ended after the refusal", async (t) => {
        const tcp = await raw(t, upgradeText(`${t.path}?EIO=4&transport=abc`));
        await within(tcp.closed, 1000, "end");
    });
    refused("transport=polling is opened and closed empty", async (t) => {
        await closes(wire(t, "?EIO=4&transport=polling"));
    });
    refused("missing key", async (t) => {
        const answer = await rawAnswer(t, upgradeText(`${t.path}?EIO=4&transport=websocket`, { key: null }));
        same([answer.status, answer.body], [400, "Missing or invalid Sec-WebSocket-Key header"], "answer");
    });
    for (const key of ["short", "dGhlIHNhbXBsZSBub25jZQ", "!!!!IHNhbXBsZSBub25jZQ=="]) {
        refused(`invalid key ${key}`, async (t) => {
            const answer = await rawAnswer(t, upgradeText(`${t.path}?EIO=4&transport=websocket`, { key }));
            same([answer.status, answer.body], [400, "Missing or invalid Sec-WebSocket-Key header"], "answer");
        });
    }
    for (const version of ["12", "7", "abc", null]) {
        refused(`version ${version ?? "missing"}`, async (t) => {
            const answer = await rawAnswer(t, upgradeText(`${t.path}?EIO=4&transport=websocket`, { version }));
            same([answer.status, answer.headers["sec-websocket-version"]], [400, "13, 8"], "answer");
        });
    }
}

// ---------------------------------------------------------------- CORS
{
    const cors = group("CORS");
    const get = (t, origin, headers = {}) => ask(base(t) + polling, { headers: { ...(origin ? { Origin: origin } : {}), ...headers } });
    const options = (t, headers = {}) => ask(base(t) + polling, { method: "OPTIONS", headers });
    const allow = (answer) => answer.headers["access-control-allow-origin"];
    cors("off: no headers and OPTIONS is not intercepted", async (t) => {
        const answer = await get(t, "http://a.example");
        same([allow(answer), answer.headers.vary], [undefined, undefined], "headers");
        isError(await options(t, { Origin: "http://a.example" }), 2);
    });
    cors("*: allowed always, without Vary", async (t) => {
        for (const origin of [undefined, "http://a.example"]) {
            const answer = await get(t, origin);
            same([allow(answer), answer.headers.vary], ["*", undefined], `headers for ${origin}`);
        }
    }, { cors: { origin: "*" } });
    cors("*: on polls, POSTs and errors as well", async (t) => {
        const session = await Poller.open(base(t));
        for (const answer of [await session.post("40"), await session.get(), await ask(`${base(t)}?EIO=4`), await ask(`${base(t)}${polling}&sid=x`)]) {
            same(allow(answer), "*", `header of the ${answer.status}`);
        }
        const bare = await session.post("40", { headers: { "Content-Type": "application/octet-stream" } });
        same([bare.status, allow(bare)], [400, "*"], "bare 400");
    }, { cors: { origin: "*" } });
    cors("*: on the 101 too, but not on a refused upgrade", async (t) => {
        const one = await connected(t);
        same((await one.upgradeResponse).headers["access-control-allow-origin"], "*", "header of the 101");
    }, { cors: { origin: "*" } });
    cors("one origin: always that one, with Vary", async (t) => {
        for (const origin of [undefined, "http://a.example", "http://b.example"]) {
            const answer = await get(t, origin);
            same([allow(answer), answer.headers.vary], ["http://a.example", "Origin"], `headers for ${origin}`);
        }
    }, { cors: { origin: "http://a.example" } });
    cors("several origins: the one that asks if it is listed, with Vary", async (t) => {
        for (const [origin, expected] of [["http://a.example", "http://a.example"], ["http://b.example", "http://b.example"], ["http://c.example", undefined],
            ["http://a.example.evil", undefined], ["http://a.exampl", undefined], ["HTTP://A.example", undefined], [undefined, undefined]]) {
            const answer = await get(t, origin);
            same([answer.status, allow(answer), answer.headers.vary], [200, expected, "Origin"], `headers for ${origin}`);
        }
    }, { cors: { origin: ["http://a.example", "http://b.example"] } });
    cors("true: mirrors the origin, with Vary", async (t) => {
        const answer = await get(t, "http://any.example");
        same([allow(answer), answer.headers.vary], ["http://any.example", "Origin"], "headers");
        const none = await get(t);
        same([none.status, allow(none), none.headers.vary], [200, undefined, "Origin"], "headers without Origin");
    }, { cors: { origin: true } });
    cors("preflight: 204 with the default methods and the headers asked for", async (t) => {
        const answer = await options(t, { Origin: "http://a.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-a, x-b" });
        isBare(answer, 204);
        same(answer.headers["access-control-allow-methods"], "GET,HEAD,PUT,PATCH,POST,DELETE", "methods");
        same(answer.headers["access-control-allow-headers"], "x-a, x-b", "headers");
        same(answer.headers.vary, "Access-Control-Request-Headers", "Vary");
        same(answer.headers["content-length"], "0", "Content-Length");
        const order = ["access-control-allow-origin", "access-control-allow-methods", "vary", "access-control-allow-headers", "content-length"];
        if (t.ours) same(headerOrder(answer).sort(), order.sort(), "names of the headers");
        else same(headerOrder(answer), order, "order");
    }, { cors: { origin: "*" } });
    cors("preflight: any OPTIONS of the path, whatever its query", async (t) => {
        for (const query of ["", "?EIO=3", "?transport=abc&sid=x"]) isBare(await ask(base(t) + query, { method: "OPTIONS" }), 204);
    }, { cors: { origin: "*" } });
    cors("preflight: both reasons of Vary are merged", async (t) => {
        const answer = await options(t, { Origin: "http://a.example", "Access-Control-Request-Headers": "x-a" });
        same([allow(answer), answer.headers.vary], ["http://a.example", "Origin, Access-Control-Request-Headers"], "headers");
        const other = await options(t, { Origin: "http://z.example" });
        same([other.status, allow(other)], [204, undefined], "preflight of another origin");
    }, { cors: { origin: ["http://a.example", "http://b.example"] } });
    const full = {
        cors: { origin: "http://a.example", credentials: true, methods: ["GET", "POST"], allowedHeaders: ["x-one", "x-two"], exposedHeaders: ["x-three", "x-four"], maxAge: 600 },
    };
    cors("all settings appear on a preflight, in Node's order", async (t) => {
        const answer = await options(t, { Origin: "http://a.example", "Access-Control-Request-Headers": "x-other" });
        const h = answer.headers;
        same([answer.status, allow(answer), h.vary, h["access-control-allow-credentials"], h["access-control-allow-methods"], h["access-control-allow-headers"],
            h["access-control-max-age"], h["access-control-expose-headers"]],
        [204, "http://a.example", "Origin", "true", "GET,POST", "x-one,x-two", "600", "x-three,x-four"], "values");
        same(headerOrder(answer), ["access-control-allow-origin", "vary", "access-control-allow-credentials", "access-control-allow-methods",
            "access-control-allow-headers", "access-control-max-age", "access-control-expose-headers", "content-length"], "order");
    }, full);
    cors("a normal answer has origin, credentials and exposed headers, in Node's order", async (t) => {
        const answer = await get(t, "http://a.example");
        same(headerOrder(answer), ["access-control-allow-origin", "vary", "access-control-allow-credentials", "access-control-expose-headers",
            "content-type", "content-length", "cache-control"], "order");
        same([answer.headers["access-control-allow-credentials"], answer.headers["access-control-expose-headers"]], ["true", "x-three,x-four"], "values");
    }, full);
    cors("the 101 has the headers of a normal answer", async (t) => {
        const one = await connected(t, "", { headers: { Origin: "http://a.example" } });
        const h = (await one.upgradeResponse).headers;
        same([h["access-control-allow-origin"], h["access-control-allow-credentials"], h["access-control-expose-headers"], h["access-control-allow-methods"]],
            ["http://a.example", "true", "x-three,x-four", undefined], "headers");
    }, full);
    cors("WebSockets of other origins are served while the check is off", async (t) => {
        await connected(t, "", { headers: { Origin: "http://evil.example" } });
    }, { cors: { origin: ["http://a.example", "http://b.example"] } });

    const check = group("Origin check");
    const checked = { cors: { origin: ["http://a.example", "https://b.example"] }, originCheck: true };
    const own = (t) => `127.0.0.1:${t.port}`;
    for (const [name, origin] of [
        ["no Origin", () => undefined], ["a listed origin", () => "http://a.example"], ["the other listed origin", () => "https://b.example"],
        ["the own host with http", (t) => `http://${own(t)}`], ["the own host with https", (t) => `https://${own(t)}`],
        ["the own host with ws", (t) => `ws://${own(t)}`], ["the own host with wss", (t) => `wss://${own(t)}`],
        ["the own host with a path and a query", (t) => `http://${own(t)}/socket.io/?eio=4`],
    ]) {
        check(`a WebSocket with ${name} is served`, async (t) => {
            const value = origin(t);
            await connected(t, "", { headers: value ? { Origin: value } : {} });
        }, checked, { side: "gateway" });
    }
    for (const origin of ["http://evil.example", "null", "http://a.example.evil", "http://127.0.0.1.evil", "https://a.example", "http://evil/127.0.0.1"]) {
        check(`a WebSocket from ${origin} is refused`, async (t) => {
            const one = wire(t, undefined, { headers: { Origin: origin } });
            const answer = await within(one.refused, 1000, "refusal");
            truth(answer.status === 400 || answer.status === 403, `status ${answer.status}`);
        }, checked, { side: "gateway" });
    }
}

// ---------------------------------------------------------------- cookie
{
    const cookie = group("cookie");
    cookie("none by default", async (t) => {
        same((await Poller.open(base(t))).handshake.headers["set-cookie"], undefined, "Set-Cookie");
    });
    cookie("the default one holds the sid and stands on the handshake alone", async (t) => {
        const session = await Poller.open(base(t));
        same(session.handshake.headers["set-cookie"], [`io=${session.sid}; Path=/; HttpOnly; SameSite=Lax`], "Set-Cookie");
        same(headerOrder(session.handshake).at(-1), "set-cookie", "last header");
        const post = await session.post("40");
        const get = await session.get();
        same([post.headers["set-cookie"], get.headers["set-cookie"]], [undefined, undefined], "later answers");
        const one = await connected(t);
        same((await one.upgradeResponse).headers["set-cookie"], undefined, "Set-Cookie of the 101");
        same((await ask(`${base(t)}?EIO=4`)).headers["set-cookie"], undefined, "Set-Cookie of an error");
    }, { cookie: true });
    cookie("all attributes stand in Node's order", async (t) => {
        const session = await Poller.open(base(t));
        same(session.handshake.headers["set-cookie"], [`test=${session.sid}; Max-Age=86400; Domain=d.com; Path=/custom; Secure; SameSite=None`], "Set-Cookie");
    }, { cookie: { name: "test", maxAge: 86400, domain: "d.com", path: "/custom", secure: true, sameSite: "none", httpOnly: false } });
}

// ---------------------------------------------------------------- Socket.IO packets
{
    const packet = group("packet");
    const twice = placeholder(0) + "," + placeholder(1);
    for (const [sent, back] of [
        ['42["message"]', '42["message-back"]'],
        ['42["message",null,true,false,0,-1.5,"",[],{}]', '42["message-back",null,true,false,0,-1.5,"",[],{}]'],
        ['42["message","\\"\\\\ \\n"]', '42["message-back","\\"\\\\ \\n"]'],
        ['42["message","a,b]}"]', '42["message-back","a,b]}"]'],
        [`42["message",${placeholder(0)}]`, `42["message-back",${placeholder(0)}]`],
        ['4212["message-with-ack"]', "4312[]"],
        ['420["message-with-ack",0]', "430[0]"],
        ['42007["message-with-ack",7]', "437[7]"],
        ['429007199254740991["message-with-ack",1]', "439007199254740991[1]"],
        ['42/,["message",1]', '42["message-back",1]'],
        ['42/,5["message-with-ack",1]', "435[1]"],
    ]) {
        packet(`${sent} is answered ${back}`, async (t) => {
            const one = await joined(t);
            one.send(sent);
            same(await one.nextMessage(), back, "answer");
        });
    }
    packet("JSON of any spelling is understood", async (t) => {
        for (const [spelling, value] of [
            ['"\\u00e9\\ud83d\\ude00\\u2013"', "\u00e9\ud83d\ude00\u2013"], ['"<\\/b>\\/"', "</b>/"], ["-3.0E-7", -3e-7], ['"\\u003c"', "<"],
            [' { "a" : [ 1 , 2 ] } ', { a: [1, 2] }],
        ]) {
            const one = await joined(t);
            one.send(`42["message",${spelling}]`);
            same(JSON.parse((await one.nextMessage()).slice(2)), ["message-back", value], spelling);
        }
    });
    for (const name of ['42[1,"x"]', '42["unknown-event",1]', '4299["unknown-event"]', '42[""]', "42", "4312", "43999[1]", '42["message-with-ack",1]x'.slice(0, -1)]) {
        packet(`${name} is tolerated`, async (t) => {
            const one = await joined(t);
            one.send(name);
            await sleep(30);
            truth(!one.isClosed, "the connection is open");
            await websocketAlive(one);
        });
    }
    for (const bad of [
        "4", "47", "48", "49", "4abc", "4{}", '42{}', '42"x"', "42null", "42[", '42["a"', '42["message",}', "42[]", "42[null]", "42[true]", "42[{}]", "42[[]]",
        '42["connect"]', '42["connect_error"]', '42["disconnect"]', '42["disconnecting"]', '42["newListener"]', '42["removeListener"]',
        "43{}", '431"x"', "431null", '41"x"', "41{}", '42-1["message"]', '42abc["message-with-ack"]', '42["message"]trailing', "42['message']",
        '45["message"]', '450-["message"]', '45-["message"]', '45a-["message"]', '451["message"]', '4511-["message"]', '451.5-["message"]',
        '45-1-["message"]', '451-["connect"]', "451-{}", '44{"message":"x"}', '44/custom,{"message":"x"}',
        "40[]", '40"x"', "40null", "40true", "40{",
        '42/custom,["message"]', "41/custom,", "43/custom,1[]", '42/unknown,["message"]', "42,[1]",
    ]) {
        // `42,[1]` has no namespace before its comma: the comma is part of the payload.
        packet(`${bad} after joining / ends the connection with an empty close frame`, async (t) => {
            const one = await joined(t);
            one.send(bad);
            await closes(one, t.ours && bad.startsWith("4511-") ? 1008 : 1005);  // ours names the limit
        });
    }
    for (const bad of ["40[]", '40"x"', "40null", "40/custom,[]", '40/custom,"x"', '40/custom,{"a"', '41', '431[]', '451-["message",' + placeholder(0) + "]x", "4", "49"]) {
        packet(`${bad} before any CONNECT ends the connection`, async (t) => {
            const one = await connected(t);
            one.send(bad);
            await closes(one);
        });
    }
    packet("an event for a namespace that was never asked for ends the connection", async (t) => {
        const one = await connected(t);
        one.send('42["message"]');
        await closes(one);
    });
    packet("events right behind CONNECT: ours keeps and delivers them, Node ends the connection", async (t) => {
        const one = await connected(t);
        one.send("40");
        one.send('42["message",1]');
        one.send('427["message-with-ack",2]');
        if (!t.ours) return closes(one);
        truth((await one.next()).startsWith('40{"sid":'), "CONNECT answer first");
        same(await one.next(), '42["auth",{}]', "auth event");
        same(await one.next(), '42["message-back",1]', "answer to the event");
        same(await one.next(), "437[2]", "ack");
    });
    packet("events right behind CONNECT in one POST: ours delivers them", async (t) => {
        const session = await Poller.open(base(t));
        await session.post(`40\x1e451-["message",${placeholder(0)}]\x1ebAQ==`);
        const got = await session.take(4);
        same(got.slice(1), ['42["auth",{}]', `451-["message-back",${placeholder(0)}]`, "bAQ=="], "packets");
    }, {}, { side: "gateway" });
    packet("a refused CONNECT drops the events that came with it and keeps the connection", async (t) => {
        const one = await joined(t);
        one.send("40/forbidden,");
        one.send('42["message",1]');
        const got = [await one.nextMessage(), await one.nextMessage()].sort();
        same(got, ['42["message-back",1]', '44/forbidden,{"message":"nope","data":{"code":42}}'], "answers");
    });

    const binary = group("binary");
    const pair = async (one) => [[...await one.nextMessage()], [...await one.nextMessage()]];
    binary("attachments may stand anywhere and be used in any order", async (t) => {
        const one = await joined(t);
        one.send(`452-["message",{"a":[${placeholder(1)}],"b":${placeholder(0)}}]`);
        one.send(Buffer.from([1]));
        one.send(Buffer.from([2]));
        const text = await one.nextMessage();
        const got = await pair(one);
        const value = JSON.parse(text.slice(text.indexOf("[")))[1];
        same([got[value.a[0].num], got[value.b.num]], [[2], [1]], "attachments at their places");
    });
    binary("one attachment may be used twice", async (t) => {
        const one = await joined(t);
        one.send(`451-["message",${placeholder(0)},${placeholder(0)}]`);
        one.send(Buffer.from([1]));
        const text = await one.nextMessage();
        const count = Number(/^45(\d+)-/.exec(text)[1]);
        const parts = [];
        for (let i = 0; i < count; i++) parts.push([...await one.nextMessage()]);
        for (const item of JSON.parse(text.slice(text.indexOf("["))).slice(1)) same(parts[item.num], [1], "attachment");
        await websocketAlive(one);
    });
    binary("attachments that nobody refers to are ignored", async (t) => {
        const one = await joined(t);
        one.send('452-["message","x"]');
        one.send(Buffer.from([1]));
        one.send(Buffer.from([2]));
        const text = await one.nextMessage();
        if (text.startsWith("45")) await pair(one);
        same(JSON.parse(text.slice(text.indexOf("["))), ["message-back", "x"], "event");
        await websocketAlive(one);
    });
    binary("ten attachments pass, eleven are refused", async (t) => {
        const one = await joined(t);
        const list = Array.from({ length: 10 }, (_, i) => placeholder(i)).join(",");
        one.send(`4510-["message",${list}]`);
        for (let i = 0; i < 10; i++) one.send(Buffer.from([i]));
        same(await one.nextMessage(), `4510-["message-back",${list}]`, "packet");
        for (let i = 0; i < 10; i++) same([...await one.nextMessage()], [i], `attachment ${i}`);
        one.send(`4511-["message",${list},${placeholder(10)}]`);
        await closes(one, t.ours ? 1008 : 1005);
    });
    binary("pongs may come between a packet and its attachments", async (t) => {
        const one = await joined(t);
        one.send(`452-["message",${twice}]`);
        one.send("3");
        one.send(Buffer.from([1]));
        one.send("3");
        one.send(Buffer.from([2]));
        same(await one.nextMessage(), `452-["message-back",${twice}]`, "packet");
        same(await pair(one), [[1], [2]], "attachments");
    });
    binary("a text packet while attachments are missing ends the connection", async (t) => {
        const one = await joined(t);
        one.send(`452-["message",${twice}]`);
        one.send(Buffer.from([1]));
        one.send('42["message"]');
        await closes(one);
    });
    binary("a binary message that nobody expects ends the connection", async (t) => {
        const one = await joined(t);
        one.send(Buffer.from([1]));
        await closes(one);
        const early = await connected(t);
        early.send(Buffer.from([1]));
        await closes(early);
    });
    for (const bad of ['{"_placeholder":true,"num":1}', '{"_placeholder":true,"num":-1}', '{"_placeholder":true,"num":"0"}', '{"_placeholder":true}', '{"_placeholder":true,"num":null}']) {
        binary(`a placeholder ${bad} with one attachment is an error`, async (t) => {
            const one = await joined(t);
            one.send(`451-["message",${bad}]`);
            one.send(Buffer.from([1]));
            await closes(one);
        });
    }
    binary("an object whose _placeholder is not true is plain JSON", async (t) => {
        const one = await joined(t);
        one.send(`451-["message",{"_placeholder":1,"num":5},${placeholder(0)}]`);
        one.send(Buffer.from([1]));
        same(await one.nextMessage(), `451-["message-back",{"_placeholder":1,"num":5},${placeholder(0)}]`, "packet");
        same([...await one.nextMessage()], [1], "attachment");
    });
    binary("an acknowledgement with binary is of type 6, in a namespace too", async (t) => {
        const one = await joined(t);
        one.send(`451-3["message-with-ack",{"x":${placeholder(0)}}]`);
        one.send(Buffer.from([7, 8]));
        same(await one.nextMessage(), `461-3[{"x":${placeholder(0)}}]`, "packet");
        same([...await one.nextMessage()], [7, 8], "attachment");
    });
    binary("a broadcast with binary reaches WebSocket and polling clients", async (t) => {
        const one = await joined(t);
        const session = await joinedPolling(t);
        one.send(`451-["broadcast",${placeholder(0)}]`);
        one.send(Buffer.from([1, 2, 255]));
        same(await one.nextMessage(), `451-["broadcast",${placeholder(0)}]`, "packet by WebSocket");
        same([...await one.nextMessage()], [1, 2, 255], "attachment by WebSocket");
        same(await session.take(2), [`451-["broadcast",${placeholder(0)}]`, "bAQL/"], "by polling");
    });
    binary("an attachment that is missing does not hold up other clients", async (t) => {
        const one = await joined(t);
        one.send(`452-["message",${twice}]`);
        await websocketAlive(await joined(t));
    });
}

// ---------------------------------------------------------------- protocol errors by polling
{
    const error = group("protocol error, polling");
    for (const [name, body] of [["an undecodable packet", "4abc"], ["an event of another namespace", '42/custom,["x"]']]) {
        error(`${name} ends the session: the next poll tells it, then code 1`, async (t) => {
            const session = await joinedPolling(t);
            same((await session.post(body)).status, 200, "status of the POST");
            const next = await session.get();
            if (next.status === 200) {
                same(next.body.split("\x1e").filter((p) => p !== "6"), ["1"], "next poll");
                if (!t.ours) same(next.body, "6\x1e1", "next poll of the reference");
                await gone(session);
            } else {
                truth(t.ours, "the reference holds the close for one poll");
                isError(next, 1);
            }
        });
        error(`${name} ends a held poll with 1`, async (t) => {
            const session = await joinedPolling(t);
            const { held } = await hold(session);
            await session.post(body);
            same((await within(held, 500, "end of the poll")).body, "1", "held poll");
            await gone(session);
        });
    }
}

// ---------------------------------------------------------------- namespaces
{
    const nsp = group("namespace");
    for (const [sent, answer] of [
        ["40/custom?token=abc,", '44/custom?token=abc,{"message":"Invalid namespace"}'],
        ["40/Custom,", '44/Custom,{"message":"Invalid namespace"}'],
        ["40/custom/,", '44/custom/,{"message":"Invalid namespace"}'],
        ["40/random,{}", '44/random,{"message":"Invalid namespace"}'],
        ["40/roomx,", '44/roomx,{"message":"Invalid namespace"}'],
        ["40/room,", '44/room,{"message":"Invalid namespace"}'],
        ["40/forbidden,", '44/forbidden,{"message":"nope","data":{"code":42}}'],
        ['40/forbidden,{"token":"x"}', '44/forbidden,{"message":"nope","data":{"code":42}}'],
    ]) {
        nsp(`${sent} is answered ${answer} and the connection stays`, async (t) => {
            const one = await connected(t);
            one.send(sent);
            same(await one.nextMessage(), answer, "answer");
            await join(one);
            await websocketAlive(one);
        });
    }
    for (const [sent, prefix, auth] of [["40", "40", "{}"], ["40{}", "40", "{}"], ["40/,", "40", "{}"], ['40/,{"token":"t"}', "40", '{"token":"t"}'], ["40/", "40", "{}"],
        ['40{"a":{"b":[1,"\u00e9"]}}', "40", '{"a":{"b":[1,"\u00e9"]}}']]) {
        nsp(`${sent} joins the main namespace`, async (t) => {
            const one = await connected(t);
            one.send(sent);
            truth((await one.nextMessage()).startsWith(`${prefix}{"sid":"`), "CONNECT answer");
            same(await one.nextMessage(), `42["auth",${auth}]`, "auth");
        });
    }
    nsp("leaving with 41/, works", async (t) => {
        const one = await joined(t);
        one.send("41/,");
        await sleep(40);
        truth(!one.isClosed, "the connection is open");
        await join(one);
    });
    nsp("a pattern gives namespaces of their own", async (t) => {
        const one = await connected(t);
        await join(one, "/room-12");
        same(one.auth, '42/room-12,["auth",{}]', "auth");
    });
    nsp("each has its own id and its own auth", async (t) => {
        const one = await joined(t, { auth: { a: 1 } });
        const main = one.connect.sid;
        await join(one, "/custom", { b: 2 });
        truth(one.connect.sid !== main, "the ids differ");
        same(one.auth, '42/custom,["auth",{"b":2}]', "auth");
    });
    nsp("CONNECT answers have a sid and nothing else", async (t) => {
        const one = await joined(t);
        same(Object.keys(one.connect), ["sid"], "keys");
    });
    nsp("whoever leaves may come back with a new id", async (t) => {
        const one = await joined(t);
        const first = one.connect.sid;
        one.send("41");
        if (!t.ours) await sleep(30); // Node leaves a little later and takes an immediate CONNECT for a second one
        await join(one);
        truth(one.connect.sid !== first, "the id is new");
        await websocketAlive(one);
    });
    nsp("an event after leaving ends the connection", async (t) => {
        const one = await joined(t);
        one.send("41");
        await sleep(30);
        one.send('42["message",1]');
        await closes(one);
    });
    nsp("an event for one namespace does not reach another", async (t) => {
        const one = await joined(t);
        await join(one, "/custom");
        one.send('42/custom,["message",1]');
        await websocketAlive(one);
    });
    const hasty = { connectTimeout: 400 };
    nsp("who joins nothing is closed after the connect timeout", async (t) => {
        const one = await connected(t);
        const started = performance.now();
        await closes(one);
        const lived = performance.now() - started;
        truth(lived > 330 && lived < 600, `closed after ${Math.round(lived)} ms`);
    }, hasty);
    nsp("a failed join does not stop the connect timeout", async (t) => {
        const one = await connected(t);
        one.send("40/random,");
        await one.nextMessage();
        await closes(one);
    }, hasty);
    nsp("leaving does not start the connect timeout again", async (t) => {
        const one = await joined(t);
        one.send("41");
        await sleep(700);
        truth(!one.isClosed, "the connection is open");
    }, hasty);
    nsp("a polling session that joins nothing ends after the connect timeout", async (t) => {
        const session = await Poller.open(base(t));
        const end = await session.get();
        same([end.status, end.body], [200, "1"], "held poll");
        await gone(session);
    }, hasty);
}

// ---------------------------------------------------------------- acknowledgements asked by the server, leaving, rooms
{
    const ack = group("acknowledgement");
    const alone = { upgradeTimeout: 9000 };
    ack("the server's ids start at 0 per namespace and go up for all sockets", async (t) => {
        const server = await t.pool.get({ ...calm, upgradeTimeout: 8000 + Math.floor(Math.random() * 999) });
        const here = { ...t, url: `http://127.0.0.1:${server.port}`, port: server.port };
        const a = await joined(here);
        const b = await joined(here);
        await join(a, "/custom");
        a.send('42["ask-me","x"]');
        same(await a.nextMessage(), '420["question","x"]', "first");
        b.send('42["ask-me","y"]');
        same(await b.nextMessage(), '421["question","y"]', "second, of another socket");
        a.send('42/custom,["ask-me","z"]');
        same(await a.nextMessage(), '42/custom,0["question","z"]', "first of the other namespace");
        a.send('430["one",2]');
        same(await a.nextMessage(), '42["answered","one",2]', "answer");
        b.send("431[]");
        same(await b.nextMessage(), '42["answered"]', "empty answer");
    });
    const question = async (one) => {
        one.send('42["ask-me"]');
        return /^42(\d+)\["question"\]$/.exec(await one.nextMessage())[1];
    };
    ack("unknown and repeated ids are ignored", async (t) => {
        const one = await joined(t);
        const id = await question(one);
        one.send(`43${Number(id) + 100}["unknown"]`);
        one.send(`43${id}["first"]`);
        one.send(`43${id}["again"]`);
        same(await one.nextMessage(), '42["answered","first"]', "answer");
        await websocketAlive(one);
    }, alone);
    ack("an id of another socket is ignored", async (t) => {
        const a = await joined(t);
        const b = await joined(t);
        const id = await question(a);
        b.send(`43${id}["stolen"]`);
        await websocketAlive(b);
        a.send(`43${id}["mine"]`);
        same(await a.nextMessage(), '42["answered","mine"]', "answer");
    }, alone);
    ack("answers may carry binary", async (t) => {
        const one = await joined(t);
        const id = await question(one);
        one.send(`461-${id}[${placeholder(0)}]`);
        one.send(Buffer.from([1, 2]));
        same(await one.nextMessage(), `451-["answered",${placeholder(0)}]`, "packet");
        same([...await one.nextMessage()], [1, 2], "attachment");
    }, alone);
    ack("answers come back in any order", async (t) => {
        const one = await joined(t);
        const first = await question(one);
        const second = await question(one);
        one.send(`43${second}["b"]`);
        same(await one.nextMessage(), '42["answered","b"]', "second");
        one.send(`43${first}["a"]`);
        same(await one.nextMessage(), '42["answered","a"]', "first");
    }, alone);
    ack("work by polling", async (t) => {
        const session = await joinedPolling(t);
        await session.post('42["ask-me",1]');
        const [asked] = await session.packets();
        const id = /^42(\d+)\["question",1\]$/.exec(asked)[1];
        await session.post(`43${id}["yes"]`);
        same(await session.packets(), ['42["answered","yes"]'], "answer");
    }, alone);

    const leave = group("leaving");
    leave("the server's disconnect of a namespace sends 41 and keeps the connection", async (t) => {
        const one = await joined(t);
        await join(one, "/custom");
        one.send('42/custom,["leave-me"]');
        same(await one.nextMessage(), "41/custom,", "packet");
        await websocketAlive(one);
        one.send('42["leave-me"]');
        same(await one.nextMessage(), "41", "packet");
        await sleep(50);
        truth(!one.isClosed, "the connection is open");
    });
    leave("the server's disconnect of the client sends 41 for each namespace and closes empty", async (t) => {
        const one = await joined(t);
        await join(one, "/custom");
        one.send('42["kick"]');
        same([await one.next(), await one.next()].sort(), ["41", "41/custom,"], "packets");
        await closes(one);
    });
    leave("by polling a kicked client gets 41, then the end", async (t) => {
        const session = await joinedPolling(t);
        const { held } = await hold(session);
        await session.post('42["kick"]');
        const got = (await held).body.split("\x1e");
        for (;;) {
            const next = await within(session.get(), 1000, "poll after the kick");
            if (next.status !== 200) { isError(next, 1); break; }
            got.push(...next.body.split("\x1e"));
        }
        same(got.filter((p) => p !== "6"), ["41", "1"], "packets");
        if (!t.ours) same(got, ["41", "6", "1"], "packets of the reference");
    });
    leave("by polling a kicked client without a held poll gets all at its next one", async (t) => {
        const session = await joinedPolling(t);
        await session.post('42["kick"]');
        const got = [];
        for (;;) {
            const next = await within(session.get(), 1000, "poll after the kick");
            if (next.status !== 200) { isError(next, 1); break; }
            got.push(...next.body.split("\x1e"));
        }
        same(got.filter((p) => p !== "6"), ["41", "1"], "packets");
    });
    leave("the server's close of the transport sends no 41", async (t) => {
        const one = await joined(t);
        one.send('42["drop"]');
        const code = (await within(one.closed, 1000, "close")).code;
        same(one.queue, [], "frames before the close");
        if (!t.ours) same(code, 1005, "close code");
    });
    leave("by polling a dropped client's held poll is ended", async (t) => {
        const session = await joinedPolling(t);
        const { held } = await hold(session);
        await session.post('42["drop"]');
        const end = await within(held, 1000, "end of the poll");
        if (!t.ours) same([end.status, end.body], [200, "1"], "held poll");
        await gone(session);
    });
    leave("what was sent before the end arrives before it", async (t) => {
        const one = await joined(t);
        for (let i = 0; i < 50; i++) one.send(`42["message",${i}]`);
        one.send('42["kick"]');
        for (let i = 0; i < 50; i++) same(await one.nextMessage(), `42["message-back",${i}]`, `event ${i}`);
        same(await one.nextMessage(), "41", "disconnect");
        await closes(one);
    });
    leave("SIGTERM ends sessions with 1012 and releases polls, without 41, and the server exits with 0", async (t) => {
        const { launchWith } = await import("./gateway.mjs");
        const server = await launchWith({ ...calm, extraFlags: ["--drain-deadline", "2s"] });
        const here = { ...t, url: `http://127.0.0.1:${server.port}`, port: server.port };
        const one = await joined(here);
        const session = await joinedPolling(here);
        const { held } = await hold(session);
        process.kill(server.pid, "SIGTERM");
        const [end, poll] = await Promise.all([
            within(one.closed, 8000, "close of the WebSocket"),
            within(held.catch((e) => ({ status: "cut", body: e.message })), 8000, "end of the poll"),
        ]);
        same(end.code, 1012, "close code");
        same(one.queue, [], "frames before the close");
        truth(!String(poll.body).includes("41"), `the poll has no 41, got ${poll.body}`);
        const limit = Date.now() + 8000;
        while (!server.exited() && Date.now() < limit) await sleep(20);
        same(server.exited(), "exit 0", "end of the process");
    }, {}, { side: "gateway", timeout: 20000 });

    const room = group("rooms");
    room("a broadcast reaches all, the sender too", async (t) => {
        const a = await joined(t);
        const b = await joined(t);
        const mark = randomBytes(4).toString("hex");
        a.send(`42["broadcast","${mark}"]`);
        for (const one of [a, b]) same(await one.nextMessage(), `42["broadcast","${mark}"]`, "broadcast");
    });
    room("others are all but the sender", async (t) => {
        const a = await joined(t);
        const b = await joined(t);
        a.send('42["others",1]');
        same(await b.nextMessage(), '42["others",1]', "event");
        await websocketAlive(a);
    });
    room("only its members get what goes to a room, and leaving by disconnect ends that", async (t) => {
        const a = await joined(t);
        const b = await joined(t);
        const c = await joined(t);
        const name = randomBytes(4).toString("hex");
        for (const one of [a, b]) { one.send(`42["join","${name}"]`); await websocketAlive(one); }
        c.send(`42["to-room","${name}",1]`);
        for (const one of [a, b]) same(await one.nextMessage(), '42["to-room",1]', "event");
        await websocketAlive(c);
        b.send("41");
        if (!t.ours) await sleep(30);
        await join(b);
        c.send(`42["to-room","${name}",2]`);
        same(await a.nextMessage(), '42["to-room",2]', "event");
        await websocketAlive(b);
    });
}

// ---------------------------------------------------------------- connection state recovery
{
    const recovery = group("recovery");
    const on = { recovery: "on" };
    const argumentsOf = (packet) => JSON.parse(packet.slice(packet.indexOf("[")));
    /** Takes the next event, checks its name and arguments and gives its offset. */
    async function offsetOf(one, ...expected) {
        const args = argumentsOf(await one.nextMessage());
        const offset = args.pop();
        same(args, expected, "event before its offset");
        same(typeof offset, "string", "type of the offset");
        return offset;
    }
    const start = async (t, auth) => {
        const one = await connected(t);
        await join(one, "/", auth);
        const args = argumentsOf(one.auth);
        one.offset = args.pop();
        one.args = args;
        return one;
    };
    /**
     * Sends CONNECT with `auth` and gives the answer and the missed packets. Node sends them before the answer, where a
     * client keeps them; when it is cut in the midst of them it hears them twice. We answer first.
     */
    async function again(t, auth, skipBinary = false) {
        const one = await connected(t);
        one.send(`40${JSON.stringify(auth)}`);
        const missed = [];
        const take = (packet) => missed.push(skipBinary && typeof packet !== "string" ? [...packet] : packet);
        const isAnswer = (packet) => typeof packet === "string" && packet.startsWith("40");
        let packet = await one.nextMessage();
        if (t.ours) truth(isAnswer(packet), `CONNECT is answered first, not with ${packet}`);
        for (; !isAnswer(packet); packet = await one.nextMessage()) take(packet);
        const connect = JSON.parse(packet.slice(2));
        if (t.ours) {
            // What was missed comes before what the routes say at a connect, and before the answer to what is sent now.
            one.send('429["whoami"]');
            for (packet = await one.nextMessage(); !String(packet).startsWith("439"); packet = await one.nextMessage()) take(packet);
            if (String(missed.at(-1)).startsWith('42["auth"')) missed.pop();
        }
        return { one, missed, connect };
    }
    const away = async (one) => { one.end(); await one.closed; await sleep(50); };

    recovery("CONNECT is answered with sid and pid, in this order", async (t) => {
        const one = await start(t);
        same(Object.keys(one.connect), ["sid", "pid"], "keys");
        truth(typeof one.connect.pid === "string" && one.connect.pid !== one.connect.sid, "pid is another string");
    }, on);
    recovery("each event without an ack id has an offset as last argument", async (t) => {
        const one = await start(t);
        same(one.args, ["auth", {}], "auth event");
        same(typeof one.offset, "string", "type of the offset");
        one.send('42["message",1,{"a":2}]');
        await offsetOf(one, "message-back", 1, { a: 2 });
        one.send('42["broadcast","x"]');
        await offsetOf(one, "broadcast", "x");
        one.send('42["message"]');
        await offsetOf(one, "message-back");
    }, on);
    recovery("offsets differ from event to event", async (t) => {
        const one = await start(t);
        const seen = new Set([one.offset]);
        for (let i = 0; i < 20; i++) one.send(`42["message",${i}]`);
        for (let i = 0; i < 20; i++) seen.add(await offsetOf(one, "message-back", i));
        same(seen.size, 21, "number of distinct offsets");
    }, on);
    recovery("with binary the offset is the last item of the text", async (t) => {
        const one = await start(t);
        one.send(`451-["message",${placeholder(0)}]`);
        one.send(Buffer.from([5]));
        const text = await one.nextMessage();
        truth(text.startsWith(`451-["message-back",${placeholder(0)},"`), `packet ${text}`);
        same([...await one.nextMessage()], [5], "attachment");
    }, on);
    recovery("acks and events that want one have no offset", async (t) => {
        const one = await start(t);
        one.send('425["message-with-ack",1]');
        same(await one.nextMessage(), "435[1]", "ack");
        one.send('42["ask-me",1]');
        truth(/^42\d+\["question",1\]$/.test(await one.nextMessage()), "event that wants an ack");
    }, on);
    recovery("volatile events: ours have an offset, Node's have none", async (t) => {
        const one = await start(t);
        one.send('42["volatile",1]');
        const args = argumentsOf(await one.nextMessage());
        same(args.slice(0, 2), ["volatile-back", 1], "event");
        same(args.length, t.ours ? 3 : 2, "number of items");
    }, on);
    recovery("missed events come oldest first, with the old sid and pid", async (t) => {
        const one = await start(t, { token: "a" });
        const other = await start(t);
        await away(one);
        for (let i = 0; i < 5; i++) { other.send(`42["broadcast",${i}]`); await other.nextMessage(); }
        const back = await again(t, { token: "b", pid: one.connect.pid, offset: one.offset });
        same(back.missed.map((p) => argumentsOf(p).slice(0, -1)), [0, 1, 2, 3, 4].map((i) => ["broadcast", i]), "missed events");
        for (const p of back.missed) same(typeof argumentsOf(p).at(-1), "string", "offset of a missed event");
        same(back.connect, { sid: one.connect.sid, pid: one.connect.pid }, "CONNECT answer");
    }, on);
    recovery("what was received is not sent again", async (t) => {
        const one = await start(t);
        const other = await start(t);
        other.send('42["broadcast","seen"]');
        const offset = await offsetOf(one, "broadcast", "seen");
        await other.nextMessage();
        await away(one);
        other.send('42["broadcast","missed"]');
        await other.nextMessage();
        const back = await again(t, { pid: one.connect.pid, offset });
        same(back.missed.map((p) => argumentsOf(p)[1]), ["missed"], "missed events");
    }, on);
    recovery("rooms are kept: missed events of them come, those of other rooms do not", async (t) => {
        const one = await start(t);
        const other = await start(t);
        const name = randomBytes(4).toString("hex");
        one.send(`42["join","${name}"]`);
        one.send('42["message","joined"]');
        const offset = await offsetOf(one, "message-back", "joined");
        await away(one);
        other.send(`42["to-room","${name}","mine"]`);
        other.send('42["to-room","foreign","not mine"]');
        other.send('42["others","to others"]');
        other.send('42["message","only the sender"]');
        await other.nextMessage();
        const back = await again(t, { pid: one.connect.pid, offset });
        same(back.missed.map((p) => argumentsOf(p).slice(0, -1)), [["to-room", "mine"], ["others", "to others"]], "missed events");
        const after = await start(t);
        after.send(`42["to-room","${name}","after"]`);
        for (;;) {
            const args = argumentsOf(await back.one.nextMessage());
            if (args[0] === "to-room") { same(args[1], "after", "event after the recovery"); break; }
        }
    }, on);
    recovery("a missed event with binary comes with its attachments", async (t) => {
        const one = await start(t);
        const other = await start(t);
        await away(one);
        other.send(`451-["broadcast",${placeholder(0)}]`);
        other.send(Buffer.from([1, 2, 3]));
        await other.nextMessage();
        const back = await again(t, { pid: one.connect.pid, offset: one.offset }, true);
        truth(back.missed[0].startsWith(`451-["broadcast",${placeholder(0)},"`), `packet ${back.missed[0]}`);
        same(back.missed[1], [1, 2, 3], "attachment");
    }, on);
    recovery("missed volatile events and acks are not sent", async (t) => {
        const one = await start(t);
        const other = await start(t);
        await away(one);
        other.send('42["volatile","x"]');
        await other.nextMessage();
        const back = await again(t, { pid: one.connect.pid, offset: one.offset });
        same(back.missed, [], "missed events");
        same(back.connect.sid, one.connect.sid, "sid");
    }, on);
    recovery("the application is told that the socket was recovered, with the new auth", async (t) => {
        const one = await start(t, { token: "old" });
        await away(one);
        const back = await again(t, { token: "new", pid: one.connect.pid, offset: one.offset });
        back.one.send('421["whoami"]');
        for (;;) {
            const packet = await back.one.nextMessage();
            if (!packet.startsWith("431")) continue;
            const [who] = JSON.parse(packet.slice(3));
            same([who.recovered, who.sid, who.auth.token, who.transport], [true, one.connect.sid, "new", "websocket"], "whoami");
            break;
        }
    }, on);
    recovery("works after the server dropped the transport", async (t) => {
        const one = await start(t);
        one.send('42["drop"]');
        await within(one.closed, 1000, "close");
        const back = await again(t, { pid: one.connect.pid, offset: one.offset });
        same(back.connect, one.connect, "CONNECT answer");
    }, on);
    recovery("works by polling and after a polling session", async (t) => {
        const session = await Poller.open(base(t));
        await session.post("40");
        const [answer, auth] = await session.take(2);
        const connect = JSON.parse(answer.slice(2));
        const other = await start(t);
        await session.post("1");
        other.send('42["broadcast","x"]');
        await other.nextMessage();
        const back = await Poller.open(base(t));
        await back.post(`40${JSON.stringify({ pid: connect.pid, offset: argumentsOf(auth).at(-1) })}`);
        const got = (await back.take(2)).slice(0, 2);
        if (t.ours) got.reverse();
        same(argumentsOf(got[0]).slice(0, 2), ["broadcast", "x"], "missed event");
        same(got[1], `40${JSON.stringify(connect)}`, "CONNECT answer");
    }, on);
    recovery("works twice in a row", async (t) => {
        const one = await start(t);
        const other = await start(t);
        await away(one);
        other.send('42["broadcast",1]');
        await other.nextMessage();
        const first = await again(t, { pid: one.connect.pid, offset: one.offset });
        await away(first.one);
        other.send('42["broadcast",2]');
        await other.nextMessage();
        const second = await again(t, { pid: one.connect.pid, offset: argumentsOf(first.missed[0]).at(-1) });
        same(second.missed.filter((p) => p.includes("broadcast")).map((p) => argumentsOf(p)[1]), [2], "missed events");
        same(second.connect, one.connect, "CONNECT answer");
    }, on);
    for (const [name, make] of [
        ["an unknown pid", (one) => ({ pid: "nonsense", offset: one.offset })],
        ["an unknown offset", (one) => ({ pid: one.connect.pid, offset: "nonsense" })],
        ["a pid that is no string", (one) => ({ pid: 5, offset: one.offset })],
        ["an offset that is no string", (one) => ({ pid: one.connect.pid, offset: 5 })],
        ["an offset without a pid", (one) => ({ offset: one.offset })],
    ]) {
        recovery(`${name} gives a new session`, async (t) => {
            const one = await start(t);
            await away(one);
            const back = await again(t, make(one));
            same(back.missed, [], "missed events");
            truth(back.connect.sid !== one.connect.sid && back.connect.pid !== one.connect.pid, "sid and pid are new");
        }, on);
    }
    recovery("a pid without an offset: ours gives all since the connect, Node a new session", async (t) => {
        const one = await start(t);
        const other = await start(t);
        await away(one);
        other.send('42["broadcast","x"]');
        await other.nextMessage();
        const back = await again(t, { pid: one.connect.pid });
        if (!t.ours) return truth(back.connect.sid !== one.connect.sid, "the sid is new");
        const names = back.missed.map((p) => argumentsOf(p).slice(0, 2));
        same(names.at(-1), ["broadcast", "x"], "last missed event");
        same(back.connect.sid, one.connect.sid, "sid");
    }, on);
    for (const [name, leave] of [["left the namespace by itself", '41'], ["was kicked", '42["kick"]'], ["was made to leave", '42["leave-me"]']]) {
        recovery(`a client that ${name} does not recover`, async (t) => {
            const one = await start(t);
            one.send(leave);
            await sleep(50);
            await away(one);
            const back = await again(t, { pid: one.connect.pid, offset: one.offset });
            truth(back.connect.sid !== one.connect.sid, "the sid is new");
        }, on);
    }
    recovery("a session is forgotten after its window", async (t) => {
        const one = await start(t);
        await away(one);
        await sleep(1500);
        const back = await again(t, { pid: one.connect.pid, offset: one.offset });
        truth(back.connect.sid !== one.connect.sid, "the sid is new");
    }, { recovery: "on", recoveryWindow: 700 }, { side: "gateway" });
    recovery("off: no pid, no offsets, and a pid is ignored", async (t) => {
        const one = await joined(t, { auth: { pid: "a", offset: "b" } });
        same(Object.keys(one.connect), ["sid"], "keys");
        await websocketAlive(one);
    });

    const auto = group("recovery auto");
    const settings = [{ recovery: "auto" }, { side: "gateway" }];
    const wants = async (t, ws, query) => {
        const one = await connected(t, query, ws);
        one.send("40");
        const connect = JSON.parse((await one.nextMessage()).slice(2));
        const event = argumentsOf(await one.nextMessage());
        same(event.length, "pid" in connect ? 3 : 2, "items of the auth event");
        return "pid" in connect;
    };
    for (const [agent, expected] of [
        ["Mozilla/5.0 (X11; Linux x86_64) Chrome/156", true], ["node-XMLHttpRequest", true], ["node", true], ["engine.io-go/1.0", true],
        ["python-requests/2.32", false], ["Python/3.11 aiohttp/3.14.5", false], ["okhttp/3.12.12", false], ["Go-http-client/1.1", false], [undefined, false], ["nodejs", false],
    ]) {
        auto(`User-Agent ${agent ?? "absent"} ${expected ? "gets" : "gets no"} pid and offsets by WebSocket`, async (t) => {
            same(await wants(t, { headers: agent ? { "User-Agent": agent } : {} }), expected, "pid");
        }, ...settings);
        auto(`User-Agent ${agent ?? "absent"} ${expected ? "gets" : "gets no"} pid and offsets by polling`, async (t) => {
            const session = await Poller.open(base(t), { headers: agent ? { "User-Agent": agent } : {} });
            await session.post("40");
            const [connect, event] = await session.take(2);
            same(["pid" in JSON.parse(connect.slice(2)), argumentsOf(event).length], [expected, expected ? 3 : 2], "pid and items");
        }, ...settings);
    }
    const offer = (text) => ({ headers: { "Sec-WebSocket-Extensions": text } });
    auto("the offer of Node's ws client gets them", async (t) => same(await wants(t, offer("permessage-deflate; client_max_window_bits")), true, "pid"), ...settings);
    auto("another offer does not", async (t) => {
        same(await wants(t, offer("permessage-deflate; client_max_window_bits; server_max_window_bits=15")), false, "pid");
        same(await wants(t, offer("permessage-deflate")), false, "pid");
    }, ...settings);
    auto("recovery=1 in the query gets them, recovery=0 turns them off", async (t) => {
        same(await wants(t, {}, "&recovery=1"), true, "pid with recovery=1");
        same(await wants(t, { headers: { "User-Agent": "Mozilla/5.0" } }, "&recovery=0"), false, "pid with recovery=0");
        same(await wants(t, offer("permessage-deflate; client_max_window_bits"), "&recovery=0"), false, "pid with recovery=0 and the offer");
    }, ...settings);
    auto("one broadcast reaches both kinds, each in its form", async (t) => {
        const one = await connected(t, "", { headers: { "User-Agent": "node" } });
        await join(one);
        const plain = await joined(t);
        plain.send('42["broadcast","x"]');
        same(await plain.nextMessage(), '42["broadcast","x"]', "to the one without recovery");
        same(argumentsOf(await one.nextMessage()).length, 3, "items to the one with recovery");
    }, ...settings);
}

// ---------------------------------------------------------------- client bundle
{
    const bundle = group("bundle");
    const file = (name) => readFileSync(new URL(`../node_modules/socket.io/client-dist/${name}`, import.meta.url));
    const version = JSON.parse(readFileSync(new URL("../node_modules/socket.io/package.json", import.meta.url))).version;
    for (const name of ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js"]) {
        for (const [full, type] of [[name, "application/javascript; charset=utf-8"], [`${name}.map`, "application/json; charset=utf-8"]]) {
            bundle(`${full} is served as Node serves it`, async (t) => {
                const answer = await ask(base(t) + full);
                same(answer.status, 200, "status");
                same([answer.headers["content-type"], answer.headers["cache-control"], answer.headers.etag], [type, "public, max-age=0", `"${version}"`], "headers");
                truth(file(full).equals(answer.bytes), "the content is that of the package");
            });
        }
    }
    bundle("an equal ETag gives an empty 304, in the weak form too", async (t) => {
        for (const tag of [`"${version}"`, `W/"${version}"`]) {
            const answer = await ask(`${base(t)}socket.io.js`, { headers: { "If-None-Match": tag } });
            same([answer.status, answer.body], [304, ""], `answer to ${tag}`);
        }
        same((await ask(`${base(t)}socket.io.js`, { headers: { "If-None-Match": '"other"' } })).status, 200, "another tag");
    });
    bundle("a query is ignored and so is the method", async (t) => {
        same((await ask(`${base(t)}socket.io.min.js?v=1&EIO=4`)).status, 200, "with a query");
        same((await ask(`${base(t)}socket.io.min.js`, { method: "POST", body: "x" })).status, 200, "POST");
        const head = await ask(`${base(t)}socket.io.min.js`, { method: "HEAD" });
        same([head.status, head.body], [200, ""], "HEAD");
    });
    for (const [accept, expected] of [["gzip", "gzip"], ["deflate", "deflate"], ["br", "br"], ["gzip, deflate", "gzip"], ["gzip, br", "gzip"], ["identity", undefined], ["br;q=0.5, gzip;q=0.4", "br"]]) {
        bundle(`Accept-Encoding ${accept} gives ${expected ?? "none"}`, async (t) => {
            const answer = await ask(`${base(t)}socket.io.min.js`, { headers: { "Accept-Encoding": accept } });
            const encoding = answer.headers["content-encoding"];
            // Brotli is Node's extra; gzip or no encoding serves whoever asks for it as well.
            if (t.ours && expected === "br") oneOf(encoding, ["br", "gzip", undefined], "Content-Encoding");
            else same(encoding, expected, "Content-Encoding");
            if (t.ours && encoding === "gzip") truth(accept.includes("gzip"), "gzip was asked for");
            const plain = { gzip: zlib.gunzipSync, deflate: zlib.inflateSync, br: zlib.brotliDecompressSync }[encoding]?.(answer.bytes) ?? answer.bytes;
            truth(file("socket.io.min.js").equals(plain), "the content is that of the package");
        });
    }
    bundle("has the CORS headers", async (t) => {
        same((await ask(`${base(t)}socket.io.js`)).headers["access-control-allow-origin"], "*", "header");
        same((await ask(`${base(t)}socket.io.js`, { method: "OPTIONS" })).status, 204, "status of OPTIONS");
    }, { cors: { origin: "*" } });
    for (const name of ["other.js", "socket.io.j", "socket.io.jsx", "../package.json", "socket.io.js/x"]) {
        bundle(`${name} is not a file but an Engine.IO request without a transport`, async (t) => {
            const answer = await rawAnswer(t, `GET ${t.path}${name} HTTP/1.1\r\nHost: a\r\n\r\n`);
            same([answer.status, answer.body], [400, errorBody(0)], "answer");
        });
    }
    bundle("switched off it is not served", async (t) => {
        isError(await ask(`${base(t)}socket.io.js`), 0);
    }, { serveClient: false });
}

export default cases;
