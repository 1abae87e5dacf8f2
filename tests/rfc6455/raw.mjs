// A WebSocket client on a bare TCP connection: frames are built and cut by hand, and nothing is checked
// on sending, so that it can break every rule of RFC 6455.
import { createHash, randomBytes } from "node:crypto";
import { Tcp } from "../conformance/client.mjs";
import { Failure, within } from "../conformance/runner.mjs";

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

/** Builds one frame. `length` overrides the size of its length field: 7, 16 or 64 (bits). */
export function frame(opcode, payload = Buffer.alloc(0), { fin = true, rsv = 0, masked = true, key, length, announce } = {}) {
    const body = Buffer.from(payload);
    const size = announce ?? body.length;
    const form = length ?? (size < 126 ? 7 : size < 65536 ? 16 : 64);
    const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
    const bit = masked ? 0x80 : 0;
    if (form === 7) {
        head.push(bit | size);
    } else if (form === 16) {
        head.push(bit | 126, (size >> 8) & 255, size & 255);
    } else {
        head.push(bit | 127);
        const eight = Buffer.alloc(8);
        eight.writeBigUInt64BE(BigInt(size));
        head.push(...eight);
    }
    if (!masked) return Buffer.concat([Buffer.from(head), body]);
    const mask = key ?? randomBytes(4);
    const hidden = Buffer.allocUnsafe(body.length);
    for (let i = 0; i < body.length; i++) hidden[i] = body[i] ^ mask[i & 3];
    return Buffer.concat([Buffer.from(head), mask, hidden]);
}

/** The payload of a close frame. */
export function closePayload(code, reason = "") {
    const two = Buffer.alloc(2);
    two.writeUInt16BE(code);
    return Buffer.concat([two, Buffer.from(reason)]);
}

export class RawWebSocket {
    /** Opens a WebSocket at `path`; `headers` are more header lines. */
    static async open(port, path, { host = "127.0.0.1", headers = "" } = {}) {
        const self = new RawWebSocket();
        self.tcp = new Tcp(port, host);
        await self.tcp.opened;
        const key = randomBytes(16).toString("base64");
        self.tcp.send(`GET ${path} HTTP/1.1\r\nHost: localhost:${port}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n` +
            `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n${headers}\r\n`);
        await self.tcp.until((s) => s.includes("\r\n\r\n"), 3000, "answer to the upgrade");
        const end = self.tcp.text.indexOf("\r\n\r\n") + 4;
        self.head = self.tcp.text.slice(0, end);
        if (!self.head.startsWith("HTTP/1.1 101 ")) throw new Failure(`no upgrade: ${self.head}`);
        const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
        if (!self.head.toLowerCase().includes(`sec-websocket-accept: ${accept.toLowerCase()}`)) throw new Failure("wrong Sec-WebSocket-Accept");
        self.at = end;
        return self;
    }

    send(...parts) { this.tcp.send(Buffer.concat(parts)); }

    /** Sends the bytes in pieces of `size`, each in a write of its own. */
    async chop(bytes, size) {
        for (let i = 0; i < bytes.length; i += size) {
            this.tcp.send(bytes.subarray(i, i + size));
            await new Promise((done) => setImmediate(done));
        }
    }

    #parse() {
        const b = this.tcp.bytes.subarray(this.at);
        if (b.length < 2) return null;
        let n = b[1] & 0x7f;
        let at = 2;
        if (n === 126) { if (b.length < 4) return null; n = b.readUInt16BE(2); at = 4; }
        else if (n === 127) { if (b.length < 10) return null; n = Number(b.readBigUInt64BE(2)); at = 10; }
        if (b.length < at + n) return null;
        this.at += at + n;
        return { fin: b[0] >> 7, rsv: (b[0] >> 4) & 7, opcode: b[0] & 15, masked: b[1] >> 7, form: at, payload: Buffer.from(b.subarray(at, at + n)) };
    }

    /** The next frame, or null when the peer ended the connection. Engine.IO pings (`2`) are answered and passed over. */
    async next(ms = 3000) {
        for (;;) {
            let one = null;
            await this.tcp.until(() => (one = this.#parse()) !== null, ms, "frame");
            if (!one) return null;
            if (one.masked || one.rsv) throw new Failure("the server's frame is masked or has reserved bits");
            if (one.opcode === 1 && one.payload.toString() === "2") {
                if (!this.tcp.ended) this.send(frame(1, "3"));
                continue;
            }
            return one;
        }
    }

    /** The code of the server's close frame: 1005 for an empty one, 1006 if none came. Data frames before it are passed over. */
    async closeCode(ms = 3000) {
        for (;;) {
            const one = await this.next(ms);
            if (!one) return 1006;
            if (one.opcode !== 8) continue;
            return one.payload.length === 0 ? 1005 : one.payload.readUInt16BE(0);
        }
    }

    /** Waits until the server has ended the TCP connection. */
    ended(ms = 3000) { return within(this.tcp.closed, ms, "end of the TCP connection"); }
    destroy() { this.tcp.destroy(); }
}
