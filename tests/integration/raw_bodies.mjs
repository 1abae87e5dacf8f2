// Point 3 of what clients need: bodies of POSTs in every spelling, and frames that come late or not at all.

import { Checks, same, sleep, startServer, truth } from './lib/harness.mjs';
import { Polling, Tcp, joinByWebSocket } from './lib/raw.mjs';
import { habits } from './lib/habits.mjs';
import { bytes } from './lib/values.mjs';

const checks = new Checks('raw_bodies');
const server = await startServer();

const echoed = async (polling, text) => {
  await polling.post(`425["echo",${JSON.stringify(text)}]`);
  same(await polling.packet(), `435[${JSON.stringify(text)}]`, 'ack');
};

await checks.step('Go zishang520: chunked', async () => {
  const polling = new Polling(server, habits['Go zishang520']);
  await polling.join('40{"token":"t"}');
  await echoed(polling, 'chunked');
  await echoed(polling, 'x'.repeat(60000));
  polling.destroy();
});

await checks.step('a chunked body cut at every byte, with chunk extensions and a trailer', async () => {
  const polling = new Polling(server, { ...habits['Go zishang520'] });
  await polling.join();
  const tcp = await Tcp.open(server.port);
  const body = '3;name=value\r\n425\r\n15\r\n["echo","cut to bits"\r\n1\r\n]\r\n0\r\nTrailer: x\r\n\r\n';
  const request = `POST ${polling.target()} HTTP/1.1\r\nHost: ${tcp.host}\r\nTransfer-Encoding: chunked\r\n\r\n${body}`;
  for (const byte of request) { tcp.write(byte); await new Promise(setImmediate); }
  same((await tcp.answer())?.status, 200, 'status');
  same(await polling.packet(), '435["cut to bits"]', 'ack');
  tcp.destroy();
  polling.destroy();
});

const types = {
  'no Content-Type (Rust, Go maldikhan)': {},
  'text/plain (Python)': { 'Content-Type': 'text/plain' },
  'text/plain; charset=UTF-8 (PHP, Swift)': { 'Content-Type': 'text/plain; charset=UTF-8' },
  'text/plain;charset=UTF-8 in lower-case names (JS Fetch)': { 'content-type': 'text/plain;charset=UTF-8' },
  'application/x-www-form-urlencoded': { 'Content-Type': 'application/x-www-form-urlencoded' },
  'application/json': { 'Content-Type': 'application/json' },
};
for (const [name, postHeaders] of Object.entries(types)) {
  await checks.step(`Content-Type: ${name}`, async () => {
    const polling = new Polling(server, { postHeaders });
    await polling.join();
    await echoed(polling, name);
    polling.destroy();
  });
}

await checks.step('.NET: GET with a Content-Type and a length of 0', async () => {
  const polling = new Polling(server, habits['.NET']);
  await polling.join();
  await echoed(polling, '.net');
  polling.destroy();
});

await checks.step("a packet's attachments in later POSTs (JS, Java, .NET)", async () => {
  const polling = new Polling(server, habits.Java);
  await polling.join();
  await polling.post('452-9["echo",{"_placeholder":true,"num":0},{"in":{"_placeholder":true,"num":1}}]');
  await polling.post(`b${bytes(400).toString('base64')}`);
  await polling.post(`b${bytes(7, 3).toString('base64')}`);
  same(await polling.packet(), '462-9[{"_placeholder":true,"num":0},{"in":{"_placeholder":true,"num":1}}]', 'ack');
  same(await polling.packet(), `b${bytes(400).toString('base64')}`, 'first attachment');
  same(await polling.packet(), `b${bytes(7, 3).toString('base64')}`, 'second attachment');
  polling.destroy();
});

await checks.step('Java: base64 with a line feed after each 76 characters and at the end', async () => {
  const polling = new Polling(server, habits.Java);
  await polling.join();
  for (const size of [1, 56, 57, 58, 114, 5000]) {
    const base64 = bytes(size).toString('base64');
    const lines = base64.replace(/.{76}/g, '$&\n').replace(/\n?$/, '\n');
    await polling.post('451-4["echo",{"_placeholder":true,"num":0}]', `b${lines}`);
    same(await polling.packet(), '461-4[{"_placeholder":true,"num":0}]', 'ack');
    same(await polling.packet(), `b${base64}`, `attachment of ${size} bytes`);
  }
  polling.destroy();
});

await checks.step('Python: 41 and 1 behind a close frame are tolerated', async () => {
  const { tcp } = await joinByWebSocket(server);
  const beside = await joinByWebSocket(server);
  tcp.close(1000);
  tcp.text('41', '1');
  let got;
  do got = await tcp.message(2000, 'close frame'); while (got && !('close' in got));
  truth(got === null || [1000, 1005].includes(got.close), `closed with ${got?.close}`);
  await tcp.end();
  beside.tcp.text('421["echo","unharmed"]');
  same(await beside.tcp.packet(), '431["unharmed"]', 'ack of the client beside it');
  beside.tcp.destroy();
});

await checks.step('Rust, PHP: a 1 by WebSocket ends the TCP connection at once', async () => {
  const { tcp } = await joinByWebSocket(server);
  tcp.text('41', '1');
  await tcp.end(700);
}, { nodeFails: true });

await checks.step('a 1 in a POST releases the waiting poll and ends the session', async () => {
  const polling = new Polling(server, habits.Java);
  await polling.join();
  await polling.startGet();
  await sleep(50);
  await polling.post('41', '1');
  const answer = await polling.getter.answer(1500, 'release of the poll');
  same([answer?.status, answer?.body], [200, '6'], 'released poll');
  same((await polling.get())?.status, 400, 'status after it');
  polling.destroy();
});

await checks.step('Go zishang520: 41 and the end of TCP without a close frame', async () => {
  const { tcp, id } = await joinByWebSocket(server);
  tcp.text('41');
  tcp.socket.end();
  await tcp.end();
  truth(id.length === 20, 'id');
});

await checks.step('Java: a kicked client that never answers the close frame loses its TCP connection', async () => {
  const { tcp } = await joinByWebSocket(server);
  tcp.text('42["kick"]');
  let got;
  do got = await tcp.message(2000, 'close frame'); while (got && !('close' in got));
  await tcp.end(5000);
}, { nodeFails: true });

await checks.end(server);
