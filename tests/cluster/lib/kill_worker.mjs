// Many stock clients in a process of their own, for kill.mjs: kill_worker.mjs SETTINGS as JSON, forked.
//
// SETTINGS: `url`; `from` and `count`, the numbers of its clients; `rooms`; `away`, milliseconds that a client which
// was cut stays away. Messages from the parent, each answered with one of the same `op`: `connect`; `cut` {client};
// `report` {last}, the last number of each room: what every client has got.

import { io } from 'socket.io-client';
import { serve } from '../../support/workers.mjs';

const { url, from, count, rooms, away } = JSON.parse(process.argv[2]);
const clients = [];

/** A client numbers what it has of its room: every message is `[number]`. */
function start(i) {
  const room = `room-${i % rooms}`;
  const client = {
    i, room, last: 0, got: 0, twice: 0, disorder: 0, silent: 0, told: 0, anew: 0, returns: 0, gapAllowed: false, seen: new Set(), errors: 0,
    notes: [],
  };
  client.socket = io(url, {
    transports: ['websocket'], forceNew: true, reconnectionDelay: away, reconnectionDelayMax: away, randomizationFactor: 0.3,
  });
  client.socket.on('tick', (number) => {
    client.got += 1;
    if (client.seen.has(number)) {
      client.twice += 1;
      if (client.notes.length < 3) client.notes.push(`${number} twice, last ${client.last}, returned ${client.returns} times`);
      return;
    }
    client.seen.add(number);
    if (number < client.last) {
      client.disorder += 1;
      if (client.notes.length < 3) client.notes.push(`${number} after ${client.last}`);
      return;
    }
    const gap = number - client.last - 1;
    if (gap > 0) {
      if (client.gapAllowed) client.told += gap;
      else {
        client.silent += gap;
        if (client.notes.length < 3) client.notes.push(`${gap} missing before ${number}, returned ${client.returns} times`);
      }
    }
    client.gapAllowed = false;
    client.last = number;
  });
  client.socket.on('connect_error', () => { client.errors += 1; });
  client.ready = new Promise((done) => {
    client.socket.on('connect', () => {
      if (client.joined) client.returns += 1;
      if (client.socket.recovered) return;
      // It is told that it begins anew: what it missed is not recovered, but not lost in silence either.
      if (client.joined) { client.anew += 1; client.gapAllowed = true; }
      client.socket.emit('join', room, () => { client.joined = true; done(); });
    });
  });
  return client;
}

const operations = {
  async connect() {
    for (let i = from; i < from + count; i += 1) {
      clients.push(start(i));
      // A burst of handshakes is not what this is about.
      if (clients.length % 20 === 0) await Promise.all(clients.slice(-20).map(({ ready }) => ready));
    }
    await Promise.all(clients.map(({ ready }) => ready));
    return { connected: clients.length };
  },
  cut({ client }) {
    const { socket } = clients[client - from];
    if (!socket.connected) return { cut: false };
    const ws = socket.io.engine.transport.ws;
    (ws._socket ?? ws).destroy?.();
    return { cut: true };
  },
  pending: ({ last }) => ({ pending: clients.filter((client) => !client.socket.connected || (client.last < last[client.room] && !client.gapAllowed)).length }),
  report({ last }) {
    return {
      clients: clients.map(({ i, room, got, twice, disorder, silent, told, anew, returns, errors, gapAllowed, notes, last: mine, socket }) => {
        const tail = last[room] - mine;
        return {
          i, room, got, twice, disorder, anew, returns, errors, notes, connected: socket.connected,
          silent: silent + (gapAllowed ? 0 : tail), told: told + (gapAllowed ? tail : 0),
        };
      }),
    };
  },
};

serve(operations);
