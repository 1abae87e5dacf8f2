// A gateway is killed with SIGKILL and started again at once: its clients return to it, and none begins again.
// restart.mjs [--full]
//
// Stock clients in 100 rooms, behind a TCP balancer without affinity; numbered events to the rooms come by the stream.
// Each client must end with all events of its room, once and in order, and be told of nothing. Three ways: each of three
// gateways in turn; one gateway alone beside Redis, to which all return; all three within a second.

import { Checks, same, sleep, startGateway, truth, until } from '../integration/lib/harness.mjs';
import { Balancer } from './lib/balancer.mjs';
import { clusterOptions, full } from './lib/cluster.mjs';
import { RedisServer } from './lib/redis.mjs';
import { startWorker } from './lib/worker.mjs';

const rooms = 100;
const number = (name, otherwise) => Number(process.argv[process.argv.indexOf(`--${name}`) + 1] || otherwise);
const given = (name, otherwise) => (process.argv.includes(`--${name}`) ? number(name, otherwise) : otherwise);
const scale = {
  clients: given('clients', full ? 300 : 120), workers: 2, rate: given('rate', full ? 10_000 : 2_000),
  kills: given('kills', full ? 20 : 5), pause: given('pause', 2500), away: given('away', 400),
};
const checks = new Checks('restart');

const metric = (text, name) => Object.fromEntries([...text.matchAll(new RegExp(`^${name}(?:\\{reason="([a-z_]+)"\\})? (\\S+)$`, 'gm'))]
  .map(([, label, value]) => [label ?? 'all', Number(value)]));

async function scenario(name, { gateways, kill }) {
  const redis = await RedisServer.start({ keep: false });
  const names = Array.from({ length: gateways }, (_, i) => 'abc'[i]);
  const options = (one) => ({ ...clusterOptions(redis.url, one), '--rate-limit': 'off' });
  const servers = await Promise.all(names.map((one) => startGateway({ options: options(one) })));
  const balancer = await Balancer.start(servers.map(({ port }) => port));
  const perWorker = scale.clients / scale.workers;
  const clients = Array.from({ length: scale.workers }, (_, w) => startWorker('kill_worker.mjs',
    { url: balancer.url, from: w * perWorker, count: perWorker, rooms, away: scale.away }));
  const ofAll = (op, members, timeout) => Promise.all(clients.map((worker) => worker.ask(op, members, timeout)));
  const feeder = startWorker('feeder.mjs', { port: redis.port, rooms, rate: scale.rate });
  const reasons = {};
  let kills = 0;
  const restart = async (i) => {
    const server = servers[i];
    const text = await fetch(`${server.url}/metrics`, { headers: { accept: 'text/plain' } }).then((r) => r.text()).catch(() => '');
    for (const [reason, count] of Object.entries(metric(text, 'sio_recoveries_failed_total'))) reasons[reason] = (reasons[reason] ?? 0) + count;
    server.child.kill('SIGKILL');
    kills += 1;
    await server.exited;
    servers[i] = await startGateway({ options: options(names[i]), port: server.port, ready: false });
  };

  await ofAll('connect', {}, 60000);
  await feeder.ask('start');
  await sleep(1500);
  for (let n = 0; n < scale.kills; n += 1) {
    await kill(n, restart);
    await sleep(scale.pause);
  }
  const { last, sent, failures } = await feeder.ask('stop', {}, 30000);
  await until(30000, async () => { await sleep(200); return (await ofAll('pending', { last })).every(({ pending }) => pending === 0); },
    'all clients to be up to date').catch(() => {});
  await sleep(500);   // what comes twice comes now
  const reports = (await ofAll('report', { last })).flatMap((report) => report.clients);
  const sum = (key) => reports.reduce((total, one) => total + one[key], 0);
  const expected = reports.reduce((total, { room }) => total + last[room], 0);
  console.log(`      ${name}: ${scale.clients} clients, ${sent} events at ${scale.rate}/s, ${kills} kills; ${expected} deliveries expected, ${sum('got')} got, `
    + `${sum('returns')} returns, ${sum('anew')} of them again from the start ${JSON.stringify(Object.fromEntries(Object.entries(reasons).filter(([, n]) => n)))}`);
  console.log(`      told ${sum('told')}, missing ${sum('silent')}, twice ${sum('twice')}, out of order ${sum('disorder')}`);
  for (const one of reports.filter(({ notes }) => notes.length > 0).slice(0, 10)) console.log(`      client ${one.i} of ${one.room}: ${one.notes.join('; ')}`);
  await checks.step(`${name}: all once and in order, and no client begins again`, () => {
    same(failures, 0, 'events that Redis refused');
    truth(sum('returns') >= kills * scale.clients / gateways / 3, `${sum('returns')} returns`);
    same(reports.filter(({ connected }) => !connected).length, 0, 'clients that are not connected');
    same({ again: sum('anew'), told: sum('told'), missing: sum('silent'), twice: sum('twice'), disorder: sum('disorder') },
      { again: 0, told: 0, missing: 0, twice: 0, disorder: 0 });
  });
  for (const worker of [...clients, feeder]) worker.end();
  balancer.close();
  if (process.argv.includes('--logs')) for (const server of servers) console.log(server.log().split('\n').filter((line) => /resume|error|warn|filled|lost/.test(line)).slice(-20).join('\n'));
  for (const server of servers) await server.stop();
  await redis.end();
}

const wanted = process.argv.includes('--only') ? process.argv[process.argv.indexOf('--only') + 1] : '';
const scenarios = {
  'three gateways, each in turn': { gateways: 3, kill: (n, restart) => restart(n % 3) },
  'one gateway alone': { gateways: 1, kill: (n, restart) => restart(0) },
  'all three within a second': { gateways: 3, kill: (n, restart) => Promise.all([0, 1, 2].map(async (i) => { await sleep(i * 300); await restart(i); })) },
};
for (const [name, settings] of Object.entries(scenarios)) if (name.includes(wanted)) await scenario(name, settings);
await checks.end([]);
