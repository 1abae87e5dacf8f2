// Point 8 of what clients need: how attachments are written, with nothing between them, and no event before CONNECT.

import { Checks, same, sleep, startServer, truth } from './lib/harness.mjs';
import { Polling, Tcp, joinByWebSocket } from './lib/raw.mjs';
import { bytes } from './lib/values.mjs';

const checks = new Checks('raw_attachments');
const server = await startServer();
const two = (event) => `${event},{"_placeholder":true,"num":0},{"in":{"_placeholder":true,"num":1}}]`;

await checks.step('placeholders are written {"_placeholder":true,"num":0} whatever the client wrote', async () => {
  const { tcp } = await joinByWebSocket(server);
  tcp.text('451-["echo-event", { "num" : 0 , "_placeholder" : true } ]');
  tcp.binary(bytes(3));
  const event = await tcp.packet();
  truth(event.startsWith('451-["echo-event",{"_placeholder":true,"num":0}'), `event is ${event}`);
  truth((await tcp.packet()).binary?.equals(bytes(3)), 'the attachment differs');
  tcp.destroy();
}, { nodeFails: false });

await checks.step('by WebSocket nothing, and no ping, stands between a packet and its attachments', async () => {
  const { tcp } = await joinByWebSocket(server);
  let packets = 0;
  let pings = 0;
  const end = Date.now() + 2300;
  while (Date.now() < end || pings < 2) {
    tcp.text(two('452-["echo-event"'));
    tcp.binary(bytes(2000));
    tcp.binary(bytes(5));
    let got = await tcp.message();
    while (got?.text === '2') { pings += 1; tcp.text('3'); got = await tcp.message(); }
    truth(got?.text?.startsWith('452-'), `packet is ${JSON.stringify(got)}`);
    truth((await tcp.message()).binary?.equals(bytes(2000)), 'something stands before the first attachment');
    truth((await tcp.message()).binary?.equals(bytes(5)), 'something stands before the second attachment');
    packets += 1;
  }
  truth(packets > 50, `only ${packets} packets`);
  tcp.destroy();
});

await checks.step('by polling nothing, and no ping, stands between a packet and its attachments', async () => {
  const polling = new Polling(server);
  await polling.join();
  const base64 = [`b${bytes(2000).toString('base64')}`, `b${bytes(5).toString('base64')}`];
  let pings = 0;
  let pending = [];
  const end = Date.now() + 2300;
  while (Date.now() < end || pings < 2) {
    const batch = Array.from({ length: 11 }, () => [two('452-["echo-event"'), ...base64]).flat();
    await polling.post(...batch);
    let left = batch.length;
    while (left > 0) {
      const answer = await polling.get();
      for (const packet of answer.body.split('\x1e')) {
        if (pending.length) { same(packet, pending.shift(), 'attachment'); left -= 1; }
        else if (packet === '2') { pings += 1; await polling.post('3'); }
        else if (packet.startsWith('452-')) { pending = [...base64]; left -= 1; }
        else throw new Error(`packet is ${packet.slice(0, 60)}`);
      }
    }
    await sleep(20);
  }
  polling.destroy();
});

await checks.step('no event comes before the answer to CONNECT, in the middle of a broadcast either', async () => {
  let going = true;
  const storm = (async () => {
    while (going) await server.emitMany(Array.from({ length: 200 }, (_, i) => ['storm', i]));
  })();
  try {
    for (let i = 0; i < 40; i += 1) {
      const tcp = await Tcp.open(server.port);
      await tcp.upgrade('/socket.io/?EIO=4&transport=websocket');
      await tcp.packet();
      tcp.text('40/custom,', '40');
      for (let joined = false; !joined;) {
        const packet = await tcp.packet();
        truth(packet.startsWith('40'), `packet is ${packet}`);
        joined = packet.startsWith('40{');
      }
      tcp.destroy();
    }
  } finally {
    going = false;
    await storm;
  }
});

await checks.end(server);
