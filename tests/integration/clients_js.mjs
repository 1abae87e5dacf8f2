// The JavaScript client, four versions of it, each over its default transports, polling alone and WebSocket alone.

import { io as io48 } from 'socket.io-client';
import { io as io45 } from 'socket.io-client-4-5';
import { io as io40 } from 'socket.io-client-4-0';
import js31 from 'socket.io-client-3-1';
import { Checks, httpGet, onReference, same, sleep, startServer, truth, until, within } from './lib/harness.mjs';
import { bytes, difficultJson, difficultText, largeText, transportSets } from './lib/values.mjs';

const clients = [
  { name: '4.8.4', io: io48, recovers: true },
  { name: '4.5.4', io: io45 },
  { name: '4.0.2', io: io40 },
  { name: '3.1.3', io: js31.io },
];

const next = (socket, event, ms = 5000) => within(ms, new Promise((done) => {
  socket.once(event, (...args) => done(args));
}), `event "${event}"`);

const ask = (socket, ...args) => within(5000, new Promise((done) => {
  socket.emit(...args, (...answer) => done(answer));
}), `answer to "${args[0]}"`);

/** Without the position that the server may append to events for a client which can recover. */
const plain = (args, count) => args.slice(0, count);

async function scenario(checks, server, client, [transportName, transports]) {
  const label = (name) => `JS ${client.name} ${transportName}: ${name}`;
  const step = (name, body, options) => checks.step(label(name), body, options);
  const open = (nsp = '/', options = {}) => client.io(`${server.url}${nsp === '/' ? '' : nsp}`, {
    ...(transports && { transports }), auth: { token: 't-1' }, forceNew: true, reconnectionDelay: 600,
    randomizationFactor: 0, ...options,
  });
  const lastTransport = transportName === 'polling' ? 'polling' : 'websocket';
  const socket = open();
  const connected = await step('connects with auth', async () => {
    await next(socket, 'connect');
    same(socket.id.length, 20, 'length of the id');
  });
  if (!connected) { socket.disconnect(); return; }
  const manager = socket.io;
  await step('difficult text comes back in an ack', async () => same(await ask(socket, 'echo', difficultText, 'x'), [difficultText, 'x']));
  await step('JSON of every kind comes back in an ack', async () => same(await ask(socket, 'echo', difficultJson), [difficultJson]));
  await step('100 KB of text come back in an ack', async () => same(await ask(socket, 'echo', largeText), [largeText]));
  await step('the server knows who it is', async () => {
    await until(3000, () => manager.engine.transport.name === lastTransport, `transport ${lastTransport}`);
    const [who] = await ask(socket, 'whoami');
    same(who.auth, { token: 't-1' }, 'auth');
    same([who.namespace, who.sid, who.transport, who.recovered], ['/', socket.id, lastTransport, false]);
  });
  await step('an event comes back', async () => {
    const came = next(socket, 'echo-event');
    socket.emit('echo-event', 1, 'two', { three: [3] });
    same(plain(await came, 3), [1, 'two', { three: [3] }]);
  });
  await step('binary comes back in an ack', async () => {
    const [a, b, c] = await ask(socket, 'echo', bytes(1000), { in: { side: bytes(5, 9) } }, bytes(0));
    truth(Buffer.from(a).equals(bytes(1000)) && Buffer.from(b.in.side).equals(bytes(5, 9)) && c.byteLength === 0, 'bytes differ');
  });
  await step('binary comes back in an event', async () => {
    const came = next(socket, 'echo-event');
    socket.emit('echo-event', bytes(100000), 'text', bytes(3, 1));
    const [a, text, b] = await came;
    truth(Buffer.from(a).equals(bytes(100000)) && text === 'text' && Buffer.from(b).equals(bytes(3, 1)), 'bytes differ');
  });
  await step('answers a question of the server', async () => {
    socket.once('question', (what, how, answer) => answer(`${what}!`, { how }));
    const answered = next(socket, 'answered');
    socket.emit('ask-me', 'why', { deep: true });
    same(plain(await answered, 2), ['why!', { how: { deep: true } }]);
  });
  await step('answers a question of the server with binary', async () => {
    socket.once('question', (what, answer) => answer(what));
    const answered = next(socket, 'answered');
    socket.emit('ask-me', bytes(300));
    truth(Buffer.from((await answered)[0]).equals(bytes(300)), 'bytes differ');
  });
  await step('joins a second namespace on the same connection and leaves it', async () => {
    const other = manager.socket('/custom', { auth: { token: 't-1' } });
    await next(other, 'connect');
    const [who] = await ask(other, 'whoami');
    same([who.namespace, who.sid], ['/custom', other.id]);
    truth(other.id !== socket.id, 'ids of the namespaces differ');
    same(await ask(other, 'echo', 'there'), ['there']);
    other.disconnect();
    same(await ask(socket, 'echo', 'still here'), ['still here']);
  });
  await step('is refused with message and data', async () => {
    const refused = manager.socket('/forbidden', {});
    const [error] = await next(refused, 'connect_error');
    same([error.message, error.data], ['nope', { code: 42 }]);
    refused.disconnect();
  });
  await step('is told of an invalid namespace', async () => {
    const refused = manager.socket('/unheard-of', {});
    const [error] = await next(refused, 'connect_error');
    same(error.message, 'Invalid namespace');
    refused.disconnect();
    same(await ask(socket, 'echo', 'alive'), ['alive']);
  });
  await step('gets 1,000 events in order', async () => {
    const seen = [];
    socket.on('tick', (i) => seen.push(i));
    await server.emitMany(Array.from({ length: 1000 }, (_, i) => ['tick', i]), { to: socket.id });
    await until(8000, () => seen.length >= 1000, '1,000 ticks').catch((error) => { throw new Error(`${error.message}, ${seen.length} came`); });
    same(seen, Array.from({ length: 1000 }, (_, i) => i));
    socket.off('tick');
  });
  await step('sends 1,000 events in order', async () => {
    const seen = [];
    socket.on('echo-event', (i) => seen.push(i));
    for (let i = 0; i < 1000; i += 1) socket.emit('echo-event', i);
    await until(8000, () => seen.length >= 1000, '1,000 events').catch((error) => { throw new Error(`${error.message}, ${seen.length} came`); });
    same(seen, Array.from({ length: 1000 }, (_, i) => i));
    socket.off('echo-event');
  });
  await step('idles longer than the ping timeout', async () => {
    let left = false;
    socket.once('disconnect', () => { left = true; });
    await sleep(2600);
    truth(!left, 'it was disconnected');
    same(await ask(socket, 'echo', 'awake'), ['awake']);
  });
  await step('comes back by itself when only its transport is dropped', async () => {
    const back = next(socket, 'connect', 2000);   // 0.6 s of its own delay included
    const [reason] = await Promise.all([next(socket, 'disconnect').then(([r]) => r), socket.emit('drop')]);
    truth(['transport close', 'transport error'].includes(reason), `reason "${reason}"`);
    await back;
    same(await ask(socket, 'echo', 'back'), ['back']);
  });
  await step('is kicked, stays away, and may connect anew', async () => {
    const gone = next(socket, 'disconnect');
    socket.emit('kick');
    same((await gone)[0], 'io server disconnect');
    await sleep(800);
    truth(!socket.connected, 'it came back by itself');
    socket.connect();
    await next(socket, 'connect');
    same(await ask(socket, 'echo', 'anew'), ['anew']);
  });
  socket.disconnect();
  if (client.recovers) await recovery(step, server, open);
}

async function recovery(step, server, open) {
  const missed = Array.from({ length: 20 }, (_, i) => ['missed', i, i % 3 ? 'text' : { i }]);
  const dropAndReturn = async (socket) => {
    const seen = [];
    socket.on('missed', (i) => seen.push(i));
    const before = socket.id;
    const gone = next(socket, 'disconnect');
    const back = next(socket, 'connect', 5000);
    socket.emit('drop');
    await gone;
    await server.emitMany(missed, { to: before });
    await back;
    truth(socket.recovered, 'it did not recover');
    same(socket.id, before, 'id');
    same((await ask(socket, 'whoami'))[0].recovered, true, 'recovered as the server sees it');
    same(seen, missed.map(([, i]) => i), 'missed events');
    await server.emit('missed', [99], { to: before });
    await until(2000, () => seen.at(-1) === 99, 'an event after recovery');
    same(seen.length, missed.length + 1, 'number of events');
  };
  await step('recovers what it missed, in order and once', async () => {
    const socket = open();
    await next(socket, 'connect');
    const came = next(socket, 'echo-event');
    socket.emit('echo-event', 'mark');
    await came;
    await dropAndReturn(socket);
    await dropAndReturn(socket);
    socket.disconnect();
  }, { timeout: 15000 });
  await step('recovers though it had received nothing yet', async () => {
    const socket = open();
    await next(socket, 'connect');
    try { await dropAndReturn(socket); } finally { socket.disconnect(); }
  }, { nodeFails: true });
}

const checks = new Checks('clients_js');
const server = await startServer();
await Promise.all(clients.flatMap((client) => transportSets.map((set) => scenario(checks, server, client, set))));
await checks.ours('clients that have left are forgotten', () => until(3000, async () => {
  const metrics = JSON.parse((await httpGet(`${server.url}/metrics`)).body);
  return metrics.socketConnections === 0;
}, 'socketConnections = 0'));
await checks.end(server);
