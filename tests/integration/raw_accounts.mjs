// What one client, one address and all together may make the gateway hold, and what others notice of those who are over.

import { createConnection } from 'node:net';
import { readFileSync } from 'node:fs';
import { Checks, httpGet, same, sleep, startGateway, truth, until, within } from './lib/harness.mjs';
import { Tcp } from './lib/raw.mjs';

const checks = new Checks('accounts');
const MiB = 1 << 20;
const target = '/socket.io/?EIO=4&transport=websocket';

const resident = (server) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.child.pid}/status`, 'utf8'))[1]) * 1024;

/** The values of the metrics whose name, with labels, begins with `name`. */
async function metric(server, name) {
  const { body } = await httpGet(`${server.url}/metrics`, { headers: { accept: 'text/plain' } });
  const found = body.split('\n').find((line) => line.startsWith(`${name} `));
  return found === undefined ? undefined : Number(found.split(' ').at(-1));
}

/** A WebSocket that has joined "/", from this address. */
async function joined(server, from = '127.0.0.1') {
  const socket = createConnection({ port: server.port, host: '127.0.0.1', localAddress: from });
  await within(3000, new Promise((done, fail) => { socket.once('connect', done); socket.once('error', fail); }), 'TCP connection');
  const tcp = new Tcp(socket);
  await tcp.upgrade(target);
  tcp.frame(1, '40');
  await tcp.wait(() => (tcp.buffer.includes('40{"sid"') ? true : undefined), 3000, 'the answer to CONNECT');
  return tcp;
}

/** The first part of an event whose last attachment does not come: `size` bytes are held for it. */
function hold(tcp, size) {
  const part = 500_000;
  const attachments = Math.ceil(size / part);
  tcp.frame(1, `45${attachments + 1}-["x"${Array.from({ length: attachments + 1 }, (_, i) => `,{"_placeholder":true,"num":${i}}`).join('')}]`);
  for (let i = 0; i < attachments; i += 1) tcp.frame(2, Buffer.alloc(Math.min(part, size - i * part), 1));
}

async function withGateway(options, body) {
  const server = await startGateway({ options: { '--log-level': 'info', ...options } });
  const open = [];
  try {
    await body(server, async (...from) => { const tcp = await joined(server, ...from); open.push(tcp); return tcp; });
    truth(!server.complaint(), server.complaint());
  } finally {
    for (const tcp of open) tcp.destroy();
    await server.stop();
  }
}

await checks.step('requests behind an answer that is not taken are not parsed, and all are answered in order when it is', () => withGateway({}, async (server) => {
  const before = resident(server);
  const tcp = await Tcp.open(server.port);
  tcp.socket.pause();
  const count = 600;
  const file = '/socket.io/socket.io.js';
  const wanted = Buffer.byteLength((await httpGet(`${server.url}${file}`)).body);
  tcp.write(`GET ${file} HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(count) + 'GET /live HTTP/1.1\r\nHost: a\r\n\r\n');
  await sleep(300);
  const grown = resident(server) - before;
  truth(grown < 12 * MiB, `${count} answers of ${wanted} bytes that nobody takes cost ${Math.round(grown / MiB)} MiB`);
  same((await httpGet(`${server.url}/live`)).status, 200, 'others are answered');
  tcp.socket.resume();
  for (let i = 0; i < count; i += 1) {
    const { status, headers } = await tcp.answer(10000, `answer ${i}`);
    same([status, Number(headers['content-length'])], [200, wanted], `answer ${i}`);
  }
  same((await tcp.answer()).body, '{"status":"ok"}', 'the last answer');
  tcp.destroy();
}), { timeout: 60000 });

await checks.step('a client that holds more than client-bytes is told by which limit, and nobody else notices', () => withGateway({ '--client-bytes': '3MB', '--max-payload': '600KB' }, async (server, open) => {
  const other = await open();
  const within2 = await open();
  hold(within2, 2 * MiB);
  const over = await open();
  hold(over, 4 * MiB);
  await over.end(3000, 'end of the client that is over');
  truth(over.buffer.includes('client-bytes'), 'the close frame names the limit');
  same(await metric(server, 'sio_clients_over_limit_total{limit="client-bytes"}'), 1, 'clients ended');
  truth(/client_over_limit .*limit=client-bytes limit_bytes=3145728 held_bytes=3\d{6}/.test(server.log()), 'the log says so');
  same([other.ended, within2.ended], [false, false], 'end of the others');
}));

await checks.step('clients of one address share address-bytes: the most expensive of them goes, those of others stay', () => withGateway({ '--address-bytes': '5MB', '--client-bytes': '4MB', '--max-payload': '600KB' }, async (server, open) => {
  const elsewhere = await open('127.0.0.8');
  hold(elsewhere, 2 * MiB);
  const small = await open('127.0.0.9');
  hold(small, 1 * MiB);
  const large = await open('127.0.0.9');
  hold(large, 3 * MiB);
  await sleep(100);
  same([small.ended, large.ended], [false, false], 'end within the share');
  const last = await open('127.0.0.9');
  hold(last, 2 * MiB);
  await large.end(3000, 'end of the most expensive');
  await sleep(100);
  same([elsewhere.ended, small.ended, last.ended], [false, false, false], 'end of the others');
  same(await metric(server, 'sio_clients_over_limit_total{limit="address-bytes"}'), 1, 'clients ended');
}));

await checks.step('of big files that are asked for one behind the other, each connection gets one in a turn, and others are answered between', () => withGateway({}, async (server) => {
  const many = await Promise.all(Array.from({ length: 10 }, () => Tcp.open(server.port)));
  const other = await Tcp.open(server.port);
  const requests = async () => {
    other.send('GET', '/metrics', { Host: 'a', Accept: 'application/json' });
    return JSON.parse((await other.answer()).body).httpRequests;
  };
  const before = await requests();
  server.child.kill('SIGSTOP');   // so that all is there at once
  for (const tcp of many) {
    tcp.socket.pause();
    await new Promise((done) => { tcp.socket.write('GET /socket.io/socket.io.js.map HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(8), done); });
  }
  const asked = requests();
  setTimeout(() => server.child.kill('SIGCONT'), 50);
  const served = await asked - before - 1;
  truth(served <= 2 * many.length, `${served} files were answered before somebody else's request`);
  for (const tcp of many) tcp.destroy();
}));

await checks.step('attachments that do not come in time end the connection', () => withGateway({ '--body-timeout': '400ms' }, async (server, open) => {
  const tcp = await open();
  hold(tcp, 1000);
  const other = await open();
  other.frame(1, '451-["x",{"_placeholder":true,"num":0}]');
  other.frame(2, 'in time');
  await tcp.end(3000, 'end of the connection');
  truth(!other.ended, 'whose attachments have come stays');
}));

await checks.step('when memory is short the most expensive go, their addresses get no more in, others do, and all is well again', () => withGateway({ '--memory-limit': '60MB', '--address-bytes': '1GB' }, async (server, open) => {
  const calm = await open();
  const began = resident(server);
  const hostile = [];
  for (let i = 0; i < 12; i += 1) hostile.push(await open(`127.0.1.${i + 1}`));
  const handshake = (localAddress) => httpGet(`${server.url}/socket.io/?EIO=4&transport=polling`, { localAddress });
  for (const tcp of hostile.slice(0, 9)) hold(tcp, 4 * MiB);
  await until(3000, async () => (await httpGet(`${server.url}/ready`)).status === 503, 'GET /ready = 503');
  same((await handshake('127.0.1.1')).status, 503, 'status of a handshake while memory is short, where much of it is');
  same((await handshake('127.0.1.99')).status, 200, 'status of a handshake while memory is short, where nothing of it is');
  for (const tcp of hostile.slice(9)) hold(tcp, 4 * MiB);
  await until(5000, () => hostile.some((tcp) => tcp.ended), 'some to be ended');
  truth(await metric(server, 'sio_clients_over_limit_total{limit="memory-limit"}') > 0, 'clients ended');
  truth(server.log().includes('memory_short'), 'the log says so');
  truth(resident(server) < 60 * MiB, `resident: ${Math.round(resident(server) / MiB)} MiB`);
  calm.frame(1, '3');
  same(calm.ended, false, 'end of the client that holds nothing');
  for (const tcp of hostile) tcp.destroy();
  await until(5000, async () => (await httpGet(`${server.url}/ready`)).status === 200, 'GET /ready = 200');
  await open();
  truth(server.log().includes('memory_suffices'), 'the log says so');
  await until(5000, () => resident(server) < began + 8 * MiB, 'memory to go back to the system').catch(async (error) => { throw new Error(`${error.message}: ${Math.round((resident(server) - began) / MiB)} MiB more, heap ${await metric(server, 'sio_heap_bytes')}`); });
}), { timeout: 40000 });

await checks.step('of pings that nobody takes the pongs of, one pong is kept: on a WebSocket, and on the probe of an upgrade', () => withGateway({}, async (server, open) => {
  const ping = Buffer.concat([Buffer.from([0x89, 0xfd, 0, 0, 0, 0]), Buffer.alloc(125, 97)]);
  const flood = Buffer.concat(Array.from({ length: 20_000 }, () => ping));
  const before = resident(server);
  const tcp = await open();
  const { body } = await httpGet(`${server.url}/socket.io/?EIO=4&transport=polling`);
  const probe = await Tcp.open(server.port);
  await probe.upgrade(`${target}&sid=${JSON.parse(body.slice(1)).sid}`);
  for (const one of [tcp, probe]) {
    one.socket.pause();
    for (let i = 0; i < 8; i += 1) one.write(flood);
  }
  await sleep(1500);
  const grown = resident(server) - before;
  truth(grown < 12 * MiB, `pongs cost ${Math.round(grown / MiB)} MiB`);
  same((await httpGet(`${server.url}/live`)).status, 200, 'others are answered');
  probe.destroy();
}), { timeout: 30000 });

await checks.step('who floods with small messages, by WebSocket or in one POST, is late himself: another is answered before', () => withGateway({}, async (server, open) => {
  const calm = await open();
  const answered = async () => {
    calm.buffer = Buffer.alloc(0);
    calm.frame(1, '421["message-with-ack",1]');
    await calm.wait(() => (calm.buffer.includes('431[') ? true : undefined), 5000, 'the answer to the calm client');
  };
  await answered();
  const flooding = await open();
  const count = 600_000;
  const small = Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x34, 0x32]);   // an event without a name, which nobody is told of
  flooding.write(Buffer.alloc(count * small.length, small));
  await until(5000, async () => await metric(server, 'sio_messages_in_total') > 2000, 'the flood to begin');
  await answered();
  const seen = await metric(server, 'sio_messages_in_total');
  truth(seen < count, `all ${count} messages of the flood were read before the calm client's`);
  flooding.destroy();
  const { body: opened } = await httpGet(`${server.url}/socket.io/?EIO=4&transport=polling`);
  const { sid } = JSON.parse(opened.slice(1));
  const posted = httpGet(`${server.url}/socket.io/?EIO=4&transport=polling&sid=${sid}`, { method: 'POST', body: `40\x1e${'42\x1e'.repeat(300_000)}2`, timeout: 10000 });
  let isDone = false;
  posted.then(() => { isDone = true; });
  await until(5000, async () => await metric(server, 'sio_messages_in_total') > seen + 2000, 'the POST to begin').catch(() => {});
  await answered();
  truth(!isDone, 'the POST was delivered whole before the calm client was answered');
  same([(await posted).status, (await posted).body], [200, 'ok'], 'answer to the POST');
}), { timeout: 30000 });

await checks.step('behind a trusted proxy the limit per address counts its clients, and those who only say so count as themselves', () => withGateway({ '--trust-proxy': '127.0.3.1,127.0.3.2', '--max-connections-per-address': '2' }, async (server) => {
  const upgrade = async (from, lines) => {
    const socket = createConnection({ port: server.port, host: '127.0.0.1', localAddress: from });
    await within(3000, new Promise((done, fail) => { socket.once('connect', done); socket.once('error', fail); }), 'TCP connection');
    const tcp = new Tcp(socket);
    tcp.write(`GET ${target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n${lines}\r\n`);
    return (await tcp.answer())?.status;
  };
  const forwarded = (list) => `X-Forwarded-For: ${list}\r\n`;
  for (const client of ['192.0.2.21', '192.0.2.22:1234', '[2001:db8::23]:443']) same(await upgrade('127.0.3.1', forwarded(client)), 101, client);
  same(await upgrade('127.0.3.1', forwarded('192.0.2.99, 192.0.2.21, 127.0.3.2')), 101, 'the second of a client, by two proxies');
  same(await upgrade('127.0.3.2', forwarded('192.0.2.21')), 503, 'the third');
  same(await upgrade('127.0.3.2', 'Forwarded: for=192.0.2.24\r\n'), 101, 'another');
  // Somebody who is no proxy, and claims to be others.
  same(await upgrade('127.0.3.9', forwarded('192.0.2.30')), 101, 'first of the impostor');
  same(await upgrade('127.0.3.9', forwarded('192.0.2.31')), 101, 'second of the impostor');
  same(await upgrade('127.0.3.9', forwarded('192.0.2.32')), 503, 'third of the impostor');
}));

const routes = (namespaces) => ({ files: { 'routes.json': JSON.stringify({ version: 1, namespaces }) }, options: { '--routes': 'FOLDER/routes.json' } });

async function withRoutes(namespaces, options, body) {
  const set = routes(namespaces);
  const server = await startGateway({ files: set.files, options: { ...set.options, ...options } });
  try {
    await body(server);
    truth(!server.complaint(), server.complaint());
  } finally {
    await server.stop();
  }
}

await checks.step('the rate window is the connection\'s: leaving and joining again does not begin another, and both count', () => withRoutes({ '/': { events: { ask: [{ ack: ['fine'] }] } }, '/other': {} }, { '--rate-limit': '20/60s' }, async (server) => {
  const tcp = await joined(server);
  const answer = async (text, begin) => {
    tcp.buffer = Buffer.alloc(0);
    tcp.text(text);
    await tcp.wait(() => (tcp.buffer.includes(begin) ? true : undefined), 3000, `answer to ${text}`);
    return tcp.buffer.toString('latin1');
  };
  for (let i = 1; i <= 19; i += 1) truth((await answer(`42${i}["ask"]`, `43${i}`)).includes('fine'), `event ${i}`);
  tcp.text('41');
  truth((await answer('40', '44')).includes('"code":"rate_limited"'), 'CONNECT over the limit is refused with its code');
  truth((await answer('40/other,', '44/other')).includes('rate limit exceeded'), 'another namespace shares the window');
  // Far over it the connection ends.
  for (let i = 0; i < 200; i += 1) tcp.text('40');
  await tcp.end(3000, 'end of the connection');
  await (await joined(server)).destroy();
}));

await checks.step('namespaces of a pattern have a cap; those that nobody is in make room', () => withRoutes({ '/': {}, '/room-*': {} }, { '--max-namespaces': '5', '--rate-limit': 'off' }, async (server) => {
  const tcp = await joined(server);
  const connect = async (name) => {
    tcp.buffer = Buffer.alloc(0);
    tcp.text(`40${name},`);
    await tcp.wait(() => (tcp.buffer.includes(`${name},{`) ? true : undefined), 3000, `answer for ${name}`);
    return tcp.buffer.includes('"sid"');
  };
  for (let i = 0; i < 5; i += 1) same(await connect(`/room-${i}`), true, `namespace ${i}`);
  same(await connect('/room-5'), false, 'one more');
  same(await metric(server, 'sio_namespaces_refused_total'), 1, 'refused');
  tcp.text('41/room-2,');
  same(await connect('/room-6'), true, 'in the place of one that was left');
  tcp.destroy();
}));

await checks.step('lists that wait: who has thousands of them is refused, and another has his share', () => withRoutes({ '/': { events: { ask: [{ ask: 'q', args: [1], timeout: '20s' }, { ack: ['late'] }], later: [{ ask: 'q', args: [2], timeout: '50ms', otherwise: 'continue' }, { ack: ['fine'] }] } } }, { '--rate-limit': 'off' }, async (server) => {
  const greedy = await joined(server);
  const frame = (text) => Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);
  greedy.write(Buffer.concat(Array.from({ length: 10_200 }, (_, i) => frame(`42${i}["ask"]`))));
  await until(8000, async () => await metric(server, 'sio_routes_refused_total') >= 200, 'some to be refused');
  same(await metric(server, 'sio_routes_waiting'), 10_000, 'lists that wait');
  const other = await joined(server);
  other.text('427["later"]');
  await other.wait(() => (other.buffer.includes('437["fine"]') ? true : undefined), 3000, 'the answer to another client');
  greedy.destroy();
  other.destroy();
}), { timeout: 30000 });

await checks.step('what the lists of a client that wait keep is bounded by bytes', () => withRoutes({ '/': { events: { ask: [{ ask: 'q', args: [1], timeout: '20s' }] } } }, { '--rate-limit': 'off' }, async (server) => {
  const tcp = await joined(server);
  const before = resident(server);
  for (let i = 0; i < 40; i += 1) tcp.text(`42${i}["ask","${'x'.repeat(700_000)}"]`);
  await until(8000, async () => await metric(server, 'sio_routes_refused_total') >= 20, 'some to be refused');
  truth(resident(server) - before < 20 * MiB, `${Math.round((resident(server) - before) / MiB)} MiB`);
  tcp.destroy();
}), { timeout: 30000 });

await checks.step('a session by polling is on an account from its handshake on, though nothing is read for it', () => withGateway({}, async (server) => {
  const before = await metric(server, 'sio_client_bytes');
  for (let i = 0; i < 50; i += 1) await httpGet(`${server.url}/socket.io/?EIO=4&transport=polling`, { headers: { 'X-Padding': 'x'.repeat(4000) } });
  const held = await metric(server, 'sio_client_bytes') - before;
  truth(held > 50 * 4000, `50 sessions with heads of 4,000 bytes count ${held} bytes`);
}));

await checks.end([]);
