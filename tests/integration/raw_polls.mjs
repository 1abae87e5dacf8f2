// Point 9 of what clients need, polls that are answered in time; and at most 16 packets in an answer.

import { Checks, same, startServer, truth } from './lib/harness.mjs';
import { Polling } from './lib/raw.mjs';
import { habits } from './lib/habits.mjs';

const checks = new Checks('raw_polls');
const server = await startServer();
// A ping interval so long that something else must release the poll.
const patient = await startServer({
  options: { '--ping-interval': '60s', '--ping-timeout': '60s' }, settings: { pingInterval: 60000, pingTimeout: 60000 },
});

const released = checks.step('a poll is released within 25 s though the ping interval is 60 s', async () => {
  const polling = new Polling(patient, habits['Python Client']);
  await polling.join();
  const began = Date.now();
  const answer = await polling.get(26000);
  same(answer?.status, 200, 'status');
  truth(Date.now() - began < 25500, `it took ${Date.now() - began} ms`);
  await polling.post('421["echo","on"]');
  same(await polling.packet(), '431["on"]', 'ack');
  polling.destroy();
}, { nodeFails: true, timeout: 30000 });

await checks.step('1,000 events come in answers of at most 16 packets, in order (Python)', async () => {
  const polling = new Polling(server, habits['Python Client']);
  const id = await polling.join();
  await server.emitMany(Array.from({ length: 1000 }, (_, i) => ['tick', i]), { to: id });
  let next = 0;
  let largest = 0;
  while (next < 1000) {
    const answer = await polling.get();
    same(answer?.status, 200, 'status of a poll');
    const packets = answer.body.split('\x1e');
    largest = Math.max(largest, packets.length);
    for (const packet of packets) {
      if (packet === '2') await polling.post('3');
      else { same(JSON.parse(packet.slice(2)).slice(0, 2), ['tick', next]); next += 1; }
    }
  }
  truth(largest <= 16, `an answer had ${largest} packets`);
  polling.destroy();
}, { nodeFails: true });

await checks.step('an answer with attachments has at most 16 packets too', async () => {
  const polling = new Polling(server, habits['Python Client']);
  await polling.join();
  const one = ['452-["echo-event",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', 'bAQID', 'bBAUG'];
  await polling.post(...Array.from({ length: 40 }, () => one).flat());
  let left = 120;
  let largest = 0;
  while (left > 0) {
    const packets = (await polling.get()).body.split('\x1e');
    largest = Math.max(largest, packets.length);
    left -= packets.filter((packet) => packet !== '2').length;
    if (packets.includes('2')) await polling.post('3');
  }
  truth(largest <= 16, `an answer had ${largest} packets`);
  polling.destroy();
}, { nodeFails: true });

await checks.step('a POST may have more than 16 packets', async () => {
  const polling = new Polling(server, habits['Python Client']);
  await polling.join();
  await polling.post(...Array.from({ length: 300 }, (_, i) => `42${i}["echo",${i}]`));
  for (let i = 0; i < 300; i += 1) same(await polling.packet(), `43${i}[${i}]`, 'ack');
  polling.destroy();
});

await released;
await checks.end(server, patient);
