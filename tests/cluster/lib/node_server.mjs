// A Node member of the cluster: node node_server.mjs PORT [SETTINGS as JSON], forked with an IPC channel.
//
// SETTINGS: `name`; `redis`, the port of Redis; `adapter` and `server`, options of the adapter and of Socket.IO over
// the defaults below. Clients' events are those of routes.json. A message {id, op, …} from the parent is answered
// with {id, value} or {id, error, partial}; the channel carries dates, undefined and binary as they are.

import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { createAdapter } from '@socket.io/redis-streams-adapter';
import { redisClient } from './redis.mjs';

const port = Number(process.argv[2]);
const settings = JSON.parse(process.argv[3] ?? '{}');
const redis = redisClient(settings.redis);
// ioredis asks a connection for INFO when it is up, and ends the process when the adapter has subscribed on it by then.
const duplicate = redis.duplicate.bind(redis);
redis.duplicate = (options) => duplicate({ ...options, enableReadyCheck: false });

const http = createServer((request, response) => {
  response.statusCode = ['/ready', '/live'].includes(request.url) ? 200 : 404;
  response.end();
});
const io = new Server(http, {
  pingInterval: 2000, pingTimeout: 4000, connectionStateRecovery: {}, cors: { origin: true },
  adapter: createAdapter(redis, settings.adapter ?? {}),
  ...settings.server,
});

const serverEvents = [];
for (const name of ['/', '/chat']) {
  const nsp = io.of(name);
  nsp.on('connection', (socket) => {
    socket.data.member = settings.name;
    socket.on('join', (room, ack) => { socket.join(room); ack(true); });
    socket.on('echo', (...args) => args.at(-1)(...args.slice(0, -1)));
    socket.on('say', (room, ...args) => socket.to(room).emit('said', room, ...args));
    socket.on('shout-here', (...args) => nsp.local.emit('shouted', ...args));
  });
  nsp.on('to-servers', (...args) => {
    const ack = typeof args.at(-1) === 'function' ? args.pop() : null;
    serverEvents.push({ nsp: name, args });
    ack?.({ from: settings.name, got: args });
  });
}

function select({ nsp = '/', rooms = [], except = [], volatile = false, local = false } = {}) {
  let operator = io.of(nsp).in(rooms).except(except);
  if (volatile) operator = operator.volatile;
  if (local) operator = operator.local;
  return operator;
}

/** A callback for (error, value) that settles a promise; an error carries what came in time. */
const settle = (run) => new Promise((done, fail) => {
  run((error, value) => (error ? fail(Object.assign(error, { partial: value })) : done(value)));
});

const operations = {
  emit: ({ target, event, args }) => { select(target).emit(event, ...args); },
  emitWithAck: ({ target, event, args, timeout }) =>
    settle((done) => select(target).timeout(timeout).emit(event, ...args, done)),
  async remoteEmitWithAck({ target, sid, event, args, timeout }) {
    const [socket] = await io.of(target.nsp ?? '/').in(sid).fetchSockets();
    if (!socket) throw new Error(`fetchSockets knows no ${sid}`);
    return settle((done) => socket.timeout(timeout).emit(event, ...args, done));
  },
  async fetchSockets({ target }) {
    const sockets = await select(target).fetchSockets();
    return sockets.map(({ id, rooms, handshake, data }) => ({ id, rooms: [...rooms], handshake: JSON.parse(JSON.stringify(handshake)), data }));
  },
  join: ({ target, rooms }) => { select(target).socketsJoin(rooms); },
  leave: ({ target, rooms }) => { select(target).socketsLeave(rooms); },
  disconnect: ({ target, close }) => { select(target).disconnectSockets(close); },
  serverSideEmit: ({ nsp, event, args }) => { io.of(nsp).serverSideEmit(event, ...args); },
  serverSideEmitWithAck: ({ nsp, event, args }) => settle((done) => io.of(nsp).serverSideEmit(event, ...args, done)),
  serverEvents: () => serverEvents,
  serverCount: ({ nsp }) => io.of(nsp).adapter.serverCount(),
};

process.on('message', async ({ id, op, ...members }) => {
  try {
    process.send({ id, value: await operations[op](members) });
  } catch (error) {
    process.send({ id, error: error.message, partial: error.partial });
  }
});
process.on('disconnect', () => process.exit(0));

http.listen(port, '127.0.0.1');
