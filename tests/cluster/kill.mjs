// Nobody loses a message when clients are cut and a gateway is killed. kill.mjs [--full]
//
// Three gateways behind a TCP balancer without affinity; stock clients in rooms; a Node program publishes numbered
// messages to the rooms through the streams emitter. Clients are cut for 2 s at random, and one gateway is killed with
// SIGKILL on the way. Every client must end with all messages of its room, in order, once. Who is told that it begins
// anew is counted as not recovered. Here 200 clients for 12 s; with --full 2,000 clients for 60 s.

import { Checks, same, sleep, truth, until } from '../integration/lib/harness.mjs';
import { Balancer } from './lib/balancer.mjs';
import { full, startCluster } from './lib/cluster.mjs';
import { startWorker } from './lib/worker.mjs';

const scale = full
  ? { clients: 2000, workers: 4, seconds: 60, killAt: 20, rate: 100 }
  : { clients: 200, workers: 2, seconds: 12, killAt: 5, rate: 100 };
const rooms = 100;
const away = 2000;   // milliseconds

const checks = new Checks('kill');
const cluster = await startCluster(checks, { gateways: 3, nodes: 0 });
const balancer = await Balancer.start(cluster.gateways.map(({ port }) => port));

const perWorker = scale.clients / scale.workers;
const workers = Array.from({ length: scale.workers }, (_, w) => startWorker('kill_worker.mjs',
  { url: balancer.url, from: w * perWorker, count: perWorker, rooms, away }));
const ofAll = (op, members, timeout) => Promise.all(workers.map((worker) => worker.ask(op, members, timeout)));

// ---- Publishing -------------------------------------------------------------------------------------------------

const last = Object.fromEntries(Array.from({ length: rooms }, (_, i) => [`room-${i}`, 0]));
let sent = 0;
let publishing = null;
const failures = [];
function publish() {
  const room = `room-${sent % rooms}`;
  last[room] += 1;
  sent += 1;
  cluster.streams.emit({ rooms: [room] }, 'tick', [last[room]]).catch((error) => failures.push(error.message));
}
function startPublishing() {
  const began = Date.now();
  const before = sent;
  publishing = setInterval(() => {
    const due = before + Math.floor((Date.now() - began) / 1000 * scale.rate);
    while (sent < due) publish();
  }, 10);
}

// ---- The test ---------------------------------------------------------------------------------------------------

const seconds = (since) => ((Date.now() - since) / 1000).toFixed(1);
let ready = false;
const began = Date.now();
await checks.step(`${scale.clients} clients connect and join ${rooms} rooms`, async () => {
  await ofAll('connect', {}, 60000);
  ready = true;
}, { timeout: 60000 });
console.log(`      connected after ${seconds(began)} s`);

if (ready) {
  // Every room has a message first: a client that never got one has no offset to come back with.
  for (let i = 0; i < rooms; i += 1) publish();
  await until(5000, async () => (await ofAll('pending', { last })).every(({ pending }) => pending === 0), 'the first message').catch((error) => checks.record('the first message of each room', error));
  startPublishing();
  await sleep(500);
  let cuts = 0;
  const end = Date.now() + scale.seconds * 1000;
  // Each client is cut about once.
  const cutter = setInterval(async () => {
    const client = Math.floor(Math.random() * scale.clients);
    const answer = await workers[Math.floor(client / perWorker)].ask('cut', { client }).catch(() => null);
    if (answer?.cut) cuts += 1;
  }, (scale.seconds * 1000) / scale.clients);
  await sleep(scale.killAt * 1000);
  const victim = cluster.gateways[1];
  victim.server.child.kill('SIGKILL');
  await victim.server.exited;
  victim.close();
  console.log(`      ${victim.name} killed with SIGKILL after ${cuts} cuts`);
  await sleep(Math.max(0, end - Date.now()));
  clearInterval(cutter);
  await sleep(500);
  clearInterval(publishing);
  await until(15000, async () => { await sleep(200); return (await ofAll('pending', { last })).every(({ pending }) => pending === 0); },
    'all clients to be back and up to date').catch(() => {});
  await sleep(500);   // what comes twice comes now

  const clients = (await ofAll('report', { last })).flatMap((report) => report.clients);
  const sum = (key) => clients.reduce((total, one) => total + one[key], 0);
  const expected = clients.reduce((total, { room }) => total + last[room], 0);
  const incomplete = clients.filter((one) => one.silent + one.told + one.twice + one.disorder > 0);
  const allowed = Math.floor(scale.clients / 1000);
  const [returns, anew] = [sum('returns'), sum('anew')];
  console.log(`      ${scale.clients} clients, ${sent} messages published, ${expected} deliveries expected, ${sum('got')} got; ${cuts} cuts, ${returns} returns, `
    + `${anew} of them anew (${(100 * anew / Math.max(1, returns)).toFixed(2)} %)`);
  console.log(`      not recovered and told: ${sum('told')} messages; missing in silence: ${sum('silent')}; twice: ${sum('twice')}; out of order: ${sum('disorder')}; `
    + `clients without all: ${incomplete.length}; ${((100 * (sum('told') + sum('silent'))) / expected).toFixed(3)} % of deliveries; ${seconds(began)} s`);
  for (const one of incomplete.filter(({ notes }) => notes.length > 0).slice(0, 10)) console.log(`      client ${one.i} of ${one.room}: ${one.notes.join('; ')}`);

  const judge = (name, body, options) => checks.step(name, body, options);
  await judge('Redis took every message', () => same(failures, []));
  await judge('clients were cut, and came back', () => truth(cuts > scale.clients / 3 && returns > cuts, `${cuts} cuts, ${returns} returns`));
  await judge('every client is connected again', () => same(clients.filter(({ connected }) => !connected).length, 0, 'clients that are not'));
  await judge('no message is missing in silence', () => same(sum('silent'), 0, 'missing messages'), { nodeFails: true });
  await judge('no message comes twice', () => same(sum('twice'), 0, 'messages'), { nodeFails: true });
  await judge('no message comes out of order', () => same(sum('disorder'), 0, 'messages'), { nodeFails: true });
  await judge(`at most ${allowed} clients are without a message`, () => truth(incomplete.length <= allowed, `${incomplete.length} are`), { nodeFails: true });
  await judge(`at most ${allowed} clients begin anew`, () => truth(anew <= allowed, `${anew} of ${returns} returns`), { nodeFails: true });
  await judge('the other two gateways live', () => {
    for (const { server, name } of [cluster.gateways[0], cluster.gateways[2]]) same([server.exitCode, server.exitSignal], [null, null], name);
  });
  await judge('Redis no longer counts the killed one', async () => same(await cluster.count('/'), 2, 'servers'));
}

for (const worker of workers) worker.end();
balancer.close();
await cluster.end();
await checks.end(cluster.servers());
