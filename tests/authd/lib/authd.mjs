// A sio-authd for tests, and a client of its socket (doc/protocol/auth.md).

import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ServerProcess, root, truth, until, within } from '../../integration/lib/harness.mjs';

const folderOfPrograms = process.env.SIO_BIN ?? join(root, 'bin');
export const authdBinary = join(folderOfPrograms, 'sio-authd');

/** Secrets of the tests, newest first; each long enough for every use. */
export const secret = 'the-newest-secret-of-the-tests-0123456789';
export const oldSecret = 'the-secret-before-it-of-the-tests-9876543210';
export const foreignSecret = 'a-secret-that-the-daemon-has-never-heard-of';
/** The page whose cookies count. */
export const page = 'https://app.example.com';

// What would change the daemon's configuration behind the tests' back.
const foreignVariables = ['AUTH_SECRET', 'NEXTAUTH_SECRET', 'DATABASE_URL', 'REDIS_URL', 'REDIS_HOST', 'SIO_AUTHD',
  'SOCKET_IO_CORS_ORIGIN', 'CREDENTIALS_DIRECTORY', 'NOTIFY_SOCKET', 'LOG_LEVEL', 'DEBUG'];

function cleanEnvironment(extra) {
  const environment = { ...process.env };
  for (const name of foreignVariables) delete environment[name];
  for (const [name, value] of Object.entries(extra)) {
    if (value === null) delete environment[name];
    else environment[name] = value;
  }
  return environment;
}

/** One connection to the socket of a sio-authd. */
export class AuthClient {
  static async connect(path, { greet = true } = {}) {
    const client = new AuthClient();
    Object.assign(client, { waiting: new Map(), next: 0, events: [], greeting: null, closed: false, refusals: [], wakers: new Set() });
    client.socket = createConnection(path);
    client.socket.setEncoding('utf8');
    let text = '';
    const greeted = new Promise((done, fail) => {
      client.socket.once('error', fail);
      client.socket.once('close', () => fail(new Error('closed before the greeting')));
      client.socket.on('data', (part) => {
        text += part;
        let start = 0;
        for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
          const line = JSON.parse(text.slice(start, end));
          start = end + 1;
          if (line.sio === 'admin' && !client.greeting) { client.greeting = line; done(); } else client.take(line);
        }
        text = text.slice(start);
      });
    });
    client.socket.on('error', () => {});
    client.ended = new Promise((done) => client.socket.once('close', () => {
      client.closed = true;
      for (const { fail } of client.waiting.values()) fail(new Error('the socket of sio-authd was closed'));
      client.waiting.clear();
      done();
    }));
    await within(3000, greeted, 'greeting of sio-authd');
    if (greet) client.socket.write('{"sio":"admin","major":1,"minor":0}\n');
    return client;
  }

  take(line) {
    if (line.event !== undefined) { this.events.push(line); return; }
    const waiting = this.waiting.get(line.id);
    if (!waiting) { this.refusals.push(line); return; }
    this.waiting.delete(line.id);
    if (line.ok) waiting.done(line);
    else waiting.fail(Object.assign(new Error(`${line.error?.code}: ${line.error?.message}`), { code: line.error?.code, line }));
  }

  request(cmd, members = {}, { timeout = 10000 } = {}) {
    this.next += 1;
    const id = this.next;
    const answer = new Promise((done, fail) => { this.waiting.set(id, { done, fail }); });
    this.socket.write(`${JSON.stringify({ id, cmd, ...members })}\n`);
    return within(timeout, answer, `answer to ${cmd}`);
  }

  authenticate(members) { return this.request('authenticate', members); }
  verify(members) { return this.request('verify', members); }

  /** Waits for an unasked line that has these members. */
  pushed(members, ms = 2000) {
    const matches = (line) => Object.entries(members).every(([name, value]) => line[name] === value);
    return until(ms, () => this.events.find(matches), `the line ${JSON.stringify(members)}`);
  }

  close() { this.socket.destroy(); }
}

/** A daemon in a temporary folder of its own, that can be killed and started again where it was. */
export class Authd extends ServerProcess {
  /**
   * `options`: flags over the defaults below; an array gives a flag several times, null takes it out; the word FOLDER
   * stands for its folder. `files`: texts by name, written into the folder. `secrets`: null for none.
   */
  static async start({ options = {}, env = {}, files = {}, secrets = [secret, oldSecret], ready = true } = {}) {
    truth(existsSync(authdBinary), `there is no ${authdBinary}; build it first`);
    const folder = mkdtempSync(join(tmpdir(), 'sio-authd-'));
    const logPath = join(folder, 'output.log');
    const all = {
      '--control': join(folder, 'authd.sock'), '--log-level': 'info', '--origin': page,
      ...(secrets ? { '--secret-file': join(folder, 'secrets') } : {}), ...options,
    };
    const fill = (value) => (typeof value === 'string' ? value.replaceAll('FOLDER', folder) : String(value));
    const args = Object.entries(all).flatMap(([name, value]) => (value === null ? []
      : [value].flat().flatMap((one) => (one === true ? [name] : [name, fill(one)]))));
    if (secrets) writeFileSync(join(folder, 'secrets'), `${secrets.join('\n')}\n`, { mode: 0o600 });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o600 });
    const environment = cleanEnvironment(env);
    const daemon = new Authd(folder, Authd.spawn(args, environment, logPath), logPath, 0);
    Object.assign(daemon, { args, environment, control: join(folder, 'authd.sock'), clients: [] });
    if (ready) {
      try {
        await daemon.wellUp();
      } catch (error) {
        error.message += `; log: ${daemon.log().trim().slice(-500)}`;
        error.exitCode = daemon.exitCode;
        await daemon.stop();
        throw error;
      }
    }
    return daemon;
  }

  static spawn(args, environment, logPath) {
    const output = openSync(logPath, 'a');
    const child = spawn(authdBinary, args, { env: environment, stdio: ['ignore', output, output] });
    closeSync(output);
    return child;
  }

  /** Waits until it answers on its socket. */
  wellUp() {
    return until(5000, async () => {
      truth(this.exitCode === null && this.exitSignal === null, `sio-authd left with ${this.exitCode ?? this.exitSignal}`);
      const client = await AuthClient.connect(this.control).catch(() => null);
      client?.close();
      return client !== null;
    }, 'start of sio-authd');
  }

  async kill(signal = 'SIGKILL') {
    this.child.kill(signal);
    await within(5000, this.exited, 'end of sio-authd');
  }

  /** Starts it again with what it was started with, after kill(); gives the new process at once. */
  spawnAgain() {
    const fresh = new Authd(this.folder, Authd.spawn(this.args, this.environment, this.logPath), this.logPath, 0);
    return Object.assign(fresh, { args: this.args, environment: this.environment, control: this.control, clients: this.clients });
  }

  /** The same, once it answers. */
  async again() {
    const fresh = this.spawnAgain();
    await fresh.wellUp();
    return fresh;
  }

  write(name, text) { writeFileSync(join(this.folder, name), text, { mode: 0o600 }); }

  get alive() { return this.exitCode === null && this.exitSignal === null; }

  /** A connection of the tests' own; closed with the daemon. */
  async client() {
    const client = await AuthClient.connect(this.control);
    this.clients.push(client);
    return client;
  }

  async stop() {
    for (const client of this.clients) client.close();
    await super.stop();
  }
}
