// The peer of tests/bench/cluster: socket.io with @socket.io/redis-streams-adapter, or alone without a Redis.
// Usage: node cluster_node.mjs PORT RECOVERY [REDIS_SOCKET]; RECOVERY is on or off.
import { createServer } from 'node:http';
import { createAdapter } from '@socket.io/redis-streams-adapter';
import Redis from 'ioredis';
import { Server } from 'socket.io';

const [port, recovery, redisSocket] = process.argv.slice(2);
const redis = redisSocket ? new Redis({ path: redisSocket }) : null;
if (redis) {
    // As in tests/cluster: ioredis's INFO on a connection that has subscribed by then ends the process.
    const duplicate = redis.duplicate.bind(redis);
    redis.duplicate = (options) => duplicate({ ...options, enableReadyCheck: false });
}
const http_server = createServer((_, response) => {
    response.statusCode = !redis || redis.status === 'ready' ? 200 : 503;
    response.end();
});
const io = new Server(http_server, {
    perMessageDeflate: false,
    pingInterval: 300_000,
    ...(redis && { adapter: createAdapter(redis) }),
    ...(recovery === 'on' && { connectionStateRecovery: { maxDisconnectionDuration: 120_000 } }),
});

io.on('connection', (socket) => {
    socket.join('all-room');
    socket.on('broadcast', (...args) => io.emit('broadcast', ...args));
});

http_server.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 });
process.on('SIGTERM', () => process.exit(0));
