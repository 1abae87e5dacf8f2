// Clients that missed more than the memory for recovery holds: what is not in memory is fetched, what is not even in the
// index is found by reading the stream further back, once for all who wait. Nobody begins again for a small budget.
//
// Three budgets, from one that holds the index of everything to one that holds next to nothing; the clients return to the
// gateway that they left, and then to one that was killed and started again at once.

import { Checks, same, sleep, startGateway, truth, until } from '../integration/lib/harness.mjs';
import { clusterOptions } from './lib/cluster.mjs';
import { RedisServer } from './lib/redis.mjs';
import { startWorker } from './lib/worker.mjs';

const checks = new Checks('further back');
const [count, rooms] = [200, 40];
const metrics = async (server) => Object.fromEntries([...(await (await fetch(`${server.url}/metrics`, { headers: { accept: 'text/plain' } })).text())
  .matchAll(/^([a-z_]+(?:\{[^}]*\})?) (\S+)$/gm)].map(([, name, value]) => [name, Number(value)]));

for (const [budget, expectation] of [['8MB', 'index'], ['1MB', 'either'], ['48KB', 'sweep']]) {
  const redis = await RedisServer.start({ keep: false });
  const options = { ...clusterOptions(redis.url, 'one'), '--rate-limit': 'off', '--recovery-bytes': budget };
  let server = await startGateway({ options });
  const workers = [0, 1].map((w) => startWorker('return_worker.mjs', { port: server.port, from: w * count / 2, count: count / 2, rooms }));
  const ofAll = (op, members, timeout = 30000) => Promise.all(workers.map((worker) => worker.ask(op, members, timeout)));
  const feeder = startWorker('feeder.mjs', { port: redis.port, rooms, rate: 200 });
  await ofAll('connect');
  await feeder.ask('other', { rate: 6000, rooms: 500 });
  await feeder.ask('start');
  await sleep(1500);
  const back = async (name) => {
    await ofAll('cut');
    await sleep(2500);
    const before = await metrics(server).catch(() => ({}));
    if (name.includes('killed')) {
      server.child.kill('SIGKILL');
      await server.exited;
      server = await startGateway({ options, port: server.port, ready: false });
    }
    const results = await ofAll('resume', { over: 300 }, 60000);
    same(results.flatMap(({ errors }) => errors), [], 'errors');
    return name.includes('killed') ? {} : before;
  };
  for (const name of ['the gateway that they left', 'one that was killed and started again']) {
    await checks.step(`recovery-bytes ${budget}: ${count} clients return to ${name}, and none begins again`, async () => {
      const before = await back(name);
      await until(15000, async () => {
        const { last } = await feeder.ask('last');
        return (await ofAll('report')).flatMap(({ clients }) => clients).every((one) => one.last >= last[one.room] - 2);
      }, 'all to catch up');
      const reports = (await ofAll('report')).flatMap(({ clients }) => clients);
      const sum = (key) => reports.reduce((total, one) => total + one[key], 0);
      const after = await metrics(server);
      const more = (key) => (after[key] ?? 0) - (before[key] ?? 0);
      console.log(`      ${budget}, ${name}: recovered ${sum('recovered')}, again ${sum('again')}, missing ${sum('missing')}, twice ${sum('twice')}; fetched ${more('sio_stream_entries_fetched_total')}, `
        + `${more('sio_stream_sweeps_total')} sweeps of ${more('sio_stream_entries_swept_total')} entries; backfilled ${more('sio_stream_entries_backfilled_total')}; holds ${after.sio_recovery_bytes} bytes`);
      same({ again: sum('again'), missing: sum('missing'), twice: sum('twice') }, { again: 0, missing: 0, twice: 0 });
      truth(more('sio_stream_sweeps_total') <= 12, 'the stream is read for each client');
      if (expectation === 'index') same(more('sio_stream_sweeps_total'), 0, 'sweeps');
      if (expectation === 'sweep') truth(more('sio_stream_sweeps_total') > 0, 'no sweep was needed');
      truth(after.sio_recovery_bytes <= after.sio_recovery_limit_bytes * 1.3 + 20000, `${after.sio_recovery_bytes} bytes`);
    }, { timeout: 60000 });
  }
  await feeder.ask('stop', {}, 20000);
  for (const worker of [...workers, feeder]) worker.end();
  await server.stop();
  await redis.end();
}
await checks.step('the stream takes far longer to read back than a client may wait: it waits for as long as reading goes on, and does not begin again', async () => {
  const redis = await RedisServer.start({ keep: false });
  // What others were sent is so much that reading it takes seconds.
  const options = { ...clusterOptions(redis.url, 'slow'), '--recovery-wait': '300ms' };
  let server = await startGateway({ options });
  const client = startWorker('return_worker.mjs', { port: server.port, from: 0, count: 1, rooms: 1 });
  const feeder = startWorker('feeder.mjs', { port: redis.port, rooms: 1, rate: 100 });
  try {
    await client.ask('connect');
    await feeder.ask('start');
    await until(5000, async () => (await client.ask('report')).clients[0].last > 5, 'the first events');
    await feeder.ask('stop');
    await client.ask('cut');
    server.child.kill('SIGKILL');
    await server.exited;
    const { last } = await feeder.ask('last');
    const other = JSON.stringify({ packet: { type: 2, data: ['tick', 'x'.repeat(100)], nsp: '/' }, opts: { rooms: ['elsewhere'], flags: {}, except: [] } });
    await redis.client().eval(`for _ = 1, 600000 do redis.call('XADD', KEYS[1], '*', 'uid', 'emitter', 'nsp', '/', 'type', '3', 'data', ARGV[1]) end`, 1, 'socket.io', other);
    server = await startGateway({ options, port: server.port, ready: false });
    const began = Date.now();
    const { errors } = await client.ask('resume', { over: 1 }, 30000);
    const waited = Date.now() - began;
    await until(5000, async () => (await client.ask('report')).clients[0].last === last['room-0'], 'what was missed');
    const [report] = (await client.ask('report')).clients;
    console.log(`      waited ${waited} ms`);
    same({ errors, recovered: report.recovered, again: report.again, missing: report.missing, twice: report.twice }, { errors: [], recovered: 1, again: 0, missing: 0, twice: 0 });
    truth(waited > 600, `the stream was read in ${waited} ms, which proves nothing`);
  } finally {
    for (const worker of [client, feeder]) worker.end();
    await server.stop();
    await redis.end();
  }
}, { timeout: 60000 });
await checks.end([]);
