// What all integration tests share: counting named steps, and starting a server to run them on.
//
// A test file starts a server with `startServer`, runs steps with a `Checks`, and leaves with `checks.end(server)`.
// With `--reference` on its command line the server is the Node reference instead of the gateway, and a step
// marked `nodeFails` is one in which Node itself is known to let a client down.

import { fork, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import http from 'node:http';
import { existsSync, mkdtempSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';

export const here = resolve(dirname(fileURLToPath(import.meta.url)), '..');
export const root = resolve(here, '../..');
export const onReference = process.argv.includes('--reference');

export const gatewayBinary = process.env.SIO_GATEWAY ?? join(root, 'bin/sio-gateway');
export const sioctlBinary = process.env.SIOCTL ?? join(root, 'bin/sioctl');

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Throws an Error that names both values when they differ. */
export function same(got, want, what = 'value') {
  if (!isDeepStrictEqual(got, want)) {
    const text = (v) => {
      const s = typeof v === 'string' ? JSON.stringify(v) : JSON.stringify(v) ?? String(v);
      return s.length > 300 ? s.slice(0, 300) + `… (${s.length})` : s;
    };
    throw new Error(`${what}: got ${text(got)}, want ${text(want)}`);
  }
}

export function truth(condition, what) {
  if (!condition) throw new Error(what);
}

/** Resolves as `promise` does, or rejects after `ms` milliseconds naming `what`. */
export function within(ms, promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Polls `condition` until it gives something true; rejects after `ms` milliseconds. */
export async function until(ms, condition, what) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`);
    await sleep(10);
  }
}

/** Counts named steps and prints a line for each. */
export class Checks {
  constructor(title) {
    this.title = title;
    this.passed = 0;
    this.failed = 0;
    this.known = 0;
    this.failures = [];
    // A client library that throws from a callback fails the file, and does not end it silently.
    process.on('uncaughtException', (error) => this.record('no uncaught exception', error));
    process.on('unhandledRejection', (error) => this.record('no unhandled rejection', error));
  }

  /** Counts one step; `error` is null when it passed. `nodeFails`: on the reference its failure is known. */
  record(name, error, { nodeFails = false } = {}) {
    if (!error) {
      this.passed += 1;
      console.log(`ok    ${this.title}: ${name}`);
    } else if (onReference && nodeFails) {
      this.known += 1;
      console.log(`known ${this.title}: ${name}: ${error.message ?? error}`);
    } else {
      this.failed += 1;
      this.failures.push(name);
      console.log(`FAIL  ${this.title}: ${name}: ${error.message ?? error}`);
    }
  }

  /** Runs `body` as the step `name`, for at most `timeout` milliseconds (10 s). Gives whether it passed. */
  async step(name, body, options = {}) {
    try {
      await within(options.timeout ?? 10000, (async () => body())(), 'step');
      this.record(name, null, options);
      return true;
    } catch (error) {
      this.record(name, error, options);
      return false;
    }
  }

  /** A step that only the gateway is asked for: its own options, not the protocol's. */
  async ours(name, body, options = {}) {
    if (onReference) return true;
    return this.step(name, body, options);
  }

  /** Stops the servers, prints the count alone on the last line and leaves. */
  async end(...servers) {
    for (const server of servers.flat()) {
      await server.leave();
      const complaint = server.complaint();
      if (complaint) this.record('no server crashes or trips a sanitizer', new Error(complaint));
      if (this.failed > 0 && server.log()) {
        console.log(`---- log of the server (${this.title}), last lines ----`);
        console.log(server.log().split('\n').slice(-25).join('\n'));
      }
      await server.stop();
    }
    if (this.known > 0) console.log(`${this.known} known failures of the reference (not counted)`);
    console.log(`${this.passed} passed, ${this.failed} failed`);
    process.exit(this.failed ? 1 : 0);
  }
}

/** What a file needs before its first step; when it fails the file ends. */
export async function setup(checks, body) {
  try {
    return await body();
  } catch (error) {
    checks.record('the servers start', error);
    console.log(`${checks.passed} passed, ${checks.failed} failed`);
    return process.exit(1);
  }
}

/** A TCP port that was free on both loopbacks a moment ago. */
export async function freePort() {
  for (;;) {
    const listen = (port, host) => new Promise((done) => {
      const server = createServer();
      server.once('error', () => done(null));
      server.listen(port, host, () => {
        const taken = server.address().port;
        server.close(() => done(taken));
      });
    });
    const port = await listen(0, '127.0.0.1');
    if (port && await listen(port, '::1')) return port;
  }
}

const taken = new Set();
/**
 * A port of the loopback below the ephemeral range that was free a moment ago, and is nobody else's here: for servers that
 * are started again while clients try to reach them. A free port of that range would be the source of somebody's
 * connection by then; and a client that tries it again and again ends up connected to itself.
 */
export async function lowPort() {
  for (let tries = 0; tries < 200; tries += 1) {
    const port = 20000 + Math.floor(Math.random() * 12000);
    if (taken.has(port)) continue;
    const free = await new Promise((done) => {
      const server = createServer();
      server.once('error', () => done(false));
      server.listen(port, '127.0.0.1', () => server.close(() => done(true)));
    });
    if (free) { taken.add(port); return port; }
  }
  throw new Error('no free port below 32768');
}

/** One HTTP request of its own connection; gives {status, headers, body}. */
export function httpGet(url, { method = 'GET', headers = {}, body, timeout = 5000, localAddress } = {}) {
  return new Promise((done, fail) => {
    const request = http.request(url, { method, headers, agent: false, timeout, localAddress }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => done({
        status: response.statusCode, headers: response.headers, body: Buffer.concat(parts).toString(),
      }));
      response.on('error', fail);
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${timeout} ms`)));
    request.on('error', fail);
    request.end(body);
  });
}

const running = new Set();
process.on('exit', () => { for (const child of running) child.kill('SIGKILL'); });
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

/** A process under test with its output kept in a file of its own temporary folder. */
export class ServerProcess {
  constructor(folder, child, logPath, port) {
    Object.assign(this, { folder, child, logPath, port, exitCode: null, exitSignal: null });
    running.add(child);
    this.exited = new Promise((done) => child.once('exit', (code, signal) => {
      running.delete(child);
      this.exitCode = code;
      this.exitSignal = signal;
      this.exitedAt = Date.now();
      done(code);
    }));
    this.url = `http://127.0.0.1:${port}`;
    this.control = join(folder, 'gateway.sock');
  }

  log() { return existsSync(this.logPath) ? readFileSync(this.logPath, 'utf8') : ''; }

  /** Ends it as an operator in a hurry does, so that a sanitizer has its say. */
  async leave() {
    for (let i = 0; i < 2 && this.exitCode === null && this.exitSignal === null; i += 1) {
      this.child.kill('SIGTERM');
      await within(i === 0 ? 200 : 2000, this.exited, 'end of the server').catch(() => {});
    }
  }

  /** What is wrong with how it ended, or null. */
  complaint() {
    if (['SIGSEGV', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGILL'].includes(this.exitSignal)) return `it ended by ${this.exitSignal}`;
    return /^.*(ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:).*$/m.exec(this.log())?.[0] ?? null;
  }

  async stop() {
    if (this.exitCode === null && this.exitSignal === null) {
      this.child.kill('SIGKILL');
      await within(5000, this.exited, 'end of the server').catch(() => {});
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Sends an event as an operator would. `to` is a room or socket id, absent for everybody. */
  async emit(event, args, options = {}) { await this.emitMany([[event, ...args]], options); }

  /** Sends several events, each `[name, ...args]`, in their order and without a pause. */
  async emitMany(events, { to, nsp } = {}) {
    if (onReference) {
      const id = this.nextRequest = (this.nextRequest ?? 0) + 1;
      await within(5000, new Promise((done) => {
        const take = (message) => {
          if (message.id === id) { this.child.off('message', take); done(); }
        };
        this.child.on('message', take);
        this.child.send({ id, op: 'emit', events, to, nsp });
      }), 'emit through the reference');
      return;
    }
    const args = ['--control', this.control, 'emit', '--stdin'];   // one JSON array per line
    if (to) args.push('--to', to);
    if (nsp) args.push('--nsp', nsp);
    await runCommand(sioctlBinary, args, events.map((event) => JSON.stringify(event)).join('\n') + '\n');
  }
}

/** Runs a command to its end with `input` on stdin; rejects unless it exits with 0. Gives its stdout. */
export function runCommand(command, args, input = '', { env = process.env, timeout = 10000, anyExit = false } = {}) {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { env, stdio: 'pipe' });
    running.add(child);
    let out = '';
    let err = '';
    const timer = setTimeout(() => child.kill('SIGKILL'), timeout);
    child.stdout.on('data', (part) => { out += part; });
    child.stderr.on('data', (part) => { err += part; });
    child.on('error', (error) => { clearTimeout(timer); running.delete(child); fail(error); });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      running.delete(child);
      if (anyExit) done({ code, signal, out, err });
      else if (code === 0) done(out);
      else fail(new Error(`${command} ${args.join(' ')}: exit ${code ?? signal}: ${err.trim() || out.trim()}`));
    });
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

/** The arguments with which tests start the gateway unless they say otherwise. */
export function gatewayArguments(port, folder) {
  return ['--port', String(port), '--host', '127.0.0.1', '--host', '::1', '--auth', 'none',
    '--routes', join(here, 'routes.json'), '--ping-interval', '1s', '--ping-timeout', '1s', '--recovery', 'auto',
    '--rate-limit', 'off', '--cors-origin', 'true', '--control', join(folder, 'gateway.sock'), '--log-level', 'error'];
}

/** Replaces the value of an option in an argument list, or adds it; `null` takes it out. */
function withOptions(args, options) {
  const out = [...args];
  for (const [name, value] of Object.entries(options)) {
    for (let at = out.indexOf(name); at >= 0; at = out.indexOf(name)) out.splice(at, 2);
    for (const one of value === null ? [] : [value].flat()) {
      out.push(name);
      if (one !== true) out.push(String(one));
    }
  }
  return out;
}

function spawnGateway({ folder, port, args, environment }) {
  const logPath = join(folder, 'output.log');
  const output = openSync(logPath, 'a');
  const child = spawn(gatewayBinary, args, { env: environment, stdio: ['ignore', output, output] });
  closeSync(output);
  return Object.assign(new ServerProcess(folder, child, logPath, port), { args, environment });
}

/** Starts a gateway that has ended again, with what it was started with: same port, folder and log. It is not ready yet. */
export const startAgain = (server) => spawnGateway(server);

/**
 * Starts the gateway and gives it once GET /ready answers 200 (`ready: false`: at once).
 *
 * `options`: flags over those of `gatewayArguments` (null removes one, true has no value); `env`: variables over the
 * environment (null removes one); `files`: texts by name, written into its folder first, which the word FOLDER stands
 * for in options and variables.
 */
export async function startGateway({ options = {}, env = {}, files = {}, ready = true, port = null } = {}) {
  truth(existsSync(gatewayBinary), `there is no ${gatewayBinary}; build it first, or give --reference`);
  const folder = mkdtempSync(join(tmpdir(), 'sio-it-'));
  port ??= await freePort();
  const fill = (value) => typeof value === 'string' ? value.replaceAll('FOLDER', folder) : value;
  const environment = { ...process.env };
  for (const [name, value] of Object.entries(env)) {
    if (value === null) delete environment[name];
    else environment[name] = fill(value);
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const filled = Object.fromEntries(Object.entries(options).map(
    ([name, value]) => [name, Array.isArray(value) ? value.map(fill) : fill(value)]));
  const server = spawnGateway({ folder, port, args: withOptions(gatewayArguments(port, folder), filled), environment });
  if (ready) {
    try {
      await until(5000, async () => {
        truth(server.exitCode === null, `gateway left with ${server.exitCode}: ${server.log().trim()}`);
        return (await httpGet(`${server.url}/ready`).catch(() => null))?.status === 200;
      }, 'GET /ready = 200');
    } catch (error) {
      error.message += `; log: ${server.log().trim().slice(-500)}`;
      await server.stop();
      throw error;
    }
  }
  return server;
}

/** Starts the Node reference with the same events. `settings` are passed to it as they are. */
export async function startReference(settings = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'sio-it-'));
  const logPath = join(folder, 'output.log');
  const output = openSync(logPath, 'a');
  const port = await freePort();
  const child = fork(join(here, 'reference.mjs'), [String(port), JSON.stringify(settings)],
    { stdio: ['ignore', output, output, 'ipc'] });
  closeSync(output);
  const server = new ServerProcess(folder, child, logPath, port);
  await until(5000, async () => (await httpGet(`${server.url}/ready`).catch(() => null))?.status === 200,
    'start of the reference');
  return server;
}

/** The server that the command line asks for. */
export function startServer({ options = {}, env = {}, settings = {} } = {}) {
  return onReference ? startReference(settings) : startGateway({ options, env });
}
