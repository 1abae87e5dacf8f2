// The handshake as the application sees it: queries and headers, whatever bytes are in them, are what Node's server of
// the same version makes of them.

import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { Checks, onReference, same, startGateway, truth } from './lib/harness.mjs';
import { Tcp } from './lib/raw.mjs';

const { Server } = createRequire(import.meta.url)('socket.io');
const checks = new Checks('handshake');
if (onReference) await checks.end();   // it is compared with Node's own here

const queries = ['a', 'b', 'c'];
const headers = ['x-a', 'x-b', 'user-agent', 'referer', 'origin', 'accept-language'];
const members = (root, names) => Object.fromEntries(names.map((name) => [name, `{handshake.${root}.${name}}`]));
const routes = { version: 1, namespaces: { '/': { events: { whoami: [{ ack: [{ query: members('query', queries), headers: members('headers', headers) }] }] } } } };

const server = await startGateway({ files: { 'routes.json': JSON.stringify(routes) }, options: { '--routes': 'FOLDER/routes.json' } });
const http = createServer();
const node = new Server(http);
const pick = (all, names) => Object.fromEntries(names.map((name) => [name, all[name] ?? null]));
node.on('connection', (socket) => {
  socket.on('whoami', (ack) => ack({ query: pick(socket.handshake.query, queries), headers: pick(socket.handshake.headers, headers) }));
});
await new Promise((done) => { http.listen(0, '127.0.0.1', done); });

/** What a server's application sees of this handshake; the status when it is refused. */
async function seen(port, query, lines) {
  const tcp = await Tcp.open(port);
  const key = 'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n';
  tcp.write(Buffer.from(`GET /socket.io/?EIO=4&transport=websocket&${query} HTTP/1.1\r\nHost: a\r\n${key}${lines}\r\n`, 'latin1'));
  try {
    const { status } = await tcp.answer();
    if (status !== 101) return status;
    await tcp.packet();
    tcp.text('40');
    await tcp.packet();
    tcp.text('421["whoami"]');
    return JSON.parse((await tcp.packet()).slice(3))[0];
  } finally {
    tcp.destroy();
  }
}

for (const [what, query, lines] of [
  ['percent-decoded bytes that are no UTF-8', 'a=%ff&b=%c3%a9%e2%82&c=%f0%9f%98%80%ed%a0%80%c0%80', ''],
  ['malformed escapes, blanks and repeated names', 'a=x%zz%4&b=1+2%2B&a=last&c', ''],
  ['names that are no UTF-8, and NUL', '%ff=1&a=%00b&b==2', ''],
  ['raw bytes above ASCII in a query', 'a=\xe9', ''],
  ['headers in Latin-1 and in UTF-8', 'a=1', 'X-A: caf\xe9 \x85\xff\r\nX-B: caf\xc3\xa9\r\n'],
  ['headers in several lines', 'a=1', 'X-A: 1\r\nx-a: 2\r\nUser-Agent: one\r\nUser-Agent: two\r\nReferer: r1\r\nReferer: r2\r\nAccept-Language: de\r\nAccept-Language: en\r\n'],
  ['blanks and tabs in headers', 'a=1', 'X-A:  a\tb  \r\nX-B:\r\n'],
]) {
  await checks.step(`${what} are read as Node reads them`, async () => {
    const want = await seen(http.address().port, query, lines);
    truth(want === 400 || typeof want === 'object', `Node answers ${want}`);
    same(await seen(server.port, query, lines), want, 'what the application sees');
  });
}

for (const [what, lines] of [
  ['two keys', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'],
  ['two versions', 'Sec-WebSocket-Version: 13\r\n'],
  ['the same protocol in two lines', 'Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n'],
  ['an empty line of protocols behind another', 'Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol:\r\n'],
]) {
  await checks.step(`a WebSocket with ${what} is refused, as by Node`, async () => {
    same([await seen(http.address().port, 'a=1', lines), await seen(server.port, 'a=1', lines)], [400, 400], 'status of Node and here');
  });
}

await checks.step('protocols in several lines are one list, of which the first is chosen, as by Node', async () => {
  const answers = [];
  for (const port of [http.address().port, server.port]) {
    const tcp = await Tcp.open(port);
    tcp.write('GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
      + 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: soap, wamp\r\nSec-WebSocket-Protocol: chat\r\n\r\n');
    const { status, headers: { 'sec-websocket-protocol': protocol } } = await tcp.answer();
    answers.push([status, protocol]);
    tcp.destroy();
  }
  same(answers, [[101, 'soap'], [101, 'soap']], 'Node and here');
});

node.close();
await checks.end(server);
