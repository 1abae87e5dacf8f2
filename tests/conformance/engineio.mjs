// The 25 behaviours that the official Engine.IO v4 suite checks, on a server that echoes each message
// (pingInterval 300, pingTimeout 200, maxPayload 1000000).
import { collect, oneOf, same, sleep, truth } from "./runner.mjs";
import { Wire } from "./client.mjs";

/** Helpers bound to one server; `t.url` is its origin, `t.path` the Engine.IO path. */
export function tools(t) {
    const http = (query) => `${t.url}${t.path}${query}`;
    const ws = (query) => http(query).replace(/^http/, "ws");
    const open = (url, options) => {
        const wire = new Wire(url, options);
        t.after(() => wire.end());
        return wire;
    };
    return {
        http, ws, open,
        /** Opens a polling session and gives its sid. */
        async polling() {
            const response = await fetch(http("?EIO=4&transport=polling"));
            same(response.status, 200, "handshake status");
            return JSON.parse((await response.text()).slice(1)).sid;
        },
        poll: (sid, init) => fetch(http(`?EIO=4&transport=polling&sid=${sid}`), init),
        post: (sid, body) => fetch(http(`?EIO=4&transport=polling&sid=${sid}`), { method: "POST", body }),
        /** Opens a WebSocket session and takes its handshake. */
        async websocket() {
            const wire = open(ws("?EIO=4&transport=websocket"));
            const first = await wire.next();
            same(first[0], "0", "first frame's type");
            return wire;
        },
        upgrade: (sid) => open(ws(`?EIO=4&transport=websocket&sid=${sid}`)),
        async statusOf(query, init) { return (await fetch(http(query), init)).status; },
        /** A WebSocket to `query` must fail to open, or close by itself. */
        async refused(query) { await open(ws(query)).closed; },
    };
}

const handshakeIs = (text, upgrades) => {
    same(text[0], "0", "packet type");
    const value = JSON.parse(text.slice(1));
    same(Object.keys(value).sort(), ["maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"], "keys of the handshake");
    same(typeof value.sid, "string", "type of sid");
    same(value.upgrades, upgrades, "upgrades");
    same([value.pingInterval, value.pingTimeout, value.maxPayload], [300, 200, 1000000], "times and size");
};

/** Cases that both suites have; `names` tells which of them. */
export function handshakeCases(add) {
    add("handshake, polling: opens a session", async (t) => {
        const response = await fetch(tools(t).http("?EIO=4&transport=polling"));
        same(response.status, 200, "status");
        handshakeIs(await response.text(), ["websocket"]);
    });
    add("handshake, polling: an absent or wrong EIO is refused", async (t) => {
        same(await tools(t).statusOf("?transport=polling"), 400, "status without EIO");
        same(await tools(t).statusOf("?EIO=abc&transport=polling"), 400, "status of EIO=abc");
    });
    add("handshake, polling: an absent or wrong transport is refused", async (t) => {
        same(await tools(t).statusOf("?EIO=4"), 400, "status without transport");
        same(await tools(t).statusOf("?EIO=4&transport=abc"), 400, "status of transport=abc");
    });
    add("handshake, polling: POST and PUT do not open a session", async (t) => {
        same(await tools(t).statusOf("?EIO=4&transport=polling", { method: "POST" }), 400, "status of POST");
        same(await tools(t).statusOf("?EIO=4&transport=polling", { method: "PUT" }), 400, "status of PUT");
    });
    add("handshake, WebSocket: opens a session", async (t) => {
        handshakeIs(await tools(t).open(tools(t).ws("?EIO=4&transport=websocket")).next(), []);
    });
    add("handshake, WebSocket: an absent or wrong EIO is refused", async (t) => {
        await tools(t).refused("?transport=websocket");
        await tools(t).refused("?EIO=abc&transport=websocket");
    });
    add("handshake, WebSocket: an absent or wrong transport is refused", async (t) => {
        await tools(t).refused("?EIO=4");
        await tools(t).refused("?EIO=4&transport=abc");
    });
}

export function heartbeatCases(add) {
    add("heartbeat, polling: pings are sent and pongs taken", async (t) => {
        const { polling, poll, post } = tools(t);
        const sid = await polling();
        for (let i = 0; i < 3; i++) {
            const response = await poll(sid);
            same(response.status, 200, "poll status");
            same(await response.text(), "2", "poll body");
            same((await post(sid, "3")).status, 200, "pong status");
        }
    }, { timeout: 5000 });
    add("heartbeat, polling: the session is gone 500 ms after the handshake without a pong", async (t) => {
        const { polling, poll } = tools(t);
        const sid = await polling();
        // Node adds up two late timers; a server that computes its deadlines needs no slack.
        await sleep(t.reference ? 520 : 500);
        same((await poll(sid)).status, 400, "poll status");
    }, { timeout: 5000 });
    add("heartbeat, WebSocket: pings are sent and pongs taken", async (t) => {
        const wire = await tools(t).websocket();
        for (let i = 0; i < 3; i++) {
            same(await wire.next(), "2", "frame");
            wire.send("3");
        }
    }, { timeout: 5000 });
    add("heartbeat, WebSocket: closed when no pong comes", async (t) => {
        await (await tools(t).websocket()).closed;
    }, { timeout: 5000 });
}

export function closeCases(add) {
    add("close, polling: a POSTed close releases the poll and forgets the session", async (t) => {
        const { polling, poll, post } = tools(t);
        const sid = await polling();
        const [held] = await Promise.all([poll(sid), post(sid, "1")]);
        same(held.status, 200, "poll status");
        same(await held.text(), "6", "poll body");
        same((await poll(sid)).status, 400, "status of the next poll");
    });
    add("close, WebSocket: the connection ends after a close packet", async (t) => {
        const wire = await tools(t).websocket();
        wire.send("1");
        await wire.closed;
    });
}

const { cases, add } = collect();
handshakeCases(add);
add("message, polling: one text packet is echoed", async (t) => {
    const { polling, poll, post } = tools(t);
    const sid = await polling();
    const answer = await post(sid, "4hello");
    same([answer.status, await answer.text()], [200, "ok"], "answer to the POST");
    const echo = await poll(sid);
    same([echo.status, await echo.text()], [200, "4hello"], "poll");
});
add("message, polling: several packets are echoed in one poll, in order", async (t) => {
    const { polling, poll, post } = tools(t);
    const sid = await polling();
    const payload = "4test1\x1e4test2\x1e4test3";
    const answer = await post(sid, payload);
    same([answer.status, await answer.text()], [200, "ok"], "answer to the POST");
    const echo = await poll(sid);
    same([echo.status, await echo.text()], [200, payload], "poll");
});
add("message, polling: text and binary in one payload are echoed", async (t) => {
    const { polling, poll, post } = tools(t);
    const sid = await polling();
    const payload = "4hello\x1ebAQIDBA==";
    const answer = await post(sid, payload);
    same([answer.status, await answer.text()], [200, "ok"], "answer to the POST");
    const echo = await poll(sid);
    same([echo.status, await echo.text()], [200, payload], "poll");
});
add("message, polling: an invalid packet ends the session", async (t) => {
    const { polling, poll, post } = tools(t);
    const sid = await polling();
    let status = "aborted";
    try { status = (await post(sid, "abc")).status; } catch { /* an aborted request is allowed */ }
    oneOf(status, [200, 400, "aborted"], "status of the POST");
    same((await poll(sid)).status, 400, "status of the next poll");
});
add("message, polling: a second poll ends the session", async (t) => {
    const { polling, poll } = tools(t);
    const sid = await polling();
    const first = poll(sid);
    await sleep(5);
    const second = await poll(sid);
    oneOf(second.status, [400, 500], "status of the second poll");
    const one = await first;
    same([one.status, await one.text()], [200, "1"], "first poll");
    same((await poll(sid)).status, 400, "status of a later poll");
});
add("message, polling: a cancelled poll ends the session", async (t) => {
    const { polling, poll } = tools(t);
    const sid = await polling();
    const controller = new AbortController();
    const held = poll(sid, { signal: controller.signal }).catch(() => "aborted");
    await sleep(5);
    controller.abort();
    same((await poll(sid)).status, 400, "status of the next poll");
    same(await held, "aborted", "the cancelled poll");
});
add("message, WebSocket: text is echoed", async (t) => {
    const wire = await tools(t).websocket();
    wire.send("4hello");
    same(await wire.next(), "4hello", "frame");
});
add("message, WebSocket: binary is echoed", async (t) => {
    const wire = await tools(t).websocket();
    wire.send(Buffer.from([1, 2, 3, 4]));
    const frame = await wire.next();
    truth(Buffer.isBuffer(frame), "the echo is a binary frame");
    same([...frame], [1, 2, 3, 4], "bytes");
});
add("message, WebSocket: an invalid packet ends the connection", async (t) => {
    const wire = await tools(t).websocket();
    wire.send("abc");
    await wire.closed;
});
heartbeatCases(add);
closeCases(add);
add("upgrade: from polling to WebSocket", async (t) => {
    const { polling, poll, upgrade } = tools(t);
    const sid = await polling();
    const wire = upgrade(sid);
    await wire.opened;
    wire.send("2probe");
    same(await wire.next(), "3probe", "answer to the probe");
    const held = await poll(sid);
    same([held.status, await held.text()], [200, "6"], "poll while probing");
    wire.send("5");
    wire.send("4hello");
    same(await wire.next(), "4hello", "echo after the upgrade");
});
add("upgrade: polling is refused afterwards", async (t) => {
    const { polling, poll, upgrade } = tools(t);
    const sid = await polling();
    const wire = upgrade(sid);
    await wire.opened;
    wire.send("2probe");
    same(await wire.next(), "3probe", "answer to the probe");
    wire.send("5");
    same((await poll(sid)).status, 400, "poll status");
    wire.send("4hello");
    same(await wire.next(), "4hello", "echo");
});
add("upgrade: a second WebSocket is closed and the first unharmed", async (t) => {
    const { polling, upgrade } = tools(t);
    const sid = await polling();
    const wire = upgrade(sid);
    await wire.opened;
    wire.send("2probe");
    same(await wire.next(), "3probe", "answer to the probe");
    wire.send("5");
    await upgrade(sid).closed;
    wire.send("4hello");
    same(await wire.next(), "4hello", "echo");
});

export default cases;
