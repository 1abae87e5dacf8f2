// Tokens made on the spot by the real next-auth 4 and @auth/core, shown in every way a client has, through a gateway and a
// stock client; and tokens of `sioctl token make` given to the real packages.

import { Checks, same, truth } from '../integration/lib/harness.mjs';
import { Authd, foreignSecret, oldSecret, page, secret } from './lib/authd.mjs';
import { client, closeAll, connected, sioctl, startAskingGateway } from './lib/client.mjs';
import { cookie, cookieNames, manyClaims, mint, read, sha256 } from './lib/tokens.mjs';

const checks = new Checks('minted');
const names = Object.values(cookieNames);
const authd = await Authd.start({ options: { '--cookie-name': [...names, ...names.map((name) => `__Secure-${name}`)] } });
const gateway = await startAskingGateway(authd);

const refused = async (settings, code) => {
  const one = client(gateway, settings);
  same(await one.outcome(), code, 'what came of it');
  same(one.refusals[0].active, false, 'the client comes back by itself');
  closeAll();
};
const accepted = async (settings, user) => {
  const one = await connected(gateway, settings);
  same(await one.userId(), user, 'user');
  closeAll();
};

for (const kind of ['v4', 'v5']) {
  const small = await mint(kind, { sub: '42', name: 'Ada' });
  const large = await mint(kind, { sub: '77', name: 'Big', ...manyClaims });
  truth(large.length > 6000, `the large token has ${large.length} characters`);

  for (const [size, token, user] of [['small', small, '42'], ['6 KB', large, '77']]) {
    const chunks = cookie(kind, token);
    await checks.step(`${kind} ${size}: as auth.token`, () => accepted({ auth: { token } }, user));
    await checks.step(`${kind} ${size}: as auth.token after polling`, () => accepted({ auth: { token }, transports: ['polling', 'websocket'] }, user));
    await checks.step(`${kind} ${size}: in the Authorization header`, () => accepted({ headers: { authorization: `Bearer ${token}` } }, user));
    await checks.step(`${kind} ${size}: in the cookie${size === 'small' ? '' : ', in chunks'}, from the application's page`,
      () => accepted({ headers: { cookie: `theme=dark; ${chunks}`, origin: page } }, user));
    await checks.step(`${kind} ${size}: the cookie does not count on another page`,
      () => refused({ headers: { cookie: chunks, origin: 'https://app.example.com.evil.example' } }, 'origin'));
    await checks.step(`${kind} ${size}: without an Origin it counts on the gateway's own pages`, () =>
      accepted({ headers: { cookie: chunks, 'sec-fetch-site': 'same-origin' } }, user));
    await checks.step(`${kind} ${size}: and not where the browser says that another page asks`, () =>
      refused({ headers: { cookie: chunks, 'sec-fetch-site': 'same-site' } }, 'origin'));
    await checks.step(`${kind} ${size}: the cookie does not count without an Origin`, () => refused({ headers: { cookie: chunks } }, 'origin'));
  }
  await checks.step(`${kind}: the cookie of an https site`, async () => {
    const name = `__Secure-${cookieNames[kind]}`;
    const token = await mint(kind, { sub: '43' }, { salt: name });
    await accepted({ headers: { cookie: cookie(kind, token, name), origin: page } }, '43');
  });
  await checks.step(`${kind}: the secret before the newest still counts`, async () =>
    accepted({ auth: { token: await mint(kind, { sub: '44' }, { with: oldSecret }) } }, '44'));
  await checks.step(`${kind}: a foreign secret does not`, async () =>
    refused({ auth: { token: await mint(kind, { sub: '44' }, { with: foreignSecret }) } }, 'unauthorized'));
  await checks.step(`${kind}: an expired token is told as that`, async () =>
    refused({ auth: { token: await mint(kind, { sub: '44' }, { lifetime: -60 }) } }, 'token_expired'));
  await checks.step(`${kind}: one changed character is refused`, async () =>
    refused({ auth: { token: `${small.slice(0, -30)}${small.at(-30) === 'A' ? 'B' : 'A'}${small.slice(-29)}` } }, 'unauthorized'));
  await checks.step(`${kind}: a bad token is not rescued by a good cookie`, async () =>
    refused({ auth: { token: `${small.slice(0, -6)}AAAAAA` }, headers: { cookie: cookie(kind, small), origin: page } }, 'unauthorized'));
}

await checks.step('v5: the salt of another cookie does not decrypt', async () =>
  refused({ auth: { token: await mint('v5', { sub: '42' }, { salt: 'other.session-token' }) } }, 'unauthorized'));
await checks.step('v4: a helper cookie under the same secret is no session', async () => {
  const { encode } = (await import('./lib/tokens.mjs')).packageV4;
  await refused({ auth: { token: await encode({ token: { sub: '42' }, secret, salt: 'next-auth.state' }) } }, 'unauthorized');
});
await checks.step('nothing at all is told as no credentials', () => refused({}, 'no_credentials'));
await checks.step('a token that is no text is refused', () => refused({ auth: { token: 42 } }, 'unauthorized'));
await checks.step('each namespace asks for itself', async () => {
  const token = await mint('v5', { sub: '42' });
  const one = await connected(gateway, { auth: { token } });
  const other = one.manager.socket('/chat', { auth: { token: await mint('v5', { sub: '43' }) } });
  other.connect();
  same([await one.userId(), await other.timeout(3000).emitWithAck('whoami')], ['42', '43'], 'users on one connection');
  const third = one.manager.socket('/nowhere', { auth: { token } });
  const answer = new Promise((done) => { third.once('connect_error', (error) => done(error.message)); });
  third.connect();
  same(await answer, 'Invalid namespace', 'answer for a namespace that is not there');
  closeAll();
});
await checks.step('what is sent before the answer arrives in its order', async () => {
  const one = client(gateway, { auth: { token: await mint('v5', { sub: '42' }) } });
  const answers = await Promise.all(Array.from({ length: 20 }, () => one.userId()));
  same(answers, Array.from({ length: 20 }, () => '42'), 'answers');
  closeAll();
});
await checks.step('a token in the URL does not count', async () => {
  const token = await mint('v5', { sub: '42' });
  const one = client(gateway, { options: { query: { token } } });
  same(await one.outcome(), 'no_credentials', 'what came of it');
  closeAll();
});
await checks.step('where it is allowed a token in the URL counts, and who shows nothing is anonymous', async () => {
  const kinder = await Authd.start({ options: { '--query-token': true, '--anonymous': true } });
  const other = await startAskingGateway(kinder, { options: { '--auth-query': true } });
  try {
    const token = await mint('v5', { sub: '42' });
    same(await (await connected(other, { options: { query: { token } } })).userId(), '42', 'user');
    truth(['', null].includes(await (await connected(other, {})).userId()), 'an anonymous one has a user');
    same(await client(other, { auth: { token: 'garbage' } }).outcome(), 'unauthorized', 'what came of garbage');
  } finally {
    closeAll();
    await other.stop();
    await kinder.stop();
  }
});
await checks.step('the answer names the session by a digest, the key by its thumbprint, and no claim that no rule needs', async () => {
  const socket = await authd.client();
  const token = await mint('v5', { sub: '42', name: 'Ada', email: 'ada@example.com', role: 'teacher' });
  const { kid } = JSON.parse(Buffer.from(token.split('.')[0], 'base64url'));
  const answer = await socket.authenticate({ token, address: '127.0.0.1' });
  same([answer.result, answer.user, answer.kind, answer.session, answer.key, answer.renews ?? false],
    ['granted', '42', 'authjs-v5', sha256(token), kid, false], 'answer');
  truth(Math.abs(answer.expires - Date.now() / 1000 - 3600) < 10, `expires ${answer.expires}`);
  truth(!JSON.stringify(answer).includes('ada@example.com'), 'the answer has the address');
  const verified = await socket.verify({ token });
  same([verified.verdict, verified.claims.email, verified.claims.role], ['valid', 'ada@example.com', 'teacher'], 'answer to verify');
  await socket.pushed({ event: 'status' });
});
await checks.step('no token is in any log', async () => {
  const logs = gateway.log() + authd.log();
  truth(logs.length > 0, 'nothing was logged');
  const found = /eyJ[A-Za-z0-9_-]{20,}/.exec(logs);
  truth(!found, `a log has ${found?.[0]}`);
  truth(![secret, oldSecret].some((one) => logs.includes(one)), 'a log has a secret');
});

authd.write('made-with', `${secret}\n`);
for (const [kind, name] of [['v4', undefined], ['v5', 'authjs.session-token'], ['v5', '__Secure-authjs.session-token']]) {
  await checks.step(`sioctl token make: ${kind}${name ? ` for ${name}` : ''} is read by the real package and by sio-authd`, async () => {
    const { code, out, err } = await sioctl(['token', 'make', '--kind', kind, '--user', '4711', '--claim', 'role=teacher', '--expires', '1h',
      ...(kind === 'v5' ? ['--cookie-name', name] : []), '--secret-file', `${authd.folder}/made-with`]);
    same(code, 0, `exit status (${err})`);
    const token = out.trim();
    const claims = await read(kind, token, name ? { salt: name } : {});
    same([claims.sub, claims.role], ['4711', 'teacher'], 'claims that the package reads');
    truth(Math.abs(claims.exp - Date.now() / 1000 - 3600) < 10, `exp is ${claims.exp}`);
    await accepted({ auth: { token } }, '4711');
  });
}
await checks.step('sioctl token make: the secret from AUTH_SECRET', async () => {
  const { out } = await sioctl(['token', 'make', '--user', '1'], { env: { AUTH_SECRET: secret } });
  same((await read('v5', out.trim())).sub, '1', 'sub');
});
await checks.step('sioctl token verify says which check failed', async () => {
  const verify = async (token) => sioctl(['token', 'verify', '-', '--authd', authd.control], { input: token });
  same((await verify(await mint('v5', { sub: '42' }))).code, 0, 'exit status for a good token');
  const wrong = await verify(await mint('v5', { sub: '42' }, { with: foreignSecret }));
  truth(wrong.code !== 0, 'exit status 0 for a foreign secret');
  truth(/wrong-secret|unknown-kid/.test(wrong.out + wrong.err), `it says ${wrong.out}${wrong.err}`);
  const late = await verify(await mint('v4', { sub: '42' }, { lifetime: -60 }));
  truth(late.code !== 0 && /expired/.test(late.out + late.err), `it says ${late.out}${late.err}`);
});

await checks.end(gateway, authd);
