// What people get wrong in the set-up of the three daemons, and what --check-config says about it: place, what is wrong, and
// what to do. What stops the check stops a start, with the same status and the same words.

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Checks, gatewayBinary, runCommand, same, truth } from './lib/harness.mjs';

const checks = new Checks('mistakes');
const bin = dirname(gatewayBinary);
const folder = mkdtempSync(join(tmpdir(), 'sio-mistakes-'));
const file = (name, text, mode = 0o600) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
};

const secret = 'k7Wq2x9LmZpR4vT8yB3nC6dF1gH5jS0a';
const good = {
  gateway: { args: ['--host', '127.0.0.1', '--port', '0', '--control', join(folder, 'g.sock')], env: {} },
  authd: { args: ['--control', join(folder, 'a.sock')], env: { AUTH_SECRET: secret } },
  bridge: { args: ['--control', join(folder, 'b.sock'), '--listen', 'off'], env: { KAFKA_BROKERS: '127.0.0.1:1', REDIS_URL: 'redis://127.0.0.1:1' } },
};
const routes = (value) => file(`r${Math.random().toString(36).slice(2)}.json`, typeof value === 'string' ? value : JSON.stringify({ version: 1, ...value }));
const conf = (text, mode) => file(`c${Math.random().toString(36).slice(2)}.conf`, text, mode);
const publishing = routes({ namespaces: { '/': { events: { e: [{ publish: 't' }] } } } });
const granting = routes({ namespaces: { '/': { events: { e: [{ join: ['a'], allow: ['granted'] }] } } } });

/** [daemon, arguments, variables, status, what it says, in one line each] */
const mistakes = [
  // command line
  ['gateway', ['--prot', '1'], {}, 64, "unknown option '--prot'; did you mean '--port'?"],
  ['gateway', ['--port', 'http'], {}, 64, "--port: 'http' is not a whole number"],
  ['gateway', ['--port', '70000'], {}, 64, "--port: '70000' is not within 0 and 65535"],
  ['gateway', ['stray'], {}, 64, "unexpected argument 'stray'"],
  ['gateway', ['--ping-interval', '5'], {}, 64, "--ping-interval: '5' is not a duration, such as 300ms, 25s"],
  ['gateway', ['--queue-bytes', '5XB'], {}, 64, "--queue-bytes: '5XB' is not a size, such as 1000000, 64KB"],
  ['gateway', ['--rate-limit', '100'], {}, 64, "--rate-limit: '100' is not like 100/60s"],
  ['gateway', ['--auth', 'jwt'], {}, 64, "--auth: 'jwt' is not one of none|dev|authd"],
  ['gateway', ['--path', 'socket.io'], {}, 64, "--path: 'socket.io' is not a path such as /socket.io/"],
  ['gateway', ['--config', '/nonexistent.conf'], {}, 78, 'cannot read /nonexistent.conf: No such file or directory'],
  // file
  ['gateway', ['--config', conf('\n\nprot = 1\n')], {}, 78, ".conf:3: unknown key 'prot'; did you mean 'port'?"],
  ['gateway', ['--config', conf('port\n')], {}, 78, ".conf:1: 'port' is not a 'key = value' line"],
  ['gateway', ['--config', conf('node = a\nnode = b\n')], {}, 78, ".conf:2: 'node' is set already, at "],
  ['gateway', ['--config', conf('# c\nauth = ldap\n')], {}, 78, ".conf:2: auth: 'ldap' is not one of none|dev|authd"],
  ['gateway', ['--config', conf('redis-password = hush\n', 0o644)], {}, 0, '.conf:1: redis-password: everybody on this host can read'],
  ['gateway', ['--config', conf('\nredis = redis://:hush@127.0.0.1:1\n', 0o644)], {}, 0, '.conf:2: redis: everybody on this host can read'],
  ['bridge', ['--config', conf('kafka.ssl.key.password = hush\n', 0o644)], {}, 0, '.conf:1: kafka.ssl.key.password: everybody on this host can read'],
  ['gateway', ['--config', conf('node = "n1"\n')], {}, 0, '.conf:1: node: what stands around the value (quotes) is not taken for a part of it'],
  // variables
  ['gateway', [], { NODE_ENV: '"production"\r', SOCKET_IO_PORT: 'x' }, 78, "SOCKET_IO_PORT: port: 'x' is not a whole number"],
  ['gateway', ['--auth', 'dev'], { NODE_ENV: "'Production'" }, 78, "auth 'dev' believes every token; it is refused while NODE_ENV is production"],
  ['gateway', [], { REDIS_PORT: 'tcp://10.0.0.7:6379' }, 0, "REDIS_PORT: 'tcp://10.0.0.7:6379' is what an orchestrator sets for a service of that name; it is ignored"],
  ['gateway', [], { SOCKET_IO_PORT: 'tcp://10.0.0.7:3001' }, 0, 'SOCKET_IO_PORT: \'tcp://10.0.0.7:3001\' is what an orchestrator sets'],
  ['gateway', [], { REDIS_PASSWORD: '"hush"' }, 0, 'REDIS_PASSWORD: there is something around the secret (quotes), which counts as a part of it'],
  ['gateway', [], { LOG_LEVEL: 'loud' }, 78, "LOG_LEVEL: log-level: 'loud' is not one of trace|debug|info|warn|error"],
  ['authd', [], { AUTH_SECRET: ` ${secret}\r` }, 0, 'AUTH_SECRET: there is something around the secret (blanks and a carriage return)'],
  ['authd', [], { AUTH_SECRET: 'short' }, 0, 'AUTH_SECRET: the secret has fewer than 32 bytes and may be guessed'],
  // addresses and origins
  ['gateway', ['--host', 'localhost'], {}, 78, "host: 'localhost' is not an IPv4 or IPv6 address, such as 127.0.0.1 or ::1"],
  ['gateway', ['--cors-origin', 'https://a.example/'], {}, 64, "--cors-origin: 'https://a.example/' is not like https://example.org, without a path: write 'https://a.example'"],
  ['gateway', ['--cors-origin', 'a.example'], {}, 64, "'a.example' is not like https://example.org: the scheme is missing"],
  ['gateway', ['--cors-origin', 'https://A.example'], {}, 64, "'https://A.example' is not as browsers send it: write 'https://a.example'"],
  ['gateway', ['--cors-origin', 'https://a.example:443'], {}, 64, "'https://a.example:443' names the port that browsers leave out"],
  ['gateway', ['--cors-origin', 'http://a.example:0'], {}, 64, "'http://a.example:0' has a port that is no number from 1 to 65535"],
  ['gateway', ['--cors-origin', 'https://*.example'], {}, 64, "'https://*.example' is not like https://example.org: a * stands for nothing in it"],
  ['gateway', ['--cors-origin', 'https://'], {}, 64, "'https://' has no host"],
  ['gateway', ['--cors-origin', '/(/'], {}, 78, 'cannot use origin /(/:'],
  ['gateway', ['--cors-origin', '*', '--cors-credentials'], {}, 78, 'cors-credentials: browsers refuse cookies from the cors-origin *: name the origins'],
  ['gateway', ['--cors-origin', 'true', '--cors-credentials'], {}, 0, "cors-origin: true with cors-credentials lets every page of the web act with a user's cookies"],
  ['gateway', ['--cors-origin', '/^https?:/', '--cors-credentials'], {}, 0, 'cors-origin: /^https?:/ with cors-credentials lets every page of the web act'],
  ['gateway', ['--cors-origin', '/shop\\.example/', '--cors-credentials'], {}, 0, 'begin it with ^ and end it with $'],
  ['gateway', ['--cors-credentials'], {}, 0, 'cors-credentials: it does nothing without a cors-origin'],
  ['authd', ['--origin', 'https://a.example/x'], {}, 78, "origin: 'https://a.example/x' is not like https://example.org, without a path: write 'https://a.example'"],
  ['authd', [], { SOCKET_IO_CORS_ORIGIN: '*' }, 0, "SOCKET_IO_CORS_ORIGIN: '*' is no exact origin; cookies of its pages are refused"],
  // Redis
  ['gateway', [], { REDIS_HOST: 'redis://:hush@redis' }, 78, 'REDIS_HOST: redis-host: it is a URL, not a host: give it as redis (REDIS_URL)'],
  ['gateway', [], { REDIS_HOST: 'redis:6380' }, 78, 'REDIS_HOST: redis-host: it has a port, which has an option of its own: redis-port (REDIS_PORT)'],
  ['gateway', [], { REDIS_URL: 'http://redis' }, 78, 'REDIS_URL: redis: it begins with none of redis://'],
  ['gateway', [], { REDIS_URL: 'redis://redis/x' }, 78, 'REDIS_URL: redis: the database is no number from 0 to 65535'],
  ['gateway', [], { REDIS_URL: 'redis://redis?family=5' }, 78, 'REDIS_URL: redis: option family is none of 0, 4 and 6'],
  ['gateway', [], { REDIS_URL: 'rediss://redis?ssl_cert_reqs=none' }, 78, "REDIS_URL: redis: option ssl_cert_reqs is another driver's: write tls_verify=yes or tls_verify=no"],
  ['gateway', [], { REDIS_URL: 'redis://:@127.0.0.1:1' }, 0, 'redis: the password is empty, so none is sent'],
  ['gateway', [], { REDIS_URL: 'redis://127.0.0.1:1?protocol=3' }, 0, "redis: option protocol is another driver's and is ignored"],
  ['gateway', [], { REDIS_URL: 'rediss://127.0.0.1:1?tls_ca=/nonexistent.pem' }, 78, '/nonexistent.pem'],
  ['gateway', [], { REDIS_URL: 'rediss://127.0.0.1:1?tls_verify=no' }, 0, 'redis: tls_verify=no believes any server'],
  ['bridge', [], { REDIS_URL: '' }, 78, 'there is no Redis: give --redis redis://host, REDIS_URL or REDIS_HOST'],
  // files that are named, and what they need
  ['gateway', ['--routes', '/nonexistent.json'], {}, 78, 'routes: cannot read /nonexistent.json: No such file or directory'],
  ['gateway', ['--routes', folder], {}, 78, `routes: cannot read ${folder}: Is a directory`],
  ['gateway', ['--routes', routes('{"namespaces": {"/": {"events": {\n "e": [{"emit": 1}]}}}}')], {}, 78, '.json:2: /namespaces/~1/events/e/0'],
  ['gateway', ['--routes', routes('{')], {}, 78, '.json:1:'],
  ['gateway', ['--routes', publishing], {}, 0, 'publishes, which fails each time without a Redis: give --redis redis://host'],
  ['gateway', ['--routes', publishing, '--events-stream', ''], { REDIS_URL: 'redis://127.0.0.1:1' }, 0, 'publishes, which fails each time without an events-stream'],
  ['gateway', ['--routes', granting], {}, 0, 'has rules with granted, which nobody passes without sio-authd: give --auth authd'],
  ['gateway', ['--api-keys-file', '/nonexistent.keys'], {}, 78, '/nonexistent.keys'],
  ['gateway', ['--api-keys-file', file('short.keys', 'shop tooshort\n')], {}, 78, 'short.keys:1: '],
  ['gateway', ['--api-keys-file', file('open.keys', `shop ${secret}\n`, 0o644)], {}, 0, 'api-keys-file: everybody on this host can read'],
  ['gateway', ['--hop-listen', '10.0.0.1:3002'], { REDIS_URL: 'redis://127.0.0.1:1' }, 78, 'hop-listen asks for a hop-secret-file'],
  ['gateway', ['--hop-listen', '0.0.0.0:3002', '--hop-secret-file', file('hop', secret)], { REDIS_URL: 'redis://127.0.0.1:1' }, 78, "hop-listen: '0.0.0.0:3002' is not an address at which others reach this host, with a port"],
  ['gateway', ['--hop-listen', '127.0.0.1:3002', '--hop-secret-file', file('hop2', secret)], {}, 78, 'hop-listen: the other gateways are met in Redis only: give --redis'],
  ['gateway', ['--hop-listen', '127.0.0.1:3002', '--hop-secret-file', file('hop3', 'short')], { REDIS_URL: 'redis://127.0.0.1:1' }, 78, 'it has less than 16'],
  ['gateway', ['--hop-listen', '127.0.0.1:3002', '--hop-secret-file', file('hop4', secret.slice(0, 20))], { REDIS_URL: 'redis://127.0.0.1:1' }, 0, 'hop-secret-file: the secret has 20 bytes and may be guessed'],
  ['gateway', ['--client-dir', folder], {}, 78, `client-dir: there is no socket.io.js in '${folder}'`],
  ['gateway', ['--log-file', '/nonexistent/x.log'], {}, 69, 'log-file: cannot write /nonexistent/x.log: No such file or directory'],
  ['gateway', ['--control', `/tmp/${'x'.repeat(120)}`], {}, 78, 'is longer than the path of a socket may be'],
  // what is regretted
  ['gateway', ['--auth', 'dev'], {}, 0, 'auth: dev believes every token'],
  ['gateway', ['--host', '0.0.0.0'], {}, 0, 'auth: none lets everybody in, on an address that others reach'],
  ['gateway', ['--max-connections-per-address', '20'], {}, 0, 'max-connections-per-address: behind a proxy of this host all clients have one address'],
  ['gateway', ['--events-lifecycle', 'on'], {}, 0, 'events-lifecycle: it needs a Redis to write to: give --redis'],
  ['gateway', ['--control', join(file('no-folder', ''), 'g.sock')], {}, 69, 'control: cannot make a socket in '],
  ['authd', ['--control', file('no-socket', 'a note\n')], {}, 69, 'no-socket is there already, and no socket: name another path, or remove it'],
  ['bridge', ['--control', join(file('no-folder-2', ''), 'run', 'b.sock')], {}, 69, 'Not a directory: name a folder that this user may write to'],
  ['gateway', ['--memory-limit', '1MB'], {}, 78, 'memory-limit: 1048576 bytes are too few'],
  // sio-authd
  ['authd', [], { AUTH_SECRET: '' }, 78, 'there is nothing to know anybody by: give secret-file or AUTH_SECRET'],
  ['authd', ['--secret-file', '/nonexistent'], {}, 78, 'cannot read /nonexistent: No such file or directory'],
  ['authd', ['--secret-file', file('open.secret', secret, 0o644)], {}, 0, 'open.secret: everybody on this host can read it: chmod 640'],
  ['authd', ['--jwt-secret-file', file('short.secret', '\nshort\n')], {}, 78, 'short.secret:2: a secret of signed tokens needs 32 bytes or more'],
  ['authd', ['--jwks', 'http://example.org/keys'], {}, 78, 'jwks: keys come over https, or over http from this host only'],
  ['authd', ['--jwks', file('bad.jwks', '{')], {}, 78, 'bad.jwks: '],
  ['authd', ['--jwks-ca', '/nonexistent.pem'], {}, 78, 'jwks-ca: cannot read /nonexistent.pem: No such file or directory'],
  ['authd', ['--rights', '/nonexistent.json'], {}, 78, 'cannot read /nonexistent.json: No such file or directory'],
  ['authd', ['--database-schema', 'prisma'], {}, 78, 'sessions in a database ask for --database or DATABASE_URL'],
  ['authd', [], { DATABASE_URL: 'file:./dev.db' }, 78, 'database: it begins with file:, which is no PostgreSQL: give a URL that begins with postgresql://'],
  ['authd', [], { DATABASE_URL: 'postgres://u:hush@h/d?sslaccept=strict' }, 78, "database: parameter sslaccept is another driver's: write sslmode=verify-full"],
  ['authd', [], { DATABASE_URL: 'postgres://u:hush@h/d?flavour=x' }, 78, 'database: parameter flavour is not known to libpq'],
  ['authd', [], { DATABASE_URL: 'postgres://u:hush@h/d?pgbouncer=true' }, 0, "database: parameter pgbouncer is another driver's and is ignored"],
  ['authd', [], { DATABASE_URL: 'postgres://u:hush@h/d?sslmode=no-verify' }, 0, 'database: sslmode=no-verify is taken for sslmode=require'],
  ['authd', [], { DATABASE_URL: 'postgres://u:hush@h:x/d' }, 78, 'a port is no number from 1 to 65535'],
  ['authd', ['--cookie-name', 'a b'], {}, 78, "cookie-name: 'a b' is no name of a cookie"],
  // sio-bridge
  ['bridge', [], { KAFKA_BROKERS: '' }, 78, 'there is no Kafka: give --brokers host:port or KAFKA_BROKERS'],
  ['bridge', [], { KAFKA_BROKERS: 'kafka+ssl://k:9096' }, 78, 'brokers: what begins with kafka+ssl:// is a URL: write host:port, and say TLS by security = ssl'],
  ['bridge', [], { KAFKA_BROKERS: 'k:9092;l:9092' }, 78, "brokers: 'k:9092;l:9092' is not host:port; several are separated by commas"],
  ['bridge', [], { KAFKA_BROKERS: 'k:port' }, 78, "brokers: 'k:port' has a port that is no number from 1 to 65535"],
  ['bridge', ['--ca-file', '/nonexistent.pem'], {}, 78, 'ca-file: cannot read /nonexistent.pem: No such file or directory'],
  ['bridge', ['--ca-file', file('no.pem', 'no certificate')], {}, 78, 'ssl.ca.location'],
  ['bridge', ['--client-id', ''], {}, 78, 'client-id: brokers are told some name'],
  ['bridge', ['--sasl-mechanism', 'PLAIN'], {}, 78, 'sasl-mechanism without TLS shows the network who we are'],
  ['bridge', ['--routes', '/nonexistent.json'], {}, 78, 'routes: cannot read /nonexistent.json: No such file or directory'],
  ['bridge', ['--routes', routes({ topics: { 'sio.dlq': [{ emit: 'e', to: 'all' }] } }), '--dead-letter-topic', 'sio.dlq'], {}, 78, 'dead letters are written to this topic'],
  ['bridge', ['--listen', 'everywhere'], {}, 78, "listen: 'everywhere'"],
  ['bridge', ['--listen', '0.0.0.0:0'], {}, 0, 'listen: whoever reaches 0.0.0.0:0 reads metrics and health there'],
  ['bridge', ['--events-stream', ''], {}, 78, 'there is nothing to do: give --routes with topics to consume, or an events-stream'],
];

const variables = (daemon, env) => {
  const clean = { PATH: process.env.PATH };
  const all = { ...clean, ...good[daemon].env, ...env };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ''));
};
const run = (daemon, args, env) => runCommand(join(bin, `sio-${daemon}`), [...good[daemon].args, ...args], '',
  { env: variables(daemon, env), anyExit: true, timeout: 5000 });

for (const daemon of Object.keys(good)) {
  await checks.step(`sio-${daemon}: a right configuration passes without a word but that`, async () => {
    const { code, out, err } = await run(daemon, ['--check-config'], {});
    same([code, out, err], [0, 'the configuration is right\n', ''], 'status, output and errors');
  });
}

const tried = await Promise.all([0, 1].map(async (part) => {
  const results = [];
  for (let i = part; i < mistakes.length; i += 2) {
    const [daemon, args, env, status] = mistakes[i];
    const checked = await run(daemon, ['--check-config', ...args], env);
    results[i] = { checked, started: status === 0 ? null : await run(daemon, args, env) };
  }
  return results;
}));
for (const [i, [daemon, args, env, status, words]] of mistakes.entries()) {
  const { checked, started } = tried[i % 2][i];
  await checks.step(`sio-${daemon} ${args.join(' ').replaceAll(folder, '…').slice(0, 60)} ${JSON.stringify(env)}: ${words.slice(0, 70)}`, async () => {
    const said = checked.err.split('\n').filter((line) => line !== '');
    const wanted = `sio-${daemon}: ${status === 0 ? 'warning: ' : ''}`;
    truth(said.some((line) => line.startsWith(wanted) && line.includes(words)), `it says ${checked.err}`);
    same(checked.code, status, `status; it says ${checked.err}`);
    truth(!checked.err.includes('hush'), `a secret is told: ${checked.err}`);
    if (started !== null) {
      same(started.code, status, `status of a start, which says ${started.err}`);
      truth(started.err.includes(words), `a start says ${started.err}`);
    }
  });
}

await checks.step('what apps without a host send as their origin is none of these', async () => {
  for (const origin of ['file://', 'null', 'capacitor://localhost', 'ionic://localhost', 'app://.', 'chrome-extension://abcdefghijklmnop', 'http://[::1]:8080', 'tauri://localhost']) {
    const { code, err } = await run('gateway', ['--check-config', '--cors-origin', origin], {});
    same([code, err], [0, ''], `status and words for ${origin}`);
  }
});

await checks.step('all mistakes of a bridge are told in one run', async () => {
  const { code, err } = await run('bridge', ['--check-config', '--client-id', '', '--ca-file', '/nonexistent.pem', '--listen', 'everywhere', '--group', '',
    '--routes', '/nonexistent.json', '--in-flight-bytes', '64KB'], { KAFKA_BROKERS: 'k:port', REDIS_URL: 'redis://h/x' });
  for (const part of ['client-id: ', 'ca-file: ', 'listen: ', 'group: ', 'routes: ', 'in-flight-bytes: ', "brokers: 'k:port'", 'REDIS_URL: ']) {
    truth(err.includes(part), `${part} is not in ${err}`);
  }
  same(code, 78, 'status');
});

await checks.step('all mistakes are told in one run: of flags, file, variables, and the files that are named', async () => {
  const { code, err } = await run('gateway', ['--check-config', '--config', conf('prot = 1\nauth = ldap\n'), '--ping-interval', 'soon',
    '--routes', '/nonexistent.json', '--api-keys-file', '/nonexistent.keys', '--host', 'localhost'], { REDIS_URL: 'redis://h/x', LOG_LEVEL: 'loud' });
  for (const part of [":1: unknown key 'prot'", ':2: auth: ', '--ping-interval: ', 'REDIS_URL: redis: ', 'LOG_LEVEL: ', "host: 'localhost'",
    '/nonexistent.json', '/nonexistent.keys']) {
    truth(err.includes(part), `${part} is not in ${err}`);
  }
  same(code, 78, 'status');
});

rmSync(folder, { recursive: true, force: true });
await checks.end();
