// A daemon that speaks the control protocol (doc/protocol/admin.md) and does what a test tells it: for the answers a real
// gateway gives only when something is wrong, or only in a cluster.

import net from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Listens on a Unix socket in a folder of its own. `answers` maps a command to what answers it: an object of members, or
 * a function `(request, connection) => members`; a result with `error` is a refusal, one that is undefined no answer.
 * `greeting` replaces members of the greeting; null: it says nothing; a text: it says just that.
 */
export class FakeGateway {
  constructor({ answers = {}, greeting = {} } = {}) {
    this.answers = answers;
    this.greeting = greeting;
    this.requests = [];
    this.connections = new Set();
    this.folder = mkdtempSync(join(tmpdir(), 'sio-fake-'));
    this.path = join(this.folder, 'gateway.sock');
  }

  async start() {
    this.server = net.createServer((socket) => this.accept(socket));
    await new Promise((done) => this.server.listen(this.path, done));
    return this;
  }

  accept(socket) {
    const connection = {
      socket,
      hello: null,
      send: (line) => socket.write(`${JSON.stringify(line)}\n`),
      raw: (text) => socket.write(text),
      end: () => socket.end(),
    };
    this.connections.add(connection);
    socket.on('error', () => {});
    socket.on('close', () => this.connections.delete(connection));
    if (typeof this.greeting === 'string') connection.raw(this.greeting);
    else if (this.greeting) {
      connection.send({
        sio: 'admin', major: 1, minor: 0, program: 'sio-gateway', version: '0.1.0', pid: 1, node: 'a#1', ...this.greeting,
      });
    }
    let rest = '';
    socket.setEncoding('utf8');
    socket.on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      for (const line of lines) this.take(connection, JSON.parse(line));
    });
  }

  take(connection, line) {
    if (!connection.hello) {
      connection.hello = line;
      return;
    }
    this.requests.push(line);
    const known = this.answers[line.cmd];
    const result = typeof known === 'function' ? known(line, connection) : known;
    if (!(line.cmd in this.answers)) {
      connection.send({ id: line.id, ok: false, error: { code: 'unknown_command', message: `no command ${line.cmd}` } });
    } else if (result?.error) connection.send({ id: line.id, ok: false, ...result });
    else if (result) connection.send({ id: line.id, ok: true, ...result });
  }

  async stop() {
    for (const connection of this.connections) connection.socket.destroy();
    await new Promise((done) => this.server.close(done));
    rmSync(this.folder, { recursive: true, force: true });
  }
}
