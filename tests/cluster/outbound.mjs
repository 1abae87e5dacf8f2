// Outbound events: what routes publish and what happens to sockets and rooms, in a Redis stream.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { io } from 'socket.io-client';
import {
  Checks, httpGet, same, sleep, startGateway, truth, until, within,
} from '../integration/lib/harness.mjs';
import { clusterOptions } from './lib/cluster.mjs';
import { RedisServer } from './lib/redis.mjs';

const stream = 'test:events';
const routes = {
  version: 1,
  namespaces: {
    '/': {
      on_disconnect: [{ publish: 'left', value: { why: '{disconnect.reason}' } }],
      events: {
        order: [{ publish: 'orders', key: '{user.id}' }, { ack: [{ ok: true }] }],
        picked: [{ publish: 'picked', value: { n: '{event.0.n}', by: '{user.id}' } }, { ack: ['picked'] }],
        note: [{ publish: 'notes' }],
        hurried: [{ publish: 'hurried', timeout: '100ms' }, { ack: ['in time'] }],
        maybe: [{ publish: 'maybe', otherwise: 'continue' }, { ack: ['anyway'] }],
        echo: [{ ack: '{event.args}' }],
        enter: [{ join: 'room_{event.0}', allow: 'anyone' }, { ack: [true] }],
        go: [{ leave: 'room_{event.0}' }, { ack: [true] }],
      },
    },
  },
};

const checks = new Checks('outbound');
const folder = mkdtempSync(join(tmpdir(), 'sio-outbound-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const routesFile = join(folder, 'routes.json');
writeFileSync(routesFile, JSON.stringify(routes));
const redis = await RedisServer.start({ keep: true });
const reader = redis.client();
const servers = [];
const clients = new Set();

async function gateway(name, extra = {}) {
  const options = {
    ...clusterOptions(redis.url, name), '--routes': routesFile, '--auth': 'dev', '--rate-limit': 'off', '--events-stream': stream, ...extra,
  };
  const server = await startGateway({ options });
  servers.push(server);
  return server;
}

async function connect(server, user) {
  const client = io(server.url, {
    transports: ['websocket'], auth: user ? { token: user } : {}, forceNew: true, reconnection: false,
  });
  clients.add(client);
  await within(5000, new Promise((done, fail) => {
    client.once('connect', done);
    client.once('connect_error', fail);
  }), `connect of ${user}`);
  return client;
}

const ask = (client, event, ...args) => within(5000, client.emitWithAck(event, ...args), `answer to ${event}`);

const entryOf = ([id, flat]) => {
  const entry = { id };
  for (let i = 0; i < flat.length; i += 2) entry[flat[i]] = flat[i + 1];
  return { ...entry, seq: Number(entry.seq), data: JSON.parse(entry.data) };
};

/** What the stream has, but for `id`s up to `after`. */
async function entries(after = '-', key = stream) {
  return (await reader.xrange(key, after === '-' ? '-' : `(${after}`, '+')).map(entryOf);
}
const lastId = async (key = stream) => (await entries('-', key)).at(-1)?.id ?? '-';

/** Waits until what came after `after` has `count` entries of these kinds, and gives those. */
async function kindsAfter(after, kinds, count, { key = stream, ms = 3000 } = {}) {
  let found = [];
  await until(ms, async () => {
    found = (await entries(after, key)).filter(({ kind }) => kinds.includes(kind));
    return found.length >= count;
  }, `${count} entries ${kinds}`).catch((error) => {
    throw new Error(`${error.message}; there are ${JSON.stringify(found.map(({ kind, data }) => [kind, data]))}`);
  });
  return found;
}

const a = await gateway('a');
const b = await gateway('b');

await checks.step('an entry has all fields, and the arguments as they came', async () => {
  const alice = await connect(a, 'alice');
  const began = Date.now();
  same(await ask(alice, 'order', { n: 1 }, 'two'), { ok: true }, 'ack');
  const [entry] = await entries();
  truth(Math.abs(Number(entry.time) - began) < 2000, `time ${entry.time}`);
  same({ ...entry, id: 0, time: 0 }, {
    id: 0, v: '1', kind: 'event', topic: 'orders', key: 'alice', nsp: '/', sid: alice.id, user: 'alice', time: 0, node: 'a',
    data: [{ n: 1 }, 'two'], seq: 1,
  }, 'entry');
  same(await ask(alice, 'picked', { n: 7, other: 1 }), 'picked', 'ack');
  same((await entries()).at(-1).data, { n: 7, by: 'alice' }, 'value');
  alice.disconnect();
  const [left] = await kindsAfter('-', ['event'], 3).then((all) => all.slice(2));
  same([left.topic, left.data, left.seq], ['left', { why: 'client namespace disconnect' }, 3], 'on_disconnect');
});

await checks.step('attachments are base64, in the order of their placeholders', async () => {
  const binary = await connect(a, 'binary');
  await ask(binary, 'order', { one: Buffer.from([1, 2, 255]) }, Buffer.from('two'));
  const entry = (await entries()).at(-1);
  same(entry.data, [{ one: { _placeholder: true, num: 0 } }, { _placeholder: true, num: 1 }], 'data');
  same(JSON.parse(entry.attachments), ['AQL/', 'dHdv'], 'attachments');
  binary.disconnect();
});

await checks.step('whenever an ack has come the entry is in Redis', async () => {
  const client = await connect(a, 'acked');
  for (let i = 0; i < 50; i += 1) {
    same(await ask(client, 'order', i), { ok: true }, 'ack');
    const last = (await reader.xrevrange(stream, '+', '-', 'COUNT', 1)).map(entryOf)[0];
    same(last.data, [i], 'the last entry');
  }
  client.disconnect();
});

await checks.step('the ack waits for Redis', async () => {
  const client = await connect(a, 'patient');
  await reader.call('CLIENT', 'PAUSE', '400', 'WRITE');
  let acked = 0;
  const answer = ask(client, 'order', 'paused').then(() => { acked = Date.now(); });
  same(await ask(client, 'echo', 1), 1, 'echo meanwhile');
  await sleep(200);
  same(acked, 0, 'ack while Redis does not write');
  await answer;
  client.disconnect();
});

await checks.step('the numbers of a user over two gateways are 1, 2, 3 … without a gap', async () => {
  const after = await lastId();
  const both = [await connect(a, 'carol'), await connect(b, 'carol'), await connect(b, 'carol')];
  await Promise.all(both.flatMap((client, i) => Array.from({ length: 100 }, (_, n) => ask(client, 'order', i, n))));
  const mine = (await entries(after)).filter(({ user, topic }) => user === 'carol' && topic === 'orders');
  same(mine.map(({ seq }) => seq), Array.from({ length: 300 }, (_, i) => i + 1), 'numbers in the order of the stream');
  same(new Set(mine.map(({ node }) => node)), new Set(['a', 'b']), 'gateways');
  for (let i = 0; i < 3; i += 1) {
    same(mine.filter(({ data }) => data[0] === i).map(({ data }) => data[1]), Array.from({ length: 100 }, (_, n) => n),
      `order of client ${i}`);
  }
  for (const client of both) client.disconnect();
});

await checks.step('who is anonymous has no numbers', async () => {
  const nobody = await connect(a, '');
  same(await ask(nobody, 'picked', { n: 1 }), 'picked', 'ack');
  const [entry] = (await entries()).filter(({ sid }) => sid === nobody.id);
  same([entry.user, entry.seq], ['', 0], 'user and number');
  same(await reader.hget(`${stream}:seq`, ''), null, 'count of nobody');
  nobody.disconnect();
});

await checks.step('a consumer group reads every entry once, also after a consumer has gone', async () => {
  await reader.xgroup('CREATE', stream, 'workers', '0');
  const all = (await entries()).map(({ id }) => id);
  const read = [];
  let turn = 0;
  for (;;) {
    turn += 1;
    const name = turn % 2 ? 'one' : 'two';
    const answer = await reader.xreadgroup('GROUP', 'workers', name, 'COUNT', 50, 'STREAMS', stream, '>');
    if (!answer) break;
    const ids = answer[0][1].map(([id]) => id);
    read.push(...ids);
    if (name === 'one') await reader.xack(stream, 'workers', ...ids);   // two dies before it acknowledges
  }
  same(read, all, 'what was read');
  const [, claimed] = await reader.xautoclaim(stream, 'workers', 'one', 0, '0', 'COUNT', 1000);
  truth(claimed.length > 0, 'nothing to take over');
  await reader.xack(stream, 'workers', ...claimed.map(([id]) => id));
  same((await reader.xpending(stream, 'workers'))[0], 0, 'pending');
});

await checks.step('entries older than the retention are trimmed', async () => {
  const short = await gateway('short', { '--events-stream': 'short:events', '--events-retention': '1s' });
  const client = await connect(short, 'dora');
  await Promise.all(Array.from({ length: 300 }, (_, i) => ask(client, 'order', i)));
  await sleep(1100);
  await ask(client, 'order', 'late');
  const left = await entries('-', 'short:events');
  truth(left.length <= 101, `${left.length} entries are left`);   // whole nodes of the stream go at a time
  same(left.at(-1).seq, 301, 'number after it');
  client.disconnect();
});

await checks.step('a script that Redis has forgotten is given again', async () => {
  const client = await connect(a, 'erik');
  await ask(client, 'order', 1);
  await reader.script('FLUSH');
  const before = (await entries()).length;
  await Promise.all([1, 2, 3].map((n) => ask(client, 'order', n)));
  same((await entries()).slice(before).map(({ seq }) => seq), [2, 3, 4], 'numbers');
  client.disconnect();
});

await checks.step('what the stream refuses fails, takes no number, and says why', async () => {
  const wrong = await gateway('wrong', { '--events-stream': 'wrong:events' });
  await reader.set('wrong:events', 'a text');
  const client = await connect(wrong, 'frida');
  const answer = await ask(client, 'order', 1);
  same(answer.error, 'failed', 'error');
  truth(/WRONGTYPE/.test(answer.reason), answer.reason);
  await reader.del('wrong:events');
  same(await ask(client, 'order', 1), { ok: true }, 'ack');
  same((await entries('-', 'wrong:events'))[0].seq, 1, 'number');
  client.disconnect();
});

await checks.step('without a stream publishing is unavailable', async () => {
  const none = await gateway('none', { '--events-stream': '' });
  const client = await connect(none, 'gerd');
  same(await ask(client, 'order', 1), { error: 'unavailable', reason: 'this gateway has no stream of events' }, 'ack');
  same(await ask(client, 'maybe', 1), 'anyway', 'ack of a list that goes on');
  client.disconnect();
});

// ---- Lifecycle --------------------------------------------------------------------------------------------------

await checks.step('connects, joins, leaves and disconnects are written when asked for, in their order', async () => {
  const key = 'life:events';
  const one = await gateway('life1', { '--events-stream': key, '--events-lifecycle': 'on' });
  const two = await gateway('life2', { '--events-stream': key, '--events-lifecycle': 'on' });
  const socketKinds = ['connect', 'disconnect', 'join', 'leave', 'event'];
  const client = await connect(one, 'hanna');
  await ask(client, 'enter', 1);
  await ask(client, 'enter', 1);
  await ask(client, 'enter', 2);
  await ask(client, 'order', 'x');
  await ask(client, 'go', 1);
  const { id: sid } = client;
  client.disconnect();
  const found = await kindsAfter('-', socketKinds, 7, { key });
  same(found.map(({ kind, data }) => [kind, data]), [
    ['connect', { recovered: false, rooms: ['hanna'] }],
    ['join', { room: 'room_1' }],
    ['join', { room: 'room_2' }],
    ['event', ['x']],
    ['leave', { room: 'room_1' }],
    ['disconnect', { reason: 'client namespace disconnect', rooms: ['hanna', 'room_2'] }],
    ['event', { why: 'client namespace disconnect' }],
  ], 'what happened');
  same(found.map(({ seq }) => seq), [1, 2, 3, 4, 5, 6, 7], 'numbers');
  truth(found.every((entry) => entry.sid === sid && entry.user === 'hanna' && entry.node === 'life1'), 'origin');
  truth(two.exitCode === null, 'the second gateway is there');
});

await checks.step('a room is occupied and vacated once in the whole cluster', async () => {
  const key = 'life:events';
  const [one, two] = servers.slice(-2);
  const after = await lastId(key);
  const rooms = (list) => list.filter(({ data }) => data.room === 'room_9').map(({ kind, user, sid, seq }) => [kind, user, sid, seq]);
  const of = async () => rooms((await entries(after, key)).filter(({ kind }) => ['occupied', 'vacated'].includes(kind)));
  const first = await connect(one, 'ida');
  const second = await connect(two, 'jens');
  await ask(first, 'enter', 9);
  await until(3000, async () => (await of()).length === 1, 'occupied');
  await ask(second, 'enter', 9);
  await sleep(100);
  await ask(first, 'go', 9);
  await sleep(200);
  same(await of(), [['occupied', '', '', 0]], 'while one is in it');
  second.disconnect();
  await until(3000, async () => (await of()).length === 2, 'vacated');
  same((await of())[1], ['vacated', '', '', 0], 'at the end');
  first.disconnect();
});

await checks.step('rooms of a killed gateway are vacated within 15 s', async () => {
  const key = 'life:events';
  const [one, two] = servers.slice(-2);
  const client = await connect(two, 'karl');
  await ask(client, 'enter', 'killed');
  const of = async () => (await entries('-', key)).filter(({ kind, data }) => kind !== 'join' && data.room === 'room_killed')
    .map(({ kind, node }) => [kind, node]);
  await until(3000, async () => (await of()).length === 1, 'occupied');
  two.child.kill('SIGKILL');
  await until(15000, async () => (await of()).length === 2, 'vacated');
  same(await of(), [['occupied', 'life2'], ['vacated', 'life1']], 'of the room');
  truth(one.exitCode === null, 'the other gateway lives');
  servers.splice(servers.indexOf(two), 1);
  await two.stop();
}, { timeout: 20000 });

await checks.step('a gateway that is told to leave writes the disconnects, and its rooms are vacated', async () => {
  for (const [name, deadline] of [['slowly', '2s'], ['hastily', '0ms']]) {
    const key = `${name}:events`;
    const server = await gateway(name, { '--events-stream': key, '--events-lifecycle': 'on', '--drain-deadline': deadline });
    const client = await connect(server, 'olga');
    await ask(client, 'enter', 1);
    await kindsAfter('-', ['occupied'], 2, { key });
    servers.splice(servers.indexOf(server), 1);
    server.child.kill('SIGTERM');
    await within(4000, server.exited, 'end');
    await kindsAfter('-', ['disconnect'], 1, { key });
    if (name === 'slowly') await kindsAfter('-', ['vacated'], 2, { key });
    await server.stop();
  }
});

// ---- Redis is away ----------------------------------------------------------------------------------------------

const prompt = async (client, event, ...args) => {
  const began = Date.now();
  const answer = await ask(client, event, ...args);
  return { answer, ms: Date.now() - began };
};

await checks.step('a frozen Redis: unavailable within 2 s, or timeout when the route says so; all stay connected', async () => {
  const client = await connect(a, 'lena');
  await ask(client, 'order', 1);
  redis.freeze();
  const [slow, hurried] = await Promise.all([prompt(client, 'order', 2), prompt(client, 'hurried', 3)]);
  const after = await prompt(client, 'order', 4);
  redis.thaw();
  same(slow.answer.error, 'unavailable', 'error');
  truth(slow.ms < 2000, `it took ${slow.ms} ms`);
  same([hurried.answer.error, hurried.answer.reason], ['timeout', 'no answer within 100 ms'], 'error of the hurried');
  truth(hurried.ms < 1000, `the hurried took ${hurried.ms} ms`);
  same(after.answer.error, 'unavailable', 'error when it is known');
  truth(after.ms < 200, `it took ${after.ms} ms`);
  truth(client.connected, 'the client is connected');
  await until(5000, async () => (await httpGet(`${a.url}/ready`)).status === 200, '/ready');
  same(await ask(client, 'order', 5), { ok: true }, 'ack afterwards');
  client.disconnect();
});

await checks.step('a stopped Redis: unavailable within 2 s, the client stays connected, and publishes when it is back', async () => {
  const client = await connect(a, 'mia');
  await ask(client, 'order', 1);
  await redis.stop();
  const first = await prompt(client, 'order', 2);
  const next = await prompt(client, 'order', 3);
  for (const { answer, ms } of [first, next]) {
    same(answer.error, 'unavailable', 'error');
    truth(/Redis/.test(answer.reason), answer.reason);
    truth(ms < 2000, `it took ${ms} ms`);
  }
  same(await ask(client, 'maybe', 1), 'anyway', 'ack of a list that goes on');
  same(await ask(client, 'echo', 1), 1, 'echo');
  truth(client.connected, 'the client is connected');
  await redis.run();
  await until(5000, async () => (await httpGet(`${a.url}/ready`)).status === 200, '/ready');
  same(await ask(client, 'order', 4), { ok: true }, 'ack afterwards');
  const mine = (await entries()).filter(({ user }) => user === 'mia');
  same(mine.map(({ data, seq }) => [data, seq]), [[[1], 1], [[4], 2]], 'entries');
  client.disconnect();
});

await checks.step('more than 10,000 under way: the rest is refused at once, and counted', async () => {
  await until(5000, async () => (await httpGet(`${b.url}/ready`)).status === 200, '/ready');
  const client = await connect(b, 'nils');
  const { id } = client;
  await reader.call('CLIENT', 'PAUSE', '900', 'WRITE');
  const answers = await within(20000, Promise.all(Array.from({ length: 10050 }, (_, n) => client.emitWithAck('order', n))), 'answers');
  const refused = answers.filter((answer) => answer.error === 'unavailable');
  same(answers.length - refused.length, answers.filter((answer) => answer.ok).length, 'the rest is acknowledged');
  truth(refused.length >= 1 && refused.length <= 50, `${refused.length} were refused`);
  const metrics = JSON.parse((await httpGet(`${b.url}/metrics`)).body);
  truth(metrics.routesRefused + metrics.eventsOverLimit >= refused.length, 'counted');
  same(metrics.eventsWaiting, 0, 'under way');
  same([client.connected, client.id], [true, id], 'the client');
  client.disconnect();
}, { timeout: 25000 });

for (const client of clients) client.disconnect();
for (const server of servers.slice(0, -1)) await server.stop();
await redis.end();
await checks.end(servers.at(-1));
