// A TCP balancer without affinity: each connection goes to the next server that takes it.

import { createConnection, createServer } from 'node:net';

export class Balancer {
  /** `ports`: where the servers listen on the loopback; may be changed at any time. */
  static async start(ports) {
    const balancer = new Balancer();
    Object.assign(balancer, { ports: [...ports], turn: 0, pairs: new Set(), passed: 0 });
    balancer.server = createServer({ noDelay: true }, (client) => balancer.pass(client, balancer.ports.length));
    await new Promise((done) => balancer.server.listen(0, '127.0.0.1', 1024, done));
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
      const pair = { client, server };
      this.pairs.add(pair);
      client.pipe(server);
      server.pipe(client);
      client.on('close', () => { this.pairs.delete(pair); server.destroy(); });
      server.on('close', () => client.destroy());
      if (client.destroyed) server.destroy();
    });
    server.on('error', () => { if (!connected) this.pass(client, attempts - 1); });
  }

  close() {
    this.server.close();
    for (const { client, server } of this.pairs) { client.destroy(); server.destroy(); }
  }
}
