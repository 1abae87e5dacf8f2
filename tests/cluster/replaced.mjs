// A stream that others delete, or that Redis evicts, while gateways read it: told as trimming is, and what is written to
// the stream that takes its place is delivered once, whatever its ids.

import { Checks, httpGet, same, sleep, startGateway, truth, until } from '../integration/lib/harness.mjs';
import { TestClient } from './lib/client.mjs';
import { clusterOptions } from './lib/cluster.mjs';
import { RedisServer } from './lib/redis.mjs';

const checks = new Checks('replaced');
const redis = await RedisServer.start({});
const client = redis.client();
const server = await startGateway({ options: { ...clusterOptions(redis.url, 'one'), '--rate-limit': 'off', '--log-level': 'info' } });
const ready = async () => JSON.parse((await httpGet(`${server.url}/ready`)).body);
const metric = async (name) => Number(new RegExp(`^${name} (.*)$`, 'm')
  .exec((await httpGet(`${server.url}/metrics`, { headers: { Accept: 'text/plain' } })).body)?.[1]);
let number = 0;
/** Commands that write `count` events, with ids from `ms`, or Redis's own. */
function add(count, ms = null) {
  const pipeline = client.multi();
  for (let i = 0; i < count; i += 1) {
    number += 1;
    pipeline.xadd('socket.io', ms === null ? '*' : `${ms + i}-0`, 'uid', 'emitter', 'nsp', '/', 'type', '3', 'data',
      JSON.stringify({ packet: { type: 2, data: ['n', number], nsp: '/' }, opts: { rooms: [], flags: {}, except: [] } }));
  }
  return pipeline;
}
const numbers = () => listener.of('n').map(({ args }) => args[0]);
const lines = () => server.log().split('\n').filter((line) => line.includes('stream_replaced')).length;

await until(3000, async () => (await ready()).status === 'ok', 'the gateway to be ready');
const listener = await TestClient.connect({ url: server.url }, { name: 'listener' });

/** After something was done to the stream: it is told once, and all numbers have come, once and in their order. */
async function judge(before, words, order = (list) => list) {
  await until(8000, async () => await metric('sio_stream_replaced_total') === before + 1, 'it is noticed');
  await until(6000, () => numbers().length >= number, `${number} numbers, of which came ${numbers().length}`);
  await sleep(4500);   // until the next look at the stream is over
  same(order(numbers()), Array.from({ length: number }, (_, i) => i + 1), 'numbers');
  same([await metric('sio_stream_replaced_total'), lines()], [before + 1, before + 1], 'times told');
  truth(/remedy=.*maxmemory-policy/.test(server.log()), 'the log has a remedy');
  const { status, checks: all } = await ready();
  same([status, all.stream.ok], ['ok', false], '/ready');
  truth(words.test(all.stream.detail), all.stream.detail);
}

await add(20).exec();
await until(3000, () => numbers().length === 20, 'the first numbers');
await sleep(4500);
same(await metric('sio_stream_replaced_total'), 0, 'nothing is told of a stream that is read');

await checks.step('deleted, and nothing in its place at first', async () => {
  await client.del('socket.io');
  await until(8000, async () => await metric('sio_stream_replaced_total') === 1, 'it is noticed');
  await add(7).exec();
  await judge(0, /was deleted or evicted/);
}, { timeout: 30000 });

await checks.step('deleted, and written anew in the same moment', async () => {
  await add(5).exec();
  await until(3000, () => numbers().length >= number, 'numbers before');
  await sleep(4500);
  const next = add(6);
  await Promise.all([client.multi().del('socket.io').exec(), next.exec()]);
  await judge(1, /was replaced by another|was deleted or evicted/);
}, { timeout: 30000 });

await checks.step('another with lower ids, and fewer entries', async () => {
  await client.multi().del('socket.io').exec();
  await add(4, 1000).exec();
  await judge(2, /was replaced by another|was deleted or evicted/);
}, { timeout: 30000 });

await checks.step('another with lower ids, more entries, and some above', async () => {
  const lower = add(60, 5);
  const above = add(3);
  await client.del('socket.io');
  await lower.exec();
  await above.exec();
  // Those above were read before it was known that there are others below.
  await judge(3, /was replaced by another|was deleted or evicted/, (list) => list.toSorted((a, b) => a - b));
}, { timeout: 30000 });

await checks.step('a client that returns afterwards gets what it missed, or hears that it begins again', async () => {
  listener.cut();
  await until(3000, () => !listener.socket.connected, 'the cut');
  await add(3).exec();
  await until(5000, () => listener.socket.connected, 'the return');
  await sleep(500);
  truth(numbers().length === number || listener.connects.at(-1).recovered === false, 'nothing is missing in silence');
}, { timeout: 15000 });

listener.close();
await redis.end();
await checks.end([server]);
