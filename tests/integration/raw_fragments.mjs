// Point 6 of what clients need: messages in fragments.

import { Checks, same, startServer, truth } from './lib/harness.mjs';
import { joinByWebSocket } from './lib/raw.mjs';
import { bytes, largeText } from './lib/values.mjs';

const checks = new Checks('raw_fragments');
const server = await startServer();
const header = '451-1["echo",{"_placeholder":true,"num":0}]';
const ack = '461-1[{"_placeholder":true,"num":0}]';

async function binary(tcp, data, send) {
  tcp.text(header);
  send(data);
  same(await tcp.packet(), ack, 'ack');
  truth((await tcp.packet()).binary?.equals(data), 'the attachment differs');
}

await checks.step('PHP: binary in fragments of 8,184 bytes', async () => {
  const { tcp } = await joinByWebSocket(server);
  for (const size of [8183, 8184, 8185, 100000]) {
    await binary(tcp, bytes(size), (data) => tcp.fragments(2, data, 8184));
  }
  tcp.destroy();
});

await checks.step('.NET: text above 8 KiB in fragments, cut within characters', async () => {
  const { tcp } = await joinByWebSocket(server);
  for (const size of [8192, 8191, 1001]) {
    tcp.fragments(1, `421["echo",${JSON.stringify(largeText)}]`, size);
    same(await tcp.packet(), `431[${JSON.stringify(largeText)}]`, 'ack');
  }
  tcp.destroy();
});

await checks.step('pings between the fragments are answered and spoil nothing', async () => {
  const { tcp } = await joinByWebSocket(server);
  await binary(tcp, bytes(50000), (data) => tcp.fragments(2, data, 8184, () => tcp.frame(9, 'are you there')));
  tcp.destroy();
});

await checks.step('fragments of one byte and of none', async () => {
  const { tcp } = await joinByWebSocket(server);
  tcp.frame(1, '', false);
  for (const letter of '421["echo","x"]') { tcp.frame(0, letter, false); tcp.frame(0, '', false); }
  tcp.frame(0, '', true);
  same(await tcp.packet(), '431["x"]', 'ack');
  tcp.destroy();
});

await checks.end(server);
