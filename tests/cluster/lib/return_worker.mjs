// Many light clients in a process of their own, which are cut and resume: return_worker.mjs SETTINGS as JSON, forked.
//
// SETTINGS: `port` of the gateway; `from` and `count`; `rooms`: client i is in `room-<i % rooms>`. They speak WebSocket by
// hand, as stock clients would take more of the machine than the gateway does. Messages from the parent, each answered
// with one of the same id: `connect`; `cut`; `resume` {over}, evenly within so many milliseconds; `report`.

import { randomBytes } from 'node:crypto';
import { connect as open } from 'node:net';

const { port, from, count, rooms } = JSON.parse(process.argv[2]);

/** A masked text frame; the mask is zero. */
function frame(text) {
  const body = Buffer.from(text);
  const head = body.length < 126 ? Buffer.from([0x81, 0x80 | body.length, 0, 0, 0, 0])
    : Buffer.from([0x81, 0x80 | 126, body.length >> 8, body.length & 255, 0, 0, 0, 0]);
  return Buffer.concat([head, body]);
}

class Client {
  constructor(i) {
    Object.assign(this, { i, room: `room-${i % rooms}`, last: 0, got: 0, twice: 0, missing: 0, offset: undefined, recovered: 0, again: 0, took: [] });
  }

  /** Opens a connection and sends CONNECT; resolves when that is answered. */
  start() {
    return new Promise((done, fail) => {
      this.socket = open({ port, host: '127.0.0.1', noDelay: true });
      let rest = Buffer.alloc(0);
      let upgraded = false;
      this.socket.on('connect', () => this.socket.write('GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n'
        + `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`));
      this.socket.on('error', fail);
      this.socket.on('close', () => fail(new Error('closed')));
      this.socket.on('data', (data) => {
        rest = rest.length ? Buffer.concat([rest, data]) : data;
        if (!upgraded) {
          const end = rest.indexOf('\r\n\r\n');
          if (end < 0) return;
          if (!rest.subarray(0, 12).includes('101')) { fail(new Error(rest.subarray(0, 40).toString())); this.socket.destroy(); return; }
          upgraded = true;
          rest = rest.subarray(end + 4);
        }
        for (;;) {
          if (rest.length < 2) return;
          let size = rest[1] & 127;
          let head = 2;
          if (size === 126) { if (rest.length < 4) return; size = rest.readUInt16BE(2); head = 4; }
          if (rest.length < head + size) return;
          this.take(rest.subarray(head, head + size).toString(), done);
          rest = rest.subarray(head + size);
        }
      });
    });
  }

  take(packet, done) {
    if (packet[0] === '0') {
      this.asked = performance.now();
      this.socket.write(frame(this.pid ? `40${JSON.stringify({ pid: this.pid, offset: this.offset })}` : '40'));
    } else if (packet === '2') {
      this.socket.write(frame('3'));
    } else if (packet.startsWith('40')) {
      const { pid, sid } = JSON.parse(packet.slice(2));
      if (this.pid) {
        this.took.push(performance.now() - this.asked);
        if (pid === this.pid && sid === this.sid) this.recovered += 1; else this.again += 1;
      }
      const known = this.pid === pid;
      Object.assign(this, { pid, sid });
      if (known) { done(); return; }
      this.socket.write(frame(`421["join","${this.room}"]`));
      this.joined = done;
    } else if (packet.startsWith('431')) {
      this.joined?.();
    } else if (packet.startsWith('42')) {
      const [, number, ...more] = JSON.parse(packet.slice(2));
      this.got += 1;
      if (number <= this.last) this.twice += 1;
      else { this.missing += number - this.last - 1; this.last = number; }
      this.offset = more.at(-1);
    }
  }
}

const clients = Array.from({ length: count }, (_, n) => new Client(from + n));

const operations = {
  async connect() {
    for (let n = 0; n < count; n += 50) await Promise.all(clients.slice(n, n + 50).map((client) => client.start()));
    return {};
  },
  cut() {
    for (const { socket } of clients) { socket.removeAllListeners('close'); socket.on('error', () => {}); socket.destroy(); }
    return {};
  },
  async resume({ over }) {
    const errors = [];
    await Promise.all(clients.map(async (client, n) => {
      await new Promise((done) => { setTimeout(done, over * n / count); });
      for (let attempt = 0; attempt < 40; attempt += 1) {
        try { await client.start(); return; } catch (error) {
          if (attempt === 39) errors.push(error.message);
          client.socket.removeAllListeners();
          client.socket.on('error', () => {});
          client.socket.destroy();
          await new Promise((done) => { setTimeout(done, 100); });
        }
      }
    }));
    return { errors };
  },
  report: () => ({ clients: clients.map(({ room, last, got, twice, missing, recovered, again, took }) => ({ room, last, got, twice, missing, recovered, again, took })) }),
};

process.on('message', async ({ id, op, ...members }) => process.send({ id, ...await operations[op](members) }));
process.on('disconnect', () => process.exit(0));
