// What --check-config --online of sio-authd says of a database and of a server of keys: why we are not let in, what of our
// statements cannot run, and what to do.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Checks, freePort, same, setup, truth } from '../integration/lib/harness.mjs';
import { checkOnline } from '../integration/lib/online.mjs';
import { Key, KeyServer, certificates, json, keySet } from './lib/signed.mjs';
import { Postgres } from './lib/postgres.mjs';

const checks = new Checks('online');
const folder = mkdtempSync(join(tmpdir(), 'sio-online-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const postgres = await setup(checks, () => Postgres.start());
const check = (args, how = {}) => checkOnline('authd', args, { env: { AUTH_SECRET: 'k7Wq2x9LmZpR4vT8yB3nC6dF1gH5jS0a' }, ...how });
const says = ({ code, faults, err }, ...words) => {
  same([code, faults.length], [69, 1], `status and faults: ${err}`);
  for (const word of words) truth(faults[0].includes(word), `${word} is not in ${faults[0]}`);
};

await checks.step('who is not let in is told why and what to do: port, user, name, password', async () => {
  const closed = await freePort();
  says(await check(['--database', `postgresql://app@127.0.0.1:${closed}/postgres`]), 'Connection refused', 'is PostgreSQL running');
  says(await check(['--database', postgres.url('postgres', { user: 'nobody' })]), 'nobody', 'the user of DATABASE_URL');
  says(await check(['--database', postgres.url('absent')]), 'absent', 'the name behind the host');
  says(await check(['--database', `postgresql:///postgres?host=${folder}&user=app`]), 'No such file', 'the host of DATABASE_URL');
  const secret = await check(['--database', `postgresql://app:hushhush@127.0.0.1:${closed}/postgres`]);
  truth(!secret.err.includes('hushhush'), `a password is told: ${secret.err}`);
});

await checks.step('tables that are missing, a right that is missing, and SQL of a rule that is wrong are named; what is right passes', async () => {
  const client = await postgres.client();
  const sessions = ['--database', postgres.url(), '--database-schema', 'pg-adapter'];
  says(await check(sessions), 'sessions', 'does not exist', 'database-schema');
  await client.query('CREATE TABLE users (id serial PRIMARY KEY); CREATE TABLE sessions (id serial, "userId" integer, expires timestamptz, "sessionToken" text)');
  same((await check(sessions)).err, '', 'what it says when they are there');
  await client.query('CREATE ROLE reader LOGIN');
  says(await check(['--database', postgres.url('postgres', { user: 'reader' }), '--database-schema', 'pg-adapter']), 'permission denied', 'grant this role SELECT');
  const rights = join(folder, 'rights.json');
  writeFileSync(rights, JSON.stringify({ version: 1, rights: [
    { name: 'enrolled', room: 'course_{id}', sql: 'SELECT 1 FROM enrolments WHERE course = $1', parameters: ['{id}'] }] }));
  says(await check(['--database', postgres.url(), '--rights', rights]), 'enrolments', 'the SQL of rules');
});

await checks.step('a database that is frozen is named when the time is over', async () => {
  postgres.freeze();
  const { code, faults } = await check(['--database', postgres.url()], { limit: '400ms' });
  postgres.thaw();
  same(code, 69, 'status');
  truth(faults[0].startsWith('database: not done within 400ms'), `it says ${faults[0]}`);
});

await checks.step('a server of keys: not there, not trusted, not a key set, and well', async () => {
  const made = certificates();
  const server = await KeyServer.start(made, json(keySet(new Key('rsa-1'))));
  const keys = (...args) => check(['--jwks', server.url, '--jwt-audience', 'chat', ...args]);
  const well = await keys('--jwks-ca', made.ca);
  same([well.code, well.faults], [0, []], 'status and faults');
  says(await keys(), 'cannot fetch', 'jwks-ca');
  server.answer = json('{"issuer":"https://id.example.com/"}');
  says(await keys('--jwks-ca', made.ca), 'jwks_uri');
  await server.away();
  says(await check(['--jwks', `http://127.0.0.1:${await freePort()}/keys`, '--jwt-audience', 'chat']), 'cannot fetch', 'see the URL');
});

await postgres.end();
await checks.end();
