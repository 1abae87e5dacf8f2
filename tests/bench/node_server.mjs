// The peer that stock clients know: socket.io on ws, with the handlers every server of this bench has.
// Usage: node node_server.mjs PORT
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const port = Number(process.argv[2]);
const http_server = createServer();
const io = new Server(http_server, { perMessageDeflate: false });

io.on('connection', (socket) => {
    socket.join('all-room');
    socket.on('message', (...args) => socket.emit('message', ...args));
    socket.on('message-with-ack', (...args) => {
        const acknowledge = args.pop();
        acknowledge(...args);
    });
    socket.on('broadcast', (...args) => io.emit('broadcast', ...args));
});

http_server.listen({ port, host: '127.0.0.1', backlog: 4096 });
process.on('SIGTERM', () => process.exit(0));
