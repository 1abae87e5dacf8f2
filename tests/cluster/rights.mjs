// The Redis rights that the manual asks for are enough: a gateway with all that uses Redis, a bridge, sio-authd and sioctl
// under exactly these, after which ACL LOG is empty; and each of them is used, or at least asked for by the sources.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Checks, httpGet, root, runCommand, same, sioctlBinary, sleep, startGateway, truth, until } from '../integration/lib/harness.mjs';
import { AuthClient, Authd } from '../authd/lib/authd.mjs';
import { Bridge } from '../kafka/lib/bridge.mjs';
import { TestClient } from './lib/client.mjs';
import { clusterOptions } from './lib/cluster.mjs';
import { ClassicEmitter, StreamsEmitter } from './lib/emitters.mjs';
import { RedisServer } from './lib/redis.mjs';

/** The users of sio(7), REDIS RIGHTS: the words of each ACL SETUSER. */
const users = [...readFileSync(join(root, 'man/sio.7'), 'utf8').matchAll(/^ACL SETUSER (\S+)([^]*?)^\.Ed/gm)]
  .map(([, name, text]) => ({ name, words: text.trim().split(/\s+/) }));

const routes = {
  version: 1,
  topics: { news: [{ emit: 'news', args: ['{record.value}'], to: 'all' }] },
  namespaces: {
    '/': {
      events: {
        join: [{ join: '{event.0}', allow: 'anyone' }, { ack: [true] }],
        tell: [{ publish: 'told', key: '{user.id}', value: '{event.0}' }, { ack: [true] }],
      },
      on_online: [{ emit: 'online', args: ['{user.id}'], to: 'all' }],
      on_offline: [{ emit: 'offline', args: ['{user.id}'], to: 'all' }],
    },
    '/chat': { events: { join: [{ join: '{event.0}', allow: 'anyone' }, { ack: [true] }] } },
  },
};

const checks = new Checks('rights');

await checks.step('the manual has one user for all and one for each program', () => {
  same(users.map(({ name }) => name), ['sio', 'sio-gateway', 'sio-bridge', 'sio-authd'], 'users of sio(7)');
  const all = new Set(users[0].words);
  for (const { name, words } of users.slice(1)) {
    for (const word of words.filter((one) => /^[+&]/.test(one))) truth(all.has(word), `${word} of ${name} is a right of all`);
  }
});

/** The commands that the sources of `folders` name, as rights: of scripts, and of what is sent. */
function asked(folders) {
  const sources = folders.flatMap((folder) => readdirSync(join(root, 'src', folder))
    .map((file) => readFileSync(join(root, 'src', folder, file), 'utf8'))).join('\n');
  const found = [...sources.matchAll(/\bcall\('([A-Z]+)'(?:, '([A-Z]+)')?/g), ...sources.matchAll(/(?:put\(Ask::\w+, |send(?:_blocking)?\(\s*|words(?:\s*=\s*|)|command\[\] = |command(?: = |)|args)\{\s*"([A-Z]+)"(?:, "([A-Z]+)")?/g),
    ...sources.matchAll(/\? "(EVAL)" : "EVALSHA"/g), ...sources.matchAll(/"(EVAL)", std::string\(script\)/g)];
  const containers = ['CLIENT', 'SCRIPT', 'PUBSUB', 'XINFO', 'XGROUP', 'MEMORY'];
  return new Set(found.map(([, command, sub]) => `+${command}${containers.includes(command) ? `|${sub}` : ''}`.toLowerCase())
    .filter((one) => !['+auth', '+sentinel'].includes(one)));   // needs no right; is asked of sentinels
}

await checks.step('the rights of the manual are the commands that the sources ask for, no more and no less', () => {
  for (const [user, folders] of [['sio', ['redis', 'cluster', 'gateway', 'bridge', 'authd']], ['sio-gateway', ['redis', 'cluster', 'gateway']],
    ['sio-bridge', ['redis', 'cluster', 'bridge']], ['sio-authd', ['redis', 'authd']]]) {
    const given = users.find(({ name }) => name === user).words.filter((word) => word.startsWith('+'));
    const wanted = asked(folders);
    same([given.filter((one) => !wanted.has(one)), [...wanted].filter((one) => !given.includes(one))], [[], []],
      `${user}: given and not asked for, asked for and not given`);
  }
});

/** Everything that makes the programs use Redis, with the users `names`: of gateways, bridge and sio-authd. */
async function useAll(redis, names) {
  const url = (name) => `redis://${name}:pw@127.0.0.1:${redis.port}/0`;
  const client = redis.client();
  const running = [];
  const folderFiles = { 'routes.json': JSON.stringify(routes), keys: 'app: 0123456789abcdef0123456789abcdef0123456789abcdef\n' };
  const options = (name) => ({
    ...clusterOptions(url(names.gateway), name), '--routes': 'FOLDER/routes.json', '--auth': 'dev', '--presence-grace': '200ms',
    '--user-rate-limit': '1000/1s', '--events-lifecycle': 'on', '--log-level': 'info',
  });
  try {
    const one = await startGateway({ options: options('one'), files: folderFiles });
    running.push(() => one.stop());
    const two = await startGateway({ options: options('two'), files: folderFiles });
    running.push(() => two.stop());
    const bridge = await Bridge.start({ name: 'bridge', brokers: null, redis: { unixUrl: url(names.bridge) }, routes,
      ready: false, options: { '--embedded-broker': true, '--session-timeout': null } });
    running.push(() => bridge.stop());
    const authds = [];
    for (let i = 0; i < 2; i += 1) {
      authds.push(await Authd.start({ options: { '--redis': url(names.authd) } }));
      running.push(() => authds[i].stop());
    }
    const member = (server) => ({ url: server.url, server, name: server.control });
    const ann = await TestClient.connect(member(one), { name: 'ann', auth: { token: 'ann' } });
    const bob = await TestClient.connect(member(two), { name: 'bob', auth: { token: 'bob' } });
    const chat = await TestClient.connect(member(two), { name: 'chat', nsp: '/chat', auth: { token: 'cat' } });
    running.push(() => [ann, bob, chat].forEach((each) => each.close()));
    await ann.ask('join', 'red');
    await bob.ask('join', 'red');
    // Emitters of others, and what they ask for.
    await new StreamsEmitter(client).emit({}, 'by-stream', [1]);
    await new ClassicEmitter(redis.client()).emit({}, 'by-channel', [1]);
    for (const each of [ann, bob]) { await each.waitFor('by-stream'); await each.waitFor('by-channel'); }
    // A client that returns to the other gateway: its session is claimed, and what it missed is read.
    await one.emit('before', [1]);
    await bob.waitFor('before');
    bob.cut(member(one));
    await until(5000, () => bob.connects.length === 2 && bob.socket.connected, 'bob returns');
    // Kafka in and out, presence, the stream of events.
    await ann.ask('tell', { n: 1 });
    const sioctl = (server, ...words) => runCommand(sioctlBinary, ['--control', server.control, ...words], '', { anyExit: true });
    const produced = await bridge.sioctl(['produce', 'news', '"hello"']);
    same([produced.code, produced.err], [0, ''], 'sioctl produce');
    await ann.waitFor('news', 1, 20000);
    for (const words of [['sockets'], ['nodes'], ['presence'], ['presence', 'ann'], ['rooms'], ['stat'], ['emit', 'x', '1', '--to', 'red']]) {
      const done = await sioctl(one, ...words);
      truth(done.code === 0 && !/refused|NOPERM|no answer/.test(done.err), `sioctl ${words.join(' ')}: exit ${done.code}: ${done.err}`);
    }
    same((await bridge.sioctl(['dlq', 'list'])).code, 0, 'sioctl dlq list');
    // A revocation of one sio-authd is known to the other.
    const revoker = await AuthClient.connect(authds[0].control);
    await revoker.request('revoke', { user: 'eve' });
    running.push(() => revoker.close());
    await client.call('CLIENT', 'KILL', 'TYPE', 'normal');   // connections that are made again
    await client.call('CLIENT', 'KILL', 'TYPE', 'pubsub').catch(() => {});
    chat.close();
    ann.close();
    await sleep(1500);  // presence: offline after its grace, buried by the other
    for (const server of [one, two]) {
      await until(5000, async () => (await httpGet(`${server.url}/ready`)).status === 200, 'the gateway is ready').catch(() => {});
      const ready = await httpGet(`${server.url}/ready`);
      same([ready.status, JSON.parse(ready.body).checks.redis.ok], [200, true], `/ready: ${ready.body}`);
    }
    same((await httpGet(`${bridge.url}/ready`)).status, 200, '/ready of the bridge');
    // A gateway that drains, one that is killed (the other buries it), a bridge that is told to end.
    await bridge.terminate();
    one.child.kill('SIGTERM');
    await until(20000, () => one.exitCode !== null, 'the gateway ends');
    const logs = [one, two, ...authds].map((server) => server.log()).join('') + bridge.log();
    truth(!/NOPERM|redis_refused|user executing the script can't/.test(logs), `no refusal is logged: ${/.*(NOPERM|redis_refused|executing the script can't).*/.exec(logs)?.[0]}`);
  } finally {
    for (const stop of running.reverse()) await stop();
  }
  const refused = await client.call('ACL', 'LOG');
  same(refused.map((entry) => Object.fromEntries(entry.map((_, i) => [entry[i], entry[i + 1]]).filter((_, i) => i % 2 === 0)))
    .map(({ reason, context, object, username }) => ({ reason, context, object, username })), [], 'ACL LOG');
}

for (const [title, names] of [
  ['one user for all programs', { gateway: 'sio', bridge: 'sio', authd: 'sio' }],
  ['a user for each program', { gateway: 'sio-gateway', bridge: 'sio-bridge', authd: 'sio-authd' }],
]) {
  await checks.step(`${title}: the rights of the manual are enough`, async () => {
    const redis = await RedisServer.start({});
    try {
      for (const { name, words } of users) {
        // What the manual says of each namespace more: two patterns.
        const more = name === 'sio-gateway' || name === 'sio' ? ['&socket.io#/chat#*', '&socket.io-request#/chat#'] : [];
        await redis.client().call('ACL', 'SETUSER', name, ...words.map((word) => (word === '>PASSWORD' ? '>pw' : word)), ...more);
      }
      await useAll(redis, names);
    } finally {
      await redis.end();
    }
  }, { timeout: 90000 });
}

await checks.step('sio-authd without XADD: its health names it, and the revocation arrives once that is granted', async () => {
  const redis = await RedisServer.start({});
  const client = redis.client();
  const authds = [];
  try {
    await client.call('ACL', 'SETUSER', 'sio', 'on', '>pw', '~*', '+@all', '-xadd');
    for (let i = 0; i < 2; i += 1) authds.push(await Authd.start({ options: { '--redis': `redis://sio:pw@127.0.0.1:${redis.port}/0` } }));
    const [one, two] = await Promise.all(authds.map((each) => AuthClient.connect(each.control)));
    await one.request('revoke', { user: 'eve' });
    await until(2000, async () => /cannot write to sio:revocations: NOPERM/.test(JSON.stringify(await one.request('health'))), 'health names it');
    await sleep(1500);
    same(authds[0].log().match(/revocations_failed/g).length, 1, 'lines in the log');
    truth((await one.request('stat')).stat.redisRefused > 0, 'redisRefused counts');
    await client.call('ACL', 'SETUSER', 'sio', '+xadd');
    await until(4000, async () => /"revocations":1/.test(JSON.stringify(await two.request('health'))), 'the other knows it');
    truth((await one.request('health')).status === 'ok', 'it is well again');
    one.close();
    two.close();
  } finally {
    for (const each of authds) await each.stop();
    await redis.end();
  }
}, { timeout: 20000 });

await checks.end();
