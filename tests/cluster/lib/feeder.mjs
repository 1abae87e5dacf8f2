// Writes numbered events to rooms at a steady rate, in a process of its own: feeder.mjs SETTINGS as JSON, forked.
//
// SETTINGS: `port` of Redis; `rooms`, how many (`room-0` …); `rate`, events per second; `stream`; `size`, bytes of padding.
// Entries are those of the streams emitter, but for trimming: nothing is trimmed. Messages from the parent, each
// answered with one of the same id: `start`; `stop`, which answers when Redis has taken all, with `last`, the last
// number of each room; `last`; `other` {rate, rooms}: from now on so many events go to other rooms as well.

import { serve } from '../../support/workers.mjs';
import { redisClient } from './redis.mjs';

const { port, rooms, rate, stream = 'socket.io', size = 0 } = JSON.parse(process.argv[2]);
const redis = redisClient(port);
const last = Object.fromEntries(Array.from({ length: rooms }, (_, i) => [`room-${i}`, 0]));
const padding = 'x'.repeat(size);
let sent = 0;
let timer = null;
const under = new Set();
let failures = 0;

const entry = (room, args) => ['xadd', stream, '*', 'uid', 'emitter', 'nsp', '/', 'type', '3', 'data',
  JSON.stringify({ packet: { type: 2, data: ['tick', ...args], nsp: '/' }, opts: { rooms: [room], flags: {}, except: [] } })];

function write(commands) {
  if (commands.length === 0) return;
  const done = redis.pipeline(commands).exec().then((replies) => { failures += replies.filter(([error]) => error).length; })
    .catch(() => { failures += commands.length; }).finally(() => under.delete(done));
  under.add(done);
}

let other = { rate: 0, rooms: 1000, sent: 0, began: 0 };

function start() {
  const began = Date.now();
  const before = sent;
  timer = setInterval(() => {
    const commands = [];
    for (const due = before + Math.floor((Date.now() - began) / 1000 * rate); sent < due; sent += 1) {
      const room = `room-${sent % rooms}`;
      last[room] += 1;
      commands.push(entry(room, padding ? [last[room], padding] : [last[room]]));
    }
    for (const due = Math.floor((Date.now() - other.began) / 1000 * other.rate); other.sent < due; other.sent += 1) {
      commands.push(entry(`other-${other.sent % other.rooms}`, [other.sent, 'x'.repeat(100)]));
    }
    // A process that was held up does not make up for it in one go.
    for (let i = 0; i < commands.length; i += 500) write(commands.slice(i, i + 500));
  }, 10);
}

const operations = {
  start: () => { start(); return {}; },
  async stop() {
    clearInterval(timer);
    await Promise.all(under);
    return { last, sent, failures };
  },
  last: () => ({ last, sent, failures }),
  other: (settings) => { other = { rooms: 1000, ...settings, sent: 0, began: Date.now() }; return {}; },
};

serve(operations);
