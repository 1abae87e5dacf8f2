// A proxy before Redis that takes an answer away: a connection is cut when what it waits for comes.

import { createConnection, createServer } from 'node:net';

export class CuttingProxy {
  /** Listens on a free port of 127.0.0.1, before the Redis at `port`. */
  static async start(port) {
    const proxy = new CuttingProxy();
    proxy.sockets = new Set();
    proxy.marker = null;
    proxy.cuts = 0;
    proxy.server = createServer((client) => proxy.join(client, createConnection(port, '127.0.0.1')));
    await new Promise((done) => proxy.server.listen(0, '127.0.0.1', done));
    return proxy;
  }

  get unixUrl() { return `redis://127.0.0.1:${this.server.address().port}/0`; }   // as a RedisServer is asked

  /** The next answer that contains this text never arrives: its connection is cut instead. */
  cutAt(marker) { this.marker = marker; }

  join(client, server) {
    const end = () => { client.destroy(); server.destroy(); this.sockets.delete(client); };
    this.sockets.add(client);
    for (const socket of [client, server]) { socket.on('error', end); socket.on('close', end); }
    client.on('data', (bytes) => server.write(bytes));
    server.on('data', (bytes) => {
      if (this.marker !== null && bytes.includes(this.marker)) {
        this.marker = null;
        this.cuts += 1;
        end();
        return;
      }
      client.write(bytes);
    });
  }

  end() {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }
}
