// Faults of Kafka and of its configuration that a bridge can live with: each is named in the log once, by /ready, and by a
// metric, costs nothing, and is over when it is mended.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Checks, lowPort, runCommand, same, setup, sleep, truth, until, within } from '../integration/lib/harness.mjs';
import { checkOnline } from '../integration/lib/online.mjs';
import { RedisServer } from '../cluster/lib/redis.mjs';
import { Broker } from './broker.mjs';
import { Bridge, bridgeBinary, cleanEnvironment, endingWell } from './lib/bridge.mjs';
import { emitted, readStream } from './lib/stream.mjs';

const checks = new Checks('told');
const routes = (...names) => ({ topics: Object.fromEntries(names.map((name) => [name, [{ emit: name, args: ['{record.value.n}'], to: 'all' }]])) });
const folder = mkdtempSync(join(tmpdir(), 'sio-told-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const redis = await setup(checks, () => RedisServer.start({}));
const store = redis.client();

/** Seconds of the processor that a process has had. */
const processor = (pid) => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
};
const lines = (bridge, event) => (bridge.log().match(new RegExp(` ${event}(?=\\s)`, 'g')) ?? []).length;
const seen = async (event) => emitted(await readStream(store)).filter(([name]) => name === event).map(([, value]) => value);

/** Runs `body(bridge)` with a bridge, which must end well. */
async function withBridge(given, body) {
  await endingWell(await Bridge.start({ redis, ready: false, ...given }), body);
}

const strict = await setup(checks, () => Broker.start(Broker.withUser));
await strict.warm();
await setup(checks, () => strict.createTopic('read-only', 1));
await setup(checks, () => strict.allow([['topic', 'read-only', 'read'], ['group', 'sio', 'read']]));

await checks.step('a check that connects names a topic that is not there, a group that may not be read, leave to write, and brokers that are away', async () => {
  const check = (brokers, user, args) => checkOnline('bridge', ['--brokers', brokers, ...user, '--redis', redis.url, ...args]);
  const file = (name, value) => { const path = join(folder, name); writeFileSync(path, JSON.stringify({ version: 1, ...value })); return path; };
  const { brokers, options, files } = strict.asUser();
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o600 });
  const user = Object.entries(options).flat().map((word) => word.replaceAll('FOLDER', folder));
  const reads = file('reads.json', routes('read-only', 'nowhere'));
  const denied = await check(brokers, user, ['--routes', reads, '--group', 'others']);
  same(denied.code, 69, `status; it says ${denied.err}`);
  for (const words of ['topic nowhere of', 'group others: ', 'may not write: ']) {
    truth(denied.faults.some((line) => line.startsWith('kafka: ') && line.includes(words)), `${words} is not in ${denied.err}`);
  }
  same(denied.faults.length, 3, `faults: ${denied.err}`);
  const well = await check(brokers, user, ['--routes', file('well.json', routes('read-only')), '--events-stream', '', '--dead-letter-topic', '']);
  same([well.code, well.faults], [0, []], 'status and faults of what may only read, and does');
  truth(!(await strict.kcat(['-L'])).out.includes('"nowhere"'), 'a topic was made');
  const away = await check(`127.0.0.1:${await lowPort()}`, [], ['--routes', reads]);
  same([away.code, away.faults.length], [69, 1], `status and faults: ${away.err}`);
  truth(away.faults[0].includes('is Kafka running'), `it says ${away.faults[0]}`);
}, { timeout: 30000 });

await checks.step('a user who may only read: told once with the remedy, by /ready and by a metric; few attempts, little time; records come in; mended, it is ready', async () => {
  await withBridge({ ...strict.asUser(), name: 'reader', routes: routes('read-only') }, async (bridge) => {
    await until(3000, async () => (await bridge.readiness().catch(() => null))?.checks.producer.ok === false, '/ready to name the producer');
    const { code, checks: { producer } } = await bridge.readiness();
    same(code, 503, '/ready');
    truth(/uthorization/.test(producer.detail) && /write/.test(producer.detail), `the check says ${producer.detail}`);
    await bridge.holds(1);
    const before = processor(bridge.pid);
    await strict.produce('read-only', [{ key: 'k', value: '{"n":1}' }]);
    await until(5000, async () => (await seen('read-only')).length === 1, 'the record on the stream');
    await sleep(6000);
    const spent = processor(bridge.pid) - before;
    truth(spent < 0.5, `${spent} s of the processor in 6 s`);
    const anew = await bridge.metric('sio_bridge_producer_made_anew_total');
    truth(anew >= 2 && anew <= 8, `${anew} producers made anew`);
    same([await bridge.metric('sio_bridge_producer_refused'), lines(bridge, 'producer_refused')], [1, 1], 'metric, and lines of the log');
    await strict.createTopic('out', 1);
    await strict.allow([['topic', 'out', 'write'], ['topic', 'out', 'describe']]);
    await until(20000, async () => (await bridge.readiness()).code === 200, '/ready to be 200');
    same([await bridge.metric('sio_bridge_producer_refused'), lines(bridge, 'producer_taken')], [0, 1], 'metric, and lines of the log');
    await store.xadd('sio:events', '*', 'v', '1', 'kind', 'event', 'topic', 'out', 'nsp', '/', 'sid', 'x', 'user', 'u', 'seq', '1', 'time', '1', 'node', 't', 'data', '[1]');
    same((await strict.waitForRecords('out', 1)).length, 1, 'records out');
  });
}, { timeout: 60000 });

const event = (topic, n) => store.xadd('sio:events', '*', 'v', '1', 'kind', 'event', 'topic', topic, 'nsp', '/', 'sid', 'x', 'user', 'u', 'seq', String(n), 'time', '1', 'node', 't', 'data', `[${n}]`);

await checks.step('events for a topic that is denied and one that is missing wait and are named; those of another topic arrive at once; mended, they arrive in order', async () => {
  await strict.createTopic('closed', 1);
  const before = (await strict.consume('out')).length;
  await withBridge({ ...strict.asUser(), name: 'writer', ready: true }, async (bridge) => {
    for (let n = 1; n <= 10; n += 1) for (const topic of ['closed', 'absent', 'out']) await event(topic, n);
    await until(5000, async () => (await strict.consume('out')).length >= before + 10, 'the other topic');
    await until(12000, async () => await bridge.metric('sio_bridge_topics_refused') === 2, 'two topics to be refused');
    const { code, checks: { topics } } = await bridge.readiness();
    same([code, topics.ok], [503, false], '/ready');
    truth(topics.detail.includes('closed') && topics.detail.includes('absent'), `the check says ${topics.detail}`);
    same(lines(bridge, 'topic_refused'), 2, 'lines of the log');
    await event('out', 11);
    await until(3000, async () => (await strict.consume('out')).length >= before + 11, 'the other topic, later');
    await strict.createTopic('absent', 1);
    await strict.allow([['topic', 'closed', 'write'], ['topic', 'closed', 'describe'], ['topic', 'absent', 'write'], ['topic', 'absent', 'describe']]);
    for (const topic of ['closed', 'absent']) {
      const records = await strict.waitForRecords(topic, 10, 25000);
      same(records.map(({ value }) => value), Array.from({ length: 10 }, (_, i) => `[${i + 1}]`), `records of ${topic}`);
    }
    await until(6000, async () => (await bridge.readiness()).code === 200, '/ready to be 200');
    same([(await strict.consume('out')).length - before, lines(bridge, 'topic_refused')], [11, 2], 'records of the other topic, lines of the log');
  });
}, { timeout: 70000 });

await checks.step('one topic among several that may not be read: named once, the others are read; allowed, it is read, too', async () => {
  for (const topic of ['secret', 'open']) await strict.createTopic(topic, 1);
  await strict.allow([['topic', 'open', 'read']]);
  await withBridge({ ...strict.asUser(), name: 'among', routes: routes('secret', 'open') }, async (bridge) => {
    await strict.produce('open', [{ key: 'k', value: '{"n":1}' }]);
    await until(8000, async () => (await seen('open')).length === 1, 'the record of the other topic');
    await until(5000, async () => await bridge.metric('sio_bridge_topics_denied') === 1, 'the metric');
    const { code, checks: { group } } = await bridge.readiness();
    same([code, group.ok, group.detail.includes('secret')], [503, false, true], '/ready');
    same(lines(bridge, 'topic_denied'), 1, 'lines of the log');
    await strict.allow([['topic', 'secret', 'read']]);
    await strict.produce('secret', [{ key: 'k', value: '{"n":2}' }]);
    await until(15000, async () => (await seen('secret')).length === 1, 'the record of the topic');
    await until(15000, async () => (await bridge.readiness()).code === 200, '/ready to be 200');
    same([await bridge.metric('sio_bridge_topics_denied'), lines(bridge, 'topic_denied')], [0, 1], 'metric, lines of the log');
  });
}, { timeout: 60000 });

await checks.step('records that were deleted before a bridge came to them: counted, and told with their number; what is left is read', async () => {
  await strict.createTopic('short', 1);
  const given = { brokers: strict, name: 'late', routes: routes('short'), options: { '--group': 'late', '--events-stream': '' }, ready: true };
  const produce = (from, to) => strict.produce('short', Array.from({ length: to - from }, (_, i) => ({ key: 'k', value: `{"n":${from + i}}` })));
  await produce(0, 10);
  await withBridge(given, async () => { await until(5000, async () => (await seen('short')).length === 10, 'the first records'); });
  await produce(10, 50);
  await strict.deleteRecords('short', 0, 37);
  await withBridge(given, async (bridge) => {
    await until(10000, async () => (await seen('short')).length === 23, 'what is left');
    same((await seen('short')).slice(10), Array.from({ length: 13 }, (_, i) => 37 + i), 'records');
    same([await bridge.metric('sio_bridge_records_lost_total'), await bridge.metric('sio_bridge_logs_anew_total'), lines(bridge, 'records_lost')], [27, 0, 1], 'lost, anew, lines of the log');
    truth(/records=27/.test(bridge.log()), 'the log does not say how many');
    const { code, checks: { group } } = await bridge.readiness();
    same([code, /27 records lost/.test(group.detail)], [200, true], '/ready');
  });
}, { timeout: 60000 });

await checks.step('the topic of dead letters among those of the routes: a configuration error that names file and place, at the check, at start and at a reload', async () => {
  const given = { brokers: strict, redis, name: 'loop', options: { '--dead-letter-topic': 'mine.dead', '--events-stream': '', '--group': 'loop' } };
  const bad = await Bridge.start({ ...given, routes: routes('read-only', 'mine.dead'), ready: false });
  try {
    same(await within(5000, bad.server.exited, 'the bridge to leave'), 78, 'exit code');
    truth(bad.log().includes(`${bad.routesPath}: /topics/mine.dead`) && /dead-letter-topic/.test(bad.log()), `it says ${bad.log()}`);
    const check = await runCommand(bridgeBinary, [...bad.args, '--check-config'], '', { env: cleanEnvironment(), anyExit: true });
    same([check.code, (check.out + check.err).includes('/topics/mine.dead')], [78, true], '--check-config');
  } finally {
    await bad.stop();
  }
  await withBridge({ ...given, routes: routes('read-only', 'mine.*'), ready: true }, async (bridge) => {
    bridge.writeRoutes(routes('mine.dead'));
    const error = await bridge.ask('reload').then(() => null, (one) => one);
    truth(error?.code === 'config' && /mine\.dead/.test(error.message), `reload: ${error?.message ?? 'it was taken'}`);
    bridge.writeRoutes(routes('read-only'));
    await bridge.ask('reload');
  });
}, { timeout: 30000 });

await checks.step('the marks of transactions are no lag: it returns to 0 behind each', async () => {
  await strict.createTopic('marked', 1);
  await withBridge({ brokers: strict, name: 'marks', routes: routes('marked'), options: { '--group': 'marks', '--events-stream': '' }, ready: true }, async (bridge) => {
    await bridge.holds(1);
    for (const count of [3, 6]) {
      const end = await strict.transaction('marked', 3);
      await until(8000, async () => (await seen('marked')).length === count, `${count} records`);
      await until(5000, async () => (await bridge.partitions())[0].end === end, 'the end to be known');
      await until(3000, async () => await bridge.metric('sio_bridge_lag') === 0, 'the lag to be 0');
      same((await bridge.partitions())[0].lag, 0, 'lag on the control socket');
    }
  });
}, { timeout: 60000 });

await strict.end();

await checks.step('brokers that answer but advertise what cannot be reached: told once, by /ready and by metrics within seconds; mended, it is ready', async () => {
  const hidden = await Broker.create();
  const [nowhere, config] = [await lowPort(), readFileSync(hidden.config, 'utf8')];
  writeFileSync(hidden.config, `${config}\nadvertised.listeners=PLAINTEXT://127.0.0.1:${nowhere}\n`);
  await hidden.run();
  try {
    await withBridge({ brokers: hidden, name: 'lost', routes: routes('any') }, async (bridge) => {
      await until(4000, async () => (await bridge.readiness().catch(() => null))?.checks.kafka.detail.includes(`${nowhere}`), '/ready to name the address');
      const { code, checks: { kafka } } = await bridge.readiness();
      same([code, kafka.ok, /advertised/.test(kafka.detail)], [503, false, true], '/ready');
      await sleep(2000);
      same([await bridge.metric('sio_bridge_kafka_connected'), lines(bridge, 'kafka_away')], [0, 1], 'metric, lines of the log');
      truth(JSON.parse(await store.hget('sio:bridges', 'lost')).kafka === false, 'gateways are told that it reaches Kafka');
      await hidden.stop();
      writeFileSync(hidden.config, config);
      await hidden.run();
      await until(8000, async () => (await bridge.readiness()).checks.kafka.ok, '/ready to be well');
      same(await bridge.metric('sio_bridge_kafka_connected'), 1, 'metric');
    });
  } finally {
    await hidden.end();
  }
}, { timeout: 40000 });

await redis.end();
await checks.end([]);
