// Events on their way to Kafka that meet a fault: what is refused is singled out, what is lost on the way is sent first,
// and the others arrive once and in order.

import { Checks, same, sleep, truth, until } from '../integration/lib/harness.mjs';
import { RedisServer } from '../cluster/lib/redis.mjs';
import { Broker } from './broker.mjs';
import { Bridge, setup } from './lib/bridge.mjs';
import { CuttingProxy } from './lib/cutting_proxy.mjs';

const checks = new Checks('refused');
const letters = 'sio.dead-letters';

const broker = await setup(checks, () => Broker.start());
await broker.warm();
await broker.createTopic(letters, 1);

/** An entry as a gateway writes it; without a user there is no key. */
const add = (store, topic, user, seq, data = `[${seq}]`) => store.xadd('sio:events', '*', 'v', '1', 'kind', 'event', 'topic', topic, 'nsp', '/', 'sid', 'x',
  ...(user ? ['user', user] : ['user', '']), 'seq', String(seq), 'time', String(Date.now()), 'node', 'test', 'data', data);

const pending = async (store) => (await store.xpending('sio:events', 'sio-bridge'))[0];

/** Runs `body(bridge, store, redis)` with a Redis and a bridge of their own, which must end well. */
async function withBridge(options, body) {
  const redis = await RedisServer.start({});
  const via = options.via ? await options.via(redis) : null;
  let bridge = null;
  try {
    bridge = await Bridge.start({ name: 'refused', brokers: options.brokers ?? broker, redis: via ?? redis, options: options.flags ?? {} });
    await body(bridge, redis.client(), via);
    same(await bridge.terminate(), 0, 'exit code');
    truth(!bridge.complaint(), bridge.complaint());
  } catch (error) {
    error.message += `\n---- end of the log ----\n${bridge?.log().slice(-2000)}`;
    throw error;
  } finally {
    await bridge?.stop();
    via?.end();
    await redis.end();
  }
}

await checks.step('the answer with new events is lost with its connection: they are carried all the same, and before those that come later', async () => {
  await broker.createTopic('lost', 1);
  await withBridge({ via: (redis) => CuttingProxy.start(redis.port) }, async (bridge, store, proxy) => {
    await add(store, 'lost', 'ann', 1);
    await broker.waitForRecords('lost', 1);
    proxy.cutAt('"the lost one"');
    await add(store, 'lost', 'ann', 2, '["the lost one"]');
    await until(5000, () => proxy.cuts === 1, 'the connection to be cut');
    await add(store, 'lost', 'ann', 3);
    await until(8000, async () => (await store.xinfo('STREAM', 'sio:events'))[1] >= 3 && await pending(store) === 0, 'nothing to be pending');
    await add(store, 'lost', 'ann', 4);
    const records = await broker.waitForRecords('lost', 4);
    same(records.map(({ headers }) => headers['sio-seq']), ['1', '2', '3', '4'], 'sequence in Kafka');
    same(bridge.lives.length, 1, 'processes');
  });
}, { timeout: 40000 });

await broker.end();
await checks.end([]);
