// A sio-bridge for tests: started, killed, frozen and started again under the same name.

import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  ServerProcess, httpGet, lowPort, root, runCommand, same, sioctlBinary, sleep, startGateway, truth, until, within,
} from '../../integration/lib/harness.mjs';
import { AdminClient } from '../../cluster/lib/admin.mjs';

const bin = process.env.SIO_BIN ?? join(root, 'bin');
export const bridgeBinary = process.env.SIO_BRIDGE_BINARY ?? join(bin, 'sio-bridge');

// What would change the configuration behind the tests' back.
const foreignVariables = ['KAFKA_BROKERS', 'KAFKA_CLIENT_ID', 'REDIS_URL', 'REDIS_HOST', 'REDIS_PASSWORD', 'SIO_BRIDGE', 'SIO_CONTROL', 'AUTH_SECRET',
  'DATABASE_URL', 'SOCKET_IO_CORS_ORIGIN', 'CREDENTIALS_DIRECTORY', 'NOTIFY_SOCKET', 'LOG_LEVEL', 'DEBUG', 'NODE_ENV'];

export function cleanEnvironment(extra = {}) {
  const environment = { ...process.env };
  for (const name of foreignVariables) delete environment[name];
  return Object.assign(environment, extra);
}

/** Session timeout of the tests' bridges, milliseconds. */
export const session = 1500;

export class Bridge {
  /**
   * Starts a bridge. `brokers`: text, or a Broker; `routes`: an object; `options`: flags over the tests' own (null removes
   * one, true has no value, an array is given several times), in which FOLDER stands for the bridge's temporary folder;
   * `files`: texts by name, written there first; `ready`: wait for GET /ready = 200.
   */
  static async start({ name = 'bridge', brokers, redis, routes = null, options = {}, env = {}, files = {}, ready = true, readyMs = 15000 } = {}) {
    truth(existsSync(bridgeBinary), `there is no ${bridgeBinary}; build it first`);
    const bridge = new Bridge();
    const folder = mkdtempSync(join(tmpdir(), 'sio-bridge-'));
    Object.assign(bridge, { name, folder, env, port: await lowPort(), control: join(folder, 'bridge.sock'), logPath: join(folder, 'bridge.log'), lives: [] });
    bridge.url = `http://127.0.0.1:${bridge.port}`;
    bridge.routesPath = join(folder, 'routes.json');
    const all = {
      '--brokers': typeof brokers === 'string' ? brokers : brokers?.brokers ?? null, '--redis': redis?.unixUrl ?? null, '--node': name,
      '--listen': `127.0.0.1:${bridge.port}`, '--control': bridge.control, '--session-timeout': `${session}ms`, '--from-beginning': true,
      '--redis-retention': '24h', '--log-level': 'info', ...(routes ? { '--routes': bridge.routesPath } : {}), ...options,
    };
    bridge.args = [];
    for (const [flag, value] of Object.entries(all)) {
      for (const one of value === null ? [] : [value].flat()) {
        bridge.args.push(flag);
        if (one !== true) bridge.args.push(String(one).replaceAll('FOLDER', folder));
      }
    }
    for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text, { mode: 0o600 });
    if (routes) bridge.writeRoutes(routes);
    bridge.spawn();
    try {
      if (ready) await bridge.ready(readyMs);
    } catch (error) {
      await bridge.stop();
      throw error;
    }
    return bridge;
  }

  writeRoutes(routes) { writeFileSync(this.routesPath, typeof routes === 'string' ? routes : JSON.stringify({ version: 1, ...routes })); }

  /** A process with the arguments of before. */
  spawn() {
    const output = openSync(this.logPath, 'a');
    const child = spawn(bridgeBinary, this.args, { env: cleanEnvironment(this.env), stdio: ['ignore', output, output] });
    closeSync(output);
    this.server = new ServerProcess(this.folder, child, this.logPath, this.port);
    child.once('error', () => {});
    this.lives.push(this.server);
  }

  get pid() { return this.server.child.pid; }
  get isRunning() { return this.server.exitCode === null && this.server.exitSignal === null; }
  log() { return existsSync(this.logPath) ? readFileSync(this.logPath, 'utf8') : ''; }

  async ready(ms = 15000) {
    try {
      await until(ms, async () => {
        truth(this.isRunning, `${this.name} left with ${this.server.exitCode ?? this.server.exitSignal}`);
        return (await httpGet(`${this.url}/ready`, { timeout: 1000 }).catch(() => null))?.status === 200;
      }, `GET /ready = 200 of ${this.name}`);
    } catch (error) {
      error.message += `; threads: ${this.threads()}; its log ends with: ${this.log().trim().slice(-700)}`;
      throw error;
    }
  }

  /** What its threads wait for, for whoever looks into a bridge that hangs. */
  threads() {
    try {
      return readdirSync(`/proc/${this.pid}/task`).map((id) => {
        const of = (file) => readFileSync(`/proc/${this.pid}/task/${id}/${file}`, 'utf8').trim();
        return `${of('comm')} ${/^State:\s+(\S)/m.exec(of('status'))[1]} ${of('wchan')}`;
      }).join(', ');
    } catch (error) {
      return error.message;
    }
  }

  /** As a crash does. */
  async kill() {
    this.server.child.kill('SIGKILL');
    await within(5000, this.server.exited, `end of ${this.name}`);
  }

  /** As an operator does; gives the exit code. */
  async terminate(ms = 15000) {
    this.server.child.kill('SIGTERM');
    return within(ms, this.server.exited, `end of ${this.name} after SIGTERM`);
  }

  freeze() { this.server.child.kill('SIGSTOP'); }
  thaw() { this.server.child.kill('SIGCONT'); }
  hangUp() { this.server.child.kill('SIGHUP'); }

  /** Resident memory in bytes now, and its highest so far. */
  memory() {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    const of = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)[1]) * 1024;
    return { now: of('VmRSS'), peak: of('VmHWM') };
  }

  /** {status, …} of GET /ready, with its checks. */
  async readiness() {
    const { status, body } = await httpGet(`${this.url}/ready`, { timeout: 2000 });
    return { code: status, ...JSON.parse(body) };
  }

  /** One request on the control socket, on a connection of its own. */
  async ask(cmd, members = {}, options = {}) {
    const admin = await AdminClient.connect(this.control);
    try {
      return await admin.request(cmd, members, options);
    } finally {
      admin.close();
    }
  }

  async partitions() { return (await this.ask('partitions')).partitions; }

  /** Waits until it reads exactly `count` partitions (of one topic). */
  async holds(count, { topic = null, ms = 10000 } = {}) {
    let found = [];
    await until(ms, async () => {
      found = (await this.partitions().catch(() => [])).filter((one) => (topic === null || one.topic === topic) && one.state === 'reading');
      return found.length === count;
    }, `${this.name} to read ${count} partitions`).catch((error) => { throw new Error(`${error.message}; it reads ${found.length}`); });
    return found;
  }

  /** The metric's value, summed over its labels that contain `labels`; 0 when it is not there. */
  async metric(name, labels = '') {
    const { body } = await httpGet(`${this.url}/metrics`, { timeout: 2000 });
    let sum = 0;
    for (const line of body.split('\n')) {
      const [, found, with_, value] = /^([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)$/.exec(line) ?? [];
      if (found === name && (with_ ?? '').includes(labels)) sum += Number(value);
    }
    return sum;
  }

  /** sioctl against this bridge; gives {code, out, err}. */
  sioctl(args, { input = '', control = null, timeout = 15000 } = {}) {
    return runCommand(sioctlBinary, ['--bridge', this.control, ...(control ? ['--control', control] : []), ...args], input,
      { env: cleanEnvironment(), anyExit: true, timeout });
  }

  // As Checks.end() asks servers.
  async leave() {
    this.thaw();
    if (this.isRunning) await this.terminate(12000).catch(() => {});
  }

  complaint() {
    for (const life of this.lives) {
      const complaint = life.complaint();
      if (complaint) return `${this.name}: ${complaint}`;
    }
    return null;
  }

  async stop() {
    if (this.isRunning) await this.kill().catch(() => {});
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A gateway of the same cluster, with user names as tokens. */
export function startMember(name, redis, routes, options = {}) {
  return startGateway({
    options: {
      '--redis': redis.unixUrl, '--node': name, '--routes': 'FOLDER/routes.json', '--auth': 'dev', '--rate-limit': 'off', '--recovery': 'on',
      '--ping-interval': '5s', '--ping-timeout': '5s', ...options,
    },
    files: { 'routes.json': JSON.stringify({ version: 1, ...routes }) },
  });
}

/** Runs `body(bridge)` with a bridge that has started, which must end well; an error shows the end of its log. */
export async function endingWell(bridge, body) {
  try {
    await body(bridge);
    same(await bridge.terminate(), 0, 'exit code');
    truth(!bridge.complaint(), bridge.complaint());
  } catch (error) {
    error.message += `\n---- end of the log ----\n${bridge.log().slice(-2500)}`;
    throw error;
  } finally {
    await bridge.stop();
  }
}
