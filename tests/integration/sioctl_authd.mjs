// sioctl as a user types it when it asks sio-authd: against a fake daemon, for every answer the protocol has
// (doc/protocol/auth.md). And the commands about tokens that need nobody.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Checks, runCommand, same, sioctlBinary, truth } from './lib/harness.mjs';
import { FakeGateway } from '../support/fake_gateway.mjs';

const checks = new Checks('sioctl and sio-authd');
const folder = mkdtempSync(join(tmpdir(), 'sio-cli-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const secret = 'a secret of the tests that is long enough for all';
const clean = { ...process.env };
delete clean.AUTH_SECRET;
const sioctl = (words, { input = '', env = {} } = {}) => runCommand(sioctlBinary, words, input, {
  env: { ...clean, SIO_AUTHD: join(folder, 'nobody.sock'), SIO_CONTROL: join(folder, 'nobody.sock'), ...env }, anyExit: true,
});

/** Runs it and demands an exit code, and one line of complaint for codes of 64 and above. */
async function exits(code, words, options) {
  const result = await sioctl(words, options);
  same([result.signal, result.code], [null, code], `exit of sioctl ${words.join(' ')} (${result.err.trim()})`);
  if (code >= 64) truth(/^sioctl: .+\n/.test(result.err), `a complaint, not ${JSON.stringify(result.err)}`);
  return result;
}

const withFake = (name, answers, body, greeting = {}) => checks.step(name, async () => {
  const fake = await new FakeGateway({ answers, greeting: { program: 'sio-authd', node: '', ...greeting } }).start();
  try {
    await body((code, words, more) => exits(code, [...words, '--authd', fake.path], more), fake);
  } finally {
    await fake.stop();
  }
});

const rules = [{ name: 'teachers', kind: 'claim', answer: 'silent' }, { name: 'enrolled', kind: 'sql', answer: 'granted' }];
const granted = { result: 'granted', rule: 'enrolled', ttl_ms: 10000, rules };
const session = 'ab'.repeat(32);

async function rights() {
  const ask = ['routes', 'can-i', '--user', '42', '--room', 'course_7'];
  await withFake('can-i: granted is 0, with the rule and what each said', { can_i: granted }, async (exit, fake) => {
    const { out } = await exit(0, [...ask, '--claims', '{"role":"teacher"}', '--room-token', 'T.T.T']);
    same(JSON.parse(out), { user: '42', room: 'course_7', ...granted });
    same(fake.requests[0], {
      id: 1, cmd: 'can_i', user: '42', room: 'course_7', claims: { role: 'teacher' }, room_token: 'T.T.T',
    });
    const table = (await exit(0, [...ask, '-o', 'table'])).out;
    for (const part of [/^RIGHT +granted$/m, /^rule +enrolled$/m, /^known for +10 s$/m, /^RULE +KIND +ANSWER$/m,
      /^teachers +claim +silent$/m, /^enrolled +sql +granted$/m]) truth(part.test(table), `${part} in\n${table}`);
    truth((await exit(0, [...ask, '-o', 'json'])).out.startsWith('{\n'), 'json is indented');
  });
  await withFake('can-i: a room token comes from standard input', { can_i: granted }, async (exit, fake) => {
    await exit(0, ['routes', 'can-i', '--room', 'r', '--room-token', '-'], { input: ' T.T.T\n' });
    same(fake.requests[0], { id: 1, cmd: 'can_i', room: 'r', room_token: 'T.T.T' });
  });
  await withFake('can-i: denied is 77, and the answer is printed nevertheless', {
    can_i: { result: 'denied', reason: 'no rule applies', ttl_ms: 2000, rules: [{ name: 'own', kind: 'own', answer: 'silent' }] },
  }, async (exit) => {
    const { out, err } = await exit(77, ask);
    same(JSON.parse(out).result, 'denied');
    same(err, 'sioctl: 42 in course_7: denied, no rule applies\n');
  });
  await withFake('can-i: what cannot be told is 69', {
    can_i: { result: 'unavailable', reason: 'postgresql does not answer', rules: [] },
  }, async (exit) => {
    const { err } = await exit(69, ['routes', 'can-i', '--room', 'r']);
    same(err, 'sioctl: an anonymous client in r: it cannot be told just now, postgresql does not answer\n');
  });
  await withFake('can-i: what in a routes file names the room', { can_i: granted }, async (exit) => {
    const file = join(folder, 'routes.json');
    writeFileSync(file, JSON.stringify({
      version: 1,
      namespaces: { '/': { on_connect: [{ join: 'lobby' }], events: {
        join_course: [{ join: 'course_{event.0}', allow: ['user', { granted: { token: '{event.1}' } }] }],
        say: [{ emit: 'm', to: { room: 'course_{event.0}' }, allow: 'member' }],
      } } },
    }));
    const all = [
      { namespace: '/', list: 'join_course', verb: 'join', room: 'course_{event.0}', allow: 'user, granted by {event.1}', asks: true },
      { namespace: '/', list: 'say', verb: 'emit', room: 'course_{event.0}', allow: 'member', asks: false },
    ];
    same(JSON.parse((await exit(0, [...ask, '--routes', file])).out).routes, all);
    same(JSON.parse((await exit(0, [...ask, '--routes', file, '--event', 'say'])).out).routes, [all[1]]);
    const nothing = await exit(0, ['routes', 'can-i', '--room', 'desk', '--routes', file]);
    truth(nothing.err.includes('nothing in') && JSON.parse(nothing.out).routes.length === 0, nothing.err);
    truth(/^\/ +join_course +join +course_\{event\.0\} +user, granted by \{event\.1\}$/m.test(
      (await exit(0, [...ask, '--routes', file, '-o', 'table'])).out), 'the table');
    await exit(78, [...ask, '--routes', join(folder, 'none.json')]);
  });
  await checks.step('64 and 65: what is wrong with the question is said before anybody is asked', async () => {
    await exits(64, ['routes', 'can-i', '--user', '42']);
    await exits(64, ['routes', 'can-i', '--room', '']);
    await exits(64, ['routes', 'can-i', '--room', 'r', '--event', 'e']);
    await exits(65, ['routes', 'can-i', '--room', 'r', '--claims', '{']);
    await exits(65, ['routes', 'can-i', '--room', 'r', '--claims', '[]']);
  });
}

async function revoking() {
  await withFake('revoke: a user, a session, for a time, and its end', {
    revoke: { reached: 2, stored: 'redis' },
  }, async (exit, fake) => {
    const { out, err } = await exit(0, ['revoke', 'user', '42', '--for', '10m']);
    same([JSON.parse(out), err], [{ reached: 2, stored: 'redis' }, '']);
    same((await exit(0, ['revoke', 'session', session, '--lift', '-o', 'table'])).out, 'lifted; 2 connections told\n');
    await exit(0, ['revoke', 'user', '42', '--for', '1500ms']);
    same(fake.requests.map(({ id, cmd, ...rest }) => rest),
      [{ user: '42', for_s: 600 }, { session, lift: true }, { user: '42', for_s: 2 }]);
  });
  await withFake('revoke: what is kept in memory only is said', { revoke: { reached: 1, stored: 'memory' } }, async (exit) => {
    const { out, err } = await exit(0, ['revoke', 'user', '42', '-o', 'table']);
    same(out, 'revoked; 1 connection told\n');
    truth(err.includes('memory'), err);
    same((await exit(0, ['revoke', 'user', '42', '-o', 'table', '-q'])), { code: 0, signal: null, out: '', err: '' });
  });
  await checks.step('64: nobody, no session, a time with --lift', async () => {
    for (const words of [['revoke', 'user', ''], ['revoke', 'session', 'abc'], ['revoke', 'room', 'r'], ['revoke', 'user'],
      ['revoke', 'user', '42', '--lift', '--for', '1h'], ['revoke', 'user', '42', '--for', '0']]) await exits(64, words);
  });
  await withFake('revocations: users and sessions', {
    revocations: { revocations: [{ user: '42', until: 1767312000 }, { session, until: 1767312000 }] },
  }, async (exit) => {
    same((await exit(0, ['revocations'])).out.trim().split('\n').map((line) => JSON.parse(line).until), [1767312000, 1767312000]);
    const table = (await exit(0, ['revocations', '-o', 'table'])).out;
    truth(/^user +42 +2026-01-02T00:00:00Z/m.test(table) && new RegExp(`^session +${session}`, 'm').test(table), table);
  });
}

async function peers() {
  await checks.step('69: no daemon: its name and its option', async () => {
    const { err } = await exits(69, ['revocations']);
    truth(err.includes('cannot reach sio-authd at') && err.includes('is sio-authd running?') && err.includes('--authd'), err);
  });
  await withFake('70: another program at the socket', {}, async (exit) => {
    truth((await exit(70, ['revocations'])).err.includes('that is sio-gateway, not sio-authd'), 'reason');
  }, { program: 'sio-gateway' });
  await withFake('70: an older daemon', {}, async (exit) => {
    truth((await exit(70, ['revocations'])).err.includes('sio-authd does not know this command'), 'reason');
  });
  await withFake('75: a daemon that does not answer', { can_i: undefined }, async (exit) => {
    truth((await exit(75, ['routes', 'can-i', '--room', 'r', '--timeout', '100ms'])).err.includes('sio-authd at'), 'name');
  });
  await withFake('refusals of the protocol keep their codes', {
    can_i: { error: { code: 'malformed', message: 'room: too long' } }, revoke: { error: { code: 'busy', message: 'busy' } },
  }, async (exit) => {
    await exit(65, ['routes', 'can-i', '--room', 'r']);
    await exit(75, ['revoke', 'user', '42']);
  });
}

async function verifying() {
  await withFake('verify: the token goes over the socket, from standard input', {
    verify: (request) => (request.token === 'good'
      ? { result: 'granted', user: '42', session, kind: 'authjs-v5', expires: 1767312000, verdict: 'valid' }
      : { result: 'denied', code: 'token_expired', reason: 'ended', verdict: 'expired', detail: 'ended an hour ago' }),
  }, async (exit, fake) => {
    const good = await exit(0, ['token', 'verify'], { input: 'good\n' });
    same(JSON.parse(good.out).user, '42');
    const table = (await exit(0, ['token', 'verify', '-', '-o', 'table', '--at', '2026-01-01T00:00:00Z'], { input: 'good' })).out;
    truth(/^TOKEN +valid$/m.test(table) && /^expires +2026-01-02T00:00:00Z/m.test(table), table);
    same(fake.requests[1].at, 1767225600);
    const bad = await exit(77, ['token', 'verify', 'other']);
    same([JSON.parse(bad.out).verdict, bad.err], ['expired', 'sioctl: expired: ended an hour ago\n']);
    await exit(0, ['token', 'verify', 'good', '--at', '5']);
    same(fake.requests.map(({ id, cmd, ...rest }) => rest),
      [{ token: 'good' }, { token: 'good', at: 1767225600 }, { token: 'other' }, { token: 'good', at: 5 }]);
  });
  await withFake('verify: as a cookie of a page, whose refusal is no verdict on the token', {
    verify: { result: 'denied', code: 'origin', reason: 'the origin is not known', verdict: 'malformed' },
  }, async (exit, fake) => {
    const { err } = await exit(77, ['token', 'verify', 'T', '--cookie-name', 'c', '--origin', 'https://a.example']);
    same(err, 'sioctl: origin: the origin is not known\n');
    same(fake.requests[0], { id: 1, cmd: 'verify', cookie: 'c=T', origin: 'https://a.example' });
  });
  await withFake('verify: what cannot be told is 69, not a refusal', {
    verify: { result: 'unavailable', reason: 'postgresql does not answer' },
  }, async (exit) => {
    const { err } = await exit(69, ['token', 'verify', 'T']);
    truth(err.includes('cannot be told') && err.includes('postgresql'), err);
  });
  await checks.step('64 and 65: options that contradict, moments that are none, no token', async () => {
    for (const words of [['token', 'verify', 'T', '--at', 'soon'], ['token', 'verify', 'T', '--at', '2026-01-01'],
      ['token', 'verify', 'T', '--room', 'r'], ['token', 'verify', 'T', '--secret-file', 'f'],
      ['token', 'verify', 'T', '--local', '--origin', 'o'], ['token', 'verify', 'T', '--local'], ['token'],
      ['token', 'mint']]) await exits(64, words);
    await exits(65, ['token', 'verify']);
    await exits(65, ['token', 'inspect', '-'], { input: ' \n' });
  });
}

async function making() {
  const env = { AUTH_SECRET: secret };
  const make = async (...words) => (await exits(0, ['token', 'make', ...words], { env })).out.trim();
  const verify = async (code, token, ...words) => {
    const { out } = await exits(code, ['token', 'verify', '--local', ...words], { env, input: token });
    return JSON.parse(out);
  };
  await checks.step('make: the token alone, which --local takes', async () => {
    for (const [kind, name] of [['v5', 'authjs-v5'], ['v4', 'nextauth-v4'], ['jwt', 'jwt']]) {
      const token = await make('--kind', kind, '--user', '42', '--claim', 'role=teacher', '--claim', 'n=5', '--expires', '1h');
      truth(/^[\w-]+(\.[\w-]*){2,4}$/.test(token), token);
      const said = await verify(0, token);
      same([said.verdict, said.kind, said.user, said.claims.role, said.claims.n], ['valid', name, '42', 'teacher', 5]);
      same(said.claims.exp - said.claims.iat, 3600);
    }
  });
  await checks.step('make: a time before now has expired', async () => {
    same((await verify(77, await make('--user', '42', '--expires', '-1h'))).verdict, 'expired');
  });
  await checks.step('verify --local: another secret, another cookie, another moment', async () => {
    const token = await make('--user', '42');
    const other = await exits(77, ['token', 'verify', '--local'], { env: { AUTH_SECRET: `${secret}!` }, input: token });
    truth(['wrong-secret', 'unknown-kid'].includes(JSON.parse(other.out).verdict), other.out);
    same((await verify(77, token, '--at', '2099-01-01T00:00:00Z')).verdict, 'expired');
    const own = await make('--user', '42', '--cookie-name', 'own');
    same((await verify(0, own, '--cookie-name', 'own')).user, '42');
    await verify(77, own);
  });
  await checks.step('make: rooms, and whom a room token is for', async () => {
    const token = await make('--kind', 'room', '--user', '42', '--room', 'course_*', '--room', 'b');
    same((await verify(0, token, '--room', 'course_7', '--user', '42')).claims.rooms, ['course_*', 'b']);
    await verify(77, token, '--room', 'c', '--user', '42');
    await verify(77, token, '--room', 'b', '--user', '43');
  });
  await checks.step('a file has secrets one a line; the first makes, all verify', async () => {
    const file = join(folder, 'secrets');
    const old = join(folder, 'old');
    writeFileSync(file, `the newest secret of all, newer than others\n\n${secret}\n`);
    writeFileSync(old, secret);
    const before = (await exits(0, ['token', 'make', '--user', '1', '--secret-file', old])).out;
    const after = (await exits(0, ['token', 'make', '--user', '1', '--secret-file', file], { env: { AUTH_SECRET: 'ignored' } })).out;
    for (const token of [before, after]) await exits(0, ['token', 'verify', '--local', '--secret-file', file], { input: token });
    await exits(77, ['token', 'verify', '--local', '--secret-file', old], { input: after });
    writeFileSync(old, '\n');
    await exits(78, ['token', 'make', '--secret-file', old]);
    await exits(78, ['token', 'make', '--secret-file', join(folder, 'none')]);
  });
  await checks.step('64 and 65: no secret, options of another kind, claims that are none or given twice', async () => {
    await exits(64, ['token', 'make', '--user', '42']);
    for (const words of [['--kind', 'v6'], ['--kind', 'jwt', '--cookie-name', 'x'], ['--algorithm', 'HS384'], ['--room', 'r'],
      ['--kind', 'jwt', '--algorithm', 'none'], ['--claim', 'x'], ['--claim', 'a=1', '--claim', 'a=2'],
      ['--claims', '{"a":1}', '--claim', 'a=2'], ['--expires', 'soon'], ['--kind', 'room', '--room', '']]) {
      await exits(64, ['token', 'make', ...words], { env });
    }
    await exits(65, ['token', 'make', '--claims', '[]'], { env });
    await exits(64, ['token', 'make', '--kind', 'jwt'], { env: { AUTH_SECRET: 'short' } });
  });
  await checks.step('inspect: what can be read, and that nothing was verified', async () => {
    const jwt = await make('--kind', 'jwt', '--user', '42', '--expires', '-1h');
    const { out, err } = await exits(0, ['token', 'inspect'], { input: jwt });
    const said = JSON.parse(out);
    same([said.verified, said.header.alg, said.payload.sub, said.expired], [false, 'HS256', '42', true]);
    truth(err.includes('nothing was verified'), err);
    const table = (await exits(0, ['token', 'inspect', '-o', 'table'], { input: jwt })).out;
    truth(/NOT VERIFIED/.test(table) && /^expired +yes$/m.test(table) && /^exp +\d{4}-\d\d-\d\dT.*ago\)$/m.test(table), table);
    const v5 = JSON.parse((await exits(0, ['token', 'inspect', await make('--user', '42')])).out);
    same([v5.header.enc, v5.payload, v5.shape.startsWith('encrypted')], ['A256CBC-HS512', undefined, true]);
    truth(JSON.parse((await exits(0, ['token', 'inspect', '8b0d3c5e'])).out).shape.startsWith('opaque'), 'opaque');
    await exits(65, ['token', 'inspect', 'a.b.c']);
    await exits(65, ['token', 'inspect', 'a.b']);
  });
  await checks.step('no secret is in what is printed', async () => {
    for (const words of [['make', '--user', '42'], ['make', '--kind', 'jwt', '--claims', '{']]) {
      const { out, err } = await sioctl(['token', ...words], { env });
      truth(!(out + err).includes(secret), out + err);
    }
  });
}

await rights();
await revoking();
await peers();
await verifying();
await making();
checks.end();
