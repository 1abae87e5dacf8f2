// A limit per user holds over all his tabs and all gateways, and is nobody else's.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { io } from 'socket.io-client';
import { Checks, same, sleep, startGateway, truth, until, within } from '../integration/lib/harness.mjs';
import { clusterOptions } from './lib/cluster.mjs';
import { RedisServer } from './lib/redis.mjs';

const checks = new Checks('limits');
const folder = mkdtempSync(join(tmpdir(), 'sio-limits-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const routesFile = join(folder, 'routes.json');
writeFileSync(routesFile, JSON.stringify({ version: 1, namespaces: { '/': { events: { echo: [{ ack: '{event.args}' }] } } } }));
const redis = await RedisServer.start({});
const servers = [];
const clients = [];

async function gateway(name, limit) {
  const server = await startGateway({
    options: { ...clusterOptions(redis.url, name), '--routes': routesFile, '--auth': 'dev', '--rate-limit': 'off', '--user-rate-limit': limit },
  });
  servers.push(server);
  await until(3000, async () => (await fetch(`${server.url}/ready`)).status === 200, `${name} to be ready`);
  return server;
}

async function tab(server, user) {
  const client = io(server.url, { transports: ['websocket'], auth: user ? { token: user } : {}, forceNew: true, reconnection: false });
  clients.push(client);
  await within(3000, new Promise((done) => client.once('connect', done)), 'connect');
  return client;
}

const send = async (client, value = 1) => (await client.timeout(3000).emitWithAck('echo', value)) === value;

const one = await gateway('one', '20/20s');
const two = await gateway('two', '20/20s');

await checks.step('four tabs on two gateways share one bucket', async () => {
  const tabs = [await tab(one, 'ann'), await tab(one, 'ann'), await tab(two, 'ann'), await tab(two, 'ann')];
  let served = 0;
  const began = Date.now();
  for (let i = 0; i < 60; i += 1) {
    if (await send(tabs[i % 4])) served += 1;
    await sleep(60);
  }
  const gained = (Date.now() - began) / 1000;   // one a second
  // Each gateway may be ahead by what came between two reports.
  truth(served >= 20 && served <= 20 + gained + 4, `${served} of 60 served in ${gained.toFixed(1)} s`);
});

await checks.step('who is over the limit is told for how long, and another user is served', async () => {
  const ann = await tab(one, 'ann');
  const refused = await ann.timeout(3000).emitWithAck('echo', 2);
  same(refused.error, 'rate limit exceeded', 'error');
  truth(refused.retryAfterMs > 0 && refused.retryAfterMs <= 20000, `retryAfterMs ${refused.retryAfterMs}`);
  const bob = await tab(one, 'bob');
  for (let i = 0; i < 20; i += 1) truth(await send(bob), 'an event of bob is served');
});

await checks.step('a new gateway knows what a user has used up', async () => {
  const carl = await tab(one, 'carl');
  for (let i = 0; i < 20; i += 1) truth(await send(carl), 'an event of carl is served');
  await sleep(400);
  const elsewhere = await tab(two, 'carl');
  await sleep(400);
  let served = 0;
  for (let i = 0; i < 10; i += 1) if (await send(elsewhere)) served += 1;
  truth(served <= 2, `${served} served at the other gateway`);
});

await checks.step('anonymous sockets are not counted together', async () => {
  const nobody = await tab(two, '');
  for (let i = 0; i < 40; i += 1) truth(await send(nobody), 'an event is served');
});

await checks.step('while Redis is away each gateway counts for itself', async () => {
  await redis.stop();
  const dora = await tab(one, 'dora');
  let served = 0;
  for (let i = 0; i < 40; i += 1) if (await send(dora)) served += 1;
  truth(served >= 20 && served <= 22, `${served} served`);
});

for (const client of clients) client.disconnect();
await checks.end(servers);
