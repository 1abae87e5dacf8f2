// A TCP balancer without affinity: each connection goes to the next server that takes it. It can cut connections, and
// leave them half open.

import { createConnection, createServer } from 'node:net';

export class Balancer {
  /** `ports`: where the servers listen on the loopback; may be changed at any time. `port`: its own, 0: any. */
  static async start(ports, { port = 0 } = {}) {
    const balancer = new Balancer();
    Object.assign(balancer, { ports: [...ports], turn: 0, pairs: new Set(), passed: 0, isSwallowing: false });
    balancer.server = createServer({ noDelay: true }, (client) => balancer.pass(client, balancer.ports.length));
    await new Promise((done) => balancer.server.listen(port, '127.0.0.1', 1024, done));
    balancer.port = balancer.server.address().port;
    balancer.url = `http://127.0.0.1:${balancer.port}`;
    return balancer;
  }

  pass(client, attempts) {
    client.on('error', () => {});
    if (attempts === 0 || client.destroyed) { client.destroy(); return; }
    this.turn = (this.turn + 1) % this.ports.length;
    const server = createConnection({ port: this.ports[this.turn], host: '127.0.0.1', noDelay: true });
    let connected = false;
    server.on('connect', () => {
      connected = true;
      this.passed += 1;
      const pair = { client, server, isSwallowed: false };
      this.pairs.add(pair);
      client.pipe(server);
      server.pipe(client);
      client.on('close', () => { if (!pair.isSwallowed) this.drop(pair); });
      server.on('close', () => { if (!pair.isSwallowed) this.drop(pair); });
      if (client.destroyed) this.drop(pair);
      else if (this.isSwallowing) this.swallow([pair]);
    });
    server.on('error', () => { if (!connected) this.pass(client, attempts - 1); });
  }

  /** A share of the connections, from 0 to 1, that `next()` draws. */
  some(share, next = Math.random) { return [...this.pairs].filter(() => share >= 1 || next() < share); }

  /** Cuts connections; both ends see it at once. */
  drop(...pairs) {
    for (const pair of pairs) {
      this.pairs.delete(pair);
      pair.client.destroy();
      pair.server.destroy();
    }
  }

  /** Makes connections half open: both ends stay, and may write, but nothing arrives, nor that the other one closes. */
  swallow(pairs) {
    for (const pair of pairs) {
      pair.isSwallowed = true;
      for (const [one, other] of [[pair.client, pair.server], [pair.server, pair.client]]) {
        one.unpipe(other);
        one.resume();
      }
    }
  }

  close() {
    this.server.close();
    this.drop(...this.pairs);
  }
}
