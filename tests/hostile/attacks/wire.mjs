// A client on a bare socket: it connects from an address of its own, cuts frames itself and checks nothing.
import net from "node:net";

const mask = Buffer.alloc(4); // of zeros: RFC 6455 allows it, and the payload passes as it is

/** A frame of a client. `opcode` 1 text, 2 binary, 0 continuation, 9 ping. */
export function frame(opcode, payload = "", fin = true) {
    const body = Buffer.from(payload);
    const head = [(fin ? 0x80 : 0) | opcode];
    if (body.length < 126) head.push(0x80 | body.length);
    else if (body.length < 65536) head.push(0x80 | 126, body.length >> 8, body.length & 255);
    else {
        const size = Buffer.alloc(8);
        size.writeBigUInt64BE(BigInt(body.length));
        head.push(0x80 | 127, ...size);
    }
    return Buffer.concat([Buffer.from(head), mask, body]);
}

export const text = (payload) => frame(1, payload);

const key = "dGhlIHNhbXBsZSBub25jZQ==";
export const upgradeHead = (query = "", lines = "") =>
    `GET /socket.io/?EIO=4&transport=websocket${query} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
    `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n${lines}\r\n`;
export const getHead = (query = "", lines = "") =>
    `GET /socket.io/?EIO=4&transport=polling${query} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`;
export const postHead = (sid, lines) =>
    `POST /socket.io/?EIO=4&transport=polling&sid=${sid} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`;
export const post = (sid, body) => postHead(sid, `Content-Length: ${Buffer.byteLength(body)}\r\n`) + body;

/** A TCP connection whose errors are swallowed: `open` once it is there, `gone` when it is over, `seen` what came (its end). */
export function tcp(port, address, { keeps = 4096, halfOpen = false } = {}) {
    const socket = net.connect({ port, host: "127.0.0.1", localAddress: address, allowHalfOpen: halfOpen });
    socket.setNoDelay(true);
    socket.seen = "";
    socket.taken = 0;
    socket.open = false;
    socket.on("error", () => {});
    socket.gone = new Promise((done) => socket.once("close", done));
    socket.ready = new Promise((done) => {
        socket.once("connect", () => { socket.open = true; done(); });
        socket.once("close", done);
    });
    socket.on("data", (bytes) => {
        socket.taken += bytes.length;
        if (socket.seen.length < keeps) socket.seen += bytes.toString("latin1");
    });
    return socket;
}

/** Calls `take(text)` for each text frame that the server sends on this socket. */
export function onText(socket, take) {
    let rest = Buffer.alloc(0);
    let inHead = true;
    socket.on("data", (bytes) => {
        rest = rest.length > 0 ? Buffer.concat([rest, bytes]) : bytes;
        if (inHead) {
            const end = rest.indexOf("\r\n\r\n");
            if (end < 0) return;
            if (!rest.toString("latin1", 0, 12).startsWith("HTTP/1.1 101")) { socket.destroy(); return; }
            rest = rest.subarray(end + 4);
            inHead = false;
        }
        for (;;) {
            if (rest.length < 2) return;
            let size = rest[1] & 127;
            let at = 2;
            if (size === 126) { if (rest.length < 4) return; size = rest.readUInt16BE(2); at = 4; }
            else if (size === 127) { if (rest.length < 10) return; size = Number(rest.readBigUInt64BE(2)); at = 10; }
            if (rest.length < at + size) return;
            if ((rest[0] & 15) === 1) take(rest.toString("utf8", at, at + size));
            rest = rest.subarray(at + size);
        }
    });
}

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Waits for `condition`, at most `ms`; says whether it came true. */
export async function until(condition, ms = 1000) {
    const limit = performance.now() + ms;
    while (!condition()) {
        if (performance.now() > limit) return false;
        await pause(2);
    }
    return true;
}
