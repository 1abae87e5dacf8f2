// Who may join which room: by SQL, by a claim, by being one's own, by a room token; through the routes' rule "granted", the
// gateway and a real database.

import { Checks, same, setup, sleep, truth, until } from '../integration/lib/harness.mjs';
import { AdminClient } from '../cluster/lib/admin.mjs';
import { Authd, foreignSecret, secret } from './lib/authd.mjs';
import { closeAll, connected, sioctl, startAskingGateway } from './lib/client.mjs';
import { Postgres } from './lib/postgres.mjs';
import { mint } from './lib/tokens.mjs';

const checks = new Checks('rights');
const step = (name, body, options) => checks.step(name, async () => { try { await body(); } finally { closeAll(); } }, options);

const ttl = 1500;   // milliseconds, of the enrolled
const enrolled = {
  name: 'enrolled', room: 'course_{id}', sql: 'SELECT 1 FROM enrolments WHERE student = $1 AND course = $2', parameters: ['{user}', '{id}'], ttl: `${ttl}ms`,
};
const open = {
  name: 'open courses', room: 'course_{id}', sql: 'SELECT is_open FROM courses WHERE id = $1', parameters: ['{id}'], ttl: `${ttl}ms`,
};
const teachers = { name: 'teachers', room: 'course_*', claim: 'role', in: ['teacher'] };
const own = { name: 'own desk', room: 'desk_{user}', own: true };
const invitation = { name: 'invitation', room: 'course_*', room_token: true };
const slow = { name: 'slow', room: 'slow_{id}', sql: 'SELECT true FROM pg_sleep(0.2)', parameters: [] };
const file = (...rights) => JSON.stringify({ version: 1, rights }, null, 2);
const all = [enrolled, open, teachers, own, invitation, slow];

const postgres = await setup(checks, () => Postgres.start());
await postgres.database('school');
const pool = await postgres.client('school');
await pool.query(`CREATE TABLE enrolments (student text, course text);
  CREATE TABLE courses (id text, is_open boolean);
  INSERT INTO enrolments VALUES ('sam', '101'), ('sam', '102'), ('tom', '102');
  INSERT INTO courses VALUES ('101', false), ('300', true);`);

const authd = await Authd.start({
  options: { '--rights': 'FOLDER/rights.json' }, files: { 'rights.json': file(...all) }, env: { DATABASE_URL: postgres.url('school') },
});
const gateway = await startAskingGateway(authd);
const admin = await AdminClient.connect(gateway.control);
const direct = await authd.client();

const login = async (user, claims = {}) => connected(gateway, { auth: { token: await mint('v5', { sub: user, ...claims }) } });
const members = async (room) => (await admin.request('sockets', { to: [room] })).sockets.map(({ user }) => user).sort();
const joins = async (one, room, token) => (room.startsWith('course_') ? one.ask('join_course', room.slice(7), token) : one.ask('join_room', room));
const yes = async (one, room, token) => same(await joins(one, room, token), { ok: true }, `join of ${room}`);
const no = async (one, room, token, error = 'denied') => same((await joins(one, room, token)).error, error, `answer to the join of ${room}`);

async function roomToken(...words) {
  authd.write('made-with', `${secret}\n`);
  const { code, out, err } = await sioctl(['token', 'make', '--kind', 'room', ...words, '--secret-file', `${authd.folder}/made-with`]);
  same(code, 0, `exit of sioctl token make (${err})`);
  return out.trim();
}
const canI = (user, room, ...words) => sioctl(['routes', 'can-i', '--user', user, '--room', room, '--authd', authd.control, ...words]);

await step('SQL: who is enrolled joins, others do not', async () => {
  const [sam, tom] = [await login('sam'), await login('tom')];
  await yes(sam, 'course_101');
  await no(tom, 'course_101');
  await yes(tom, 'course_102');
  same([await members('course_101'), await members('course_102')], [['sam'], ['tom']], 'members');
});
await step('SQL: a boolean column says yes or no', async () => {
  const tom = await login('tom');
  await yes(tom, 'course_300');
  await no(tom, 'course_301');
});
await step('SQL: what a client writes is a parameter and nothing else', async () => {
  const eve = await login('eve');
  for (const id of ["101' OR '1'='1", '101; DROP TABLE enrolments', '%', '\\', '"']) await no(eve, `course_${id}`);
  same((await pool.query('SELECT count(*)::int AS n FROM enrolments')).rows[0].n, 3, 'rows');
});
await step('claim: a teacher joins any course', async () => {
  const teacher = await login('tina', { role: 'teacher' });
  const list = await login('tess', { role: ['staff', 'teacher'] });
  const student = await login('theo', { role: 'student' });
  await yes(teacher, 'course_101');
  await yes(list, 'course_999');
  await no(student, 'course_999');
});
await step('own: the room that has the user\'s name', async () => {
  const sam = await login('sam');
  await yes(sam, 'desk_sam');
  await no(sam, 'desk_tom');
  await no(sam, 'desk_');
});
await step('a room that no rule is for is nobody\'s', async () => no(await login('tina', { role: 'teacher' }), 'basement'));
await step('room token: for this user and this room, signed and not over', async () => {
  const eve = await login('eve');
  await no(eve, 'course_400');
  await no(eve, 'course_400', await roomToken('--user', 'eve', '--room', 'course_401'));
  await no(eve, 'course_400', await roomToken('--user', 'sam', '--room', 'course_400'));
  await no(eve, 'course_400', 'garbage');
  authd.write('foreign', `${foreignSecret}\n`);
  const foreign = await sioctl(['token', 'make', '--kind', 'room', '--user', 'eve', '--room', 'course_400', '--secret-file', `${authd.folder}/foreign`]);
  await no(eve, 'course_400', foreign.out.trim());
  await no(eve, 'course_400', await mint('v5', { sub: 'eve', room: 'course_400' }));
  await yes(eve, 'course_400', await roomToken('--user', 'eve', '--room', 'course_400'));
});
await step('a room token is no login', async () => {
  const token = await roomToken('--user', 'eve', '--room', 'course_400');
  same((await direct.authenticate({ token, address: '127.0.0.8' })).result, 'denied', 'answer to authenticate');
});
await step('an emit to a room asks too', async () => {
  const [sam, tom] = [await login('sam'), await login('tom')];
  await yes(sam, 'course_101');
  same((await tom.ask('say', 'course_101', 'hello')).error, 'denied', 'answer to tom');
  same(await sam.ask('say', 'course_101', 'hello'), { ok: true }, 'answer to sam');
  await sam.waitFor('said');
  same(sam.of('said').map(({ args }) => args), [['hello']], 'what sam heard');
});
await step('an event of the client waits for no other client, and its own order holds', async () => {
  const [slowOne, other] = [await login('sam'), await login('tom')];
  const began = Date.now();
  const waiting = yes(slowOne, 'slow_1');
  await yes(other, 'desk_tom');
  truth(Date.now() - began < 180, `the other waited ${Date.now() - began} ms`);
  await waiting;
});

await step('can-i names the rule that says yes, and what each one said', async () => {
  const granted = await canI('sam', 'course_101');
  same(granted.code, 0, `exit status (${granted.err})`);
  truth(granted.out.includes('enrolled'), `it prints ${granted.out}`);
  const denied = await canI('eve', 'course_101');
  truth(denied.code !== 0, 'exit status for denied');
  for (const name of ['enrolled', 'teachers', 'invitation']) truth(denied.out.includes(name), `it does not name ${name}: ${denied.out}`);
  const byClaim = await canI('eve', 'course_101', '--claims', '{"role":"teacher"}');
  same(byClaim.code, 0, 'exit status with a claim');
  truth(byClaim.out.includes('teachers'), `it prints ${byClaim.out}`);
  const answer = await direct.request('can_i', { user: 'tom', room: 'course_102' });
  same([answer.result, answer.rule], ['granted', 'enrolled'], 'can_i on the socket');
  same(answer.rules.map(({ name }) => name).includes('enrolled'), true, 'rules');
});

await step('an answer that is kept counts for its time to live, and no longer', async () => {
  const rita = await login('rita');
  await no(rita, 'course_500');
  await pool.query("INSERT INTO enrolments VALUES ('rita', '500')");
  const since = Date.now();
  await no(rita, 'course_500');
  await until(ttl + 1500, async () => (await joins(rita, 'course_500')).ok === true, 'the new right');
  truth(Date.now() - since > ttl - 500, `it counted after ${Date.now() - since} ms already`);
  await pool.query("DELETE FROM enrolments WHERE student = 'rita'");
  same((await canI('rita', 'course_500')).code !== 0, true, 'can-i looks past what is kept');
});

await step('a frozen database: a join is answered `unavailable`, what is known and what needs no SQL goes on', async () => {
  const [sam, tom] = [await login('sam'), await login('tom')];
  await yes(tom, 'course_102');
  postgres.freeze();
  try {
    await yes(tom, 'course_102');
    await yes(sam, 'desk_sam');
    await yes(await login('tina', { role: 'teacher' }), 'course_102');
    const began = Date.now();
    await no(sam, 'course_102', undefined, 'unavailable');
    truth(Date.now() - began < 3000, `it took ${Date.now() - began} ms`);
    same((await direct.request('may_join', { user: 'sam', room: 'course_777' })).result, 'unavailable', 'may_join on the socket');
    await login('zoe');
  } finally {
    postgres.thaw();
  }
  await until(4000, async () => (await joins(sam, 'course_102')).ok === true, 'the join after the thaw');
}, { timeout: 20000 });

await step('after changed rules and a reload members who may no longer be there leave and are told', async () => {
  const [sam, tina, eve] = [await login('sam'), await login('tina', { role: 'teacher' }), await login('eve')];
  await yes(sam, 'course_101');
  await yes(sam, 'desk_sam');
  await yes(tina, 'course_101');
  await yes(eve, 'course_101', await roomToken('--user', 'eve', '--room', 'course_101'));
  authd.write('rights.json', file(teachers, own, invitation));
  const since = Date.now();
  await direct.request('reload');
  const { args: [told], at } = await sam.waitFor('sio:left', 2000);
  same([told.room, told.reason], ['course_101', 'denied'], 'sio:left');
  truth(at - since <= 1000, `it left after ${at - since} ms`);
  await sleep(300);
  same([await members('course_101'), await members('desk_sam')], [['eve', 'tina'], ['sam']], 'members');
  same([tina.of('sio:left'), eve.of('sio:left')], [[], []], 'sio:left of the others');
  await no(sam, 'course_101');
});
await step('a wrong rights file is refused with its place, and the old rules stay', async () => {
  authd.write('rights.json', file({ ...own, own: false }, { name: 'x', room: 'a_{b', sql: 'SELECT 1' }));
  const error = await direct.request('reload').catch((failure) => failure);
  same(error.code, 'config', 'code');
  truth(/rights\.json:\d+/.test(error.message) && error.message.includes('/rights/'), `message: ${error.message}`);
  await yes(await login('sam'), 'desk_sam');
});
await step('new SQL counts after a reload, on SIGHUP too', async () => {
  authd.write('rights.json', file({ ...enrolled, name: 'anybody with a course', sql: 'SELECT 1 FROM enrolments WHERE student = $1', parameters: ['{user}'] }));
  authd.child.kill('SIGHUP');
  const sam = await login('sam');
  await until(3000, async () => (await joins(sam, 'course_999')).ok === true, 'the new rule');
});

admin.close();
await gateway.leave();
await authd.leave();
await postgres.end();
await checks.end(gateway, authd);
