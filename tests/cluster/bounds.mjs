// What is kept in Redis because of clients has bounds by entries and by bytes: the stream of events, where what does not
// fit is refused and told, and the cluster's stream, where the oldest goes.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Checks, httpGet, same, startGateway, truth, until } from '../integration/lib/harness.mjs';
import { TestClient } from './lib/client.mjs';
import { clusterOptions } from './lib/cluster.mjs';
import { RedisServer } from './lib/redis.mjs';

const checks = new Checks('bounds');
const folder = mkdtempSync(join(tmpdir(), 'sio-bounds-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const routesFile = join(folder, 'routes.json');
writeFileSync(routesFile, JSON.stringify({
  version: 1,
  namespaces: {
    '/': {
      events: {
        order: [{ publish: 'orders' }, { ack: [{ ok: true }] }],
        keyed: [{ publish: 'orders', key: '{event.0}', value: '{event.1}' }, { ack: [{ ok: true }] }],
        enter: [{ join: 'room_{event.0}', allow: 'anyone' }, { ack: [true] }],
        say: [{ emit: 'said', args: ['{event.0}'], to: 'all' }, { ack: [true] }],
      },
    },
  },
}));
const redis = await RedisServer.start({});
const reader = redis.client();
const servers = [];

async function gateway(name, extra = {}) {
  const server = await startGateway({ options: {
    ...clusterOptions(redis.url, name), '--routes': routesFile, '--auth': 'dev', '--rate-limit': 'off', '--log-level': 'warn', '--events-stream': `${name}:events`, ...extra,
  } });
  servers.push(server);
  return server;
}
const connect = (server, user) => TestClient.connect({ url: server.url, name: user }, { name: user, auth: { token: user } });
const metric = async (server, name) => {
  const { body } = await httpGet(`${server.url}/metrics`, { headers: { Accept: 'text/plain' } });
  return Number(new RegExp(`^${name} (.*)$`, 'm').exec(body)?.[1]);
};
const usage = (key) => reader.call('MEMORY', 'USAGE', key, 'SAMPLES', 0);
const full = { error: 'unavailable', reason: 'the stream of events is full' };
const ids = async (key) => (await reader.xrange(key, '-', '+')).map(([id]) => id);
const taken = async (client, event, ...args) => (await client.ask(event, ...args)).ok === true;

await checks.step('events fill no more than the bytes that are allowed; the refused are told so, and no other is lost', async () => {
  const server = await gateway('narrow', { '--events-bytes': '300KB' });
  const client = await connect(server, 'ann');
  const kept = [];
  let refused = 0;
  for (let i = 0; i < 40; i += 1) {   // small ones first: what the first nodes take says nothing of the others
    const text = 'x'.repeat(i < 20 ? 10 : 23_000);
    const answer = await client.ask('order', i, text);
    if (answer.ok) kept.push(i);
    else {
      same(answer, full, 'answer to what does not fit');
      refused += 1;
    }
  }
  truth(refused >= 5 && kept.length >= 28, `${refused} refused, ${kept.length} kept`);
  truth(await usage('narrow:events') <= 307_200, `${await usage('narrow:events')} bytes`);
  const entries = await reader.xrange('narrow:events', '-', '+');
  same(entries.map(([, fields]) => JSON.parse(fields[fields.indexOf('data') + 1])[0]), kept, 'what was acknowledged');
  same(entries.map(([, fields]) => Number(fields[fields.indexOf('seq') + 1])), kept.map((_, i) => i + 1), 'numbers, without a gap for what was refused');
  truth(/stream_full.*no group reads it.*remedy/.test(server.log()), server.log().slice(-600));
  same(server.log().match(/stream_full/g).length, 1, 'lines about it');
  same(await metric(server, 'sio_events_full_total'), refused, 'counted');
  const told = await metric(server, 'sio_events_stream_bytes');
  truth(told > 250_000 && told <= 307_200, `${told} bytes by the metric`);
  client.close();
});

await checks.step('a group that is behind is named, and what all groups have acknowledged makes room', async () => {
  const key = 'behind:events';
  const server = await gateway('behind', { '--events-entries': '60' });
  const client = await connect(server, 'bob');
  await reader.xgroup('CREATE', key, 'quick', '$', 'MKSTREAM');
  await reader.xgroup('CREATE', key, 'slow "one"', '$');
  for (let i = 0; i < 60; i += 1) truth(await taken(client, 'order', i), `event ${i}`);
  same(await client.ask('order', 60), full, 'the 61st');
  const all = await ids(key);
  same(all.length, 60, 'entries');
  await reader.xreadgroup('GROUP', 'quick', 'c', 'STREAMS', key, '>');
  await reader.xack(key, 'quick', ...all);
  await reader.xreadgroup('GROUP', 'slow "one"', 'c', 'COUNT', 40, 'STREAMS', key, '>');
  await reader.xack(key, 'slow "one"', ...all.slice(0, 17), ...all.slice(18, 30));
  await until(3000, async () => taken(client, 'order', 'room again'), 'room');
  const left = await ids(key);
  truth(left.includes(all[17]), 'what the slow group has not acknowledged is there');
  same(left.filter((id) => id < all[17]).length, 0, 'before it everything may go, as it is needed');
  same(left.slice(0, 43), all.slice(17), 'nothing else is gone');
  truth(/stream_full.*is behind: 0 entries read and not acknowledged, 60 not read/.test(server.log()), server.log().slice(-600));
  client.close();
});

await checks.step('groups that keep up never meet the bound', async () => {
  const key = 'steady:events';
  const server = await gateway('steady', { '--events-bytes': '128KB', '--events-entries': '5000' });
  const client = await connect(server, 'cat');
  await reader.xgroup('CREATE', key, 'workers', '$', 'MKSTREAM');
  let read = 0;
  for (let i = 0; i < 300; i += 1) {
    truth(await taken(client, 'order', i, 'y'.repeat(3000)), `event ${i}`);
    const answer = await reader.xreadgroup('GROUP', 'workers', 'c', 'STREAMS', key, '>');
    read += answer[0][1].length;
    await reader.xack(key, 'workers', ...answer[0][1].map(([id]) => id));
  }
  same(read, 300, 'read');
  truth(await usage(key) <= 131_072, `${await usage(key)} bytes`);
  truth(await reader.xlen(key) >= 20, 'what fits is kept, for who reads without a group');
  same(await metric(server, 'sio_events_full_total'), 0, 'refused');
  client.close();
});

await checks.step('a stream that an operator empties has room again', async () => {
  const server = servers[0];
  const client = await connect(server, 'dan');
  await reader.del('narrow:events');
  await until(3000, async () => taken(client, 'order', 1), 'room');
  client.close();
});

await checks.step('a value that is too large fails, whatever it is made of, and says what is allowed', async () => {
  const server = await gateway('values', { '--publish-bytes': '4KB' });
  const client = await connect(server, 'eve');
  truth(await taken(client, 'order', 'z'.repeat(3900)), 'what fits');
  for (const args of [['order', 'z'.repeat(4200)], ['order', Buffer.alloc(3200)], ['keyed', 'k'.repeat(250), 'z'.repeat(3900)]]) {
    const answer = await client.ask(...args);
    same(answer.error, 'failed', 'error');
    truth(/has [0-9]+ bytes, and at most 4096 are published/.test(answer.reason), answer.reason);
  }
  same(await reader.xlen('values:events'), 1, 'entries');
  same(await metric(server, 'sio_events_too_large_total'), 3, 'counted');
  client.close();
});

await checks.step('what happens to sockets and rooms keeps to the bounds, too', async () => {
  const key = 'rooms:events';
  const server = await gateway('rooms', { '--events-lifecycle': 'on', '--events-entries': '40' });
  const client = await connect(server, 'fay');
  for (let i = 0; i < 60; i += 1) await client.ask('enter', i);
  await until(3000, async () => await reader.xlen(key) === 40, 'a full stream');
  client.close();
  await until(3000, async () => await metric(server, 'sio_events_full_total') > 0, 'the count');
  same(await reader.xlen(key), 40, 'entries at the end');
});

await checks.step('the stream of the cluster keeps to its bytes, whoever writes it: the oldest goes, and that is told', async () => {
  const server = await gateway('cluster', { '--redis-stream-bytes': '256KB', '--events-stream': '' });
  const client = await connect(server, 'gil');
  const away = await connect(server, 'hal');
  await client.ask('say', 'first');
  await away.waitFor('said');
  for (let i = 0; i < 120; i += 1) await client.ask('say', 'w'.repeat(9000));
  await until(3000, async () => await usage('socket.io') < 262_144, 'fewer bytes');
  truth(await usage('socket.io') > 131_072, `${await usage('socket.io')} bytes are left: no more goes than has to`);
  truth(await metric(server, 'sio_stream_entries_dropped_total') > 50, 'the count');
  truth(/stream_full.*socket.io.*remedy/.test(server.log()), server.log().slice(-600));
  same(await metric(server, 'sio_stream_entries_missed_total'), 0, 'nothing was dropped before it was read');
  // What others write: entries of Node's emitter.
  for (let round = 0; round < 12; round += 1) {   // each less than what is left: unread entries do not go
    const pipeline = reader.pipeline();
    for (let i = 0; i < 40; i += 1) {
      pipeline.xadd('socket.io', '*', 'uid', 'emitter', 'nsp', '/', 'type', '3', 'data',
        JSON.stringify({ packet: { type: 2, data: ['other', 'v'.repeat(2000)], nsp: '/' }, opts: { rooms: [], flags: {}, except: [] } }));
    }
    await pipeline.exec();
    await client.waitFor('other', 40 * (round + 1), 5000);
  }
  await until(3000, async () => await usage('socket.io') < 262_144, 'fewer bytes');
  client.close();
  away.close();
});

await checks.step('the stream of the cluster keeps to its entries', async () => {
  const server = await gateway('count', { '--redis-stream': 'few', '--redis-stream-entries': '1000', '--events-stream': '' });
  const client = await connect(server, 'ida');
  await Promise.all(Array.from({ length: 3000 }, (_, i) => client.ask('say', i)));
  await until(3000, async () => await reader.xlen('few') <= 1000, 'fewer entries');
  truth(await reader.xlen('few') >= 900, `${await reader.xlen('few')} entries`);
  client.close();
});

await checks.step('a client that was away since before the oldest entry begins again', async () => {
  const server = await gateway('again', { '--redis-stream': 'again', '--redis-stream-bytes': '128KB', '--recovery-bytes': '64KB', '--events-stream': '' });
  const talker = await connect(server, 'jan');
  const client = await connect(server, 'kim');
  await talker.ask('say', 'before');
  await client.waitFor('said');
  await reader.set('unrelated', '1');
  client.manager.reconnection(false);
  client.manager.engine.transport.ws?.terminate?.();
  client.manager.engine.close();
  for (let i = 0; i < 80; i += 1) await talker.ask('say', `${i}${'u'.repeat(8000)}`);
  await until(3000, async () => await usage('again') <= 131_072, 'fewer bytes');
  client.manager.reconnection(true);
  client.socket.connect();
  await until(5000, () => client.connects.length === 2, 'the return');
  same(client.connects[1].recovered, false, 'told that it missed something');
  client.close();
  talker.close();
});

reader.disconnect();
await checks.end(servers);
