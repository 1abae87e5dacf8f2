// A private PostgreSQL 15 in a temporary folder: started, stopped, restarted and frozen by the tests.

import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, chownSync, closeSync, existsSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { freePort, sleep, truth, until, within } from '../../integration/lib/harness.mjs';

const programs = '/usr/lib/postgresql/15/bin';
const alive = new Set();
const folders = new Set();
process.on('exit', () => {
  for (const child of alive) { child.kill('SIGCONT'); child.kill('SIGQUIT'); }
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** PostgreSQL refuses to run as root: then its own user runs it. */
function owner() {
  if (process.getuid() !== 0) return {};
  const id = (flag) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

export class Postgres {
  static async start() {
    truth(existsSync(join(programs, 'postgres')), `there is no ${programs}/postgres: the Debian package postgresql-15 is missing`);
    const server = new Postgres();
    Object.assign(server, { owner: owner(), clients: [] });
    server.folder = mkdtempSync(join(tmpdir(), 'sio-pg-'));
    folders.add(server.folder);
    chmodSync(server.folder, 0o755);
    if (server.owner.uid !== undefined) chownSync(server.folder, server.owner.uid, server.owner.gid);
    server.port = await freePort();
    const initdb = spawn(join(programs, 'initdb'), ['-D', join(server.folder, 'data'), '-U', 'app', '-A', 'trust', '-E', 'UTF8',
      '--locale=C', '--no-sync', '--no-instructions'], { ...server.owner, cwd: server.folder, stdio: ['ignore', 'ignore', 'inherit'] });
    const code = await within(30000, new Promise((done) => initdb.once('exit', done)), 'end of initdb');
    truth(code === 0, `initdb left with ${code}`);
    await server.run();
    return server;
  }

  /** How sio-authd names database `name`; by TCP, or with `unix` by the Unix socket. */
  url(name = 'postgres', { unix = false, user = 'app' } = {}) {
    return unix ? `postgresql:///${name}?host=${this.folder}&port=${this.port}&user=${user}`
      : `postgresql://${user}@127.0.0.1:${this.port}/${name}`;
  }

  async run() {
    const output = openSync(join(this.folder, 'postgres.log'), 'a');
    this.child = spawn(join(programs, 'postgres'), ['-D', join(this.folder, 'data'), '-p', String(this.port),
      '-c', 'listen_addresses=127.0.0.1', '-c', `unix_socket_directories=${this.folder}`, '-c', 'fsync=off',
      '-c', 'full_page_writes=off', '-c', 'max_connections=60', '-c', 'shared_buffers=16MB', '-c', 'autovacuum=off'],
    { ...this.owner, cwd: this.folder, stdio: ['ignore', output, output] });
    closeSync(output);
    const { child } = this;
    alive.add(child);
    this.exited = new Promise((done) => child.once('exit', () => { alive.delete(child); done(); }));
    child.once('error', () => {});
    await until(10000, async () => {
      truth(child.exitCode === null, `postgres left: ${this.log()}`);
      const client = new pg.Client({ connectionString: this.url() });
      client.on('error', () => {});
      try {
        await client.connect();
        return true;
      } catch {
        return false;
      } finally {
        await client.end().catch(() => {});
      }
    }, 'start of postgres');
  }

  log() { return readFileSync(join(this.folder, 'postgres.log'), 'utf8').slice(-500); }

  async database(name) {
    const client = await this.client('postgres');
    await client.query(`CREATE DATABASE ${name}`);
  }

  /** A pg.Pool of the tests' own, which outlives restarts of the server; ended by end(). */
  async client(name = 'postgres') {
    const pool = new pg.Pool({ connectionString: this.url(name), max: 2 });
    pool.on('error', () => {});
    this.clients.push(pool);
    return pool;
  }

  /** SIGINT: a fast shutdown, as systemd does it. */
  async stop(signal = 'SIGINT') {
    this.child.kill(signal);
    await within(10000, this.exited, 'end of postgres');
  }

  /** The postmaster and all that it has started. */
  pids() {
    const children = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).filter((pid) => {
      try {
        return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ')[1]) === this.child.pid;
      } catch {
        return false;
      }
    }).map(Number);
    return [this.child.pid, ...children];
  }

  freeze() {
    this.frozen = this.pids();
    for (const pid of this.frozen) process.kill(pid, 'SIGSTOP');
  }

  thaw() {
    for (const pid of this.frozen ?? []) { try { process.kill(pid, 'SIGCONT'); } catch { /* it has gone */ } }
    this.frozen = null;
  }

  async end() {
    this.thaw();
    await Promise.race([Promise.all(this.clients.map((pool) => pool.end().catch(() => {}))), sleep(1000)]);
    if (this.child.exitCode === null && this.child.signalCode === null) await this.stop('SIGQUIT').catch(() => {});
    rmSync(this.folder, { recursive: true, force: true });
  }
}
