// A client that joins a room at a gateway which has just started hears all that is said there from then on: also when it
// was quicker than the gateway's way to Redis, and when Redis came later than both.

import { Checks, same, sleep, startGateway, truth, until } from '../integration/lib/harness.mjs';
import { clusterOptions } from './lib/cluster.mjs';
import { RedisServer } from './lib/redis.mjs';
import { startWorker } from './lib/worker.mjs';
import { io } from 'socket.io-client';

const checks = new Checks('start');
const redis = await RedisServer.start({ keep: true });
const options = (name) => clusterOptions(redis.url, name);
const feeder = startWorker('feeder.mjs', { port: redis.port, rooms: 1, rate: 1000 });

/** A client that joins `room-0` as early as it can, and what it hears. */
function early(port) {
  const client = { heard: [] };
  client.socket = io(`http://127.0.0.1:${port}`, { transports: ['websocket'], forceNew: true, reconnectionDelay: 5, reconnectionDelayMax: 10, timeout: 1000 });
  client.socket.on('tick', (number) => client.heard.push(number));
  client.joined = new Promise((done) => {
    client.socket.once('connect', () => client.socket.emit('join', 'room-0', async () => { client.from = (await feeder.ask('last')).last['room-0']; done(); }));
  });
  return client;
}

/** Everything after `from` has been heard, once and in order, up to the last that was written. */
async function judge(client, last) {
  const after = () => client.heard.filter((number) => number > client.from);
  await until(8000, () => after().length >= last - client.from, `${last - client.from} events`).catch(() => {});
  const want = Array.from({ length: last - client.from }, (_, i) => client.from + 1 + i);
  const missing = want.filter((number) => !after().includes(number));
  same([missing.length, missing.slice(0, 5)], [0, []], `missing of ${want.length}`);
  same(after().slice(0, want.length), want, 'what was heard after the join');
}

await checks.step('a client that is there before the gateway has reached Redis', async () => {
  await feeder.ask('start');
  for (let round = 0; round < 8; round += 1) {
    const server = await startGateway({ options: options('one'), ready: false });
    const client = early(server.port);
    await client.joined;
    await sleep(400);
    const { last } = await feeder.ask('last');
    await judge(client, last['room-0']);
    client.socket.disconnect();
    await server.stop();
  }
  await feeder.ask('stop', {}, 10000);
}, { timeout: 60000 });

await checks.step('a client that is there before Redis is', async () => {
  for (let round = 0; round < 3; round += 1) {
    await redis.stop('SIGKILL');
    const server = await startGateway({ options: options('two'), ready: false });
    const client = early(server.port);
    await new Promise((done) => { client.socket.once('connect', () => client.socket.emit('join', 'room-0', done)); });
    const { last: before } = await feeder.ask('last');
    client.from = before['room-0'];
    await feeder.ask('start');   // what it writes waits for Redis, and is there before the gateway is
    await sleep(300);
    await redis.run();
    await until(8000, async () => (await fetch(`${server.url}/ready`)).status === 200, 'the gateway to be ready');
    const { last } = await feeder.ask('stop', {}, 10000);
    truth(last['room-0'] - client.from > 100, 'too little was written');
    await judge(client, last['room-0']);
    client.socket.disconnect();
    await server.stop();
  }
}, { timeout: 60000 });

feeder.end();
await checks.end([]);
await redis.end();
