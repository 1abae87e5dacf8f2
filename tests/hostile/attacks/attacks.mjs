// The attacks: { name, run(context), expected }. Each comes from one address, and none logs in. run() does the thing once
// or until the time is over; it is run again as long as there is time. `expected`: `fails: why`, for one that is not
// withstood yet: it is run and shown, and fails nothing.
import { frame, getHead, pause, post, postHead, text, upgradeHead } from "./wire.mjs";

export const attacks = [];
const attack = (name, run, more = {}) => attacks.push({ name, run, ...more });
const range = (n) => Array.from({ length: n }, (_, i) => i);
/** `n` of what `open` opens, side by side. */
const many = (n, open) => Promise.all(range(n).map(open));
const repeated = (bytes, n) => Buffer.concat(range(n).map(() => Buffer.from(bytes)));
const kilobytes = (n) => "a".repeat(n * 1000);

// --- requests ---
const bundle = "GET /socket.io/socket.io.js.map HTTP/1.1\r\nHost: a\r\n\r\n";
attack("requests pipelined, no answer read", async (c) => {
    const socket = await c.tcp({ reads: false });
    await c.put(socket, repeated(bundle, 3600));
    await c.rest();
});
attack("big files asked for on 100 connections, none read", async (c) => {
    await many(100, async () => c.put(await c.tcp({ reads: false }), repeated(bundle, 20)));
    await c.rest();
}, { expected: "fails: a turn answers what all connections have pipelined, up to 2.5 MB each" });
attack("polling sessions opened on one connection", async (c) => c.flood(await c.tcp(), repeated(getHead(), 50)), { expected: "fails: no bound of sessions is that of an address" });
attack("polling sessions opened with heads of 15 KB", async (c) => {
    await c.flood(await c.tcp(), repeated(getHead("", `X: ${"h".repeat(15000)}\r\n`), 10));
});
attack("heads that trickle in on 200 connections", async (c) => {
    const sockets = await many(200, () => c.tcp());
    const head = getHead("", `X: ${"x".repeat(4000)}\r\n`);
    for (let at = 0; at < head.length && !c.isOver; at += 40) {
        for (const socket of sockets) await c.put(socket, head.slice(at, at + 40));
        await pause(10);
    }
});
attack("heads of 16 KB without an end on 300 connections", async (c) => {
    await many(300, async () => c.put(await c.tcp(), getHead("", `X: ${"x".repeat(15900)}`).slice(0, -4)));
    await c.rest();
});
attack("heads of 500 lines, one after the other", async (c) => {
    await c.flood(await c.tcp(), repeated(getHead("", range(500).map((i) => `X-${i}: ${i}\r\n`).join("")), 5));
});
attack("bodies announced and trickling in on 100 sessions", async (c) => {
    const sockets = await many(100, async () => {
        const socket = await c.tcp();
        await c.put(socket, postHead(await c.session(), "Content-Length: 1000000\r\n"));
        await c.put(socket, kilobytes(200));
        return socket;
    });
    while (!c.isOver) {
        for (const socket of sockets) await c.put(socket, "x");
        await pause(20);
    }
});
attack("bodies promised with 100-continue that never come", async (c) => {
    await many(200, async () => c.put(await c.tcp(), postHead(await c.session(), "Content-Length: 1000000\r\nExpect: 100-continue\r\n")));
    await c.rest();
});
attack("a chunked body of chunks of one byte", async (c) => {
    const socket = await c.tcp();
    await c.put(socket, postHead(await c.session({ joins: true }), "Transfer-Encoding: chunked\r\n"));
    for (let i = 0; i < 20; i++) await c.put(socket, repeated("1\r\nx\r\n", 50000));
});
attack("chunk extensions without an end", async (c) => {
    const socket = await c.tcp();
    await c.put(socket, postHead(await c.session(), "Transfer-Encoding: chunked\r\n") + "1;");
    await c.flood(socket, kilobytes(60));
});
attack("POST bodies of 200,000 tiny packets", async (c) => {
    const sid = await c.session({ joins: true });
    const socket = await c.tcp();
    while (await c.put(socket, post(sid, Array(200000).fill("42[]").join("\x1e")))) await pause(50);
});
attack("GETs and POSTs of one session that overlap", async (c) => {
    const sid = await c.session({ joins: true });
    await many(20, async (i) => {
        const socket = await c.tcp();
        for (let n = 0; n < 200 && await c.put(socket, i % 2 ? getHead(`&sid=${sid}`) : post(sid, '42["message",1]')); n++) await pause(2);
    });
});
attack("long answers that must be compressed", async (c) => {
    const sid = await c.session({ joins: true });
    const socket = await c.tcp();
    const noise = range(40000).map((i) => (i * 2654435761 >>> 0).toString(36)).join("");
    while (await c.put(socket, post(sid, `42["message","${noise}"]`) + getHead(`&sid=${sid}`, "Accept-Encoding: gzip\r\n"))) await pause(50);
}, { expected: "fails: a poll's answer of up to 1 MB is compressed within a turn" });
attack("files that must be compressed, asked for over and over", async (c) => {
    await c.flood(await c.tcp(), repeated("GET /socket.io/socket.io.js HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n", 20));
}, { expected: "fails: a file of the bundle is compressed within a turn when it is first asked for" });
attack("connections opened and closed", async (c) => {
    while (!c.isOver) {
        for (const socket of await many(20, () => c.tcp())) socket.resetAndDestroy();
    }
});
attack("500 connections that say nothing", async (c) => {
    await many(500, () => c.tcp());
    await c.rest();
});
attack("held polls half closed", async (c) => {
    while (!c.isOver) {
        const sid = await c.session({ joins: true });
        const socket = await c.tcp({ halfOpen: true });
        await c.put(socket, getHead(`&sid=${sid}`));
        socket.end();
    }
});

// --- upgrades ---
attack("a probe that pings and reads nothing", async (c) => {
    const socket = await c.websocket({ reads: false, joins: false, query: `&sid=${await c.session()}` });
    await c.flood(socket, repeated(frame(9, "a".repeat(125)), 4000));
});
attack("thousands of probes of one session", async (c) => {
    const sid = await c.session();
    while (!c.isOver) {
        const sockets = await many(20, () => c.tcp());
        for (const socket of sockets) await c.put(socket, Buffer.concat([Buffer.from(upgradeHead(`&sid=${sid}`)), text("2probe")]));
        await pause(5);
        for (const socket of sockets.slice(10)) socket.destroy();
    }
});
attack("WebSockets opened with heads of 15 KB", async (c) => {
    const lines = `User-Agent: Mozilla/5.0\r\nX: ${"h".repeat(15000)}\r\n`;
    await many(300, () => c.websocket({ joins: false, lines }));
    await c.rest();
});

// --- frames ---
attack("empty pings, no pong read", async (c) => {
    await c.flood(await c.websocket({ reads: false }), repeated(frame(9), 20000));
});
attack("pings of 125 bytes on 20 connections, no pong read", async (c) => {
    await many(20, async () => c.flood(await c.websocket({ reads: false }), repeated(frame(9, "p".repeat(125)), 2000)));
});
attack("a message in fragments of one byte", async (c) => {
    const socket = await c.websocket();
    await c.put(socket, frame(1, "4", false));
    for (let i = 0; i < 90; i++) if (!await c.put(socket, repeated(frame(0, "x", false), 10000))) return;
});
attack("fragments of no bytes without an end", async (c) => {
    const socket = await c.websocket();
    await c.put(socket, frame(1, "4", false));
    await c.flood(socket, repeated(frame(0, "", false), 10000));
});
attack("messages of no bytes", async (c) => c.flood(await c.websocket(), repeated(frame(1, ""), 10000)));
attack("messages of 1 MB begun and never ended on 60 connections", async (c) => {
    await many(60, async () => c.put(await c.websocket(), frame(1, `42["message","${kilobytes(990)}`, false)));
    await c.rest();
});
attack("frames that announce 1 MB and bring half", async (c) => {
    await many(60, async () => {
        const whole = frame(2, Buffer.alloc(990000));
        await c.put(await c.websocket(), whole.subarray(0, 500000));
    });
    await c.rest();
});
attack("messages over the limit, connection after connection", async (c) => {
    while (!c.isOver) await c.put(await c.websocket(), frame(1, kilobytes(1100)));
});

// --- packets ---
attack("nested num of a binary event", async (c) => {
    const depth = 430;
    const body = `451-["x",${'{"num":'.repeat(depth)}"${"a".repeat(990000 - 8 * depth)}"${"}".repeat(depth)}]`;
    const socket = await c.websocket();
    while (await c.put(socket, text(body)) && await c.put(socket, frame(2, "x"))) await pause(20);
}, { expected: "fails: the scan for placeholders is quadratic" });
attack("binary events whose attachments never come", async (c) => {
    await many(12, async () => {
        const socket = await c.websocket({ joins: false });
        await c.put(socket, text(`40{"x":"${kilobytes(900)}"}`));
        await c.put(socket, text(`4510-["x"${range(10).map((k) => `,{"_placeholder":true,"num":${k}}`).join("")}]`));
        for (let i = 0; i < 9; i++) await c.put(socket, frame(2, Buffer.alloc(900000)));
    });
    await c.rest();
});
attack("an attachment echoed by 20,000 placeholders", async (c) => {
    const socket = await c.websocket({ reads: false });
    const packet = text(`451-["message"${',{"_placeholder":true,"num":0}'.repeat(20000)}]`);
    while (await c.put(socket, Buffer.concat([packet, frame(2, Buffer.alloc(100000))]))) await pause(10);
});
attack("JSON nested 150,000 deep", async (c) => {
    const socket = await c.websocket();
    const body = text(`42["message",${'{"a":'.repeat(150000)}1${"}".repeat(150000)}]`);
    if (await c.put(socket, body)) await pause(30);
});
attack("JSON of 400,000 numbers for an answer", async (c) => {
    const socket = await c.websocket();
    const body = text(`421["message-with-ack",[${Array(400000).fill("1").join(",")}]]`);
    while (await c.put(socket, body)) await pause(50);
});
attack("echoes of 900 KB, none read", async (c) => {
    const socket = await c.websocket({ reads: false });
    const body = text(`42["message","${kilobytes(900)}"]`);
    while (await c.put(socket, body) && socket.writableLength < 4e6);
    await c.rest();
}, { expected: "fails: beside its account, what it is sent is kept for recovery, 64 MB of it" });
attack("acknowledgements of 900 KB, none read", async (c) => {
    const socket = await c.websocket({ reads: false });
    const body = text(`421["message-with-ack","${kilobytes(900)}"]`);
    while (await c.put(socket, body) && socket.writableLength < 4e6);
    await c.rest();
});
attack("acknowledgements that nobody asked for", async (c) => {
    await c.flood(await c.websocket(), repeated(range(1000).map((i) => text(`43${i}[1]`).toString("latin1")).join(""), 5));
});
attack("questions that are never answered", async (c) => {
    const socket = await c.websocket();
    for (let i = 0; i < 60; i++) if (!await c.put(socket, text(`42["ask-me","${kilobytes(900)}"]`))) return;
    await c.rest();
});
attack("100 sockets whose questions fill every place", async (c) => {
    await many(100, async () => c.put(await c.websocket(), repeated(text('42["ask-me",1]'), 100)));
    await c.rest();
});
attack("broadcasts to everybody as fast as they go", async (c) => {
    await c.flood(await c.websocket(), repeated(text('42["broadcast","x"]'), 100));
});
attack("broadcasts of 100 KB to 50 sockets of its own that read nothing", async (c) => {
    const sockets = await many(50, () => c.websocket({ reads: false }));
    for (const socket of sockets) await c.put(socket, text('42["join","mine"]'));
    await c.flood(await c.websocket(), text(`42["to-room","mine","${kilobytes(100)}"]`));
});

// --- namespaces and rooms ---
attack("namespaces by a pattern, 64 for each connection", async (c) => {
    for (let n = 0; !c.isOver; n += 64) {
        const socket = await c.websocket({ joins: false });
        const name = (i) => `/room-${n + i}${"7".repeat(240)}`;
        await c.put(socket, Buffer.concat(range(64).map((i) => text(`40${name(i)},`))));
        await pause(5);
        if (n % 1280 === 0) await c.letGo();
    }
});
attack("auth of 900 KB for each of 64 namespaces", async (c) => {
    const socket = await c.websocket({ joins: false });
    for (let i = 0; i < 64; i++) if (!await c.put(socket, text(`40/room-${i},{"x":"${kilobytes(900)}"}`))) return;
    await c.rest();
}, { expected: "fails: beside its account, what it is sent is kept for recovery, 64 MB of it" });
attack("CONNECT and DISCONNECT in turns", async (c) => {
    await c.flood(await c.websocket({ joins: false }), repeated(Buffer.concat([text("40"), text("41")]), 500));
}, { expected: "fails: they count as events of no limit, and a share of a turn of them takes 20 ms" });
attack("100 events after each new CONNECT", async (c) => {
    const round = Buffer.concat([text("40"), repeated(text('421["message-with-ack",1]'), 100), text("41")]);
    await c.flood(await c.websocket({ joins: false }), round);
}, { expected: "fails: the window of the rate limit begins again with each CONNECT" });
attack("packets for namespaces that are not served", async (c) => {
    await c.flood(await c.websocket(), Buffer.concat(range(500).map((i) => text(`40/none-${i},{}`))));
});
attack("events before any CONNECT", async (c) => {
    while (!c.isOver) {
        const socket = await c.websocket({ joins: false });
        await c.put(socket, repeated(text(`42["message","${kilobytes(60)}"]`), 10));
    }
});
attack("rooms with names of 250 bytes", async (c) => {
    const socket = await c.websocket();
    const room = (i) => text(`42["join","${String(i).padEnd(250, "r")}"]`);
    for (let i = 0; await c.put(socket, Buffer.concat(range(200).map((k) => room(i + k)))); i += 200);
});
attack("rooms whose names have one hash", async (c) => {
    const names = (await import("./collide.mjs")).names(c.address);
    await many(20, async (i) => {
        const socket = await c.websocket();
        await c.put(socket, Buffer.concat(names.slice(i * 100, i * 100 + 100).map((name) => text(`42["join",${JSON.stringify(name)}]`))));
    });
    await pause(Math.min(300, c.left));
}, { expected: "fails: the hash is not keyed" });
attack("rooms kept for sockets that leave", async (c) => {
    for (let n = 0; !c.isOver; n++) {
        const socket = await c.websocket();
        const room = (i) => text(`42["join","${`${n}-${i}-`.padEnd(240, "k")}"]`);
        await c.put(socket, Buffer.concat(range(100).map(room)));
        await pause(2);
        socket.end();
    }
});
attack("sockets that come and go", async (c) => {
    while (!c.isOver) {
        for (const socket of await many(10, () => c.websocket())) socket.destroy();
    }
});
