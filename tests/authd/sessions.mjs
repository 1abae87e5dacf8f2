// Sessions in a real PostgreSQL, in the tables of both adapters: who gets in with their cookie, what closes the sockets of
// a session that is over, and what a stopped, frozen or restarted database does to nobody.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Checks, httpGet, root, same, setup, sleep, truth, until } from '../integration/lib/harness.mjs';
import { Authd, page } from './lib/authd.mjs';
import { client, closeAll, connected, startAskingGateway } from './lib/client.mjs';
import { Postgres } from './lib/postgres.mjs';
import { pgAdapter, prismaAdapter } from './lib/schemas.mjs';
import { cookieNames, mint, sha256 } from './lib/tokens.mjs';

const checks = new Checks('sessions');
const postgres = await setup(checks, () => Postgres.start());

const inSeconds = (seconds) => new Date(Date.now() + seconds * 1000);
const browser = (token) => ({ headers: { cookie: `${cookieNames.v5}=${token}`, origin: page } });
const running = [];

/** Tables, a role that may read no more than it must, a daemon and a gateway. */
async function setUp(schema) {
  const name = schema.replace('-', '_');
  await postgres.database(name);
  const pool = await postgres.client(name);
  // A zone far from UTC: columns without a zone are to be read as UTC all the same.
  await pool.query(`ALTER DATABASE ${name} SET timezone TO 'America/New_York'`);
  const prisma = schema === 'prisma';
  const adapter = prisma ? await prismaAdapter(pool, postgres.url(name)) : await pgAdapter(pool);
  const [sessions, users] = prisma ? ['"Session"', '"User"'] : ['sessions', 'users'];
  const role = `sio_${name}`;
  await pool.query(`CREATE ROLE ${role} LOGIN;
    GRANT SELECT ("sessionToken", "userId", expires) ON ${sessions} TO ${role};
    GRANT SELECT (id, name, email, image) ON ${users} TO ${role};`);
  const options = { '--database-schema': schema };
  const env = { DATABASE_URL: postgres.url(name, { user: role, unix: prisma }) };
  const authd = await Authd.start({ options, env });
  const gateway = await startAskingGateway(authd, { options: { '--auth-grace': '1s', '--auth-warning': '1s' } });
  running.push(gateway, authd);
  let number = 0;
  return {
    schema, prisma, pool, adapter, sessions, users, authd, gateway, options, env,
    /** A user with a session, made by the adapter. */
    async login(seconds = 3600) {
      number += 1;
      const user = await adapter.createUser({ id: randomUUID(), name: `User ${number}`, email: `user${number}@example.com`, emailVerified: null, image: null });
      const sessionToken = randomUUID();
      await adapter.createSession({ sessionToken, userId: user.id, expires: inSeconds(seconds) });
      return { id: String(user.id), rawId: user.id, token: sessionToken };
    },
  };
}

/** That `one` is told and closed for good, no later than `ms` after `since`. */
async function closed(one, since, ms, reason = 'revoked') {
  await one.gone(ms + 1000);
  const took = one.disconnects.at(-1).at - since;
  truth(took <= ms, `closed after ${took} ms, want at most ${ms}`);
  if (reason) same(one.of('sio:closed').map(({ args }) => args[0].reason), [reason], 'sio:closed');
  same(one.disconnects.length, 1, 'disconnects');
}

async function tests(at) {
  const { schema } = at;
  const step = (name, body, options) => checks.step(`${schema}: ${name}`, async () => { try { await body(); } finally { closeAll(); } }, options);
  const refused = async (settings, ...codes) => {
    const one = client(at.gateway, settings);
    const code = await one.outcome();
    truth(codes.includes(code), `what came of it is ${code}, want ${codes.join(' or ')}`);
  };

  await step('the cookie of a session made by the adapter lets its user in', async () => {
    const { id, token } = await at.login();
    same(await (await connected(at.gateway, browser(token))).userId(), id, 'user');
  });
  await step('so does its token as auth.token', async () => {
    const { id, token } = await at.login();
    same(await (await connected(at.gateway, { auth: { token } })).userId(), id, 'user');
  });
  await step('the answer is that of a database session: named by a digest, with its end, to be asked again', async () => {
    const { id, token } = await at.login(600);
    const socket = await at.authd.client();
    const { result, user, kind, session, renews, expires } = await socket.authenticate({ token, address: '127.0.0.5' });
    same([result, user, kind, session, renews], ['granted', id, 'database', sha256(token), true], 'answer');
    truth(Math.abs(expires - Date.now() / 1000 - 600) < 3, `expires ${expires}, now ${Date.now() / 1000}`);
    same((await socket.pushed({ event: 'status' })).checks.postgresql.ok, true, 'checks.postgresql.ok');
    socket.close();
  });
  await step('the cookie does not count on another page', async () => {
    const { token } = await at.login();
    await refused({ headers: { cookie: `${cookieNames.v5}=${token}`, origin: 'https://evil.example' } }, 'origin');
  });
  await step('an unknown session is refused', () => refused(browser(randomUUID()), 'unauthorized'));
  await step('what cannot be a session is refused', () => refused({ auth: { token: `${'x'.repeat(300)}` } }, 'unauthorized'));
  await step('an expired session is refused, by a second or by an hour', async () => {
    for (const seconds of [-1, -3600]) await refused(browser((await at.login(seconds)).token), 'unauthorized', 'token_expired');
  });
  await step('a session that ends in a minute is good, whatever the zone of the connection', async () => {
    await connected(at.gateway, browser((await at.login(60)).token));
  });
  await step('a JWT session is as good as ever', async () => {
    same(await (await connected(at.gateway, { auth: { token: await mint('v5', { sub: '42' }) } })).userId(), '42', 'user');
  });
  await step('a deleted session closes its sockets within a second, and only its', async () => {
    const { token } = await at.login();
    const [one, two, other] = [await connected(at.gateway, browser(token)), await connected(at.gateway, browser(token)),
      await connected(at.gateway, browser((await at.login()).token))];
    await sleep(700);
    const since = Date.now();
    await at.adapter.deleteSession(token);
    await Promise.all([closed(one, since, 1000), closed(two, since, 1000)]);
    same(one.disconnects[0].reason, 'io server disconnect', 'how it was closed');
    await refused(browser(token), 'unauthorized');
    truth(other.connected, 'the socket of another session was closed');
  });
  await step('a deleted user closes the sockets of his sessions within a second', async () => {
    const user = await at.login();
    const one = await connected(at.gateway, browser(user.token));
    await sleep(700);
    const since = Date.now();
    // The pg adapter deletes the user first and his sessions later; here they stay.
    if (at.prisma) await at.adapter.deleteUser(user.id);
    else await at.pool.query('DELETE FROM users WHERE id = $1', [user.rawId]);
    await closed(one, since, 1000);
  });
  await step('a session that is extended while it is open is not closed and not warned', async () => {
    // Ends count in whole seconds: the warning is due no earlier than after two.
    const { token } = await at.login(4);
    const one = await connected(at.gateway, browser(token));
    await sleep(700);
    await at.adapter.updateSession({ sessionToken: token, expires: inSeconds(3600) });
    await sleep(4800);
    truth(one.connected && one.disconnects.length === 0, `closed: ${JSON.stringify(one.received)}`);
    same(one.of('sio:expiring').length, 0, 'warnings');
  });
  await step('a session that expires while it is open is closed', async () => {
    const { token } = await at.login(2);
    const one = await connected(at.gateway, browser(token));
    const end = Date.now() + 2000;
    await one.gone(5000);
    const took = one.disconnects[0].at - end;
    truth(took > -1000 && took < 2000, `closed ${took} ms after its end`);
  });
  if (!at.prisma) {
    await step('a token that two rows have lets nobody in', async () => {
      const [one, two] = [await at.login(), await at.login()];
      await at.pool.query('INSERT INTO sessions ("userId", expires, "sessionToken") VALUES ($1, $2, $3)', [two.rawId, inSeconds(3600), one.token]);
      await refused(browser(one.token), 'unauthorized');
    });
  }
}

/** Without polling: what NOTIFY alone does. */
async function notifications(at) {
  const authd = await Authd.start({ options: { ...at.options, '--session-poll': '0' }, env: at.env });
  const gateway = await startAskingGateway(authd, { options: { '--auth-grace': '1s' } });
  running.push(gateway, authd);
  const step = (name, body, options) => checks.step(`${at.schema}: ${name}`, async () => { try { await body(); } finally { closeAll(); } }, options);
  await step('the trigger of share/sql closes the sockets of a deleted session within a second', async () => {
    await at.pool.query(readFileSync(join(root, 'share/sql/sessions-notify.sql'), 'utf8'));
    const { token } = await at.login();
    const [one, other] = [await connected(gateway, browser(token)), await connected(gateway, browser((await at.login()).token))];
    await sleep(200);
    const since = Date.now();
    await at.adapter.deleteSession(token);
    await closed(one, since, 1000);
    truth(other.connected, 'the socket of another session was closed');
  });
  await step('NOTIFY sio_revoke closes a user and a session', async () => {
    const [first, second] = [await at.login(), await at.login()];
    const [one, two] = [await connected(gateway, browser(first.token)), await connected(gateway, browser(second.token))];
    const since = Date.now();
    await at.pool.query('SELECT pg_notify(\'sio_revoke\', $1)', [`user:${first.id}`]);
    await at.pool.query('SELECT pg_notify(\'sio_revoke\', $1)', [`session:${sha256(second.token)}`]);
    await Promise.all([closed(one, since, 1000), closed(two, since, 1000)]);
  });
}

/** What a database that is away does to nobody. */
async function outages(at) {
  const pid = at.authd.child.pid;
  const user = await at.login();
  const inside = await connected(at.gateway, browser(user.token));
  // Somebody who asks all the time: no answer may be `denied`.
  const asking = await at.authd.client();
  const answers = { granted: 0, denied: 0, unavailable: 0 };
  let goOn = true;
  let slowest = 0;
  const poll = (async () => {
    while (goOn) {
      const began = Date.now();
      const { result } = await asking.authenticate({ token: user.token, address: '127.0.0.9' });
      answers[result] += 1;
      slowest = Math.max(slowest, Date.now() - began);
      await sleep(50);
    }
  })();
  const everybody = [inside];
  const ready = () => httpGet(`${at.gateway.url}/ready`);

  const outage = async (name, begin, end) => {
    await checks.step(`${name}: /ready names postgresql within two seconds`, async () => {
      await begin();
      const since = Date.now();
      const answer = await until(3000, async () => { const got = await ready(); return got.status === 503 && got; }, '/ready = 503');
      truth(Date.now() - since <= 2000, `after ${Date.now() - since} ms`);
      same(JSON.parse(answer.body).checks.postgresql?.ok, false, 'checks.postgresql.ok');
      truth(asking.events.some(({ event, checks: said }) => event === 'status' && said.postgresql.ok === false), 'no status line says so');
    });
    let waiting;
    await checks.step(`${name}: JWT sessions come in at once; others wait without a refusal`, async () => {
      waiting = client(at.gateway, browser(user.token));
      everybody.push(waiting);
      for (let i = 0; i < 5; i += 1) {
        const since = Date.now();
        const one = await connected(at.gateway, { auth: { token: await mint('v5', { sub: '42' }) } });
        truth(Date.now() - since < 500, `it took ${Date.now() - since} ms`);
        one.close();
      }
      await sleep(1000);
      same(waiting.refusals.filter(({ active }) => !active), [], 'refusals for good');
      truth(!waiting.connected, 'somebody is in who cannot be known');
    });
    await checks.step(`${name}: who was in stays in; when it is over /ready is well and those who waited come in`, async () => {
      truth(inside.connected && inside.disconnects.length === 0, 'a socket was closed');
      await end();
      await until(5000, async () => (await ready()).status === 200, '/ready = 200');
      await until(5000, () => waiting.connected, 'the one who waited');
      same(await waiting.userId(), user.id, 'user');
      same(await inside.userId(), user.id, 'user of the one inside');
    }, { timeout: 15000 });
  };

  await outage('frozen', () => postgres.freeze(), () => postgres.thaw());
  await outage('stopped', () => postgres.stop(), () => postgres.run());
  await checks.step('restarted: a deleted session still closes its socket within a second', async () => {
    const other = await at.login();
    const one = await connected(at.gateway, browser(other.token));
    await postgres.stop();
    await postgres.run();
    await until(5000, async () => (await ready()).status === 200, '/ready = 200');
    await sleep(700);
    const since = Date.now();
    await at.adapter.deleteSession(other.token);
    await closed(one, since, 1000);
  }, { timeout: 15000 });
  await checks.step('through all of it nobody was denied, nobody closed, and the daemon is the same', async () => {
    goOn = false;
    await poll;
    same(answers.denied, 0, 'answers `denied`');
    truth(answers.granted > 10 && answers.unavailable > 0, `answers: ${JSON.stringify(answers)}`);
    truth(slowest < 3000, `an answer took ${slowest} ms`);
    for (const one of everybody) {
      same(one.refusals.filter(({ active }) => !active), [], 'refusals for good');
      same(one.of('sio:closed'), [], 'sio:closed');
    }
    truth(inside.disconnects.length === 0, 'the socket from before was closed');
    truth(at.authd.alive && at.authd.child.pid === pid, 'the daemon ended');
  });
  closeAll();
}

const settings = [];
for (const schema of ['pg-adapter', 'prisma']) {
  await checks.step(`${schema}: the tables are made, a daemon and a gateway start`, async () => { settings.push(await setUp(schema)); }, { timeout: 20000 });
}
for (const at of settings) { await tests(at); await notifications(at); }
if (settings.length) await outages(settings[0]);

for (const server of [...running]) await server.leave();
await postgres.end();
await checks.end(running);
