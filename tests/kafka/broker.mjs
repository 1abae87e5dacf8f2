// A real Kafka broker of one node on the loopback: fetched, formatted, started, stopped, killed and frozen by the tests.
//
// Java and Maven are needed; the jars are fetched once per version into build/ and found there without a network.

import { execFileSync, spawn } from 'node:child_process';
import {
  closeSync, cpSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lowPort, sleep, truth, until, within } from '../integration/lib/harness.mjs';
import { allow, alterTopic, createTopic, deleteRecords, deleteTopic } from './lib/admin_requests.mjs';

const here = dirname(fileURLToPath(import.meta.url));
export const newest = '4.4.0';
export const withScram = '3.9.2';   // the newest that lets librdkafka 2.0.2 in by SCRAM

const alive = new Set();
const folders = new Set();
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

const javaOptions = ['-Xmx128m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto', '-Xlog:cds=off', '-Xlog:cds+dynamic=off',
  '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info'];
const build = join(here, 'build');
const jarsOf = (version) => join(build, `jars-${version}`);
const templateOf = (version) => join(build, `template-${version}`);
const archiveOf = (version) => join(build, `kafka-${version}.jsa`);

/** A folder or file that appears whole or not at all, whoever else makes it at the same time. */
async function once(path, make) {
  if (existsSync(path)) return;
  mkdirSync(build, { recursive: true });
  const fresh = `${path}.${process.pid}`;
  rmSync(fresh, { recursive: true, force: true });
  await make(fresh);
  if (existsSync(path)) rmSync(fresh, { recursive: true, force: true });
  else renameSync(fresh, path);
}

function properties({ port, controllerPort, data, listeners = [], extra = {} }) {
  const all = [['PLAINTEXT', port], ['CONTROLLER', controllerPort], ...listeners.map(({ protocol, port: own }) => [protocol, own])];
  return Object.entries({
    'process.roles': 'broker,controller', 'node.id': 1, 'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    listeners: all.map(([name, own]) => `${name}://127.0.0.1:${own}`).join(','),
    'listener.security.protocol.map': all.map(([name]) => `${name}:${name === 'CONTROLLER' ? 'PLAINTEXT' : name}`).join(','),
    'controller.listener.names': 'CONTROLLER', 'inter.broker.listener.name': 'PLAINTEXT', 'log.dirs': data, 'num.partitions': 4,
    'offsets.topic.num.partitions': 1, 'offsets.topic.replication.factor': 1, 'transaction.state.log.num.partitions': 1,
    'transaction.state.log.replication.factor': 1, 'transaction.state.log.min.isr': 1, 'group.initial.rebalance.delay.ms': 0,
    'group.min.session.timeout.ms': 500, 'broker.session.timeout.ms': 1000, 'broker.heartbeat.interval.ms': 200,
    'log.cleaner.dedupe.buffer.size': 2097152, 'num.network.threads': 2, 'num.io.threads': 2, 'background.threads': 2, ...extra,
  }).map(([name, value]) => `${name}=${value}`).join('\n');
}

/** Fetches the jars of a version unless they are there. */
export async function fetchJars(version) {
  await once(jarsOf(version), (folder) => {
    const command = ['-q', '-B', '-f', join(here, 'pom.xml'), `-Dkafka.version=${version}`, 'dependency:copy-dependencies', `-DoutputDirectory=${folder}`];
    try {
      execFileSync('mvn', ['-o', ...command], { stdio: 'ignore', timeout: 60000 });
    } catch {
      rmSync(folder, { recursive: true, force: true });
      execFileSync('mvn', command, { stdio: ['ignore', 'ignore', 'inherit'], timeout: 300000 });
    }
    truth(readdirSync(folder).some((name) => name.startsWith('kafka_')), `Maven left no jars in ${folder}`);
  });
}

const java = (version, ...args) => [...javaOptions, '-cp', `${jarsOf(version)}/*`, ...args];

function format(version, config, scram = []) {
  execFileSync('java', java(version, 'kafka.tools.StorageTool', 'format', '-t', 'sio-test', '-c', config,
    ...scram.flatMap((user) => ['--add-scram', user])), { stdio: ['ignore', 'ignore', 'inherit'], timeout: 30000 });
}

/** What broker.start() of a version needs beside the jars: a formatted folder, and an archive of classes that halves its start. */
async function prepare(version) {
  await fetchJars(version);
  await once(templateOf(version), (folder) => {
    mkdirSync(folder, { recursive: true });
    const config = join(folder, 'server.properties');
    writeFileSync(config, properties({ port: 19092, controllerPort: 19093, data: join(folder, 'data') }));
    format(version, config);
    rmSync(config);
  });
  await once(archiveOf(version), async (path) => {
    const broker = new Broker();
    await broker.settle({ version });
    await broker.run([`-XX:ArchiveClassesAtExit=${path}`]);
    await broker.stop(30000);
    await broker.end();
    truth(existsSync(path), `java wrote no ${path}: ${broker.lastLog}`);
  });
}

export class Broker {
  /**
   * Starts a broker, ready when this resolves. `listeners`: further ones, each {name, protocol, port?}, reached as
   * `broker.at[name]`; `extra`: Kafka's own properties, in which FOLDER stands for the broker's temporary folder; `files`:
   * texts by name, written there first; `scram`: users as StorageTool takes them.
   */
  static async start(options = {}) {
    await prepare(options.version ?? newest);
    const broker = new Broker();
    await broker.settle(options);
    await broker.run();
    return broker;
  }

  /** Where it will be: ports and files, but no process yet. For clients that are there before their broker. */
  static async create(options = {}) {
    await prepare(options.version ?? newest);
    const broker = new Broker();
    await broker.settle(options);
    return broker;
  }

  async settle({ version = newest, listeners = [], extra = {}, files = {}, scram = [] } = {}) {
    Object.assign(this, { version, folder: mkdtempSync(join(tmpdir(), 'sio-kafka-')), port: await lowPort(), controllerPort: await lowPort(), at: {} });
    folders.add(this.folder);
    this.logPath = join(this.folder, 'broker.log');
    this.brokers = `127.0.0.1:${this.port}`;
    this.config = join(this.folder, 'server.properties');
    const fill = (value) => (typeof value === 'string' ? value.replaceAll('FOLDER', this.folder) : value);
    for (const [name, content] of Object.entries(files)) writeFileSync(join(this.folder, name), content, { mode: 0o600 });
    const others = [];
    for (const { name, protocol } of listeners) {
      const port = await lowPort();
      this.at[name] = `127.0.0.1:${port}`;
      others.push({ protocol, port });
    }
    writeFileSync(this.config, properties({
      port: this.port, controllerPort: this.controllerPort, data: join(this.folder, 'data'), listeners: others,
      extra: Object.fromEntries(Object.entries(extra).map(([name, value]) => [name, fill(value)])),
    }));
    if (scram.length) format(version, this.config, scram);
    else if (existsSync(templateOf(version))) cpSync(join(templateOf(version), 'data'), join(this.folder, 'data'), { recursive: true });
    else format(version, this.config);
  }

  /** Starts the process; also after stop() or kill(), on the same ports and with what it had stored. */
  async run(more = null) {
    const flags = more ?? (existsSync(archiveOf(this.version)) ? [`-XX:SharedArchiveFile=${archiveOf(this.version)}`] : []);
    writeFileSync(this.logPath, '');
    const output = openSync(this.logPath, 'a');
    const child = spawn('java', [...flags, ...java(this.version, 'kafka.Kafka', this.config)], { stdio: ['ignore', output, output] });
    closeSync(output);
    this.child = child;
    alive.add(child);
    this.exited = new Promise((done) => child.once('exit', (code, signal) => { alive.delete(child); done(code ?? signal); }));
    child.once('error', () => {});
    await until(30000, () => {
      truth(child.exitCode === null && child.signalCode === null, `the broker left with ${child.exitCode ?? child.signalCode}: ${this.log().slice(-800)}`);
      return this.log().includes('Kafka Server started');
    }, 'start of the broker');
    await sleep(100);   // the group coordinator; whoever joins before waits for three seconds
  }

  log() { return existsSync(this.logPath) ? readFileSync(this.logPath, 'utf8') : ''; }

  get pid() { return this.child.pid; }
  get isRunning() { return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null; }

  async stop(ms = 10000) {
    this.child.kill('SIGTERM');
    await within(ms, this.exited, 'end of the broker');
    this.lastLog = this.log().slice(-500);
  }

  async kill() {
    this.child.kill('SIGKILL');
    await within(5000, this.exited, 'end of the broker');
  }

  freeze() { this.child.kill('SIGSTOP'); }
  thaw() { this.child.kill('SIGCONT'); }

  createTopic(name, partitions = 4, configs = {}) { return createTopic(this.port, name, partitions, configs); }
  alterTopic(name, configs) { return alterTopic(this.port, name, configs); }
  deleteTopic(name) { return deleteTopic(this.port, name); }
  deleteRecords(name, partition, before) { return deleteRecords(this.port, name, partition, before); }

  /** What `Broker.start()` takes for a broker that lets in the user `sio` (password `secret`) by SASL at `broker.at.sasl`, who
   * may do what allow() says; the tests' own clients may do all. */
  static withUser = {
    listeners: [{ name: 'sasl', protocol: 'SASL_PLAINTEXT' }],
    extra: {
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer', 'super.users': 'User:ANONYMOUS', 'auto.create.topics.enable': false,
      'sasl.enabled.mechanisms': 'PLAIN',
      'listener.name.sasl_plaintext.plain.sasl.jaas.config': 'org.apache.kafka.common.security.plain.PlainLoginModule required user_sio="secret";',
    },
  };

  /** What a bridge is told to be that user. */
  asUser() {
    return {
      brokers: this.at.sasl, files: { password: 'secret\n' },
      options: { '--security': 'sasl_plaintext', '--sasl-mechanism': 'PLAIN', '--sasl-username': 'sio', '--sasl-password-file': 'FOLDER/password' },
    };
  }

  allow(rights) { return allow(this.port, 'User:sio', rights); }

  /** Runs kcat to its end; gives {code, out, err}. `input`: text, or anything that iterates over texts. */
  async kcat(args, { input = '', timeout = 15000, encoding = 'utf8', onLine = null } = {}) {
    const child = spawn('kcat', ['-b', this.brokers, ...args], { stdio: 'pipe' });
    alive.add(child);
    const out = [];
    let err = '';
    let rest = '';
    child.stdout.on('data', (part) => {
      if (!onLine) { out.push(part); return; }
      const lines = (rest + part.toString('latin1')).split('\n');
      rest = lines.pop();
      for (const line of lines) onLine(Buffer.from(line, 'latin1').toString('utf8'));
    });
    child.stderr.on('data', (part) => { err = (err + part).slice(-2000); });
    child.stdin.on('error', () => {});
    const closed = new Promise((done, fail) => {
      child.once('error', fail);
      child.once('close', (code, signal) => { alive.delete(child); done(code ?? signal); });
    });
    const write = async () => {
      if (typeof input === 'string') { child.stdin.end(input); return; }
      for await (const part of input) {
        if (child.exitCode !== null || child.stdin.destroyed) break;
        if (!child.stdin.write(part)) await Promise.race([new Promise((done) => child.stdin.once('drain', done)), closed]);
      }
      child.stdin.end();
    };
    try {
      const [code] = await within(timeout, Promise.all([closed, write()]), `kcat ${args.join(' ')}`);
      return { code, out: encoding ? Buffer.concat(out).toString(encoding) : Buffer.concat(out), err };
    } finally {
      child.kill('SIGKILL');
    }
  }

  /**
   * Produces records, each {key, value} (null: none), in order. Keys and values are texts without tab and line end. The
   * partition follows from the key as Java's producer has it, unless `partition` says it. `records` may be a generator.
   */
  async produce(topic, records, { partition = null, headers = [], timeout = 60000, args = [] } = {}) {
    const lines = function* lines() {
      let text = '';
      for (const { key = null, value = null } of records) {
        text += `${key ?? ''}\t${value ?? ''}\n`;
        if (text.length > 65536) { yield text; text = ''; }
      }
      if (text) yield text;
    };
    const { code, err } = await this.kcat(['-P', '-t', topic, '-K', '\t', '-Z', '-X', 'topic.partitioner=murmur2_random', '-X', 'linger.ms=1',
      '-X', 'enable.idempotence=true', ...(partition === null ? [] : ['-p', String(partition)]), ...headers.flatMap((header) => ['-H', header]), ...args],
    { input: lines(), timeout });
    truth(code === 0, `kcat could not produce to ${topic}: ${code} ${err}`);
  }

  /** Produces `count` records in a transaction that is committed. Gives the end of the topic's partition 0 after the mark. */
  async transaction(topic, count) {
    const [before] = await this.ends(topic, 1);
    const lines = Array.from({ length: count }, (_, n) => `k\t{"n":${n}}\n`).join('');
    const { code, err } = await this.kcat(['-P', '-t', topic, '-p', '0', '-K', '\t', '-X', 'transactional.id=tests'], { input: lines });
    truth(code === 0, `kcat could not commit: ${code} ${err}`);
    let end = 0;
    await until(10000, async () => { [end] = await this.ends(topic, 1); return end >= before + count + 1; }, 'the mark of a transaction');
    return end;
  }

  /** Produces one record whose value is bytes of any kind. */
  async produceBytes(topic, value, { key = null, partition = null, headers = [], timeout = 15000 } = {}) {
    const path = join(this.folder, `value-${process.hrtime.bigint()}`);
    writeFileSync(path, value);
    const { code, err } = await this.kcat(['-P', '-t', topic, ...(key === null ? [] : ['-k', key]), ...(partition === null ? [] : ['-p', String(partition)]),
      '-X', 'topic.partitioner=murmur2_random', '-X', 'message.max.bytes=10000000', ...headers.flatMap((header) => ['-H', header]), path], { timeout });
    rmSync(path);
    truth(code === 0, `kcat could not produce to ${topic}: ${code} ${err}`);
  }

  /**
   * All that a topic has, sorted by partition and offset: {partition, offset, time, headers, key, value}; headers as an
   * object (the last of a name), texts as UTF-8. A topic that is not there has nothing.
   */
  async consume(topic, { timeout = 30000, from = 'beginning', args = [] } = {}) {
    const records = [];
    if (!(await this.topics()).includes(topic)) return records;
    const { code, err } = await this.kcat(['-C', '-t', topic, '-o', from, '-e', '-q', '-J', ...args], {
      timeout, onLine: (line) => {
        const { partition, offset, ts, headers = [], key, payload } = JSON.parse(line);
        const named = {};
        for (let i = 0; i < headers.length; i += 2) named[headers[i]] = headers[i + 1];
        records.push({ partition, offset, time: ts, headers: named, key, value: payload });
      },
    });
    if (code !== 0 && !/Unknown topic|does not exist/i.test(err)) throw new Error(`kcat could not consume ${topic}: ${code} ${err}`);
    return records.sort((a, b) => a.partition - b.partition || a.offset - b.offset);
  }

  /** The names of all topics. */
  async topics() {
    const { code, out, err } = await this.kcat(['-L', '-J']);
    truth(code === 0, `kcat could not list topics: ${code} ${err}`);
    return JSON.parse(out).topics.map(({ topic }) => topic);
  }

  /** Waits until a topic has at least `count` records, and gives all of them. */
  async waitForRecords(topic, count, ms = 10000) {
    let records = [];
    const end = Date.now() + ms;
    for (;;) {
      records = await this.consume(topic);
      if (records.length >= count) return records;
      if (Date.now() > end) throw new Error(`${topic} has ${records.length} of ${count} records after ${ms} ms`);
      await sleep(100);
    }
  }

  /** The next offset of each partition. */
  async ends(topic, partitions) {
    const { out } = await this.kcat(['-Q', ...Array.from({ length: partitions }, (_, i) => ['-t', `${topic}:${i}:-1`]).flat()]);
    const ends = Array(partitions).fill(0);
    for (const [, partition, offset] of out.matchAll(/\[(\d+)\] offset (-?\d+)/g)) ends[Number(partition)] = Number(offset);
    return ends;
  }

  /** A group, a producer and a topic of its own, so that the first of a test does not pay for what the broker does once. */
  async warm() {
    await this.createTopic('warm-up', 1);
    await this.produce('warm-up', [{ key: 'k', value: '1' }]);
    await this.kcat(['-G', `warm-${process.pid}`, '-e', '-q', '-c', '1', '-X', 'auto.offset.reset=earliest', 'warm-up'], { timeout: 15000 });
  }

  async end() {
    if (this.isRunning) await this.kill().catch(() => {});
    folders.delete(this.folder);
    rmSync(this.folder, { recursive: true, force: true });
  }
}
