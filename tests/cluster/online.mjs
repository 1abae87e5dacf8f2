// What --check-config --online of the three daemons says of a Redis: that nobody lets us in, and why; and each right that is
// missing, by the words of the ACL SETUSER that adds it. It leaves nothing in Redis.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Checks, lowPort, root, same, setup, truth } from '../integration/lib/harness.mjs';
import { checkOnline } from '../integration/lib/online.mjs';
import { Authd } from '../authd/lib/authd.mjs';
import { RedisServer } from './lib/redis.mjs';

const checks = new Checks('online');
const folder = mkdtempSync(join(tmpdir(), 'sio-online-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const file = (name, text) => {
  writeFileSync(join(folder, name), text, { mode: 0o600 });
  return join(folder, name);
};
const routes = (value) => file(`r${Math.random().toString(36).slice(2)}.json`, JSON.stringify({ version: 1, ...value }));

const redis = await setup(checks, () => RedisServer.start({}));
const client = redis.client();
const url = (user, options = '') => `redis://${user}${user && '@'}127.0.0.1:${redis.port}${options}`;

/** What makes each daemon use all that it can of Redis. */
const all = {
  gateway: ['--host', '127.0.0.1', '--api-keys-file', file('keys', 'shop k7Wq2x9LmZpR4vT8yB3nC6dF1gH5jS0a\n')],
  bridge: ['--embedded-broker', '--routes', routes({ topics: { news: [{ emit: 'news', args: [1], to: 'all' }] } })],
  authd: ['--anonymous'],
};
const check = (daemon, address, args = [], how = {}) => checkOnline(daemon, [...all[daemon], '--redis', address, ...args], how);

/** The users of sio(7), REDIS RIGHTS: the words of each ACL SETUSER. */
const users = [...readFileSync(join(root, 'man/sio.7'), 'utf8').matchAll(/^ACL SETUSER (\S+)([^]*?)^\.Ed/gm)]
  .map(([, name, text]) => ({ name, words: text.trim().split(/\s+/).map((word) => (word === '>PASSWORD' ? '>pw' : word)) }));

for (const daemon of Object.keys(all)) {
  const { name, words } = users.find((one) => one.name === `sio-${daemon}`);
  await checks.step(`sio-${daemon}: the rights of the manual are enough, and nothing is left in Redis`, async () => {
    await client.call('ACL', 'SETUSER', name, 'reset', ...words);
    const { code, out, faults } = await check(daemon, url(`${name}:pw`));
    same([code, faults], [0, []], 'status and faults');
    truth(out.includes('what it names answers'), `it says ${out}`);
    same(await client.keys('*'), [], 'keys');
  });
  await checks.step(`sio-${daemon}: each right that is taken away is named by its own word, in one line`, async () => {
    // Without these a daemon works: names of connections are for people, roles for sentinels.
    const tolerated = ['+ping', '+role', '+select', '+client|setname', ...(daemon === 'authd' ? ['+client|id'] : [])];
    const needed = words.filter((word) => /^[+~&]/.test(word) && !tolerated.includes(word));
    for (const word of needed) {
      await client.call('ACL', 'SETUSER', name, 'reset', ...words.filter((one) => one !== word));
      const { code, faults } = await check(daemon, url(`${name}:pw`));
      same([code, faults.length], [69, 1], `${word}: status and faults: ${faults}`);
      truth(faults[0].includes(`ACL SETUSER ${name} ${word} gives`), `${word}: it says ${faults[0]}`);
    }
  });
}

await checks.step('a namespace of the routes beside / needs channels of its own, which are named', async () => {
  const { name, words } = users.find((one) => one.name === 'sio-gateway');
  await client.call('ACL', 'SETUSER', name, 'reset', ...words);
  const args = ['--routes', routes({ namespaces: { '/shop': { events: {} } } })];
  const before = await check('gateway', url(`${name}:pw`), args);
  truth(before.code === 69 && before.faults[0].includes('&socket.io#/shop#* &socket.io-request#/shop#'), `it says ${before.err}`);
  await client.call('ACL', 'SETUSER', name, '&socket.io#/shop#*', '&socket.io-request#/shop#');
  same((await check('gateway', url(`${name}:pw`), args)).code, 0, 'status once they are given');
});

/** A listener that takes connections and says nothing. */
async function silent() {
  const server = createServer(() => {});
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return server;
}

await checks.step('who is not let in is told why and what to do: port, password, user, database, TLS', async () => {
  const closed = await lowPort();
  await client.call('ACL', 'SETUSER', 'ann', 'reset', 'on', '>right', '~*', '&*', '+@all');
  for (const daemon of Object.keys(all)) {
    for (const [address, words] of [
      [`redis://127.0.0.1:${closed}`, ['Connection refused', 'is Redis running']],
      [`unix://${folder}/none.sock`, ['No such file', 'unixsocket']],
      [url('ann:wrong'), ['WRONGPASS', 'redis-password']],
      [url('ann:right', '/99'), ['cannot select the database', 'redis-database']],
      [`rediss://127.0.0.1:${redis.port}`, ['TLS', 'redis:// is without TLS']],
      ['redis://no-such-host.invalid', ['cannot resolve', 'REDIS_HOST']],
    ]) {
      const { code, faults } = await check(daemon, address);
      same([code, faults.length], [69, 1], `${address}: status and faults: ${faults}`);
      truth(words.every((word) => faults[0].includes(word)), `${address}: it says ${faults[0]}`);
      truth(!/wrong|right/.test(faults[0]), `a password is told: ${faults[0]}`);
    }
  }
});

await checks.step('a Redis that asks for a password, and a password that it does not ask for', async () => {
  const without = await check('gateway', url(':pw'));
  truth(without.code === 69 && without.faults[0].includes('WRONGPASS') || without.faults[0].includes('leave redis-password out'), `it says ${without.err}`);
  await client.call('CONFIG', 'SET', 'requirepass', 'hush');
  const { code, faults } = await check('gateway', url(''));
  await client.call('CONFIG', 'SET', 'requirepass', '');
  truth(code === 69 && faults[0].includes('NOAUTH') && faults[0].includes('REDIS_PASSWORD'), `it says ${faults}`);
});

await checks.step('a replica, and memory that is full', async () => {
  await client.call('CONFIG', 'SET', 'maxmemory', '1');
  const full = await check('bridge', url(''));
  await client.call('CONFIG', 'SET', 'maxmemory', '0');
  truth(full.code === 69 && full.faults.some((line) => line.includes('OOM') && line.includes('maxmemory')), `it says ${full.err}`);
  const replica = await RedisServer.start({});
  await replica.client().call('REPLICAOF', '127.0.0.1', String(redis.port));
  const { code, faults } = await check('bridge', replica.url);
  await replica.end();
  truth(code === 69 && faults.some((line) => line.includes('READONLY') && line.includes('name the master')), `it says ${faults}`);
});

await checks.step('who says nothing is named when the time is over, which --online=TIME sets', async () => {
  const server = await silent();
  const { code, faults, ms } = await check('gateway', `redis://127.0.0.1:${server.address().port}`, [], { limit: '300ms' });
  server.close();
  same([code, faults.length], [69, 1], `status and faults: ${faults}`);
  truth(faults[0].includes('not done within 300ms'), `it says ${faults[0]}`);
  truth(ms < 3000, `it took ${ms} ms`);
});

await checks.step('faults of the files and of what is connected to are told in one run; --online stands beside --check-config only', async () => {
  const { code, faults } = await check('gateway', url('ann:wrong'), ['--client-dir', folder]);
  same(code, 78, 'status');
  truth(faults.some((line) => line.includes('client-dir')) && faults.some((line) => line.includes('WRONGPASS')), `it says ${faults}`);
  const alone = await checkOnline('gateway', ['--print-config']);
  same(alone.code, 64, 'status');
  truth(alone.faults[0].startsWith('--online goes with --check-config'), `it says ${alone.err}`);
  same((await check('gateway', url(''), [], { limit: 'soon' })).code, 64, 'status for a time that is none');
});

await checks.step('sio-authd, as the gateway meets it: not there, somebody else, and well', async () => {
  const auth = (path) => checkOnline('gateway', ['--host', '127.0.0.1', '--authd', path], { limit: '1s' });
  const none = await auth(join(folder, 'authd.sock'));
  truth(none.code === 69 && none.faults[0].includes('start sio-authd'), `it says ${none.err}`);
  const other = await auth(redis.socketPath);
  truth(other.code === 69 && other.faults[0].startsWith('authd '), `it says ${other.err}`);
  const daemon = await Authd.start({});
  const { code, faults } = await auth(daemon.control);
  await daemon.stop();
  same([code, faults], [0, []], 'status and faults');
});

await redis.end();
await checks.end();
