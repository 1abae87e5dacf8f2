// Point 4 of what clients need: b64=1 counts for the transport in whose query it stands.

import { Checks, same, startServer, truth } from './lib/harness.mjs';
import { Polling, Tcp, joinByWebSocket } from './lib/raw.mjs';
import { habits } from './lib/habits.mjs';
import { bytes } from './lib/values.mjs';

const checks = new Checks('raw_base64');
const server = await startServer();
const data = bytes(300);
const header = '451-1["echo",{"_placeholder":true,"num":0}]';
const ack = '461-1[{"_placeholder":true,"num":0}]';

await checks.step('b64=1 on polls alone: binary frames after the upgrade (JS 3.1 to 4.5)', async () => {
  const polling = new Polling(server, habits['JS 3.1']);
  await polling.join();
  await polling.post(header, `b${data.toString('base64')}`);
  same(await polling.packet(), ack, 'ack by polling');
  same(await polling.packet(), `b${data.toString('base64')}`, 'attachment by polling');
  const tcp = await Tcp.open(server.port);
  await tcp.upgrade(polling.wsTarget());
  tcp.text('2probe');
  same((await tcp.message()).text, '3probe', 'answer to the probe');
  tcp.text('5', header);
  tcp.binary(data);
  same(await tcp.packet(), ack, 'ack by WebSocket');
  truth((await tcp.packet()).binary?.equals(data), 'the attachment is not a binary frame');
  tcp.destroy();
});

await checks.step('b64=1 in the query of the WebSocket: attachments are text frames b…', async () => {
  const { tcp } = await joinByWebSocket(server, { query: 'EIO=4&transport=websocket&b64=1' });
  tcp.text(header);
  tcp.binary(data);
  same(await tcp.packet(), ack, 'ack');
  same(await tcp.packet(), `b${data.toString('base64')}`, 'attachment');
  tcp.destroy();
});

await checks.step('b64=1 in the query of the upgrade: attachments are text frames b…', async () => {
  const polling = new Polling(server, habits['JS 4.8']);
  await polling.join();
  const tcp = await Tcp.open(server.port);
  await tcp.upgrade(polling.wsTarget('&b64=1'));
  tcp.text('2probe');
  same((await tcp.message()).text, '3probe', 'answer to the probe');
  tcp.text('5', header);
  tcp.binary(data);
  same(await tcp.packet(), ack, 'ack');
  same(await tcp.packet(), `b${data.toString('base64')}`, 'attachment');
  tcp.destroy();
});

await checks.step('a text frame b… is taken for a binary message', async () => {
  const { tcp } = await joinByWebSocket(server);
  tcp.text(header, `b${data.toString('base64')}`);
  same(await tcp.packet(), ack, 'ack');
  truth((await tcp.packet()).binary?.equals(data), 'the attachment differs');
  tcp.destroy();
});

await checks.end(server);
