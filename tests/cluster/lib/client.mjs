// A stock client that writes down what it receives.

import { Manager } from 'socket.io-client';
import { until, within } from '../../integration/lib/harness.mjs';

const isOffset = (value) => typeof value === 'string' && /^[0-9]+-[0-9]+$/.test(value);

export class TestClient {
  /**
   * Joins a namespace of a member. `manager`: the connection of another client to share. `answer`: what it
   * acknowledges with, called with the arguments of an event that wants that.
   */
  static async connect(member, {
    name = '', nsp = '/', rooms = [], auth = {}, transports = ['websocket'], manager = null, answer = null, options = {},
  } = {}) {
    const client = new TestClient();
    const ownManager = manager === null;
    manager ??= new Manager(member.url, {
      transports, reconnectionDelay: 100, reconnectionDelayMax: 500, randomizationFactor: 0.2, autoConnect: false, ...options,
    });
    Object.assign(client, { member, name, nsp, rooms, manager, ownManager, received: [], disconnects: [], connects: [] });
    client.socket = manager.socket(nsp, { auth });
    client.socket.onAny((event, ...args) => {
      if (typeof args.at(-1) === 'function') {
        const ack = args.pop();
        client.received.push({ event, args });
        const value = answer?.(...args);
        if (value !== undefined) ack(value);
        return;
      }
      // With recovery a server appends the offset, and the client leaves it there.
      const offset = isOffset(args.at(-1)) ? args.pop() : null;
      client.received.push({ event, args, offset });
    });
    client.socket.on('disconnect', (reason) => client.disconnects.push(reason));
    client.socket.on('connect', () => client.connects.push({ sid: client.socket.id, recovered: client.socket.recovered }));
    if (ownManager) manager.open();
    client.socket.connect();
    await within(5000, new Promise((done, fail) => {
      client.socket.once('connect', done);
      client.socket.once('connect_error', (error) => { if (!client.socket.active) fail(error); });
    }), `${name || 'client'} to connect to ${member.name}`);
    for (const room of rooms) await client.ask('join', room);
    return client;
  }

  get sid() { return this.socket.id; }

  ask(event, ...args) { return within(3000, this.socket.emitWithAck(event, ...args), `answer to ${event}`); }

  /** All it received of one event. */
  of(event) { return this.received.filter((entry) => entry.event === event); }

  waitFor(event, count = 1, ms = 2000) {
    return until(ms, () => this.of(event).length >= count, `${this.name || 'client'}: ${count} of "${event}"`);
  }

  /** Cuts the connection as a network does; the client comes back by itself, at `member` if given. */
  cut(member = null) {
    if (member) this.manager.uri = member.url;
    this.manager.engine.close();
  }

  close() {
    this.socket.disconnect();
    if (this.ownManager) this.manager._close();
  }
}
