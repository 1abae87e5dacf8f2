// The Node reference server with the events that the tests need: node reference.mjs PORT [SETTINGS as JSON]
//
// On / and /custom: `echo` acks its arguments; `echo-event` emits itself back with them; `whoami` acks who the socket
// is; `ask-me` emits `question` with its arguments and an ack, then `answered` with the answer; `burst` n emits
// `tick` 0 … n-1; `kick` disconnects and closes; `drop` closes the transport only. /forbidden refuses.
//
// SETTINGS: options of the Socket.IO server over the defaults below.

import { createServer } from 'node:http';
import { Server } from 'socket.io';

const port = Number(process.argv[2]);
const settings = JSON.parse(process.argv[3] ?? '{}');

const http = createServer((request, response) => {
  response.statusCode = request.url === '/ready' ? 200 : 404;
  response.end();
});
const io = new Server(http, {
  pingInterval: 1000, pingTimeout: 1000, connectionStateRecovery: {}, cors: { origin: true, credentials: true },
  ...settings,
});

function serve(socket) {
  socket.on('echo', (...args) => args.at(-1)(...args.slice(0, -1)));
  socket.on('echo-event', (...args) => socket.emit('echo-event', ...args));
  socket.on('whoami', (ack) => ack({
    auth: socket.handshake.auth, namespace: socket.nsp.name, sid: socket.id,
    transport: socket.conn.transport.name, recovered: socket.recovered,
  }));
  socket.on('ask-me', (...args) => {
    socket.emit('question', ...args, (...answer) => socket.emit('answered', ...answer));
  });
  socket.on('burst', (n) => { for (let i = 0; i < n; i += 1) socket.emit('tick', i); });
  socket.on('kick', () => socket.disconnect(true));
  socket.on('drop', (text) => {
    socket.conn.close();
    if (typeof text === 'string') setTimeout(() => io.of(socket.nsp.name).to(socket.id).emit('missed', text), 100);
  });
}

io.on('connection', serve);
io.of('/custom').on('connection', serve);
io.of('/forbidden').use((socket, next) => {
  next(Object.assign(new Error('nope'), { data: { code: 42 } }));
});

process.on('message', ({ id, op, events, to, nsp }) => {
  const namespace = io.of(nsp ?? '/');
  if (op === 'emit') for (const event of events) (to ? namespace.to(to) : namespace).emit(...event);
  process.send({ id });
});
process.on('disconnect', () => process.exit(0));

http.listen(port, '127.0.0.1', () => { if (!process.send) console.log(`listening on ${port}`); });
