// Signed tokens whose keys come over HTTPS: fetched with an own certificate authority, renewed for a key not seen yet, kept
// while the server is away or answers nonsense.

import { createServer } from 'node:http';
import { Checks, same, sleep, truth, until } from '../integration/lib/harness.mjs';
import { Authd } from './lib/authd.mjs';
import { Key, KeyServer, certificates, json, keySet } from './lib/signed.mjs';

const checks = new Checks('jwks');
const made = certificates();
const claims = { sub: 'auth0|7', aud: 'chat', iss: 'https://id.example.com/' };
const [first, second, third, elliptic, edwards] = [new Key('rsa-1'), new Key('rsa-2'), new Key('rsa-3'), new Key('ec-1', 'ES256'), new Key('ed-1', 'EdDSA')];
const running = [];

async function start(server, options = {}) {
  const daemon = await Authd.start({
    secrets: null,
    options: {
      '--jwks': server.url, '--jwks-ca': made.ca, '--jwt-audience': 'chat', '--jwt-issuer': 'https://id.example.com/',
      '--no-nextauth-v4': true, '--no-authjs-v5': true, ...options,
    },
  });
  running.push(daemon);
  return daemon;
}
let address = 0;
async function ask(daemon, token) {
  address += 1;
  const socket = daemon.asking ??= await daemon.client();
  return socket.authenticate({ token, address: `127.2.0.${address % 250}` });
}
const granted = async (daemon, token) => {
  const { result, user, kind, reason } = await ask(daemon, token);
  same([result, user, kind], ['granted', 'auth0|7', 'jwt'], `answer (${reason})`);
};
const is = async (daemon, token, result) => { const answer = await ask(daemon, token); same(answer.result, result, `answer (${answer.reason})`); };
const soon = (daemon, token, result) => until(5000, async () => (await ask(daemon, token)).result === result, result);
const health = async (daemon) => (await (daemon.asking ??= await daemon.client()).request('health')).checks.jwks;

const server = await KeyServer.start(made, json(keySet(first, elliptic, edwards)));
let daemon;
await checks.step('RS256, ES256 and EdDSA with keys fetched over HTTPS', async () => {
  daemon = await start(server);
  await soon(daemon, first.token(claims), 'granted');
  for (const key of [first, elliptic, edwards]) await granted(daemon, key.token(claims));
  same((await health(daemon)).ok, true, 'health');
});
await checks.step('issuer, audience, end and signature count', async () => {
  await is(daemon, first.token({ ...claims, aud: 'other' }), 'denied');
  await is(daemon, first.token({ ...claims, iss: 'https://evil.example/' }), 'denied');
  await is(daemon, first.token({ sub: claims.sub, iss: claims.iss }), 'denied');
  const late = await ask(daemon, first.token(claims, { lifetime: -60 }));
  same([late.result, late.code], ['denied', 'token_expired'], 'answer to an expired one');
  await is(daemon, second.token(claims, { header: { kid: 'rsa-1' } }), 'denied');
  await is(daemon, first.token(claims, { header: { alg: 'none' } }), 'denied');
  await granted(daemon, first.token({ ...claims, aud: ['other', 'chat'] }));
});
await checks.step('a key not seen yet is fetched while its token waits; the key that went is refused', async () => {
  server.answer = json(keySet(second));
  const before = server.requests;
  await granted(daemon, second.token(claims));
  same(server.requests - before, 1, 'fetches');
  await is(daemon, first.token(claims), 'denied');
});
await checks.step('a second unknown key within a minute costs no fetch', async () => {
  const before = server.requests;
  for (let i = 0; i < 20; i += 1) await is(daemon, third.token(claims), 'denied');
  same(server.requests - before, 0, 'fetches');
});
await checks.step('an unknown key does not hold up the others', async () => {
  const hanging = await KeyServer.start(made, json(keySet(first)));
  const other = await start(hanging);
  await soon(other, first.token(claims), 'granted');
  hanging.answer = () => {};
  const waits = ask(other, third.token(claims));
  await sleep(50);
  const began = Date.now();
  await granted(other, first.token(claims));
  truth(Date.now() - began < 500, `it took ${Date.now() - began} ms`);
  const answer = await waits;
  same(answer.result === 'granted', false, 'the one with the unknown key');
  truth(Date.now() - began < 4500, `it waited ${Date.now() - began} ms`);
  await other.stop();
  await hanging.away();
}, { timeout: 15000 });
await checks.step('a server that goes away leaves the last good set in force', async () => {
  const { port } = server;
  await server.away();
  await granted(daemon, second.token(claims));
  await (await daemon.client()).request('reload').catch(() => {});
  await granted(daemon, second.token(claims));
  await server.listen(port);
});

/** A daemon that has never had a good set, from what `answer` gives. */
async function never(answer, options = {}) {
  const bad = await KeyServer.start(made, answer);
  const other = await start(bad, options);
  try {
    await until(3000, () => bad.requests > 0 || bad.refused, 'a fetch').catch(() => {});
    await sleep(200);
    await is(other, first.token(claims), 'unavailable');
    same((await health(other)).ok, false, 'health');
    truth(other.alive, 'the daemon ended');
    return { other, bad };
  } finally {
    await other.stop();
    await bad.away();
  }
}
await checks.step('no set yet: unavailable, not denied', () => never((request, response) => { response.statusCode = 500; response.end('later'); }));
await checks.step('a set above the limit is not taken', () => never(json(`{"keys":[${JSON.stringify(first.jwk)}],"padding":"${'x'.repeat(300 << 10)}"}`)));
await checks.step('a set without end is not read on', () => never((request, response) => {
  response.writeHead(200, { 'Content-Type': 'application/json' });
  response.write('{"keys":[');
  const more = setInterval(() => { if (!response.write(' '.repeat(65536))) { /* its buffer is full */ } }, 5);
  response.on('close', () => clearInterval(more));
}), { timeout: 15000 });
await checks.step('what is no key set is not taken', () => never(json('<html>moved</html>')));
await checks.step('a symmetric key in a set is refused', () => never(json(JSON.stringify({ keys: [{ kty: 'oct', k: 'AAAA', kid: 'rsa-1' }] }))));
await checks.step('a redirect to plain http is not followed', async () => {
  let asked = 0;
  const plain = createServer((request, response) => { asked += 1; json(keySet(first))(request, response); });
  await new Promise((done) => plain.listen(0, '127.0.0.1', done));
  try {
    await never((request, response) => { response.writeHead(302, { Location: `http://127.0.0.1:${plain.address().port}/jwks.json` }); response.end(); });
    same(asked, 0, 'requests at the plain server');
  } finally {
    plain.close();
  }
});
await checks.step('a certificate of somebody else is not believed', () => {
  const strangers = certificates();
  return never(json(keySet(first)), { '--jwks-ca': strangers.ca });
});
await checks.step('a good set that comes later is taken after a reload', async () => {
  const bad = await KeyServer.start(made, json('[]'));
  const other = await start(bad);
  try {
    await sleep(300);
    await is(other, first.token(claims), 'unavailable');
    bad.answer = json(keySet(first));
    await (await other.client()).request('reload').catch(() => {});
    await soon(other, first.token(claims), 'granted');
  } finally {
    await other.stop();
    await bad.away();
  }
});
await checks.step('keys over plain http from another host are a configuration error', async () => {
  const other = await Authd.start({ secrets: null, options: { '--jwks': 'http://192.0.2.1/jwks.json' }, ready: false });
  const code = await other.exited;
  truth(code !== 0 && /https/.test(other.log()), `exit ${code}: ${other.log()}`);
  await other.stop();
});

await server.away();
await checks.end(running.filter((one) => one.alive));
