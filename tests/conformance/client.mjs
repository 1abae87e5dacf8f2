// Raw clients of the tests: HTTP requests, a WebSocket that keeps what it received, a TCP connection.
import http from "node:http";
import net from "node:net";
import { WebSocket } from "ws";
import { Failure, within } from "./runner.mjs";

/** A WebSocket that queues everything it receives, so frames that arrive together are never lost. */
export class Wire {
    constructor(url, options = {}) {
        this.queue = [];
        this.waiters = [];
        this.isClosed = false;
        this.ws = new WebSocket(url, { perMessageDeflate: false, ...options });
        this.ws.on("message", (data, isBinary) => this.#give(isBinary ? Buffer.from(data) : data.toString()));
        this.opened = new Promise((done, fail) => {
            this.ws.on("open", done);
            this.ws.on("error", fail);
            this.ws.on("close", () => fail(new Failure("closed before it was open")));
        });
        this.opened.catch(() => {});
        this.upgradeResponse = new Promise((done) => this.ws.on("upgrade", done));
        this.refused = new Promise((done) => {
            this.ws.on("unexpected-response", (request, response) => {
                const parts = [];
                response.on("data", (d) => parts.push(d));
                const over = () => {
                    done({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts).toString() });
                    this.ws.terminate();
                };
                response.on("end", over);
                response.on("error", over);
            });
        });
        this.closed = new Promise((done) => {
            this.ws.on("error", () => {});
            this.ws.on("close", (code, reason) => {
                this.isClosed = true;
                for (const waiter of this.waiters.splice(0)) waiter.fail(new Failure(`closed (${code}) while waiting for a frame`));
                done({ code, reason: reason.toString() });
            });
        });
    }

    #give(frame) {
        const waiter = this.waiters.shift();
        if (waiter) waiter.done(frame);
        else this.queue.push(frame);
    }

    /** The next frame: a string, or a Buffer for a binary one. */
    next(ms = 1500) {
        if (this.queue.length > 0) return Promise.resolve(this.queue.shift());
        if (this.isClosed) return Promise.reject(new Failure("closed while waiting for a frame"));
        return within(new Promise((done, fail) => this.waiters.push({ done, fail })), ms, "frame");
    }

    /** The next frame that is not a ping; pings are answered if `pong`. */
    async nextMessage(ms = 1500, pong = true) {
        for (;;) {
            const frame = await this.next(ms);
            if (frame !== "2") return frame;
            if (pong && !this.isClosed) this.send("3");
        }
    }

    send(data) { this.ws.send(data); }
    close() { this.ws.close(); }
    end() { if (!this.isClosed) this.ws.terminate(); }
}

/** Fetches `url` with node:http; resolves to { status, headers, rawHeaders, body (text), bytes, socket }. */
export function ask(url, { method = "GET", headers = {}, body, agent = false, signal, timeout = 5000 } = {}) {
    return within(new Promise((done, fail) => {
        const request = http.request(url, { method, headers, agent, signal });
        request.on("response", (response) => {
            const parts = [];
            response.on("data", (d) => parts.push(d));
            response.on("error", fail);
            response.on("end", () => {
                const bytes = Buffer.concat(parts);
                done({
                    status: response.statusCode, headers: response.headers, rawHeaders: response.rawHeaders,
                    body: bytes.toString(), bytes, socket: request.socket,
                });
            });
        });
        request.on("error", fail);
        request.end(body);
    }), timeout, `HTTP answer to ${method}`);
}

/** Header names of a response in their order, lower case, without those that any HTTP server adds by itself. */
export function headerOrder(response) {
    const own = ["date", "connection", "keep-alive", "server"];
    return response.rawHeaders.filter((_, i) => i % 2 === 0).map((n) => n.toLowerCase()).filter((n) => !own.includes(n));
}

/** A TCP connection whose received bytes are kept in `text`/`bytes`. */
export class Tcp {
    constructor(port, host = "127.0.0.1") {
        this.bytes = Buffer.alloc(0);
        this.watchers = [];
        this.ended = false;
        this.socket = net.connect({ port, host, allowHalfOpen: false });
        this.socket.setNoDelay(true);
        this.opened = new Promise((done, fail) => { this.socket.on("connect", done); this.socket.on("error", fail); });
        this.opened.catch(() => {});
        this.socket.on("data", (d) => { this.bytes = Buffer.concat([this.bytes, d]); this.#wake(); });
        this.closed = new Promise((done) => this.socket.on("close", () => { this.ended = true; this.#wake(); done(); }));
        this.socket.on("end", () => { this.ended = true; this.#wake(); });
    }

    get text() { return this.bytes.toString("latin1"); }
    #wake() { for (const watcher of this.watchers.splice(0)) watcher(); }
    send(data) { this.socket.write(data); }
    destroy() { this.socket.destroy(); }

    /** Waits until `test(text)` holds; resolves to false if the peer ended first. */
    until(test, ms = 2000, what = "expected bytes") {
        const loop = async () => {
            for (;;) {
                if (test(this.text)) return true;
                if (this.ended) return false;
                await new Promise((done) => this.watchers.push(done));
            }
        };
        return within(loop(), ms, what);
    }
}

/** Parses one HTTP/1.1 response out of `text`; null if it is not complete. */
export function parseResponse(text) {
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) return null;
    const lines = text.slice(0, end).split("\r\n");
    const headers = {};
    for (const line of lines.slice(1)) headers[line.slice(0, line.indexOf(":")).toLowerCase()] = line.slice(line.indexOf(":") + 1).trim();
    const status = Number(lines[0].split(" ")[1]);
    const rest = text.slice(end + 4);
    if (status === 101 || status === 204 || status === 304) return { status, headers, body: "", size: end + 4 };
    if (headers["content-length"] !== undefined) {
        const n = Number(headers["content-length"]);
        return rest.length < n ? null : { status, headers, body: rest.slice(0, n), size: end + 4 + n };
    }
    if ((headers["transfer-encoding"] ?? "").toLowerCase() === "chunked") {
        let at = 0;
        let body = "";
        for (;;) {
            const eol = rest.indexOf("\r\n", at);
            if (eol < 0) return null;
            const n = parseInt(rest.slice(at, eol), 16);
            if (rest.length < eol + 2 + n + 2) return null;
            if (n === 0) return { status, headers, body, size: end + 4 + eol + 4 };
            body += rest.slice(eol + 2, eol + 2 + n);
            at = eol + 2 + n + 2;
        }
    }
    return { status, headers, body: rest, size: text.length };
}

/** A long-polling session, driven by hand. */
export class Poller {
    constructor(base, query = "") { this.base = base; this.query = query; }

    static async open(base, { headers, query = "" } = {}) {
        const self = new Poller(base, query);
        self.handshake = await ask(`${base}?EIO=4&transport=polling${query}`, { headers });
        if (self.handshake.status !== 200) throw new Failure(`handshake answered ${self.handshake.status} ${self.handshake.body}`);
        self.open = JSON.parse(self.handshake.body.slice(1));
        self.sid = self.open.sid;
        return self;
    }

    get url() { return `${this.base}?EIO=4&transport=polling&sid=${encodeURIComponent(this.sid)}`; }
    get wsUrl() { return this.url.replace(/^http/, "ws").replace("transport=polling", "transport=websocket"); }
    get(options) { return ask(this.url, options); }
    post(body, options = {}) { return ask(this.url, { method: "POST", body, ...options }); }

    /** Polls until a packet other than a ping arrives; gives the packets of that answer and answers pings. */
    async packets() {
        for (;;) {
            const answer = await this.get();
            if (answer.status !== 200) throw new Failure(`poll answered ${answer.status} ${answer.body}`);
            const all = answer.body.split("\x1e");
            if (all.includes("2")) await this.post("3");
            const rest = all.filter((p) => p !== "2");
            if (rest.length > 0) return rest;
        }
    }

    /** Polls until `count` packets other than pings have arrived. */
    async take(count) {
        const got = [];
        while (got.length < count) got.push(...await this.packets());
        return got;
    }
}
