// The HTTP API, what bridges say of Kafka, and `trace`, where two gateways and Redis are needed for it.

import http from 'node:http';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Checks, httpGet, same, sleep, startGateway, truth, until,
} from '../integration/lib/harness.mjs';
import { AdminClient } from './lib/admin.mjs';
import { TestClient } from './lib/client.mjs';
import { NodeMember, clusterOptions } from './lib/cluster.mjs';
import { RedisServer } from './lib/redis.mjs';

const checks = new Checks('api');
const folder = mkdtempSync(join(tmpdir(), 'sio-api-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const key = 'a-key-of-the-shop-0123';
const keysFile = join(folder, 'keys');
writeFileSync(keysFile, `shop ${key}\n`);
chmodSync(keysFile, 0o600);
const routesFile = join(folder, 'routes.json');
writeFileSync(routesFile, JSON.stringify({
  version: 1,
  namespaces: {
    '/': { events: { enter: [{ join: 'room_{event.0}', allow: 'anyone' }, { ack: [true] }] } },
    '/tenant-*': { events: { echo: [{ ack: '{event.args}' }] } },
  },
}));

const redis = await RedisServer.start({ keep: true });
const reader = redis.client();
const servers = [];
async function gateway(name, extra = {}) {
  const options = {
    ...clusterOptions(redis.url, name), '--routes': routesFile, '--auth': 'dev', '--rate-limit': 'off',
    '--api-keys-file': keysFile, ...extra,
  };
  const server = await startGateway({ options });
  server.name = name;
  servers.push(server);
  return server;
}
const agent = new http.Agent({ keepAlive: true, maxSockets: 20 });
/** A request to the API; gives {status, headers, body}, the body parsed. */
function call(server, command, body, { headers = {}, text = null } = {}) {
  return new Promise((done, fail) => {
    const sent = text ?? JSON.stringify(body);
    const request = http.request(`${server.url}/api/v1/${command}`, {
      method: 'POST', agent, timeout: 8000,
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'content-length': Buffer.byteLength(sent), ...headers },
    }, (response) => {
      let out = '';
      response.setEncoding('utf8');
      response.on('data', (part) => { out += part; });
      response.on('end', () => done({ status: response.statusCode, headers: response.headers, body: out ? JSON.parse(out) : null }));
    });
    request.on('timeout', () => request.destroy(new Error('no answer within 8 s')));
    request.on('error', fail);
    request.end(sent);
  });
}
const once = (value) => ({ headers: { 'idempotency-key': value } });
const metricsOf = async (server) => JSON.parse((await httpGet(`${server.url}/metrics`)).body);
const healthOf = async (server) => JSON.parse((await httpGet(`${server.url}/ready`)).body);
const numbers = (client, event) => client.of(event).map(({ args }) => args[0]);

const one = await gateway('one');
const two = await gateway('two');
const admins = { one: await AdminClient.connect(one.control), two: await AdminClient.connect(two.control) };
await until(5000, async () => (await admins.one.request('nodes')).nodes.length === 2, 'two nodes');
const alice = await TestClient.connect(one, { name: 'alice', auth: { token: 'alice' } });
const bob = await TestClient.connect(two, { name: 'bob', auth: { token: 'bob' } });

// ---- the API ------------------------------------------------------------------------------------------------------

await checks.step('what is emitted reaches the clients of both gateways, and is in the stream when it is answered', async () => {
  const before = await reader.xlen('socket.io');
  const { status, body } = await call(one, 'emit', { event: 'news', args: [{ n: 1 }, 'ü'] });
  same([status, body], [200, { ok: true, stored: true }]);
  same(await reader.xlen('socket.io') - before, 1, 'entries');
  for (const client of [alice, bob]) {
    await client.waitFor('news');
    same(client.of('news')[0].args, [{ n: 1 }, 'ü'], client.name);
  }
});

await checks.step('a batch is emitted in its order, each item to those it selects', async () => {
  const items = Array.from({ length: 1000 }, (_, n) => ({ event: 'step', to: ['bob'], args: [n] }));
  const { status, body } = await call(one, 'emit', items);
  same([status, body.ok, body.results.length], [200, true, 1000]);
  truth(body.results.every((result) => result.ok && result.stored === true), JSON.stringify(body.results[0]));
  await bob.waitFor('step', 1000, 5000);
  same(numbers(bob, 'step'), items.map((item) => item.args[0]), 'order');
  same(alice.of('step').length, 0, 'of alice');
});

await checks.step('joins, leaves and disconnects reach the sockets of the other gateway', async () => {
  same((await call(one, 'join', { users: ['bob'], rooms: ['blue', 'red'] })).body, { ok: true, stored: true });
  await call(one, 'emit', { event: 'painted', to: ['blue'], args: [1] });
  await bob.waitFor('painted');
  await call(one, 'leave', { to: ['red'], rooms: ['blue'] });
  await call(one, 'emit', [{ event: 'painted', to: ['blue'], args: [2] }, { event: 'painted', to: ['red'], args: [3] }]);
  await bob.waitFor('painted', 2);
  same(numbers(bob, 'painted'), [1, 3]);
  const carol = await TestClient.connect(two, { name: 'carol', auth: { token: 'carol' } });
  same((await call(one, 'disconnect', { users: ['carol'] })).body, { ok: true, stored: true });
  await until(3000, () => carol.disconnects.length === 1, 'the end of carol');
  same(carol.disconnects, ['io server disconnect']);
  carol.close();
});

await checks.step('a namespace by a pattern is reached though no socket of it is on the gateway that is asked', async () => {
  const dave = await TestClient.connect(two, { name: 'dave', nsp: '/tenant-7', auth: { token: 'dave' } });
  same((await call(one, 'emit', { nsp: '/tenant-7', event: 'bill', args: [7] })).body, { ok: true, stored: true });
  await dave.waitFor('bill');
  same((await call(one, 'emit', { nsp: '/nobody', event: 'bill' })).status, 404);
  // It has been read back, so it is not kept for a Redis that went away.
  await until(3000, async () => /^sio_spool 0$/m.test((await httpGet(`${one.url}/metrics`, { headers: { accept: 'text/plain' } })).body), 'an empty spool');
  dave.close();
});

await checks.step('presence is that of all gateways', async () => {
  same((await call(one, 'presence', { users: ['alice', 'bob', 'zoe'] })).body, { ok: true, online: { alice: true, bob: true, zoe: false } });
});

await checks.step('an Idempotency-Key holds over gateways: one event, one answer', async () => {
  const body = { event: 'paid', args: [42] };
  const first = await call(one, 'emit', body, once('order-42'));
  const again = await call(two, 'emit', body, once('order-42'));
  same([first.status, first.headers['idempotent-replayed']], [200, undefined]);
  same([again.status, again.headers['idempotent-replayed'], again.body], [200, 'true', first.body]);
  same((await call(two, 'emit', { ...body, args: [43] }, once('order-42'))).status, 422, 'another body');
  same((await call(two, 'join', body, once('order-42'))).status, 400, 'another command, and malformed');
  await call(one, 'emit', { event: 'after' });
  await alice.waitFor('after');
  same(numbers(alice, 'paid'), [42]);
  const [ttl, keys] = [await reader.pttl('sio:idempotency:shop:order-42'), await reader.keys('sio:idempotency:*')];
  truth(ttl > 86_000_000 && ttl <= 86_400_000, `it is kept for ${ttl} ms`);
  same(keys, ['sio:idempotency:shop:order-42']);
});

await checks.step('of requests with one key at the same time one is carried out, and the others wait or are told', async () => {
  const body = Array.from({ length: 300 }, () => ({ event: 'race', args: [] }));
  const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => call(n % 2 ? one : two, 'emit', body, once('race'))));
  const fresh = answers.filter(({ status, headers }) => status === 200 && !headers['idempotent-replayed']);
  same(fresh.length, 1, 'carried out');
  for (const { status, body: got } of answers) truth(status === 200 || (status === 409 && got.error.code === 'busy'), `status ${status}`);
  await call(one, 'emit', { event: 'race-over' });
  await alice.waitFor('race-over');
  same(alice.of('race').length, 300, 'events');
});

await checks.step('while a request of another gateway is under way its key is busy', async () => {
  await reader.set('sio:idempotency:shop:held', `p:${'0'.repeat(64)}:x`, 'PX', 60000);
  same((await call(one, 'emit', { event: 'held' }, once('held'))).status, 422, 'another fingerprint');
  const { status: done } = await call(one, 'emit', { event: 'held' }, once('held-2'));
  same(done, 200);
  const [, fingerprint] = (await reader.get('sio:idempotency:shop:held-2')).split(':');
  await reader.set('sio:idempotency:shop:held', `p:${fingerprint}:x`, 'PX', 60000);
  const { status, headers } = await call(one, 'emit', { event: 'held' }, once('held'));
  same([status, headers['retry-after']], [409, '1']);
});

await checks.step('while Redis is away: 202 and its own sockets at once, 503 with a key, and all of it afterwards', async () => {
  redis.freeze();
  try {
    const first = await call(one, 'emit', { event: 'away', args: [1] });
    same([first.status, first.body], [202, { ok: true, stored: false }]);
    await alice.waitFor('away', 1, 500);
    const second = await call(one, 'emit', { event: 'away', args: [2] });
    same([second.status, second.body], [202, { ok: true, stored: false }]);
    const promised = await call(one, 'emit', { event: 'away', args: [3] }, once('away'));
    same([promised.status, promised.headers['retry-after'], promised.body.error.code], [503, '1', 'unavailable']);
    same(bob.of('away').length, 0, 'of the other gateway');
    const presence = await call(one, 'presence', { users: ['alice'] });
    same([presence.status, presence.headers['retry-after']], [503, '1'], 'presence');
  } finally {
    redis.thaw();
  }
  await bob.waitFor('away', 2, 10000);
  await until(8000, async () => (await healthOf(one)).status === 'ok', 'the return of one');
  same((await call(one, 'emit', { event: 'away', args: [3] }, once('away'))).status, 200, 'the same key again');
  await Promise.all([alice, bob].map((client) => client.waitFor('away', 3, 5000)));
  await sleep(300);
  same([numbers(alice, 'away'), numbers(bob, 'away')], [[1, 2, 3], [1, 2, 3]]);
}, { timeout: 30000 });

await checks.step('a Redis that refuses writes claims no key: 503, and the same request is new afterwards', async () => {
  await reader.config('SET', 'maxmemory', '1');
  const refused = await call(two, 'emit', { event: 'oom' }, once('oom'));
  await reader.config('SET', 'maxmemory', '0');
  same([refused.status, refused.headers['retry-after']], [503, '1']);
  await until(8000, async () => (await healthOf(two)).status === 'ok', 'the return of two');
  same((await call(two, 'emit', { event: 'oom' }, once('oom'))).status, 200);
  await alice.waitFor('oom', 1, 5000);
  await sleep(200);
  same(alice.of('oom').length, 1, 'events');
}, { timeout: 30000 });

// ---- kafkaConnected ------------------------------------------------------------------------------------------------

const clock = async () => { const [s, us] = await reader.time(); return Number(s) * 1000 + Math.floor(Number(us) / 1000); };
const say = async (node, kafka, age = 0) => reader.hset('sio:bridges', node, JSON.stringify({ at: await clock() - age, kafka }));
const gauges = async (server) => {
  const text = (await httpGet(`${server.url}/metrics`, { headers: { accept: 'text/plain' } })).body;
  return ['sio_bridges', 'sio_kafka_connected'].map((name) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)[1]));
};

await checks.step('without a bridge kafkaConnected is false, and health has no check of it', async () => {
  same((await metricsOf(one)).kafkaConnected, false);
  same((await healthOf(one)).checks.kafka, undefined);
});

await checks.step('kafkaConnected is true while any bridge heard within 3 s says so, and /ready stays 200 without', async () => {
  await reader.hset('sio:bridges', 'odd', 'not json', 'list', '[1]', 'text', '{"at":"x","kafka":true}');
  await say('long-gone', true, 3600_000);
  await say('first', false);
  await until(3000, async () => (await healthOf(one)).checks.kafka, 'the check');
  same((await healthOf(one)).checks.kafka, { ok: false, detail: 'no bridge says it reaches Kafka' });
  same((await httpGet(`${one.url}/ready`)).status, 200, 'ready without Kafka');
  await say('second', true);
  await until(2500, async () => (await metricsOf(one)).kafkaConnected, 'kafkaConnected');
  same((await healthOf(one)).checks.kafka.ok, true);
  const heard = await gauges(one);
  truth(heard[1] === 1 && heard[0] >= 1 && heard[0] <= 2, `gauges ${heard}`);
  await until(6000, async () => !(await metricsOf(one)).kafkaConnected, 'silence to be noticed');
  same(await gauges(one), [0, 0]);
  same((await healthOf(one)).status, 'ok');
}, { timeout: 20000 });

// ---- trace ---------------------------------------------------------------------------------------------------------

const lastEntry = async () => (await reader.xrevrange('socket.io', '+', '-', 'COUNT', 1))[0][0];
const byNode = ({ nodes }) => Object.fromEntries(nodes.map(({ node, ...rest }) => [node, rest]));

await checks.step('trace names the sockets an entry was written to on each gateway', async () => {
  const before = Date.now();
  await call(one, 'emit', { event: 'traced', to: ['bob'] });
  await bob.waitFor('traced');
  const entry = await lastEntry();
  for (const admin of Object.values(admins)) {
    const nodes = byNode(await admin.request('trace', { entry }));
    same(Object.keys(nodes).sort(), ['one', 'two']);
    truth(nodes.one.ok && nodes.two.ok && nodes.one.read_ms >= before - 5 && nodes.two.read_ms >= before - 5, JSON.stringify(nodes));
    same([nodes.one.sockets, nodes.one.sids, nodes.two.sockets, nodes.two.sids], [0, [], 1, [bob.sid]]);
  }
  same(byNode(await admins.one.request('trace', { entry, nsp: '/' })).two.sockets, 1, 'by namespace');
  same(byNode(await admins.one.request('trace', { entry, stream: 'socket.io' })).two.sockets, 1, 'by stream');
  same(byNode(await admins.one.request('trace', { entry, stream: 'another' })).two.read_ms, null, 'another stream');
});

await checks.step('trace counts all sockets and names the first eight', async () => {
  const many = await Promise.all(Array.from({ length: 12 }, (_, n) => TestClient.connect(two, { name: `many ${n}`, auth: { token: 'many' } })));
  await call(one, 'emit', { event: 'crowd', to: ['many'] });
  await Promise.all(many.map((client) => client.waitFor('crowd')));
  const { two: there } = byNode(await admins.one.request('trace', { entry: await lastEntry() }));
  same([there.sockets, there.sids.length, new Set(there.sids).size], [12, 8, 8]);
  truth(there.sids.every((sid) => many.some((client) => client.sid === sid)), JSON.stringify(there.sids));
  for (const client of many) client.close();
});

await checks.step('an entry nobody has read has read_ms null, and what is no id is refused', async () => {
  const nodes = byNode(await admins.one.request('trace', { entry: '1-1' }));
  same(nodes, { one: { ok: true, read_ms: null, sockets: 0, sids: [] }, two: { ok: true, read_ms: null, sockets: 0, sids: [] } });
  for (const members of [{}, { entry: 7 }, { entry: 'x-1' }, { entry: '1' }]) {
    same(await admins.one.request('trace', members).catch((error) => error.code), 'malformed', JSON.stringify(members));
  }
});

await checks.step('entries are forgotten when 16,384 more have come', async () => {
  await call(one, 'emit', { event: 'old', to: ['nobody'] });
  const entry = await lastEntry();
  for (let n = 0; n < 17; n += 1) {
    await call(one, 'emit', Array.from({ length: 964 }, () => ({ event: 'fill', to: ['nobody'] })));
    if (n === 15) truth(byNode(await admins.one.request('trace', { entry })).one.read_ms !== null, 'forgotten too early');
  }
  await until(3000, async () => byNode(await admins.one.request('trace', { entry })).two.read_ms === null, 'it to be forgotten');
}, { timeout: 20000 });

await checks.step('clients, listeners and Node servers see nothing of the question, and a Node server is not waited for', async () => {
  const node = await NodeMember.start('node', redis);
  try {
    await call(one, 'emit', { event: 'with-node' });
    await alice.waitFor('with-node');
    const entry = await lastEntry();
    const began = Date.now();
    const nodes = byNode(await admins.one.request('trace', { entry }));
    same(Object.keys(nodes).sort(), ['one', 'two']);
    truth(Date.now() - began < 1000, `it took ${Date.now() - began} ms`);
    same(nodes.two.sockets, 1);
  } finally {
    await node.server.stop();
  }
  for (const client of [alice, bob]) same(client.received.filter(({ event }) => event.startsWith('sio:')), [], client.name);
}, { timeout: 20000 });

await checks.step('a gateway that does not answer is named with ok false, within the deadline', async () => {
  const entry = await lastEntry();
  two.child.kill('SIGSTOP');
  try {
    const began = Date.now();
    const nodes = byNode(await admins.one.request('trace', { entry, node_timeout_ms: 1000 }));
    same([nodes.one.ok, nodes.two.ok], [true, false]);
    truth(Date.now() - began < 3000, `it took ${Date.now() - began} ms`);
  } finally {
    two.child.kill('SIGCONT');
  }
}, { timeout: 15000 });

await checks.step('what was delivered before it was read, because Redis was away, is marked early', async () => {
  await until(8000, async () => (await healthOf(one)).status === 'ok', 'one to be well');
  redis.freeze();
  try {
    await call(one, 'emit', { event: 'early' });
  } finally {
    redis.thaw();
  }
  await bob.waitFor('early', 1, 10000);
  const nodes = byNode(await until(5000, async () => {
    const answer = await admins.two.request('trace', { entry: await lastEntry() });
    return answer.nodes.every(({ ok, read_ms: read }) => ok && read !== null) && answer;
  }, 'both to answer'));
  same([nodes.one.early, nodes.one.sockets, nodes.two.sockets], [true, 0, 1]);
}, { timeout: 25000 });

for (const client of [alice, bob]) client.close();
for (const admin of Object.values(admins)) admin.close();
agent.destroy();
setTimeout(() => redis.end(), 0);
await checks.end(servers);
