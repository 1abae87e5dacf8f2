// A client that comes back to another gateway before its old one has missed it.

import { Checks, same, sleep, startGateway, truth, until } from '../integration/lib/harness.mjs';
import { Tcp } from '../integration/lib/raw.mjs';
import { AdminClient } from './lib/admin.mjs';
import { clusterOptions } from './lib/cluster.mjs';
import { RedisServer } from './lib/redis.mjs';

const checks = new Checks('takeover');
const redis = await RedisServer.start({});
const client = redis.client();
const routes = { version: 1, namespaces: { '/': { events: { echo: [{ ack: '{event.args}' }] } } } };
const start = (name) => startGateway({
  options: { ...clusterOptions(redis.url, name), '--recovery': 'on', '--routes': 'FOLDER/routes.json' },
  files: { 'routes.json': JSON.stringify(routes) },
});
const servers = [await start('one'), await start('two'), await start('three')];
const [one, two, three] = servers;
for (const server of servers) {
  await until(3000, async () => (await fetch(`${server.url}/ready`)).status === 200, 'the gateway to be ready');
}
const admin = await AdminClient.connect(one.control);
const sockets = async () => (await admin.request('sockets', {})).sockets.map(({ sid, node }) => `${sid} ${node}`);
const openAs = async (server, auth) => {
  const tcp = await Tcp.open(server.port);
  await tcp.upgrade('/socket.io/?EIO=4&transport=websocket');
  await tcp.packet();
  tcp.text(`40${JSON.stringify(auth)}`);
  const answer = await tcp.packet(3000);
  if (answer === null || answer.close !== undefined) return null;   // another connection has its session
  truth(answer.startsWith?.('40'), `CONNECT is answered first, not with ${JSON.stringify(answer)}`);
  // What was missed comes before the answer to what is sent now.
  tcp.text('429["echo"]');
  const events = [];
  for (;;) {
    const packet = await tcp.packet(3000);
    if (packet === null || packet.close !== undefined) return null;
    if (packet.startsWith('439')) return { tcp, events, ...JSON.parse(answer.slice(2)) };
    events.push(JSON.parse(packet.slice(2)));
  }
};

await checks.step('it is the same socket there, gets what it missed, and is gone here', async () => {
  const first = await openAs(one, {});
  await admin.request('emit', { event: 'seen', args: [1] });
  const offset = JSON.parse((await first.tcp.packet(2000)).slice(2)).at(-1);
  await admin.request('emit', { event: 'missed', args: [2] });
  // The old gateway hears of it only when the new one has written the session anew.
  one.child.kill('SIGSTOP');
  const second = await openAs(two, { pid: first.pid, offset }).finally(async () => {
    await sleep(200);
    one.child.kill('SIGCONT');
  });
  same([second.sid, second.pid], [first.sid, first.pid], 'ids');
  same(second.events.map(([name, value]) => [name, value]), [['missed', 2]], 'missed events');
  await until(2000, async () => (await sockets()).join() === `${first.sid} two`, 'the old socket to go');
  await sleep(300);   // for both gateways to have written what they mean to write
  same(await client.exists(`sio:session:${first.pid}`), 1, 'its session in Redis');

  // And again, from the gateway that took it, which now dies.
  two.child.kill('SIGKILL');
  await two.exited;
  const third = await openAs(three, { pid: second.pid, offset: second.events.at(-1).at(-1) });
  same([third.sid, third.events], [first.sid, []], 'at the third');
  third.tcp.destroy();
  first.tcp.destroy();
});

await checks.step('of two connections that ask for a session at the same time, the later has it, and the other is ended', async () => {
  const pairs = [[one, three], [three, three], [three, one]];
  for (const others of Array.from({ length: 20 }, () => pairs).flat()) {
    const first = await openAs(one, {});
    await admin.request('emit', { event: 'seen', args: [1] });
    const offset = JSON.parse((await first.tcp.packet(2000)).slice(2)).at(-1);
    first.tcp.destroy();
    const asked = await Promise.all(others.map((server) => openAs(server, { pid: first.pid, offset })));
    const given = asked.filter((back) => back?.sid === first.sid);
    truth(given.length >= 1, 'nobody has it');
    await until(2000, async () => (await sockets()).filter((line) => line.startsWith(first.sid)).length === 1, 'one socket of that id to be left');
    same(await client.exists(`sio:session:${first.pid}`), 1, 'its session in Redis');
    for (const back of asked) back?.tcp.destroy();
  }
}, { timeout: 30000 });

await checks.step('an answer that is older than a return does not end who has returned by it', async () => {
  const first = await openAs(one, {});
  await admin.request('emit', { event: 'seen', args: [1] });
  const offset = JSON.parse((await first.tcp.packet(2000)).slice(2)).at(-1);
  // While Redis stands still: another gateway asks first; then the old one writes what it keeps, which will be refused,
  // and lets its client in again, which makes the session its own.
  redis.freeze();
  const elsewhere = openAs(three, { pid: first.pid, offset });
  await sleep(200);   // for its claim to stand in Redis's buffer
  first.tcp.destroy();
  await sleep(100);
  const back = await openAs(one, { pid: first.pid, offset }).finally(() => redis.thaw());
  const copy = await elsewhere;
  same(back.sid, first.sid, 'its id');
  await until(2000, async () => (await sockets()).filter((line) => line.startsWith(first.sid)).length === 1, 'one socket of that id to be left');
  same((await sockets()).filter((line) => line.startsWith(first.sid)), [`${first.sid} one`], 'where it is');
  back.tcp.destroy();
  copy?.tcp.destroy();
});

await checks.step('who asked first and died leaves the session to who asks next', async () => {
  const first = await openAs(one, {});
  await admin.request('emit', { event: 'seen', args: [1] });
  const offset = JSON.parse((await first.tcp.packet(2000)).slice(2)).at(-1);
  first.tcp.destroy();
  await admin.request('emit', { event: 'missed', args: [3] });
  // A gateway claims it and is killed before it has let the client in: its clock stands while Redis answers it.
  const key = `sio:session:${first.pid}`;
  const four = await start('four');
  await until(3000, async () => (await fetch(`${four.url}/ready`)).status === 200, 'the gateway to be ready');
  const tcp = await Tcp.open(four.port);
  await tcp.upgrade('/socket.io/?EIO=4&transport=websocket');
  await tcp.packet();
  const before = await client.get(key);
  tcp.text(`40${JSON.stringify({ pid: first.pid, offset })}`);
  await until(2000, async () => (await client.get(key)) !== before, 'the session to change hands');
  four.child.kill('SIGKILL');
  await four.exited;
  same(await client.exists(key), 1, 'its session in Redis');
  truth((await client.pttl(key)) > 60000, 'it lives as long as its client may return');
  const back = await openAs(three, { pid: first.pid, offset });
  same([back?.sid, back?.events.map(([name, value]) => [name, value])], [first.sid, [['missed', 3]]], 'at the next');
  back.tcp.destroy();
  tcp.destroy();
});

await checks.step('a gateway that was frozen while its client went on does not take the session back', async () => {
  const first = await openAs(one, {});
  await admin.request('emit', { event: 'seen', args: [1] });
  const offset = JSON.parse((await first.tcp.packet(2000)).slice(2)).at(-1);
  one.child.kill('SIGSTOP');
  const back = await openAs(three, { pid: first.pid, offset });
  same(back?.sid, first.sid, 'its id at the other');
  const owned = async () => (await client.get(`sio:session:${first.pid}`)).slice(4, 36);
  await sleep(200);
  const owner = await owned();
  first.tcp.destroy();   // the frozen one will want to save it when it finds out
  one.child.kill('SIGCONT');
  await sleep(800);
  same(await owned(), owner, 'whose it is');
  same((await sockets()).filter((line) => line.startsWith(first.sid)), [`${first.sid} three`], 'where it is');
  back.tcp.destroy();
});

await checks.step('an offset that never was is a new session, at the same gateway and at another', async () => {
  for (const server of [one, three]) {
    const first = await openAs(one, {});
    await admin.request('emit', { event: 'seen', args: [1] });
    await first.tcp.packet(2000);
    first.tcp.destroy();
    const back = await openAs(server, { pid: first.pid, offset: '1-1' });
    truth(back.sid !== first.sid && back.pid !== first.pid, 'it is recovered');
    back.tcp.destroy();
  }
});

await checks.step('a pid nobody knows is a new session', async () => {
  const fresh = await openAs(one, { pid: `${'x'.repeat(20)}.1-1`, offset: '1-1' });
  truth(fresh.pid !== `${'x'.repeat(20)}.1-1`, 'the pid is taken over');
  fresh.tcp.destroy();
});

await checks.step('what a client sends before its CONNECT is answered waits for it, up to a limit', async () => {
  const early = async (count) => {
    const tcp = await Tcp.open(three.port);
    await tcp.upgrade('/socket.io/?EIO=4&transport=websocket');
    await tcp.packet();
    // A pid of another gateway: this one has to ask Redis.
    tcp.text(`40${JSON.stringify({ pid: `${'y'.repeat(20)}.1-1`, offset: '1-1' })}`, ...Array.from({ length: count }, (_, i) => `42${i}["echo",${i}]`));
    return tcp;
  };
  redis.freeze();   // so that the answer does not come in between
  const some = await early(64);
  await new Promise((done) => { setTimeout(done, 100); });
  redis.thaw();
  truth((await some.packet(3000)).startsWith('40{'), 'CONNECT is answered first');
  for (let i = 0; i < 64; i += 1) same(await some.packet(2000), `43${i}[${i}]`, 'ack');
  some.destroy();
  redis.freeze();
  const many = await early(65);
  const answer = await many.packet(1000);
  redis.thaw();
  truth(answer === null || answer.close !== undefined, `the connection goes on: ${JSON.stringify(answer)}`);
  many.destroy();
});

admin.close();
client.disconnect();
await checks.end([one, three]);
