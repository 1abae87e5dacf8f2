// Presence: users, not tabs, over all gateways; what clients and `sioctl presence` are told of it.
//
// --full: 2,000 users instead of 200.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { io } from 'socket.io-client';
import {
  Checks, runCommand, same, sioctlBinary, sleep, startGateway, truth, until, within,
} from '../integration/lib/harness.mjs';
import { clusterOptions, full } from './lib/cluster.mjs';
import { RedisServer } from './lib/redis.mjs';

const graceMs = 1000;
const many = full ? 2000 : 200;
// What the routes say of presence, and the option for the grace: the one place that knows how they are spelled.
const routes = {
  version: 1,
  namespaces: {
    '/': {
      events: { watch: [{ join: 'watchers', allow: 'anyone' }, { ack: [true] }] },
      on_online: [{ emit: 'user_online', args: [{ user: '{user.id}' }], to: { room: 'watchers' } }],
      on_offline: [{ emit: 'user_offline', args: [{ user: '{user.id}' }], to: { room: 'watchers' } }],
    },
  },
};
const presenceOptions = { '--auth': 'dev', '--presence-grace': `${graceMs}ms` };

const checks = new Checks('presence');
const folder = mkdtempSync(join(tmpdir(), 'sio-presence-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const routesFile = join(folder, 'routes.json');
writeFileSync(routesFile, JSON.stringify(routes));
const servers = [];
const clients = new Set();

async function gateway(name, redis, extra = {}) {
  const options = { ...(redis ? clusterOptions(redis.url, name) : {}), ...presenceOptions, '--routes': routesFile, ...extra };
  const server = await startGateway({ options });
  servers.push(server);
  return server;
}

/** A tab of `user`, once it is connected. */
async function tab(server, user) {
  const client = io(server.url, { transports: ['websocket'], auth: { token: user }, forceNew: true, reconnection: false });
  clients.add(client);
  await within(10000, new Promise((done, fail) => {
    client.once('connect', done);
    client.once('connect_error', fail);
  }), `connect of ${user}`);
  return client;
}

async function tabs(server, users) {
  const opened = [];
  for (let i = 0; i < users.length; i += 50) {
    opened.push(...await Promise.all(users.slice(i, i + 50).map((user) => tab(server, user))));
  }
  return opened;
}

function close(client) {
  clients.delete(client);
  client.disconnect();
}

/** Somebody who hears what is announced: `of(user)` is `+` and `-` in their order. */
class Watcher {
  static async start(server, name) {
    const watcher = new Watcher();
    watcher.heard = [];
    watcher.client = await tab(server, name);
    watcher.client.on('user_online', ({ user }) => watcher.heard.push([user, '+', Date.now()]));
    watcher.client.on('user_offline', ({ user }) => watcher.heard.push([user, '-', Date.now()]));
    await within(3000, new Promise((done) => watcher.client.emit('watch', done)), 'watch');
    return watcher;
  }

  of(user) { return this.heard.filter(([whose]) => whose === user).map(([, change]) => change).join(''); }
}

const sioctl = (server, words) => runCommand(sioctlBinary, ['--control', server.control, ...words], '', { anyExit: true });
const lines = (text) => text.split('\n').filter(Boolean).map((line) => JSON.parse(line));

async function alone() {
  const server = await gateway('alone', null);
  const watcher = await Watcher.start(server, 'watcher');
  await checks.step('a gateway without Redis announces its own users', async () => {
    const [one, two] = await tabs(server, ['alice', 'alice']);
    await until(2000, () => watcher.of('alice') === '+', 'user_online');
    close(one);
    await sleep(graceMs + 300);
    same(watcher.of('alice'), '+', 'with a tab left');
    close(two);
    same((await sioctl(server, ['presence', 'alice'])).code, 0, 'in grace');
    await until(graceMs + 2000, () => watcher.of('alice') === '+-', 'user_offline');
    same((await sioctl(server, ['presence', 'alice'])).code, 1, 'afterwards');
  });
}

async function together() {
  const redis = await RedisServer.start({ keep: false });
  const ask = redis.client();
  const [a, b] = await Promise.all([gateway('A', redis), gateway('B', redis)]);
  const watchers = [await Watcher.start(a, 'watcherA'), await Watcher.start(b, 'watcherB')];
  const heard = (user) => watchers.map((watcher) => watcher.of(user)).join('|');
  const hears = (user, want, ms = 3000) => until(ms, () => heard(user) === `${want}|${want}`, `${user}: ${want}`)
    .catch((error) => { throw new Error(`${error.message}; heard ${heard(user)}`); });

  await checks.step('three tabs on two gateways are one user, announced once on each gateway', async () => {
    const [one, two] = await tabs(a, ['alice', 'alice']);
    const three = await tab(b, 'alice');
    await hears('alice', '+');
    close(one);
    close(two);
    await sleep(graceMs + 500);
    same(heard('alice'), '+|+', 'a tab on the other gateway is left');
    const began = Date.now();
    close(three);
    await hears('alice', '+-', graceMs + 2000);
    truth(Date.now() - began >= graceMs - 50, `offline after ${Date.now() - began} ms, before the grace was over`);
  });

  await checks.step('a reconnect within the grace is hidden, here and elsewhere', async () => {
    let client = await tab(a, 'bob');
    await hears('bob', '+');
    for (const server of [a, b, b, a]) {
      close(client);
      await sleep(graceMs / 4);
      client = await tab(server, 'bob');
      await sleep(50);   // a shorter visit is none
    }
    await sleep(graceMs + 500);
    same(heard('bob'), '+|+');
    close(client);
    await hears('bob', '+-', graceMs + 2000);
  });

  await checks.step('sioctl presence tells of one, of many and of all, with its exit codes', async () => {
    const client = await tab(b, 'carol');
    await hears('carol', '+');
    const one = await sioctl(a, ['presence', 'carol']);
    same([one.code, lines(one.out)], [0, [{ user: 'carol', online: true }]]);
    const absent = await sioctl(a, ['presence', 'nobody']);
    same([absent.code, lines(absent.out)], [1, [{ user: 'nobody', online: false }]]);
    const both = await sioctl(a, ['presence', 'carol', 'nobody', '-o', 'json']);
    same([both.code, JSON.parse(both.out).online], [0, { carol: true, nobody: false }]);
    const table = await sioctl(a, ['presence', 'carol', 'nobody', '-o', 'table']);
    same(table.out.split('\n').map((line) => line.split(/ +/).join(' ')), ['USER PRESENCE', 'carol online', 'nobody offline', '']);
    const all = await sioctl(a, ['presence']);
    same([all.code, lines(all.out).map(({ user }) => user)], [0, ['carol', 'watcherA', 'watcherB']]);
    truth(/^sioctl: 3 online$/m.test(all.err), all.err);
    const some = await sioctl(a, ['presence', '--limit', '1']);
    same(lines(some.out).length, 1, 'limited');
    truth(/3 online, 1 shown/.test(some.err), some.err);
    same((await sioctl(a, ['presence', 'carol', '--limit', '1'])).code, 64, 'limit and user');
    same((await sioctl(a, ['presence', ''])).code, 64, 'empty user');
    close(client);
  });

  await checks.step('a thousand users are asked for in one round trip', async () => {
    const calls = async () => Number(/cmdstat_hmget:calls=(\d+)/.exec(await ask.info('commandstats'))?.[1] ?? 0);
    const before = await calls();
    const users = Array.from({ length: 1000 }, (_, i) => (i === 500 ? 'watcherB' : `nobody${i}`));
    const answer = await sioctl(a, ['presence', ...users]);
    same(lines(answer.out).filter(({ online }) => online), [{ user: 'watcherB', online: true }]);
    same(await calls() - before, 1, 'HMGET calls');
  });

  await checks.step(`${many} users who reconnect to the other gateway are not announced`, async () => {
    const users = Array.from({ length: many }, (_, i) => `user${i}`);
    const next = [];
    let opened = await tabs(a, users);
    await until(10000, () => watchers.every((watcher) => users.every((user) => watcher.of(user) === '+')), 'all online');
    for (let i = 0; i < many; i += 50) {
      for (const client of opened.splice(0, 50)) close(client);
      next.push(...await tabs(b, users.slice(i, i + 50)));
    }
    opened = next;
    await sleep(graceMs + 1000);
    for (const user of users) same(heard(user), '+|+', user);
    same(Number(await ask.hlen('{sio}:presence')), many + 2, 'users in Redis');
    for (const client of opened) close(client);
    await until(10000, () => watchers.every((watcher) => users.every((user) => watcher.of(user) === '+-')), 'all offline');
  }, { timeout: 90000 });

  await checks.step('the users of a gateway killed with SIGKILL go offline within 15 s, once each', async () => {
    const c = await gateway('C', redis);
    const users = Array.from({ length: many }, (_, i) => `orphan${i}`);
    const moving = users.slice(0, many / 2);
    const staying = users.slice(many / 2);
    await tabs(c, users);
    await until(10000, () => watchers.every((watcher) => users.every((user) => watcher.of(user) === '+')), 'all online');
    c.child.kill('SIGKILL');
    const died = Date.now();
    const moved = await tabs(b, moving);
    await until(15000, () => watchers.every((watcher) => staying.every((user) => watcher.of(user) === '+-')), 'all offline');
    console.log(`      offline ${((Date.now() - died) / 1000).toFixed(1)} s after the end`);
    await sleep(graceMs + 1500);
    for (const user of staying) same(heard(user), '+-|+-', user);
    for (const user of moving) same(heard(user), '+|+', user);
    for (const client of moved) close(client);
  }, { timeout: 90000 });

  await checks.step('a gateway that is stopped hands its users over without a flicker', async () => {
    const d = await gateway('D', redis, { '--drain-deadline': '1s' });
    const client = await tab(d, 'dora');
    await hears('dora', '+');
    const ended = new Promise((done) => client.once('disconnect', done));
    d.child.kill('SIGTERM');
    await within(5000, ended, 'the goodbye');
    const again = await tab(a, 'dora');
    await sleep(graceMs + 2500);
    same(heard('dora'), '+|+');
    close(again);
    await hears('dora', '+-', graceMs + 3000);
  }, { timeout: 20000 });

  await checks.step('Redis away: the question is refused; Redis empty again: nobody is announced anew', async () => {
    const erin = await tab(a, 'erin');
    await hears('erin', '+');
    await redis.stop();
    const refused = await until(5000, async () => {
      const answer = await sioctl(a, ['presence', 'erin']);
      return answer.code === 69 && answer;
    }, 'exit code 69');
    truth(/Redis/.test(refused.err), refused.err);
    await redis.run();
    await until(10000, async () => (await sioctl(b, ['presence', 'erin'])).code === 0, 'erin online again');
    const fred = await tab(b, 'fred');
    await hears('fred', '+', 10000);
    await sleep(2000);
    same(heard('erin'), '+|+');
    close(erin);
    close(fred);
    await hears('erin', '+-', 20000);
    await hears('fred', '+-', 20000);
  }, { timeout: 60000 });

  for (const client of clients) client.disconnect();
  await redis.end();
}

await alone();
await together();
await checks.end(servers);
