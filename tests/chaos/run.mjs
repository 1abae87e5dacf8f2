// The whole product under chaos, judged at both ends: run.mjs --help tells the options, README.md the rest.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Checks, runCommand, sioctlBinary, sleep, truth, until } from '../integration/lib/harness.mjs';
import { Announcements } from './lib/announcements.mjs';
import { Chaos } from './lib/chaos.mjs';
import { Meters } from './lib/meters.mjs';
import { readOptions } from './lib/options.mjs';
import { lengthOf, makeAbsences, makePlan } from './lib/plan.mjs';
import { Product, topics } from './lib/product.mjs';
import { clock, costTable, foundTable, killTable, story } from './lib/report.mjs';
import { Crowd, Records } from './lib/traffic.mjs';
import { judgeDeliveries, judgeOutbound, judgePresence, judgeReturns } from './lib/verdict.mjs';

const options = readOptions(process.argv.slice(2));
const plan = makePlan(options);
const length = lengthOf(plan, options);
const title = options.preset ? `chaos ${options.preset}` : 'chaos';
console.log(`      ${title}: --seed ${options.seed}; ${plan.length} actions in ${Math.round(length / 1000)} s, ${options.clients} clients in ${options.rooms} rooms, `
  + `${options.rate} records/s, ${options.events} events/s`);
if (options.dry) {
  for (const { at, title: what } of plan) console.log(`      ${clock(at)}  ${what}`);
  process.exit(0);
}

const checks = new Checks(title);
const began = Date.now();
const say = (text) => console.log(`      ${clock(Date.now() - began)}  ${text}`);

// ---- Everything starts ----------------------------------------------------------------------------------------------

const product = await Product.start(options).catch((error) => { checks.record('the product starts', error); return checks.end(); });
const chaos = new Chaos(product, say);
const traces = [];
const announcements = Announcements.start(product.redis.redis);
const records = await Records.start(options, product.broker.broker);
const crowd = new Crowd(options, product.url, (fault) => notice(fault));
const meters = new Meters(() => [
  ...[...product.parts.values()].map(({ kind, pid }) => [kind, pid]), ...crowd.workers.map(({ pid }) => ['clients', pid]),
  ['network', product.network.pid], ['judge', process.pid],
], [...product.gateways, ...product.bridges]);

/** A fault that a client noticed: what the product knows of it is asked at once, as it is forgotten soon. */
async function notice(fault) {
  const { kind, client, from, to, reason, away } = fault;
  chaos.mark(`client ${client}: ${kind}${reason ? ` (${reason})` : ''}${away ? ` after ${(away / 1000).toFixed(1)} s away` : ''}${from ? `, record ${from}${to > from ? ` to ${to}` : ''} of room ${fault.room}` : ''}`, client);
  if (traces.length >= 3 || kind === 'again' || kind === 'shut out') return;
  const place = records.placeOf(fault.room, from);
  const trace = { fault, place, answers: [] };
  traces.push(trace);
  if (!place) return;
  for (const bridge of product.bridges) {
    const answer = await runCommand(sioctlBinary, ['--bridge', bridge.control, '--control', product.gateways[0].control, 'trace', place], '', { anyExit: true, timeout: 5000 }).catch((error) => ({ err: error.message }));
    trace.answers.push(`${bridge.name}: ${(answer.out || answer.err || '').trim()}`);
  }
}

await checks.step(`${crowd.clients.length} clients log in and join their rooms`, () => crowd.connect(), { timeout: 130000 });
for (let i = 0; i < options.rooms; i += 1) records.make();
await until(15000, async () => (await crowd.pending(records.last)).behind === 0, 'the first record of each room')
  .catch((error) => checks.record('the first record of each room comes', error));
say('all clients are in their rooms and have a record each');

// ---- Chaos ----------------------------------------------------------------------------------------------------------

records.begin();
await crowd.act();
const gone = new Map();
const stopLeaving = crowd.leave(makeAbsences(options, length), ({ client, how, ms }) => gone.set(client, { how, until: Date.now() + ms }));
const chaosBegan = Date.now();
await chaos.run(plan);
await sleep(Math.max(0, chaosBegan + length - Date.now()));

// ---- Quiet, and the last of it comes --------------------------------------------------------------------------------

stopLeaving();
// Some stay away for good, so that not everybody is online at the end.
const stay = [...gone].filter(([, { until: back }]) => back > Date.now() + 5000).map(([client]) => client);
await crowd.quiet(stay);
await chaos.settle();
say(`everything is up; ${stay.length} clients stay away`);
await records.end(60000).catch((error) => checks.record('Kafka takes all records', error));
const left = await crowd.settle(records.last, 90000);
say(`what came has come${left.apart + left.behind + left.unanswered ? `; ${JSON.stringify(left)}` : ''}`);

const store = product.redis.redis.client();
await checks.step('every entry of clients\' events is carried to Kafka', async () => {
  let seen = [];
  await until(60000, async () => {
    const [group] = await store.xinfo('GROUPS', 'sio:events');
    const of = (name) => group[group.indexOf(name) + 1];
    const stream = await store.xinfo('STREAM', 'sio:events');
    seen = [of('pending'), of('last-delivered-id'), stream[stream.indexOf('last-generated-id') + 1]];
    return seen[0] === 0 && seen[1] === seen[2];
  }, 'nothing to be pending').catch((error) => { throw new Error(`${error.message}; pending, last read, last written: ${seen}`); });
}, { timeout: 70000 });

/** Who is online, as each gateway says it. */
async function whoIsOnline() {
  return Promise.all(product.gateways.map(async ({ name, control }) => {
    const { out } = await runCommand(sioctlBinary, ['--control', control, 'presence', '--limit', '100000'], '', { anyExit: true });
    return { name, users: out.split('\n').filter(Boolean).map((line) => JSON.parse(line).user).sort() };
  }));
}

let clients = await crowd.report();
const connected = [...new Set(clients.filter(({ isConnected }) => isConnected).map(({ user }) => user))].sort();
// Whoever is gone is missed after pings, heartbeats and the grace.
let online = [];
await until((options.grace + 30) * 1000, async () => {
  online = await whoIsOnline();
  return online.every(({ users }) => users.join() === connected.join());
}, 'presence to be right').catch(() => {});
await sleep(500);   // what comes twice comes now
clients = await crowd.report();

// ---- Judgement ------------------------------------------------------------------------------------------------------

const deliveries = judgeDeliveries(clients, records.logs);
const returns = judgeReturns(clients, { window: options.window * 1000, disturbances: chaos.disturbances });
const outbound = await judgeOutbound(clients, product.broker.broker);
const presence = judgePresence(clients, await announcements.end(), { end: Date.now(), grace: options.grace * 1000, chaos, online });
const ends = await product.broker.broker.ends(topics.records, 8);
const metered = meters.counted('gateway', /again|reason=|sessions_lost|recover|gaps|entries_missed|too_slow|frames_dropped/);
chaos.end();
meters.end();

console.log();
console.log(killTable(plan));
console.log();
console.log(foundTable({ deliveries: deliveries.sum, returns, outbound: outbound.sum, presence, made: records.made, here: presence.here.length, reasons: metered }));
console.log(costTable(meters.cores()));
console.log();

const faults = [...chaos.faults, ...deliveries.faults, ...returns.faults, ...outbound.faults, ...presence.faults, ...presence.atWatchers];
/** One line of the verdict: nothing of these kinds was found. */
function verdict(name, ...kinds) {
  const found = faults.filter(({ kind }) => kinds.includes(kind));
  checks.record(name, found.length ? new Error(`${found.length}: ${found.slice(0, 4).map(({ text }) => text).join('; ')}${found.length > 4 ? '; …' : ''}`) : null);
}

await checks.step('the judge\'s own records are in Kafka, each once', () => truth(ends.reduce((a, b) => a + b, 0) === records.made, `${ends} of ${records.made}`));
await checks.step('every client that should be is in its room', () => truth(left.apart === 0, `${left.apart} are not`));
verdict('no record is missing at a client in its room', 'missing');
verdict('no record comes twice', 'repeated');
verdict('no record comes out of order, or to whom it is not for', 'disordered', 'foreign');
verdict(`nobody begins again who was away for less than ${options.window} s`, 'again');
verdict('nobody is told to stay away', 'shut out');
verdict('each acknowledged event is in Kafka, once', 'event missing', 'event twice', 'event foreign');
verdict('no user\'s sequence has a gap', 'event gaps');
verdict('events of a user are in Kafka in their order', 'event disordered');
verdict('presence is announced rightly', 'presence');
verdict('every process ends when it is told to, and only then', 'ended', 'exit');
verdict('every process comes back', 'not back', 'not done');

// ---- What is needed to find the cause -------------------------------------------------------------------------------

if (checks.failed || options.keep) {
  const folder = product.keepLogs(options.seed);
  const ordered = faults.filter(({ at }) => at !== undefined).sort((a, b) => a.at - b.at);
  const firsts = ordered.filter(({ kind }, i) => ordered.findIndex((one) => one.kind === kind) === i).slice(0, 4);
  const context = { timeline: chaos.timeline, clients, began };
  writeFileSync(join(folder, 'timeline'), `${chaos.timeline.map(({ at, text }) => `${new Date(at).toISOString()} ${clock(at - began)}  ${text}`).join('\n')}\n`);
  writeFileSync(join(folder, 'faults'), `${faults.map(({ at, ...rest }) => JSON.stringify({ time: at && new Date(at).toISOString(), ...rest })).join('\n')}\n`);
  writeFileSync(join(folder, 'clients'), `${clients.map((one) => JSON.stringify({ ...one, follower: undefined, acked: one.acked.length })).join('\n')}\n`);
  writeFileSync(join(folder, 'events'), `${outbound.records.map((one) => JSON.stringify(one)).join('\n')}\n`);
  writeFileSync(join(folder, 'traces'), `${traces.map((one) => JSON.stringify(one, null, 1)).join('\n')}\n`);
  for (const one of firsts) {
    console.log(`\n      the first "${one.kind}", at ${clock(one.at - began).trim()} (${new Date(one.at).toISOString()}): ${one.text}`);
    console.log(story(one, context));
  }
  for (const { place, answers } of traces.filter((one) => one.place)) console.log(`      sioctl trace ${place}\n${answers.join('\n').replace(/^/gm, '        ')}`);
  console.log(`\n      logs of all processes, timeline, faults and clients: ${folder}`);
  console.log(`      the same schedule: node tests/chaos/run.mjs ${process.argv.slice(2).filter((one, i, all) => one !== '--seed' && all[i - 1] !== '--seed').join(' ')} --seed ${options.seed}\n`);
}

crowd.end();
const wrong = await product.end();
checks.record('no program trips a sanitizer or a check of its own', wrong.length ? new Error(wrong.join('; ')) : null);
await checks.end();
