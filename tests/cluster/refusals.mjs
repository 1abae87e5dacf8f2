// What Redis refuses to a gateway is told where an operator looks, and costs nothing while it lasts; once it is granted
// the gateway is a member of the cluster, without a restart.

import { readFileSync } from 'node:fs';
import { Checks, httpGet, same, sleep, startGateway, truth, until } from '../integration/lib/harness.mjs';
import { TestClient } from './lib/client.mjs';
import { clusterOptions } from './lib/cluster.mjs';
import { RedisServer } from './lib/redis.mjs';

const checks = new Checks('refusals');
const redis = await RedisServer.start({});
const client = redis.client();
const everything = ['on', '>pw', '~*', '&*', '+@all'];

/** Clock ticks (10 ms) that a process has computed for. */
const ticks = (pid) => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ').slice(11, 13)
  .reduce((sum, part) => sum + Number(part), 0);
const commands = async () => Number(/total_commands_processed:(\d+)/.exec(await client.info('stats'))[1]);
const metric = async (server, name) => Number(new RegExp(`^${name} (\\d+)`, 'm')
  .exec((await httpGet(`${server.url}/metrics`, { headers: { accept: 'text/plain' } })).body)?.[1]);

const cases = [
  { name: 'no channels', rights: ['resetchannels'], says: /cannot subscribe to its channels: NOPERM.*channels/, away: true },
  { name: 'no keys', rights: ['resetkeys'], says: /cannot find the end of the stream: NOPERM.*keys/, away: true },
  { name: 'no XINFO', rights: ['-xinfo'], says: /cannot find the end of the stream: NOPERM.*xinfo/, away: true },
  { name: 'no XREAD', rights: ['-xread'], says: /cannot read the stream: NOPERM.*xread/, away: true },
  { name: 'no XREVRANGE', rights: ['-xrevrange'], says: /cannot see the end of the stream: NOPERM.*xrevrange/, away: true },
  { name: 'no PUBLISH', rights: ['-publish'], says: /NOPERM.*publish/ },
  { name: 'no SCRIPT LOAD', rights: ['-script'], says: /NOPERM.*script/ },
  { name: 'no rights in scripts', rights: ['-hset'], says: /user executing the script can't|NOPERM.*hset/ },
];

for (const { name, rights, says, away } of cases) {
  const server = {};
  await checks.step(`${name}: named in /ready, /health, the metrics and once in the log, without a busy loop`, async () => {
    await client.call('ACL', 'SETUSER', 'sio', 'reset', ...everything, ...rights);
    const redisUrl = `redis://sio:pw@127.0.0.1:${redis.port}/0`;
    Object.assign(server, { it: await startGateway({ options: { ...clusterOptions(redisUrl, `case-${cases.findIndex((one) => one.name === name)}`), '--log-level': 'info' }, ready: false }) });
    const { it } = server;
    await until(3000, async () => {
      const ready = await httpGet(`${it.url}/ready`).catch(() => null);
      return ready?.status === 503 && says.test(JSON.parse(ready.body).checks.redis.detail);
    }, `/ready names it: ${(await httpGet(`${it.url}/ready`).catch(() => null))?.body}`);
    const health = await httpGet(`${it.url}/health`);
    same([health.status, JSON.parse(health.body).checks.redis.ok, JSON.parse(health.body).status], [200, false, 'degraded'], '/health');
    const [before, tick] = [await commands(), ticks(it.child.pid)];
    await sleep(1500);
    const [after, tock] = [await commands(), ticks(it.child.pid)];
    truth(after - before < 80, `${after - before} commands in 1.5 s`);
    truth(tock - tick < 15, `${(tock - tick) * 10} ms of CPU in 1.5 s`);
    truth(await metric(it, 'sio_redis_refused_total') > 0, 'sio_redis_refused_total counts');
    const lines = it.log().split('\n').filter((line) => line.includes('redis_refused') && line.includes('REDIS RIGHTS'));
    truth(lines.length > 0, 'the log has it with the remedy');
    same(new Set(lines.map((line) => line.replace(/^\S+ /, ''))).size, lines.length, 'each line is there once');
    truth(it.log().trim().split('\n').length < 40, `a log of ${it.log().split('\n').length} lines`);
  }, { timeout: 15000 });
  await checks.step(`${name}: once granted, the gateway is a member without a restart`, async () => {
    truth(server.it, 'there is a gateway');
    await client.call('ACL', 'SETUSER', 'sio', 'reset', ...everything);
    if (away) await until(4000, async () => await metric(server.it, 'sio_redis_connected') === 1, 'the gateway is live');
    const member = { url: server.it.url, kind: 'gateway', server: server.it };
    const bob = await TestClient.connect(member, { name: 'bob' });
    await server.it.emit('hello', [1]);
    await until(3000, () => bob.of('hello').length === 1, 'an event arrives by the stream');
    truth(Number(await client.xlen('socket.io')) > 0, 'the stream has it');
    bob.close();
  });
  await server.it?.stop();
}

await checks.step('writing refused: clients hear each other at once, and the others all of it once it is granted', async () => {
  await client.call('ACL', 'SETUSER', 'sio', 'reset', ...everything);
  const redisUrl = `redis://sio:pw@127.0.0.1:${redis.port}/0`;
  const one = await startGateway({ options: { ...clusterOptions(redisUrl, 'one'), '--log-level': 'info' } });
  const two = await startGateway({ options: clusterOptions(redis.url, 'two') });
  const [near, far] = [await TestClient.connect({ url: one.url, server: one }, { name: 'near' }),
    await TestClient.connect({ url: two.url, server: two }, { name: 'far' })];
  await client.call('ACL', 'SETUSER', 'sio', '-xadd');
  await one.emit('word', [1]).catch(() => {});   // sioctl says that the others do not answer
  await one.emit('word', [2]).catch(() => {});   // sioctl says that the others do not answer
  await until(3000, () => near.of('word').length === 2, 'the near client hears both');
  const ready = await httpGet(`${one.url}/ready`);
  same(ready.status, 503, '/ready');
  truth(/cannot write to the stream: NOPERM.*xadd/.test(JSON.parse(ready.body).checks.redis.detail), ready.body);
  await sleep(1500);
  truth(one.log().match(/cluster_away/g).length === 1, 'it is said once');
  await client.call('ACL', 'SETUSER', 'sio', '+xadd');
  await until(4000, () => far.of('word').length === 2, 'the far client hears both');
  await sleep(300);
  for (const each of [near, far]) same(each.of('word').map(({ args }) => args[0]), [1, 2], `${each.name} hears each once`);
  for (const each of [near, far]) each.close();
  await one.stop();
  await two.stop();
}, { timeout: 20000 });

await redis.end();
await checks.end();
