// HTTP/1.1 and WebSocket on a bare TCP connection: what clients that cannot be had here send, byte for byte.

import { createConnection } from 'node:net';
import { createHash, randomBytes } from 'node:crypto';
import { gunzipSync, inflateSync } from 'node:zlib';
import { same, truth, within } from './harness.mjs';

const RS = '\x1e';

/** One TCP connection to a server, on which requests, frames or anything else are written. */
export class Tcp {
  static async open(port, host = '127.0.0.1') {
    const socket = createConnection({ port, host });
    socket.setNoDelay(true);
    const tcp = new Tcp(socket);
    await within(3000, new Promise((done, fail) => { socket.once('connect', done); socket.once('error', fail); }), 'TCP connection');
    return tcp;
  }

  constructor(socket) {
    this.socket = socket;
    this.buffer = Buffer.alloc(0);
    this.ended = false;
    this.wakers = new Set();
    const wake = () => { for (const one of this.wakers) one(); };
    socket.on('data', (part) => { this.buffer = Buffer.concat([this.buffer, part]); wake(); });
    socket.on('end', () => { this.ended = true; wake(); });
    socket.on('error', () => { this.ended = true; wake(); });
    socket.on('close', () => { this.ended = true; wake(); });
    this.messages = [];
  }

  write(data) { this.socket.write(data); }
  destroy() { this.socket.destroy(); }

  /** Waits until `test(buffer)` gives something but undefined, or for the end (null), or rejects. */
  wait(test, ms, what) {
    let waker;
    return within(ms, new Promise((done, fail) => {
      waker = () => {
        try {
          const found = test();
          if (found !== undefined) done(found);
          else if (this.ended) done(null);
        } catch (error) { fail(error); }
      };
      this.wakers.add(waker);
      waker();
    }), what).finally(() => this.wakers.delete(waker));
  }

  /** Waits for the server to end the connection. */
  end(ms = 3000, what = 'end of the TCP connection') {
    return this.wait(() => (this.ended ? true : undefined), ms, what);
  }

  take(count) {
    const part = this.buffer.subarray(0, count);
    this.buffer = this.buffer.subarray(count);
    return part;
  }

  /** Writes a request with exactly these header lines, in their order and spelling. */
  send(method, target, headers, body = '') {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('');
    this.write(Buffer.concat([Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines}\r\n`), Buffer.from(body)]));
  }

  /** Reads one answer: {status, headers, body}. Null when the server ended the connection instead. */
  async answer(ms = 4000, what = 'answer') {
    const head = await this.wait(() => {
      const end = this.buffer.indexOf('\r\n\r\n');
      return end < 0 ? undefined : this.take(end + 4).toString('latin1');
    }, ms, what);
    if (head === null) return null;
    const [first, ...lines] = head.trimEnd().split('\r\n');
    const headers = Object.fromEntries(lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }));
    const status = Number(first.split(' ')[1]);
    let body = Buffer.alloc(0);
    if (headers['transfer-encoding'] === 'chunked') {
      for (;;) {
        const size = await this.wait(() => {
          const end = this.buffer.indexOf('\r\n');
          return end < 0 ? undefined : parseInt(this.take(end + 2).toString(), 16);
        }, ms, 'chunk size');
        const part = await this.wait(() => (this.buffer.length < size + 2 ? undefined : this.take(size + 2)), ms, 'chunk');
        if (part === null || size === 0) break;
        body = Buffer.concat([body, part.subarray(0, size)]);
      }
    } else if (headers['content-length'] !== undefined) {
      const size = Number(headers['content-length']);
      body = await this.wait(() => (this.buffer.length < size ? undefined : this.take(size)), ms, 'body');
    }
    if (headers['content-encoding'] === 'gzip') body = gunzipSync(body);
    if (headers['content-encoding'] === 'deflate') body = inflateSync(body);
    return { status, headers, body: String(body ?? '') };
  }

  /** Asks for a WebSocket on this connection; rejects unless the answer is 101. */
  async upgrade(target, headers = {}) {
    const key = randomBytes(16).toString('base64');
    this.send('GET', target, {
      Host: this.host, Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Key': key,
      'Sec-WebSocket-Version': 13, ...headers,
    });
    const answer = await this.answer(4000, 'answer to the upgrade');
    same(answer?.status, 101, 'status of the upgrade');
    same(answer.headers['sec-websocket-accept'],
      createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64'), 'accept key');
    return answer;
  }

  get host() { return `127.0.0.1:${this.socket.remotePort}`; }

  frame(opcode, payload, fin = true) {
    const data = Buffer.from(payload);
    const size = data.length < 126 ? Buffer.from([0x80 | data.length])
      : data.length < 65536 ? Buffer.from([0x80 | 126, data.length >> 8, data.length & 255])
        : Buffer.concat([Buffer.from([0x80 | 127, 0, 0, 0, 0]), (() => { const n = Buffer.alloc(4); n.writeUInt32BE(data.length); return n; })()]);
    const mask = randomBytes(4);
    const masked = Buffer.from(data.map((byte, i) => byte ^ mask[i & 3]));
    this.write(Buffer.concat([Buffer.from([(fin ? 0x80 : 0) | opcode]), size, mask, masked]));
  }

  text(...messages) { for (const message of messages) this.frame(1, message); }
  binary(data) { this.frame(2, data); }
  close(code) { this.frame(8, code ? Buffer.from([code >> 8, code & 255]) : Buffer.alloc(0)); }

  /** Sends one message in fragments of `size` bytes. */
  fragments(opcode, payload, size, between = () => {}) {
    const data = Buffer.from(payload);
    for (let at = 0; at < data.length; at += size) {
      this.frame(at === 0 ? opcode : 0, data.subarray(at, at + size), at + size >= data.length);
      between();
    }
  }

  /** The next message: {text} or {binary} or {close: code, 1005 for none}; null at the end. WebSocket pings are answered. */
  async message(ms = 4000, what = 'message') {
    for (;;) {
      const frame = await this.wait(() => {
        const b = this.buffer;
        if (b.length < 2) return undefined;
        truth((b[1] & 0x80) === 0, 'the server masks a frame');
        let size = b[1] & 127;
        let head = 2;
        if (size === 126) { if (b.length < 4) return undefined; size = b.readUInt16BE(2); head = 4; }
        if (size === 127) { if (b.length < 10) return undefined; size = Number(b.readBigUInt64BE(2)); head = 10; }
        if (b.length < head + size) return undefined;
        const first = b[0];
        this.take(head);
        return { first, data: Buffer.from(this.take(size)) };
      }, ms, what);
      if (frame === null) return null;
      const opcode = frame.first & 15;
      if (opcode === 8) return { close: frame.data.length >= 2 ? frame.data.readUInt16BE(0) : 1005 };
      if (opcode === 9) { this.frame(10, frame.data); continue; }
      if (opcode === 10) continue;
      if (opcode !== 0) this.partial = { opcode, parts: [] };
      this.partial.parts.push(frame.data);
      if (frame.first & 0x80) {
        const data = Buffer.concat(this.partial.parts);
        return this.partial.opcode === 1 ? { text: data.toString() } : { binary: data };
      }
    }
  }

  /** The next message that is not a ping of the protocol; those are answered. A text is given as a string. */
  async packet(ms = 4000, what = 'packet') {
    const end = Date.now() + ms;
    for (;;) {
      const got = await this.message(Math.max(1, end - Date.now()), what);
      if (got?.text === '2') { this.text('3'); continue; }
      return got && 'text' in got ? got.text : got;
    }
  }
}

/** The polling side of one client, in the manner that `habit` describes. */
export class Polling {
  /**
   * `habit.query(sid)`: the query in its order; `headers`, `getHeaders`, `postHeaders`: header lines besides Host and
   * Content-Length; `chunked`: POST bodies have no length; `path`.
   */
  constructor(server, habit = {}) {
    this.server = server;
    this.habit = { query: (sid) => `EIO=4&transport=polling${sid ? `&sid=${sid}` : ''}`, path: '/socket.io/', ...habit };
    this.queue = [];
  }

  target(sid = this.sid) { return `${this.habit.path}?${this.habit.query(sid)}`; }
  wsTarget(extra = '') { return `${this.habit.path}?EIO=4&transport=websocket&sid=${this.sid}${extra}`; }

  async connection(which) {
    const kept = this.habit.headers?.Connection !== 'close' && this[which] && !this[which].ended;
    if (!kept) this[which] = await Tcp.open(this.server.port);
    return this[which];
  }

  async handshake() {
    const answer = await this.get(4000);
    same(answer?.status, 200, 'status of the handshake');
    this.queue = [];
    truth(answer.body.startsWith('0{'), `handshake is ${answer.body.slice(0, 50)}`);
    this.open = JSON.parse(answer.body.split(RS)[0].slice(1));
    this.sid = this.open.sid;
    return this.open;
  }

  async startGet() {
    const tcp = await this.connection('getter');
    tcp.send('GET', this.target(), { Host: tcp.host, ...this.habit.headers, ...this.habit.getHeaders });
  }

  async get(ms = 4000) {
    await this.startGet();
    return this.getter.answer(ms, 'answer to a poll');
  }

  async startPost(body) {
    const tcp = await this.connection('poster');
    const data = Buffer.from(body);
    const chunk = Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), data, Buffer.from('\r\n0\r\n\r\n')]);
    tcp.send('POST', this.target(), {
      Host: tcp.host, ...this.habit.headers,
      ...(this.habit.chunked ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': data.length }),
      ...(this.habit.postHeaders ?? { 'Content-Type': 'text/plain;charset=UTF-8' }),
    }, this.habit.chunked ? chunk : data);
  }

  /** Posts a payload and wants it taken. */
  async post(...packets) {
    await this.startPost(packets.join(RS));
    const answer = await this.poster.answer(4000, 'answer to a POST');
    same([answer?.status, answer?.body], [200, 'ok'], 'answer to a POST');
  }

  /** The next packet that is not a ping; pings are answered. */
  async packet(ms = 4000) {
    const end = Date.now() + ms;
    for (;;) {
      while (this.queue.length) {
        const packet = this.queue.shift();
        if (packet === '2') await this.post('3');
        else return packet;
      }
      const answer = await this.get(Math.max(1, end - Date.now()));
      same(answer?.status, 200, 'status of a poll');
      this.queue.push(...answer.body.split(RS));
    }
  }

  /** Joins a namespace; gives the socket's id. */
  async join(connect = '40') {
    await this.handshake();
    await this.post(connect);
    return idIn(await this.packet());
  }

  destroy() { this.getter?.destroy(); this.poster?.destroy(); }
}

/** The id in an answer to CONNECT. */
export function idIn(packet, namespace = '') {
  const want = `40${namespace ? `${namespace},` : ''}{`;
  truth(typeof packet === 'string' && packet.startsWith(want), `answer to CONNECT is ${JSON.stringify(packet)}`);
  const { sid } = JSON.parse(packet.slice(want.length - 1));
  same(sid?.length, 20, 'length of the id');
  return sid;
}

/** A WebSocket without polling before it, `/` joined: {tcp, id}. */
export async function joinByWebSocket(server, { query = 'EIO=4&transport=websocket', headers = {}, connect = '40' } = {}) {
  const tcp = await Tcp.open(server.port);
  await tcp.upgrade(`/socket.io/?${query}`, headers);
  tcp.handshake = JSON.parse((await tcp.packet()).slice(1));
  tcp.text(connect);
  return { tcp, id: idIn(await tcp.packet()) };
}

/** Whether an event text carries exactly these arguments, apart from a recovery offset behind them. */
export function sameEvent(packet, name, args) {
  truth(/^42/.test(packet), `event is ${JSON.stringify(packet)}`);
  same(JSON.parse(packet.slice(2)).slice(0, args.length + 1), [name, ...args], 'event');
}
