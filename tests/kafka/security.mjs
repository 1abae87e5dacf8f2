// Brokers that ask for TLS, certificates or passwords; and what an operator reads when it does not work.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Checks, same, setup, sleep, truth, until } from '../integration/lib/harness.mjs';
import { RedisServer } from '../cluster/lib/redis.mjs';
import { Broker, withScram } from './broker.mjs';
import { Bridge, endingWell } from './lib/bridge.mjs';
import { readStream } from './lib/stream.mjs';

const checks = new Checks('security');
const folder = mkdtempSync(join(tmpdir(), 'sio-certificates-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const file = (name) => join(folder, name);
const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });

/** A CA, and certificates that it has signed: NAME.key (PKCS#8) and NAME.pem. */
function makeCa(name) {
  openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', `/CN=${name}`, '-keyout', file(`${name}.key`), '-out', file(`${name}.pem`));
}
function makeCertificate(name, ca, alternatives) {
  openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', `/CN=${name}`, '-keyout', file(`${name}.key`), '-out', file(`${name}.csr`));
  writeFileSync(file(`${name}.ext`), `subjectAltName=${alternatives}\n`);
  openssl('x509', '-req', '-days', '2', '-in', file(`${name}.csr`), '-CA', file(`${ca}.pem`), '-CAkey', file(`${ca}.key`), '-CAcreateserial', '-extfile', file(`${name}.ext`), '-out', file(`${name}.pem`));
}
makeCa('ca');
makeCa('other-ca');
makeCertificate('broker', 'ca', 'DNS:localhost,IP:127.0.0.1');
makeCertificate('elsewhere', 'ca', 'DNS:elsewhere.example');
makeCertificate('client', 'ca', 'DNS:client');
makeCertificate('stranger', 'other-ca', 'DNS:stranger');
writeFileSync(file('password'), 'secret\n', { mode: 0o600 });
writeFileSync(file('wrong-password'), 'guessed\n', { mode: 0o600 });
const pem = (name) => readFileSync(file(`${name}.key`), 'utf8') + readFileSync(file(`${name}.pem`), 'utf8');

const modules = 'org.apache.kafka.common.security';
const listeners = [{ name: 'ssl', protocol: 'SSL' }, { name: 'sasl_ssl', protocol: 'SASL_SSL' }, { name: 'sasl', protocol: 'SASL_PLAINTEXT' }];
const keystore = {
  'ssl.keystore.type': 'PEM', 'ssl.keystore.location': 'FOLDER/broker.pem', 'ssl.truststore.type': 'PEM', 'ssl.truststore.location': 'FOLDER/ca.pem',
  'listener.name.ssl.ssl.client.auth': 'required',
  'listener.name.sasl_ssl.plain.sasl.jaas.config': `${modules}.plain.PlainLoginModule required user_app="secret";`,
  'listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config': `${modules}.scram.ScramLoginModule required;`,
};
const files = { 'broker.pem': pem('broker'), 'ca.pem': readFileSync(file('ca.pem'), 'utf8') };
const broker = await setup(checks, () => Broker.start({
  listeners, files,
  extra: {
    ...keystore, 'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,OAUTHBEARER',
    'listener.name.sasl_plaintext.oauthbearer.sasl.jaas.config': `${modules}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="app";`,
    'listener.name.sasl_plaintext.oauthbearer.sasl.server.callback.handler.class': `${modules}.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler`,
    'listener.name.sasl_plaintext.sasl.enabled.mechanisms': 'OAUTHBEARER,PLAIN',
    'listener.name.sasl_plaintext.plain.sasl.jaas.config': `${modules}.plain.PlainLoginModule required user_app="secret";`,
    'listener.name.sasl_ssl.sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256',
  },
  scram: ['SCRAM-SHA-256=[name=app,password=secret]'],
}));
await broker.warm();
await broker.createTopic('notes', 1);
await broker.createTopic('sent', 1);
const redis = await setup(checks, () => RedisServer.start({}));
const store = redis.client();
const routes = { topics: { notes: [{ emit: 'note', args: ['{record.value}'], to: 'all' }] } };

let turn = 0;
/** Both directions by a bridge with these options. */
async function carries(options, { at = broker, address, env = {}, brokersOption = true } = {}) {
  turn += 1;
  const bridge = await Bridge.start({
    name: `secure-${turn}`, brokers: address, redis, routes, env,
    options: { '--group': `group-${turn}`, '--redis-stream': `stream-${turn}`, '--events-stream': `events-${turn}`, ...(brokersOption ? {} : { '--brokers': null }), ...options },
  });
  try {
    const before = (await at.consume('sent')).length;
    await at.produce('notes', [{ key: 'k', value: String(turn) }]);
    await store.xadd(`events-${turn}`, '*', 'v', '1', 'kind', 'event', 'topic', 'sent', 'nsp', '/', 'sid', 'x', 'user', 'u', 'seq', '1', 'time', '1', 'node', 'test', 'data', `[${turn}]`);
    await until(8000, async () => (await readStream(store, { stream: `stream-${turn}` })).at(-1)?.data.packet.data[1] === turn, 'the record on the stream');
    await until(8000, async () => (await at.consume('sent')).length > before, 'the event in Kafka');
    same(await bridge.terminate(), 0, 'exit code');
    truth(!bridge.complaint(), bridge.complaint());
    truth(!bridge.log().includes('secret'), 'the password is in the log');
    return bridge.log();
  } catch (error) {
    error.message += `\n---- end of the log ----\n${bridge.log().slice(-1500)}`;
    throw error;
  } finally {
    await bridge.stop();
  }
}

/** It does not become ready; health says why, the log too, in words like `words`, and not with every try. */
async function fails(options, words, { address, wait = 4000 } = {}) {
  turn += 1;
  const bridge = await Bridge.start({
    name: `refused-${turn}`, brokers: address, redis, routes, ready: false,
    options: { '--group': `group-${turn}`, '--redis-stream': `stream-${turn}`, '--events-stream': `events-${turn}`, ...options },
  });
  await endingWell(bridge, async () => {
    await until(8000, async () => words.test(bridge.log()) && words.test((await bridge.readiness()).checks.kafka.detail), `log and health to say ${words}`)
      .catch(async (error) => { throw new Error(`${error.message}; health: ${JSON.stringify((await bridge.readiness().catch(() => ({}))).checks)}`); });
    await sleep(wait);
    const { code, checks: list } = await bridge.readiness();
    same([code, list.kafka.ok, list.redis.ok], [503, false, true], 'readiness');
    const lines = bridge.log().split('\n').length;
    truth(lines < 40, `the log has ${lines} lines after ${wait} ms`);
    truth(!/secret|guessed/.test(bridge.log()), 'a password is in the log');
  });
}

const tls = { '--ca-file': file('ca.pem') };
const certificate = { ...tls, '--cert-file': file('client.pem'), '--key-file': file('client.key') };
const plain = { ...tls, '--sasl-mechanism': 'PLAIN', '--sasl-username': 'app', '--sasl-password-file': file('password') };
const slow = { timeout: 40000 };

await checks.step('TLS with a client certificate', () => carries(certificate, { address: broker.at.ssl }), slow);
await checks.step('SASL PLAIN over TLS', () => carries(plain, { address: broker.at.sasl_ssl }), slow);
await checks.step('SASL PLAIN without TLS, asked for by name, with a warning', async () => {
  const log = await carries({ ...plain, '--ca-file': null, '--security': 'sasl_plaintext' }, { address: broker.at.sasl });
  truth(/warn.*PLAIN/i.test(log), `there is no warning: ${log.slice(0, 500)}`);
}, slow);
await checks.step('OAUTHBEARER with tokens that nobody signed, as librdkafka makes them for trials', () => carries({
  '--security': 'sasl_plaintext', '--sasl-mechanism': 'OAUTHBEARER', '--kafka.enable.sasl.oauthbearer.unsecure.jwt': 'true', '--kafka.sasl.oauthbearer.config': 'principal=app',
}, { address: broker.at.sasl }), slow);
await checks.step('the same TLS by librdkafka\'s own names', () => carries({
  '--kafka.security.protocol': 'ssl', '--kafka.ssl.ca.location': file('ca.pem'), '--kafka.ssl.certificate.location': file('client.pem'), '--kafka.ssl.key.location': file('client.key'),
}, { address: broker.at.ssl }), slow);
await checks.step('KAFKA_BROKERS and KAFKA_CLIENT_ID name brokers and client', async () => {
  await carries({}, { address: null, brokersOption: false, env: { KAFKA_BROKERS: broker.brokers, KAFKA_CLIENT_ID: 'from-environment' } });
}, slow);

await checks.step('a wrong password: health and log say authentication', () => fails({ ...plain, '--sasl-password-file': file('wrong-password') }, /authentication/i, { address: broker.at.sasl_ssl }), slow);
await checks.step('a CA that has not signed the broker: health and log say so', () => fails({ ...plain, '--ca-file': file('other-ca.pem') }, /certificate|ssl|tls/i, { address: broker.at.sasl_ssl }), slow);
await checks.step('no client certificate where one is required', () => fails(tls, /certificate|ssl|tls/i, { address: broker.at.ssl }), slow);
await checks.step('a certificate of another CA', () => fails({ ...tls, '--cert-file': file('stranger.pem'), '--key-file': file('stranger.key') }, /certificate|ssl|tls/i, { address: broker.at.ssl }), slow);
await checks.step('plain text to a TLS listener', () => fails({}, /ApiVersion|security\.protocol/i, { address: broker.at.sasl_ssl }), slow);
await checks.step('SCRAM on Kafka 4: refused, and the log says that this librdkafka cannot', () => fails({ ...plain, '--sasl-mechanism': 'SCRAM-SHA-256' }, /SCRAM|authentication/i, { address: broker.at.sasl_ssl }).then(() => {}), slow);
await checks.step('SCRAM on Kafka 4 is warned of at the start, in the words of the manual', async () => {
  const bridge = await Bridge.start({ name: 'warned', brokers: broker.at.sasl_ssl, redis, routes, ready: false, options: { ...plain, '--sasl-mechanism': 'SCRAM-SHA-256' } });
  try {
    await until(5000, () => /warn.*SCRAM.*Kafka 4|warn.*Kafka 4.*SCRAM/i.test(bridge.log()), 'the warning');
  } catch (error) {
    error.message += `; log: ${bridge.log().slice(0, 1000)}`;
    throw error;
  } finally {
    await bridge.leave();
    await bridge.stop();
  }
}, slow);

await checks.step('a broker whose certificate names another host is refused, unless that is switched off', async () => {
  const other = await Broker.start({ listeners: [{ name: 'ssl', protocol: 'SSL' }], files: { ...files, 'broker.pem': pem('elsewhere') }, extra: {
    'ssl.keystore.type': 'PEM', 'ssl.keystore.location': 'FOLDER/broker.pem',
  } });
  try {
    await other.warm();
    for (const topic of ['notes', 'sent']) await other.createTopic(topic, 1);
    await fails(tls, /certificate|ssl|tls|verify/i, { address: other.at.ssl, wait: 1000 });
    await carries({ ...tls, '--kafka.ssl.endpoint.identification.algorithm': 'none' }, { at: other, address: other.at.ssl });
  } finally {
    await other.end();
  }
}, { timeout: 60000 });

await checks.step('SCRAM-SHA-256 over TLS on Kafka 3.9', async () => {
  const older = await Broker.start({
    version: withScram, listeners: [{ name: 'sasl_ssl', protocol: 'SASL_SSL' }], files,
    extra: { ...Object.fromEntries(Object.entries(keystore).filter(([name]) => !name.includes('client.auth'))), 'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256' },
    scram: ['SCRAM-SHA-256=[name=app,password=secret]'],
  });
  try {
    await older.warm();
    for (const topic of ['notes', 'sent']) await older.createTopic(topic, 1);
    await carries({ ...plain, '--sasl-mechanism': 'SCRAM-SHA-256' }, { at: older, address: older.at.sasl_ssl });
  } finally {
    await older.end();
  }
}, { timeout: 90000 });

await checks.step('properties that the promises rest on are refused, and passwords are shown to nobody', async () => {
  const run = async (...args) => {
    const bridge = await Bridge.start({ name: 'checked', brokers: broker, redis, ready: false, options: Object.fromEntries(args.map((one) => (Array.isArray(one) ? one : [one, true]))) });
    const code = await bridge.server.exited;
    const log = bridge.log();
    await bridge.stop();
    return { code, log };
  };
  for (const name of ['enable.auto.commit', 'enable.idempotence', 'acks', 'message.timeout.ms', 'partition.assignment.strategy']) {
    const { code, log } = await run([`--kafka.${name}`, name.startsWith('enable') ? 'false' : '1']);
    truth(code === 78 && log.includes(name), `${name}: exit code ${code}, ${log.slice(0, 300)}`);
  }
  const unknown = await run(['--kafka.no.such.property', '1']);
  truth(unknown.code === 78 && unknown.log.includes('no.such.property'), `unknown property: ${unknown.code} ${unknown.log.slice(0, 300)}`);
  const printed = await run('--print-config', ['--security', 'sasl_plaintext'], ['--sasl-mechanism', 'PLAIN'], ['--sasl-username', 'app'],
    ['--kafka.sasl.password', 'secret-1'], ['--kafka.ssl.key.password', 'secret-2'], ['--kafka.client.rack', 'here']);
  truth(printed.code === 0 && !/secret-/.test(printed.log) && printed.log.includes('client.rack'), `print-config: ${printed.code} ${printed.log.slice(0, 400)}`);
}, { timeout: 30000 });

await broker.end();
await redis.end();
await checks.end();
