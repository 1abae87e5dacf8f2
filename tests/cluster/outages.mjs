// What the cluster does while Redis is away: stopped, crashed, frozen, restarted empty. outages.mjs [--full]
//
// Two gateways and two Node servers with three clients each. A program publishes numbers through the streams emitter
// all the time, and keeps those that Redis does not take. Afterwards every client must have all numbers that are in
// the stream, in its order, once. Each outage is short here; with --full it lasts 20 s.

import {
  Checks, httpGet, onReference, same, sleep, truth, until, within,
} from '../integration/lib/harness.mjs';
import { full, startCluster } from './lib/cluster.mjs';
import { TestClient } from './lib/client.mjs';

const checks = new Checks('outages');
const cluster = await startCluster(checks, { keep: true });
const { members, nodes, gateways, redis, streams } = cluster;

const clients = new Map();   // member → {one, two, mover}
for (const member of members) {
  const make = (name) => TestClient.connect(member, { name: `${name}@${member.name}`, rooms: ['red'] });
  clients.set(member, { one: await make('one'), two: await make('two'), mover: await make('mover') });
}
const everyone = [...clients.values()].flatMap((three) => Object.values(three));

// ---- The publisher ----------------------------------------------------------------------------------------------

let number = 0;
let publishing = true;
const publisher = setInterval(() => {
  if (!publishing) return;
  number += 1;
  streams.emit({ rooms: ['red'] }, 'number', [number]).catch(() => {});
}, 20);

/** The numbers in the stream, in its order. */
async function numbersInStream() {
  const entries = await cluster.client.xrange('socket.io', '-', '+');
  return entries.map(([, fields]) => JSON.parse(fields[fields.indexOf('data') + 1])?.packet?.data)
    .filter((data) => data?.[0] === 'number').map((data) => data[1]);
}

/** Stops publishing and waits until every client has the last number, or `ms` are over. Gives what the stream has. */
async function pause(ms = 5000) {
  publishing = false;
  const last = number;
  await until(ms, async () => (await numbersInStream()).at(-1) === last, 'the last number in the stream');
  const want = await numbersInStream();
  await Promise.all(everyone.map((client) => until(ms, () => client.of('number').at(-1)?.args[0] === last, 'the last number').catch(() => {})));
  return want;
}

/**
 * Throws an Error that says how `got` differs from `want`. A number may well be in the stream twice: the publisher
 * writes it again when Redis went away before it answered.
 */
function sameNumbers(got, want, who) {
  const [have, written] = [new Set(got), new Set(want)];
  const missing = want.filter((one) => !have.has(one));
  const foreign = got.filter((one) => !written.has(one)).length;
  const more = got.length - foreign - (want.length - missing.length);
  truth(missing.length === 0 && more === 0 && foreign === 0, `${who}: ${missing.length} of ${want.length} are missing `
    + `(${missing.slice(0, 3)}${missing.length > 3 ? '…' : ''}), ${more} came too often, ${foreign} are not in the stream`);
  same(got, want, `order at ${who}`);
}

// ---- One outage -------------------------------------------------------------------------------------------------

const saysSo = ({ status, body }) => {
  if (!/redis/i.test(body)) return false;
  try { return JSON.parse(body).checks.redis.ok === false; } catch { return status === 503; }
};

async function outage({ name, seconds, begin, end, empty = false }) {
  const title = (text) => `${name} for ${seconds} s: ${text}`;
  for (const client of everyone) { client.received = []; client.disconnects = []; client.connects = []; }
  const skipped = empty ? 0 : (await numbersInStream()).length;
  // What nobody had read yet when Redis forgets would be lost, and nobody's fault: then publishing begins again later.
  publishing = !empty;
  if (!empty) await sleep(300);

  const beganAt = Date.now();
  await begin();
  publishing = true;
  const lost = Date.now();
  const over = new Promise((done) => setTimeout(done, seconds * 1000));

  // Nothing below may keep Redis away for longer than it should.
  const lives = [];
  const watch = setInterval(() => {
    for (const gateway of gateways) {
      httpGet(`${gateway.url}/live`, { timeout: 1500 }).then(({ status }) => lives.push(status), (error) => lives.push(error.message));
    }
  }, 250);
  const during = [];
  if (!onReference) {
    for (const gateway of gateways) {
      during.push(checks.step(title(`/ready of ${gateway.name} names Redis within 2 s`), async () => {
        await until(2000 - (Date.now() - lost), async () => saysSo(await httpGet(`${gateway.url}/ready`, { timeout: 1000 })), '/ready that names Redis');
      }));
    }
  }
  for (const gateway of gateways) {
    const { one, two, mover } = clients.get(gateway);
    const patience = Math.max(1000, Math.min(3000, seconds * 1000 - 700));
    const event = `sent meanwhile by ${gateway.name}`;
    during.push((async () => {
      await sleep(200);
      await checks.step(title(`clients of ${gateway.name} are still answered`), async () => {
        for (let i = 0; i < 5; i += 1) same(await within(500, one.ask('echo', i, Buffer.from([i])), 'echo'), i, 'echo');
      });
      await Promise.all([
        checks.step(title(`a client of ${gateway.name} reaches another there`), async () => {
          one.socket.emit('say', 'red', 'meanwhile', name);
          await two.waitFor('said', 1, patience);
        }, { nodeFails: true }),
        checks.step(title(`what ${gateway.name} is told to send reaches its own clients`), async () => {
          gateway.emit({ rooms: ['red'] }, event, [name]).catch((error) => console.log(`      ${gateway.name}: ${error.message}`));
          await one.waitFor(event, 1, patience);
        }, { nodeFails: true }),
        checks.step(title(`a new client of ${gateway.name} gets in`), async () => {
          const late = await TestClient.connect(gateway, { name: 'late' });
          same(await late.ask('echo', 'in'), 'in', 'echo');
          late.close();
        }),
        checks.step(title(`a client that returns to ${gateway.name} is let in`), async () => {
          mover.cut();
          await until(patience, () => mover.connects.length > 0, 'connect');
        }, { nodeFails: true }),
      ]);
    })());
  }
  await over;
  clearInterval(watch);
  await end();
  const back = Date.now();
  await Promise.all(during);

  await checks.step(title('no member exits, /live stays 200'), async () => {
    for (const { server, name: who } of members) same([server.exitCode, server.exitSignal], [null, null], `end of ${who}`);
    same(lives.filter((status) => status !== 200), [], 'answers of /live');
    truth(lives.length > seconds * 4, `only ${lives.length} answers of /live`);
  });
  await checks.step(title('/ready of all is 200 again within 3 s'), async () => {
    for (const { url, name: who } of gateways) {
      await until(Math.max(100, 3000 - (Date.now() - back)), async () => (await httpGet(`${url}/ready`)).status === 200 && !saysSo(await httpGet(`${url}/ready`)), `/ready of ${who}`);
    }
  });
  await checks.step(title('Redis counts every member once again within 5 s'), async () => {
    await until(5000, async () => await cluster.count('/') === members.length, 'the count');
  });
  await sleep(300);
  const all = await pause(8000).catch((error) => { checks.record(title('the publisher gets rid of its numbers'), error); return []; });
  const want = all.slice(skipped);
  truth(want.length > 5 || all.length === 0, 'hardly a number was published');
  for (const member of members) {
    await checks.step(title(`clients of ${member.name} have all ${want.length} numbers of the stream, in order, once`), async () => {
      const { one, two } = clients.get(member);
      for (const client of [one, two]) sameNumbers(client.of('number').map(({ args }) => args[0]), want, client.name);
    });
    const { mover } = clients.get(member);
    if (mover.connects.length === 0) continue;
    // Node reads the stream and what was missed side by side: a message may be in both, or in neither.
    await checks.step(title(`who returned to ${member.name} meanwhile has all numbers, or was told that it begins anew`), () => {
      if (mover.connects.every(({ recovered }) => recovered)) sameNumbers(mover.of('number').map(({ args }) => args[0]), want, mover.name);
    }, { nodeFails: true });
  }
  for (const member of members) {
    await checks.step(title(`clients of ${member.name} kept their connection`), () => {
      const { one, two } = clients.get(member);
      same([one.disconnects, two.disconnects], [[], []], 'disconnects');
    });
  }
  for (const gateway of gateways) {
    await checks.step(title(`what ${gateway.name} was told to send meanwhile is with everybody, once`), async () => {
      for (const { one } of clients.values()) {
        const event = `sent meanwhile by ${gateway.name}`;
        await one.waitFor(event, 1, 1000);
        same(one.of(event).length, 1, `times at ${one.name}`);
      }
    });
  }
  for (const node of nodes) {
    await checks.step(title(`${node.name} gets answers of all members again`), async () => {
      const sockets = await node.fetchSockets({});
      for (const { one, two } of clients.values()) {
        same(sockets.filter(({ id }) => [one.sid, two.sid].includes(id)).length, 2, `sockets of ${one.member.name}`);
      }
    });
  }
  const recovered = everyone.flatMap(({ connects }) => connects);
  console.log(`      ${name}: away for ${((back - lost) / 1000).toFixed(1)} s (${lost - beganAt} ms to take away), ${want.length} numbers, `
    + `${recovered.filter((one) => one.recovered).length} of ${recovered.length} who returned recovered`);
  // The movers that began anew join again for the next outage.
  for (const { mover } of clients.values()) await mover.ask('join', 'red');
}

const length = (short) => (full ? 20 : short);
const outages = [
  { name: 'Redis stopped', seconds: length(5), begin: () => redis.stop('SIGTERM'), end: () => redis.run() },
  { name: 'Redis frozen', seconds: length(5), begin: () => redis.freeze(), end: () => redis.thaw() },
  { name: 'Redis crashed', seconds: length(2), begin: () => redis.stop('SIGKILL'), end: () => redis.run() },
  { name: 'Redis restarted empty', seconds: length(2), empty: true, begin: () => redis.stop('SIGTERM'), end: () => { redis.forget(); return redis.run(); } },
];
for (const one of outages) {
  await within(one.seconds * 1000 + 40000, outage(one), one.name).catch((error) => checks.record(one.name, error));
}

clearInterval(publisher);
for (const client of everyone) client.close();
await cluster.end();
await checks.end(cluster.servers());
