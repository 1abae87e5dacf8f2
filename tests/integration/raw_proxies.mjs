// Proxies in front of the gateway: the PROXY protocol, written byte for byte and by a real HAProxy, and connections that
// a proxy keeps for many clients.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { io } from 'socket.io-client';
import { Checks, freePort, httpGet, runCommand, same, sioctlBinary, startGateway, truth, until, within } from './lib/harness.mjs';
import { Tcp } from './lib/raw.mjs';

const checks = new Checks('proxies');
const target = '/socket.io/?EIO=4&transport=websocket';
const proxy = '127.0.3.1';

async function connect(server, from) {
  const socket = createConnection({ port: server.port, host: '127.0.0.1', localAddress: from });
  socket.setNoDelay(true);
  await within(3000, new Promise((done, fail) => { socket.once('connect', done); socket.once('error', fail); }), 'TCP connection');
  return new Tcp(socket);
}

async function metric(server, name) {
  const { body } = await httpGet(`${server.url}/metrics`, { headers: { accept: 'text/plain' } });
  const found = body.split('\n').find((line) => line.startsWith(`${name} `));
  return found === undefined ? undefined : Number(found.split(' ').at(-1));
}

const refused = (server, fault) => metric(server, `sio_proxy_heads_refused_total{fault="${fault}"}`);

/** The addresses of all sockets, as an operator sees them. */
async function addresses(server) {
  const text = await runCommand(sioctlBinary, ['--control', server.control, 'sockets', '-o', 'json']);
  return JSON.parse(text).sockets.map((row) => row.address).sort();
}

async function withGateway(options, body, ready = true) {
  const server = await startGateway({ options: { '--log-level': 'info', ...options }, ready });
  try {
    await body(server);
    truth(!server.complaint(), server.complaint());
  } finally {
    await server.stop();
  }
}

const upgradeText = (lines = '') => `GET ${target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n`
  + `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n${lines}\r\n`;

/** A head of version 2 for an IPv4 client; `values` behind the addresses. */
function binary(client, { command = 1, values = Buffer.alloc(0) } = {}) {
  const rest = Buffer.concat([Buffer.from([...client.split('.').map(Number), 10, 0, 0, 5, 0xd4, 0x31, 1, 0xbb]), values]);
  const head = Buffer.from('\r\n\r\n\0\r\nQUIT\n\x20\x11\0\0', 'latin1');
  head[12] |= command;
  head.writeUInt16BE(rest.length, 14);
  return Buffer.concat([head, rest]);
}

const spoken = { '--proxy-protocol': true, '--trust-proxy': proxy };

await checks.step('a head of either version says whose a socket is, however it is cut, and what the client says besides counts for nothing', () => withGateway(spoken, async (server) => {
  const open = [];
  const join = async (head, lines, pieces) => {
    const tcp = await connect(server, proxy);
    const bytes = Buffer.concat([Buffer.from(head), Buffer.from(upgradeText(lines))]);
    const size = Math.ceil(bytes.length / pieces);
    for (let at = 0; at < bytes.length; at += size) {
      tcp.write(bytes.subarray(at, at + size));
      if (pieces > 1) await new Promise((done) => { setImmediate(done); });
    }
    same((await tcp.answer())?.status, 101, `status for ${head.toString('latin1').replace(/[^ -~]/g, '.')}`);
    await tcp.packet();
    tcp.text('40');
    await tcp.packet();
    open.push(tcp);
  };
  await join('PROXY TCP4 192.0.2.31 10.0.0.5 1000 443\r\n', '', 1);
  await join('PROXY TCP6 2001:db8::32 ::1 1000 443\r\n', 'X-Forwarded-For: 192.0.2.66\r\n', 40);
  await join(binary('192.0.2.33', { values: Buffer.from([0xea, 0, 4, 1, 0x76, 0x70, 0x63]) }), 'Forwarded: for=192.0.2.66\r\n', 1);
  await join(binary('192.0.2.34'), '', 60);
  await join(binary('192.0.2.35', { command: 0 }), '', 1);   // the proxy's own
  await join('PROXY UNKNOWN\r\n', '', 1);
  same(await addresses(server), ['127.0.3.1', '127.0.3.1', '192.0.2.31', '192.0.2.33', '192.0.2.34', '2001:db8::32'], 'addresses');
  same(await metric(server, 'sio_proxy_heads_total'), 6, 'heads');
  for (const tcp of open) tcp.destroy();
}));

await checks.step('a client that is itself a listed proxy is believed as one', () => withGateway({ ...spoken, '--trust-proxy': `${proxy},192.0.2.40` }, async (server) => {
  const tcp = await connect(server, proxy);
  tcp.write(`PROXY TCP4 192.0.2.40 10.0.0.5 1 2\r\n${upgradeText('X-Forwarded-For: 192.0.2.41\r\n')}`);
  same((await tcp.answer())?.status, 101, 'status');
  await tcp.packet();
  tcp.text('40');
  await tcp.packet();
  same(await addresses(server), ['192.0.2.41'], 'address');
  tcp.destroy();
}));

await checks.step('with trust-proxy on, a private address that a head names is a client, and not a proxy', () => withGateway({ ...spoken, '--trust-proxy': 'on' }, async (server) => {
  await until(5000, () => addresses(server).catch(() => undefined), 'the control socket');   // our own requests have no head
  const tcp = await connect(server, proxy);
  tcp.write(`PROXY TCP4 10.1.2.3 10.0.0.5 1 2\r\n${upgradeText('X-Forwarded-For: 192.0.2.42\r\n')}`);
  same((await tcp.answer())?.status, 101, 'status');
  await tcp.packet();
  tcp.text('40');
  await tcp.packet();
  same(await addresses(server), ['10.1.2.3'], 'address');
  tcp.destroy();
}, false));

await checks.step('a head that is missing, broken, slow or of somebody else is refused; each is told once, with the remedy, and counted', () => withGateway({ ...spoken, '--handshake-timeout': '300ms' }, async (server) => {
  const status = async (from, bytes) => {
    const tcp = await connect(server, from);
    tcp.write(bytes);
    const answer = await tcp.answer();
    await tcp.end();
    return answer?.status;
  };
  const live = 'GET /live HTTP/1.1\r\nHost: a\r\n\r\n';
  for (let i = 0; i < 3; i += 1) same(await status(proxy, live), 400, 'without a head');
  same(await status(proxy, `PROXY TCP4 192.0.2.31 somewhere 1 2\r\n${live}`), 400, 'a broken line');
  same(await status(proxy, Buffer.concat([binary('192.0.2.31', { values: Buffer.from([3, 0, 4, 1, 2, 3, 4]) }), Buffer.from(live)])), 400, 'another checksum');
  same(await status(proxy, 'PROXY TCP4 192.0.2.31'), 400, 'never finished');
  same(await status('127.0.3.2', `PROXY TCP4 192.0.2.31 10.0.0.5 1 2\r\n${live}`), 400, 'of a stranger');
  same(await status('127.0.3.2', Buffer.concat([binary('192.0.2.31'), Buffer.from(live)])), 400, 'of a stranger, version 2');
  same([await refused(server, 'missing'), await refused(server, 'malformed'), await refused(server, 'untrusted'), await refused(server, 'off')], [3, 3, 2, 0], 'refused');
  const lines = server.log().split('\n').filter((line) => line.includes('proxy_head_refused'));
  same(lines.length, 3, 'lines in the log');
  for (const word of ['send', 'trust-proxy', 'health checks', proxy, '127.0.3.2']) truth(lines.join().includes(word), `the log does not say ${word}`);
  // Who is no proxy, and does not claim to be one, is served.
  same((await httpGet(`${server.url}/live`)).status, 200, 'a stranger without a head');
}), { timeout: 20000 });

await checks.step('a head where nobody is to send one is told with the remedy', () => withGateway({ '--trust-proxy': proxy }, async (server) => {
  for (const head of ['PROXY TCP4 192.0.2.31 10.0.0.5 1 2\r\n', binary('192.0.2.31')]) {
    const tcp = await connect(server, proxy);
    tcp.write(head);
    same((await tcp.answer())?.status, 400, 'status');
    tcp.destroy();
  }
  same(await refused(server, 'off'), 2, 'refused');
  truth(/proxy_head_refused.*set proxy-protocol/.test(server.log()), 'the remedy is not in the log');
}));

await checks.step('the limit per address counts the clients that heads name', () => withGateway({ ...spoken, '--max-connections-per-address': '2' }, async (server) => {
  const open = [];
  const upgrade = async (client) => {
    const tcp = await connect(server, proxy);
    open.push(tcp);
    tcp.write(`PROXY TCP4 ${client} 10.0.0.5 1 2\r\n${upgradeText()}`);
    return (await tcp.answer())?.status;
  };
  same([await upgrade('192.0.2.51'), await upgrade('192.0.2.51'), await upgrade('192.0.2.51')], [101, 101, 503], 'three of one client');
  same(await upgrade('192.0.2.52'), 101, 'another client');
  open[0].destroy();
  await until(3000, async () => await upgrade('192.0.2.51') === 101, 'room when one has gone');
  for (const tcp of open) tcp.destroy();
}));

await checks.step('a connection that a proxy keeps counts for the client it serves, and for nobody between two requests', () => withGateway({ '--trust-proxy': proxy, '--max-connections-per-address': '2' }, async (server) => {
  const pool = [];
  for (let i = 0; i < 5; i += 1) pool.push(await connect(server, proxy));
  const ask = async (tcp, client) => {
    tcp.write(`GET /live HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: ${client}\r\n\r\n`);
    return (await tcp.answer())?.status;
  };
  // All of them have served one client, one after the other, and are idle.
  for (const tcp of pool) same(await ask(tcp, '192.0.2.61'), 200, 'the same client by another connection');
  const socket = async (client) => {
    const tcp = await connect(server, proxy);
    pool.push(tcp);
    tcp.write(upgradeText(`X-Forwarded-For: ${client}\r\n`));
    return (await tcp.answer())?.status;
  };
  same([await socket('192.0.2.61'), await socket('192.0.2.61')], [101, 101], 'two sockets of that client');
  same(await ask(pool[0], '192.0.2.61'), 503, 'a request beside them');
  same(await ask(pool[1], '192.0.2.62'), 200, 'a request of another by a kept connection');
  // A poll that is held is its client's.
  const opened = await connect(server, proxy);
  pool.push(opened);
  opened.write('GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.63\r\n\r\n');
  const { sid } = JSON.parse((await opened.answer()).body.slice(1));
  opened.write(`GET /socket.io/?EIO=4&transport=polling&sid=${sid} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.63\r\n\r\n`);
  await until(3000, async () => await metric(server, 'sio_http_requests_total') !== undefined, 'metrics');
  same([await socket('192.0.2.63'), await socket('192.0.2.63')], [101, 503], 'beside a held poll');
  for (const tcp of pool) tcp.destroy();
}));

// --- a real HAProxy -------------------------------------------------------------------------------------------------

const haproxyBinary = ['/usr/sbin/haproxy', '/usr/local/sbin/haproxy', '/usr/bin/haproxy'].find((path) => existsSync(path));

/** An HAProxy that passes TCP on from `port` with these words on its server line. */
async function startHaproxy(gateway, words) {
  const folder = mkdtempSync(join(tmpdir(), 'sio-haproxy-'));
  const port = await freePort();
  writeFileSync(join(folder, 'haproxy.cfg'), `
defaults
  mode tcp
  timeout connect 2s
  timeout client 30s
  timeout server 30s
frontend in
  bind 127.0.0.1:${port}
  default_backend sio
backend sio
  server one 127.0.0.1:${gateway.port} source ${proxy} check inter 100 fall 1 rise 1 ${words}
`);
  const child = spawn(haproxyBinary, ['-f', join(folder, 'haproxy.cfg'), '-db'], { stdio: 'ignore' });
  const ended = new Promise((done) => { child.once('exit', done); });
  const quit = async () => {
    child.kill('SIGKILL');
    await within(5000, ended, 'end of haproxy');
    rmSync(folder, { recursive: true, force: true });
  };
  return { port, quit };
}

async function haproxySteps(words) {
  await checks.step(`HAProxy with ${words}: stock clients by both transports have their own addresses, and its health checks pass`, () => withGateway(spoken, async (server) => {
    const haproxy = await startHaproxy(server, words);
    const sockets = [];
    try {
      for (const [transports, localAddress] of [[['websocket'], '127.0.4.1'], [['polling'], '127.0.4.2'], [['polling', 'websocket'], '127.0.4.3']]) {
        const socket = io(`http://127.0.0.1:${haproxy.port}`, { transports, localAddress, reconnectionDelay: 100 });
        sockets.push(socket);
        await within(5000, new Promise((done) => { socket.once('connect', done); }), `${transports} through HAProxy`);
        same(await within(3000, socket.emitWithAck('echo', transports[0]), 'ack'), transports[0], 'ack');
      }
      truth((await addresses(server)).every((one) => /^127\.0\.(0\.1|4\.\d)$/.test(one)), `addresses: ${await addresses(server)}`);
      truth(!(await addresses(server)).includes(proxy), 'the proxy is taken for a client');
      same([await refused(server, 'missing'), await refused(server, 'malformed')], [0, 0], 'refused');
    } finally {
      for (const socket of sockets) socket.disconnect();
      await haproxy.quit();
    }
  }), { timeout: 20000 });
}

if (haproxyBinary) {
  for (const words of ['send-proxy', 'send-proxy-v2', 'send-proxy-v2 proxy-v2-options crc32c,unique-id']) await haproxySteps(words);
  await checks.step('HAProxy without the words: clients are refused, and the log says what to do', () => withGateway(spoken, async (server) => {
    const haproxy = await startHaproxy(server, '');
    try {
      const url = `http://127.0.0.1:${haproxy.port}/live`;
      await until(5000, () => httpGet(url).then((answer) => answer.status === 400, () => false), 'the refusal');
      truth(/proxy_head_refused.*trust-proxy/.test(server.log()), 'the log says nothing');
    } finally {
      await haproxy.quit();
    }
  }));
} else {
  console.log('skip  proxies: haproxy is not installed');
}

await checks.end();
