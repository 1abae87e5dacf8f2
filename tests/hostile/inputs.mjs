// Hostile inputs. Each is { name, play(port, random) }; play resolves when the input is over, and never fails.
import net from "node:net";
import { closePayload, frame } from "../rfc6455/raw.mjs";

/** A small seeded generator (mulberry32): numbers in [0, 1). */
export function seeded(seed) {
    let a = seed >>> 0;
    const next = () => {
        a = (a + 0x6d2b79f5) >>> 0;
        let t = Math.imul(a ^ (a >>> 15), 1 | a);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    next.below = (n) => Math.floor(next() * n);
    next.pick = (list) => list[next.below(list.length)];
    next.bytes = (n) => { const b = Buffer.alloc(n); for (let i = 0; i < n; i++) b[i] = next.below(256); return b; };
    return next;
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** A connection that swallows every error; `seen` is what came back (at most 64 KiB). */
export function connect(port, { halfOpen = false } = {}) {
    return new Promise((done) => {
        const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: halfOpen });
        socket.seen = "";
        socket.gone = new Promise((over) => socket.on("close", over));
        socket.on("error", () => {});
        socket.on("data", (d) => { if (socket.seen.length < 65536) socket.seen += d.toString("latin1"); });
        socket.on("connect", () => done(socket));
        socket.on("close", () => done(socket));
    });
}

export async function put(socket, ...parts) {
    for (const part of parts) if (!socket.destroyed && socket.writable) socket.write(part);
}

/** Waits until the peer ends, at most `ms`; then leaves in one of three ways. */
async function leave(socket, ms, how = 0) {
    await Promise.race([socket.gone, pause(ms)]);
    if (how === 1) socket.resetAndDestroy();
    else if (how === 2) { socket.end(); await Promise.race([socket.gone, pause(20)]); socket.destroy(); }
    else socket.destroy();
}

const path = "/socket.io/?EIO=4&transport=polling";
const ws = "/socket.io/?EIO=4&transport=websocket";
export const upgrade = (target = ws, extra = "") =>
    `GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${extra}\r\n`;

/** Opens a polling session by hand; gives its sid, or nothing. */
export async function session(port) {
    const socket = await connect(port);
    await put(socket, `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    await Promise.race([socket.gone, pause(1000)]);
    socket.destroy();
    return /"sid":"([^"]+)"/.exec(socket.seen)?.[1] ?? "";
}

/** Opens a WebSocket that has joined the main namespace. */
export async function websocket(port, join = true) {
    const socket = await connect(port);
    await put(socket, upgrade());
    for (let i = 0; i < 200 && !socket.seen.includes("pingInterval") && !socket.destroyed; i++) await pause(5);
    if (join) {
        await put(socket, frame(1, "40"));
        for (let i = 0; i < 200 && !socket.seen.includes('42["auth"') && !socket.destroyed; i++) await pause(5);
    }
    return socket;
}

const post = (sid, body, headers = `Content-Length: ${Buffer.byteLength(body)}\r\n`) =>
    `POST ${path}&sid=${sid} HTTP/1.1\r\nHost: a\r\n${headers}\r\n${body}`;

/** Requests that a strict server refuses: name, head lines after the request line, body. All are POSTs with a valid sid. */
export const smuggling = {
    "length and chunked together": ["Content-Length: 4\r\nTransfer-Encoding: chunked", "1\r\n3\r\n0\r\n\r\n"],
    "chunked and length together": ["Transfer-Encoding: chunked\r\nContent-Length: 30", "1\r\n3\r\n0\r\n\r\n"],
    "two lengths that differ": ["Content-Length: 1\r\nContent-Length: 30", "3"],
    "a list of lengths that differ": ["Content-Length: 1, 30", "3"],
    "a negative length": ["Content-Length: -1", "3"],
    "a length with a plus": ["Content-Length: +1", "3"],
    "a hexadecimal length": ["Content-Length: 0x1", "3"],
    "a length with a letter": ["Content-Length: 1a", "3"],
    "a length with a point": ["Content-Length: 1.0", "3"],
    "an empty length": ["Content-Length: ", "3"],
    "a length above 64 bits": ["Content-Length: 18446744073709551617", "3"],
    "a length of two words": ["Content-Length: 1 1", "3"],
    "a space before the colon": ["Content-Length : 1", "3"],
    "a tab before the colon": ["Content-Length\t: 1", "3"],
    "a folded header": ["Content-Length:\r\n 1", "3"],
    "a folded chunked": ["Transfer-Encoding:\r\n chunked", "1\r\n3\r\n0\r\n\r\n"],
    "a folded unknown header": ["X-Fold: a\r\n b\r\nContent-Length: 1", "3"],
    "a header line that begins with a space": [" Content-Length: 30\r\nContent-Length: 1", "3"],
    "a header without a name": [": 1\r\nContent-Length: 1", "3"],
    "a header without a colon": ["Content-Length 1\r\nX: y", "3"],
    "a NUL in a header": ["X-A: a\0b\r\nContent-Length: 1", "3"],
    "a carriage return alone in a header": ["X-A: a\rContent-Length: 30\r\nContent-Length: 1", "3"],
    "chunked that is not the last coding": ["Transfer-Encoding: chunked, identity", "1\r\n3\r\n0\r\n\r\n"],
    "an unknown coding": ["Transfer-Encoding: xchunked", "1\r\n3\r\n0\r\n\r\n"],
    "gzip and chunked": ["Transfer-Encoding: gzip, chunked", "1\r\n3\r\n0\r\n\r\n"],
    "identity": ["Transfer-Encoding: identity", "3"],
    "chunked twice": ["Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "1\r\n3\r\n0\r\n\r\n"],
    "a chunk size with a prefix": ["Transfer-Encoding: chunked", "0x1\r\n3\r\n0\r\n\r\n"],
    "a chunk size with a sign": ["Transfer-Encoding: chunked", "+1\r\n3\r\n0\r\n\r\n"],
    "a negative chunk size": ["Transfer-Encoding: chunked", "-1\r\n3\r\n0\r\n\r\n"],
    "an empty chunk size": ["Transfer-Encoding: chunked", "\r\n3\r\n0\r\n\r\n"],
    "a chunk size above 64 bits": ["Transfer-Encoding: chunked", "10000000000000001\r\n3\r\n0\r\n\r\n"],
    "a chunk size that wraps": ["Transfer-Encoding: chunked", "ffffffffffffffff\r\n3\r\n0\r\n\r\n"],
    "a chunk size of letters": ["Transfer-Encoding: chunked", "xyz\r\n3\r\n0\r\n\r\n"],
    "a chunk longer than it says": ["Transfer-Encoding: chunked", "1\r\n33\r\n0\r\n\r\n"],
    "a chunk line that ends with LF": ["Transfer-Encoding: chunked", "1\n3\r\n0\r\n\r\n"],
    "a chunk that ends with LF": ["Transfer-Encoding: chunked", "1\r\n3\n0\r\n\r\n"],
    "a chunk extension with a bare LF": ["Transfer-Encoding: chunked", "1;a\n3\r\n0\r\n\r\n"],
    "two Hosts": ["Host: b\r\nContent-Length: 1", "3"],
};

/** Whole requests that are no HTTP/1.1: must be refused or cut, never served. */
export const malformed = {
    "no version": `GET ${path}\r\nHost: a\r\n\r\n`,
    "HTTP/2.0": `GET ${path} HTTP/2.0\r\nHost: a\r\n\r\n`,
    "HTTP/9.9": `GET ${path} HTTP/9.9\r\nHost: a\r\n\r\n`,
    "HTTP/1.10": `GET ${path} HTTP/1.10\r\nHost: a\r\n\r\n`,
    "a version in lower case": `GET ${path} http/1.1\r\nHost: a\r\n\r\n`,
    "two spaces": `GET  ${path} HTTP/1.1\r\nHost: a\r\n\r\n`,
    "a space in the target": `GET ${path}&a= b HTTP/1.1\r\nHost: a\r\n\r\n`,
    "a tab for a space": `GET\t${path}\tHTTP/1.1\r\nHost: a\r\n\r\n`,
    "a NUL in the target": `GET ${path}&a=\0 HTTP/1.1\r\nHost: a\r\n\r\n`,
    "a target without a slash": `GET socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\n\r\n`,
    "a method of symbols": `G@T ${path} HTTP/1.1\r\nHost: a\r\n\r\n`,
    "a method in lower case": `get ${path} HTTP/1.1\r\nHost: a\r\n\r\n`,
    "no Host": `GET ${path} HTTP/1.1\r\n\r\n`,
    "a Host of two": `GET ${path} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n`,
    "a TLS hello": Buffer.from("1603010200010001fc0303", "hex"),
    "an HTTP/2 preface": Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "latin1"),
    "an SSH banner": "SSH-2.0-OpenSSH_9.2\r\n",
    "garbage": Buffer.from("\x00\xff\xfe\x80garbage\r\n\r\n", "latin1"),
    "CONNECT": "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
};

const valid = [
    () => `GET ${path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip, deflate\r\nUser-Agent: x\r\nConnection: keep-alive\r\n\r\n`,
    (sid) => post(sid, '42["message",{"a":[1,2,3]}]'),
    (sid) => post(sid, `452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]\x1ebAQID\x1ebBAUG`),
    (sid) => post(sid, "1\r\n3\r\n0\r\n\r\n", "Transfer-Encoding: chunked\r\n"),
    (sid) => `GET ${path}&sid=${sid} HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\nCookie: io=${sid}\r\n\r\n`,
    () => `OPTIONS ${path} HTTP/1.1\r\nHost: a\r\nAccess-Control-Request-Headers: x\r\n\r\n`,
    () => upgrade(),
    (sid) => upgrade(`${ws}&sid=${sid}`),
    () => "GET /socket.io/socket.io.js HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\"\r\n\r\n",
    () => "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n",
];

/** Changes some bytes: flips, insertions, deletions, repetitions, truncations. */
export function mutate(text, random) {
    let b = Buffer.from(text, "latin1");
    for (let i = 1 + random.below(6); i > 0 && b.length > 2; i--) {
        const at = random.below(b.length);
        switch (random.below(7)) {
        case 0: b[at] ^= 1 << random.below(8); break;
        case 1: b[at] = random.below(256); break;
        case 2: b = Buffer.concat([b.subarray(0, at), random.bytes(1 + random.below(20)), b.subarray(at)]); break;
        case 3: b = Buffer.concat([b.subarray(0, at), b.subarray(Math.min(b.length, at + 1 + random.below(20)))]); break;
        case 4: { const part = b.subarray(at, at + 1 + random.below(200)); b = Buffer.concat([b.subarray(0, at), ...Array(1 + random.below(30)).fill(part), b.subarray(at)]); break; }
        case 5: b = b.subarray(0, at + 1); break;
        default: b = Buffer.concat([b.subarray(0, at), Buffer.from(random.pick(["\r\n", "\n", "\r", "\0", "\x1e", ":", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "%", "%zz", "[", "{", "\xc0\x80"]), "latin1"), b.subarray(at)]);
        }
    }
    return b;
}

const packets = ['42["message",1]', '4299["message-with-ack",{"a":1}]', "40/custom,", "41", "43[]", "430[]", "3", "2", "5", "6", "1", "0", "4", "40[]", '42["join",{"a":1}]',
    '451-["message",{"_placeholder":true,"num":0}]', '45999999999-["message"]', "42[", '42["', "4".repeat(1000), '42/' + "n".repeat(5000) + ",[]", "42" + "9".repeat(5000) + '["message"]',
    '42["message","\\ud800"]', '42["message","\\u12"]', "40" + '{"a":'.repeat(2000), '42["message",' + "1".repeat(20000) + "]", '42["message",1e999999]', '42["__proto__"]', '40{"__proto__":1}', "b", "b!!!!", "bAQ"];

const kinds = [
    { name: "garbage bytes", async play(port, random) {
        const s = await connect(port);
        await put(s, random.bytes(1 + random.below(4000)));
        await leave(s, 30, random.below(3));
    } },
    { name: "a half request", async play(port, random) {
        const s = await connect(port);
        const text = random.pick(valid)(random.below(2) ? await session(port) : "x");
        await put(s, text.slice(0, random.below(text.length)));
        await leave(s, random.below(60), random.below(3));
    } },
    { name: "a mutated request", weight: 6, async play(port, random) {
        const s = await connect(port);
        await put(s, mutate(random.pick(valid)(random.below(2) ? await session(port) : "x"), random));
        await leave(s, random.below(60), random.below(3));
    } },
    { name: "mutated requests, pipelined", weight: 2, async play(port, random) {
        const s = await connect(port);
        const sid = await session(port);
        for (let i = 0; i < 10; i++) await put(s, random.below(3) ? random.pick(valid)(sid) : mutate(random.pick(valid)(sid), random));
        await leave(s, 50, random.below(3));
    } },
    { name: "a smuggled length", weight: 2, async play(port, random) {
        const sid = await session(port);
        const [headers, body] = random.pick(Object.values(smuggling));
        const s = await connect(port);
        await put(s, post(sid, body, headers + "\r\n") + "GET /live HTTP/1.1\r\nHost: a\r\n\r\n");
        await leave(s, 40, random.below(3));
    } },
    { name: "a malformed request", async play(port, random) {
        const s = await connect(port);
        await put(s, random.pick(Object.values(malformed)));
        await leave(s, 40, random.below(3));
    } },
    { name: "an oversize head", async play(port, random) {
        const s = await connect(port);
        const n = 20000 + random.below(200000);
        switch (random.below(4)) {
        case 0: await put(s, `GET ${path}&x=${"x".repeat(n)} HTTP/1.1\r\nHost: a\r\n\r\n`); break;
        case 1: await put(s, `GET ${path} HTTP/1.1\r\nHost: a\r\nCookie: ${"c".repeat(n)}\r\n\r\n`); break;
        case 2: await put(s, `GET ${path} HTTP/1.1\r\nHost: a\r\n${"X: y\r\n".repeat(n / 6)}\r\n`); break;
        default: await put(s, "\r\n".repeat(n / 2));
        }
        await leave(s, 60, random.below(3));
    } },
    { name: "an oversize body", async play(port, random) {
        const sid = await session(port);
        const s = await connect(port);
        if (random.below(2)) await put(s, post(sid, "x".repeat(5000), "Content-Length: 9999999999\r\n"));
        else {
            await put(s, post(sid, "", "Transfer-Encoding: chunked\r\n"));
            for (let i = 0; i < 40; i++) await put(s, `8000\r\n${"y".repeat(32768)}\r\n`);
        }
        await leave(s, 80, random.below(3));
    } },
    { name: "a chunked body in tiny chunks", async play(port, random) {
        const sid = await session(port);
        const s = await connect(port);
        await put(s, post(sid, "", "Transfer-Encoding: chunked\r\n"));
        await put(s, "1\r\n3\r\n".repeat(20000));
        await leave(s, 60, random.below(3));
    } },
    { name: "a chunk extension or trailer without end", async play(port, random) {
        const sid = await session(port);
        const s = await connect(port);
        await put(s, post(sid, "", "Transfer-Encoding: chunked\r\n"), random.below(2) ? "1;" + "e".repeat(100000) : "0\r\n" + "T: x\r\n".repeat(20000));
        await leave(s, 60, random.below(3));
    } },
    { name: "a bad handshake", weight: 2, async play(port, random) {
        const s = await connect(port);
        const query = random.pick(["?EIO=3&transport=websocket", "?transport=websocket", "?EIO=4&transport=", "?EIO=4&transport=webtransport", "?EIO=4&transport=websocket&sid=" + "s".repeat(3000),
            "?EIO=4&transport=websocket&sid=%00%ff", "?" + "a=b&".repeat(3000), "?EIO=4&transport=websocket&EIO=" + "4".repeat(100), "?%", "?EIO=%34&transport=websocket"]);
        await put(s, upgrade(`/socket.io/${query}`, random.pick(["", "Sec-WebSocket-Key: x\r\n", "Sec-WebSocket-Version: 99\r\n", "Upgrade: h2c\r\n", "Connection: close\r\n", "Sec-WebSocket-Extensions: " + "a;".repeat(3000) + "\r\n"])));
        await leave(s, 40, random.below(3));
    } },
    { name: "an unknown Upgrade as second request", async play(port, random) {
        const s = await connect(port);
        await put(s, `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
        await pause(15);
        await put(s, `GET ${random.pick([path, "/", "/socket.io/"])} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: ${random.pick(["foo", "h2c", "websocket2", "TLS/1.0", "x".repeat(2000)])}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n`);
        await leave(s, 40, random.below(3));
    } },
    { name: "an HTTP/2 preface", async play(port, random) {
        const s = await connect(port);
        await put(s, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", random.bytes(200));
        await leave(s, 40, random.below(3));
    } },
    { name: "a held poll that is left", weight: 2, async play(port, random) {
        const sid = await session(port);
        const s = await connect(port, { halfOpen: true });
        await put(s, `GET ${path}&sid=${sid} HTTP/1.1\r\nHost: a\r\n\r\n`);
        await pause(random.below(20));
        if (random.below(2)) await put(s, random.pick(valid)(sid), random.bytes(100));
        await leave(s, 20, random.below(3));
    } },
    { name: "a hundred polls of one session", async play(port, random) {
        const sid = await session(port);
        const list = await Promise.all(Array.from({ length: 20 }, () => connect(port)));
        for (const s of list) await put(s, `GET ${path}&sid=${sid} HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(5));
        await pause(20);
        for (const s of list) s.resetAndDestroy();
    } },
    { name: "half-open POSTs of one session", async play(port, random) {
        const sid = await session(port);
        const list = await Promise.all(Array.from({ length: 5 }, () => connect(port)));
        for (const s of list) await put(s, post(sid, "42[", "Content-Length: 1000\r\n"));
        await pause(20);
        for (const s of list) s.destroy();
    } },
    { name: "a POST of hostile packets", weight: 4, async play(port, random) {
        const sid = await session(port);
        const s = await connect(port);
        await put(s, post(sid, Array.from({ length: 1 + random.below(20) }, () => (random.below(4) ? random.pick(packets) : mutate(random.pick(packets), random).toString("utf8"))).join("\x1e")));
        await leave(s, 30, random.below(3));
    } },
    { name: "a payload of separators", async play(port, random) {
        const sid = await session(port);
        const s = await connect(port);
        await put(s, post(sid, random.pick(["\x1e", "3\x1e", "6\x1e", "4\x1e"]).repeat(100000)));
        await leave(s, 60, random.below(3));
    } },
    { name: "WebSocket packets of all kinds", weight: 4, async play(port, random) {
        const s = await websocket(port, random.below(3) > 0);
        for (let i = 1 + random.below(8); i > 0; i--) await put(s, frame(random.below(5) ? 1 : 2, random.below(3) ? random.pick(packets) : mutate(random.pick(packets), random)));
        await leave(s, 30, random.below(3));
    } },
    { name: "mutated WebSocket frames", weight: 4, async play(port, random) {
        const s = await websocket(port, random.below(2) > 0);
        const good = Buffer.concat([frame(1, '42["message",1]'), frame(9, "ping"), frame(2, random.bytes(30)), frame(8, closePayload(1000, "x"))]);
        await put(s, mutate(good.toString("latin1"), random));
        await leave(s, 30, random.below(3));
    } },
    { name: "wrong masks and reserved bits", weight: 2, async play(port, random) {
        const s = await websocket(port);
        await put(s, frame(random.below(16), random.bytes(random.below(130)), { fin: random.below(2) > 0, rsv: random.below(8), masked: random.below(2) > 0 }));
        await leave(s, 30, random.below(3));
    } },
    { name: "frames that announce too much", async play(port, random) {
        const s = await websocket(port);
        await put(s, frame(random.pick([1, 2, 9, 8, 0]), "x", { length: 64, announce: random.pick([65535, 1000001, 0x7fffffff, 0x100000000]) }));
        await put(s, Buffer.from("82ff7fffffffffffffff00000000", "hex"));
        await leave(s, 40, random.below(3));
    } },
    { name: "a flood of empty fragments", async play(port, random) {
        const s = await websocket(port);
        await put(s, frame(random.pick([1, 2]), "", { fin: false }), Buffer.concat(Array(20000).fill(frame(0, "", { fin: false, key: Buffer.alloc(4) }))));
        await leave(s, 60, random.below(3));
    } },
    { name: "a flood of pings whose pongs nobody reads", async play(port, random) {
        const s = await websocket(port);
        s.pause();
        await put(s, Buffer.concat(Array(5000).fill(frame(9, "p".repeat(125), { key: Buffer.alloc(4) }))));
        await leave(s, 80, random.below(3));
    } },
    { name: "a flood of pongs and closes", async play(port, random) {
        const s = await websocket(port);
        await put(s, Buffer.concat(Array(2000).fill(frame(10, "p"))), Buffer.concat(Array(200).fill(frame(8, closePayload(1000)))));
        await leave(s, 40, random.below(3));
    } },
    { name: "attachments that never come", weight: 2, async play(port, random) {
        const s = await websocket(port);
        await put(s, frame(1, '4510-["message",{"_placeholder":true,"num":9}]'));
        for (let i = random.below(9); i > 0; i--) await put(s, frame(2, Buffer.alloc(random.below(200000), 7)));
        await leave(s, 30, random.below(3));
    } },
    { name: "a connect flood on one connection", async play(port, random) {
        const s = await websocket(port, false);
        await put(s, Buffer.concat(Array.from({ length: 500 }, (_, i) => frame(1, `40/room-${random.below(1000)}${i},`))));
        await leave(s, 40, random.below(3));
    } },
    { name: "many random rooms", async play(port, random) {
        const s = await websocket(port);
        await put(s, Buffer.concat(Array.from({ length: 500 }, () => frame(1, `42["join","${random.below(1e9)}"]`))));
        await leave(s, 40, random.below(3));
    } },
    { name: "broadcasts while leaving", async play(port, random) {
        const s = await websocket(port);
        await put(s, Buffer.concat(Array(50).fill(frame(1, '42["to-room","nobody",1]'))));
        await leave(s, 0, 1);
    } },
    { name: "many probes of one session", async play(port, random) {
        const sid = await session(port);
        const list = await Promise.all(Array.from({ length: 8 }, () => connect(port)));
        for (const s of list) await put(s, upgrade(`${ws}&sid=${sid}`), frame(1, random.pick(["2probe", "5", "2", "42[]", ""])), frame(1, random.pick(["5", "2probe", "40"])));
        await pause(40);
        for (const s of list) s.destroy();
    } },
    { name: "a nested event", async play(port, random) {
        const s = await websocket(port);
        const n = 1000 + random.below(100000);
        const open = random.pick(["[", '{"a":', "[{\"a\":"]);
        await put(s, frame(1, `42${random.below(2) ? "7" : ""}["${random.pick(["message", "message-with-ack", "to-room", "join"])}",${open.repeat(n)}`));
        await leave(s, 40, random.below(3));
    } },
    { name: "connections that say nothing", async play(port, random) {
        const list = await Promise.all(Array.from({ length: 10 }, () => connect(port)));
        await pause(random.below(50));
        for (const s of list) random.below(2) ? s.destroy() : s.resetAndDestroy();
    } },
    { name: "other paths and methods", async play(port, random) {
        const s = await connect(port);
        await put(s, `${random.pick(["GET", "POST", "PUT", "HEAD", "TRACE", "DELETE", "OPTIONS", "PROPFIND"])} ${random.pick(["/", "/metrics", "/health", "/../../etc/passwd", "/socket.io/../../etc/passwd",
            "/socket.io/%2e%2e/%2e%2e/etc/passwd", "//", "/%00", "http://a/socket.io/?EIO=4&transport=polling", "*", "/" + "a/".repeat(4000)])} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`);
        await leave(s, 30, random.below(3));
    } },
];

/** `count` inputs in a fixed order for a seed: each kind in turn by its weight. */
export function inputs(count, seed) {
    const turn = kinds.flatMap((k) => Array(k.weight ?? 1).fill(k));
    return Array.from({ length: count }, (_, i) => ({ name: turn[i % turn.length].name, play: (port) => turn[i % turn.length].play(port, seeded(seed * 100003 + i)) }));
}

export { leave, pause, post };
