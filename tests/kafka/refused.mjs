// Events on their way to Kafka that meet a fault: what is refused is singled out, what is lost on the way is sent first,
// and the others arrive once and in order.

import { Checks, same, setup, sleep, truth, until } from '../integration/lib/harness.mjs';
import { RedisServer } from '../cluster/lib/redis.mjs';
import { Broker } from './broker.mjs';
import { Bridge, endingWell } from './lib/bridge.mjs';
import { CuttingProxy } from './lib/cutting_proxy.mjs';

const checks = new Checks('refused');
const letters = 'sio.dead-letters';
const leaseKey = 'sio:events:lease:sio-bridge';

const broker = await setup(checks, () => Broker.start());
await broker.warm();
await broker.createTopic(letters, 1);

/** An entry as a gateway writes it; without a user there is no key. */
const add = (store, topic, user, seq, data = `[${seq}]`) => store.xadd('sio:events', '*', 'v', '1', 'kind', 'event', 'topic', topic, 'nsp', '/', 'sid', 'x',
  ...(user ? ['user', user] : ['user', '']), 'seq', String(seq), 'time', String(Date.now()), 'node', 'test', 'data', data);

const pending = async (store) => (await store.xpending('sio:events', 'sio-bridge'))[0];

/** Runs `body(bridge, store, redis)` with a Redis and a bridge of their own, which must end well. */
async function withBridge(options, body) {
  const redis = await RedisServer.start({});
  const via = options.via ? await options.via(redis) : null;
  try {
    const bridge = await Bridge.start({ name: 'refused', brokers: options.brokers ?? broker, redis: via ?? redis, options: options.flags ?? {} });
    await endingWell(bridge, () => body(bridge, redis.client(), via));
  } finally {
    via?.end();
    await redis.end();
  }
}

await checks.step('the answer with new events is lost with its connection: they are carried all the same, and before those that come later', async () => {
  await broker.createTopic('lost', 1);
  await withBridge({ via: (redis) => CuttingProxy.start(redis.port) }, async (bridge, store, proxy) => {
    await add(store, 'lost', 'ann', 1);
    await broker.waitForRecords('lost', 1);
    proxy.cutAt('"the lost one"');
    await add(store, 'lost', 'ann', 2, '["the lost one"]');
    await until(5000, () => proxy.cuts === 1, 'the connection to be cut');
    await add(store, 'lost', 'ann', 3);
    await until(8000, async () => (await store.xinfo('STREAM', 'sio:events'))[1] >= 3 && await pending(store) === 0, 'nothing to be pending');
    await add(store, 'lost', 'ann', 4);
    const records = await broker.waitForRecords('lost', 4);
    same(records.map(({ headers }) => headers['sio-seq']), ['1', '2', '3', '4'], 'sequence in Kafka');
    same(bridge.lives.length, 1, 'processes');
  });
}, { timeout: 40000 });

await checks.step('new events come while the lease has run out, and then the lease is ours again: they are carried all the same, and before those that come later', async () => {
  await broker.createTopic('late', 1);
  await withBridge({ via: (redis) => CuttingProxy.start(redis.port) }, async (bridge, store, proxy) => {
    await add(store, 'late', 'ann', 1);
    await broker.waitForRecords('late', 1);
    // The lease is good for 4.5 s from when it was asked for, and is looked at once a second.
    const renewed = proxy.lastAsked(leaseKey);
    const asked = () => proxy.lastAsked(leaseKey);
    await until(3000, () => asked() > renewed, 'the lease to be renewed');
    await sleep(200);
    const lastGood = asked();
    proxy.hold(leaseKey);
    await sleep(lastGood + 4600 - Date.now());
    await add(store, 'late', 'ann', 2, '["the late one"]');
    await sleep(100);
    proxy.release();
    await add(store, 'late', 'ann', 3);
    await until(8000, async () => (await store.xinfo('STREAM', 'sio:events'))[1] >= 3 && await pending(store) === 0, 'nothing to be pending');
    await add(store, 'late', 'ann', 4);
    const records = await broker.waitForRecords('late', 4);
    same(records.map(({ headers }) => headers['sio-seq']), ['1', '2', '3', '4'], 'sequence in Kafka');
  });
}, { timeout: 40000 });

const sequences = (records, user) => records.filter(({ headers }) => headers['sio-user'] === user).map(({ headers }) => Number(headers['sio-seq']));
const upTo = (count) => Array.from({ length: count }, (_, i) => i + 1);

await checks.step('an event without a key for a compacted topic among 600 of others: it alone is a dead letter with the reason, the others arrive once, in the order of each user', async () => {
  await broker.createTopic('state', 1, { 'cleanup.policy': 'compact' });
  const before = (await broker.consume(letters)).length;
  await withBridge({}, async (bridge, store) => {
    const many = store.pipeline();
    for (let n = 1; n <= 200; n += 1) {
      for (const user of ['ann', 'bob', 'eve']) many.xadd('sio:events', '*', 'v', '1', 'kind', 'event', 'topic', 'state', 'nsp', '/', 'sid', 'x', 'user', user, 'seq', String(n), 'time', '1', 'node', 't', 'data', `[${n}]`);
      if (n === 50) many.xadd('sio:events', '*', 'v', '1', 'kind', 'event', 'topic', 'state', 'nsp', '/', 'sid', 'anonymous', 'user', '', 'seq', '1', 'time', '1', 'node', 't', 'data', '["nobody"]');
    }
    await many.exec();
    const records = await broker.waitForRecords('state', 600, 15000);
    for (const user of ['ann', 'bob', 'eve']) same(sequences(records, user), upTo(200), `sequence of ${user}`);
    same(records.length, 600, 'records');
    const dead = (await broker.waitForRecords(letters, before + 1)).slice(before);
    same(dead.map(({ value, key, headers }) => [value, key ?? null, headers['sio-topic'], headers['sio-error'], headers['sio-sid']]), [['["nobody"]', null, 'state', 'refused', 'anonymous']], 'dead letters');
    truth(/record/i.test(dead[0].headers['sio-reason']), `reason ${dead[0].headers['sio-reason']}`);
    await until(3000, async () => await pending(store) === 0, 'nothing to be pending');
    // What was refused is remembered: many more cost no producer.
    const anew = await bridge.metric('sio_bridge_producer_made_anew_total');
    for (let n = 2; n <= 100; n += 1) await add(store, 'state', '', n);
    await add(store, 'state', 'ann', 201);
    await broker.waitForRecords('state', 601);
    await broker.waitForRecords(letters, before + 100);
    same([await bridge.metric('sio_bridge_producer_made_anew_total') - anew, await bridge.metric('sio_bridge_events_refused_total')], [0, 100], 'producers made anew, events refused');
    same([(bridge.log().match(/entry_refused/g) ?? []).length, (await bridge.readiness()).code], [1, 200], 'lines of the log, /ready');
  });
}, { timeout: 60000 });

await checks.step('a topic that takes less than a request: events that fit by themselves arrive, the one that does not is a dead letter', async () => {
  await broker.createTopic('narrow', 1, { 'max.message.bytes': 4000 });
  const before = (await broker.consume(letters)).length;
  await withBridge({}, async (bridge, store) => {
    const many = store.pipeline();
    for (let n = 1; n <= 60; n += 1) many.xadd('sio:events', '*', 'v', '1', 'kind', 'event', 'topic', 'narrow', 'nsp', '/', 'sid', 'x', 'user', 'ann', 'seq', String(n), 'time', '1', 'node', 't', 'data', JSON.stringify(['x'.repeat(n === 30 ? 6000 : 500)]));
    await many.exec();
    const records = await broker.waitForRecords('narrow', 59, 20000);
    same(sequences(records, 'ann'), upTo(60).filter((n) => n !== 30), 'sequence');
    const dead = (await broker.waitForRecords(letters, before + 1)).slice(before);
    same(dead.map(({ headers }) => [headers['sio-seq'], headers['sio-error']]), [['30', 'too_large']], 'dead letters');
    await until(3000, async () => await pending(store) === 0, 'nothing to be pending');
  });
}, { timeout: 60000 });

await broker.end();
await checks.end([]);
