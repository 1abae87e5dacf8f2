// node run.mjs [--count N] [--seed N] [--memory MIB] [--only TEXT] [--reference]
// Throws hostile inputs at one gateway with a well-behaved client beside them, and looks afterwards whether
// it lives, what it holds, and how long the client had to wait. --memory is the growth of resident memory that
// is tolerated (default 8 MiB; more is needed under a sanitizer). --reference runs the machinery on the Node
// server, of which some cases are known to fail.
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { launchWith } from "../conformance/gateway.mjs";
import { Poller, Tcp, Wire, ask } from "../conformance/client.mjs";
import { collect, finish, run, same, sleep, truth, within } from "../conformance/runner.mjs";
import { RawWebSocket, frame } from "../rfc6455/raw.mjs";
import { connect, inputs, malformed, post, put, session, smuggling, upgrade, websocket } from "./inputs.mjs";
import { cpu, descriptors, resident } from "./measure.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const argv = process.argv.slice(2);
const value = (name, otherwise) => (argv.includes(name) ? argv[argv.indexOf(name) + 1] : otherwise);
const reference = argv.includes("--reference");
const count = Number(value("--count", 1200));
const seed = Number(value("--seed", 20260101));
const MiB = 1024 * 1024;
const tolerated = Number(value("--memory", process.env.SIO_MEMORY_MIB ?? 8)) * MiB;
const longestWait = Number(process.env.SIO_LONGEST_WAIT_MS ?? 100);

const calm = { pingInterval: 25000, pingTimeout: 20000, connectTimeout: 5000 };
const flags = { ...calm, extraFlags: ["--header-timeout", "2s", "--body-timeout", "3s", "--handshake-timeout", "2s", "--idle-timeout", "20s"] };
const servers = [];
async function start(options = flags) {
    const server = await launchWith(options, { reference });
    servers.push(server);
    return { ...server, url: `http://127.0.0.1:${server.port}/socket.io/`, ws: `ws://127.0.0.1:${server.port}/socket.io/?EIO=4&transport=websocket` };
}
async function stopAll() { for (const server of servers.splice(0)) await server.stop(); }

/** The well-behaved client; report() gives its figures since the last report. */
async function beside(t, port) {
    const child = spawn(process.execPath, [join(here, "beside.mjs"), port], { stdio: ["pipe", "pipe", "inherit"] });
    t.after(() => child.kill("SIGKILL"));
    const lines = [];
    const waiting = [];
    createInterface({ input: child.stdout }).on("line", (line) => (waiting.shift() ?? ((l) => lines.push(l)))(line));
    const report = () => new Promise((done) => {
        waiting.push((line) => done(JSON.parse(line)));
        child.stdin.write("\n");
    });
    for (let i = 0; ; i++) {
        await sleep(100);
        if ((await report()).answered > 0) break;
        truth(i < 50, "the well-behaved client is served");
    }
    return { report };
}

function isServed(figures) {
    same(figures.closed, false, "end of the well-behaved client");
    truth(figures.sent > 5 && figures.open <= 2, `all are answered: ${JSON.stringify(figures)}`);
    truth(figures.longest <= longestWait, `the well-behaved client waited ${figures.longest} ms (its own clock was late by up to ${figures.lag} ms)`);
}

/** Works through the inputs, `width` at a time. */
async function play(port, list, width = 8) {
    let at = 0;
    await Promise.all(Array.from({ length: width }, async () => { while (at < list.length) await list[at++].play(port); }));
}

/** Waits until descriptors and memory are back; gives the last figures. */
async function settles(server, base, ms = 30000) {
    const limit = Date.now() + ms;
    for (;;) {
        const now = { fd: descriptors(server.pid), rss: resident(server.pid) };
        if ((now.fd <= base.fd && now.rss <= base.rss + tolerated) || Date.now() > limit) return now;
        await sleep(200);
    }
}

async function isAlive(server) {
    truth(!server.exited(), `the server lives: ${server.exited()} ${server.output()}`);
    const one = new Wire(server.ws);
    await one.next();
    one.send("40");
    await one.next();
    await one.next();
    one.send('42["message","alive"]');
    same(await one.nextMessage(), '42["message-back","alive"]', "echo");
    one.end();
    const poll = await Poller.open(server.url);
    same((await poll.post("1")).body, "ok", "POST");
}

const { cases, add } = collect();
const shared = {};
const main = async () => (shared.server && !shared.server.exited() ? shared.server : (shared.server = await start()));
const sessionGone = async (server, sid) => (await ask(`${server.url}?EIO=4&transport=polling&sid=${sid}`)).status;

// ---- requests whose length is in doubt, and what is no HTTP/1.1
/** Plays one raw request with a second behind it; gives what came back and whether the server ended the connection. */
async function exchange(port, text, ms = 700) {
    const tcp = new Tcp(port);
    await tcp.opened;
    tcp.send(Buffer.from(text, "latin1"));
    await Promise.race([tcp.closed, sleep(ms)]);
    const result = { text: tcp.text, ended: tcp.ended, statuses: [...tcp.text.matchAll(/HTTP\/1\.[01] (\d\d\d)/g)].map((m) => Number(m[1])) };
    tcp.destroy();
    return result;
}
for (const [name, [headers, body]] of Object.entries(smuggling)) {
    add(`smuggling: ${name} is refused and the connection ended`, async () => {
        const server = await main();
        const sid = await session(server.port);
        const got = await exchange(server.port, post(sid, body, headers + "\r\n") + "GET /live HTTP/1.1\r\nHost: a\r\n\r\n");
        truth(got.statuses.length <= 1, `at most one answer, got ${got.statuses}`);
        truth(got.statuses.every((s) => s >= 400), `a refusal, got ${got.statuses}`);
        truth(got.ended, "the connection is ended");
    });
}
for (const [name, text] of Object.entries(malformed)) {
    add(`malformed: ${name} is refused or cut, never served`, async () => {
        const server = await main();
        const got = await exchange(server.port, text.toString("latin1"), 2600);
        truth(got.statuses.every((s) => s >= 400), `a refusal or nothing, got ${got.statuses}`);
        truth(got.ended, "the connection is ended");
    }, { timeout: 6000 });
}
add("bare line feeds in a head are refused or read as line ends, never as two requests", async () => {
    const server = await main();
    const got = await exchange(server.port, "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\nHost: a\nContent-Length: 40\n\nGET /live HTTP/1.1\r\nHost: a\r\n\r\n", 2600);
    truth(got.statuses.length <= 1, `at most one answer, got ${got.statuses}`);
}, { timeout: 6000 });
for (const [name, text] of [
    ["an unknown Upgrade header", "Connection: Upgrade\r\nUpgrade: foo\r\n"], ["h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"],
    ["an Upgrade header of 3,000 bytes", `Connection: Upgrade\r\nUpgrade: ${"u".repeat(3000)}\r\n`],
]) {
    add(`${name} in the second request of a keep-alive connection harms nobody`, async () => {
        const server = await main();
        for (let i = 0; i < 20; i++) {
            const tcp = new Tcp(server.port);
            await tcp.opened;
            tcp.send("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\n\r\n");
            truth(await tcp.until((s) => s.includes('"sid":')), "the first request is answered");
            tcp.send(`GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\n${text}\r\n`);
            await Promise.race([tcp.closed, sleep(30)]);
            truth(!tcp.text.includes("HTTP/1.1 101"), "no 101 is sent");
            tcp.destroy();
        }
        await isAlive(server);
    });
}
add("too large a head is refused and the connection ended", async () => {
    const server = await main();
    for (const text of [`GET /socket.io/?x=${"x".repeat(100000)} HTTP/1.1\r\nHost: a\r\n\r\n`, `GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\nCookie: ${"c".repeat(100000)}\r\n\r\n`]) {
        const got = await exchange(server.port, text);
        truth(got.ended && got.statuses.every((s) => s >= 400), `statuses ${got.statuses}, ended ${got.ended}`);
    }
});
add("a head that trickles in is cut after the header timeout", async () => {
    const server = await main();
    const tcp = new Tcp(server.port);
    await tcp.opened;
    const text = `GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(1000)}`;
    let i = 0;
    const timer = setInterval(() => { if (!tcp.ended && i < text.length) tcp.send(text[i++]); }, 100);
    try { await within(tcp.closed, 5000, "end"); } finally { clearInterval(timer); tcp.destroy(); }
    truth(tcp.ended, "the connection is ended");
}, { timeout: 8000 });
add("a body that trickles in is cut after the body timeout", async () => {
    const server = await main();
    const sid = await session(server.port);
    const tcp = new Tcp(server.port);
    await tcp.opened;
    tcp.send(post(sid, "", "Content-Length: 1000\r\n"));
    const timer = setInterval(() => { if (!tcp.ended) tcp.send("x"); }, 100);
    try { await within(tcp.closed, 6000, "end"); } finally { clearInterval(timer); tcp.destroy(); }
    same(await sessionGone(server, sid), 400, "status of the session's next poll");
}, { timeout: 9000 });

// ---- the flood
add(`${count} hostile inputs leave the server alive, its memory and descriptors where they were, and nobody waits`, async (t) => {
    const server = await start();
    const other = await beside(t, server.port);
    const list = inputs(count, seed);
    await play(server.port, inputs(Math.min(300, count), seed + 1)); // caches and arenas reach their size
    await sleep(3500);
    const base = { fd: descriptors(server.pid), rss: resident(server.pid) };
    await other.report();
    const slow = await Promise.all(Array.from({ length: 100 }, () => connect(server.port)));
    for (const s of slow) await put(s, "GET /socket.io/?EIO=4&trans");
    const begun = performance.now();
    await play(server.port, list);
    const took = performance.now() - begun;
    const figures = await other.report();
    for (const s of slow) s.destroy();
    const end = await settles(server, base);
    console.log(`      ${list.length} inputs in ${(took / 1000).toFixed(1)} s; longest wait ${figures.longest} ms (own lag ${figures.lag} ms) in ${figures.answered} answers; ` +
        `descriptors ${base.fd} -> ${end.fd}; resident ${(base.rss / MiB).toFixed(1)} -> ${(end.rss / MiB).toFixed(1)} MiB`);
    await isAlive(server);
    truth(end.fd <= base.fd + 2, `descriptors ${base.fd} -> ${end.fd}`);
    truth(end.rss <= base.rss + tolerated, `resident ${base.rss} -> ${end.rss}`);
    isServed(figures);
}, { timeout: 300000 });

// ---- nesting
for (const [name, body] of [
    ["a 1 MB event of nothing but [", '42["to-room","nobody",' + "[".repeat(999900)], ["a balanced one", '42["to-room","nobody",' + "[".repeat(499900) + "]".repeat(499900) + "]"],
    ["one that is to be echoed", '42["message",' + "[".repeat(499900) + "]".repeat(499900) + "]"], ["one that is to be acknowledged", '427["message-with-ack",' + "[".repeat(499900) + "]".repeat(499900) + "]"],
    ["a broadcast", '42["broadcast",' + "[".repeat(499900) + "]".repeat(499900) + "]"], ["one of objects", '42["message",' + '{"a":'.repeat(150000) + "1" + "}".repeat(150000) + "]"],
    ["one with an attachment", '451-["message",' + "[".repeat(499000) + '{"_placeholder":true,"num":0}' + "]".repeat(499000) + "]"],
    ["a CONNECT", "40/custom," + '{"a":'.repeat(150000) + "1" + "}".repeat(150000)], ["a room name", '42["join",' + "[".repeat(499900) + "]".repeat(499900) + "]"],
]) {
    add(`nesting: ${name} neither stops the server nor holds up others`, async (t) => {
        const server = await main();
        const other = await beside(t, server.port);
        const s = await websocket(server.port);
        await put(s, frame(1, body));
        if (body.startsWith("451")) await put(s, frame(2, "x"));
        const sid = await session(server.port);
        const p = await connect(server.port);
        await put(p, post(sid, "40\x1e" + body.slice(0, 999990)));
        await sleep(700);
        const figures = await other.report();
        s.destroy();
        p.destroy();
        await isAlive(server);
        isServed(figures);
    }, { timeout: 15000 });
}

// ---- attachments
add("attachments that never come: the memory is given back when their clients are gone", async (t) => {
    const server = await main();
    const other = await beside(t, server.port);
    const base = { fd: descriptors(server.pid), rss: resident(server.pid) };
    const list = [];
    for (let i = 0; i < 10; i++) {
        const s = await websocket(server.port);
        list.push(s);
        await put(s, frame(1, '4510-["message",1]'));
        for (let k = 0; k < 5; k++) await put(s, frame(2, Buffer.alloc(900000, 1)));
    }
    await sleep(1000);
    const peak = resident(server.pid);
    for (const s of list) s.destroy();
    const end = await settles(server, base);
    console.log(`      resident ${(base.rss / MiB).toFixed(1)} -> ${(peak / MiB).toFixed(1)} -> ${(end.rss / MiB).toFixed(1)} MiB`);
    truth(end.fd <= base.fd + 1, `descriptors ${base.fd} -> ${end.fd}`);
    truth(end.rss <= base.rss + tolerated, `resident ${base.rss} -> ${end.rss}`);
    isServed(await other.report());
}, { timeout: 60000 });

// ---- clients that do not read
/** A WebSocket that has joined and does not read from now on. */
async function stalled(t, port) {
    const one = await RawWebSocket.open(port, "/socket.io/?EIO=4&transport=websocket");
    t.after(() => one.destroy());
    await one.next();
    one.send(frame(1, "40"));
    await one.next();
    await one.next();
    one.tcp.socket.pause();
    return one;
}
/** Sends `total` broadcasts of about `size` bytes and reads them all back in order. */
async function broadcast(t, server, total, size) {
    const sender = new Wire(server.ws);
    t.after(() => sender.end());
    await sender.next();
    sender.send("40");
    await sender.next();
    await sender.next();
    const fill = "f".repeat(size);
    let sent = 0;
    for (let got = 0; got < total; got++) {
        while (sent < total && sent - got < 200) sender.send(`42["broadcast",${sent++},"${fill}"]`);
        const text = await sender.nextMessage(5000);
        truth(text.startsWith(`42["broadcast",${got},`), `broadcast ${got} comes in order, got ${text.slice(0, 40)}`);
    }
}
add("a client that stops reading under 20,000 broadcasts costs no more than its cap and slows nobody", async (t) => {
    const cap = 4 * MiB;
    const server = await start({ ...calm, extraFlags: ["--queue-bytes", String(cap)] });
    await broadcast(t, server, 2000, 2000);
    const other = await beside(t, server.port);
    const base = resident(server.pid);
    const one = await stalled(t, server.port);
    let peak = base;
    const timer = setInterval(() => { peak = Math.max(peak, resident(server.pid)); }, 20);
    t.after(() => clearInterval(timer));
    await broadcast(t, server, 20000, 2000);
    const figures = await other.report();
    console.log(`      resident ${(base / MiB).toFixed(1)} -> at most ${(peak / MiB).toFixed(1)} MiB; longest wait beside ${figures.longest} ms (own lag ${figures.lag} ms)`);
    truth(peak <= base + cap + tolerated, `resident ${base} -> ${peak}`);
    isServed(figures);
    one.destroy();
    await isAlive(server);
}, { timeout: 120000 });
add("more than 1,024 frames queued for a stalled reader all come, in order, when it reads, with its pings answered between", async (t) => {
    const server = await start({ ...calm, extraFlags: ["--queue-bytes", String(128 * MiB)] });
    const one = await stalled(t, server.port);
    for (let i = 0; i < 20; i++) one.send(frame(9, `ping-${i}`));
    await broadcast(t, server, 20000, 1000);
    one.send(frame(9, "late"));
    one.tcp.socket.resume();
    // A buffer that is joined at each piece would be slow for 20 MB: parse from the stream instead.
    let next = 0;
    let rest = Buffer.alloc(0);
    let pongs = 0;
    one.tcp.socket.removeAllListeners("data");
    rest = Buffer.from(one.tcp.bytes.subarray(one.at));
    await within(new Promise((done, fail) => {
        const parse = (chunk) => {
            rest = rest.length ? Buffer.concat([rest, chunk]) : chunk;
            let at = 0;
            for (;;) {
                if (rest.length - at < 4) break;
                let n = rest[at + 1];
                let head = 2;
                if (n === 126) { n = rest.readUInt16BE(at + 2); head = 4; }
                if (rest.length - at < head + n) break;
                const opcode = rest[at] & 15;
                if (rest[at] >> 7 !== 1 || ![1, 10].includes(opcode)) { fail(new Error(`first byte ${rest[at]} of a frame at broadcast ${next}`)); return; }
                if (opcode === 10) pongs += 1;
                else {
                    const text = rest.toString("latin1", at + head, at + head + 30);
                    if (text[0] !== "2") {
                        if (!text.startsWith(`42["broadcast",${next},`)) { fail(new Error(`broadcast ${next} is missing, got ${text}`)); return; }
                        next += 1;
                    }
                }
                at += head + n;
            }
            rest = rest.subarray(at);
            if (next === 20000) done();
        };
        one.tcp.socket.on("data", parse);
        one.tcp.socket.on("close", () => fail(new Error(`the connection ended at broadcast ${next}`)));
        parse(Buffer.alloc(0));
    }), 30000, "all broadcasts");
    truth(pongs >= 1, `${pongs} pongs`);
    await isAlive(server);
}, { timeout: 120000 });

// ---- held polls
/** CPU in ms that the server uses in `ms`. */
async function used(server, ms) {
    const before = cpu(server.pid);
    await sleep(ms);
    return cpu(server.pid) - before;
}
for (const [name, act] of [
    ["half-closes", (s) => s.end()], ["closes", (s) => s.destroy()], ["resets", (s) => s.resetAndDestroy()],
    ["pipelines a request", (s, sid) => s.write(`GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\n\r\n`)],
    ["sends garbage", (s) => s.write(Buffer.alloc(3000, 200))], ["stays", () => {}],
]) {
    add(`held poll: the server stays idle while its client ${name}`, async (t) => {
        const server = await main();
        const list = [];
        for (let i = 0; i < 5; i++) {
            const sid = await session(server.port);
            const s = await connect(server.port, { halfOpen: true });
            list.push(s);
            await put(s, `GET /socket.io/?EIO=4&transport=polling&sid=${sid} HTTP/1.1\r\nHost: a\r\n\r\n`);
        }
        await sleep(100);
        for (const s of list) act(s);
        await sleep(50);
        const ms = await used(server, 2000);
        for (const s of list) s.destroy();
        truth(ms <= (reference ? 200 : 40), `${ms.toFixed(1)} ms of CPU in 2 s`);
    }, { timeout: 8000 });
}
add("held poll: it outlives 5 s and is then served", async (t) => {
    const server = await start(calm);
    const poll = await Poller.open(server.url);
    await poll.post("40");
    await poll.take(2);
    const held = poll.get({ timeout: 12000 });
    await sleep(7000);
    same((await poll.post('42["message","late"]')).body, "ok", "POST");
    const answer = await held;
    same([answer.status, answer.body], [200, '42["message-back","late"]'], "poll after 7 s");
}, { timeout: 15000 });
add("a pipelined request behind a held poll is answered in turn", async (t) => {
    const server = await main();
    const poll = await Poller.open(server.url);
    await poll.post("40");
    await poll.take(2);
    const s = await connect(server.port);
    t.after(() => s.destroy());
    await put(s, `GET /socket.io/?EIO=4&transport=polling&sid=${poll.sid} HTTP/1.1\r\nHost: a\r\n\r\nGET /socket.io/?EIO=4 HTTP/1.1\r\nHost: a\r\n\r\n`);
    await sleep(100);
    same(s.seen, "", "answers while the poll is held");
    await poll.post('42["message","x"]');
    for (let i = 0; i < 100 && !s.seen.includes('"code":0'); i++) await sleep(10);
    truth(s.seen.indexOf("message-back") >= 0 && s.seen.indexOf("message-back") < s.seen.indexOf('"code":0'), `order of the answers: ${s.seen}`);
});
add("a chunked body is taken", async (t) => {
    const server = await main();
    const poll = await Poller.open(server.url);
    await poll.post("40");
    await poll.take(2);
    const s = await connect(server.port);
    t.after(() => s.destroy());
    await put(s, post(poll.sid, '42["message","x"]'.replace(/.{4}/g, (p) => `4\r\n${p}\r\n`).replace(/(.)$/, "1\r\n$1\r\n0\r\n\r\n"), "Transfer-Encoding: chunked\r\n"));
    same(await poll.packets(), ['42["message-back","x"]'], "echo");
});

// ---- many connections
add("opening 2,000 connections: the later ones cost what the first did", async (t) => {
    const server = await start({ ...calm, connectTimeout: 45000 });
    const total = Number(value("--connections", 2000));
    const open = [];
    t.after(() => { for (const s of open) s.destroy(); });
    const batch = async (n) => {
        const before = cpu(server.pid);
        for (let i = 0; i < n; i += 20) open.push(...await Promise.all(Array.from({ length: 20 }, () => websocket(server.port))));
        return (cpu(server.pid) - before) / n;
    };
    await batch(200);
    for (const s of open.splice(0)) s.destroy();
    await sleep(500);
    const quarter = total / 4;
    const costs = [];
    for (let i = 0; i < 4; i++) costs.push(await batch(quarter));
    console.log(`      CPU per connection: ${costs.map((c) => `${(c * 1000).toFixed(0)} us`).join(", ")}`);
    truth(costs[3] <= costs[0] * 1.6 + 0.02, `costs ${costs}`);
    const idle = await used(server, 1500);
    truth(idle < 60, `${idle.toFixed(1)} ms of CPU in 1.5 s with ${total} idle connections`);
    const base = descriptors(server.pid);
    for (const s of open) s.destroy();
    for (let i = 0; i < 100 && descriptors(server.pid) > base - total + 5; i++) await sleep(50);
    truth(descriptors(server.pid) <= base - total + 5, `descriptors ${base} -> ${descriptors(server.pid)}`);
    await isAlive(server);
}, { timeout: 90000 });

const only = value("--only");
console.log(`seed ${seed}, ${count} inputs`);
const result = await run(only ? cases.filter((c) => c.name.includes(only)) : cases, { timeout: 5000 });
await stopAll();
finish(result);
