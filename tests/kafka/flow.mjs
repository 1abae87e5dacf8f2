// What the application says in Kafka reaches the right sockets, and what users do reaches Kafka: real broker, Redis and clients.

import { createServer } from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { Checks, freePort, same, setup, sleep, truth, until, within } from '../integration/lib/harness.mjs';
import { TestClient } from '../cluster/lib/client.mjs';
import { StreamsEmitter } from '../cluster/lib/emitters.mjs';
import { RedisServer } from '../cluster/lib/redis.mjs';
import { Broker } from './broker.mjs';
import { Bridge, startMember } from './lib/bridge.mjs';
import { readOffsets, readStream } from './lib/stream.mjs';

const routes = {
  topics: {
    'course.updated': [{ emit: 'course_update', args: ['{record.value.data}'], to: { room: 'course_{record.value.courseId}' } }],
    'user.notification': [{ emit: 'notification', args: ['{record.value.data}'], to: { room: '{record.value.userId}' } }],
    plain: {
      format: 'text', do: [{
        emit: 'plain', to: 'all',
        args: ['{record.value}', '{record.key}', '{record.headers.tag}', '{record.topic}', '{record.partition}', '{record.offset}', '{record.time}'],
      }],
    },
    raw: { format: 'bytes', do: [{ emit: 'raw', args: ['{record.value}', '{record.key}'], to: 'all' }] },
    cloud: [{ emit: 'cloud', args: ['{cloudevent.type}', '{cloudevent.id}', '{cloudevent.source}', '{cloudevent.data}'], to: 'all' }],
    'team.*': [{ emit: 'team', args: ['{record.topic}', '{record.value}'], to: 'all' }],
    ordered: [{ emit: 'ordered', args: ['{record.value.k}', '{record.value.n}'], to: 'all' }],
    several: [
      { emit: 'first', args: [1, '{record.value.x}'], to: { room: ['one', 'two'] }, except: 'three', nsp: '/chat', volatile: true },
      { emit: 'second', to: 'all' },
      { emit: 'third', args: [{ 'é"': '{record.value}' }], to: 'all', when: { exists: '{record.value.x}' } },
      { emit: 'never', to: 'all', when: { exists: '{record.value.y}' } },
    ],
    rooms: [
      { join: ['extra', 'more'], sockets: { room: '{record.value.user}' }, when: { equals: ['{record.value.do}', 'join'] } },
      { leave: 'extra', sockets: { room: '{record.value.user}' }, when: { equals: ['{record.value.do}', 'leave'] } },
      { disconnect: 'client', sockets: { room: '{record.value.user}' }, when: { equals: ['{record.value.do}', 'disconnect'] } },
    ],
  },
  namespaces: {
    '/': {
      events: {
        join_course: [{ join: 'course_{event.0}', allow: 'anyone' }, { ack: [true] }],
        user_action: [
          { publish: 'user.activity', key: '{user.id}', value: { userId: '{user.id}', action: '{event.0.action}', timestamp: '{clock.iso}' } },
          { ack: [{ ok: true }] },
        ],
        tell: [{ publish: 'told' }, { ack: [true] }],
        upload: [{ publish: 'uploads', key: 'files', value: '{event.0}' }, { ack: [true] }],
      },
    },
  },
};

const checks = new Checks('flow');
const broker = await setup(checks, () => Broker.start());
const redis = await setup(checks, () => RedisServer.start({}));
const store = redis.client();
await broker.warm();
for (const topic of Object.keys(routes.topics)) if (!topic.includes('*')) await broker.createTopic(topic, topic === 'ordered' ? 4 : 1);
for (const topic of ['user.activity', 'sio.lifecycle', 'told', 'uploads']) await broker.createTopic(topic, 2);
const gateways = await setup(checks, async () => [await startMember('a', redis, routes, { '--events-lifecycle': 'on' }), await startMember('b', redis, routes, { '--events-lifecycle': 'on' })]);
const [a, b] = gateways;
for (const server of gateways) await until(5000, async () => (await fetch(`${server.url}/ready`)).status === 200, 'the gateway to be ready');
const bridge = await setup(checks, () => Bridge.start({ brokers: broker, redis, routes }));
await setup(checks, () => bridge.holds(Object.keys(routes.topics).length - 1 + 3));

const members = { a: { url: a.url, name: 'a' }, b: { url: b.url, name: 'b' } };
const connect = (where, name, options = {}) => TestClient.connect(members[where], { name, auth: { token: name }, ...options });
const alice = await connect('a', 'alice');
const bob = await connect('b', 'bob', { transports: ['polling'] });
const carol = await connect('b', 'carol');

await checks.step('course.updated: course_update with its data, in the room of the course only; websocket and polling, on both gateways', async () => {
  await alice.ask('join_course', '42');
  await bob.ask('join_course', '42');
  await carol.ask('join_course', '43');
  await broker.produce('course.updated', [{ key: '42', value: '{"courseId":"42","data":{"title":"new é","n":1.50}}' }, { key: '43', value: '{"courseId":43,"data":[1,null]}' }]);
  for (const client of [alice, bob]) await client.waitFor('course_update');
  await carol.waitFor('course_update');
  for (const client of [alice, bob]) same(client.of('course_update').map(({ args }) => args), [[{ title: 'new é', n: 1.5 }]], client.name);
  same(carol.of('course_update').map(({ args }) => args), [[[1, null]]], 'carol');
});

await checks.step('user.notification: notification to all sockets of the user', async () => {
  const phone = await connect('b', 'alice', { transports: ['polling'] });
  await broker.produce('user.notification', [{ key: 'alice', value: '{"userId":"alice","data":{"type":"course_update","message":"posted"}}' }]);
  for (const client of [alice, phone]) {
    await client.waitFor('notification');
    same(client.of('notification').map(({ args }) => args), [[{ type: 'course_update', message: 'posted' }]], 'notification');
  }
  same([bob.of('notification'), carol.of('notification')], [[], []], 'others');
  phone.close();
});

await checks.step('entries are, byte for byte, those of the stock streams emitter', async () => {
  const before = (await readStream(store)).at(-1)?.id ?? null;
  await broker.produce('several', [{ key: 'k', value: '{"x":{"a":[1,2.0,"\\u00e9"]}}' }]);
  await broker.produce('rooms', [{ value: '{"do":"join","user":"nobody"}' }, { value: '{"do":"leave","user":"nobody"}' }, { value: '{"do":"disconnect","user":"nobody"}' }]);
  let got = [];
  await until(5000, async () => (got = (await readStream(store, { after: before })).filter(({ uid }) => uid === 'emitter')).length >= 6, 'six entries');
  const emitter = new StreamsEmitter(store, { streamName: 'expected' });
  const x = { a: [1, 2.0, 'é'] };
  await emitter.emit({ nsp: '/chat', rooms: ['one', 'two'], except: ['three'], volatile: true }, 'first', [1, x]);
  await emitter.emit({}, 'second', []);
  await emitter.emit({}, 'third', [{ 'é"': { x } }]);
  await emitter.join({ rooms: ['nobody'] }, ['extra', 'more']);
  await emitter.leave({ rooms: ['nobody'] }, ['extra']);
  await emitter.disconnect({ rooms: ['nobody'] }, true);
  const want = await readStream(store, { stream: 'expected' });
  // What the record says is passed on as it is written there; JSON.stringify writes it its own way.
  const text = ({ fields }) => Object.entries(fields).map(([name, value]) => `${name}=${value}`).join(' ').replaceAll('2.0', '2').replaceAll('\\u00e9', 'é');
  const sorted = (entries) => [...entries.filter(({ type }) => type === '3').map(text), ...entries.filter(({ type }) => type !== '3').map(text)];
  same(sorted(got), sorted(want), 'entries');
});

await checks.step('texts, keys, headers and the record\'s place and time in templates', async () => {
  const began = Date.now();
  await broker.produce('plain', [{ key: 'key é', value: 'not {JSON} "é"' }], { headers: ['tag=first', 'tag=last', 'Tag=other'] });
  await alice.waitFor('plain');
  const [[value, key, tag, topic, partition, offset, time]] = alice.of('plain').map(({ args }) => args);
  same([value, key, tag, topic, partition, offset], ['not {JSON} "é"', 'key é', 'last', 'plain', 0, 0], 'values');
  truth(Math.abs(time - began) < 5000, `time ${time}`);
});

await checks.step('bytes become a binary argument, by websocket and by polling', async () => {
  const bytes = Buffer.from([0, 255, 10, 13, 128, 1, 2, 3]);
  await broker.produceBytes('raw', bytes, { key: 'file' });
  for (const client of [alice, bob]) {
    await client.waitFor('raw');
    const [[got, key]] = client.of('raw').map(({ args }) => args);
    truth(Buffer.from(got).equals(bytes), `${client.name} got ${Buffer.from(got).toString('hex')}`);
    same(key, 'file', 'key');
  }
});

await checks.step('CloudEvents in binary and in structured mode', async () => {
  await broker.produce('cloud', [{ key: 'c', value: '{"price":7}' }], {
    headers: ['ce_specversion=1.0', 'ce_id=id-1', 'ce_source=/shop', 'ce_type=order.paid', 'content-type=application/json'],
  });
  const envelope = { specversion: '1.0', id: 'id-2', source: '/shop', type: 'order.sent', datacontenttype: 'application/json', data: { box: [1] } };
  await broker.produce('cloud', [{ key: 'c', value: JSON.stringify(envelope) }], { headers: ['content-type=application/cloudevents+json; charset=utf-8'] });
  await alice.waitFor('cloud', 2);
  same(alice.of('cloud').map(({ args }) => args), [['order.paid', 'id-1', '/shop', { price: 7 }], ['order.sent', 'id-2', '/shop', { box: [1] }]], 'events');
});

await checks.step('a topic that is made later is read by its pattern, from its first record', async () => {
  await broker.createTopic('team.red', 1);
  await broker.produce('team.red', [{ key: 'r', value: '{"goal":1}' }]);
  await alice.waitFor('team', 1, 12000);
  same(alice.of('team').map(({ args }) => args), [['team.red', { goal: 1 }]], 'events');
}, { timeout: 20000 });

await checks.step('2,000 records of 20 keys over 4 partitions: each once at each socket, in order per key', async () => {
  const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);
  await broker.produce('ordered', function* records() {
    for (let n = 0; n < 100; n += 1) for (const k of keys) yield { key: k, value: JSON.stringify({ k, n }) };
  }());
  for (const client of [alice, bob, carol]) {
    await client.waitFor('ordered', 2000, 8000);
    const byKey = Object.fromEntries(keys.map((k) => [k, []]));
    for (const { args: [k, n] } of client.of('ordered')) byKey[k].push(n);
    for (const k of keys) same(byKey[k], Array.from({ length: 100 }, (_, n) => n), `${client.name}, ${k}`);
  }
}, { timeout: 20000 });

await checks.step('join, leave and disconnect by records', async () => {
  const dave = await connect('a', 'dave');
  await broker.produce('rooms', [{ value: '{"do":"join","user":"dave"}' }]);
  const emitter = new StreamsEmitter(store);
  await until(3000, async () => { await emitter.emit({ rooms: ['extra'] }, 'in-extra'); await sleep(50); return dave.of('in-extra').length > 0; }, 'dave to be in the room');
  await broker.produce('rooms', [{ value: '{"do":"leave","user":"dave"}' }, { value: '{"do":"disconnect","user":"dave"}' }]);
  await until(3000, () => dave.disconnects.length > 0, 'dave to be disconnected');
  same(dave.disconnects, ['io server disconnect'], 'reason');
  dave.close();
});

await checks.step('user_action becomes user.activity {userId, action, timestamp}, with the user as key and the headers', async () => {
  const began = Date.now();
  for (const [client, action] of [[alice, 'opened'], [bob, 'closed'], [alice, 'read']]) same(await client.ask('user_action', { action }), { ok: true }, 'ack');
  const records = await broker.waitForRecords('user.activity', 3);
  const of = (user) => records.filter(({ key }) => key === user);
  same([of('alice').length, of('bob').length], [2, 1], 'records by key');
  same(of('alice').map(({ partition }) => partition)[0], of('alice')[1].partition, 'partition of a user');
  for (const [record, client, action] of [[of('alice')[0], alice, 'opened'], [of('alice')[1], alice, 'read'], [of('bob')[0], bob, 'closed']]) {
    const { timestamp, ...rest } = JSON.parse(record.value);
    same(rest, { userId: client.name, action }, 'value');
    truth(Math.abs(Date.parse(timestamp) - began) < 10000 && timestamp === new Date(timestamp).toISOString(), `timestamp ${timestamp}`);
    const { 'sio-id': id, 'sio-time': time, ...headers } = record.headers;
    truth(/^\d+-\d+$/.test(id) && (await store.xrange('sio:events', id, id)).length === 1, `sio-id ${id}`);
    truth(Math.abs(Number(time) - began) < 10000, `sio-time ${time}`);
    const seq = headers['sio-seq'];
    same(headers, {
      'sio-kind': 'event', 'sio-user': client.name, 'sio-seq': seq, 'sio-sid': client.sid, 'sio-nsp': '/', 'sio-node': client.member.name,
      'content-type': 'application/json',
    }, 'headers');
  }
  truth(Number(of('alice')[0].headers['sio-seq']) < Number(of('alice')[1].headers['sio-seq']), 'sequence numbers do not grow');
  await until(3000, async () => (await store.xpending('sio:events', 'sio-bridge'))[0] === 0, 'nothing to be pending');
});

await checks.step('a value is the data of the entry byte for byte; arguments without a value are an array; bytes alone are the record', async () => {
  const values = [{ a: [1, 'é', null], big: 12345678901234567000 }, 'text', null];
  for (const value of values) await alice.ask('tell', value, 2);
  const records = (await broker.waitForRecords('told', values.length));
  const entries = (await store.xrange('sio:events', '-', '+')).map(([id, flat]) => [id, flat[flat.indexOf('data') + 1]]);
  for (const { headers, value, key } of records) {
    same(value, entries.find(([id]) => id === headers['sio-id'])[1], 'value');
    same(key, 'alice', 'key without one in the route');
  }
  same(records.map(({ value }) => JSON.parse(value)).sort(), values.map((value) => [value, 2]).sort(), 'values');
  const bytes = Buffer.from([0, 1, 254, 255, 10]);
  await alice.ask('upload', bytes);
  await broker.waitForRecords('uploads', 1);
  const { out } = await broker.kcat(['-C', '-t', 'uploads', '-o', 'beginning', '-e', '-q', '-f', '%k|%s|%h'], { encoding: null });
  const text = out.toString('latin1');
  truth(text.startsWith(`files|${bytes.toString('latin1')}|`) && text.includes('content-type=application/octet-stream'), `record ${JSON.stringify(text)}`);
});

await checks.step('200 events of one user without waiting: his sequence is 1, 2, 3 … in the order of the topic', async () => {
  const erin = await connect('a', 'erin');
  await Promise.all(Array.from({ length: 200 }, (_, i) => erin.ask('user_action', { action: String(i) })));
  let mine = [];
  await until(8000, async () => (mine = (await broker.consume('user.activity')).filter(({ key }) => key === 'erin')).length >= 200, '200 records');
  same(mine.map(({ value }) => JSON.parse(value).action), Array.from({ length: 200 }, (_, i) => String(i)), 'actions');
  const numbers = mine.map(({ headers }) => Number(headers['sio-seq']));
  same(numbers, numbers.map((_, i) => numbers[0] + i), 'sequence');
  erin.close();
}, { timeout: 20000 });

await checks.step('connects, joins, leaves and disconnects are told in sio.lifecycle', async () => {
  const frank = await connect('b', 'frank');
  const { sid } = frank;
  await frank.ask('join_course', '77');
  frank.close();
  let mine = [];
  await until(8000, async () => {
    mine = (await broker.consume('sio.lifecycle')).filter(({ value }) => JSON.parse(value).sid === sid);
    return mine.some(({ headers }) => headers['sio-kind'] === 'disconnect');
  }, 'his disconnect in the topic');
  const values = mine.map(({ value }) => JSON.parse(value));
  same(values.map(({ kind, nsp, user, node }) => [kind, nsp, user, node]), [['connect', '/', 'frank', 'b'], ['join', '/', 'frank', 'b'], ['disconnect', '/', 'frank', 'b']], 'entries');
  same([values[0].recovered, values[1].room, values[2].reason], [false, 'course_77', 'client namespace disconnect'], 'their data');
  truth(values.every(({ seq, time }) => Number.isInteger(seq) && Math.abs(time - Date.now()) < 20000), 'seq and time are no numbers');
  same(mine.map(({ key }) => key), ['frank', 'frank', 'frank'], 'keys');
}, { timeout: 15000 });

await checks.step('sioctl produce, and sioctl trace: the record\'s way to the sockets', async () => {
  await alice.ask('join_course', 'traced');
  const { code, out, err } = await bridge.sioctl(['produce', 'course.updated', '{"courseId":"traced","data":{"by":"sioctl"}}', '--key', '42']);
  same(code, 0, `exit code (${err})`);
  const place = /\b(\d+)\/(\d+)\b/.exec(out);
  truth(place, `it printed ${out}`);
  await until(3000, () => alice.of('course_update').some(({ args }) => args[0]?.by === 'sioctl'), 'the event');
  const trace = await bridge.ask('trace', { topic: 'course.updated', partition: Number(place[1]), offset: Number(place[2]) });
  same([trace.record, trace.outcome, trace.entries.length], [`course.updated/${place[1]}/${place[2]}`, 'written', 1], 'trace');
  truth(trace.consumed_ms >= trace.time_ms && trace.written_ms >= trace.consumed_ms, `times ${JSON.stringify(trace)}`);
  const [entry] = await store.xrange(trace.entries[0].stream, trace.entries[0].id, trace.entries[0].id);
  truth(entry[1].join().includes('sioctl'), 'the entry is another one');
  const shown = await bridge.sioctl(['-o', 'json', 'trace', `course.updated/${place[1]}/${place[2]}`], { control: a.control });
  same(shown.code, 0, `exit code of trace (${shown.err})`);
  truth(shown.out.includes(trace.entries[0].id) && shown.out.includes(alice.sid), `trace does not name entry and socket: ${shown.out}`);
}, { timeout: 15000 });

await checks.step('a page in Chromium: what a record says appears, and what the user does is in Kafka', async () => {
  const profile = mkdtempSync(join(tmpdir(), 'sio-chromium-'));
  const port = await freePort();
  const page = createServer((request, response) => {
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end(`<!doctype html><title>page</title><script src="${a.url}/socket.io/socket.io.min.js"></script>`);
  });
  await new Promise((done) => page.listen(port, '127.0.0.1', done));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.SIO_CHROMIUM ?? '/usr/bin/chromium', headless: true,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
  try {
    const tab = await context.newPage();
    await tab.goto(`http://127.0.0.1:${port}/`);
    await within(8000, tab.evaluate(async (url) => {
      window.seen = [];
      window.socket = io(url, { auth: { token: 'grace' } });
      socket.on('course_update', (data) => seen.push(data));
      await new Promise((done) => socket.once('connect', done));
      await socket.emitWithAck('join_course', 'browser');
    }, a.url), 'the page to connect');
    await broker.produce('course.updated', [{ key: 'b', value: '{"courseId":"browser","data":{"title":"on the screen"}}' }]);
    await until(3000, async () => (await tab.evaluate(() => seen)).length > 0, 'the event in the page');
    // The client leaves the recovery offset behind the arguments; the handler takes the first.
    same(await tab.evaluate(() => seen), [{ title: 'on the screen' }], 'events of the page');
    same(await tab.evaluate(() => socket.emitWithAck('user_action', { action: 'clicked' })), { ok: true }, 'ack in the page');
    await until(5000, async () => (await broker.consume('user.activity')).some(({ key, value }) => key === 'grace' && JSON.parse(value).action === 'clicked'), 'the record');
  } finally {
    await context.close();
    page.close();
    rmSync(profile, { recursive: true, force: true });
  }
}, { timeout: 40000 });

await checks.step('restarted twice, and killed: nothing is repeated, and what comes meanwhile is not missed', async () => {
  await alice.ask('join_course', 'restarts');
  const seen = () => alice.of('course_update').map(({ args }) => args[0]).filter((data) => data?.restart !== undefined).map((data) => data.restart);
  const send = (n) => broker.produce('course.updated', [{ key: 'x', value: JSON.stringify({ courseId: 'restarts', data: { restart: n } }) }]);
  const activities = async () => (await broker.consume('user.activity')).length;
  const before = await activities();
  await send(0);
  await until(3000, () => seen().length === 1, 'the first');
  for (const n of [1, 2, 3]) {
    if (n < 3) same(await bridge.terminate(), 0, 'exit code');
    else await bridge.kill();
    await send(n);
    bridge.spawn();
    await bridge.ready();
    await until(8000, () => seen().length >= n + 1, `number ${n}`);
  }
  await sleep(500);
  same(seen(), [0, 1, 2, 3], 'what alice received');
  same(await activities(), before, 'records of user.activity');
  const offsets = await readOffsets(store);
  same(offsets['course.updated/0'].next, (await broker.ends('course.updated', 1))[0], 'offset in Redis');
}, { timeout: 40000 });

for (const client of [alice, bob, carol]) client.close();
for (const server of [bridge, ...gateways]) await server.leave();
await broker.end();
await redis.end();
await checks.end([bridge, ...gateways]);
