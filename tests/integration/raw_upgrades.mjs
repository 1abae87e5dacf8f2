// Point 1 of what clients need: every way in which they come from polling to WebSocket.

import { Checks, same, sleep, startServer, truth } from './lib/harness.mjs';
import { Polling, Tcp, idIn } from './lib/raw.mjs';
import { habits, wsHeadersOf } from './lib/habits.mjs';

const checks = new Checks('raw_upgrades');
const server = await startServer();

const client = (name) => new Polling(server, habits[name]);
const newTcp = () => Tcp.open(server.port);
const echoes = async (tcp, text) => {
  tcp.text(`427["echo",${JSON.stringify(text)}]`);
  same(await tcp.packet(), `437[${JSON.stringify(text)}]`, 'ack');
};

/** Handshake by polling, then a WebSocket on `tcp` (absent: a new one). */
async function upgrade(name, polling, tcp) {
  tcp ??= await newTcp();
  await tcp.upgrade(polling.wsTarget(), wsHeadersOf(habits[name], server));
  return tcp;
}
const probe = async (tcp) => {
  tcp.text('2probe');
  same((await tcp.message())?.text, '3probe', 'answer to the probe');
};

await checks.step('aiohttp: upgrade on the TCP connection of the handshake, before any poll', async () => {
  const polling = client('Python AsyncClient');
  await polling.handshake();
  const tcp = await upgrade('Python AsyncClient', polling, polling.getter);
  await probe(tcp);
  tcp.text('5', '40{}');
  idIn(await tcp.packet());
  await echoes(tcp, 'aiohttp');
  tcp.destroy();
});

await checks.step('Python Client: upgrade before any poll', async () => {
  const polling = client('Python Client');
  await polling.handshake();
  const tcp = await upgrade('Python Client', polling);
  await probe(tcp);
  tcp.text('5', '40{}');
  idIn(await tcp.packet());
  await echoes(tcp, 'python');
  tcp.destroy();
});

await checks.step('PHP: upgrade on the one TCP connection after POST and GET, and 5 without a probe', async () => {
  const polling = client('PHP');
  await polling.handshake();
  polling.poster = polling.getter;
  await polling.post('40');
  idIn(await polling.packet());
  const tcp = await upgrade('PHP', polling, polling.getter);
  tcp.text('5');
  await echoes(tcp, 'php');
  tcp.destroy();
});

await checks.step('.NET: 5 without a probe, and the answer to a posted CONNECT goes out on the WebSocket', async () => {
  const polling = client('.NET');
  await polling.handshake();
  await polling.post('40');
  const tcp = await upgrade('.NET', polling);
  tcp.text('5');
  idIn(await tcp.packet());
  await echoes(tcp, '.net');
  tcp.destroy();
});

await checks.step('Go maldikhan: empty sid, no poll, and the answer to a posted CONNECT goes out on the WebSocket', async () => {
  const polling = client('Go maldikhan');
  await polling.handshake();
  await polling.post('40');
  const tcp = await upgrade('Go maldikhan', polling);
  await probe(tcp);
  tcp.text('5');
  idIn(await tcp.packet());
  await echoes(tcp, 'maldikhan');
  tcp.destroy();
});

await checks.step('Rust: upgrade before any poll, and a 3 that nobody asked for', async () => {
  const polling = client('Rust');
  await polling.handshake();
  const tcp = await upgrade('Rust', polling);
  await probe(tcp);
  tcp.text('5', '3', '40');
  idIn(await tcp.packet());
  await echoes(tcp, 'rust');
  await sleep(1300);   // a ping later
  await echoes(tcp, 'still there');
  tcp.destroy();
});

await checks.step('Swift: a 6 in a POST after the probe, while a poll waits', async () => {
  const polling = client('Swift');
  await polling.join('40/,{"token":"t"}');
  await polling.startGet();
  const tcp = await upgrade('Swift', polling);
  await probe(tcp);
  await polling.post('6');
  const released = await polling.getter.answer(1500, 'release of the poll');
  same([released?.status, released?.body], [200, '6'], 'released poll');
  tcp.text('5');
  await echoes(tcp, 'swift');
  tcp.destroy();
});

await checks.step('JS, Java, Go zishang520: the waiting poll is released by a 6 soon after the probe', async () => {
  for (const name of ['JS 4.8', 'Java', 'Go zishang520']) {
    const polling = client(name);
    await polling.join('40{"token":"t"}');
    await polling.startGet();
    const tcp = await upgrade(name, polling);
    await probe(tcp);
    const before = Date.now();
    const released = await polling.getter.answer(1500, 'release of the poll');
    same(released?.body, '6', `released poll of ${name}`);
    truth(Date.now() - before < 400, 'it took longer than 400 ms');
    tcp.text('5');
    await echoes(tcp, name);
    tcp.destroy();
    polling.destroy();
  }
});

await checks.step('what waits for a poll goes out on the WebSocket, in order', async () => {
  const polling = client('JS 4.8');
  const id = await polling.join();
  const tcp = await upgrade('JS 4.8', polling);
  await probe(tcp);
  await server.emitMany([['one'], ['two'], ['three']], { to: id });
  tcp.text('5');
  for (const name of ['one', 'two', 'three']) same(JSON.parse((await tcp.packet()).slice(2))[0], name, 'event');
  tcp.destroy();
});

await checks.step('the WebSocket lost before 5 leaves the polling session alive', async () => {
  const polling = client('JS 4.8');
  await polling.join();
  const tcp = await upgrade('JS 4.8', polling);
  await probe(tcp);
  tcp.destroy();
  await sleep(100);
  await polling.post('421["echo","on"]');
  let packet = await polling.packet();
  while (packet === '6') packet = await polling.packet();
  same(packet, '431["on"]', 'ack');
  polling.destroy();
});

await checks.end(server);
