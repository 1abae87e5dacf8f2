// A private redis-server in a temporary folder: started, stopped, restarted and frozen by the tests.

import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Redis from 'ioredis';
import { lowPort, truth, until, within } from '../../integration/lib/harness.mjs';

const alive = new Set();
const folders = new Set();
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** An ioredis client that waits for Redis as long as it takes, and keeps what it is asked meanwhile. */
export function redisClient(port, options = {}) {
  const client = new Redis({
    host: '127.0.0.1', port, maxRetriesPerRequest: null, retryStrategy: (times) => Math.min(times * 50, 300), ...options,
  });
  client.on('error', () => {});
  return client;
}

export class RedisServer {
  /** `keep`: what was written outlives a stop (append-only file, written through); else a restart begins empty. */
  static async start({ keep = false } = {}) {
    const server = new RedisServer();
    server.folder = mkdtempSync(join(tmpdir(), 'sio-redis-'));
    folders.add(server.folder);
    server.port = await lowPort();
    server.socketPath = join(server.folder, 'redis.sock');
    server.keep = keep;
    server.clients = [];
    await server.run();
    return server;
  }

  /** How a gateway names it. */
  get url() { return `redis://127.0.0.1:${this.port}/0`; }
  get unixUrl() { return `unix://${this.socketPath}`; }

  /** Starts the process, also after stop(), and waits until it has read what it kept. */
  async run(ms = 5000) {
    const output = openSync(join(this.folder, 'redis.log'), 'a');
    this.child = spawn('redis-server', ['--bind', '127.0.0.1', '--port', String(this.port), '--unixsocket', this.socketPath,
      '--dir', this.folder, '--save', '', '--appendonly', this.keep ? 'yes' : 'no', '--appendfsync', 'always',
      '--daemonize', 'no', '--enable-debug-command', 'local'], { stdio: ['ignore', output, output] });
    closeSync(output);
    const child = this.child;
    alive.add(child);
    this.exited = new Promise((done) => child.once('exit', (code) => { alive.delete(child); done(code); }));
    child.once('error', () => {});
    await until(ms, async () => {
      truth(child.exitCode === null && child.signalCode === null, `redis-server left: ${this.log()}`);
      const client = new Redis({ host: '127.0.0.1', port: this.port, lazyConnect: true, retryStrategy: null, enableReadyCheck: false });
      client.on('error', () => {});
      try {
        await client.connect();
        return await client.ping() === 'PONG';
      } catch {
        return false;
      } finally {
        client.disconnect();
      }
    }, 'start of redis-server');
  }

  log() { return readFileSync(join(this.folder, 'redis.log'), 'utf8').slice(-500); }

  /** A client of the tests' own, closed by `end`. */
  client() {
    const client = redisClient(this.port);
    this.clients.push(client);
    return client;
  }

  /** Ends the process: SIGTERM as an operator does, SIGKILL as a crash does. */
  async stop(signal = 'SIGTERM') {
    this.child.kill(signal);
    await within(5000, this.exited, 'end of redis-server');
  }

  /** Forgets what was kept; while it is stopped. */
  forget() { rmSync(join(this.folder, 'appendonlydir'), { recursive: true, force: true }); }

  freeze() { this.child.kill('SIGSTOP'); }
  thaw() { this.child.kill('SIGCONT'); }

  async end() {
    for (const client of this.clients) client.disconnect();
    if (this.child.exitCode === null && this.child.signalCode === null) await this.stop('SIGKILL').catch(() => {});
    rmSync(this.folder, { recursive: true, force: true });
  }
}
