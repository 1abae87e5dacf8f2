// Who gets in when places run short: sessions count per address as connections do, and who has joined nothing goes first.

import { createConnection } from 'node:net';
import { Checks, httpGet, same, sleep, startGateway, truth, until, within } from './lib/harness.mjs';
import { Tcp } from './lib/raw.mjs';

const checks = new Checks('places');
const path = '/socket.io/?EIO=4&transport=';

/** The value of the metric whose name, with labels, is `name`. */
async function metric(server, name) {
  const { body } = await httpGet(`${server.url}/metrics`, { headers: { accept: 'text/plain' } });
  const found = body.split('\n').find((line) => line.startsWith(`${name} `));
  return found === undefined ? undefined : Number(found.split(' ').at(-1));
}

async function connection(server, from) {
  const socket = createConnection({ port: server.port, host: '127.0.0.1', localAddress: from });
  await within(3000, new Promise((done, fail) => { socket.once('connect', done); socket.once('error', fail); }), 'TCP connection');
  return new Tcp(socket);
}

/** A WebSocket that has joined nothing; with `connect`, one that has joined "/". */
async function webSocket(server, from, { connect } = {}) {
  const tcp = await connection(server, from);
  await tcp.upgrade(`${path}websocket`);
  if (!connect) return tcp;
  tcp.text('40');
  await tcp.wait(() => (tcp.buffer.includes('40{"sid"') ? true : undefined), 3000, 'the answer to CONNECT');
  return tcp;
}

/** A client by polling over one connection. */
class Poller {
  static async open(server, from, headers = '') {
    const poller = new Poller();
    poller.tcp = await connection(server, from);
    poller.headers = headers;
    return poller;
  }
  async ask(method, target, body = '') {
    this.tcp.write(`${method} ${target} HTTP/1.1\r\nHost: a\r\n${this.headers}Content-Length: ${body.length}\r\n\r\n${body}`);
    return this.tcp.answer();
  }
  /** Opens a session; returns the status, and keeps its id. */
  async open() {
    const { status, body } = await this.ask('GET', `${path}polling`);
    this.refusal = body;
    if (status === 200) this.sid = JSON.parse(body.slice(1)).sid;
    return status;
  }
  post(packets) { return this.ask('POST', `${path}polling&sid=${this.sid}`, packets); }
  poll() { return this.ask('GET', `${path}polling&sid=${this.sid}`); }
  async joins() {
    await this.post('40');
    const { status, body } = await this.poll();
    return status === 200 && body.startsWith('40{"sid"');
  }
}

async function withGateway(options, body) {
  const server = await startGateway({ options: { '--log-level': 'info', '--recovery': 'off', ...options } });
  const open = [];
  const kept = (one) => { open.push(one.tcp ?? one); return one; };
  try {
    await body(server, kept);
    truth(!server.complaint(), server.complaint());
  } finally {
    for (const tcp of open) tcp.destroy();
    await server.stop();
  }
}

/** Opens sessions one behind the other on one connection, until one is refused. */
async function flood(server, kept, from, most) {
  const poller = kept(await Poller.open(server, from));
  let opened = 0;
  for (; opened < most; opened += 1) if (await poller.open() !== 200) break;
  return { opened, poller };
}

await checks.step('sessions by polling count for their address though they have no connection', () => withGateway({ '--max-connections-per-address': '30' }, async (server, kept) => {
  const { opened, poller } = await flood(server, kept, '127.0.4.1', 100);
  same(opened, 30, 'sessions of one address');
  truth(poller.refusal.includes('Too many sessions from this address'), poller.refusal);
  same(await metric(server, 'sio_sessions_refused_total{reason="address"}'), 1, 'refused');
  truth(/session_refused reason=address address=127\.0\.4\.1 sessions=\d+ limit=30 remedy=/.test(server.log()), 'the log says why');
  const elsewhere = kept(await Poller.open(server, '127.0.4.2'));
  same([await elsewhere.open(), await elsewhere.joins()], [200, true], 'another address gets in');
  // Somebody else behind the same address gets the place of the oldest that has joined nothing, not of one that has.
  await sleep(250);
  const neighbour = kept(await Poller.open(server, '127.0.4.1'));
  same(await neighbour.open(), 200, 'status for a neighbour a moment later');
  truth(await neighbour.joins(), 'he joins');
  same(await metric(server, 'sio_places_given_to_others_total{rank="stranger"}') > 0, true, 'counted');
}));

await checks.step('by forwarded address behind a trusted proxy', () => withGateway({ '--max-connections-per-address': '4', '--trust-proxy': '127.0.4.9' }, async (server, kept) => {
  const statuses = async (client) => {
    const poller = kept(await Poller.open(server, '127.0.4.9', `X-Forwarded-For: ${client}\r\n`));
    const seen = [];
    for (let i = 0; i < 5; i += 1) seen.push(await poller.open());
    return seen.join();
  };
  same(await statuses('192.0.2.51'), '200,200,200,200,503', 'statuses of one client');
  same(await statuses('192.0.2.52:4711'), '200,200,200,200,503', 'statuses of another');
}));

await checks.step('when all places are taken by one address, others get in and join; those that have joined something stay', () => withGateway({ '--max-connections': '60' }, async (server, kept) => {
  const calm = [];
  for (let i = 0; i < 5; i += 1) calm.push(kept(await webSocket(server, '127.0.4.3', { connect: true })));
  const { opened } = await flood(server, kept, '127.0.4.4', 200);
  same(opened, 55, 'sessions of who floods');
  for (let i = 0; i < 10; i += 1) {
    const other = kept(await Poller.open(server, `127.0.4.${10 + i}`));
    same([await other.open(), await other.joins()], [200, true], `other ${i}`);
  }
  same(await metric(server, 'sio_sessions'), 60, 'sessions');
  same(await metric(server, 'sio_places_given_to_others_total{rank="stranger"}'), 10, 'places given to others');
  truth(/place_given_to_others rank=stranger address=127\.0\.4\.4 of_address=55 .*remedy=/.test(server.log()), 'the log says whose');
  same(calm.filter((tcp) => tcp.ended).length, 0, 'of those that had joined, ended');
}));

await checks.step('joining costs nothing without a login: sessions without any request under way go next', () => withGateway({ '--max-connections': '40' }, async (server, kept) => {
  const flooding = kept(await Poller.open(server, '127.0.4.5'));
  let opened = 0;
  while (await flooding.open() === 200) { opened += 1; await flooding.post('40'); }
  same(opened, 40, 'sessions that have joined, and do not poll');
  const other = kept(await Poller.open(server, '127.0.4.6'));
  same([await other.open(), await other.joins()], [200, true], 'another client');
  same(await metric(server, 'sio_places_given_to_others_total{rank="absent"}'), 1, 'places given to others');
}));

await checks.step('when all connections are taken by silent ones, by WebSockets that join nothing, or by those that only join, others get in', () => withGateway({ '--max-connections': '80' }, async (server, kept) => {
  const gone = async (tcps) => { await sleep(50); return tcps.filter((tcp) => tcp.ended).length; };
  const joins = async (from, what) => truth(await within(4000, webSocket(server, from, { connect: true }).then(kept), what), what);
  const silent = [];
  for (let i = 0; i < 40; i += 1) silent.push(kept(await connection(server, '127.0.4.7')));
  for (let i = 0; i < 40; i += 1) kept(await webSocket(server, '127.0.4.7', { connect: true }));
  await joins('127.0.4.20', 'beside silent connections');
  same(await gone(silent), 1, 'silent connections that went');
  for (const tcp of silent) tcp.destroy();
  await until(3000, async () => await metric(server, 'sio_connections') <= 43, 'connections to go');
  const strangers = [];
  while (await metric(server, 'sio_connections') < 80) strangers.push(kept(await webSocket(server, '127.0.4.8')));
  await joins('127.0.4.21', 'beside WebSockets that have joined nothing');
  truth(strangers[0].ended || await gone(strangers) > 0, 'a WebSocket went');
  truth(strangers.some((tcp) => tcp.buffer.includes('others need the place')), 'it is told why');
  for (const tcp of strangers) tcp.destroy();
  await until(3000, async () => await metric(server, 'sio_connections') <= 44, 'connections to go');
  const onlookers = [];
  for (let i = 0; i < 37; i += 1) onlookers.push(kept(await webSocket(server, '127.0.4.7', { connect: true })));
  await joins('127.0.4.22', 'beside those that have joined no room');
  truth(await metric(server, 'sio_places_given_to_others_total{rank="onlooker"}') >= 1, 'an onlooker went');
}), { timeout: 30000 });

await checks.end([]);
