// The work of tests/bench/bridge.
//
// in       A topic of 4 partitions has 2,000,000 JSON values of 200 bytes with keys. A bridge that is held on one core puts
//          all on the stream: records per second of the clock and of its CPU, from a tenth to the end. Redis and the
//          broker share the other core. Beside it librdkafka alone, reading the same topic on one core
//          (bench-kafka-peer consume), and Redis taking entries of the same size, pipelined (redis-benchmark).
// out      400,000 events of 200 bytes wait in the stream of events; a bridge, held likewise, puts them into Kafka. Beside it
//          librdkafka alone (bench-kafka-peer produce, idempotent).
// latency  Records at 100 and 1,000 a second on a warm broker, each with the time it was given to the producer; a stock
//          socket.io-client on a WebSocket notes when it has the event. In turns of 5 s Kafka's own time from produce to
//          poll (bench-kafka-peer latency). What is judged is the difference of neighbours.
//
// Nothing may be lost or repeated, or the exit status is 1. With --strict missed targets make it 1, too.

import { execFileSync, fork, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Redis from 'ioredis';
import { httpGet, root, runCommand, sleep, startGateway, truth, until } from '../integration/lib/harness.mjs';
import { TestClient } from '../cluster/lib/client.mjs';
import { RedisServer } from '../cluster/lib/redis.mjs';
import { Broker } from '../kafka/broker.mjs';
import { bridgeBinary, cleanEnvironment } from '../kafka/lib/bridge.mjs';
import { QuickProducer } from '../kafka/lib/quick_producer.mjs';

const self = fileURLToPath(import.meta.url);
/** Microseconds of a clock that all processes of the machine share. */
const now = () => Number(process.hrtime.bigint() / 1000n);

// --- the producer of the latency part, a process of its own ---------------------------------------------------------

async function produce([port, topic, partitions]) {
  const to = await QuickProducer.connect(Number(port), topic, Number(partitions));
  process.on('disconnect', () => process.exit(0));
  process.on('message', ({ rate, count, first }) => {
    const began = now();
    let sent = 0;
    const go = () => {
      for (; sent < count && now() - began >= (sent * 1e6) / rate; sent += 1) {
        to.send(first + sent, `{"n":${first + sent},"t":${now()},"padding":"${'x'.repeat(150)}"}`);
      }
      if (sent < count) setTimeout(go, 1);
      else setTimeout(() => process.send({ unanswered: to.sent - to.answered, errors: to.errors }), 500);
    };
    go();
  });
  process.send('ready');
}

if (process.argv[2] === '--produce') {
  await produce(process.argv.slice(3));
  await new Promise(() => {});
}

// --- the command line -----------------------------------------------------------------------------------------------

const flags = process.argv.slice(2);
function value(name, otherwise) {
  const at = flags.indexOf(name);
  if (at >= 0) return flags[at + 1];
  return flags.find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1) ?? otherwise;
}
const [quick, asJson, strict] = ['--quick', '--json', '--strict'].map((flag) => flags.includes(flag));
const rounds = Number(value('--rounds', quick ? 2 : 3));
const parts = value('--only', 'in,out,latency').split(',');
if (!Number.isInteger(rounds) || rounds < 1 || parts.some((part) => !['in', 'out', 'latency'].includes(part))) {
  console.error('usage: tests/bench/bridge [--quick] [--json] [--strict] [--rounds N] [--only in,out,latency]');
  process.exit(64);
}
const recordsIn = quick ? 400000 : 2000000;
const recordsOut = quick ? 100000 : 400000;
const turn = 5;   // seconds of a latency turn
const turns = quick ? 2 : 6;
const targets = { in_per_second: 100000, added_p50_ms: 1, added_p99_ms: 2 };
const [bridgeCore, otherCore] = [0, 1];

const bin = process.env.SIO_BIN ?? join(root, 'bin');
const peer = join(bin, 'bench-kafka-peer');
for (const program of [bridgeBinary, peer, join(bin, 'sio-gateway')]) {
  if (!existsSync(program)) { console.error(`tests/bench/bridge: there is no ${program}; build it first`); process.exit(69); }
}
const note = (text) => console.error(`bridge bench: ${text}`);
const children = new Set();
process.on('exit', () => { for (const child of children) child.kill('SIGKILL'); });
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

const hertz = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
/** CPU time of a process so far, all its threads, seconds. */
function cpu(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) / hertz;
}
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}
const quantile = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
const pin = (pid, core) => execFileSync('taskset', ['--all-tasks', '--pid', '--cpu-list', String(core), String(pid)], { stdio: 'ignore' });
const faults = [];

const redis = await RedisServer.start({});
const store = new Redis({ path: redis.socketPath });
const broker = await Broker.start();
await broker.warm();

/** A bridge on a core of its own, with `options` over these. */
function startBridge(options, core = bridgeCore) {
  const args = Object.entries({
    '--brokers': broker.brokers, '--redis': redis.unixUrl, '--node': 'bench', '--listen': 'off', '--control': join(broker.folder, 'bridge.sock'), '--from-beginning': 'on',
    '--redis-retention': '24h', '--log-level': 'error', ...options,
  }).map(([name, setting]) => `${name}=${setting}`);
  const command = core === null ? [bridgeBinary, ...args] : ['taskset', '--cpu-list', String(core), bridgeBinary, ...args];
  const child = spawn(command[0], command.slice(1), { env: cleanEnvironment(), stdio: ['ignore', 'inherit', 'inherit'] });
  children.add(child);
  child.ended = new Promise((done) => child.once('exit', (code) => { children.delete(child); done(code); }));
  return child;
}

async function stop(child) {
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), 15000);
  const code = await child.ended;
  clearTimeout(late);
  if (code !== 0) faults.push(`a bridge left with ${code}`);
}

/** Waits until `progress()` has come to `total`; the rate and the CPU per record from a tenth on. */
async function measure(child, total, progress) {
  let from = null;
  const deadline = Date.now() + 120000;
  for (;;) {
    const done = await progress();
    const at = now();
    if (from === null && done >= total / 10) from = { done, at, cpu: cpu(child.pid) };
    if (done >= total) {
      const seconds = (at - from.at) / 1e6;
      const used = cpu(child.pid) - from.cpu;
      return { per_second: (done - from.done) / seconds, cpu_us: (used / (done - from.done)) * 1e6, per_core_second: (done - from.done) / used };
    }
    truth(Date.now() < deadline && child.exitCode === null, `only ${done} of ${total} were carried`);
    await sleep(10);
  }
}

async function peerSays(args, core = bridgeCore) {
  const out = await runCommand('taskset', core === null ? ['--cpu-list', '0,1', peer, ...args] : ['--cpu-list', String(core), peer, ...args], '', { timeout: 180000 });
  return JSON.parse(out.trim().split('\n').at(-1));
}
const rateOf = (said) => said.records / said.seconds;

const results = { rounds };
const routesFile = join(broker.folder, 'routes.json');

// --- in -------------------------------------------------------------------------------------------------------------

async function measureIn() {
  note(`in: ${recordsIn} records are produced`);
  await broker.createTopic('in', 4);
  await broker.produce('in', function* records() {
    for (let n = 0; n < recordsIn; n += 1) {
      const text = `{"courseId":"${n % 1000}","data":{"n":${n},"text":"`;
      yield { key: `key-${n % 1000}`, value: `${text}${'x'.repeat(200 - text.length - 3)}"}}` };
    }
  }(), { timeout: 120000 });
  writeFileSync(routesFile, JSON.stringify({ version: 1, topics: { in: [{ emit: 'course_update', args: ['{record.value.data}'], to: { room: 'course_{record.value.courseId}' } }] } }));
  const runs = { bridge: [], librdkafka: [], redis: [] };
  for (let round = 0; round < rounds; round += 1) {
    note(`in: round ${round + 1} of ${rounds}`);
    await store.flushall();
    const child = startBridge({ '--routes': routesFile, '--group': `in-${round}`, '--events-stream': '' });
    const offsets = async () => (await store.hvals('sio:offsets:{socket.io}')).reduce((sum, text) => sum + Number(text.split(' ')[1]), 0);
    runs.bridge.push(await measure(child, recordsIn, offsets));
    const entries = await store.xlen('socket.io');
    if (entries !== recordsIn) faults.push(`${entries} entries of ${recordsIn} records`);
    await stop(child);
    await store.flushall();
    runs.librdkafka.push({ per_second: rateOf(await peerSays(['consume', broker.brokers, 'in', String(recordsIn)])) });
    const text = await runCommand('taskset', ['--cpu-list', String(bridgeCore), 'redis-benchmark', '-s', redis.socketPath, '-n', String(recordsIn / 4), '-c', '1', '-P', '500', '-q', '--csv',
      'XADD', 'bench', '*', 'uid', 'emitter', 'nsp', '/', 'type', '3', 'data', 'x'.repeat(270)], '', { timeout: 120000 });
    runs.redis.push({ per_second: Number(/,"([\d.]+)"/.exec(text.trim().split('\n').at(-1))[1]) });
  }
  await store.flushall();
  await broker.deleteTopic('in');
  const of = (list, key) => median(list.map((run) => run[key]));
  return {
    records: recordsIn, bytes: 200,
    bridge: { per_second: of(runs.bridge, 'per_second'), per_core_second: of(runs.bridge, 'per_core_second'), cpu_us: of(runs.bridge, 'cpu_us') },
    librdkafka: { per_second: of(runs.librdkafka, 'per_second') }, redis: { per_second: of(runs.redis, 'per_second') }, runs,
  };
}

// --- out ------------------------------------------------------------------------------------------------------------

async function measureOut() {
  const runs = { bridge: [], librdkafka: [] };
  await broker.createTopic('peer', 4);
  for (let round = 0; round < rounds; round += 1) {
    note(`out: round ${round + 1} of ${rounds}`);
    await store.flushall();
    const topic = `out-${round}`;
    await broker.createTopic(topic, 4);
    for (let n = 0; n < recordsOut;) {
      const pipeline = store.pipeline();
      for (let i = 0; i < 5000 && n < recordsOut; i += 1, n += 1) {
        const user = `user-${n % 1000}`;
        const text = `{"userId":"${user}","action":"${n}","text":"`;
        pipeline.xadd('sio:events', '*', 'v', '1', 'kind', 'event', 'topic', topic, 'key', user, 'nsp', '/', 'sid', 'AAAAAAAAAAAAAAAAAAAA', 'user', user,
          'seq', String(Math.floor(n / 1000) + 1), 'time', '1795527540120', 'node', 'bench', 'data', `${text}${'x'.repeat(200 - text.length - 2)}"}`);
      }
      await pipeline.exec();
    }
    await store.xgroup('CREATE', 'sio:events', 'sio-bridge', '0').catch(() => {});
    const child = startBridge({ '--dead-letter-topic': '' });
    const acknowledged = async () => {
      const [group] = await store.xinfo('GROUPS', 'sio:events');
      const field = (name) => Number(group[group.indexOf(name) + 1] ?? 0);
      return field('entries-read') - field('pending');
    };
    runs.bridge.push(await measure(child, recordsOut, acknowledged));
    const there = (await broker.ends(topic, 4)).reduce((a, b) => a + b);
    if (there !== recordsOut) faults.push(`${there} records of ${recordsOut} events`);
    await stop(child);
    runs.librdkafka.push({ per_second: rateOf(await peerSays(['produce', broker.brokers, 'peer', String(recordsOut), '200', '1000'])) });
  }
  await store.flushall();
  const of = (list, key) => median(list.map((run) => run[key]));
  return {
    records: recordsOut, bytes: 200,
    bridge: { per_second: of(runs.bridge, 'per_second'), per_core_second: of(runs.bridge, 'per_core_second'), cpu_us: of(runs.bridge, 'cpu_us') },
    librdkafka: { per_second: of(runs.librdkafka, 'per_second') }, runs,
  };
}

// --- latency --------------------------------------------------------------------------------------------------------

async function measureLatency() {
  writeFileSync(routesFile, JSON.stringify({ version: 1, topics: { timed: [{ emit: 'timed', args: ['{record.value.n}', '{record.value.t}'], to: 'all' }] }, namespaces: { '/': {} } }));
  await broker.createTopic('timed', 4);
  await broker.createTopic('peer-timed', 4);
  const gateway = await startGateway({
    options: { '--redis': redis.unixUrl, '--node': 'gateway', '--routes': routesFile, '--recovery': 'off', '--ping-interval': '20s', '--ping-timeout': '20s' },
  });
  const child = startBridge({ '--routes': routesFile, '--group': 'timed' }, null);
  const feeder = fork(self, ['--produce', String(broker.port), 'timed', '4'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  children.add(feeder);
  await new Promise((done) => feeder.once('message', done));
  const client = await TestClient.connect({ url: gateway.url, name: 'gateway' }, {});
  client.socket.offAny();
  let got = [];
  let expected = 0;
  client.socket.on('timed', (n, t) => { const at = now(); got.push((at - t) / 1000); if (n === expected) expected += 1; });
  let first = 0;
  /** The latencies of `count` records at `rate`, milliseconds, sorted. */
  const run = async (rate, count) => {
    got = [];
    const before = first;
    first += count;
    feeder.send({ rate, count, first: before });
    const { unanswered, errors } = await new Promise((done) => feeder.once('message', done));
    if (unanswered || errors) faults.push(`Kafka left ${unanswered} records without an answer and refused ${errors}`);
    await until(5000, () => got.length >= count, `${count} events`).catch(() => {});
    await sleep(50);
    if (got.length !== count) faults.push(`${got.length} events of ${count} records`);
    return got.sort((a, b) => a - b);
  };
  await until(10000, async () => (await httpGet(`${gateway.url}/ready`)).status === 200, 'the gateway');
  await until(10000, async () => (await store.hlen('sio:offsets:{socket.io}')) >= 4, 'the bridge to have its partitions');
  await sleep(500);
  note('latency: 5,000 records to warm up');
  await run(1000, 5000);
  await peerSays(['latency', broker.brokers, 'peer-timed', '1000', '5'], null);
  const rates = {};
  for (const rate of [100, 1000]) {
    const rows = [];
    for (let i = 0; i < turns; i += 1) {
      note(`latency: ${rate}/s, turn ${i + 1} of ${turns}`);
      const ours = async () => { const sorted = await run(rate, rate * turn); return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), max: sorted.at(-1) }; };
      const theirs = async () => {
        const said = await peerSays(['latency', broker.brokers, 'peer-timed', String(rate), String(turn)], null);
        return { p50: said.p50_ms ?? said.p50, p99: said.p99_ms ?? said.p99 };
      };
      // Who goes first changes.
      const row = {};
      for (const who of i % 2 ? ['ours', 'theirs'] : ['theirs', 'ours']) row[who] = await (who === 'ours' ? ours : theirs)();
      rows.push(row);
    }
    const of = (pick) => median(rows.map(pick));
    rates[rate] = {
      p50_ms: of(({ ours }) => ours.p50), p99_ms: of(({ ours }) => ours.p99), kafka_p50_ms: of(({ theirs }) => theirs.p50), kafka_p99_ms: of(({ theirs }) => theirs.p99),
      added_p50_ms: of(({ ours, theirs }) => ours.p50 - theirs.p50), added_p99_ms: of(({ ours, theirs }) => ours.p99 - theirs.p99), rows,
    };
  }
  feeder.disconnect();
  children.delete(feeder);
  client.close();
  await stop(child);
  await gateway.stop();
  return { turn_seconds: turn, turns, rates };
}

// --- all of it ------------------------------------------------------------------------------------------------------

// Throughput: the bridge has a core, the servers share the other. Latency: the scheduler decides.
try {
  if (parts.some((part) => part !== 'latency')) { pin(broker.pid, otherCore); pin(redis.child.pid, otherCore); }
  if (parts.includes('in')) results.in = await measureIn();
  if (parts.includes('out')) results.out = await measureOut();
  if (parts.includes('latency')) {
    pin(broker.pid, '0,1');
    pin(redis.child.pid, '0,1');
    results.latency = await measureLatency();
  }
} catch (error) {
  faults.push(error.message);
  note(`it ended early: ${error.stack}`);
}
results.faults = faults;
const missed = [];
if (results.in && results.in.bridge.per_second < targets.in_per_second) missed.push(`in: ${Math.round(results.in.bridge.per_second)} records/s`);
for (const [rate, row] of Object.entries(results.latency?.rates ?? {})) {
  for (const key of ['added_p50_ms', 'added_p99_ms']) if (row[key] > targets[key]) missed.push(`latency at ${rate}/s: ${key} ${row[key].toFixed(2)}`);
}
results.missed = missed;

if (asJson) console.log(JSON.stringify(results));
else {
  const n = (number) => Math.round(number).toLocaleString('en-US').padStart(11);
  if (results.in) {
    const { bridge, librdkafka, redis: own } = results.in;
    console.log(`in: ${results.in.records.toLocaleString('en-US')} records of 200 bytes, 4 partitions, bridge on one core, medians of ${rounds} rounds`);
    console.log(`  sio-bridge, Kafka to the stream    ${n(bridge.per_second)} records/s   ${bridge.cpu_us.toFixed(2)} us CPU each (${n(bridge.per_core_second).trim()} per second of CPU)`);
    console.log(`  librdkafka alone, read and dropped ${n(librdkafka.per_second)} records/s`);
    console.log(`  Redis alone, XADD by 500           ${n(own.per_second)} entries/s`);
  }
  if (results.out) {
    const { bridge, librdkafka } = results.out;
    console.log(`out: ${results.out.records.toLocaleString('en-US')} events of 200 bytes, bridge on one core, medians of ${rounds} rounds`);
    console.log(`  sio-bridge, stream to Kafka        ${n(bridge.per_second)} records/s   ${bridge.cpu_us.toFixed(2)} us CPU each (${n(bridge.per_core_second).trim()} per second of CPU)`);
    console.log(`  librdkafka alone, idempotent       ${n(librdkafka.per_second)} records/s`);
  }
  if (results.latency) {
    const ms = (number) => number.toFixed(2).padStart(8);
    console.log(`latency: record to the event in the client, ms; medians of ${turns} turns of ${turn} s, Kafka's own (produce to poll) between them`);
    console.log('               to the client      Kafka alone           added');
    console.log('               p50      p99       p50      p99       p50      p99');
    for (const [rate, row] of Object.entries(results.latency.rates)) {
      console.log(`  ${`${rate}/s`.padEnd(8)} ${ms(row.p50_ms)} ${ms(row.p99_ms)}  ${ms(row.kafka_p50_ms)} ${ms(row.kafka_p99_ms)}  ${ms(row.added_p50_ms)} ${ms(row.added_p99_ms)}`);
    }
  }
  console.log(faults.length ? `LOST OR REPEATED: ${faults.join('; ')}` : 'nothing lost, nothing repeated');
  if (missed.length) console.log(`missed targets: ${missed.join('; ')}`);
}
store.disconnect();
await broker.end();
await redis.end();
process.exit(faults.length || (strict && missed.length) ? 1 : 0);
