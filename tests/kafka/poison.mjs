// Records that cannot become anything: to the dead letters with the reason, the others in order past them, nothing lost.

import { Checks, same, setup, sleep, truth, until } from '../integration/lib/harness.mjs';
import { RedisServer } from '../cluster/lib/redis.mjs';
import { Broker } from './broker.mjs';
import { Bridge } from './lib/bridge.mjs';
import { emitted, readStream } from './lib/stream.mjs';

const checks = new Checks('poison');
const letters = 'sio.dead-letters';
const topics = {
  course: [{ emit: 'course', args: ['{record.value.n}'], to: { room: 'course_{record.value.courseId}' } }],
  words: { format: 'text', do: [{ emit: 'word', args: ['{record.value}'], to: 'all' }] },
  cloud: [{ emit: 'cloud', args: ['{cloudevent.id}'], to: 'all' }],
};
const lenient = { ...topics, course: [{ emit: 'course', args: ['{record.value.n}'], to: 'all' }] };

const broker = await setup(checks, () => Broker.start());
const redis = await setup(checks, () => RedisServer.start({}));
const store = redis.client();
await broker.warm();
for (const topic of Object.keys(topics)) await broker.createTopic(topic, 2);
await broker.createTopic(letters, 2);
const bridge = await setup(checks, () => Bridge.start({ brokers: broker, redis, routes: { topics }, options: { '--max-record-bytes': '64KB' } }));
await setup(checks, () => bridge.holds(6));

const seen = async (event, client = store) => emitted(await readStream(client)).filter(([name]) => name === event).map(([, value]) => value);
const good = (n) => ({ key: 'k', value: JSON.stringify({ courseId: '42', n }) });
const one = (record, headers = []) => broker.produce('course', [record], { partition: 1, headers });
const header = (record, name) => record.headers[`sio-${name}`];

let produced = 0;   // offset of the next record in course/1
await checks.step('not JSON, a missing value, a tombstone and a large one become dead letters; the good ones around them arrive, in order', async () => {
  const began = Date.now();
  const large = JSON.stringify({ courseId: '42', n: 'x'.repeat(70000) });
  await one(good(0));
  await one({ key: 'bad-json', value: '{"courseId":"42","n":}' }, ['mine=kept', 'mine=twice']);
  await one(good(1));
  await one({ key: 'bad-value', value: '{"n":7}' });
  await one(good(2));
  await one({ key: 'tombstone', value: null });
  await one(good(3));
  await broker.produceBytes('course', large, { key: 'large', partition: 1 });
  await one(good(4));
  await one({ key: 'null-room', value: '{"courseId":null,"n":8}' });
  await one(good(5));
  produced = 11;
  await until(5000, async () => (await seen('course')).length >= 6, 'the good ones');
  same(await seen('course'), [0, 1, 2, 3, 4, 5], 'good records');
  const dead = (await broker.waitForRecords(letters, 5)).sort((a, b) => Number(header(a, 'offset')) - Number(header(b, 'offset')));
  same(dead.map(({ key, headers }) => [key, headers['sio-error'], headers['sio-offset']]),
    [['bad-json', 'malformed', '1'], ['bad-value', 'no_value', '3'], ['tombstone', 'no_value', '5'], ['large', 'too_large', '7'], ['null-room', 'no_value', '9']], 'dead letters');
  same(dead.map(({ value }) => value), ['{"courseId":"42","n":}', '{"n":7}', null, large, '{"courseId":null,"n":8}'], 'their values');
  for (const letter of dead) {
    same([header(letter, 'topic'), header(letter, 'partition')], ['course', '1'], 'source');
    for (const name of ['time', 'failed-at']) truth(Math.abs(Number(header(letter, name)) - began) < 20000, `sio-${name}: ${header(letter, name)}`);
    truth(header(letter, 'reason').length > 5, `no reason: ${header(letter, 'reason')}`);
  }
  same(dead[0].headers.mine, 'twice', 'the record\'s own header');
  truth(/20|21/.test(header(dead[0], 'reason')), `the reason names no place in the JSON: ${header(dead[0], 'reason')}`);
  truth(header(dead[1], 'reason').includes('{record.value.courseId}'), `the reason names no reference: ${header(dead[1], 'reason')}`);
  truth(header(dead[3], 'reason').includes('65536'), `the reason names no limit: ${header(dead[3], 'reason')}`);
}, { timeout: 20000 });

await checks.step('a text that is not UTF-8, and CloudEvents that are none', async () => {
  const before = (await broker.consume(letters)).length;
  await broker.produceBytes('words', Buffer.from([0x61, 0xff]), { key: 'latin', partition: 0 });
  await broker.produce('words', [{ key: 'w', value: 'fine' }], { partition: 0 });
  await broker.produce('cloud', [{ key: 'batch', value: '[]' }], { partition: 0, headers: ['content-type=application/cloudevents-batch+json'] });
  await broker.produce('cloud', [{ key: 'lacks', value: '{"specversion":"1.0","id":"1"}' }], { partition: 0, headers: ['content-type=application/cloudevents+json'] });
  await broker.produce('cloud', [{ key: 'plain', value: '{}' }], { partition: 0 });
  await until(5000, async () => (await seen('word')).length === 1, 'the good one');
  const dead = (await broker.waitForRecords(letters, before + 4)).filter(({ headers }) => headers['sio-topic'] !== 'course');
  const kinds = Object.fromEntries(dead.map(({ key, headers }) => [key, headers['sio-error']]));
  same(kinds, { latin: 'malformed', batch: 'malformed', lacks: 'malformed', plain: 'no_value' }, 'kinds');
  same(await seen('cloud'), [], 'events');
}, { timeout: 20000 });

await checks.step('they are counted by reason, and told in the log', async () => {
  const counted = {};
  for (const reason of ['malformed', 'no_value', 'too_large']) counted[reason] = await bridge.metric('sio_bridge_dead_letters_total', `"${reason}"`);
  same(counted, { malformed: 4, no_value: 4, too_large: 1 }, 'sio_bridge_dead_letters_total');
  truth((bridge.log().match(/record_refused/g) ?? []).length === 9, 'lines of the log');
});

await checks.step('sioctl dlq list shows them; replay says why one is poison still, and writes those that have become good, once', async () => {
  const { code, out, err } = await bridge.sioctl(['-o', 'json', 'dlq', 'list']);
  same(code, 0, `exit code (${err})`);
  const { records } = await bridge.ask('dlq_list');
  same(records.length, 9, 'records');
  for (const { source, id } of records) truth(out.includes(source) && out.includes(id), `sioctl does not show ${source}`);
  const find = (key) => records.find((record) => record.key === key);
  same([find('bad-value').source, find('bad-value').reason.includes('courseId'), find('bad-value').value, find('bad-value').replayed, find('bad-value').error],
    ['course/1/3', true, '{"n":7}', false, 'no_value'], 'a record');
  same(records.map(({ time_ms: time }) => time), records.map(({ time_ms: time }) => time).sort((a, b) => a - b), 'oldest first');

  const still = await bridge.ask('dlq_replay', { records: [find('bad-value').id] });
  same([still.results.length, still.results[0].id, still.results[0].ok], [1, find('bad-value').id, false], 'poison still');
  truth(still.results[0].error.includes('courseId'), `error ${still.results[0].error}`);

  bridge.writeRoutes({ topics: lenient });
  await bridge.ask('reload');
  const before = (await seen('course')).length;
  const replayed = await bridge.sioctl(['dlq', 'replay', find('bad-value').id]);
  same(replayed.code, 0, `exit code of replay (${replayed.err})`);
  same((await seen('course')).slice(before), [7], 'what came of it');
  const again = await bridge.ask('dlq_replay', { records: [find('bad-value').id] });
  same(again.results[0].ok, false, 'a second replay');
  same((await seen('course')).length, before + 1, 'entries after a second replay');
  await bridge.ask('dlq_replay', { records: [find('bad-value').id], again: true });
  same((await seen('course')).slice(before), [7, 7], 'with again');
  const all = await bridge.ask('dlq_replay', {});
  truth(all.results.every(({ id }) => id !== find('bad-value').id), 'all replays what has been replayed');
  same(all.results.filter(({ ok }) => ok).map(({ id }) => id), [find('null-room').id], 'those of all that are good now');
  same((await bridge.ask('dlq_list')).records.filter(({ replayed: done }) => done).map(({ key }) => key).sort(), ['bad-value', 'null-room'], 'marked as replayed');
  const missing = await bridge.sioctl(['dlq', 'replay', '0/999999']);
  truth(missing.code !== 0 && /999999/.test(missing.out + missing.err), `an id that is not there: ${missing.code} ${missing.out}`);
}, { timeout: 30000 });

await checks.step('an event of a client that is too large for Kafka is a dead letter, too, and those behind it go on', async () => {
  const before = (await broker.consume(letters)).length;
  const add = (data, seq) => store.xadd('sio:events', '*', 'v', '1', 'kind', 'event', 'topic', 'sent', 'nsp', '/', 'sid', 'x', 'user', 'u', 'seq', String(seq),
    'time', String(Date.now()), 'node', 'test', 'data', data);
  await broker.createTopic('sent', 1);
  await add('[1]', 1);
  const id = await add(JSON.stringify(['x'.repeat(3000000)]), 2);
  await add('[3]', 3);
  const records = await broker.waitForRecords('sent', 2);
  same(records.map(({ value }) => value), ['[1]', '[3]'], 'records');
  const dead = (await broker.waitForRecords(letters, before + 1)).find(({ headers }) => headers['sio-id'] === id);
  same([dead?.headers['sio-topic'], dead?.headers['sio-error']], ['sent', 'too_large'], 'dead letter');
  await until(3000, async () => (await store.xpending('sio:events', 'sio-bridge'))[0] === 0, 'nothing to be pending');
}, { timeout: 20000 });

await checks.step('killed in between: every good record once and in order, every bad one among the dead letters', async () => {
  bridge.writeRoutes({ topics });
  await bridge.ask('reload');
  const before = (await seen('course')).length;
  const total = 3000;
  const bad = [];
  for (let part = 0; part < 3; part += 1) {
    const records = [];
    for (let n = part * 1000; n < (part + 1) * 1000; n += 1) {
      if (n % 10 === 3) bad.push(String(n));
      records.push(n % 10 === 3 ? { key: `bad-${n}`, value: `{"courseId":"42","n":${n}` } : { key: 'k', value: JSON.stringify({ courseId: '42', n }) });
    }
    await broker.produce('course', records, { partition: 1 });
    await sleep(20 * part);
    await bridge.kill();
    bridge.spawn();
    await bridge.ready();
  }
  await until(10000, async () => (await seen('course')).length >= before + total * 0.9, 'the good ones');
  same((await seen('course')).slice(before), Array.from({ length: total }, (_, n) => n).filter((n) => n % 10 !== 3), 'good records');
  const dead = new Set((await broker.consume(letters)).map(({ key }) => key));
  same(bad.filter((n) => !dead.has(`bad-${n}`)), [], 'bad records that are no dead letters');
}, { timeout: 40000 });

await bridge.leave();

await checks.step('while the dead letters have no place the partition waits, others go on, and a kill loses nothing', async () => {
  // A broker that makes no topics by itself: the one of the dead letters is missing at first.
  const strict = await Broker.start({ extra: { 'auto.create.topics.enable': false } });
  const own = await RedisServer.start({});
  const client = own.client();
  let patient = null;
  try {
    await strict.warm();
    await strict.createTopic('course', 2);
    patient = await Bridge.start({ name: 'patient', brokers: strict, redis: own, routes: { topics: { course: topics.course } }, options: { '--kafka.producer.topic.metadata.refresh.interval.ms': '1000' } });
    await patient.holds(2);
    await strict.produce('course', [good(0), { key: 'bad', value: 'x' }, good(1)], { partition: 0 });
    await strict.produce('course', [good(10), good(11)], { partition: 1 });
    await until(5000, async () => (await seen('course', client)).filter((n) => n >= 10).length === 2, 'the other partition');
    await sleep(1500);
    truth(!(await seen('course', client)).includes(1), 'what is behind the bad record is on the stream');
    const [waiting] = (await patient.partitions()).filter(({ partition }) => partition === 0);
    same([waiting.state, waiting.next <= 1], ['waiting', true], 'the partition');
    await patient.kill();
    patient.spawn();
    await patient.holds(1, { topic: 'course' }).catch(() => {});
    await strict.produce('course', [good(2)], { partition: 0 });
    await strict.produce('course', [good(12)], { partition: 1 });
    await until(8000, async () => (await seen('course', client)).includes(12), 'the other partition after the kill');
    truth(!(await seen('course', client)).includes(1), 'what is behind the bad record is on the stream after the kill');
    const began = Date.now();
    await strict.createTopic(letters, 1);
    await until(45000, async () => (await seen('course', client)).includes(2), 'the partition to go on');
    console.log(`      poison: the partition went on ${Date.now() - began} ms after the topic of the dead letters was there`);
    same((await seen('course', client)).filter((n) => n < 10), [0, 1, 2], 'good records of the partition');
    const dead = await strict.waitForRecords(letters, 1);
    same([...new Set(dead.map(({ headers }) => headers['sio-offset']))], ['1'], 'dead letters');
  } catch (error) {
    error.message += `\n---- end of the log ----\n${patient?.log().slice(-2000)}`;
    throw error;
  } finally {
    await patient?.leave();
    const wrong = patient?.complaint();
    await patient?.stop();
    await own.end();
    await strict.end();
    truth(!wrong, wrong);
  }
}, { timeout: 110000 });

await broker.end();
await redis.end();
await checks.end([bridge]);
