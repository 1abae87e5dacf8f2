// Several streams (redis-stream-count): namespaces are spread over them, and nothing is lost or comes twice.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Checks, httpGet, same, sleep, startGateway, truth, until,
} from '../integration/lib/harness.mjs';
import { AdminClient } from './lib/admin.mjs';
import { TestClient } from './lib/client.mjs';
import { clusterOptions } from './lib/cluster.mjs';
import { RedisServer } from './lib/redis.mjs';

const checks = new Checks('streams');
const folder = mkdtempSync(join(tmpdir(), 'sio-streams-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const names = ['/', '/a', '/b', '/c', '/d'];
const routesFile = join(folder, 'routes.json');
writeFileSync(routesFile, JSON.stringify({ version: 1, namespaces: Object.fromEntries(names.map((name) => [name, {}])) }));
const redis = await RedisServer.start({ keep: true });
const start = (name) => startGateway({
  options: { ...clusterOptions(redis.url, name), '--routes': routesFile, '--redis-stream-count': '4' },
});
const servers = [await start('one'), await start('two')];
const [one, two] = servers;
const admin = await AdminClient.connect(one.control);
await until(5000, async () => (await admin.request('nodes')).nodes.length === 2, 'two nodes');
const clients = [];
for (const server of servers) {
  for (const nsp of names) clients.push(await TestClient.connect(server, { name: `${nsp} of ${server === one ? 'one' : 'two'}`, nsp }));
}
const metric = async (server, name) => Number(new RegExp(`^${name} (\\d+)$`, 'm')
  .exec((await httpGet(`${server.url}/metrics`, { headers: { accept: 'text/plain' } })).body)[1]);
const per = 60;
/** Emits to the namespaces in turn, without a pause, and waits until all of it has come once and in order. */
async function round(event, ms, between = async () => {}) {
  const asked = [];
  for (let n = 0; n < per * names.length; n += 1) asked.push(admin.request('emit', { nsp: names[n % names.length], event, args: [n] }, { timeout: 20000 }));
  await between();
  await Promise.all(asked);
  for (const client of clients) {
    const want = Array.from({ length: per }, (_, n) => n * names.length + names.indexOf(client.nsp));
    await client.waitFor(event, per, ms);
    same(client.of(event).map(({ args }) => args[0]), want, client.name);
  }
}

await checks.step('what one gateway emits to many namespaces at once comes to all of them', async () => {
  await round('spread', 4000);
  const keys = (await redis.client().keys('socket.io-*')).length;
  truth(keys >= 2, `the namespaces lie on ${keys} stream: this tests nothing`);
  for (const server of servers) same(await metric(server, 'sio_stream_entries_repeated_total'), 0, 'repeated');
  same(await metric(one, 'sio_spool'), 0, 'spool');
});

await checks.step('what waits while Redis is away comes once, when it is back', async () => {
  await round('waited', 15000, async () => {
    redis.freeze();
    await sleep(2500);
    redis.thaw();
  });
  await until(5000, async () => await metric(one, 'sio_spool') === 0, 'an empty spool');
  await sleep(300);
  for (const client of clients) same(client.of('waited').length, per, client.name);
}, { timeout: 30000 });

for (const client of clients) client.close();
admin.close();
setTimeout(() => redis.end(), 0);
await checks.end(servers);
