// The work of tests/bench/authd.
//
// connect       clients that open a WebSocket, join `/` with a small Auth.js 5 token of their own and leave, 64 at a time; the
//               same gateway program with --auth none and with --auth authd in turns. Servers share one core, the load has
//               another. The rate of one core is what the servers' CPU time comes to; the rate of the clock is beside it, as
//               the load may be what is slow.
// authenticate  requests on sio-authd's socket, 256 open at a time, small v5 tokens, the daemon on a core of its own.
//
// Every client must be let in and every request be granted, or the exit status is 1.

import { execFileSync, spawn } from 'node:child_process';
import { createConnection } from 'node:net';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { encode } from '@auth/core/jwt';
import { freePort, httpGet, root, sleep, until } from '../integration/lib/harness.mjs';

const flags = process.argv.slice(2);
/** The number behind `name`, or behind `name=`. */
function value(name, otherwise) {
  const at = flags.indexOf(name);
  if (at >= 0) return Number(flags[at + 1]);
  return Number(flags.find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1) ?? otherwise);
}
const [quick, asJson] = ['--quick', '--json'].map((flag) => flags.includes(flag));
const rounds = value('--rounds', quick ? 3 : 5);
if (!Number.isInteger(rounds) || rounds < 1) { console.error('usage: tests/bench/authd [--quick] [--json] [--rounds N]'); process.exit(64); }
const perRound = quick ? 2000 : 6000;       // clients
const requests = quick ? 40000 : 200000;
const atOnce = { connect: 64, authenticate: 256 };
const [serverCore, loadCore] = [0, cpus().length > 1 ? 1 : 0];

const bin = process.env.SIO_BIN ?? join(root, 'bin');
for (const name of ['sio-gateway', 'sio-authd']) {
  if (!existsSync(join(bin, name))) { console.error(`tests/bench/authd: there is no ${join(bin, name)}; build it first`); process.exit(69); }
}
execFileSync('taskset', ['--all-tasks', '--pid', '--cpu-list', String(loadCore), String(process.pid)], { stdio: 'ignore' });

const folder = mkdtempSync(join(tmpdir(), 'sio-bench-authd-'));
const children = new Set();
process.on('exit', () => { for (const child of children) child.kill('SIGKILL'); rmSync(folder, { recursive: true, force: true }); });
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));
const note = (text) => console.error(text);

const hertz = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
/** CPU time of a process so far, seconds; by the scheduler's own count where the kernel shows it. */
function cpu(pid) {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e9;
  } catch {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
    return (Number(fields[11]) + Number(fields[12])) / hertz;
  }
}
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

function start(name, args) {
  const output = openSync(join(folder, `${name}.log`), 'a');
  const env = { ...process.env };
  for (const variable of ['DATABASE_URL', 'REDIS_URL', 'REDIS_HOST', 'AUTH_SECRET', 'NEXTAUTH_SECRET', 'SIO_AUTHD', 'DEBUG']) delete env[variable];
  const child = spawn('taskset', ['--cpu-list', String(serverCore), join(bin, name), ...args], { env, stdio: ['ignore', output, output] });
  closeSync(output);
  children.add(child);
  child.once('exit', (code) => {
    if (!children.delete(child)) return;
    note(`${name} left with ${code}: ${readFileSync(join(folder, `${name}.log`), 'utf8').slice(-300)}`);
    process.exit(1);
  });
  return child;
}

async function startGateway(auth) {
  const port = await freePort();
  const child = start('sio-gateway', ['--port', String(port), '--host', '127.0.0.1', '--rate-limit', 'off', '--recovery', 'off', '--log-level', 'error',
    '--control', join(folder, `gateway-${auth}.sock`), '--routes', join(root, 'tests/bench/routes.json'), '--auth', auth, ...(auth === 'authd' ? ['--authd', socketPath] : [])]);
  await until(5000, async () => (await httpGet(`http://127.0.0.1:${port}/ready`).catch(() => null))?.status === 200, `start of the gateway with --auth ${auth}`);
  return { auth, port, pid: child.pid };
}

/** A text frame as a client sends it. */
function frame(text) {
  const data = Buffer.from(text);
  const head = data.length < 126 ? Buffer.from([0x81, 0x80 | data.length])
    : Buffer.from([0x81, 0x80 | 126, data.length >> 8, data.length & 255]);
  const mask = randomBytes(4);
  return Buffer.concat([head, mask, data.map((byte, i) => byte ^ mask[i & 3])]);
}

const secret = randomBytes(33).toString('base64');
const socketPath = join(folder, 'authd.sock');
writeFileSync(join(folder, 'secret'), `${secret}\n`, { mode: 0o600 });
const tokens = await Promise.all(Array.from({ length: 500 }, (_, i) => encode({
  token: { name: 'Ada Lovelace', email: 'ada@example.com', picture: 'https://example.com/a.png', sub: String(i) }, secret, salt: 'authjs.session-token', maxAge: 86400,
})));
const frames = tokens.map((token) => frame(`40${JSON.stringify({ token })}`));

let source = 0;
/** One client from its SYN to its place in `/`; gives whether it got there. */
function connectOne(port, number) {
  return new Promise((done) => {
    source = (source + 1) % 200;
    const socket = createConnection({ port, host: '127.0.0.1', localAddress: `127.0.${1 + (source >> 3)}.${1 + (source & 7)}`, noDelay: true });
    let text = '';
    let asked = false;
    const end = (good) => { socket.destroy(); done(good); };
    socket.setTimeout(10000, () => end(false));
    socket.on('error', () => end(false));
    socket.on('close', () => done(false));
    socket.on('connect', () => socket.write(`GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\n`
      + 'Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'));
    socket.on('data', (part) => {
      text += part.toString('latin1');
      if (!asked && text.includes('"sid"')) {
        asked = true;
        text = '';
        socket.write(frames[number % frames.length]);
      } else if (asked && text.includes('40{"sid"')) end(true);
      else if (text.includes('44{')) end(false);
    });
  });
}

async function connectRound(server, pids) {
  const before = pids.map(cpu);
  const began = process.hrtime.bigint();
  let next = 0;
  let lost = 0;
  await Promise.all(Array.from({ length: atOnce.connect }, async () => {
    while (next < perRound) { next += 1; if (!await connectOne(server.port, next)) lost += 1; }
  }));
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  const used = pids.map((pid, i) => cpu(pid) - before[i]);
  const all = used.reduce((sum, one) => sum + one, 0);
  return { lost, perSecond: perRound / seconds, perCoreSecond: perRound / all, cpuUs: used.map((one) => (one / perRound) * 1e6), busy: all / seconds };
}

async function authenticateRound(pid) {
  const socket = createConnection(socketPath);
  await new Promise((done, fail) => { socket.once('connect', done); socket.once('error', fail); });
  const lines = tokens.map((token) => `,"cmd":"authenticate","token":"${token}","address":"127.0.0.1"}\n`);
  let sent = 0;
  let answered = 0;
  let granted = 0;
  const send = (count) => {
    let text = '';
    for (let i = 0; i < count && sent < requests; i += 1) { sent += 1; text += `{"id":${sent}${lines[sent % lines.length]}`; }
    if (text) socket.write(text);
  };
  const before = cpu(pid);
  const began = process.hrtime.bigint();
  let rest = '';
  await new Promise((done, fail) => {
    socket.on('error', fail);
    socket.on('close', () => fail(new Error('sio-authd closed the connection')));
    socket.setTimeout(20000, () => fail(new Error(`sio-authd answered ${answered} of ${sent}`)));
    socket.on('data', (part) => {
      const text = rest + part.toString('latin1');
      let start = 0;
      let count = 0;
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
        const line = text.slice(start, end);
        start = end + 1;
        if (!line.startsWith('{"id":')) continue;
        count += 1;
        if (line.includes('"result":"granted"')) granted += 1;
      }
      rest = text.slice(start);
      answered += count;
      if (answered === requests) done(); else send(count);
    });
    socket.write('{"sio":"admin","major":1,"minor":0}\n');
    send(atOnce.authenticate);
  });
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  const used = cpu(pid) - before;
  socket.removeAllListeners('close');
  socket.destroy();
  return { lost: requests - granted, perSecond: requests / seconds, perCoreSecond: requests / used, busy: used / seconds };
}

const authd = start('sio-authd', ['--control', socketPath, '--secret-file', join(folder, 'secret'), '--log-level', 'error']);
await until(5000, () => existsSync(socketPath), 'the socket of sio-authd');
await sleep(100);
const [none, asking] = [await startGateway('none'), await startGateway('authd')];

note('authd bench: the first round warms up and does not count');
const runs = { none: [], authd: [], authenticate: [] };
for (let round = 0; round <= rounds; round += 1) {
  // Who goes first changes, so that neither has the warmer machine always.
  const order = round % 2 ? [none, asking] : [asking, none];
  for (const server of order) {
    const run = await connectRound(server, server === asking ? [server.pid, authd.pid] : [server.pid]);
    if (round > 0) runs[server.auth].push(run);
  }
  const run = await authenticateRound(authd.pid);
  if (round > 0) runs.authenticate.push(run);
}

const of = (list, key) => median(list.map((run) => run[key]));
const results = {
  rounds, clients_per_round: perRound, requests_per_round: requests,
  connect: {
    none: {
      per_second: of(runs.none, 'perSecond'), per_core_second: of(runs.none, 'perCoreSecond'),
      gateway_cpu_us: median(runs.none.map(({ cpuUs }) => cpuUs[0])), busy: of(runs.none, 'busy'),
    },
    authd: {
      per_second: of(runs.authd, 'perSecond'), per_core_second: of(runs.authd, 'perCoreSecond'),
      gateway_cpu_us: median(runs.authd.map(({ cpuUs }) => cpuUs[0])),
      authd_cpu_us: median(runs.authd.map(({ cpuUs }) => cpuUs[1])), busy: of(runs.authd, 'busy'),
    },
    // Of each round by itself: what disturbs the machine disturbs both.
    ratio_per_second: median(runs.authd.map((run, i) => run.perSecond / runs.none[i].perSecond)),
    ratio_per_core_second: median(runs.authd.map((run, i) => run.perCoreSecond / runs.none[i].perCoreSecond)),
    lost: [...runs.none, ...runs.authd].reduce((sum, { lost }) => sum + lost, 0),
  },
  authenticate: {
    per_second: of(runs.authenticate, 'perSecond'), per_core_second: of(runs.authenticate, 'perCoreSecond'), busy: of(runs.authenticate, 'busy'),
    lost: runs.authenticate.reduce((sum, { lost }) => sum + lost, 0),
  },
};
const { connect, authenticate } = results;
const lost = connect.lost + authenticate.lost;
if (asJson) console.log(JSON.stringify(results));
else {
  const n = (number) => Math.round(number).toLocaleString('en-US').padStart(9);
  const share = (busy) => `${Math.round(busy * 100)} %`.padStart(5);
  console.log(`connects, ${perRound} clients, medians of ${rounds} rounds in turns:`);
  console.log('                per second of clock   per second of one core   servers\' core busy   CPU us each');
  for (const [name, row, us] of [['--auth none', connect.none, `gateway ${connect.none.gateway_cpu_us.toFixed(0)}`],
    ['--auth authd', connect.authd, `gateway ${connect.authd.gateway_cpu_us.toFixed(0)}, sio-authd ${connect.authd.authd_cpu_us.toFixed(0)}`]]) {
    console.log(`  ${name.padEnd(14)} ${n(row.per_second)} ${' '.repeat(14)} ${n(row.per_core_second)} ${' '.repeat(15)} ${share(row.busy)}   ${us}`);
  }
  console.log(`  authd against none: ${connect.ratio_per_second.toFixed(2)} by the clock, ${connect.ratio_per_core_second.toFixed(2)} by CPU`);
  console.log(`authenticates over the socket, small Auth.js 5 tokens: ${n(authenticate.per_second).trim()} per second of clock, `
    + `${n(authenticate.per_core_second).trim()} per second of one core (busy ${share(authenticate.busy).trim()})`);
  console.log(lost === 0 ? 'nothing lost' : `${lost} LOST: clients not let in, or requests not granted`);
}
for (const child of [...children]) { children.delete(child); child.kill('SIGTERM'); }
process.exit(lost === 0 ? 0 : 1);
