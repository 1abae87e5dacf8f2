// Two gateways under one name: the one that has just come ends itself and says why, the one that works goes on. A name whose
// gateway has died is free at once, and one that was frozen while another came gives it up when it wakes.

import { Checks, httpGet, same, sleep, startAgain, startGateway, truth, until, within } from '../integration/lib/harness.mjs';
import { TestClient } from './lib/client.mjs';
import { clusterOptions } from './lib/cluster.mjs';
import { RedisServer } from './lib/redis.mjs';

const checks = new Checks('names');
const redis = await RedisServer.start({});
const options = (name) => ({ ...clusterOptions(redis.url, name), '--log-level': 'info' });
const isReady = async (server) => (await httpGet(`${server.url}/ready`).catch(() => null))?.status === 200;
const running = [];
const start = async (name, ready = true) => {
  const server = await startGateway({ options: options(name), ready });
  running.push(server);
  return server;
};

const one = await start('one');
const bob = await TestClient.connect({ url: one.url, name: 'one' }, { name: 'bob' });

await checks.step('a second one under a name in use ends itself; the one that works keeps its clients', async () => {
  await sleep(3200);
  const second = await start('one', false);
  same(await within(5000, second.exited, 'end of the second'), 78, 'its exit code');
  truth(/fatal gateway name_in_use node=one reason="another gateway has it, and answers" remedy=/.test(second.log()), second.log().slice(-400));
  await sleep(2500);
  same([one.exitCode, bob.disconnects, await isReady(one)], [null, [], true], 'the first');
});

await checks.step('two that are started at the same moment: one of them stays', async () => {
  const both = await Promise.all([start('twin', false), start('twin', false)]);
  await until(8000, () => both.some(({ exitCode }) => exitCode === 78), 'one ends');
  await sleep(3500);
  same(both.filter(({ exitCode }) => exitCode === null).length, 1, 'that are left');
  truth(await isReady(both.find(({ exitCode }) => exitCode === null)), 'it is ready');
}, { timeout: 15000 });

await checks.step('a gateway that was killed is started again at once under its name', async () => {
  const first = await start('three');
  await sleep(3200);
  first.child.kill('SIGKILL');
  await first.exited;
  const again = startAgain(first);
  running.push(again);
  const began = Date.now();
  await until(1000, () => isReady(again), 'the next is ready');
  truth(Date.now() - began < 500, `after ${Date.now() - began} ms`);
  await sleep(3500);
  same(again.exitCode, null, 'it stays');
  // The same while the first drains.
  again.child.kill('SIGTERM');
  const beside = await start('three');
  await sleep(2500);
  same(beside.exitCode, null, 'the one beside it stays');
}, { timeout: 20000 });

await checks.step('what a dead one said, and is heard late, keeps nobody from its name', async () => {
  const five = await start('five');
  const client = redis.client();
  const late = JSON.stringify({ node: 'five', id: '0123456789abcdef', since_ms: 1, holds: true, asks: true, uids: {} });
  for (let i = 0; i < 3; i += 1) same(await client.publish('sio:session:nodes', late) > 0, true, 'heard');
  await sleep(2500);
  same([five.exitCode, await isReady(five)], [null, true], 'it');
});

await checks.step('one that was frozen while another took its name gives it up when it wakes', async () => {
  const first = await start('four');
  await sleep(3200);
  first.child.kill('SIGSTOP');
  const next = await start('four');
  await sleep(3500);
  first.child.kill('SIGCONT');
  same(await within(5000, first.exited, 'end of the one that was frozen'), 78, 'its exit code');
  truth(/another gateway has taken it while this one did not answer/.test(first.log()), first.log().slice(-400));
  await sleep(2500);
  same([next.exitCode, await isReady(next)], [null, true], 'the other');
}, { timeout: 25000 });

await checks.step('one that was frozen, and missed by nobody, goes on', async () => {
  one.child.kill('SIGSTOP');
  await sleep(1500);
  one.child.kill('SIGCONT');
  await sleep(3000);
  same([one.exitCode, await isReady(one)], [null, true], 'it');
}, { timeout: 15000 });

await checks.step('gateways without a name of their own do not end each other', async () => {
  const unnamed = { ...options('x'), '--node': null };
  const both = await Promise.all([1, 2].map(() => startGateway({ options: unnamed })));
  running.push(...both);
  await sleep(2500);
  same(both.map(({ exitCode }) => exitCode), [null, null], 'exit codes');
});

bob.close();
await redis.end();
await checks.end(running);
