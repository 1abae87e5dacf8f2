// What a client hears whose message, room, namespace or answer is one too many, and what the log and the metrics say of it.

import { createConnection } from 'node:net';
import { Checks, httpGet, same, startGateway, truth, until, within } from './lib/harness.mjs';
import { Tcp } from './lib/raw.mjs';

const checks = new Checks('limits');
const target = '/socket.io/?EIO=4&transport=';

async function metric(server, name) {
  const { body } = await httpGet(`${server.url}/metrics`, { headers: { accept: 'text/plain' } });
  const found = body.split('\n').find((line) => line.startsWith(`${name} `));
  return found === undefined ? undefined : Number(found.split(' ').at(-1));
}

async function connection(server) {
  const socket = createConnection({ port: server.port, host: '127.0.0.1' });
  await within(3000, new Promise((done, fail) => { socket.once('connect', done); socket.once('error', fail); }), 'TCP connection');
  return new Tcp(socket);
}

async function joined(server, connect = '40') {
  const tcp = await connection(server);
  await tcp.upgrade(`${target}websocket`);
  tcp.text(connect);
  await tcp.wait(() => (tcp.buffer.includes('"sid"', 100) || tcp.buffer.includes('40{"sid"') ? true : undefined), 3000, 'the answer to CONNECT');
  return tcp;
}

/** Sends and returns what comes back, as soon as `end` is in it. */
async function answer(tcp, text, end) {
  tcp.buffer = Buffer.alloc(0);
  tcp.text(text);
  await tcp.wait(() => (tcp.buffer.includes(end) ? true : undefined), 3000, `answer to ${text.slice(0, 60)}`);
  return tcp.buffer.toString('latin1');
}

const routes = {
  version: 1,
  namespaces: {
    '/': {
      events: {
        join: [{ join: '{event.0}', allow: 'anyone' }, { ack: ['joined'] }],
        leave: [{ leave: '{event.0}' }, { ack: ['left'] }],
        free: [{ ack: ['fine'] }],
      },
    },
    '/n-*': {},
  },
};

async function withGateway(options, body) {
  const server = await startGateway({ files: { 'routes.json': JSON.stringify(routes) }, options: { '--routes': 'FOLDER/routes.json', '--log-level': 'info', ...options } });
  try {
    await body(server);
    truth(!server.complaint(), server.complaint());
  } finally {
    await server.stop();
  }
}

/** A close frame's code and reason, out of all that has come. */
function closing(tcp) {
  for (let at = 0; at + 2 <= tcp.buffer.length;) {
    const short = tcp.buffer[at + 1] & 127;
    const head = short === 126 ? 4 : short === 127 ? 10 : 2;
    const length = short === 126 ? tcp.buffer.readUInt16BE(at + 2) : short === 127 ? Number(tcp.buffer.readBigUInt64BE(at + 2)) : short;
    if ((tcp.buffer[at] & 15) === 8) {
      const payload = tcp.buffer.subarray(at + head, at + head + length);
      return payload.length < 2 ? { code: 1005, reason: '' } : { code: payload.readUInt16BE(0), reason: payload.subarray(2).toString() };
    }
    at += head + length;
  }
  return undefined;
}

async function ended(server, tcp, limit, code, reason) {
  await tcp.end(3000, `end of who passes ${limit}`);
  same(closing(tcp), { code, reason }, `close frame for ${limit}`);
  same(await metric(server, `sio_limits_passed_total{limit="${limit}"}`), 1, `metric of ${limit}`);
  truth(server.log().includes(`limit_passed limit=${limit} `) && server.log().includes(`told="${reason}"`), `log line of ${limit}`);
}

await checks.step('by WebSocket the close frame names size, limit and option', () => withGateway({ '--max-payload': '5000', '--max-json-depth': '20', '--rate-limit': '10/60s' }, async (server) => {
  const large = await joined(server);
  large.buffer = Buffer.alloc(0);
  large.text(`42["x","${'y'.repeat(5000)}"]`);
  await ended(server, large, 'message', 1009, '5010 bytes of a message, of at most 5000 (max-payload)');
  const deep = await joined(server);
  deep.buffer = Buffer.alloc(0);
  deep.text(`42["x",${'['.repeat(20)}${']'.repeat(20)}]`);
  await ended(server, deep, 'json-depth', 1008, 'too many levels of JSON, of at most 20 (max-json-depth)');
  const many = await joined(server);
  many.buffer = Buffer.alloc(0);
  many.text('4511-["x"]');
  await ended(server, many, 'attachments', 1008, 'too many attachments of a packet, of at most 10');
  const fast = await joined(server);
  fast.buffer = Buffer.alloc(0);
  for (let i = 0; i < 150; i += 1) fast.text('42["free"]');
  await ended(server, fast, 'rate', 1008, '101 packets in a window, of at most 100 (rate-limit)');
  // A deeper text than any other is no JSON, and that is another mistake.
  const deepest = await joined(server);
  deepest.buffer = Buffer.alloc(0);
  deepest.text(`42["x",${'['.repeat(2000)}`);
  await deepest.end(3000, 'end of who sends no JSON');
  same(closing(deepest)?.code, 1005, 'close code');
}));

await checks.step('by HTTP the body of a 413 or 431 does, and the session goes on', () => withGateway({ '--max-payload': '5000', '--max-header-bytes': '3000' }, async (server) => {
  const { body } = await httpGet(`${server.url}${target}polling`);
  const { sid } = JSON.parse(body.slice(1));
  const post = (packets, headers = {}) => httpGet(`${server.url}${target}polling&sid=${sid}`, { method: 'POST', body: packets, headers });
  same((await post('40')).status, 200, 'CONNECT');
  const over = await post(`42["x","${'y'.repeat(6000)}"]`);
  same([over.status, over.body], [413, '6010 bytes of a body, of at most 5000 (max-payload)'], 'large body');
  same((await post('42["free"]')).status, 200, 'the session goes on');
  same(await metric(server, 'sio_limits_passed_total{limit="body"}'), 1, 'metric');
  const tcp = await connection(server);
  tcp.write(`GET /live HTTP/1.1\r\nHost: a\r\nX-Long: ${'x'.repeat(4000)}\r\n\r\n`);
  const head = await tcp.answer();
  same(head.status, 431, 'large head');
  truth(/bytes of a request's head, of at most 3000 \(max-header-bytes\)/.test(head.body), head.body);
  const lines = await connection(server);
  lines.write(`GET /live HTTP/1.1\r\nHost: a\r\n${Array.from({ length: 120 }, (_, i) => `X${i}: 1\r\n`).join('')}\r\n`);
  const refused = await lines.answer();
  same([refused.status, refused.body], [431, 'too many header lines, of at most 100'], 'many lines');
}));

await checks.step('a join too many is refused with the reason, counted and logged; others and leaving go on', () => withGateway({ '--max-rooms-per-socket': '5', '--auth': 'dev' }, async (server) => {
  const tcp = await joined(server, '40{"token":"ada"}');
  for (let i = 1; i <= 5; i += 1) truth((await answer(tcp, `42${i}["join","r${i}"]`, `43${i}[`)).includes('joined'), `room ${i}`);
  const refused = await answer(tcp, '426["join","r6"]', '436[');
  truth(refused.includes('"error":"denied"') && refused.includes('max-rooms-per-socket'), refused);
  truth((await answer(tcp, '427["join","r3"]', '437[')).includes('joined'), 'a room that it is in');
  same(await metric(server, 'sio_joins_refused_total'), 1, 'metric');
  truth(/join_refused .*user=ada .*room=r6 limit=5 remedy=/.test(server.log()), 'log');
  await answer(tcp, '428["leave","r2"]', '438[');
  truth((await answer(tcp, '429["join","r6"]', '439[')).includes('joined'), 'in the place of another');
  tcp.destroy();
}));

await checks.step('namespaces of one connection have a limit, and a name of one is no longer than 256 bytes', () => withGateway({ '--max-namespaces-per-connection': '3' }, async (server) => {
  const tcp = await joined(server);
  for (const name of ['/n-1', '/n-2']) truth((await answer(tcp, `40${name},`, `40${name},{`)).includes('"sid"'), name);
  truth((await answer(tcp, '40/n-3,', '44/n-3,')).includes('Too many namespaces on one connection'), 'refused');
  same(await metric(server, 'sio_limits_passed_total{limit="connection-namespaces"}'), 1, 'metric');
  await answer(tcp, `40/n-${'x'.repeat(300)},`, 'Invalid namespace');
  same(await metric(server, 'sio_limits_passed_total{limit="namespace-name"}'), 1, 'metric');
  tcp.destroy();
}));

await checks.step('a connection too many is logged with the option, and what waits for a CONNECT has a limit', () => withGateway({ '--max-connections-per-address': '2' }, async (server) => {
  const kept = [await joined(server), await joined(server)];
  const third = await connection(server);
  same((await third.answer())?.status, 503, 'status');
  await until(3000, () => /limit_passed limit=address-connections option=max-connections-per-address size=3 most=2 address=127\.0\.0\.1/.test(server.log()), 'log line');
  for (const tcp of kept) tcp.destroy();
}));

await checks.end([]);
