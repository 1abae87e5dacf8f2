// Many clients return at once to a gateway that has just started, beside much traffic in other rooms: the stream is read
// once for all of them, not once for each. returns.mjs [--full]
//
// Here 1,000 clients and 3,000 entries a second; with --full 10,000 clients within 10 s beside 20,000 entries a second.
// How long a return takes, and that it costs the same with and without other traffic, is measured and shown.

import { setPriority } from 'node:os';
import { Checks, same, sleep, startGateway, truth, until } from '../integration/lib/harness.mjs';
import { clusterOptions, full } from './lib/cluster.mjs';
import { RedisServer } from './lib/redis.mjs';
import { startWorker } from './lib/worker.mjs';

const scale = full ? { clients: 10_000, workers: 2, other: 20_000, over: 10_000, window: 20_000 }
  : { clients: 1_000, workers: 2, other: 3_000, over: 2_000, window: 5_000 };
const rooms = scale.clients / 10;
const checks = new Checks('returns');
const redis = await RedisServer.start({ keep: false });
const client = redis.client();
const options = { ...clusterOptions(redis.url, 'one'), '--rate-limit': 'off', '--ping-interval': '25s', '--ping-timeout': '20s' };
let server = await startGateway({ options });
const perWorker = scale.clients / scale.workers;
const workers = Array.from({ length: scale.workers }, (_, w) => startWorker('return_worker.mjs',
  { port: server.port, from: w * perWorker, count: perWorker, rooms }));
const ofAll = (op, members, timeout = 60000) => Promise.all(workers.map((worker) => worker.ask(op, members, timeout)));
const feeder = startWorker('feeder.mjs', { port: redis.port, rooms, rate: rooms / 10 });
// In the field clients and publishers are other machines; here they must not take the gateway's processor.
for (const { pid } of [...workers, feeder]) setPriority(pid, 10);
const metrics = async () => Object.fromEntries([...(await (await fetch(`${server.url}/metrics`, { headers: { accept: 'text/plain' } })).text())
  .matchAll(/^([a-z_]+(?:\{[^}]*\})?) (\S+)$/gm)].map(([, name, value]) => [name, Number(value)]));
const commandCalls = async () => Object.fromEntries([...(await client.info('commandstats')).matchAll(/cmdstat_(\w+):calls=(\d+)/g)]
  .map(([, name, calls]) => [name, Number(calls)]));
const quantile = (list, q) => list.toSorted((a, b) => a - b)[Math.min(list.length - 1, Math.floor(q * list.length))];

await checks.step(`${scale.clients} clients connect`, () => ofAll('connect', {}), { timeout: 60000 });
await feeder.ask('other', { rate: scale.other, rooms: 1000 });
await feeder.ask('start');
await sleep(scale.window);

await checks.step('all of them return to a gateway that was killed and started again at once, and none begins again', async () => {
  server.child.kill('SIGKILL');
  await server.exited;
  await ofAll('cut');
  await client.config('RESETSTAT');
  server = await startGateway({ options, port: server.port, ready: false });
  const results = await ofAll('resume', { over: scale.over }, scale.over + 60000);
  same(results.flatMap(({ errors }) => errors), [], 'errors');
  await sleep(1000);
  const { last, failures } = await feeder.ask('stop', {}, 30000);
  same(failures, 0, 'entries that Redis refused');
  await until(20000, async () => {
    const behind = (await ofAll('report')).flatMap((one) => one.clients).filter((one) => one.last < last[one.room]);
    return behind.length === 0;
  }, 'all to have everything').catch(() => {});
  const reports = (await ofAll('report')).flatMap((one) => one.clients);
  const sum = (key) => reports.reduce((total, one) => total + one[key], 0);
  const took = reports.flatMap((one) => one.took);
  const seen = await metrics();
  const calls = await commandCalls();
  const length = await client.xlen('socket.io');
  console.log(`      ${took.length} returns within ${scale.over} ms beside ${scale.other} entries/s: CONNECT answered after p50 ${quantile(took, 0.5).toFixed(1)} ms, `
    + `p99 ${quantile(took, 0.99).toFixed(1)} ms, at most ${quantile(took, 1).toFixed(1)} ms`);
  console.log(`      stream ${length} entries; read to fill the log ${seen.sio_stream_entries_backfilled_total}, live ${seen.sio_stream_entries_read_total}, `
    + `swept ${seen.sio_stream_entries_swept_total} in ${seen.sio_stream_sweeps_total} sweeps, one by one ${seen.sio_stream_entries_fetched_total}; `
    + `commands ${calls.xrevrange ?? 0} XREVRANGE, ${calls.xrange ?? 0} XRANGE; recovery holds ${(seen.sio_recovery_bytes / 1e6).toFixed(1)} of ${(seen.sio_recovery_limit_bytes / 1e6).toFixed(1)} MB, `
    + `resident ${(seen.process_resident_memory_bytes / 1e6).toFixed(0)} MB; longest turn ${(seen.sio_loop_longest_turn_seconds * 1000).toFixed(1)} ms`);
  console.log('      begun again:', JSON.stringify(Object.fromEntries(Object.entries(seen).filter(([name, value]) => name.startsWith('sio_recoveries_failed') && value))));
  same({ recovered: sum('recovered'), again: sum('again'), twice: sum('twice'), missing: sum('missing') },
    { recovered: scale.clients, again: 0, twice: 0, missing: 0 });
  same(reports.filter((one) => one.last !== last[one.room]).length, 0, 'clients that have not everything');
  const read = seen.sio_stream_entries_backfilled_total + seen.sio_stream_entries_read_total + seen.sio_stream_entries_swept_total;
  truth(read <= length * 1.05 + 1000, `${read} entries were read of ${length}`);
  truth(seen.sio_recovery_bytes <= seen.sio_recovery_limit_bytes * 1.05, 'recovery holds more than it may');
}, { timeout: 120000 });

for (const worker of [...workers, feeder]) worker.end();
await checks.end([server]);
await redis.end();
