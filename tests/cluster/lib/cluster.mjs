// A cluster for tests: one private Redis, gateways and Node servers that meet there, emitters beside them.
//
// Each member and emitter is an origin with the same operations, on a target {nsp, rooms, except, volatile, local}:
// emit, emitWithAck, fetchSockets, join, leave, disconnect. With --reference Node servers stand in for the gateways.

import { fork } from 'node:child_process';
import { closeSync, mkdtempSync, openSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  ServerProcess, freePort, httpGet, onReference, sleep, startGateway, truth, until, within,
} from '../../integration/lib/harness.mjs';
import { AdminClient } from './admin.mjs';
import { ClassicEmitter, StreamsEmitter } from './emitters.mjs';
import { RedisServer } from './redis.mjs';

export const here = dirname(fileURLToPath(import.meta.url));
export const routesFile = join(here, '../routes.json');
/** Whether the command line asks for the long form of the tests. */
export const full = process.argv.includes('--full');

/** How a gateway is told of the cluster and what for: the one place that knows these options. */
export function clusterOptions(redisUrl, name) {
  return {
    '--redis': redisUrl, '--node': name, '--routes': routesFile, '--recovery': 'on',
    '--ping-interval': '2s', '--ping-timeout': '4s',
  };
}

/** A Node server with the streams adapter. */
export class NodeMember {
  static async start(name, redis, { server = {}, adapter = {} } = {}) {
    const member = new NodeMember();
    const folder = mkdtempSync(join(tmpdir(), 'sio-node-'));
    const logPath = join(folder, 'output.log');
    const output = openSync(logPath, 'a');
    const port = await freePort();
    const child = fork(join(here, 'node_server.mjs'), [String(port), JSON.stringify({ name, redis: redis.port, server, adapter })],
      { stdio: ['ignore', output, output, 'ipc'], serialization: 'advanced' });
    closeSync(output);
    Object.assign(member, { name, kind: 'node', waiting: new Map(), next: 0, server: new ServerProcess(folder, child, logPath, port) });
    child.on('error', () => {});
    child.on('message', ({ id, value, error, partial }) => {
      const { done, fail } = member.waiting.get(id) ?? {};
      member.waiting.delete(id);
      if (error !== undefined) fail?.(Object.assign(new Error(error), { partial }));
      else done?.(value);
    });
    try {
      await until(10000, async () => {
        truth(child.exitCode === null, `${name} left with ${child.exitCode}`);
        return (await httpGet(`${member.url}/ready`).catch(() => null))?.status === 200;
      }, `start of ${name}`);
    } catch (error) {
      error.message += `; log: ${member.server.log().trim().slice(-500)}`;
      await member.server.stop();
      throw error;
    }
    return member;
  }

  get url() { return this.server.url; }
  get port() { return this.server.port; }

  request(op, members = {}, timeout = 8000) {
    this.next += 1;
    const id = this.next;
    const answer = new Promise((done, fail) => { this.waiting.set(id, { done, fail }); });
    this.server.child.send({ id, op, ...members });
    return within(timeout, answer, `${op} at ${this.name}`);
  }

  emit(target, event, args = []) { return this.request('emit', { target, event, args }); }
  /** The first arguments of all acknowledgements; an error has those in time as `partial`. */
  emitWithAck(target, event, args = [], timeout = 2000) { return this.request('emitWithAck', { target, event, args, timeout }); }
  async emitToSocketWithAck(nsp, sid, event, args = [], timeout = 2000) {
    return this.request('remoteEmitWithAck', { target: { nsp }, sid, event, args, timeout });
  }
  fetchSockets(target) { return this.request('fetchSockets', { target }); }
  join(target, rooms) { return this.request('join', { target, rooms }); }
  leave(target, rooms) { return this.request('leave', { target, rooms }); }
  disconnect(target, close) { return this.request('disconnect', { target, close }); }
  serverSideEmit(nsp, event, args) { return this.request('serverSideEmit', { nsp, event, args }); }
  serverSideEmitWithAck(nsp, event, args) { return this.request('serverSideEmitWithAck', { nsp, event, args }); }
  serverEvents() { return this.request('serverEvents'); }

  close() {}
}

/** A gateway, worked through its control socket as sioctl does. */
export class GatewayMember {
  static async start(name, redis, { options = {}, redisUrl = redis.url, ...rest } = {}) {
    const member = new GatewayMember();
    const server = await startGateway({ options: { ...clusterOptions(redisUrl, name.replaceAll(' ', '-')), ...options }, ...rest });
    Object.assign(member, { name, kind: 'gateway', server });
    member.admin = await AdminClient.connect(server.control);
    return member;
  }

  get url() { return this.server.url; }
  get port() { return this.server.port; }

  selection({ nsp = '/', rooms = [], except = [], volatile = false } = {}) {
    return { nsp, ...(rooms.length ? { to: rooms } : {}), ...(except.length ? { except } : {}), ...(volatile ? { volatile } : {}) };
  }

  emit(target, event, args = []) { return this.admin.request('emit', { ...this.selection(target), event, args }); }

  async emitWithAck(target, event, args = [], timeout = 2000) {
    const { answers, silent = [] } = await this.admin.request('emit',
      { ...this.selection(target), event, args, ack: true, timeout_ms: timeout }, { timeout: timeout + 5000 });
    const values = answers.map((answer) => answer.args[0]);
    const missing = Array.isArray(silent) ? silent.length : silent;
    if (missing) throw Object.assign(new Error(`${missing} sockets were silent`), { partial: values });
    return values;
  }

  async emitToSocketWithAck(nsp, sid, event, args = [], timeout = 2000) {
    const [value] = await this.emitWithAck({ nsp, rooms: [sid] }, event, args, timeout);
    return value;
  }

  serverSideEmit(nsp, event, args) { return this.admin.request('server-emit', { nsp, event, args }); }

  async serverSideEmitWithAck(nsp, event, args) {
    const { answers } = await this.admin.request('server-emit', { nsp, event, args, ack: true, timeout_ms: 3000 });
    return answers.map((answer) => answer.args[0]);
  }

  async fetchSockets(target) {
    const { sockets } = await this.admin.request('sockets', this.selection(target));
    return sockets.map(({ sid, rooms }) => ({ id: sid, rooms }));
  }

  join(target, rooms) { return this.admin.request('join', { ...this.selection(target), rooms }); }
  leave(target, rooms) { return this.admin.request('leave', { ...this.selection(target), rooms }); }
  disconnect(target, close) { return this.admin.request('disconnect', { ...this.selection(target), how: close ? 'client' : 'namespace' }); }

  close() { this.admin.close(); }
}

/** What stands in the place of a gateway on this command line. */
export const startGatewayMember = (name, redis, settings = {}) => (onReference
  ? NodeMember.start(name, redis, settings.node)
  : GatewayMember.start(name, redis, settings.gateway));

export class Cluster {
  /** `keep`: Redis keeps what it has over a restart. `node`, `gateway`: settings of every member of the kind. */
  static async start({ gateways = 2, nodes = 2, keep = false, node = {}, gateway = {} } = {}) {
    const cluster = new Cluster();
    cluster.members = [];
    try {
      await cluster.begin({ gateways, nodes, keep, node, gateway });
    } catch (error) {
      for (const { server } of cluster.members) await server.stop();
      await cluster.end();
      throw error;
    }
    return cluster;
  }

  /** Starts Redis and all members; those that started are in `members` whatever happens. */
  async begin({ gateways, nodes, keep, node, gateway }) {
    const all = async (starts) => {
      const results = await Promise.allSettled(starts);
      const started = results.filter(({ status }) => status === 'fulfilled').map(({ value }) => value);
      this.members.push(...started);
      const failure = results.find(({ status }) => status === 'rejected');
      if (failure) throw failure.reason;
      return started;
    };
    this.redis = await RedisServer.start({ keep });
    this.client = this.redis.client();
    this.streams = new StreamsEmitter(this.redis.client());
    this.classic = new ClassicEmitter(this.redis.client());
    // Every second gateway comes to Redis by its Unix socket.
    this.gateways = await all(Array.from({ length: gateways }, (_, i) => startGatewayMember(`gateway ${'ABCDEF'[i]}`,
      this.redis, { node, gateway: { redisUrl: i % 2 ? this.redis.unixUrl : this.redis.url, ...gateway } })));
    this.nodes = await all(Array.from({ length: nodes },
      (_, i) => NodeMember.start(`node ${i + 1}`, this.redis, node)));
    await until(5000, async () => await this.count('/') === this.members.length, 'all members subscribed');
    // A Node server that has read nothing asks for `$` again and again and may miss an entry between two calls; the
    // first of these may come before its first call.
    for (let i = 0; i < 2; i += 1) {
      await sleep(50);
      await this.streams.emit({}, 'first-entry');
    }
  }

  /** How many servers Redis counts for a namespace. */
  async count(nsp) { return Number((await this.client.pubsub('NUMSUB', `socket.io#${nsp}#`))[1]); }

  member(name) {
    const found = this.members.find((member) => member.name === name);
    truth(found, `no member ${name}`);
    return found;
  }

  /** The server processes, for `Checks.end`. */
  servers() { return this.members.map(({ server }) => server); }

  async end() {
    for (const member of this.members) member.close();
    await this.redis?.end();
  }
}

/** Starts a cluster for a test file, or ends the file with the reason. */
export async function startCluster(checks, settings = {}) {
  try {
    return await Cluster.start(settings);
  } catch (error) {
    checks.record('the cluster starts', error);
    return checks.end();
  }
}
