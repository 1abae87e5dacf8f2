// engine.io-client with packets made by hand, over its default transports, polling alone and WebSocket alone.

import { Socket } from 'engine.io-client';
import { Checks, same, sleep, startServer, truth, within } from './lib/harness.mjs';
import { idIn, sameEvent } from './lib/raw.mjs';
import { bytes, transportSets } from './lib/values.mjs';

const checks = new Checks('clients_engine');
const server = await startServer();

async function scenario([name, transports]) {
  const step = (what, body) => checks.step(`engine.io-client ${name}: ${what}`, body);
  const last = name === 'polling' ? 'polling' : 'websocket';
  const engine = new Socket(server.url, { path: '/socket.io/', ...(transports && { transports }) });
  engine.binaryType = 'nodebuffer';
  const queue = [];
  const wakers = [];
  let closed = null;
  engine.on('message', (data) => { queue.push(data); wakers.shift()?.(); });
  engine.on('close', (reason) => { closed = reason; });
  const next = async () => {
    if (!queue.length) await within(5000, new Promise((done) => wakers.push(done)), 'message');
    return queue.shift();
  };
  await step('opens with the announced times', async () => {
    const handshake = await within(5000, new Promise((done, fail) => {
      engine.once('handshake', done);
      engine.once('error', fail);
    }), 'handshake');
    same([handshake.pingInterval, handshake.pingTimeout, handshake.maxPayload], [1000, 1000, 1000000]);
    same(handshake.sid.length, 20, 'length of the id');
    same(handshake.upgrades, last === 'websocket' && name !== 'default' ? [] : ['websocket'], 'upgrades');
  });
  await step('joins /', async () => { engine.send('0{"token":"t"}'); idIn(`4${await next()}`); });
  await step('ends on its last transport', async () => {
    for (let i = 0; i < 100 && engine.transport.name !== last; i += 1) await sleep(20);
    same(engine.transport.name, last);
  });
  await step('gets an ack', async () => { engine.send('27["echo","ü"]'); same(await next(), '37["ü"]'); });
  await step('gets an event back', async () => {
    engine.send('2["echo-event",1]');
    sameEvent(`4${await next()}`, 'echo-event', [1]);
  });
  await step('gets binary back', async () => {
    engine.send('51-8["echo",{"_placeholder":true,"num":0}]');
    engine.send(bytes(300));
    same(await next(), '61-8[{"_placeholder":true,"num":0}]');
    truth(Buffer.from(await next()).equals(bytes(300)), 'bytes differ');
  });
  await step('sends 1,000 packets and gets their acks in order', async () => {
    for (let i = 0; i < 1000; i += 1) engine.send(`2${i}["echo",${i}]`);
    for (let i = 0; i < 1000; i += 1) same(await next(), `3${i}[${i}]`);
  });
  await step('idles longer than the ping timeout', async () => {
    await sleep(2600);
    same(closed, null, 'closed');
    engine.send('21["echo",1]');
    same(await next(), '31[1]');
  });
  await step('leaves', async () => {
    engine.close();
    for (let i = 0; i < 50 && closed === null; i += 1) await sleep(20);
    same(closed, 'forced close');
  });
}

await Promise.all(transportSets.map(scenario));
await checks.end(server);
