// A client that comes back to another gateway keeps what it was granted no longer than the one who grants it says.

import { Checks, same, truth, until } from '../integration/lib/harness.mjs';
import { RedisServer } from '../cluster/lib/redis.mjs';
import { Authd } from './lib/authd.mjs';
import { closeAll, connected, startAskingGateway } from './lib/client.mjs';
import { mint } from './lib/tokens.mjs';

const checks = new Checks('comeback');
const redis = await RedisServer.start();
const rights = (...users) => JSON.stringify({
  version: 1, rights: [{ name: 'members', room: 'course_*', claim: 'sub', in: users }],
});
const authd = await Authd.start({
  options: { '--rights': 'FOLDER/rights.json', '--redis': redis.unixUrl }, files: { 'rights.json': rights('sam', 'eve') },
});
const options = { '--redis': redis.unixUrl };
const [one, two] = await Promise.all([startAskingGateway(authd, { options }), startAskingGateway(authd, { options })]);

await checks.step('after its gateway was killed a client recovers on another, and leaves the room when the rules change', async () => {
  const [sam, eve] = await Promise.all(['sam', 'eve'].map(async (sub) => connected(one, { auth: { token: await mint('v5', { sub }) } })));
  for (const client of [sam, eve]) same(await client.ask('join_course', '101'), { ok: true }, 'join');
  const direct = await authd.client();
  // What Redis has of the sockets is written at the end of a turn.
  await until(2000, async () => (await sam.ask('say', 'course_101', 'there?')).ok, 'an event');
  for (const client of [sam, eve]) await client.waitFor('said');
  one.child.kill('SIGKILL');
  for (const client of [sam, eve]) client.manager.uri = two.url;
  for (const client of [sam, eve]) {
    await until(8000, () => client.connects.length === 2, 'coming back');
    same(client.connects[1].recovered, true, 'recovered');
  }
  authd.write('rights.json', rights('eve'));
  await direct.request('reload');
  const { args: [told] } = await sam.waitFor('sio:left', 2000);
  same([told.room, told.reason], ['course_101', 'denied'], 'sio:left');
  same(await eve.ask('say', 'course_101', 'still here'), { ok: true }, 'an event of who may stay');
  await eve.waitFor('said', 2000, 2);
  truth(!sam.of('said').some(({ args }) => args[0] === 'still here'), 'the one who left hears nothing of the room');
  same(eve.of('sio:left'), [], 'sio:left of who may stay');
}, { timeout: 20000 });

closeAll();
await two.leave();
await redis.end();
await checks.end([two, authd]);
