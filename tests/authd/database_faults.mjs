// What is wrong with the database, or between it and sio-authd, is told at the start and not at the first user: notifications
// that a pooler loses, a table or a right that is missing, a rule whose SQL is wrong.

import net from 'node:net';
import { Checks, freePort, same, setup, sleep, truth, until } from '../integration/lib/harness.mjs';
import { Authd, AuthClient } from './lib/authd.mjs';
import { Postgres } from './lib/postgres.mjs';
import { pgAdapter } from './lib/schemas.mjs';
import { sha256 } from './lib/tokens.mjs';

const checks = new Checks('database faults');
const postgres = await setup(checks, () => Postgres.start());
await postgres.database('app');
const pool = await postgres.client('app');
const adapter = await pgAdapter(pool);

/** What stands between: as a pooler in transaction mode it passes on everything but notifications, while `loses`. */
async function startPooler() {
  const pooler = { port: await freePort(), loses: true, sockets: new Set() };
  pooler.server = net.createServer((client) => {
    const server = net.connect(postgres.port, '127.0.0.1');
    for (const one of [client, server]) { pooler.sockets.add(one); one.on('error', () => {}); one.on('close', () => { client.destroy(); server.destroy(); }); }
    client.on('data', (bytes) => server.write(bytes));
    let rest = Buffer.alloc(0);
    let isGreeted = false;   // a single byte answers the wish for TLS
    server.on('data', (bytes) => {
      rest = Buffer.concat([rest, bytes]);
      if (!isGreeted && rest.length > 0 && (rest[0] === 0x4e)) { client.write(rest.subarray(0, 1)); rest = rest.subarray(1); }
      if (rest.length > 0) isGreeted = true;
      while (rest.length >= 5 && rest.length >= 1 + rest.readUInt32BE(1)) {
        const size = 1 + rest.readUInt32BE(1);
        if (rest[0] !== 0x41 || !pooler.loses) client.write(rest.subarray(0, size));   // 'A': NotificationResponse
        rest = rest.subarray(size);
      }
    });
  });
  await new Promise((done) => pooler.server.listen(pooler.port, '127.0.0.1', done));
  return pooler;
}
const health = async (client) => client.request('health');
const lines = (authd, event) => authd.log().split('\n').filter((line) => line.includes(` ${event} `)).length;

await checks.step('notifications that do not arrive are told, and sessions are polled instead', async () => {
  const pooler = await startPooler();
  const authd = await Authd.start({ options: { '--database-schema': 'pg-adapter', '--session-poll': '0s' },
    env: { DATABASE_URL: `postgresql://app@127.0.0.1:${pooler.port}/app` } });
  const client = await AuthClient.connect(authd.control);
  try {
    await until(5000, async () => (await health(client)).checks.notifications?.ok === false, 'health names it');
    same([(await health(client)).status, lines(authd, 'notifications_lost')], ['degraded', 1], 'status, and lines in the log');
    truth(/remedy=".*session mode/.test(authd.log()), 'the log has a remedy');
    same((await client.request('stat')).stat.databaseNotificationsLost, 1, 'the metric');
    // A session that is gone from its table is noticed all the same.
    const user = await adapter.createUser({ name: 'U', email: 'u@example.com', emailVerified: null, image: null });
    await adapter.createSession({ sessionToken: 'session-token-of-somebody-0123456789', userId: user.id, expires: new Date(Date.now() + 3600e3) });
    const answer = await client.authenticate({ token: 'session-token-of-somebody-0123456789', address: '127.0.0.9' });
    same(answer.result, 'granted', JSON.stringify(answer));
    await pool.query('DELETE FROM sessions');
    await client.pushed({ event: 'revoked', session: sha256('session-token-of-somebody-0123456789') }, 8000);
    await sleep(2500);
    same(lines(authd, 'notifications_lost'), 1, 'lines in the log');
    pooler.loses = false;
    await until(13000, async () => (await health(client)).status === 'ok', 'it is noticed that they arrive');
    await pool.query("SELECT pg_notify('sio_revoke', 'user:7')");
    await client.pushed({ event: 'revoked', user: '7' });
  } finally {
    client.close();
    await authd.stop();
    for (const one of pooler.sockets) one.destroy();
    pooler.server.close();
  }
}, { timeout: 40000 });

await checks.step('notifications that arrive are no fault', async () => {
  const authd = await Authd.start({ options: { '--database-schema': 'pg-adapter' }, env: { DATABASE_URL: postgres.url('app') } });
  const client = await AuthClient.connect(authd.control);
  try {
    await until(3000, () => lines(authd, 'database_listening') === 1, 'it listens');
    await sleep(2500);
    same([(await health(client)).status, lines(authd, 'notifications_lost')], ['ok', 0], 'status');
  } finally {
    client.close();
    await authd.stop();
  }
});

const rule = (name, sql) => JSON.stringify({ version: 1, rights: [{ name, room: 'course_{id}', ttl: '0s', sql, parameters: ['{user}', '{id}'] }] });
const good = 'SELECT 1 FROM users WHERE id::text = $1 AND $2::text IS NOT NULL';
await pool.query('CREATE ROLE narrow LOGIN; CREATE TABLE members (member text, course text); GRANT SELECT ON users TO narrow;');

for (const { title, schema, sql, user = 'app', says, mend } of [
  { title: 'a rule whose table is missing', sql: 'SELECT 1 FROM nobody_made WHERE a = $1 AND b = $2', says: /nobody_made.*does not exist/,
    mend: 'CREATE TABLE nobody_made (a text, b text)' },
  { title: 'a rule whose SQL is wrong', sql: 'SELEC 1 WHERE $1 = $2', says: /syntax error/ },
  { title: 'a rule whose table the role may not read', sql: 'SELECT 1 FROM members WHERE member = $1 AND course = $2', user: 'narrow',
    says: /permission denied for table members/, mend: 'GRANT SELECT ON members TO narrow' },
  { title: 'a schema whose tables the role may not read', schema: 'pg-adapter', user: 'narrow', says: /permission denied for table sessions/,
    mend: 'GRANT SELECT ON sessions TO narrow' },
  { title: 'a schema that the database does not have', schema: 'prisma', says: /Session.*does not exist/ },
]) {
  await checks.step(`${title}: told at the start, without a user`, async () => {
    const authd = await Authd.start({
      options: { ...(schema ? { '--database-schema': schema } : {}), ...(sql ? { '--rights': 'FOLDER/r.json' } : {}) },
      files: sql ? { 'r.json': rule('members', sql) } : {}, env: { DATABASE_URL: postgres.url('app', { user }) },
    });
    const client = await AuthClient.connect(authd.control);
    try {
      await until(3000, async () => (await health(client)).checks.postgresql.ok === false && says.test((await health(client)).checks.postgresql.detail),
        `health names it: ${JSON.stringify(await health(client))}`);
      truth(says.test(authd.log()) && /statement_refused.*remedy=/.test(authd.log()), 'the log has it, with a remedy');
      truth((await client.request('stat')).stat.databaseStatementsRefused > 0, 'the metric');
      await sleep(500);   // a schema has two statements
      const before = lines(authd, 'statement_refused');
      await sleep(1500);
      same(lines(authd, 'statement_refused'), before, 'lines in the log');
      if (mend) {
        await pool.query(mend);
        await until(15000, async () => (await health(client)).status === 'ok', 'it is noticed that it runs now');
      }
    } finally {
      client.close();
      await authd.stop();
    }
  }, { timeout: 25000 });
}

await checks.step('a table that is dropped later is told, too', async () => {
  await pool.query('CREATE TABLE passing (a text, b text)');
  const authd = await Authd.start({ options: { '--rights': 'FOLDER/r.json' }, env: { DATABASE_URL: postgres.url('app') },
    files: { 'r.json': rule('members', 'SELECT 1 FROM passing WHERE a = $1 AND b = $2') } });
  const client = await AuthClient.connect(authd.control);
  try {
    await until(3000, async () => (await health(client)).status === 'ok', 'it is well');
    await pool.query('DROP TABLE passing');
    await until(15000, async () => /passing.*does not exist/.test((await health(client)).checks.postgresql.detail), 'health names it');
  } finally {
    client.close();
    await authd.stop();
  }
}, { timeout: 25000 });

await postgres.end();
await checks.end();
