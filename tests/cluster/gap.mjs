// A gateway that was away longer than the stream keeps knows that it has missed entries, and says so.

import { Checks, httpGet, same, startGateway, truth, until } from '../integration/lib/harness.mjs';
import { TestClient } from './lib/client.mjs';
import { clusterOptions } from './lib/cluster.mjs';
import { RedisServer } from './lib/redis.mjs';

const checks = new Checks('gap');
const redis = await RedisServer.start({});
const client = redis.client();
const server = await startGateway({ options: { ...clusterOptions(redis.url, 'one'), '--rate-limit': 'off' } });
const ready = async () => JSON.parse((await httpGet(`${server.url}/ready`)).body);
const metric = async (name) => {
  const { body } = await httpGet(`${server.url}/metrics`, { headers: { Accept: 'text/plain' } });
  return Number(new RegExp(`^${name} (.*)$`, 'm').exec(body)?.[1]);
};
const entry = (number) => ['uid', 'emitter', 'nsp', '/', 'type', '3', 'data',
  JSON.stringify({ packet: { type: 2, data: ['n', number], nsp: '/' }, opts: { rooms: [], flags: {}, except: [] } })];
const add = async (from, count, most) => {
  for (let i = from; i < from + count; i += 500) {
    const pipeline = client.pipeline();
    for (let k = i; k < Math.min(i + 500, from + count); k += 1) pipeline.xadd('socket.io', 'MAXLEN', '=', most, '*', ...entry(k));
    await pipeline.exec();
  }
};

await until(3000, async () => (await ready()).status === 'ok', 'the gateway to be ready');
const listener = await TestClient.connect({ url: server.url }, { name: 'listener' });

await checks.step('what is trimmed after it was read is no gap', async () => {
  for (let i = 0; i < 1600; i += 80) {
    await add(i, 80, 100);
    await listener.waitFor('n', i + 80, 3000);
  }
  await new Promise((done) => { setTimeout(done, 7000); });
  same(await metric('sio_stream_entries_missed_total'), 0, 'entries missed');
  same((await ready()).status, 'ok', 'status');
});

await checks.step('what is trimmed before it was read is counted, and named by /ready', async () => {
  process.kill(server.child.pid, 'SIGSTOP');
  await add(3000, 4000, 50);
  process.kill(server.child.pid, 'SIGCONT');
  await until(12000, async () => await metric('sio_stream_gaps_total') > 0, 'the gap to be noticed');
  const missed = await metric('sio_stream_entries_missed_total');
  truth(missed > 2000 && missed < 4000, `${missed} entries missed`);
  const { checks: all } = await ready();
  same(all.stream.ok, false, 'the check of the stream');
  truth(/trimmed before they were read/.test(all.stream.detail), all.stream.detail);
});

await checks.step('it goes on with what comes, and counts no second gap', async () => {
  await add(9000, 10, 5000);
  await until(5000, () => listener.of('n').some(({ args }) => args[0] === 9009), 'the last number');
  await new Promise((done) => { setTimeout(done, 7000); });
  same(await metric('sio_stream_gaps_total'), 1, 'gaps');
});

listener.close();
client.disconnect();
await checks.end([server]);
