// The life of a session beyond its handshake: it expires and is renewed, it is revoked on every gateway, its secret goes,
// and sio-authd itself dies and comes back.

import { readFileSync } from 'node:fs';
import { Checks, httpGet, same, sleep, truth, until } from '../integration/lib/harness.mjs';
import { RedisServer } from '../cluster/lib/redis.mjs';
import { Authd, oldSecret, secret } from './lib/authd.mjs';
import { client, closeAll, connected, sioctl, startAskingGateway } from './lib/client.mjs';
import { mint, sha256 } from './lib/tokens.mjs';

const checks = new Checks('life');
const step = (name, body, options) => checks.step(name, async () => { try { await body(); } finally { closeAll(); } }, options);
const running = [];
const grace = 1000;   // milliseconds, of the gateways below

const redis = await RedisServer.start();
const shared = { options: { '--redis': redis.unixUrl, '--leeway': '1s', '--session-claim': 'sid' } };
let [authd, second] = await Promise.all([Authd.start(shared), Authd.start(shared)]);
const startGateway = (daemon, name) => startAskingGateway(daemon, {
  options: { '--auth-grace': '1s', '--auth-warning': '2s', '--redis': redis.unixUrl, '--node': name },
});
// The first two gateways ask one daemon, the third another.
const [gateway, neighbour, far] = await Promise.all([startGateway(authd, 'one'), startGateway(authd, 'two'), startGateway(second, 'three')]);
running.push(gateway, neighbour, far);

let tokenNumber = 0;
const tokenOf = (user, settings = {}) => { tokenNumber += 1; return mint('v5', { sub: user, sid: `session-${tokenNumber}`, ...settings.claims }, settings); };

await step('a session of 5 s: warned in time, refreshed in place, and closed without a refresh', async () => {
  const lifetime = 5;
  const first = await tokenOf('alice', { lifetime });
  const minted = Date.now();
  const answers = [];
  const refreshing = client(gateway, {
    auth: { token: first },
    refresh: async (one) => { answers.push(await one.ask('sio:refresh', { token: await tokenOf('alice', { lifetime: 60 }) })); },
  });
  let calls = 0;
  const idle = client(gateway, { auth: (send) => { calls += 1; send({ token: first }); } });
  const swapping = client(gateway, {
    auth: { token: first },
    refresh: async (one) => { one.answer = await one.ask('sio:refresh', { token: await tokenOf('mallory', { lifetime: 60 }) }); },
  });
  const garbage = client(gateway, { auth: { token: first }, refresh: async (one) => { one.answer = await one.ask('sio:refresh', { token: 'garbage' }); } });
  for (const one of [refreshing, idle, swapping, garbage]) same(await one.outcome(), 'connected', 'what came of it');
  const sid = refreshing.sid;

  // The token's end is a whole second.
  const end = (Math.floor(minted / 1000) + lifetime) * 1000;
  const { args: [warning], at } = await idle.waitFor('sio:expiring', 6000);
  truth(Math.abs(at - (end - 2000)) < 1100, `warned ${end - at} ms before the end`);
  truth(Math.abs(warning.expires * 1000 - end) <= 1000, `expires ${warning.expires}, want about ${end / 1000}`);
  truth(warning.in_ms > 500 && warning.in_ms <= 2100, `in_ms ${warning.in_ms}`);

  await until(3000, () => answers.length && swapping.answer && garbage.answer, 'the answers to sio:refresh');
  same([answers.length, answers[0].ok], [1, true], 'answer to the refresh');
  truth(Math.abs(answers[0].expires - Date.now() / 1000 - 60) < 3, `expires ${answers[0].expires}`);
  same(swapping.answer.error, 'user_changed', 'answer to the refresh for another user');
  same(garbage.answer.error, 'unauthorized', 'answer to the refresh with garbage');
  truth(typeof garbage.answer.reason === 'string', 'a reason');

  for (const one of [idle, swapping, garbage]) {
    await one.gone(5000);
    const late = one.disconnects[0].at - (warning.expires * 1000 + grace);
    truth(late > -100 && late < 1000, `closed ${late} ms after the grace`);
    same(one.of('sio:closed').map(({ args }) => args[0].reason), ['token_expired'], 'sio:closed');
  }
  truth(idle.disconnects[0].reason.startsWith('transport'), `the client takes it as ${idle.disconnects[0].reason}`);
  // It comes back by itself, with what its application gives now: the same token, which is told as expired.
  await until(4000, () => idle.refusals.length > 0, 'the answer to the old token');
  same([idle.refusals.at(-1).code, calls >= 2], ['token_expired', true], 'the refusal');

  await sleep(1500);
  same([refreshing.sid, refreshing.connected, refreshing.disconnects.length], [sid, true, 0], 'the refreshed socket');
  same(await refreshing.userId(), 'alice', 'its user');
}, { timeout: 15000 });

const sioctlRevoke = async (daemon, ...words) => {
  const { code, err, out } = await sioctl(['revoke', ...words, '--authd', daemon.control]);
  same(code, 0, `exit of sioctl revoke (${err}${out})`);
};

/** That all are told and gone for good within a second. */
async function allRevoked(clients, since) {
  for (const one of clients) {
    await one.gone(2000);
    const took = one.disconnects[0].at - since;
    truth(took <= 1000, `closed after ${took} ms`);
    same(one.of('sio:closed').map(({ args }) => args[0].reason), ['revoked'], 'sio:closed');
    same(one.disconnects.map(({ reason }) => reason), ['io server disconnect'], 'how');
    truth(!one.socket.active, 'it comes back by itself');
  }
}

await step('revoke user: his sockets on all gateways are closed within a second and stay out until it is lifted', async () => {
  const token = await tokenOf('bob');
  const his = [];
  for (const server of [gateway, gateway, neighbour, far]) his.push(await connected(server, { auth: { token } }));
  his.push(await connected(far, { auth: { token: await tokenOf('bob') } }));
  const others = [await connected(gateway, { auth: { token: await tokenOf('bobby') } }), await connected(far, { auth: { token: await tokenOf('eve') } })];
  const since = Date.now();
  await sioctlRevoke(authd, 'user', 'bob');
  await allRevoked(his, since);
  for (const one of others) truth(one.connected, 'the socket of another user was closed');
  for (const server of [gateway, neighbour, far]) {
    same(await client(server, { auth: { token } }).outcome(), 'revoked', 'what came of coming back');
    same(await client(server, { auth: { token: await tokenOf('bob') } }).outcome(), 'revoked', 'what came of coming with a new token');
  }
  const socket = await authd.client();
  same((await socket.verify({ token })).result, 'granted', 'verify, which looks at the token alone');
  same((await socket.request('revocations')).revocations.filter(({ user }) => user === 'bob').length, 1, 'revocations of bob');
  // Lifted at the other daemon.
  await sioctlRevoke(second, 'user', 'bob', '--lift');
  await until(1000, async () => (await (await authd.client()).authenticate({ token, address: '127.0.0.2' })).result === 'granted', 'the lift at the first daemon');
  for (const server of [gateway, far]) same(await (await connected(server, { auth: { token } })).userId(), 'bob', 'user');
});

await step('revoke session: only its sockets, also with a token made anew for it', async () => {
  const claims = { sid: 'the-laptop' };
  const [token, renewed] = [await tokenOf('carol', { claims }), await tokenOf('carol', { claims })];
  truth(token !== renewed, 'two tokens');
  const laptop = [await connected(gateway, { auth: { token } }), await connected(far, { auth: { token: renewed } })];
  const phone = await connected(neighbour, { auth: { token: await tokenOf('carol', { claims: { sid: 'the-phone' } }) } });
  const since = Date.now();
  await sioctlRevoke(second, 'session', sha256('the-laptop'));
  await allRevoked(laptop, since);
  truth(phone.connected, 'the other session was closed');
  same(await client(gateway, { auth: { token: renewed } }).outcome(), 'revoked', 'what came of coming back');
});

await step('a socket that was revoked does not come back by recovery', async () => {
  const token = await tokenOf('dave');
  const one = await connected(gateway, { auth: { token } });
  const { pid, offset } = { pid: one.socket._pid, offset: one.socket._lastOffset };
  await sioctlRevoke(authd, 'user', 'dave', '--for', '10m');
  await one.gone();
  const again = client(gateway, { auth: { token, pid, offset: offset ?? '0-1' } });
  same(await again.outcome(), 'revoked', 'what came of coming back');
});

await step('revocations outlive the daemon that was told', async () => {
  const token = await tokenOf('erin');
  await sioctlRevoke(authd, 'user', 'erin');
  await authd.kill();
  authd = await authd.again();
  await until(3000, async () => {
    const answer = await (await authd.client()).authenticate({ token, address: '127.0.0.3' });
    return answer.result === 'denied' && answer.code === 'revoked';
  }, 'revoked at the new daemon');
});

await step('a secret that is taken out and reloaded closes the sockets that came by it', async () => {
  const daemon = await Authd.start();
  const server = await startAskingGateway(daemon);
  try {
    const [old, fresh] = [await connected(server, { auth: { token: await mint('v5', { sub: 'a' }, { with: oldSecret }) } }),
      await connected(server, { auth: { token: await mint('v5', { sub: 'a' }) } })];
    const oldV4 = await connected(server, { auth: { token: await mint('v4', { sub: 'a' }, { with: oldSecret }) } });
    daemon.write('secrets', `${secret}\n`);
    const since = Date.now();
    await (await daemon.client()).request('reload');
    for (const one of [old, oldV4]) {
      await one.gone();
      truth(one.disconnects[0].at - since <= 1000, `closed after ${one.disconnects[0].at - since} ms`);
      same(one.of('sio:closed').length, 1, 'sio:closed');
    }
    await sleep(300);
    truth(fresh.connected, 'a socket of the other secret was closed');
    same(await client(server, { auth: { token: await mint('v5', { sub: 'a' }, { with: oldSecret }) } }).outcome(), 'unauthorized', 'what came of the old secret');
  } finally {
    closeAll();
    await server.stop();
    await daemon.stop();
  }
});

await step('sio-authd killed: those in stay, others are told to try again and come in later, what was revoked meanwhile is closed', async () => {
  const inside = await connected(gateway, { auth: { token: await tokenOf('frank') } });
  const doomed = await connected(gateway, { auth: { token: await tokenOf('grace') } });
  await authd.kill();
  const diedAt = Date.now();
  const early = client(gateway, { auth: { token: await tokenOf('heidi') } });
  const answer = await until(4000, async () => { const got = await httpGet(`${gateway.url}/ready`); return got.status === 503 && got; }, '/ready = 503');
  truth(Date.now() - diedAt <= 2000, `after ${Date.now() - diedAt} ms`);
  same(JSON.parse(answer.body).checks.authd.ok, false, 'checks.authd.ok');
  await sleep(Math.max(0, diedAt + 1300 - Date.now()));
  const handshake = await httpGet(`${gateway.url}/socket.io/?EIO=4&transport=polling`);
  same([handshake.status, handshake.headers['retry-after']], [503, '1'], 'a new handshake');
  same(JSON.parse(handshake.body).message, 'try again', 'its message');
  const late = client(gateway, { auth: { token: await tokenOf('ivan') }, transports: ['polling', 'websocket'] });
  same(await inside.userId(), 'frank', 'the user of the one inside');
  // Revoked where the dead daemon cannot hear it.
  await sioctlRevoke(second, 'user', 'grace');
  await sleep(500);
  for (const one of [early, late]) {
    truth(!one.connected, 'somebody came in that nobody knows');
    same(one.refusals.filter(({ active }) => !active), [], 'refusals for good');
  }
  truth(doomed.connected, 'closed without a word of the daemon');
  authd = await authd.again();
  const backAt = Date.now();
  await Promise.all([early, late].map((one) => until(5000, () => one.connected, 'those who waited')));
  same([await early.userId(), await late.userId()], ['heidi', 'ivan'], 'users');
  await doomed.gone(3000);
  truth(doomed.disconnects[0].at - backAt <= 2500, `the revoked one was closed ${doomed.disconnects[0].at - backAt} ms after the return`);
  truth(inside.connected && inside.disconnects.length === 0, 'the one inside was closed');
  await until(3000, async () => (await httpGet(`${gateway.url}/ready`)).status === 200, '/ready = 200');
}, { timeout: 25000 });

await step('a daemon that is frozen refuses nobody and closes nobody', async () => {
  const inside = await connected(far, { auth: { token: await tokenOf('judy') } });
  second.child.kill('SIGSTOP');
  const waiting = client(far, { auth: { token: await tokenOf('kim') } });
  try {
    await sleep(2000);
    truth(!waiting.connected, 'somebody came in that nobody knows');
    same(await inside.userId(), 'judy', 'the user of the one inside');
  } finally {
    second.child.kill('SIGCONT');
  }
  await until(6000, () => waiting.connected, 'the one who waited');
  same(waiting.refusals.filter(({ active }) => !active), [], 'refusals for good');
  truth(inside.connected, 'the one inside was closed');
}, { timeout: 15000 });

await step('no token is in a log, nor the daemon\'s secrets', async () => {
  const logs = [gateway, neighbour, far, authd, second].map((one) => readFileSync(one.logPath, 'utf8')).join('');
  const found = /eyJ[A-Za-z0-9_-]{20,}/.exec(logs);
  truth(!found, `a log has ${found?.[0]}`);
  truth(!logs.includes(secret), 'a log has a secret');
});

for (const one of running) await one.leave();
await redis.end();
await checks.end([...running, authd, second]);
