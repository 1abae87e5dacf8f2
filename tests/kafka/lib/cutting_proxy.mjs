// A proxy before Redis that takes an answer away, or keeps it for a while.

import { createConnection, createServer } from 'node:net';

export class CuttingProxy {
  /** Listens on a free port of 127.0.0.1, before the Redis at `port`. */
  static async start(port) {
    const proxy = new CuttingProxy();
    proxy.sockets = new Set();
    proxy.marker = null;
    proxy.cuts = 0;
    proxy.held = null;
    proxy.askedAt = new Map();
    proxy.server = createServer((client) => proxy.join(client, createConnection(port, '127.0.0.1')));
    await new Promise((done) => proxy.server.listen(0, '127.0.0.1', done));
    return proxy;
  }

  get unixUrl() { return `redis://127.0.0.1:${this.server.address().port}/0`; }   // as a RedisServer is asked

  /** The next answer that contains this text never arrives: its connection is cut instead. */
  cutAt(marker) { this.marker = marker; }

  /** When a request that contains this text was last sent, in Date.now(); from the first call on. */
  lastAsked(marker) {
    if (!this.askedAt.has(marker)) this.askedAt.set(marker, 0);
    return this.askedAt.get(marker);
  }

  /** Answers on connections that send a request with this text from now on are kept until release(). */
  hold(marker) { this.held = { marker, connections: new Map() }; }

  release() {
    const { connections } = this.held;
    this.held = null;
    for (const [client, answers] of connections) for (const bytes of answers) client.write(bytes);
  }

  join(client, server) {
    const end = () => { client.destroy(); server.destroy(); this.sockets.delete(client); };
    this.sockets.add(client);
    for (const socket of [client, server]) { socket.on('error', end); socket.on('close', end); }
    client.on('data', (bytes) => {
      for (const marker of this.askedAt.keys()) if (bytes.includes(marker)) this.askedAt.set(marker, Date.now());
      if (this.held && bytes.includes(this.held.marker) && !this.held.connections.has(client)) this.held.connections.set(client, []);
      server.write(bytes);
    });
    server.on('data', (bytes) => {
      const kept = this.held?.connections.get(client);
      if (kept) return kept.push(bytes);
      if (this.marker !== null && bytes.includes(this.marker)) {
        this.marker = null;
        this.cuts += 1;
        return end();
      }
      return client.write(bytes);
    });
  }

  end() {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }
}
