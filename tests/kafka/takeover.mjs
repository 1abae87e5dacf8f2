// Two bridges: what one had is the other's soon after it died or froze, nothing is lost, and what a late one writes does not land.

import { Checks, same, setup, sleep, truth, until } from '../integration/lib/harness.mjs';
import { RedisServer } from '../cluster/lib/redis.mjs';
import { Broker } from './broker.mjs';
import { Bridge, session } from './lib/bridge.mjs';
import { Feed } from './lib/feed.mjs';
import { readStream, recordsDone, tally } from './lib/stream.mjs';

const checks = new Checks('takeover');
const partitions = 4;
const keys = Array.from({ length: 100 }, (_, i) => `key-${i}`);
const broker = await setup(checks, () => Broker.start());
await broker.warm();
await broker.createTopic('sent', 1);

/** Runs `body` with a Redis and two bridges that share a new topic. */
async function withPair(topic, options, body, { count = 2 } = {}) {
  const redis = await RedisServer.start({});
  const bridges = [];
  const routes = { topics: { [topic]: [{ emit: 'n', args: ['{record.value}'], to: { room: '{record.value.k}' } }] } };
  const start = async (name) => {
    const bridge = await Bridge.start({ name: `${name}-${topic}`, brokers: broker, redis, routes, options: { '--group': topic, ...options } });
    bridges.push(bridge);
    return bridge;
  };
  try {
    await broker.createTopic(topic, partitions);
    for (let i = 0; i < count; i += 1) await start(['one', 'two'][i]);
    if (count === 2) await shared(bridges);
    await body({ redis, store: redis.client(), bridges, start });
    for (const bridge of bridges) truth(!bridge.complaint(), bridge.complaint());
  } catch (error) {
    for (const bridge of bridges) error.message += `\n---- end of the log of ${bridge.name} ----\n${bridge.log().slice(-1500)}`;
    throw error;
  } finally {
    for (const bridge of bridges) { bridge.thaw(); await bridge.stop(); }
    await redis.end();
  }
}

const shared = (bridges) => Promise.all(bridges.map((bridge) => bridge.holds(partitions / bridges.length)));

/** Which of the bridges carries events to Kafka. */
async function leaderOf(bridges, ms = 10000) {
  let leader = null;
  await until(ms, async () => {
    for (const bridge of bridges) if (await bridge.metric('sio_bridge_leads').catch(() => 0) === 1) leader = bridge;
    return leader;
  }, 'one bridge to carry events');
  return leader;
}

let eventNumber = 0;
/** Entries as gateways write them. */
async function publish(store, count, topic = 'sent') {
  const pipeline = store.pipeline();
  for (let i = 0; i < count; i += 1) {
    eventNumber += 1;
    pipeline.xadd('sio:events', '*', 'v', '1', 'kind', 'event', 'topic', topic, 'key', 'someone', 'nsp', '/', 'sid', 'x', 'user', 'someone',
      'seq', String(eventNumber), 'time', String(Date.now()), 'node', 'test', 'data', JSON.stringify({ n: eventNumber }));
  }
  await pipeline.exec();
}

/** The numbers in a topic, repeats of an entry dropped by its id. */
async function numbersSent(from) {
  const seen = new Set();
  const numbers = [];
  for (const { headers, value } of await broker.consume('sent')) {
    const { n } = JSON.parse(value);
    if (n <= from || seen.has(headers['sio-id'])) continue;
    seen.add(headers['sio-id']);
    numbers.push(n);
  }
  return numbers;
}

const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + 1 + i);

async function allDone(store, topic, total, ms = 15000) {
  await until(ms, async () => await recordsDone(store, topic, { group: topic }) >= total, `${total} records to be done`);
  same(tally(await readStream(store), keys, total / keys.length), { entries: total, missing: 0, repeated: 0, disordered: 0, foreign: 0, first: null }, 'stream');
}

await checks.step('a bridge is killed, with the default session timeout: its partitions and its pending entries are the other\'s within 10 s', () => withPair('killed', { '--session-timeout': '6s' }, async ({ store, bridges }) => {
  const leader = await leaderOf(bridges);
  const other = bridges.find((one) => one !== leader);
  const from = eventNumber;
  const feed = new Feed(broker, 'killed', keys);
  await feed.burst(2000);
  await publish(store, 50);
  await until(8000, async () => (await numbersSent(from)).length === 50, 'the first 50 in Kafka');
  // Read by the leader, given to Kafka, and not reported: those are pending when it dies.
  broker.freeze();
  try {
    await publish(store, 100);
    await until(3000, async () => (await store.xpending('sio:events', 'sio-bridge'))[0] === 100, '100 entries to be pending');
    await leader.kill();
  } finally {
    broker.thaw();
  }
  const died = Date.now();
  await feed.burst(2000);
  await feed.end();
  const [partitionsAfter, entriesAfter] = await Promise.all([
    other.holds(partitions, { ms: 10000 }).then(() => Date.now() - died),
    until(10000, async () => (await store.xpending('sio:events', 'sio-bridge'))[0] === 0, 'the pending entries to be acknowledged').then(() => Date.now() - died),
  ]);
  console.log(`      takeover: after a kill: partitions after ${partitionsAfter} ms, pending entries after ${entriesAfter} ms`);
  truth(Math.max(partitionsAfter, entriesAfter) <= 10000, 'it took more than 10 s');
  same(await numbersSent(from), range(from, eventNumber), 'events in Kafka, repeats dropped');
  await allDone(store, 'killed', 4000);
}), { timeout: 60000 });

await checks.step('a bridge is frozen past its session: the other takes over within 10 s; thawed, what it still writes does not land', () => withPair('frozen', {}, async ({ redis, store, bridges }) => {
  const victim = await leaderOf(bridges);
  const other = bridges.find((one) => one !== victim);
  const from = eventNumber;
  const feed = new Feed(broker, 'frozen', keys);
  await feed.burst(1000);
  await publish(store, 50);
  await until(5000, async () => await recordsDone(store, 'frozen', { group: 'frozen' }) === 1000, 'the first records');
  await until(8000, async () => (await numbersSent(from)).length === 50, 'the first 50 in Kafka');
  // While Redis does not answer the victim fills its own buffers with batches that it will send when it is awake again.
  redis.freeze();
  await feed.burst(40000);
  await sleep(400);
  victim.freeze();
  redis.thaw();
  const frozen = Date.now();
  await publish(store, 100);
  const [partitionsAfter, entriesAfter] = await Promise.all([
    other.holds(partitions, { ms: 10000 }).then(() => Date.now() - frozen),
    until(10000, async () => (await numbersSent(from)).length === 150, 'the events in Kafka').then(() => Date.now() - frozen),
  ]);
  console.log(`      takeover: after a freeze: partitions after ${partitionsAfter} ms, events in Kafka after ${entriesAfter} ms`);
  await until(15000, async () => await recordsDone(store, 'frozen', { group: 'frozen' }) === 41000, 'the other to do all');
  victim.thaw();
  await publish(store, 50);
  await shared(bridges);
  await feed.burst(9000);
  await feed.end();
  await allDone(store, 'frozen', 50000);
  await until(8000, async () => (await store.xpending('sio:events', 'sio-bridge'))[0] === 0, 'nothing to be pending');
  same(await numbersSent(from), range(from, eventNumber), 'events in Kafka, repeats dropped');
  const refused = Number(/errorstat_FENCED:count=(\d+)/.exec(await store.info('errorstats'))?.[1] ?? 0);
  console.log(`      takeover: batches of the late one that Redis refused: ${refused}`);
  truth(refused > 0, 'nothing of the late one was refused: it has written, or has had nothing to write');
}), { timeout: 60000 });

await checks.step('a bridge that joins gets its share while records flow; one that is asked to leave under load drains and exits with 0', () => withPair('joined', {}, async ({ store, bridges, start }) => {
  const [one] = bridges;
  await one.holds(partitions);
  const feed = new Feed(broker, 'joined', keys);
  let going = true;
  const flow = (async () => { while (going) { await feed.burst(500); await sleep(50); } })();
  const two = await start('two');
  await shared([one, two]);
  await until(5000, async () => await two.metric('sio_bridge_records_written_total') > 500, 'the second to write');
  same(await one.terminate(), 0, 'exit code');
  await two.holds(partitions, { ms: session + 6000 });
  one.spawn();
  await one.ready();
  await shared([one, two]);
  going = false;
  await flow;
  await feed.burst(keys.length - (feed.sent % keys.length));
  await feed.end();
  await allDone(store, 'joined', feed.sent);
  for (const bridge of [one, two]) same(await bridge.terminate(), 0, `exit code of ${bridge.name}`);
}, { count: 1 }), { timeout: 60000 });

await checks.step('the bridge that carries events hands over when it is asked to leave: nothing is repeated', () => withPair('handed', {}, async ({ store, bridges }) => {
  const leader = await leaderOf(bridges);
  const other = bridges.find((one) => one !== leader);
  const from = eventNumber;
  const before = (await broker.consume('sent')).length;
  let going = true;
  const flow = (async () => { while (going) { await publish(store, 20); await sleep(20); } })();
  await sleep(500);
  const began = Date.now();
  same(await leader.terminate(), 0, 'exit code');
  const left = Date.now();
  await until(5000, async () => await other.metric('sio_bridge_leads') === 1, 'the other to carry events');
  console.log(`      takeover: asked to leave, gone after ${left - began} ms, the other carries events ${Date.now() - left} ms later`);
  await sleep(300);
  going = false;
  await flow;
  await until(8000, async () => (await store.xpending('sio:events', 'sio-bridge'))[0] === 0 && (await numbersSent(from)).length === eventNumber - from, 'all events in Kafka');
  same(await numbersSent(from), range(from, eventNumber), 'events in Kafka');
  same((await broker.consume('sent')).length - before, eventNumber - from, 'records, repeats counted');
}), { timeout: 40000 });

await broker.end();
await checks.end();
