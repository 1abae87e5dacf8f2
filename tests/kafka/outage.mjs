// The broker is away while clients go on: what was acknowledged to them is in Kafka afterwards. outage.mjs [--quick]

import { Checks, same, setup, sleep, truth, until } from '../integration/lib/harness.mjs';
import { TestClient } from '../cluster/lib/client.mjs';
import { RedisServer } from '../cluster/lib/redis.mjs';
import { Broker } from './broker.mjs';
import { Bridge, startMember } from './lib/bridge.mjs';

const checks = new Checks('outage');
const seconds = process.argv.includes('--quick') ? 8 : 30;
const users = 50;
const perSecond = 1000;
const bound = 120 * 1024 * 1024;   // bytes of resident memory

const routes = {
  namespaces: {
    '/': {
      events: {
        user_action: [
          { publish: 'user.activity', key: '{user.id}', value: { userId: '{user.id}', action: '{event.0.action}', timestamp: '{clock.iso}' } },
          { ack: [{ ok: true }] },
        ],
      },
    },
  },
};

const broker = await setup(checks, () => Broker.start());
await broker.warm();
await broker.createTopic('user.activity', 4);
const redis = await setup(checks, () => RedisServer.start({}));
const store = redis.client();
const gateway = await setup(checks, () => startMember('gateway', redis, routes));
const bridge = await setup(checks, () => Bridge.start({ brokers: broker, redis }));
const clients = await Promise.all(Array.from({ length: users }, (_, i) => TestClient.connect({ url: gateway.url, name: 'gateway' }, { name: `user-${i}`, auth: { token: `user-${i}` } })));

const acked = new Map(clients.map(({ name }) => [name, []]));
let sent = 0;
let refused = 0;
let slowest = 0;
const waiting = new Set();
function act(client, n) {
  const began = Date.now();
  const answer = client.socket.timeout(15000).emitWithAck('user_action', { action: `${n}` }).then((got) => {
    slowest = Math.max(slowest, Date.now() - began);
    if (got?.ok) acked.get(client.name).push(n); else refused += 1;
  }, () => { refused += 1; });
  waiting.add(answer);
  answer.finally(() => waiting.delete(answer));
}

let going = true;
/** Each 10 ms what is due by the clock. */
const load = (async () => {
  const began = Date.now();
  while (going) {
    const due = Math.floor(((Date.now() - began) * perSecond) / 1000);
    for (; sent < due; sent += 1) act(clients[sent % users], Math.floor(sent / users));
    await sleep(10);
  }
  return (Date.now() - began) / 1000;
})();

let peak = 0;
const watch = setInterval(() => { peak = Math.max(peak, bridge.memory().now); }, 200);

await checks.step(`the broker is stopped for ${seconds} s under ${perSecond} events/s of ${users} clients, who notice nothing`, async () => {
  await sleep(2000);
  const before = [sent, refused];
  await broker.kill();
  await sleep(seconds * 1000);
  truth(sent - before[0] >= seconds * perSecond * 0.9, `only ${sent - before[0]} events were sent in ${seconds} s`);
  same(refused, 0, 'events refused');
  same((await bridge.readiness()).code, 503, 'GET /ready of the bridge');
  await broker.run();
  await sleep(2000);
  going = false;
  const took = await load;
  await Promise.all(waiting);
  console.log(`      outage: ${sent} events in ${took.toFixed(1)} s, slowest acknowledgement ${slowest} ms`);
}, { timeout: (seconds + 30) * 1000 });

await checks.step('all that was acknowledged is in Kafka, repeats are told by their id, and no user has a gap or a wrong order', async () => {
  const began = Date.now();
  await until(30000, async () => (await store.xpending('sio:events', 'sio-bridge'))[0] === 0 && await store.xinfo('GROUPS', 'sio:events').then(([group]) => group[group.indexOf('lag') + 1]) === 0, 'the stream of events to be read and acknowledged');
  console.log(`      outage: caught up ${Date.now() - began} ms later`);
  const records = await broker.consume('user.activity');
  const ids = new Set();
  const byUser = new Map();
  let repeats = 0;
  for (const { key, headers, value } of records) {
    if (ids.has(headers['sio-id'])) { repeats += 1; continue; }
    ids.add(headers['sio-id']);
    if (!byUser.has(key)) byUser.set(key, []);
    byUser.get(key).push({ seq: Number(headers['sio-seq']), n: Number(JSON.parse(value).action) });
  }
  let total = 0;
  for (const { name } of clients) {
    const mine = byUser.get(name) ?? [];
    same(mine.map(({ seq }) => seq), mine.map((_, i) => i + 1), `sequence of ${name}`);
    same(mine.map(({ n }) => n), mine.map((_, i) => i), `actions of ${name}`);
    const there = new Set(mine.map(({ n }) => n));
    same(acked.get(name).filter((n) => !there.has(n)), [], `acknowledged and missing of ${name}`);
    total += acked.get(name).length;
  }
  truth(total === sent, `${total} of ${sent} were acknowledged`);
  console.log(`      outage: ${total} acknowledged, ${records.length} records, ${repeats} repeats`);
}, { timeout: 60000 });

await checks.step(`the bridge never took more than ${bound / 1048576} MB`, () => {
  clearInterval(watch);
  const highest = Math.max(peak, bridge.memory().peak);
  console.log(`      outage: highest resident memory ${(highest / 1048576).toFixed(1)} MB`);
  truth(highest <= bound, `it took ${(highest / 1048576).toFixed(1)} MB`);
});

await checks.step('it was one process all the time, and /ready is 200 again', async () => {
  await until(5000, async () => (await bridge.readiness()).code === 200, 'GET /ready = 200');
  same(bridge.lives.length, 1, 'processes');
});

for (const client of clients) client.close();
for (const server of [bridge, gateway]) await server.leave();
await broker.end();
await redis.end();
await checks.end([bridge, gateway]);
