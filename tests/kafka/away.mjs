// Kafka or Redis away, and what strangers and operators do to a bridge: it stays, says so, and goes on without loss.

import { createConnection } from 'node:net';
import { Checks, httpGet, same, setup, sleep, truth, until, within } from '../integration/lib/harness.mjs';
import { RedisServer } from '../cluster/lib/redis.mjs';
import { Broker } from './broker.mjs';
import { Bridge, startMember } from './lib/bridge.mjs';
import { Feed } from './lib/feed.mjs';
import { QuickProducer } from './lib/quick_producer.mjs';
import { readStream, recordsDone, tally } from './lib/stream.mjs';

const checks = new Checks('away');
const seconds = process.argv.includes('--quick') ? 4 : 10;
const keys = Array.from({ length: 100 }, (_, i) => `key-${i}`);
const padding = 'p'.repeat(1000);
const routes = (topic) => ({ topics: { [topic]: [{ emit: 'n', args: ['{record.value}', padding], to: { room: '{record.value.k}' } }] }, namespaces: { '/': { events: {} } } });
const megabyte = 1048576;

const broker = await setup(checks, () => Broker.start());
const redis = await setup(checks, () => RedisServer.start({ keep: true }));
const store = redis.client();
await broker.warm();
await broker.createTopic('numbers', 4);
await broker.createTopic('slow', 4);
const gateway = await setup(checks, () => startMember('gateway', redis, routes('numbers')));
const bridge = await setup(checks, () => Bridge.start({ brokers: broker, redis, routes: routes('numbers') }));
await setup(checks, () => bridge.holds(4));
const feed = new Feed(broker, 'numbers', keys);

const answer = async () => ({ ...await bridge.readiness() });
async function done(total, ms = 15000) {
  await until(ms, async () => await recordsDone(store, 'numbers') >= total, `${total} records to be done`);
}

for (const [how, away, back] of [
  ['frozen', () => redis.freeze(), () => redis.thaw()],
  ['stopped', () => redis.stop('SIGKILL'), () => redis.run()],
]) {
  await checks.step(`Redis ${how} for ${seconds} s under load: reading stops within a bound, /ready names it, nothing is lost or repeated`, async () => {
    await feed.burst(2000);
    await done(feed.sent);
    const before = bridge.memory().now;
    await away();
    // 80,000 records that would be 90 MB as entries.
    const began = Date.now();
    await feed.burst(80000);
    await until(4000, async () => { const { code, checks: list } = await answer(); return code === 503 && list.redis.ok === false; }, '/ready to name redis');
    const noticed = Date.now() - began;
    let peak = 0;
    while (Date.now() - began < seconds * 1000) { peak = Math.max(peak, bridge.memory().now); await sleep(100); }
    await back();
    const thawed = Date.now();
    await until(8000, async () => (await answer()).code === 200, '/ready to be 200 again');
    console.log(`      away: Redis ${how}: noticed after ${noticed} ms, ready ${Date.now() - thawed} ms after its return, memory ${(before / megabyte).toFixed(0)} to ${(peak / megabyte).toFixed(0)} MB`);
    truth(peak - before < 60 * megabyte && peak < 120 * megabyte, `memory went from ${before} to ${peak} bytes`);
    await done(feed.sent, 20000);
    same(bridge.lives.length, 1, 'processes');
    truth(bridge.isRunning, 'the bridge left');
  }, { timeout: 60000 });
}

await checks.step('Redis frozen while records come one by one: memory grows by no more than 20 MB, nothing is lost or repeated', async () => {
  await feed.burst(1000);
  await done(feed.sent);
  const trickle = await QuickProducer.connect(broker.port, 'slow', 4);
  const slow = await Bridge.start({ name: 'slow', brokers: broker, redis, routes: { topics: { slow: [{ emit: 'slow', args: ['{record.value.n}'], to: 'all' }] } }, options: { '--group': 'slow' } });
  try {
    await slow.holds(4);
    // Some first, so that what it takes once has been taken.
    for (let n = 0; n < 500; n += 1) { trickle.send(n, `{"n":${n}}`); if (n % 5 === 0) await sleep(1); }
    await until(5000, async () => await recordsDone(store, 'slow', { group: 'slow' }) === 500, 'the first records');
    const before = slow.memory().now;
    redis.freeze();
    let peak = 0;
    try {
      for (let n = 500; n < 4500; n += 1) { trickle.send(n, `{"n":${n}}`); await sleep(1); if (n % 50 === 0) peak = Math.max(peak, slow.memory().now); }
      await sleep(300);
      peak = Math.max(peak, slow.memory().now);
    } finally {
      redis.thaw();
    }
    console.log(`      away: Redis frozen, one record a millisecond: memory ${(before / megabyte).toFixed(1)} to ${(peak / megabyte).toFixed(1)} MB`);
    truth(peak - before <= 20 * megabyte, `memory went from ${before} to ${peak} bytes`);
    same([trickle.errors, trickle.sent], [0, 4500], 'records produced');
    await until(15000, async () => await recordsDone(store, 'slow', { group: 'slow' }) >= 4500, 'all records to be done');
    const numbers = (await readStream(store)).filter(({ data }) => data?.packet?.data[0] === 'slow').map(({ data }) => data.packet.data[1]);
    same(numbers.length, 4500, 'entries');
    same(new Set(numbers).size, 4500, 'different ones');
  } finally {
    trickle.close();
    await slow.leave();
    await slow.stop();
  }
}, { timeout: 60000 });

await checks.step('the broker killed: /ready of the bridge and kafkaConnected of the gateway say so, and are back with it', async () => {
  const connected = async () => JSON.parse((await httpGet(`${gateway.url}/metrics`)).body).kafkaConnected;
  await until(5000, async () => await connected() === true, 'kafkaConnected to be true');
  await feed.burst(1000);
  await done(feed.sent);
  await broker.kill();
  let began = Date.now();
  await until(5000, async () => { const { code, checks: list } = await answer(); return code === 503 && list.kafka.ok === false && list.redis.ok === true; }, '/ready to name kafka');
  const noticed = Date.now() - began;
  await until(5000, async () => await connected() === false, 'kafkaConnected to be false');
  const told = Date.now() - began;
  same((await httpGet(`${bridge.url}/live`)).status, 200, '/live');
  same((await httpGet(`${gateway.url}/ready`)).status, 200, '/ready of the gateway');
  const health = await bridge.ask('health');
  same([health.status, health.checks.kafka.ok], ['degraded', false], 'health on the control socket');
  await broker.run();
  began = Date.now();
  await until(5000, async () => (await answer()).code === 200, '/ready to be 200 again');
  const back = Date.now() - began;
  await until(5000, async () => await connected() === true, 'kafkaConnected to be true again');
  await feed.burst(1000);
  await done(feed.sent);
  console.log(`      away: Kafka killed: /ready after ${noticed} ms, kafkaConnected after ${told} ms, back after ${back} ms`);
}, { timeout: 40000 });

await checks.step('the broker frozen: /ready names kafka; thawed, all goes on', async () => {
  broker.freeze();
  try {
    await until(10000, async () => (await answer()).checks.kafka.ok === false, '/ready to name kafka');
  } finally {
    broker.thaw();
  }
  await until(5000, async () => (await answer()).code === 200, '/ready to be 200 again');
  await feed.burst(1000);
  await done(feed.sent);
}, { timeout: 30000 });

await checks.step('after all that each record was once on the stream, in order per key', async () => {
  await feed.burst(keys.length - (feed.sent % keys.length) || 0);
  await feed.end();
  await done(feed.sent);
  same(tally((await readStream(store)).filter(({ data }) => data?.packet?.data[0] === 'n'), keys, feed.sent / keys.length), { entries: feed.sent, missing: 0, repeated: 0, disordered: 0, foreign: 0, first: null }, 'stream');
}, { timeout: 30000 });

await checks.step('a bridge that is gone: kafkaConnected is false a little later', async () => {
  const connected = async () => JSON.parse((await httpGet(`${gateway.url}/metrics`)).body).kafkaConnected;
  await until(5000, async () => await connected() === true, 'kafkaConnected to be true');
  await bridge.kill();
  await until(6000, async () => await connected() === false, 'kafkaConnected to be false');
  bridge.spawn();
  await bridge.ready();
  await until(5000, async () => await connected() === true, 'kafkaConnected to be true again');
}, { timeout: 30000 });

await checks.step('rubbish on its control socket and its HTTP port: refused, and the bridge goes on', async () => {
  const throwAt = (target, bytes) => new Promise((finished) => {
    const socket = createConnection(target);
    const end = () => { socket.destroy(); finished(); };
    socket.on('error', end);
    socket.on('close', end);
    socket.setTimeout(300, end);
    socket.resume();
    socket.write(bytes);
  });
  const rubbish = [
    Buffer.alloc(100000, 0), Buffer.from('\n'.repeat(10000)), Buffer.from('{"sio":"admin","major":9,"minor":0}\n'), Buffer.from('['.repeat(100000)),
    Buffer.from('{"sio":"admin","major":1,"minor":0}\n{"id":1,"cmd":"nonsense"}\n{"id":2}\n{"id":3,"cmd":"produce"}\n{"id":4,"cmd":"produce","topic":"a/b","value":1}\n'
      + '{"id":5,"cmd":"trace","topic":"x","partition":-1,"offset":"y"}\n{"id":6,"cmd":"dlq_list","limit":-1}\n{"id":7,"cmd":"dlq_replay","records":["x",1]}\n[]\n{"id":8,"cmd":"produce","topic":"t","value_base64":"*"}\n'),
    Buffer.from(`{"sio":"admin","major":1,"minor":0}\n{"id":1,"cmd":"produce","topic":"${'x'.repeat(5000000)}`),
    Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from('POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello'), Buffer.from(`GET /${'a'.repeat(20000)} HTTP/1.1\r\nHost: x\r\n\r\n`),
    Buffer.from(`GET /metrics HTTP/1.1\r\n${'A: b\r\n'.repeat(5000)}\r\n`), Buffer.from('\x16\x03\x01\x02\x00\x01\x00'),
  ];
  for (const bytes of rubbish) for (const target of [{ path: bridge.control }, { port: bridge.port, host: '127.0.0.1' }]) await throwAt(target, bytes);
  // Connections that say nothing, more than there may be, and one that asks among them once some have gone.
  const idle = Array.from({ length: 100 }, () => createConnection(bridge.port, '127.0.0.1').on('error', () => {}));
  await sleep(100);
  for (const socket of idle) socket.destroy();
  await until(3000, async () => (await httpGet(`${bridge.url}/ready`).catch(() => null))?.status === 200, 'GET /ready');
  same([(await httpGet(`${bridge.url}/nothing`)).status, (await httpGet(`${bridge.url}/metrics`, { method: 'POST' })).status], [404, 405], 'statuses');
  truth((await httpGet(`${bridge.url}/metrics`)).body.includes('sio_bridge_consumed_total'), 'there are no metrics');
  const errors = [];
  for (const [cmd, members] of [['nonsense', {}], ['produce', {}], ['produce', { topic: 'a/b', value: 'x' }], ['trace', { topic: 'x', partition: -1, offset: 0 }],
    ['dlq_list', { limit: -1 }], ['dlq_replay', { records: ['x'] }], ['produce', { topic: 't', value_base64: '*' }], ['produce', { topic: 't', value: 'x', partition: 99 }]]) {
    errors.push(await bridge.ask(cmd, members).then(() => `${cmd} ${JSON.stringify(members)} was done`, ({ code }) => (code ? null : `${cmd}: no code`)));
  }
  same(errors.filter((error) => error !== null), [], 'commands that should be refused');
  same(bridge.lives.length, 2, 'processes');
  truth(bridge.isRunning, 'the bridge left');
}, { timeout: 30000 });

await checks.step('bad routes on reload, by SIGHUP and by command: the old ones stay, and the error names the place', async () => {
  bridge.writeRoutes('{"version":1,"topics":{"numbers":[{"emit":"n"}]}}');
  const error = await bridge.ask('reload').then(() => null, (one) => one);
  truth(error?.code === 'config' && /numbers/.test(error.message), `reload: ${error?.message ?? 'it was taken'}`);
  bridge.writeRoutes('{"version":1,');
  bridge.hangUp();
  await until(3000, () => /reload_refused/.test(bridge.log()), 'the log to say so');
  await broker.produce('numbers', [{ key: 'key-0', value: '{"k":"key-0","n":-1}' }]);
  const total = feed.sent + 1;
  await done(total);
  const last = (await readStream(store)).filter(({ uid }) => uid === 'emitter').at(-1);
  same(last.data.packet.data[1], { k: 'key-0', n: -1 }, 'the last entry');
  bridge.writeRoutes({ topics: { numbers: [{ emit: 'renamed', args: ['{record.value}'], to: 'all' }] } });
  await bridge.ask('reload');
  await broker.produce('numbers', [{ key: 'key-0', value: '{"k":"key-0","n":-2}' }]);
  await done(total + 1);
  same((await readStream(store)).filter(({ uid }) => uid === 'emitter').at(-1).data.packet.data, ['renamed', { k: 'key-0', n: -2 }], 'the entry by the new routes');
}, { timeout: 30000 });

await checks.step('a third bridge that gets no partition is ready all the same, and takes over when the others are gone', async () => {
  await broker.createTopic('narrow', 1);
  const both = [];
  try {
    for (const name of ['narrow-1', 'narrow-2']) both.push(await Bridge.start({ name, brokers: broker, redis, routes: routes('narrow'), options: { '--group': 'narrow' } }));
    await until(5000, async () => (await Promise.all(both.map((one) => one.partitions()))).flat().length === 1, 'one of them to have the partition');
    for (const one of both) await one.ready(3000);
    const holder = (await both[0].partitions()).length ? both[0] : both[1];
    await holder.kill();
    await both.find((one) => one !== holder).holds(1);
  } finally {
    for (const one of both) { await one.leave(); await one.stop(); }
  }
}, { timeout: 40000 });

await checks.step('a second process with the name of a running one ends itself, exit code 78 and a line with the remedy; the running one is not even disturbed', async () => {
  const first = await Bridge.start({ name: 'twin', brokers: broker, redis, routes: routes('narrow'), options: { '--group': 'twins' } });
  const second = await Bridge.start({ name: 'twin', brokers: broker, redis, routes: routes('narrow'), options: { '--group': 'twins' }, ready: false });
  try {
    same(await within(8000, second.server.exited, 'the second to leave'), 78, 'exit code');
    const last = second.log().split('\n').filter((line) => / fatal /.test(line)).at(-1) ?? '';
    truth(/name_in_use/.test(last) && /twin/.test(last) && /node of its own/.test(last), `its log says ${last}`);
    await first.holds(1);
    same([await first.metric('sio_bridge_rebalances_total'), await first.metric('sio_bridge_consumer_restarts_total'), (await first.readiness()).code], [1, 0, 200], 'rebalances, restarts, /ready of the first');
    same(Object.keys(await store.hgetall('sio:bridges')).includes('twin'), true, 'the first is among the bridges');
  } finally {
    for (const one of [first, second]) { await one.leave(); await one.stop(); }
  }
}, { timeout: 40000 });

await checks.step('killed and started again at once it has its name at once; a claim from elsewhere that nobody renews is waited for, and ends', async () => {
  const again = await Bridge.start({ name: 'phoenix', brokers: broker, redis, routes: routes('narrow'), options: { '--group': 'phoenixes' } });
  try {
    await again.kill();
    let began = Date.now();
    again.spawn();
    await again.holds(1, { ms: 4000 });
    const soon = Date.now() - began;
    truth(soon < 3000, `it took ${soon} ms`);
    await again.kill();
    await store.set('sio:bridge-name:phoenix', 'another-host|1|1|0 working', 'PX', 3000);
    began = Date.now();
    again.spawn();
    await until(2000, async () => (await again.readiness().catch(() => null))?.checks.name.ok === false, '/ready to name the name');
    await again.holds(1, { ms: 8000 });
    truth(Date.now() - began > 2500, 'it did not wait');
    same(await again.terminate(), 0, 'exit code');
    same(await store.exists('sio:bridge-name:phoenix'), 0, 'claims left behind');
  } finally {
    await again.leave();
    await again.stop();
  }
}, { timeout: 40000 });

await checks.step('frozen until another has its name, it ends itself when it wakes; the other works on', async () => {
  const given = { name: 'sleeper', brokers: broker, redis, routes: routes('narrow'), options: { '--group': 'sleepers' } };
  const first = await Bridge.start(given);
  const before = (await readStream(store)).length;
  first.freeze();
  const second = await Bridge.start(given);
  try {
    await second.holds(1);
    first.thaw();
    same(await within(8000, first.server.exited, 'the first to leave'), 78, 'exit code');
    truth(/name_in_use/.test(first.log()), 'its log does not say why');
    await broker.produce('narrow', Array.from({ length: 100 }, (_, n) => ({ key: 'key-0', value: `{"k":"sleep","n":${n}}` })));
    await until(5000, async () => (await readStream(store)).length >= before + 100, 'the records on the stream');
    await second.holds(1);
    const numbers = (await readStream(store)).slice(before).map(({ data }) => data?.packet?.data[1]?.n);
    same(numbers, Array.from({ length: 100 }, (_, n) => n), 'records on the stream');
    // librdkafka joins again as it wakes, before anybody can tell it not to: the other one may have to do so, too.
    truth(await second.metric('sio_bridge_consumer_restarts_total') <= 1, 'the second was made anew more than once');
    same((await second.readiness()).code, 200, '/ready of the second');
  } finally {
    for (const one of [first, second]) { await one.leave(); await one.stop(); }
  }
}, { timeout: 40000 });

await checks.step('started before Kafka and Redis are there: it waits, says what is missing, and begins when they are', async () => {
  const late = await Broker.create();
  const own = await RedisServer.start({});
  await own.stop();
  const early = await Bridge.start({ name: 'early', brokers: late, redis: own, routes: routes('early'), ready: false });
  try {
    await until(5000, async () => (await httpGet(`${early.url}/ready`).catch(() => null))?.status === 503, '/ready to be 503');
    const { checks: list } = await early.readiness();
    same([list.kafka.ok, list.redis.ok], [false, false], 'checks');
    await late.run();
    await late.createTopic('early', 2);
    await until(6000, async () => (await early.readiness()).checks.kafka.ok, 'Kafka to be reached');
    await own.run();
    await early.ready(12000);
    await late.produce('early', [{ key: 'key-0', value: '{"k":"key-0","n":0}' }]);
    await until(8000, async () => (await readStream(own.client())).length === 1, 'the record on the stream');
    same(await early.terminate(), 0, 'exit code');
  } finally {
    await early.leave();
    const wrong = early.complaint();
    await early.stop();
    await own.end();
    await late.end();
    truth(!wrong, wrong);
  }
}, { timeout: 60000 });

await checks.step('asked to leave while Redis and Kafka are away: it is gone within its drain time, exit code 0', async () => {
  const leaving = await Bridge.start({ name: 'leaving', brokers: broker, redis, routes: routes('narrow'), options: { '--group': 'leaving', '--drain': '2s' } });
  try {
    redis.freeze();
    broker.freeze();
    await sleep(300);
    same(await leaving.terminate(10000), 0, 'exit code');
  } finally {
    redis.thaw();
    broker.thaw();
    await leaving.leave();
    await leaving.stop();
  }
}, { timeout: 30000 });

for (const server of [bridge, gateway]) await server.leave();
await broker.end();
await redis.end();
await checks.end([bridge, gateway]);
