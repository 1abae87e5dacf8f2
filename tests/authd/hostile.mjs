// Who can open the socket of sio-authd and means harm: rubbish, endless lines, floods, greetings that never end. It lives,
// says what is wrong, and goes on answering others.

import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { Checks, same, sleep, truth, until, within } from '../integration/lib/harness.mjs';
import { AuthClient, Authd, foreignSecret, page } from './lib/authd.mjs';
import { mint } from './lib/tokens.mjs';

const checks = new Checks('hostile');
const authd = await Authd.start();
const good = await mint('v5', { sub: '42' });
const friend = await authd.client();
const friendly = async () => same((await friend.authenticate({ token: good })).user, '42', 'the user of somebody else');

/** A bare connection: what it got as lines, whether it was closed. */
async function raw() {
  const socket = createConnection(authd.control);
  const one = { socket, text: '', closed: false, lines: () => one.text.split('\n').filter(Boolean).map((line) => JSON.parse(line)) };
  socket.on('data', (part) => { one.text += part; });
  socket.on('error', () => {});
  socket.on('close', () => { one.closed = true; });
  await within(2000, new Promise((done) => socket.once('connect', done)), 'connection');
  return one;
}
const hello = '{"sio":"admin","major":1,"minor":0}\n';
const step = (name, body, options) => checks.step(name, async () => {
  const opened = [];
  try {
    await body(async () => { const one = await raw(); opened.push(one); return one; });
    truth(authd.alive, `the daemon ended: ${authd.log().slice(-300)}`);
    await friendly();
  } finally {
    for (const { socket } of opened) socket.destroy();
  }
}, options);
const refusal = async (one, code) => {
  const line = await until(3000, () => one.lines().find(({ ok }) => ok === false), `a refusal ${code}`);
  same(line.error.code, code, 'code');
  truth(line.error.message.length > 0, 'a message');
  return line;
};

await step('rubbish lines are answered with what is wrong', async (open) => {
  for (const rubbish of ['hello', '{', '[]', '{"id":1}', '{"id":-1,"cmd":"stat"}', '{"id":1,"cmd":7}', '\u0000\u0001', '"', '{"id":1,"cmd":"stat"}}']) {
    const one = await open();
    one.socket.write(`${hello}${rubbish}\n`);
    await refusal(one, 'malformed');
  }
});
await step('bytes that are no UTF-8 are refused', async (open) => {
  const one = await open();
  one.socket.write(Buffer.concat([Buffer.from(`${hello}{"id":1,"cmd":"authenticate","token":"`), Buffer.from([0xff, 0xfe, 0xc0]), Buffer.from('"}\n')]));
  await refusal(one, 'malformed');
});
await step('members of a wrong type are refused by name', async (open) => {
  const one = await open();
  one.socket.write(`${hello}{"id":3,"cmd":"authenticate","token":{"a":1}}\n`);
  const line = await refusal(one, 'malformed');
  same(line.id, 3, 'id');
  truth(line.error.message.includes('token'), `message: ${line.error.message}`);
});
await step('an unknown command is told as that, and the connection goes on', async () => {
  const one = await authd.client();
  same((await one.request('make_coffee').catch((error) => error)).code, 'unknown_command', 'code');
  same((await one.authenticate({ token: good })).user, '42', 'user');
});
await step('another major version is refused and closed', async (open) => {
  const one = await open();
  one.socket.write('{"sio":"admin","major":2,"minor":0}\n');
  await refusal(one, 'unsupported');
  await until(2000, () => one.closed, 'the end of the connection');
});
await step('who does not greet is not answered', async (open) => {
  const one = await open();
  one.socket.write(`{"id":1,"cmd":"authenticate","token":"${good}"}\n`);
  await until(2000, () => one.closed || one.lines().some(({ ok }) => ok === false), 'a refusal');
  truth(!one.lines().some(({ result }) => result === 'granted'), 'it was answered');
});
await step('half a greeting, and connections that say nothing, hold nobody up', async (open) => {
  const half = await open();
  half.socket.write('{"sio":"adm');
  for (let i = 0; i < 50; i += 1) await open();
  await friendly();
});
await step('a line of exactly 64 KiB is read, one more byte is refused and closed', async (open) => {
  const [before, behind] = ['{"id":1,"cmd":"authenticate","address":"127.0.0.1","token":"', '"}'];
  const line = (size) => `${before}${'x'.repeat(size - before.length - behind.length)}${behind}\n`;
  const fits = await open();
  fits.socket.write(hello + line(65536));
  const answer = await until(3000, () => fits.lines().find(({ id }) => id === 1), 'an answer');
  same([answer.ok, answer.result], [true, 'denied'], 'answer to the longest line');
  const long = await open();
  long.socket.write(hello + line(65537));
  await refusal(long, 'too_large');
  await until(2000, () => long.closed, 'the end of the connection');
});
await step('a line without end is cut off', async (open) => {
  const one = await open();
  one.socket.write(hello);
  for (let i = 0; i < 200 && !one.closed; i += 1) { one.socket.write('x'.repeat(65536)); await sleep(1); }
  await until(2000, () => one.closed, 'the end of the connection');
});
await step('bytes one by one are a line like any other', async (open) => {
  const one = await open();
  for (const byte of `${hello}{"id":9,"cmd":"authenticate","token":"${good}"}\n`) { one.socket.write(byte); if (Math.random() < 0.05) await sleep(1); }
  same((await until(5000, () => one.lines().find(({ id }) => id === 9), 'an answer')).user, '42', 'user');
});
await step('10,001 requests at once: each is answered, with its answer or with `busy`', async (open) => {
  const one = await open();
  const requests = Array.from({ length: 10001 }, (_, i) => `{"id":${i + 1},"cmd":"authenticate","token":"${good}"}\n`).join('');
  one.socket.write(hello + requests);
  // Besides the answers: the greeting, and the status after the first `authenticate`.
  const lines = await until(15000, () => (one.text.match(/\n/g) ?? []).length >= 10003
    && one.lines().filter(({ id }) => id !== undefined), 'all answers');
  same(new Set(lines.map(({ id }) => id)).size, 10001, 'ids answered');
  const other = lines.filter(({ result, error }) => result !== 'granted' && error?.code !== 'busy');
  same(other, [], 'other answers');
}, { timeout: 25000 });
await step('a peer that does not read is cut off, and costs no memory', async (open) => {
  const one = await open();
  one.socket.pause();
  const rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${authd.child.pid}/status`, 'utf8'))[1]);
  const before = rss();
  one.socket.write(hello);
  const batch = Array.from({ length: 1000 }, (_, i) => `{"id":${i + 1},"cmd":"verify","token":"${good}"}\n`).join('');
  for (let i = 0; i < 60 && !one.closed; i += 1) {
    await Promise.race([new Promise((done) => { one.socket.write(batch, done); }), sleep(100)]);
  }
  const after = rss();
  truth(after - before < 30000, `it grew by ${after - before} KB`);
}, { timeout: 20000 });
await step('many connections at once are served or refused, and leave nothing behind', async () => {
  const clients = await Promise.allSettled(Array.from({ length: 300 }, () => AuthClient.connect(authd.control)));
  for (const { value } of clients) value?.close();
  await sleep(200);
});
await step('headers that name their own keys, and cookies full of dots and semicolons', async () => {
  const header = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  for (const [i, token] of [`${header({ alg: 'HS256', jku: 'http://127.0.0.1:1/', jwk: { kty: 'oct', k: 'AAAA' } })}.e30.AAAA`,
    `${header({ alg: 'dir', enc: 'A256GCM', zip: 'DEF' })}..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA`,
    `${header({ alg: 'PBES2-HS512+A256KW', enc: 'A256GCM', p2c: 2000000000, p2s: 'AAAA' })}.AAAA.AAAA.AAAA.AAAA`,
    '....', '..', `${'.'.repeat(10000)}`, 'a'.repeat(16384)].entries()) {
    const began = Date.now();
    same((await friend.authenticate({ token, address: `127.3.0.${i}` })).result, 'denied', `answer to ${token.slice(0, 30)}`);
    truth(Date.now() - began < 200, `it took ${Date.now() - began} ms`);
  }
  const base = 'authjs.session-token';
  for (const [i, cookie] of [';'.repeat(10000), '='.repeat(10000), `${base}.${'9'.repeat(50)}=x`, Array.from({ length: 1500 }, (_, n) => `${base}.${n}=x`).join('; '),
    `${base}=%`, `${base}=%zz%00`, `${base}="`].entries()) {
    same((await friend.authenticate({ cookie, origin: page, address: `127.4.0.${i}` })).result, 'denied', `answer to the cookie ${cookie.slice(0, 30)}`);
  }
});
await step('bad tokens of an address are denied, and its good token is granted beside them', async () => {
  const address = '203.0.113.7';
  const results = [];
  for (let i = 0; i < 40; i += 1) results.push((await friend.authenticate({ token: `${good.slice(0, -4)}AAAA`, address })).result);
  same(results.every((result) => result === 'denied'), true, 'the answers to a bad token');
  same((await friend.authenticate({ token: good, address })).result, 'granted', 'answer to its good token at once');
});

await step('of the session cookies of two applications, or two of one name, the good one counts', async () => {
  const bad = await mint('v5', { sub: '7' }, { with: foreignSecret });
  const names = ['authjs.session-token', 'next-auth.session-token'];
  const result = async (cookie) => (await friend.authenticate({ cookie, origin: page, address: '203.0.113.9' })).result;
  same(await result(`${names[0]}=${bad}; ${names[1]}=${good}`), 'granted', 'good under the later name');
  same(await result(`${names[0]}=${good}; ${names[1]}=${bad}`), 'granted', 'good under the first name');
  same(await result(`${names[0]}=${bad}; ${names[0]}=${good}`), 'granted', 'two of one name');
  same(await result(`${names[0]}.1=gap; ${names[1]}=${good}`), 'granted', 'beside chunks with a gap');
  same(await result(`${names[0]}=${bad}; ${names[1]}=${bad}x`), 'denied', 'none is good');
});
await step('a token of Auth.js 5 under the cookie name of NextAuth 4 is granted', async () => {
  for (const salt of ['next-auth.session-token', '__Secure-next-auth.session-token']) {
    const cookie = `${salt}=${await mint('v5', { sub: '42' }, { salt })}`;
    same((await friend.authenticate({ cookie, origin: page, address: '203.0.113.10' })).result, 'granted', salt);
  }
});

await checks.step('SIGTERM ends it well, and the socket is gone', async () => {
  authd.child.kill('SIGTERM');
  same(await within(3000, authd.exited, 'its end'), 0, 'exit status');
});
await checks.end(authd);
