// More at once than a client's queue holds (`--queue-bytes`, 4 MB by default): said in one turn, missed while away, and missed
// by a client whose connection is cut again in the middle of the replay. By every transport, with and without attachments,
// at a gateway alone and in a cluster: each event once and in order, and nobody begins again.

import net from 'node:net';
import { Checks, same, sleep, startGateway, until, within } from '../integration/lib/harness.mjs';
import { clusterOptions } from './lib/cluster.mjs';
import { StreamsEmitter } from './lib/emitters.mjs';
import { RedisServer } from './lib/redis.mjs';
import { io } from 'socket.io-client';

const checks = new Checks('bursts');
const count = 23;
const large = 700_000;
const all = Array.from({ length: count }, (_, i) => i);
const routes = { version: 1, namespaces: { '/': {
  events: {
    join: [{ join: '{event.0}', allow: 'anyone' }, { ack: [] }],
    burst: [...all.map((i) => ({ emit: 'b', allow: 'anyone', to: { room: '{event.0}' }, args: isLarge(i) ? [i, '{event.1}'] : [i] })), { ack: [] }],
  },
} } };
/** Small events stand between the large ones, so that one that is left out would be noticed. */
function isLarge(i) { return i % 3 !== 1; }

const redis = await RedisServer.start({ keep: false });
const common = { '--recovery': 'on', '--rate-limit': 'off', '--ping-interval': '10s', '--ping-timeout': '10s', '--max-payload': '2MB', '--routes': 'FOLDER/routes.json' };
const start = (options) => startGateway({ options: { ...common, ...options }, files: { 'routes.json': JSON.stringify(routes) } });
const alone = await start({});
const cluster = await start({ ...clusterOptions(redis.url, 'one'), ...common });
const emitter = new StreamsEmitter(redis.client(), { maxLen: 100_000 });

const payload = { text: 'z'.repeat(large), attachments: Buffer.alloc(large, 7) };

/** A way through which connections go; all are cut once so many bytes have come back. */
async function way(port) {
  const open = new Set();
  const the = { cuts: 0, left: Infinity };
  const server = net.createServer((client) => {
    const gateway = net.connect(port, '127.0.0.1');
    const end = () => { client.destroy(); gateway.destroy(); open.delete(end); };
    open.add(end);
    gateway.on('data', (data) => {
      the.left -= data.length;
      if (the.left >= 0) { client.write(data); return; }
      the.left = Infinity;
      the.cuts += 1;
      the.cut();
    });
    client.on('data', (data) => gateway.write(data));
    for (const one of [client, gateway]) one.on('error', end).on('close', end);
  });
  await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
  the.port = server.address().port;
  the.cut = () => { for (const end of [...open]) end(); };
  the.end = () => { the.cut(); server.close(); };
  return the;
}

/** A stock client in a room of its own, and what it hears. */
async function join(room, port, transports) {
  const client = { heard: [], anew: 0, ends: [], connects: 0 };
  const socket = io(`http://127.0.0.1:${port}`, { transports, forceNew: true, reconnectionDelay: 600, reconnectionDelayMax: 600, randomizationFactor: 0 });
  client.socket = socket;
  socket.on('b', (number) => client.heard.push(number));
  socket.on('connect', () => { client.connects += 1; if (client.connects > 1 && !socket.recovered) client.anew += 1; });
  socket.on('disconnect', (reason) => client.ends.push(reason));
  await within(5000, new Promise((done) => { socket.once('connect', done); }), 'the first connect');
  await socket.emitWithAck('join', room);   // an upgrade may be under way
  return client;
}

/** Says all of a burst to a room at once, `what` in the large ones. */
const say = {
  alone: async (room, what) => {
    const writer = io(alone.url, { transports: ['websocket'], forceNew: true, reconnection: false });
    await new Promise((done) => { writer.once('connect', done); });
    await writer.emitWithAck('burst', room, what);
    writer.disconnect();
  },
  cluster: (room, what) => Promise.all(all.map((i) => emitter.emit({ rooms: [room] }, 'b', isLarge(i) ? [i, what] : [i]))),
};

/** Whether the client hears all of one burst, and nothing else. */
async function judge(client, when) {
  await until(15000, () => client.heard.length >= count, `${count} events`).catch(() => {});
  await sleep(50);
  same({ heard: client.heard.splice(0), anew: client.anew }, { heard: all, anew: 0 }, `${when}; ends: ${client.ends}; what was heard`);
}

let rooms = 0;

async function saidAtOnce(place, port, transports, what) {
  const room = `room-${(rooms += 1)}`;
  const client = await join(room, port, transports);
  await say[place](room, what);
  await judge(client, 'in one turn');
  client.socket.disconnect();
}

/** `bytes`: after how many of them the connection is cut again. */
async function missed(place, port, transports, what, bytes) {
  const room = `room-${(rooms += 1)}`;
  const through = await way(port);
  const client = await join(room, through.port, transports);
  await say[place](room, 'x');   // so that it has an offset to come back with
  await judge(client, 'before');
  const { connects } = client;
  through.cut();
  await until(5000, () => !client.socket.connected, 'the cut');
  client.ends.length = 0;
  through.left = bytes;
  await say[place](room, what);
  await judge(client, 'after the return');
  if (bytes === Infinity) same([client.connects - connects, client.ends], [1, []], 'returns, and ends of the connection after the first');
  else same(through.cuts, 1, 'cuts in the middle of the replay');
  client.socket.disconnect();
  through.end();
}

for (const [place, { port }] of [['alone', alone], ['cluster', cluster]]) {
  const steps = [];
  for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
    for (const [kind, what] of Object.entries(payload)) {
      const name = `${place}, by ${transports.join(' and then ')}, ${kind}`;
      const step = (title, body) => steps.push(() => checks.step(`${name}: ${title}`, body, { timeout: 30000 }));
      step('said in one turn', () => saidAtOnce(place, port, transports, what));
      step('missed while away: one return', () => missed(place, port, transports, what, Infinity));
      step('missed, and cut again in the middle of the replay', () => missed(place, port, transports, what, 2_500_000));
    }
  }
  await Promise.all([0, 1, 2].map(async (lane) => { for (let i = lane; i < steps.length; i += 3) await steps[i](); }));
}

await checks.end([alone, cluster]);
await redis.end();
