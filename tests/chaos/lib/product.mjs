// The product under test: every process, how it is started again, killed, frozen and asked to end, and the network between.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AuthClient, Authd } from '../../authd/lib/authd.mjs';
import { RedisServer } from '../../cluster/lib/redis.mjs';
import { httpGet, lowPort, startAgain, startGateway, until, within } from '../../integration/lib/harness.mjs';
import { Broker } from '../../kafka/broker.mjs';
import { Bridge } from '../../kafka/lib/bridge.mjs';
import { Worker } from '../../support/workers.mjs';
import { targetsOf } from './plan.mjs';

const here = dirname(fileURLToPath(import.meta.url));
export const topics = { records: 'chaos.records', events: 'chaos.events' };
export const partitions = 8;
export const ping = { interval: 5000, timeout: 5000 };
export const secret = 'the-secret-that-signs-tokens-of-chaos-0123456789';

/** What the application would have said: records to rooms, events to Kafka, presence to whoever watches. */
const routes = {
  version: 1,
  topics: { [topics.records]: [{ emit: 'tick', args: ['{record.value.r}', '{record.value.n}'], to: { room: 'room-{record.value.r}' } }] },
  namespaces: {
    '/': {
      events: {
        join: [{ join: 'room-{event.0}', allow: 'user' }, { ack: [{ ok: true }] }],
        watch: [{ join: 'watchers', allow: 'user' }, { ack: [{ ok: true }] }],
        act: [
          { publish: topics.events, key: '{user.id}', value: { user: '{user.id}', client: '{event.0}', n: '{event.1}' } },
          { ack: [{ ok: true }] },
        ],
      },
      on_online: [{ emit: 'user_online', args: ['{user.id}'], to: { room: 'watchers' } }],
      on_offline: [{ emit: 'user_offline', args: ['{user.id}'], to: { room: 'watchers' } }],
    },
  },
};

/**
 * A process that can be hurt. Those who extend it say: `spawn()` starts it again; `child`, the process; `exited`, when it has
 * ended; `isReady()`, whether it is of use; `logPath`.
 */
class Part {
  constructor(kind, name) { Object.assign(this, { kind, name, lives: 1 }); }

  get pid() { return this.child.pid; }
  get isRunning() { return this.child.exitCode === null && this.child.signalCode === null; }

  async kill() {
    this.child.kill('SIGKILL');
    await within(5000, this.exited, `end of ${this.name}`);
  }

  /** Gives the exit status. */
  async term(ms = 20000) {
    this.child.kill('SIGTERM');
    return within(ms, this.exited, `end of ${this.name} after SIGTERM`);
  }

  freeze() { this.child.kill('SIGSTOP'); }
  thaw() { this.child.kill('SIGCONT'); }

  async start() {
    this.lives += 1;
    await this.spawn();
  }

  async ready(ms) {
    await until(ms, async () => {
      if (!this.isRunning) throw new Error(`${this.name} left with ${this.child.exitCode ?? this.child.signalCode}: ${this.log().slice(-500)}`);
      return this.isReady().catch(() => false);
    }, `${this.name} to be ready`);
  }

  log() { return existsSync(this.logPath) ? readFileSync(this.logPath, 'utf8') : ''; }
}

const isReadyAt = async (url) => (await httpGet(`${url}/ready`, { timeout: 1000 })).status === 200;

class Gateway extends Part {
  async begin(options, port, files) {
    this.server = await startGateway({ port, ready: false, options, files });
    this.spawned();
    return this;
  }

  spawned() { Object.assign(this, { child: this.server.child, exited: this.server.exited, logPath: this.server.logPath, url: this.server.url, control: this.server.control }); }
  spawn() { this.server = startAgain(this.server); this.spawned(); }
  isReady() { return isReadyAt(this.url); }
  remove() { return this.server.stop(); }
}

class BridgePart extends Part {
  async begin(settings) {
    this.bridge = await Bridge.start({ ...settings, name: this.name, ready: false });
    this.spawned();
    return this;
  }

  spawned() { Object.assign(this, { child: this.bridge.server.child, exited: this.bridge.server.exited, logPath: this.bridge.logPath, url: this.bridge.url, control: this.bridge.control }); }
  spawn() { this.bridge.spawn(); this.spawned(); }
  isReady() { return isReadyAt(this.url); }
  remove() { return this.bridge.stop(); }
}

class AuthdPart extends Part {
  async begin(settings) {
    this.authd = await Authd.start(settings);
    this.spawned();
    return this;
  }

  spawned() { Object.assign(this, { child: this.authd.child, exited: this.authd.exited, logPath: this.authd.logPath, control: this.authd.control }); }

  spawn() { this.authd = this.authd.spawnAgain(); this.spawned(); }

  async isReady() {
    const client = await AuthClient.connect(this.control);
    client.close();
    return true;
  }

  remove() { return this.authd.stop(); }
}

class RedisPart extends Part {
  async begin() {
    this.redis = await RedisServer.start({ keep: true });
    this.spawned();
    return this;
  }

  spawned() { Object.assign(this, { child: this.redis.child, exited: this.redis.exited, logPath: join(this.redis.folder, 'redis.log') }); }

  async spawn() {
    const running = this.redis.run(60000);
    this.spawned();
    await running;
  }

  async isReady() { return true; }
  remove() { return this.redis.end(); }
}

class BrokerPart extends Part {
  async begin() {
    this.broker = await Broker.start();
    await this.broker.warm();
    await this.broker.createTopic(topics.records, partitions);
    await this.broker.createTopic(topics.events, 4);
    this.spawned();
    return this;
  }

  spawned() { Object.assign(this, { child: this.broker.child, exited: this.broker.exited, logPath: this.broker.logPath }); }

  async spawn() {
    this.before = this.log();   // each run has a log of its own
    const running = this.broker.run();
    this.spawned();
    await running;
  }

  log() { return (this.before ?? '') + super.log(); }
  async isReady() { return true; }
  remove() { return this.broker.end(); }
}

export class Product {
  /** Starts everything that `options` ask for, ready when this resolves. */
  static async start(options) {
    const product = new Product();
    Object.assign(product, { options, parts: new Map(), folder: mkdtempSync(join(tmpdir(), 'sio-chaos-')) });
    process.on('exit', () => rmSync(product.folder, { recursive: true, force: true }));
    const targets = targetsOf(options);
    const add = (part) => { product.parts.set(part.name, part); return part; };
    [product.redis, product.broker] = (await Promise.all([new RedisPart('redis', 'redis').begin(), new BrokerPart('broker', 'broker').begin()])).map(add);
    const ports = await Promise.all(targets.gateway.map(() => lowPort()));
    product.network = new Worker(join(here, 'network_process.mjs'), {
      clients: ports, links: Object.fromEntries(targets.links.map((name) => [name, product.redis.redis.port])),
    });
    ({ ports: product.ways } = await product.network.ask('ports'));
    product.url = `http://127.0.0.1:${product.ways.clients}`;
    product.authds = await Promise.all(targets.authd.map((name) => new AuthdPart('authd', name).begin(product.authdSettings()).then(add)));
    product.gateways = await Promise.all(targets.gateway.map((name, i) => product.startGateway(name, ports[i], product.authds[i % product.authds.length]).then(add)));
    product.bridges = await Promise.all(targets.bridge.map((name) => new BridgePart('bridge', name).begin(product.bridgeSettings(name)).then(add)));
    await product.ready();
    return product;
  }

  redisUrl(name) { return `redis://127.0.0.1:${this.ways[`redis of ${name}`]}/0`; }

  authdSettings() {
    return {
      options: { '--jwt-secret-file': 'FOLDER/jwt', '--redis': this.redis.redis.unixUrl, '--log-level': this.options['log-level'] },
      files: { jwt: `${secret}\n` },
    };
  }

  startGateway(name, port, authd) {
    return new Gateway('gateway', name).begin({
      '--redis': this.redisUrl(name), '--node': name, '--relay-dir': this.folder, '--routes': 'FOLDER/routes.json', '--auth': 'authd',
      '--authd': authd.control, '--recovery': 'on', '--recovery-window': `${this.options.window}s`, '--presence-grace': `${this.options.grace}s`,
      '--ping-interval': `${ping.interval}ms`, '--ping-timeout': `${ping.timeout}ms`, '--drain-deadline': '3s', '--log-level': this.options['log-level'],
      '--redis-retention': `${Math.max(300, this.options.window + 180)}s`,
      '--host': '127.0.0.1',
    }, port, { 'routes.json': JSON.stringify(routes) });
  }

  bridgeSettings(name) {
    const { topics: toClients, version } = routes;
    return {
      brokers: this.broker.broker, redis: { unixUrl: this.redisUrl(name) }, routes: { version, topics: toClients },
      options: { '--group': 'chaos', '--redis-retention': `${Math.max(300, this.options.window + 180)}s`, '--log-level': this.options['log-level'] },
    };
  }

  part(name) { return this.parts.get(name); }

  /** Waits until all parts are of use. */
  async ready(ms = 30000) { await Promise.all([...this.parts.values()].map((part) => part.ready(ms))); }

  /** Which parts are not of use, with the reason. */
  async complaints() {
    const all = await Promise.all([...this.parts.values()].map(async (part) => ({ part, ok: part.isRunning && await part.isReady().catch(() => false) })));
    return all.filter(({ ok }) => !ok).map(({ part }) => part.name);
  }

  /** Copies the logs of all processes to a folder that stays, and gives its path. */
  keepLogs(seed) {
    const folder = mkdtempSync(join(tmpdir(), `chaos-${seed}-`));
    for (const part of this.parts.values()) writeFileSync(join(folder, `${part.name}.log`), part.log());
    return folder;
  }

  /** Ends everything, and gives what ended by a crash or a sanitizer. */
  async end() {
    const wrong = [];
    for (const part of this.parts.values()) {
      if (part.isRunning) part.thaw();
      const found = /^.*(ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:|check failed).*$/m.exec(part.log());
      if (found) wrong.push(`${part.name}: ${found[0]}`);
    }
    this.network.end();
    for (const part of [...this.parts.values()].reverse()) await part.remove();
    return wrong;
  }
}

