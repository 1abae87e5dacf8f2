// The HTTP API of a gateway that is alone: POST /api/v1/emit, join, leave, disconnect, presence.

import http from 'node:http';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { io } from 'socket.io-client';
import {
  Checks, httpGet, onReference, root, same, sleep, startGateway, truth, until, within,
} from './lib/harness.mjs';
import { Tcp } from './lib/raw.mjs';

const checks = new Checks('api');
if (onReference) await checks.end();
const key = 'a-key-of-the-shop-0123';
const other = 'a-key-of-the-office-45';
const servers = [];
async function start(options = {}, keys = `# keys\nshop ${key}\noffice ${other}\n`) {
  const server = await startGateway({
    options: { '--api-keys-file': 'FOLDER/keys', '--auth': 'dev', ...options }, files: { keys },
  });
  servers.push(server);
  return server;
}
const agent = new http.Agent({ keepAlive: true });
function call(server, command, body, { method = 'POST', headers = {}, text = null, token = key } = {}) {
  return new Promise((done, fail) => {
    const sent = text ?? JSON.stringify(body);
    const request = http.request(`${server.url}/api/v1/${command}`, {
      method, agent, timeout: 8000,
      headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), 'content-type': 'application/json', ...headers },
    }, (response) => {
      let out = '';
      response.setEncoding('utf8');
      response.on('data', (part) => { out += part; });
      response.on('end', () => done({
        status: response.statusCode, headers: response.headers,
        body: /json/.test(response.headers['content-type']) ? JSON.parse(out) : out,
      }));
    });
    request.on('timeout', () => request.destroy(new Error('no answer within 8 s')));
    request.on('error', fail);
    request.end(method === 'POST' ? sent : undefined);
  });
}
/** The status and the code of a refusal. */
const refusal = async (...args) => {
  const { status, body } = await call(...args);
  truth(body.ok === false && typeof body.error.message === 'string', JSON.stringify(body));
  return [status, body.error.code];
};
const once = (value) => ({ headers: { 'idempotency-key': value } });
const sockets = [];
async function join_(server, user, nsp = '') {
  const socket = io(server.url + nsp, { auth: { token: user }, transports: ['websocket'], forceNew: true });
  sockets.push(socket);
  socket.got = [];
  socket.onAny((event, ...args) => socket.got.push([event, ...args.filter((one) => !/^[0-9a-z]+-[0-9]+$/i.test(one))]));
  await within(4000, new Promise((done) => { socket.once('connect', done); }), `${user} to connect`);
  return socket;
}
const prometheus = async (server) => (await httpGet(`${server.url}/metrics`, { headers: { accept: 'text/plain' } })).body;

const server = await start();
const alice = await join_(server, 'alice');
const bob = await join_(server, 'bob');

// ---- what it does -------------------------------------------------------------------------------------------------

await checks.step('emit reaches whom it selects, and says how many', async () => {
  same((await call(server, 'emit', { event: 'all', args: [1, { a: 'ü' }] })).body, { ok: true, reached: 2 });
  same((await call(server, 'emit', { event: 'one', to: ['alice'] })).body, { ok: true, reached: 1 });
  same((await call(server, 'emit', { event: 'not', except: ['alice'] })).body, { ok: true, reached: 1 });
  same((await call(server, 'emit', { event: 'none', users: ['zoe'] })).body, { ok: true, reached: 0 });
  same((await call(server, 'emit', { event: 'sid', sockets: [bob.id], volatile: true })).body, { ok: true, reached: 1 });
  await until(3000, () => alice.got.length === 2 && bob.got.length === 3, 'the events');
  same(alice.got, [['all', 1, { a: 'ü' }], ['one']]);
  same(bob.got.map(([event]) => event), ['all', 'not', 'sid']);
});

await checks.step('attachments arrive as binary', async () => {
  alice.got.length = 0;
  await call(server, 'emit', { event: 'bin', to: ['alice'], args: [{ b: { _placeholder: true, num: 0 } }], attachments: ['AQID'] });
  await until(3000, () => alice.got.length === 1, 'the event');
  same([...alice.got[0][1].b], [1, 2, 3]);
});

await checks.step('a batch is done in its order, and each item has its result', async () => {
  alice.got.length = 0;
  const { status, body } = await call(server, 'emit', Array.from({ length: 1000 }, (_, n) => ({ event: 'n', to: n % 2 ? ['alice'] : ['bob'], args: [n] })));
  same([status, body.ok, body.results.length, body.results[999]], [200, true, 1000, { ok: true, reached: 1 }]);
  await until(4000, () => alice.got.length === 500, 'the events');
  same(alice.got.map(([, n]) => n), Array.from({ length: 500 }, (_, n) => 2 * n + 1));
});

await checks.step('a batch with one wrong item does nothing, and says which and where', async () => {
  alice.got.length = 0;
  const { status, body } = await call(server, 'emit', [{ event: 'a' }, { event: 'b', to: 'alice' }, { event: 'c' }]);
  same([status, body.error.code, body.error.index, body.error.pointer], [400, 'malformed', 1, '/1/to']);
  const nowhere = await call(server, 'emit', [{ event: 'a' }, { event: 'b', nsp: '/nowhere' }]);
  same([nowhere.status, nowhere.body.error.code, nowhere.body.error.index, nowhere.body.error.pointer], [400, 'not_found', 1, '/1/nsp']);
  await call(server, 'emit', { event: 'end' });
  await until(3000, () => alice.got.length > 0, 'the end');
  same(alice.got, [['end']]);
});

await checks.step('join and leave change rooms, disconnect disconnects', async () => {
  alice.got.length = 0;
  same((await call(server, 'join', { users: ['alice'], rooms: ['red', 'blue'] })).body, { ok: true, reached: 1 });
  same((await call(server, 'emit', { event: 'r', to: ['red'] })).body.reached, 1);
  same((await call(server, 'leave', { to: ['blue'], rooms: ['red'] })).body, { ok: true, reached: 1 });
  same((await call(server, 'emit', { event: 'r', to: ['red'] })).body.reached, 0);
  const carol = await join_(server, 'carol');
  const reason = new Promise((done) => { carol.once('disconnect', done); });
  same((await call(server, 'disconnect', { users: ['carol'] })).body, { ok: true, reached: 1 });
  same(await within(3000, reason, 'the end of carol'), 'io server disconnect');
  const dave = await join_(server, 'dave');
  const cut = new Promise((done) => { dave.once('disconnect', done); });
  same((await call(server, 'disconnect', { users: ['dave'], how: 'transport' })).body, { ok: true, reached: 1 });
  same(await within(3000, cut, 'the end of dave'), 'transport close');
});

await checks.step('presence tells who is online', async () => {
  same((await call(server, 'presence', { users: ['alice', 'zoe'] })).body, { ok: true, online: { alice: true, zoe: false } });
  const { body } = await call(server, 'presence', [{ limit: 1 }, { users: [] }, {}]);
  same([body.ok, body.results[0].users.length, body.results[1], body.results[2].count >= 2], [true, 1, { ok: true, online: {} }, true]);
});

// ---- who may, and how ---------------------------------------------------------------------------------------------

const event = { event: 'e' };
await checks.step('without a key of the file it is 401, whatever else is wrong', async () => {
  for (const token of [null, 'nonsense', `${key}x`, key.slice(1)]) same(await refusal(server, 'emit', event, { token }), [401, 'unauthorized']);
  for (const authorization of [key, `Basic ${key}`, 'Bearer', 'Bearer ']) {
    same(await refusal(server, 'emit', event, { token: null, headers: { authorization } }), [401, 'unauthorized'], authorization);
  }
  const { headers } = await call(server, 'emit', event, { token: null, text: 'x'.repeat(3000) });
  truth(/^Bearer/.test(headers['www-authenticate']), `WWW-Authenticate: ${headers['www-authenticate']}`);
});

await checks.step('a key comes as bearer in any case, or as X-API-Key', async () => {
  for (const headers of [{ authorization: `bearer ${other}` }, { authorization: `BEARER  ${other}` }, { 'x-api-key': other }]) {
    same((await call(server, 'emit', event, { token: null, headers })).status, 200, JSON.stringify(headers));
  }
});

await checks.step('pages of browsers are refused, and get no CORS header', async () => {
  const { status, headers } = await call(server, 'emit', event, { headers: { origin: 'https://example.org' } });
  same([status, headers['access-control-allow-origin']], [403, undefined]);
  const preflight = await call(server, 'emit', null, { method: 'OPTIONS', headers: { origin: 'https://example.org', 'access-control-request-method': 'POST' } });
  same([preflight.status, preflight.headers['access-control-allow-origin']], [403, undefined]);
});

await checks.step('other methods are 405 with Allow, other paths 404', async () => {
  for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS']) {
    const { status, headers } = await call(server, 'emit', null, { method });
    same([status, headers.allow], [405, 'POST'], method);
  }
  same(await refusal(server, 'rooms', {}), [404, 'not_found']);
  same(await refusal(server, 'emit/', event), [404, 'not_found']);
  same((await httpGet(`${server.url}/api/v2/emit`)).status, 404);
});

await checks.step('a body that is not JSON, or compressed, is 415; a namespace nobody serves 404; nonsense 400', async () => {
  for (const headers of [{ 'content-type': 'text/plain' }, { 'content-type': 'application/jsonx' }, { 'content-type': '' }, { 'content-encoding': 'gzip' }]) {
    same(await refusal(server, 'emit', event, { headers }), [415, 'unsupported'], JSON.stringify(headers));
  }
  same((await call(server, 'emit', event, { headers: { 'content-type': 'Application/JSON; charset=utf-8' } })).status, 200);
  same(await refusal(server, 'emit', { ...event, nsp: '/nowhere' }), [404, 'not_found']);
  for (const text of ['', '{', '[]', 'null', '{"event":"e"} x', '{"event":"e","room":["x"]}']) {
    same(await refusal(server, 'emit', null, { text }), [400, 'malformed'], text);
  }
  same(await refusal(server, 'emit', { event: 'disconnect' }), [400, 'denied']);
  same(await refusal(server, 'disconnect', {}), [400, 'malformed'], 'nobody is named');
});

await checks.step('without api-keys-file there is no such path', async () => {
  const plain = await startGateway();
  servers.push(plain);
  for (const method of ['POST', 'GET', 'OPTIONS']) {
    const { status, body } = await call(plain, 'emit', event, { method });
    same([status, body], [404, ''], method);
  }
});

// ---- sizes and times ----------------------------------------------------------------------------------------------

const head = (length) => `POST /api/v1/emit HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\n${length}\r\n\r\n`;

await checks.step('a body above api-max-body is 413 by its length at once, and while chunks come; one of exactly that is taken', async () => {
  const small = await start({ '--api-max-body': '2KB', '--body-timeout': '700ms' });
  const fit = JSON.stringify({ ...event, args: ['x'.repeat(2048 - JSON.stringify({ ...event, args: [''] }).length)] });
  same(fit.length, 2048);
  same((await call(small, 'emit', null, { text: fit })).status, 200);
  same(await refusal(small, 'emit', null, { text: `${fit} ` }), [413, 'too_large']);
  same((await call(small, 'emit', null, { text: fit, headers: { 'transfer-encoding': 'chunked' } })).status, 200);
  same(await refusal(small, 'emit', null, { text: `${fit} `, headers: { 'transfer-encoding': 'chunked' } }), [413, 'too_large']);
  const announced = await httpGet(`${small.url}/live`);
  same(announced.status, 200, 'it goes on');
  const early = await Tcp.open(small.port);
  early.write(head('Content-Length: 1000000'));
  const answer = await within(2000, early.answer(), 'an answer before the body');
  same(answer.status, 413);
  early.destroy();
});

await checks.step('a slow body ends with 408, and frees its place', async () => {
  const slow = await start({ '--body-timeout': '400ms' });
  const tcp = await Tcp.open(slow.port);
  tcp.write(`${head('Content-Length: 100')}{"eve`);
  await until(2000, async () => /^sio_api_open 1$/m.test(await prometheus(slow)), 'one that is open');
  same((await within(3000, tcp.answer(), '408')).status, 408);
  tcp.destroy();
  await until(2000, async () => /^sio_api_open 0$/m.test(await prometheus(slow)), 'none that is open');
  const gone = await Tcp.open(slow.port);
  gone.write(`${head('Content-Length: 100')}{"eve`);
  await until(2000, async () => /^sio_api_open 1$/m.test(await prometheus(slow)), 'one that is open');
  gone.destroy();
  await until(2000, async () => /^sio_api_open 0$/m.test(await prometheus(slow)), 'none after its client left');
  truth(/^sio_api_requests_total\{key="shop",command="emit",status="gone"\} 2$/m.test(await prometheus(slow)), await prometheus(slow));
});

await checks.step('more than 256 requests at a time are told to come again', async () => {
  const tcps = [];
  for (let n = 0; n < 256; n += 1) {
    const tcp = await Tcp.open(server.port);
    tcps.push(tcp);
    tcp.write(`${head('Content-Length: 100')}{`);
  }
  await until(3000, async () => /^sio_api_open 256$/m.test(await prometheus(server)), '256 that are open');
  const { status, headers, body } = await call(server, 'emit', event);
  same([status, headers['retry-after'], body.error.code], [503, '1', 'busy']);
  for (const tcp of tcps) tcp.destroy();
  await until(3000, async () => /^sio_api_open 0$/m.test(await prometheus(server)), 'none that is open');
  same((await call(server, 'emit', event)).status, 200);
}, { timeout: 15000 });

await checks.step('requests sent one behind the other on one connection are answered in their order', async () => {
  const tcp = await Tcp.open(server.port);
  const one = (n, size) => {
    const text = JSON.stringify({ event: 'p', users: ['zoe'], args: [n, 'x'.repeat(size)] });
    return head(`Content-Length: ${text.length}`) + text;
  };
  const bad = head('Content-Length: 2') + '{}';
  tcp.write([one(1, 10), one(2, 60000), bad, one(3, 200000), one(4, 1)].join(''));
  const statuses = [];
  for (let n = 0; n < 5; n += 1) statuses.push((await within(3000, tcp.answer(), `answer ${n}`)).status);
  same(statuses, [200, 200, 400, 200, 200]);
  tcp.destroy();
});

// ---- the same again -----------------------------------------------------------------------------------------------

await checks.step('an Idempotency-Key: the same again does nothing and gets the first answer, another body is 422', async () => {
  alice.got.length = 0;
  const body = { event: 'paid', to: ['alice'], args: [1] };
  const first = await call(server, 'emit', body, once('order-1'));
  const again = await call(server, 'emit', body, once('order-1'));
  same([first.status, first.headers['idempotent-replayed'], first.body], [200, undefined, { ok: true, reached: 1 }]);
  same([again.status, again.headers['idempotent-replayed'], again.body], [200, 'true', first.body]);
  same(await refusal(server, 'emit', { ...body, args: [2] }, once('order-1')), [422, 'key_reused']);
  same((await call(server, 'emit', body, { ...once('order-1'), token: other })).headers['idempotent-replayed'], undefined, 'of another name');
  same(await refusal(server, 'emit', { event: 1 }, once('order-2')), [400, 'malformed'], 'a refusal does not use the key up');
  same((await call(server, 'emit', { ...body, args: [3] }, once('order-2'))).status, 200);
  const paid = () => alice.got.filter(([name]) => name === 'paid').map(([, n]) => n);
  await until(3000, () => paid().length === 3, 'the events');
  await sleep(100);
  same(paid(), [1, 1, 3]);
});

await checks.step('an Idempotency-Key has 1 to 255 visible ASCII characters', async () => {
  for (const value of ['', 'a b', 'k'.repeat(256)]) same(await refusal(server, 'emit', event, once(value)), [400, 'malformed'], value);
  same((await call(server, 'emit', event, once('k'.repeat(255)))).status, 200);
});

await checks.step('of equal requests at the same time one is carried out', async () => {
  alice.got.length = 0;
  const body = Array.from({ length: 500 }, (_, n) => ({ event: 'race', to: ['alice'], args: [n] }));
  const answers = await Promise.all(Array.from({ length: 10 }, () => call(server, 'emit', body, once('race'))));
  same(answers.filter(({ status, headers }) => status === 200 && !headers['idempotent-replayed']).length, 1);
  truth(answers.every(({ status }) => status === 200 || status === 409), answers.map(({ status }) => status).join());
  const raced = () => alice.got.filter(([name]) => name === 'race').length;
  await until(3000, () => raced() >= 500, 'the events');
  await sleep(100);
  same(raced(), 500);
});

// ---- operation ----------------------------------------------------------------------------------------------------

await checks.step('api-rate: 429 with Retry-After, for each name by itself', async () => {
  const limited = await start({ '--api-rate': '5' });
  const statuses = [];
  for (let n = 0; n < 8; n += 1) statuses.push((await call(limited, 'emit', event)).status);
  same(statuses.slice(0, 5), [200, 200, 200, 200, 200]);
  truth(statuses.includes(429), statuses.join());
  const { status, headers, body } = await call(limited, 'emit', event);
  if (status === 429) same([headers['retry-after'], body.error.code], ['1', 'limited']);
  same((await call(limited, 'emit', event, { token: other })).status, 200, 'of another name');
  await sleep(1100);
  same((await call(limited, 'emit', event)).status, 200, 'after a second');
});

await checks.step('SIGHUP reads the keys again; a file that is wrong leaves the old ones', async () => {
  const file = join(server.folder, 'keys');
  writeFileSync(file, `shop a-key-that-is-new-01\nshop ${key}\n`);
  server.child.kill('SIGHUP');
  await until(3000, async () => (await call(server, 'emit', event, { token: 'a-key-that-is-new-01' })).status === 200, 'the new key');
  same((await call(server, 'emit', event, { token: other })).status, 401, 'the key that was taken out');
  writeFileSync(file, 'shop short\n');
  server.child.kill('SIGHUP');
  await until(3000, () => /keys_refused/.test(server.log()), 'the complaint');
  truth(!/short/.test(server.log().split('\n').filter((line) => /keys_refused/.test(line)).join().replace('shortest', '')), server.log());
  same((await call(server, 'emit', event)).status, 200);
});

await checks.step('a file that others may read is warned of; a wrong one ends the program with 78', async () => {
  const open = await start({ '--log-level': 'warn' });   // written with 0644
  truth(/keys_exposed/.test(open.log()), open.log());
  chmodSync(join(open.folder, 'keys'), 0o600);
  const before = open.log().length;
  open.child.kill('SIGHUP');
  await sleep(300);
  truth(!/keys_exposed/.test(open.log().slice(before)), 'warned of again');
  const wrong = await startGateway({ options: { '--api-keys-file': 'FOLDER/keys' }, files: { keys: 'shop\n' }, ready: false });
  servers.push(wrong);
  same(await within(3000, wrong.exited, 'its end'), 78);
});

await checks.step('requests are counted by name, command and status, refusals and replays by their kind', async () => {
  const text = await prometheus(server);
  for (const line of [/^sio_api_requests_total\{key="shop",command="emit",status="2xx"\} [1-9]/m,
    /^sio_api_requests_total\{key="shop",command="emit",status="4xx"\} [1-9]/m,
    /^sio_api_requests_total\{key="office",command="emit",status="2xx"\} [1-9]/m,
    /^sio_api_refused_total\{reason="key"\} [1-9]/m, /^sio_api_refused_total\{reason="origin"\} [1-9]/m,
    /^sio_api_refused_total\{reason="busy"\} 1$/m, /^sio_api_replays_total [1-9]/m, /^sio_api_open 0$/m]) {
    truth(line.test(text), `${line} is not in ${text.split('\n').filter((one) => /^sio_api/.test(one)).join('\n')}`);
  }
  const metrics = JSON.parse((await httpGet(`${server.url}/metrics`)).body);
  truth(metrics.apiRequests > 0 && metrics.apiKeys.shop.presence['2xx'] >= 2, JSON.stringify(metrics.apiKeys));
});

await checks.step('no key is in the log', async () => {
  const loud = await start({ '--log-level': 'debug' });
  await call(loud, 'emit', event);
  await call(loud, 'emit', event, { token: 'a-wrong-key-of-somebody' });
  await until(2000, () => /api request .*key=shop/.test(loud.log()), 'the line of the request');
  truth(!loud.log().includes(key) && !loud.log().includes('a-wrong-key'), 'a key is in the log');
});

await checks.step('share/openapi.json describes each path and each status that was met', async () => {
  const page = JSON.parse(readFileSync(join(root, 'share/openapi.json'), 'utf8'));
  same(page.openapi.slice(0, 4), '3.1.');
  same(Object.keys(page.paths).sort(), ['disconnect', 'emit', 'join', 'leave', 'presence'].map((verb) => `/api/v1/${verb}`));
  for (const [path, { post }] of Object.entries(page.paths)) {
    const statuses = ['200', '400', '401', '403', '405', '408', '413', '415', '429', '503'];
    if (!path.endsWith('presence')) statuses.push('202', '404', '409', '422');
    same(Object.keys(post.responses).sort(), statuses.sort(), path);
  }
});

for (const socket of sockets) socket.disconnect();
agent.destroy();
await checks.end(servers);
