// Requests that reach a gateway which does not have the session: nobody needs sticky sessions.
//
// usage: node tests/cluster/forward.mjs [--full] [--only WORD]
//
// Three gateways stand behind an nginx that deals requests out in turn and knows nothing of sessions (without nginx
// these steps are skipped), or share one port; in the last steps two gateways stand in network namespaces of their own
// (skipped where namespaces are not permitted). --full: 2,000 clients and 50,000 messages instead of a fifth of it.

import { fork, spawn, spawnSync } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import {
  chmodSync, closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync,
} from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { io } from 'socket.io-client';
import {
  Checks, freePort, gatewayBinary, httpGet, runCommand, same, ServerProcess, sleep, startGateway, truth, until, within,
} from '../integration/lib/harness.mjs';

const self = fileURLToPath(import.meta.url);
const hopBinary = join(gatewayBinary, '../hop-gateway');

// --- a process full of clients --------------------------------------------------------------------------------------

/** Runs in a child: connects `clients` clients, lets each send `messages` events, tells the parent what came back. */
async function clientProcess({ url, clients, messages, transports, seconds }) {
  const result = { connected: 0, upgraded: 0, acked: 0, wrong: 0, bad: [], disconnects: 0 };
  const sockets = [];
  const end = Date.now() + seconds * 1000;
  const one = (number) => new Promise((done) => {
    const socket = io(url, { transports, reconnection: false, forceNew: true, timeout: 30000 });
    sockets.push(socket);
    const fail = (reason) => { result.bad.push(String(reason).slice(0, 200)); done(); };
    socket.on('connect_error', (error) => fail(`connect_error ${error.message} ${error.context?.status ?? ''}`));
    socket.on('disconnect', (reason, details) => {
      result.disconnects += 1;
      fail(`disconnect ${reason} ${details?.context?.status ?? ''}`);
    });
    socket.on('connect', async () => {
      result.connected += 1;
      const wantsUpgrade = transports.length > 1;
      if (wantsUpgrade) {
        if (socket.io.engine.transport.name !== 'websocket') {
          await new Promise((go) => socket.io.engine.once('upgrade', go));
        }
        result.upgraded += 1;
      }
      for (let i = 0; i < messages && Date.now() < end; i += 1) {
        const word = `${number}:${i}`;
        const answer = await socket.timeout(20000).emitWithAck('echo', word).catch((error) => error);
        if (answer === word) result.acked += 1;
        else if (result.wrong++ < 3) result.bad.push(`answer ${JSON.stringify(answer)} ${answer?.message ?? ''}`);
      }
      done();
    });
  });
  // At most 40 at once are on their way in, so that the handshakes of one machine do not time one another out.
  let next = 0;
  const lane = async () => { while (next < clients && Date.now() < end) await one(next++); };
  await Promise.race([Promise.all(Array.from({ length: Math.min(clients, 40) }, lane)), sleep(seconds * 1000)]);
  process.send(result);
  for (const socket of sockets) { socket.off('disconnect'); socket.disconnect(); }
  setTimeout(() => process.exit(0), 300);
}

/** Spreads clients over processes and adds up what they tell. */
async function runClients({ url, clients, messages, transports, seconds, processes = 2 }) {
  const total = { connected: 0, upgraded: 0, acked: 0, wrong: 0, bad: [], disconnects: 0 };
  await Promise.all(Array.from({ length: processes }, (_, i) => new Promise((done) => {
    const share = Math.floor(clients / processes) + (i < clients % processes ? 1 : 0);
    const child = fork(self, ['--clients', JSON.stringify({ url, clients: share, messages, transports, seconds })]);
    const timer = setTimeout(() => child.kill('SIGKILL'), (seconds + 10) * 1000);
    child.on('message', (result) => {
      for (const [key, value] of Object.entries(result)) total[key] = key === 'bad' ? [...total.bad, ...value] : total[key] + value;
    });
    child.on('exit', () => { clearTimeout(timer); done(); });
  })));
  return total;
}

// --- gateways and nginx ---------------------------------------------------------------------------------------------

/** Gateways that meet in one folder. `share`: all on one port. */
async function startGateways(count, { share = false, options = {} } = {}) {
  const meeting = mkdtempSync(join(tmpdir(), 'sio-relay-'));
  const port = share ? await freePort() : null;
  const gateways = [];
  for (let i = 0; i < count; i += 1) {
    gateways.push(await startGateway({
      port,
      options: { '--ping-interval': '25s', '--ping-timeout': '20s', '--relay-dir': meeting, ...(share && { '--share-port': true }), ...options },
    }));
  }
  return Object.assign(gateways, { meeting });
}

/** Ends gateways as an operator would, looks at how they ended, and removes the folder they shared. */
async function stopAll(checks, what, gateways, folder) {
  for (const gateway of gateways) await gateway.leave();
  await checks.step(`${what}: no gateway crashed or tripped a sanitizer`, () => {
    for (const gateway of gateways) same(gateway.complaint(), null, 'complaint');
  });
  for (const gateway of gateways) await gateway.stop();
  rmSync(folder, { recursive: true, force: true });
}

/** The metrics of one gateway, asked through its control socket: a shared port answers for any. */
async function metricsOf(gateway) {
  const out = await runCommand(process.env.SIOCTL ?? join(gatewayBinary, '../sioctl'), ['--control', gateway.control, 'stat', '-o', 'json']);
  return JSON.parse(out);
}

async function sum(gateways, name) {
  let total = 0;
  for (const gateway of gateways) total += (await metricsOf(gateway))[name];
  return total;
}

const nginxBinary = ['/usr/sbin/nginx', '/usr/bin/nginx'].find((path) => existsSync(path));

/** An nginx of our own before `ports`: requests in turn, connections kept, no affinity. Its log holds each status. */
async function startNginx(ports) {
  const folder = mkdtempSync(join(tmpdir(), 'sio-nginx-'));
  const port = await freePort();
  for (const name of ['body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']) mkdirSync(join(folder, name));
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${folder}/${name.replace('client_', '')};`).join(' ');
  writeFileSync(join(folder, 'nginx.conf'), `
daemon off; pid ${folder}/pid; error_log ${folder}/error.log warn; worker_processes 1; worker_rlimit_nofile 20000;
events { worker_connections 9000; }
http {
  ${temporary}
  log_format short '$status $request_method $upstream_addr $request_uri'; access_log ${folder}/access.log short;
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  upstream gateways { ${ports.map((one) => `server 127.0.0.1:${one};`).join(' ')} keepalive 64; }
  server {
    listen 127.0.0.1:${port} backlog=4096; keepalive_timeout 75; keepalive_requests 100000;
    location / {
      proxy_pass http://gateways; proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 120s;
      proxy_set_header Host $host; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
      proxy_next_upstream off;
    }
  }
}
`);
  chmodSync(folder, 0o755);   // its worker runs as another user when we are root
  for (const name of ['body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']) chmodSync(join(folder, name), 0o777);
  const child = spawn(nginxBinary, ['-c', join(folder, 'nginx.conf'), '-p', folder], { stdio: 'ignore' });
  const server = new ServerProcess(folder, child, join(folder, 'access.log'), port);
  await until(5000, () => httpGet(`${server.url}/ready`).then((answer) => answer.status === 200, () => false), 'nginx');
  server.errorsIn = () => server.log().split('\n').filter((line) => /^[45]/.test(line));
  // SIGTERM is nginx's word for a fast end; its worker goes with it.
  server.quit = async () => { child.kill('SIGTERM'); await within(5000, server.exited, 'end of nginx').catch(() => {}); await server.stop(); };
  return server;
}

// --- raw requests ---------------------------------------------------------------------------------------------------

/** A session opened by polling at `url`, driven by hand. */
async function openSession(url) {
  const answer = await httpGet(`${url}/socket.io/?EIO=4&transport=polling`);
  same(answer.status, 200, 'status of the handshake');
  return JSON.parse(answer.body.slice(1)).sid;
}

/** One kept TCP connection on which whole requests are written and answers read one after the other. */
class Kept {
  constructor(port, host = '127.0.0.1') {
    this.socket = net.connect(port, host);
    this.text = '';
    this.closed = false;
    this.waiting = null;
    this.socket.on('data', (part) => { this.text += part.toString('latin1'); this.waiting?.(); });
    this.socket.on('close', () => { this.closed = true; this.waiting?.(); });
    this.socket.on('error', () => {});
  }

  write(text) { this.socket.write(text, 'latin1'); }
  get(target, headers = '') { this.write(`GET ${target} HTTP/1.1\r\nHost: a\r\n${headers}\r\n`); }
  post(target, body) { this.write(`POST ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`); }

  /** The next answer: {status, head, body}; rejects when the connection ends before. */
  answer(ms = 5000) {
    return within(ms, (async () => {
      for (;;) {
        const end = this.text.indexOf('\r\n\r\n');
        if (end >= 0) {
          const head = this.text.slice(0, end);
          const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
          if (this.text.length >= end + 4 + length) {
            const body = this.text.slice(end + 4, end + 4 + length);
            this.text = this.text.slice(end + 4 + length);
            return { status: Number(head.split(' ')[1]), head, body };
          }
        }
        if (this.closed) throw new Error('the connection ended without an answer');
        await new Promise((go) => { this.waiting = go; });
      }
    })(), 'answer');
  }
}

const polling = (sid) => `/socket.io/?EIO=4&transport=polling&sid=${sid}`;

async function main() {
  const full = process.argv.includes('--full');
  const only = process.argv.includes('--only') ? process.argv[process.argv.indexOf('--only') + 1] : '';
  const checks = new Checks('forward');
  const wanted = (group) => !only || group.includes(only);
  if (wanted('relay')) await relaySteps(checks);
  if (wanted('shared')) await sharedPortSteps(checks);
  if (wanted('nginx')) {
    if (nginxBinary) await nginxSteps(checks, full);
    else console.log('skip  forward: nginx is not installed');
  }
  if (wanted('hop')) {
    if (existsSync(hopBinary)) await hopSteps(checks);
    else console.log(`skip  forward: there is no ${hopBinary}`);
  }
  await checks.end();
}

// --- one host -------------------------------------------------------------------------------------------------------

async function relaySteps(checks) {
  const gateways = await startGateways(3);
  const [a, b, c] = gateways;

  await checks.step('each gateway has a socket that only its user may open', () => {
    const names = readdirSync(gateways.meeting).filter((name) => name.endsWith('.relay'));
    same(names.length, 3, 'sockets');
    const mode = spawnSync('stat', ['-c', '%a', ...names.map((name) => join(gateways.meeting, name))]).stdout.toString();
    same(mode.trim().split('\n'), ['600', '600', '600'], 'modes');
  });

  await checks.step('polls and POSTs at another gateway than the one of the handshake reach the session', async () => {
    const sid = await openSession(a.url);
    const post = await httpGet(b.url + polling(sid), { method: 'POST', body: '40' });
    same([post.status, post.body], [200, 'ok'], 'POST of CONNECT');
    const poll = await httpGet(c.url + polling(sid));
    same(poll.status, 200, 'poll');
    truth(/^40\{"sid"/.test(poll.body), `poll gives ${poll.body}`);
  });

  await checks.step('one kept connection serves the sessions of three gateways in turn', async () => {
    const sids = [await openSession(a.url), await openSession(b.url), await openSession(c.url)];
    const kept = new Kept(a.port);
    for (let round = 0; round < 3; round += 1) {
      for (const sid of sids) {
        kept.post(polling(sid), round === 0 ? '40' : '42["echo-event",1]');
        same((await kept.answer()).body, 'ok', 'POST');
        kept.get(polling(sid));
        const poll = await kept.answer();
        same(poll.status, 200, 'poll');
        truth(poll.body.startsWith(round === 0 ? '40{' : '42["echo-event",1]'), `poll gives ${poll.body}`);
      }
    }
    kept.socket.destroy();
  });

  await checks.step('a request that comes byte by byte, with its body behind, arrives whole', async () => {
    const sid = await openSession(a.url);
    const body = '40';
    const text = `POST ${polling(sid)} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const kept = new Kept(b.port);
    kept.socket.setNoDelay(true);
    for (const letter of text) { kept.write(letter); await sleep(1); }
    same((await kept.answer()).body, 'ok', 'answer');
    kept.socket.destroy();
  });

  await checks.step('a POST of the largest size in chunks passes', async () => {
    const sid = await openSession(a.url);
    await httpGet(b.url + polling(sid), { method: 'POST', body: '40' });
    await httpGet(a.url + polling(sid));
    const long = 'x'.repeat(900_000);
    const chunk = (text) => `${text.length.toString(16)}\r\n${text}\r\n`;
    const kept = new Kept(b.port);
    kept.write(`POST ${polling(sid)} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`);
    const message = `42["echo-event","${long}"]`;
    for (let at = 0; at < message.length; at += 50_000) kept.write(chunk(message.slice(at, at + 50_000)));
    kept.write('0\r\n\r\n');
    same((await kept.answer()).body, 'ok', 'POST');
    const poll = await httpGet(c.url + polling(sid));
    same(poll.body.length, message.length, 'length of the echo');
    kept.socket.destroy();
  });

  await checks.step('requests written all at once are answered in order, each by its owner', async () => {
    const sids = [await openSession(a.url), await openSession(b.url), await openSession(c.url)];
    const kept = new Kept(a.port);
    let text = '';
    for (const sid of sids) text += `POST ${polling(sid)} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n40`;
    for (const sid of sids) text += `GET ${polling(sid)} HTTP/1.1\r\nHost: a\r\n\r\n`;
    kept.write(text);
    for (let i = 0; i < 3; i += 1) same((await kept.answer()).body, 'ok', `POST ${i}`);
    for (let i = 0; i < 3; i += 1) truth((await kept.answer()).body.startsWith('40{'), `poll ${i}`);
    kept.socket.destroy();
  });

  await checks.step('a held poll that was handed over is answered, and its loss ends the session', async () => {
    const sid = await openSession(a.url);
    await httpGet(a.url + polling(sid), { method: 'POST', body: '40' });
    await httpGet(a.url + polling(sid));
    const kept = new Kept(b.port);
    kept.get(polling(sid));
    await sleep(100);
    await httpGet(c.url + polling(sid), { method: 'POST', body: '42["echo-event","later"]' });
    same((await kept.answer()).body, '42["echo-event","later"]', 'poll');
    kept.get(polling(sid));
    await sleep(100);
    kept.socket.destroy();
    await until(2000, async () => (await httpGet(a.url + polling(sid))).status === 400, 'end of the session');
  });

  await checks.step('a session that its own gateway does not know is unknown, at every gateway', async () => {
    const sid = await openSession(a.url);
    const gone = sid.slice(0, 8) + 'AAAAAAAAAAAA';
    for (const gateway of gateways) {
      const answer = await httpGet(gateway.url + polling(gone));
      same([answer.status, answer.body], [400, '{"code":1,"message":"Session ID unknown"}'], 'answer');
    }
    for (const strange of ['ZZZZ' + sid.slice(4), '../../../../../../x/', 'short', '-' + sid.slice(1), '%00%00%00%00' + sid.slice(4)]) {
      same((await httpGet(b.url + polling(strange))).status, 400, `status for ${strange}`);
    }
  });

  await checks.step('WebSocket probes at another gateway upgrade', async () => {
    const before = await sum(gateways, 'upgrades');
    const sid = await openSession(a.url);
    await httpGet(b.url + polling(sid), { method: 'POST', body: '40' });
    await httpGet(c.url + polling(sid));
    const key = randomBytes(16).toString('base64');
    const kept = new Kept(b.port);
    kept.get(`/socket.io/?EIO=4&transport=websocket&sid=${sid}`,
      `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n`);
    same((await kept.answer()).status, 101, 'status');
    const frame = (text) => Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]).toString('latin1');
    kept.write(frame('2probe'));
    await until(2000, () => kept.text.includes('3probe'), 'answer to the probe');
    kept.write(frame('5') + frame('42["echo-event","up"]'));
    await until(2000, () => kept.text.includes('42["echo-event","up"]'), 'echo');
    same(await sum(gateways, 'upgrades') - before, 1, 'upgrades');
    kept.socket.destroy();
  });

  await checks.step('a gateway killed while it holds a poll: the client is cut, and told that the session is gone', async () => {
    const sid = await openSession(c.url);
    await httpGet(c.url + polling(sid), { method: 'POST', body: '40' });
    await httpGet(c.url + polling(sid));
    const kept = new Kept(a.port);
    kept.get(polling(sid));
    await sleep(150);
    c.child.kill('SIGKILL');
    const began = Date.now();
    const end = await kept.answer(3000).then(() => 'an answer', (error) => error.message);
    same(end, 'the connection ended without an answer', 'the held poll');
    truth(Date.now() - began < 1000, 'it took more than a second');
    for (const gateway of [a, b]) same((await httpGet(gateway.url + polling(sid))).status, 400, 'status afterwards');
    same(readdirSync(gateways.meeting).length, 2, 'sockets left');
  });

  await checks.step('a new gateway sweeps what dead ones left, and a stopped one leaves nothing', async () => {
    b.child.kill('SIGKILL');
    await b.exited;
    same(readdirSync(gateways.meeting).length, 2, 'sockets with the dead one');
    const fresh = await startGateway({ options: { '--relay-dir': gateways.meeting } });
    same(readdirSync(gateways.meeting).length, 2, 'sockets after the sweep');
    const sid = await openSession(fresh.url);
    same((await httpGet(a.url + polling(sid), { method: 'POST', body: '40' })).body, 'ok', 'POST');
    await fresh.leave();
    await fresh.stop();
    same(readdirSync(gateways.meeting).length, 1, 'sockets after its end');
  });

  await checks.step('descriptors that come from others count against max-connections', async () => {
    const small = await startGateway({ options: { '--relay-dir': gateways.meeting, '--max-connections': '3' } });
    const sids = [await openSession(small.url), await openSession(small.url), await openSession(small.url)];
    const held = [];
    for (const sid of sids) { const kept = new Kept(a.port); kept.get(polling(sid)); held.push(kept); await sleep(30); }
    const more = new Kept(a.port);
    more.post(polling(sids[0]), '40');
    same((await more.answer()).status, 503, 'the fourth');
    for (const kept of [...held, more]) kept.socket.destroy();
    await small.stop();
  });

  await checks.step('a client that has gone when its descriptor arrives does no harm', async () => {
    const gate = await startGateway({ options: { '--relay-dir': gateways.meeting } });
    const sid = await openSession(gate.url);
    for (let i = 0; i < 200; i += 1) {
      const kept = new Kept(a.port);
      kept.get(polling(sid.slice(0, 4) + 'BBBBBBBBBBBBBBBB'));
      if (i % 2) kept.socket.end(); else setImmediate(() => kept.socket.destroy());
    }
    await sleep(300);
    same((await httpGet(a.url + polling(sid), { method: 'POST', body: '40' })).body, 'ok', 'POST afterwards');
    await until(3000, async () => (await metricsOf(gate)).connections <= 2, 'connections ended');
    await gate.stop();
  });

  await checks.step('a gateway that has no descriptor left loses what is handed to it then, and nothing after', async () => {
    const poor = await startGateway({ options: { '--relay-dir': gateways.meeting } });
    const sid = await openSession(poor.url);
    same((await httpGet(a.url + polling(sid), { method: 'POST', body: '40' })).body, 'ok', 'POST before');
    const limit = (soft) => same(spawnSync('prlimit', ['--pid', String(poor.child.pid), `--nofile=${soft}:20000`]).status, 0, 'prlimit');
    limit(8);
    const lost = Array.from({ length: 20 }, () => { const kept = new Kept(a.port); kept.get(polling(sid)); return kept; });
    await until(3000, () => lost.every((kept) => kept.closed), 'end of the lost ones');
    limit(1000);
    for (let i = 0; i < 5; i += 1) {
      const next = await openSession(poor.url);
      const kept = new Kept(a.port);
      kept.post(polling(next), '40');
      same((await kept.answer()).body, 'ok', `POST ${i} after`);
      kept.socket.destroy();
    }
    same((await metricsOf(poor)).relaysFailed, 20, 'failures counted');
    await poor.stop();
  });

  await checks.step('a frozen gateway keeps only its own clients waiting', async () => {
    const frozen = await startGateway({ options: { '--relay-dir': gateways.meeting } });
    const sid = await openSession(frozen.url);
    const mine = await openSession(a.url);
    frozen.child.kill('SIGSTOP');
    const kepts = Array.from({ length: 50 }, () => { const kept = new Kept(a.port); kept.post(polling(sid), '40'); return kept; });
    same((await httpGet(a.url + polling(mine), { method: 'POST', body: '40' })).body, 'ok', 'POST of its own');
    frozen.child.kill('SIGCONT');
    const answers = await Promise.all(kepts.map((kept) => kept.answer().catch(() => null)));
    truth(answers.some((one) => one?.status === 200), 'nobody was answered after it went on');
    for (const kept of kepts) kept.socket.destroy();
    await frozen.stop();
  });

  await stopAll(checks, 'relay', gateways, gateways.meeting);
}

async function sharedPortSteps(checks) {
  const gateways = await startGateways(3, { share: true });
  await checks.step('polling clients of three gateways on one port meet no 400', async () => {
    const result = await runClients({ url: gateways[0].url, clients: 150, messages: 5, transports: ['polling'], seconds: 20 });
    same(result.bad, [], 'troubles');
    same([result.connected, result.acked], [150, 750], 'connected, acknowledged');
    truth(await sum(gateways, 'relayedOut') > 0, 'nothing was handed over');
  }, { timeout: 40000 });
  await checks.step('clients that begin with polling upgrade on a shared port', async () => {
    const result = await runClients({ url: gateways[0].url, clients: 150, messages: 5, transports: ['polling', 'websocket'], seconds: 20 });
    same(result.bad, [], 'troubles');
    same([result.upgraded, result.acked], [150, 750], 'upgraded, acknowledged');
  }, { timeout: 40000 });
  await checks.step('the folder of the control socket is where gateways of one port meet unless told otherwise', async () => {
    const alone = await startGateway({ options: { '--share-port': true } });
    truth(readdirSync(alone.folder).some((name) => name.endsWith('.relay')), 'there is no socket');
    await alone.stop();
  });
  await stopAll(checks, 'shared port', gateways, gateways.meeting);
}

async function nginxSteps(checks, full) {
  const gateways = await startGateways(3);
  const nginx = await startNginx(gateways.map((gateway) => gateway.port));
  const clients = full ? 2000 : 400;
  const messages = 25;
  const seconds = full ? 150 : 40;
  const options = { timeout: (seconds + 20) * 1000 };
  await checks.step(`${clients} clients behind nginx begin with polling, upgrade and send ${clients * messages} messages; no 400`, async () => {
    const result = await runClients({ url: nginx.url, clients, messages, transports: ['polling', 'websocket'], seconds });
    same(result.bad.slice(0, 5), [], 'troubles');
    same([result.connected, result.upgraded, result.acked], [clients, clients, clients * messages], 'connected, upgraded, acknowledged');
    same(nginx.errorsIn().slice(0, 5), [], 'refusals in the log of nginx');
    truth(await sum(gateways, 'relayedOut') > clients / 2, 'hardly anything was handed over');
  }, options);
  const few = full ? 400 : 100;
  await checks.step(`${few} clients that only poll behind nginx meet no 400`, async () => {
    const result = await runClients({ url: nginx.url, clients: few, messages: 10, transports: ['polling'], seconds });
    same(result.bad.slice(0, 5), [], 'troubles');
    same([result.connected, result.acked], [few, few * 10], 'connected, acknowledged');
    same(nginx.errorsIn().slice(0, 5), [], 'refusals in the log of nginx');
  }, options);
  await checks.step('a client whose gateway is killed while its poll is held there comes back to another', async () => {
    await until(5000, async () => await sum(gateways, 'sockets') === 0, 'end of the clients of before');
    const socket = io(nginx.url, { transports: ['polling'], reconnectionDelay: 100, reconnectionDelayMax: 200, forceNew: true });
    await within(5000, new Promise((done) => socket.once('connect', done)), 'connect');
    const tag = socket.io.engine.id.slice(0, 4);
    let owner = null;
    for (const gateway of gateways) if ((await metricsOf(gateway)).sockets > 0) owner = gateway;
    truth(owner, 'nobody has it');
    await sleep(100);
    owner.child.kill('SIGKILL');
    await within(8000, new Promise((done) => socket.once('disconnect', done)), 'disconnect');
    await within(8000, new Promise((done) => socket.once('connect', done)), 'second connect');
    truth(socket.io.engine.id.slice(0, 4) !== tag, 'it is at the dead gateway');
    same(await socket.timeout(5000).emitWithAck('echo', 'alive'), 'alive', 'echo');
    socket.disconnect();
  }, { timeout: 25000 });
  await nginx.quit();
  await stopAll(checks, 'nginx', gateways, gateways.meeting);
}

// --- other hosts ----------------------------------------------------------------------------------------------------

/** Starts a program in `inside` (a command to go before it) and waits for its hop address in the directory. */
async function startHopGateway({ directory, secret, port, listen, host = '127.0.0.1', inside = [], options = [] }) {
  const folder = mkdtempSync(join(tmpdir(), 'sio-hop-'));
  writeFileSync(join(folder, 'secret'), secret + '\n');
  const before = readdirSync(directory).length;
  const logPath = join(folder, 'output.log');
  const output = openSync(logPath, 'a');
  const command = [...inside, hopBinary, directory, '--port', String(port), '--host', host, '--auth', 'none',
    '--routes', fileURLToPath(new URL('../integration/routes.json', import.meta.url)), '--rate-limit', 'off',
    '--control', join(folder, 'gateway.sock'), '--log-level', 'error', '--hop-listen', listen,
    '--hop-secret-file', join(folder, 'secret'), ...options];
  const child = spawn(command[0], command.slice(1), { stdio: ['ignore', output, output] });
  closeSync(output);
  const gateway = new ServerProcess(folder, child, logPath, port);
  await until(5000, () => {
    truth(gateway.exitCode === null, `it left with ${gateway.exitCode}: ${gateway.log().trim()}`);
    return readdirSync(directory).length > before;
  }, 'start');
  return gateway;
}

const hopField = (secret, method, target, { address = '127.0.0.1', time = Date.now(), number = randomBytes(8).toString('hex') } = {}) =>
  `Sio-Hop: 2 ${address} ${time} ${number} ${createHmac('sha256', secret).update(`${method}\n${target}\n${address}\n${time}\n${number}`).digest('hex')}\r\n`;

async function hopSteps(checks) {
  const directory = mkdtempSync(join(tmpdir(), 'sio-nodes-'));
  const secret = randomBytes(24).toString('hex');
  const ports = [await freePort(), await freePort(), await freePort()];
  const hopPorts = [await freePort(), await freePort(), await freePort()];
  const start = (i, more = {}) => startHopGateway({
    directory, secret, port: ports[i], listen: `127.0.0.1:${hopPorts[i]}`, ...more });
  const a = await start(0, { options: ['--queue-bytes', '64MB'] });
  const b = await start(1);

  await checks.step('hop: polls and POSTs reach a session on another host', async () => {
    const sid = await openSession(a.url);
    const post = await httpGet(b.url + polling(sid), { method: 'POST', body: '40' });
    same([post.status, post.body, post.headers.connection], [200, 'ok', 'close'], 'POST');
    const poll = await httpGet(b.url + polling(sid));
    truth(poll.status === 200 && poll.body.startsWith('40{'), `poll gives ${poll.status} ${poll.body}`);
    const held = httpGet(b.url + polling(sid));
    await sleep(100);
    await httpGet(b.url + polling(sid), { method: 'POST', body: '42["echo-event","later"]' });
    same((await held).body, '42["echo-event","later"]', 'the held poll');
  });

  await checks.step('hop: a reader that stops holds 14 MB up without filling the memory between, and gets them whole', async () => {
    const sid = await openSession(a.url);
    await httpGet(b.url + polling(sid), { method: 'POST', body: '40' });
    await httpGet(b.url + polling(sid));
    const message = `42["echo-event","${'x'.repeat(900_000)}"]`;
    for (let i = 0; i < 16; i += 1) same((await httpGet(b.url + polling(sid), { method: 'POST', body: message })).body, 'ok', 'POST');
    const before = (await metricsOf(b)).memory.rss;
    const kept = new Kept(b.port);
    kept.get(polling(sid));
    kept.socket.pause();
    await sleep(1000);
    const grown = (await metricsOf(b)).memory.rss - before;
    truth(grown < 3_000_000, `the memory of the gateway between grew by ${grown}`);
    kept.socket.resume();
    const poll = await kept.answer();
    same(poll.body.length, message.length * 16 + 15, 'length of the answer');
    same(poll.body.split('\x1e').filter((one) => one === message).length, 16, 'whole messages');
  }, { timeout: 15000 });

  await checks.step('hop: clients that begin with polling upgrade and exchange messages through the other gateway', async () => {
    for (const transports of [['polling', 'websocket'], ['polling']]) {
      const result = await runSplit({ first: a.url, then: b.url, transports, clients: 40, messages: 10 });
      same([result.bad, result.acked], [[], 400], transports.join());
    }
    truth((await metricsOf(b)).hopsOut > 80, 'hardly anything went over the hop');
  }, { timeout: 30000 });

  await checks.step('hop: connections end on both sides when the client has gone', async () => {
    await until(5000, async () => (await metricsOf(b)).hopsOpen === 0, 'end of the hops');
    const sid = await openSession(a.url);
    await httpGet(b.url + polling(sid), { method: 'POST', body: '40' });
    await httpGet(b.url + polling(sid));
    const kept = new Kept(b.port);
    kept.get(polling(sid));
    await until(2000, async () => (await metricsOf(b)).hopsOpen === 1, 'the held poll');
    kept.socket.destroy();
    await until(2000, async () => (await httpGet(a.url + polling(sid))).status === 400, 'end of the session');
    await until(4000, async () => (await metricsOf(b)).hopsOpen === 0, 'end of the hop');
    same((await metricsOf(b)).hopsFailed, 0, 'failures');
  });

  await checks.step('hop: a session that is not at its owner is unknown', async () => {
    const sid = await openSession(a.url);
    const answer = await httpGet(b.url + polling(sid.slice(0, 4) + 'CCCCCCCCCCCCCCCC'));
    same([answer.status, answer.body], [400, '{"code":1,"message":"Session ID unknown"}'], 'answer');
  });

  await checks.step('hop: nothing passes the hop listener without a fresh and true proof, and each refusal is counted', async () => {
    const sid = await openSession(a.url);
    const target = polling(sid);
    const before = (await metricsOf(a)).hopsRefused;
    const wrong = {
      'no field': '',
      'another secret': hopField('x'.repeat(20), 'GET', target),
      'for another method': hopField(secret, 'POST', target),
      'for another session': hopField(secret, 'GET', polling('AAAA' + sid.slice(4))),
      'too old': hopField(secret, 'GET', target, { time: Date.now() - 31_000 }),
      'from the future': hopField(secret, 'GET', target, { time: Date.now() + 31_000 }),
      'for another address': hopField(secret, 'GET', target).replace('127.0.0.1', '127.0.0.2'),
      'twice': hopField(secret, 'GET', target).repeat(2),
      'another version': hopField(secret, 'GET', target).replace('Sio-Hop: 2', 'Sio-Hop: 1'),
      'cut short': hopField(secret, 'GET', target).replace(/.\r\n$/, '\r\n'),
    };
    for (const [what, field] of Object.entries(wrong)) {
      const kept = new Kept(hopPorts[0]);
      kept.get(target, field);
      const answer = await kept.answer();
      same([answer.status, /connection: close/i.test(answer.head)], [403, true], what);
      kept.socket.destroy();
    }
    for (const path of ['/metrics', '/ready', '/']) {
      const kept = new Kept(hopPorts[0]);
      kept.get(path);
      same((await kept.answer()).status, 403, path);
      kept.socket.destroy();
    }
    same((await metricsOf(a)).hopsRefused - before, 13, 'refusals counted');
    const kept = new Kept(hopPorts[0]);
    kept.post(target, '40');
    same((await kept.answer()).status, 403, 'POST without a field');
    kept.socket.destroy();
    const good = new Kept(hopPorts[0]);
    good.write(`POST ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n${hopField(secret, 'POST', target)}\r\n40`);
    const answer = await good.answer();
    same([answer.status, answer.body, /connection: close/i.test(answer.head)], [200, 'ok', true], 'the right field');
    good.socket.destroy();
  }, { timeout: 20000 });

  await checks.step('hop: a request that was overheard cannot be sent a second time', async () => {
    const sid = await openSession(a.url);
    const field = hopField(secret, 'POST', polling(sid));
    const send = async () => {
      const kept = new Kept(hopPorts[0]);
      kept.write(`POST ${polling(sid)} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n${field}\r\n40`);
      const { status } = await kept.answer();
      kept.socket.destroy();
      return status;
    };
    same([await send(), await send(), await send()], [200, 403, 403], 'the answers');
    const next = hopField(secret, 'GET', polling(sid));
    const kept = new Kept(hopPorts[0]);
    kept.get(polling(sid), next);
    same((await kept.answer()).status, 200, 'another request of the same session');
    kept.socket.destroy();
  }, { timeout: 20000 });

  await checks.step('hop: a field that a client sends itself is not believed and does no harm', async () => {
    const sid = await openSession(a.url);
    const post = await httpGet(b.url + polling(sid), { method: 'POST', body: '40', headers: { 'sio-hop': '1 9.9.9.9 1 00' } });
    same([post.status, post.body], [200, 'ok'], 'POST');
  });

  await checks.step('hop: a gateway with another secret is answered 403', async () => {
    const c = await start(2, { secret: 'another secret of some length' });
    const sid = await openSession(a.url);
    const before = (await metricsOf(a)).hopsRefused;
    same((await httpGet(c.url + polling(sid), { method: 'POST', body: '40' })).status, 403, 'status');
    same((await metricsOf(a)).hopsRefused - before, 1, 'refusals counted');
    await c.stop();
  });

  await checks.step('hop: the owner is killed: what it held is answered 503, what comes later 400', async () => {
    const c = await start(2);
    const sid = await openSession(c.url);
    await httpGet(b.url + polling(sid), { method: 'POST', body: '40' });
    await httpGet(b.url + polling(sid));
    const kept = new Kept(b.port);
    kept.get(polling(sid));
    await sleep(150);
    c.child.kill('SIGKILL');
    await c.exited;
    same((await kept.answer(2000)).status, 503, 'the held poll');
    const again = new Kept(b.port);
    again.post(polling(sid), '41');
    const answer = await again.answer();
    same([answer.status, answer.body], [400, '{"code":1,"message":"Session ID unknown"}'], 'afterwards');
    again.post(polling(await openSession(a.url)), '40');   // a proxy keeps the connection for other clients
    same((await again.answer()).body, 'ok', 'the next request on the same connection');
    again.socket.destroy();
    await c.stop();
  });

  await checks.step('hop: an owner that takes no connection is given up after two seconds', async () => {
    // 192.0.2.0/24 is for documents: either nothing answers, or there is no route to it.
    writeFileSync(join(directory, 'DOWN'), '192.0.2.1:9\n');
    const began = Date.now();
    const answer = await httpGet(b.url + polling('DOWNAAAAAAAAAAAAAAAA'));
    truth([400, 503].includes(answer.status), `status ${answer.status}`);
    truth(Date.now() - began < 3000, 'it took longer');
    rmSync(join(directory, 'DOWN'));
  });

  await stopAll(checks, 'hop', [a, b], directory);
  await namespaceSteps(checks, secret);
}

/** Clients whose handshake goes to one gateway and everything else to the other. */
async function runSplit({ first, then, transports, clients, messages }) {
  const [firstPort, thenPort] = [first, then].map((url) => Number(new URL(url).port));
  const hosts = [first, then].map((url) => new URL(url).hostname);
  // A balancer that deals connections out: one with a session id goes to the other gateway.
  const open = new Set();
  const balancer = net.createServer((client) => {
    open.add(client);
    client.once('data', (part) => {
      const at = part.includes('sid=') ? 1 : 0;
      const server = net.connect([firstPort, thenPort][at], hosts[at]);
      open.add(server);
      server.on('error', () => client.destroy()).on('close', () => client.destroy());
      client.on('error', () => server.destroy()).on('close', () => server.destroy());
      server.write(part);
      client.pipe(server).pipe(client);
    });
    client.on('error', () => {});
  });
  await new Promise((done) => balancer.listen(0, '127.0.0.1', done));
  const url = `http://127.0.0.1:${balancer.address().port}`;
  const result = await runClients({ url, clients, messages, transports, seconds: 12, processes: 1 });
  for (const socket of open) socket.destroy();
  balancer.close();
  return result;
}

/** Two network namespaces, joined by a pair of links, a gateway in each. */
async function namespaceSteps(checks, secret) {
  const name = (i) => `sio${process.pid}${i}`;
  const run = (line) => {
    const [command, ...args] = line.split(' ');
    const done = spawnSync(command, args);
    return done.status === 0 ? '' : `${line}: ${String(done.stderr ?? done.error).trim()}`;
  };
  const clean = () => { for (const i of [1, 2]) spawnSync('ip', ['netns', 'del', name(i)]); };
  const trouble = [
    `ip netns add ${name(1)}`, `ip netns add ${name(2)}`,
    `ip link add v${name(1)} netns ${name(1)} type veth peer name v${name(2)} netns ${name(2)}`,
    ...[1, 2].flatMap((i) => [
      `ip -n ${name(i)} addr add 10.87.1.${i}/24 dev v${name(i)}`,
      `ip -n ${name(i)} link set v${name(i)} up`, `ip -n ${name(i)} link set lo up`]),
  ].map(run).find((text) => text !== '');
  if (trouble) {
    clean();
    console.log(`skip  forward: network namespaces are not permitted (${trouble})`);
    return;
  }
  const directory = mkdtempSync(join(tmpdir(), 'sio-nodes-'));
  const gateways = [];
  try {
    for (const i of [1, 2]) {
      gateways.push(await startHopGateway({
        directory, secret, port: 8000, host: `0.0.0.0`, listen: `10.87.1.${i}:9000`, inside: ['ip', 'netns', 'exec', name(i)] }));
    }
    // The clients and their balancer stand in the first namespace.
    const inside = (settings) => new Promise((done) => {
      const child = spawn('ip', ['netns', 'exec', name(1), process.execPath, self, '--split', JSON.stringify(settings)],
        { stdio: ['ignore', 'pipe', 'inherit'] });
      let text = '';
      child.stdout.on('data', (part) => { text += part; });
      child.on('close', () => done(JSON.parse(text || '{"bad":["it said nothing"]}')));
    });
    for (const transports of [['polling', 'websocket'], ['polling']]) {
      await checks.step(`two network namespaces: 40 clients that use ${transports.join(' and ')} cross the hop, no 400`, async () => {
        const before = (await metricsOf(gateways[0])).hopsOut;
        const result = await inside({ first: 'http://10.87.1.2:8000', then: 'http://127.0.0.1:8000', transports, clients: 40, messages: 10 });
        same([result.bad, result.acked], [[], 400], 'troubles, acknowledged');
        const crossed = (await metricsOf(gateways[0])).hopsOut - before;
        truth(crossed >= 40, `only ${crossed} hops`);
      }, { timeout: 30000 });
    }
    await checks.step('two network namespaces: a link that fails is noticed, and the client is told', async () => {
      const result = await new Promise((done) => {
        const child = spawn('ip', ['netns', 'exec', name(1), process.execPath, self, '--cut',
          JSON.stringify({ owner: 'http://10.87.1.2:8000', other: 'http://127.0.0.1:8000', cut: ['ip', '-n', name(2), 'link', 'set', `v${name(2)}`, 'down'] })],
        { stdio: ['ignore', 'pipe', 'inherit'] });
        let text = '';
        child.stdout.on('data', (part) => { text += part; });
        child.on('close', () => done(JSON.parse(text || '{"status":"it said nothing"}')));
      });
      same(result.status, 503, 'status');
      truth(result.took < 3500, `it took ${result.took} ms`);
    }, { timeout: 15000 });
  } finally {
    await stopAll(checks, 'two network namespaces', gateways, directory);
    clean();
  }
}

/** Runs within a namespace: a request for the other host's session while the link to it is down. */
async function cutProcess({ owner, other, cut }) {
  const sid = await openSession(owner);
  spawnSync(cut[0], cut.slice(1));
  const began = Date.now();
  const answer = await httpGet(other + polling(sid), { timeout: 10000 });
  console.log(JSON.stringify({ status: answer.status, took: Date.now() - began }));
}

if (process.argv[2] === '--clients') {
  await clientProcess(JSON.parse(process.argv[3]));
} else if (process.argv[2] === '--split') {
  console.log(JSON.stringify(await runSplit(JSON.parse(process.argv[3]))));
  process.exit(0);
} else if (process.argv[2] === '--cut') {
  await cutProcess(JSON.parse(process.argv[3]));
} else {
  await main();
}
