// sioctl as a user types it: against a fake gateway for what a real one says only when something is wrong, and against
// the gateway with real clients. `connect` runs against the server of the command line (--reference: Node's).

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { io } from 'socket.io-client';
import { Checks, onReference, runCommand, same, sioctlBinary, startServer, truth, until, within } from './lib/harness.mjs';
import { FakeGateway } from '../support/fake_gateway.mjs';

const checks = new Checks('sioctl');
const folder = mkdtempSync(join(tmpdir(), 'sio-cli-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Runs sioctl to its end. `words`: what the user types after it. */
const sioctl = (words, { input = '', env = {}, timeout } = {}) => runCommand(sioctlBinary, words, input, {
  env: { ...process.env, SIO_CONTROL: join(folder, 'nobody.sock'), ...env }, anyExit: true, timeout,
});

/** Runs it and demands an exit code, no signal, and one complaint line for codes of 64 and above. */
async function exits(code, words, options) {
  const result = await sioctl(words, options);
  same([result.signal, result.code], [null, code], `exit of sioctl ${words.join(' ')} (${result.err.trim()})`);
  if (code >= 64) truth(/^sioctl: .+\n/.test(result.err), `a complaint, not ${JSON.stringify(result.err)}`);
  return result;
}

const lines = (text) => text.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line));

const started = new Set();
process.on('exit', () => { for (const child of started) child.kill('SIGKILL'); });

/** A running sioctl: its lines so far, its end. */
function start(words, { env = {}, stdin = 'pipe' } = {}) {
  const child = spawn(sioctlBinary, words, {
    env: { ...process.env, SIO_CONTROL: join(folder, 'nobody.sock'), ...env }, stdio: [stdin, 'pipe', 'pipe'],
  });
  const running = { child, out: '', err: '' };
  child.stdout.on('data', (text) => { running.out += text; });
  child.stderr.on('data', (text) => { running.err += text; });
  running.end = new Promise((done) => child.on('close', (code, signal) => done({ code, signal })));
  started.add(child);
  running.end.then(() => started.delete(child));
  return running;
}

/** A step with a fake gateway of its own, asked through `--control`. */
const withFake = (name, options, body) => checks.step(name, async () => {
  const fake = await new FakeGateway(options).start();
  try {
    await body((code, words, more) => exits(code, ['--control', fake.path, ...words], more), fake);
  } finally {
    await fake.stop();
  }
});

const reachesOne = { emit: { reached: 1, nodes: [{ node: 'a#1', ok: true }] } };

async function commandLine() {
  await checks.step('64: what is wrong with the command line is said in one line', async () => {
    for (const words of [[], ['emitt'], ['emit'], ['emit', 'x', '--nope'], ['routes'], ['routes', 'x'], ['join', 'r'],
      ['join', 'r', '--to', ''], ['leave', 'r', '--to', 'a', '--all'], ['disconnect'], ['completion', 'csh'],
      ['rooms', '-o', 'xml'], ['rooms', '--nsp', 'chat'], ['rooms', '--timeout', 'soon'], ['emit', 'x', '--require', '0'],
      ['listen', '--count', '-1'], ['handle', 'x'], ['handle', 'x', '--parallel', '0', '--', 'cat'], ['connect'],
      ['connect', 'https://example.org'], ['connect', 'ftp://example.org'], ['connect', 'http://localhost:99999'],
      ['connect', 'http://localhost', '--header', 'nonsense'], ['stat', '--count', '2'], ['log', 'loud'],
      ['emit', 'x', '1', '--stdin'], ['emit', 'x', '--event-per-line']]) {
      const { err } = await exits(64, words);
      same(err.trim().split('\n').length, 1, `lines of complaint about ${words.join(' ')}`);
    }
  });
  await checks.step('https is refused with a way out', async () => {
    truth((await exits(64, ['connect', 'https://example.org'])).err.includes('tunnel'), 'no remedy');
  });
  await checks.step('65: an argument that is not JSON is refused with the remedy', async () => {
    const { err, out } = await exits(65, ['emit', 'x', '1', 'hello']);
    truth(err.includes('argument 2 is not JSON: hello') && err.includes('\'"hello"\'') && err.includes('--string'), err);
    same(out, '');
  });
  await checks.step('--help shows examples, --version a version, both on standard output', async () => {
    const { out } = await exits(0, ['emit', '--help']);
    truth(out.includes('Examples:') && out.includes('--require'), out);
    truth(/^sioctl \d+\.\d+\.\d+\n$/.test((await exits(0, ['--version'])).out), 'version');
    truth((await exits(0, ['--help'])).out.includes('completion'), 'commands');
  });
}

async function unreachable() {
  await checks.step('69: no socket: the reason and the remedy', async () => {
    const path = join(folder, 'nobody.sock');
    const { err } = await exits(69, ['rooms']);
    same(err, `sioctl: cannot reach the gateway at ${path}: no such file; is sio-gateway running? (--control PATH)\n`);
  });
  await checks.step('69: a socket that nobody listens on', async () => {
    const path = join(folder, 'dead.sock');
    const child = spawn(process.execPath, ['-e', `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`]);
    await new Promise((done) => child.on('exit', done));
    truth((await exits(69, ['--control', path, 'rooms'])).err.includes('nobody listens there'), 'reason');
  });
  await checks.step('--control comes before SIO_CONTROL', async () => {
    const { err } = await exits(69, ['rooms', '--control', '/nowhere/b.sock'], { env: { SIO_CONTROL: '/nowhere/a.sock' } });
    truth(err.includes('/nowhere/b.sock'), err);
  });
  await withFake('75: a daemon that says nothing', { greeting: null }, async (exit) => {
    await exit(75, ['rooms', '--timeout', '100ms']);
  });
  await withFake('75: a daemon that does not answer', { answers: { rooms: undefined } }, async (exit) => {
    await exit(75, ['rooms', '--timeout', '100ms']);
  });
  await withFake('75: wait gives up', { greeting: null }, async (exit) => exit(75, ['wait', '--timeout', '200ms']));
  await withFake('69: a daemon that goes away before it answers', {
    answers: { rooms: (_, connection) => { connection.end(); } },
  }, async (exit) => exit(69, ['rooms']));
  await withFake('70: another major version', { greeting: { major: 2 } }, async (exit) => {
    truth((await exit(70, ['rooms'])).err.includes('protocol 2'), 'the version is named');
  });
  await withFake('70: no daemon of ours', { greeting: '220 mail.example.org ESMTP\r\n' }, async (exit) => exit(70, ['rooms']));
  await withFake('70: an answer that is none', {
    answers: { rooms: (_, connection) => { connection.raw('{"id":1,"fine":true}\n'); } },
  }, async (exit) => exit(70, ['rooms']));
  await withFake('70: a command the daemon does not know', {}, async (exit) => {
    truth((await exit(70, ['rooms'])).err.includes('older'), 'the reason');
  });
  await withFake('70: a line of more than 8 MiB', {
    answers: { rooms: (_, connection) => { connection.raw('x'.repeat(9 << 20)); } },
  }, async (exit) => exit(70, ['rooms']));
  await withFake('another minor version and unknown members are fine', {
    greeting: { minor: 7, colour: 'red' }, answers: { rooms: { rooms: [], new_thing: [{ a: 1 }] } },
  }, async (exit) => exit(0, ['rooms']));
  const refusals = { malformed: 65, too_large: 65, not_found: 1, denied: 77, unavailable: 69, timeout: 75, busy: 75 };
  for (const [code, number] of Object.entries(refusals)) {
    await withFake(`${number}: a refusal "${code}"`, {
      answers: { emit: { error: { code, message: `because of ${code}` } } },
    }, async (exit) => truth((await exit(number, ['emit', 'x'])).err.includes(`because of ${code}`), 'the reason'));
  }
  for (const code of ['malformed', 'config']) {
    await withFake(`78: routes that cannot be reloaded (${code})`, {
      answers: { reload: { error: { code, message: 'routes.json:3: /namespaces: unknown member' } } },
    }, async (exit) => truth((await exit(78, ['routes', 'reload'])).err.includes('routes.json:3'), 'the place'));
  }
  await withFake('68: a node that did not answer is named', {
    answers: { rooms: { rooms: [{ nsp: '/', room: 'r', sockets: 2 }], nodes: [{ node: 'a#1', ok: true }, { node: 'b#2', ok: false }] } },
  }, async (exit) => {
    const { out, err } = await exit(68, ['rooms']);
    same(lines(out), [{ nsp: '/', room: 'r', sockets: 2 }]);
    same(err, 'sioctl: no answer from node b#2\n');
  });
}

async function emitting() {
  await withFake('emit sends just what was typed', { answers: reachesOne }, async (exit, fake) => {
    const { out, err } = await exit(0, ['emit', 'notification', '{"message": "hello"}', '[1,2]', '-5', '"x"', '1e400', '--to',
      'alice', '--to', 'r', '--user', 'u', '--socket', 's', '--except', 'e', '--nsp', '/chat', '--volatile']);
    same([out, err], ['{"reached":1}\n', '']);
    const { id, ...request } = fake.requests[0];
    same(id, 1);
    same(request, { cmd: 'emit', nsp: '/chat', to: ['alice', 'r'], users: ['u'], sockets: ['s'], except: ['e'],
      event: 'notification', args: [{ message: 'hello' }, [1, 2], -5, 'x', Infinity], volatile: true });
  });
  await withFake('--string takes arguments as they are; -- ends the options', { answers: reachesOne }, async (exit, fake) => {
    await exit(0, ['emit', '--string', 'status', 'ready', '[1,2]', '', '--', '--not-an-option', '-']);
    same([fake.requests[0].event, fake.requests[0].args], ['status', ['ready', '[1,2]', '', '--not-an-option', '-']]);
    await exit(0, ['emit', '--', 'rooms']);
    same(fake.requests[1].event, 'rooms');
  });
  await withFake('nobody reached is no error unless some are required', { answers: { emit: { reached: 0 } } }, async (exit) => {
    same((await exit(0, ['emit', 'x', '-o', 'table'])).out, 'reached 0\n');
    await exit(1, ['emit', 'x', '--require', '1']);
    same(await exit(1, ['emit', 'x', '--require', '1', '--quiet']).then(({ out, err }) => [out, err]), ['', '']);
  });
  await withFake('--ack prints the answers, one a line; a silent socket is exit 1', {
    answers: {
      emit: ({ event }) => ({ reached: 2, answers: [{ sid: 'a', args: [1, { b: 2 }] }, ...(event === 'q' ? [{ sid: 'b', args: [] }] : [])],
        silent: event === 'q' ? 0 : 1 }),
    },
  }, async (exit, fake) => {
    const { out, err } = await exit(0, ['emit', 'q', '--ack', '--timeout', '250ms']);
    same(lines(out), [{ sid: 'a', args: [1, { b: 2 }] }, { sid: 'b', args: [] }]);
    same(err, 'sioctl: reached 2, 2 answered\n');
    same([fake.requests[0].ack, fake.requests[0].timeout_ms], [true, 250]);
    truth((await exit(1, ['emit', 'other', '--ack'])).err.includes('1 did not answer in time'), 'said');
    same((await exit(0, ['emit', 'q', '--ack', '-o', 'table', '-q'])).out, 'a 1 {"b":2}\nb\n');
  });
  await withFake('--ack with nobody there is exit 1', { answers: { emit: { reached: 0, answers: [], silent: 0 } } },
    async (exit) => exit(1, ['emit', 'q', '--ack']));
  await withFake('-o json prints the whole answer', { answers: reachesOne }, async (exit) => {
    same(JSON.parse((await exit(0, ['emit', 'x', '-o', 'json'])).out), { reached: 1, nodes: [{ node: 'a#1', ok: true }] });
  });
  await withFake('--stdin: one array of arguments a line; other JSON is the only argument', { answers: reachesOne }, async (exit, fake) => {
    const { out } = await exit(0, ['emit', 'item', '--stdin', '--to', 'shop'], { input: '[1,"a"]\n\n{"b":2}\r\n"text"\n[]' });
    same(lines(out), [{ events: 4, reached: 4 }]);
    same(fake.requests.map(({ event, args }) => [event, args]),
      [['item', [1, 'a']], ['item', [{ b: 2 }]], ['item', ['text']], ['item', []]]);
    truth(fake.requests.every(({ to }) => to[0] === 'shop'), 'selection');
    await exit(0, ['emit', 'item', '-'], { input: '[3]\n' });
    same(fake.requests.at(-1).args, [3]);
  });
  await withFake('each line may name its event and whom it is for', { answers: reachesOne }, async (exit, fake) => {
    await exit(0, ['emit', '--stdin', '--to', 'all'], {
      input: '["tick",1]\n{"event":"tock","args":[2],"to":"alice"}\n{"event":"x","users":["u"],"nsp":"/c","volatile":true}\n',
    });
    same(fake.requests.map(({ id, cmd, ...rest }) => rest), [{ to: ['all'], event: 'tick', args: [1] },
      { to: ['alice'], event: 'tock', args: [2] }, { nsp: '/c', users: ['u'], event: 'x', args: [], volatile: true }]);
    await exit(0, ['emit', '-', '--event-per-line'], { input: '["last"]\n' });
    same(fake.requests.at(-1).event, 'last');
  });
  await withFake('20,000 lines are pipelined, in order', {
    answers: { emit: ({ args }) => ({ reached: args[0] % 2 }) },
  }, async (exit, fake) => {
    const input = Array.from({ length: 20000 }, (_, i) => `["n",${i}]`).join('\n');
    same(lines((await exit(0, ['emit', '--stdin'], { input })).out), [{ events: 20000, reached: 10000 }]);
    truth(fake.requests.every(({ args }, i) => args[0] === i), 'order');
  });
  await withFake('65: a wrong line is named, those before it were sent', { answers: reachesOne }, async (exit, fake) => {
    for (const [bad, why] of [['{oops', 'not JSON'], ['7', 'neither'], ['[1]', 'event'], ['{"args":[]}', 'no event'],
      ['{"event":"x","tp":"a"}', 'unknown member tp'], ['{"event":"x","to":7}', 'to']]) {
      fake.requests.length = 0;
      const { err } = await exit(65, ['emit', '--stdin'], { input: `["a"]\n${bad}\n["b"]\n` });
      truth(err.includes('line 2: ') && err.includes(why), err);
      same(fake.requests.map(({ event }) => event), ['a'], bad);
    }
  });
  await withFake('a refusal in a batch names its line', {
    answers: { emit: ({ event }) => event === 'connect' ? { error: { code: 'malformed', message: 'reserved' } } : { reached: 1 } },
  }, async (exit) => truth((await exit(65, ['emit', '--stdin'], { input: '["a"]\n["connect"]\n' })).err.includes('line 2: reserved'), 'line'));
}

async function asking() {
  const rooms = [{ nsp: '/', room: 'course_7', sockets: 12 }, { nsp: '/chat', room: 'ä\u001b[31m', sockets: 1 }];
  await withFake('rooms: lines, a document, or columns that no name can break', { answers: { rooms: { rooms } } }, async (exit, fake) => {
    same(lines((await exit(0, ['rooms'])).out), rooms);
    same(JSON.parse((await exit(0, ['rooms', '-o', 'json', '--nsp', '/', '--all'])).out), { rooms });
    same(fake.requests.map(({ nsp, all }) => [nsp, all]), [[undefined, undefined], ['/', true]]);
    same((await exit(0, ['rooms', '-o', 'table'])).out,
      'NAMESPACE  ROOM      SOCKETS\n/          course_7  12\n/chat      ä?[31m    1\n');
  });
  const sockets = [{ sid: 'abc', nsp: '/', user: null, transport: 'websocket', address: '127.0.0.1', rooms: ['abc', 'r', 's'],
    connected_ms: Date.now() - 4100, recovered: true }];
  await withFake('sockets: by name, as lines or columns', { answers: { sockets: { sockets } } }, async (exit, fake) => {
    same(lines((await exit(0, ['sockets', 'alice', '--except', 'bob'])).out), sockets);
    same([fake.requests[0].to, fake.requests[0].except], [['alice'], ['bob']]);
    same((await exit(0, ['sockets', '-o', 'table'])).out.split('\n')[1].split(/ {2,}/),
      ['abc', '/', '-', 'websocket', '127.0.0.1', '4 s, recovered', 'r s']);
  });
  const reached = { join: { reached: 2 }, leave: { reached: 1 }, disconnect: { reached: 0 } };
  await withFake('join, leave, disconnect: whom, what, and how many', { answers: reached }, async (exit, fake) => {
    same((await exit(0, ['join', 'r', 's', '--user', 'alice'])).out, '{"reached":2}\n');
    same((await exit(0, ['leave', 'r', '--all', '-o', 'table'])).out, 'reached 1\n');
    await exit(1, ['disconnect', 'bob', '--how', 'transport']);
    same(fake.requests.map(({ id, ...rest }) => rest), [{ cmd: 'join', rooms: ['r', 's'], users: ['alice'] },
      { cmd: 'leave', rooms: ['r'] }, { cmd: 'disconnect', how: 'transport', to: ['bob'] }]);
  });
  const health = { status: 'ok', version: '0.1.0', uptime_s: 300, connections: 3, sockets: 4, checks: { redis: { ok: true } } };
  await withFake('health: 0 when all is well, 1 when a check fails or it drains', {
    answers: { health: () => health },
  }, async (exit) => {
    same(lines((await exit(0, ['health'])).out), [health]);
    const table = (await exit(0, ['health', '-o', 'table'])).out;
    truth(/^HEALTH +ok$/m.test(table) && /^uptime +5 min$/m.test(table) && /^check redis +ok$/m.test(table), table);
    await exit(0, ['wait', '--ready', '--timeout', '1s']);
    health.checks.redis = { ok: false, detail: 'refused' };
    truth(/^check redis +failing +refused$/m.test((await exit(1, ['health', '-o', 'table'])).out), 'check');
    await exit(0, ['wait', '--timeout', '1s']);
    await exit(75, ['wait', '--ready', '--timeout', '200ms']);
    health.checks = {};
    health.status = 'draining';
    await exit(1, ['health']);
  });
  await checks.step('wait comes back once the gateway is there', async () => {
    const fake = new FakeGateway({ answers: { health: { status: 'ok', checks: {} } } });
    const waiting = start(['wait', '--ready', '--timeout', '5s', '--control', fake.path]);
    setTimeout(() => fake.start(), 150);
    same(await waiting.end, { code: 0, signal: null });
    await fake.stop();
  });
  await withFake('stat: once, or again and again', { answers: { stat: { stat: { rooms: 3, memory: { rss: 1 } } } } }, async (exit) => {
    same(lines((await exit(0, ['stat'])).out), [{ rooms: 3, memory: { rss: 1 } }]);
    same(lines((await exit(0, ['stat', '--watch', '20ms', '--count', '3'])).out).length, 3);
    truth(/^memory\.rss +1$/m.test((await exit(0, ['stat', '-o', 'table'])).out), 'table');
  });
  await withFake('routes show and reload, log', {
    answers: { routes: { routes: { file: '/etc/sio/routes.json', namespaces: 2 } }, reload: {}, log: {} },
  }, async (exit, fake) => {
    same(lines((await exit(0, ['routes', 'show'])).out), [{ file: '/etc/sio/routes.json', namespaces: 2 }]);
    same((await exit(0, ['routes', 'reload'])).out, '');
    await exit(0, ['log', 'debug']);
    same(fake.requests.at(-1).level, 'debug');
  });
}

const event = (n) => ({ time_ms: 1, nsp: '/', sid: 's', user: 'alice', event: 'say', args: [n, '\u2028'], ack: false });

async function listening() {
  await withFake('listen prints each event as it comes and ends after --count', {
    answers: { listen: ({ id }, c) => { c.send({ id, ok: true }); c.send({ id, event: event(1) }); c.send({ id, lost: 17 }); c.send({ id, event: event(2) }); } },
  }, async (exit, fake) => {
    const { out, err } = await exit(0, ['listen', 'say', 'tell', '--lifecycle', '--count', '2', '--nsp', '/']);
    same(lines(out), [event(1), event(2)]);
    truth(err.includes('17 events were lost'), err);
    const { id, ...request } = fake.requests[0];
    same(request, { cmd: 'listen', nsp: '/', events: ['say', 'tell'], lifecycle: true });
    same((await exit(0, ['listen', '--count', '1', '-o', 'table'])).out, 'alice  say 1 "\u2028"\n');
  });
  await withFake('listen --for ends in time; with too few events that is 75', { answers: { listen: {} } }, async (exit) => {
    await exit(0, ['listen', '--for', '100ms']);
    await exit(75, ['listen', '--for', '100ms', '--count', '1']);
  });
  for (const signal of ['SIGINT', 'SIGTERM']) {
    await withFake(`listen ends well on ${signal}, having flushed each line`, {
      answers: { listen: ({ id }, c) => { c.send({ id, ok: true }); c.send({ id, event: event(1) }); } },
    }, async (_, fake) => {
      const listener = start(['listen', '--control', fake.path]);
      await until(3000, () => listener.out.includes('\n'), 'a line');
      listener.child.kill(signal);
      same(await listener.end, { code: 0, signal: null });
    });
  }
  await withFake('listen ends well when its reader goes, even while nothing comes', {
    answers: { listen: ({ id }, c) => { c.send({ id, ok: true }); c.send({ id, event: event(1) }); } },
  }, async (_, fake) => {
    const script = `"${sioctlBinary}" listen --control "${fake.path}" | head -n 1; echo "\${PIPESTATUS[0]}"`;
    const out = await runCommand('bash', ['-c', script]);
    same(out.trim().split('\n')[1], '0');
  });
  await withFake('69: listen tells that the gateway has gone', {
    answers: { listen: ({ id }, c) => { c.send({ id, ok: true }); setTimeout(c.end, 50); } },
  }, async (exit) => exit(69, ['listen']));
}

/** Answers of a handler to calls that a fake gateway makes: [args or error, …] by call. */
async function handled(command, calls, options = []) {
  const answers = new Map();
  const fake = await new FakeGateway({
    answers: {
      handle: ({ id }, c) => {
        c.send({ id, ok: true });
        calls.forEach((call, i) => c.send({ id, call: i, nsp: '/', sid: 's1', user: 'alice', event: 'ask', args: [], ack: true, ...call }));
      },
      answer: (request) => { answers.set(request.call, request.args ?? request.error); },
    },
  }).start();
  const handler = start(['handle', 'ask', '--control', fake.path, '--count', String(calls.length), ...options, '--', ...command]);
  const end = await within(8000, handler.end, 'handler');
  await until(2000, () => answers.size === calls.length, 'answers').catch(() => {});
  await fake.stop();
  same(end, { code: 0, signal: null }, `end (${handler.err})`);
  return { answers: calls.map((_, i) => answers.get(i)), err: handler.err, requests: fake.requests };
}

async function handling() {
  await checks.step('handle: arguments in, an array out', async () => {
    const { answers, requests } = await handled(['cat'], [{ args: [1, { b: ['x'] }] }, { args: [] }]);
    same(answers, [[1, { b: ['x'] }], []]);
    same([requests[0].event, requests[0].nsp], ['ask', undefined]);
  });
  await checks.step('handle: another value is the only argument, text is text, nothing is no argument', async () => {
    const script = 'read -r args; case $args in "[1]") echo "{\\"a\\":1}";; "[2]") printf "two\\nlines\\n";; "[3]") ;; "[4]") printf "[\\n1\\n]\\n";; esac';
    same((await handled(['sh', '-c', script], [1, 2, 3, 4].map((n) => ({ args: [n] })))).answers, [[{ a: 1 }], ['two\nlines'], [], [1]]);
  });
  await checks.step('handle: who asked is in the environment, and nothing is expanded', async () => {
    const [[text]] = (await handled(['sh', '-c', 'echo "$SIO_EVENT $SIO_SID $SIO_USER $SIO_NSP"'], [{ user: '$(id)', nsp: '/n' }])).answers;
    same(text, 'ask s1 $(id) /n');
    same((await handled(['sh', '-c', 'echo "[$SIO_USER]"'], [{ user: null }])).answers, [[]]);
  });
  await checks.step('handle: a failing, killed, missing or endless command is an error answer', async () => {
    same((await handled(['sh', '-c', 'echo no; exit 3'], [{}])).answers, ['exit status 3']);
    same((await handled(['sh', '-c', 'kill -9 $$'], [{}])).answers, ['killed by signal 9']);
    const missing = await handled(['./no-such-command'], [{}]);
    same(missing.answers, ['the command cannot be run']);
    truth(missing.err.includes('No such file'), missing.err);
    same((await handled(['sleep', '60'], [{}], ['--timeout', '100ms'])).answers, ['the command took too long']);
    same((await handled(['yes'], [{}])).answers, ['its output is longer than 8 MiB']);
    same((await handled(['printf', '\\377'], [{}])).answers, ['its output is not UTF-8']);
  });
  await checks.step('handle: a command that does not read its input is fine', async () => {
    same((await handled(['true'], [{ args: ['x'.repeat(1 << 20)] }])).answers, [[]]);
  });
  await checks.step('handle: --parallel runs as many at once', async () => {
    const began = Date.now();
    same((await handled(['sh', '-c', 'sleep 0.3; cat'], [1, 2, 3, 4].map((n) => ({ args: [n] })), ['--parallel', '4'])).answers, [[1], [2], [3], [4]]);
    truth(Date.now() - began < 1100, `took ${Date.now() - began} ms`);
  });
  await withFake('handle: SIGTERM lets the running command end', {
    answers: { handle: ({ id }, c) => { c.send({ id, ok: true }); c.send({ id, call: 9, event: 'e', args: [5] }); }, answer: undefined },
  }, async (_, fake) => {
    const mark = join(folder, 'began');
    const handler = start(['handle', 'e', '--control', fake.path, '--', 'sh', '-c', `touch ${mark}; sleep 0.3; cat`]);
    await until(3000, () => { try { readFileSync(mark); return true; } catch { return false; } }, 'the command');
    handler.child.kill('SIGTERM');
    same(await handler.end, { code: 0, signal: null });
    await until(1000, () => fake.requests.some(({ cmd, args }) => cmd === 'answer' && args?.[0] === 5), 'the answer');
  });
  await withFake('77: a handler that is refused', { answers: { handle: { error: { code: 'denied', message: 'no' } } } },
    async (exit) => exit(77, ['handle', 'e', '--', 'cat']));
}

async function connecting(server) {
  const connect = (code, words, options) => exits(code, ['connect', server.url, ...words], options);
  const auth = ['--auth', '{"token":"t-1"}'];
  await checks.step('connect: an event and its acknowledgement', async () => {
    const { out, err } = await connect(0, [...auth, '--emit', 'echo', '1', '[2]', '"ü"', '--ack', '--timeout', '3s']);
    const [{ time_ms: time, sid, ...answer }] = lines(out);
    same(answer, { nsp: '/', answer: 0, event: 'echo', args: [1, [2], 'ü'] });
    truth(time > 1e12 && sid.length === 20 && err === '', err);
  });
  await checks.step('connect: the auth object and the namespace arrive', async () => {
    const [{ args: [who] }] = lines((await connect(0, [...auth, '--nsp', '/custom', '--emit', 'whoami', '--ack'])).out);
    same([who.auth, who.namespace, who.transport], [{ token: 't-1' }, '/custom', 'websocket']);
    const [{ args: [other] }] = lines((await exits(0, ['connect', `${server.url.replace('http', 'ws')}/custom`, ...auth, '--emit', 'whoami', '--ack'])).out);
    same(other.namespace, '/custom');
  });
  await checks.step('connect: several events, and --wait for the last answer', async () => {
    const { out } = await connect(0, [...auth, '--emit', 'echo-event', '1', '--emit', 'echo-event', '2', '--wait', 'echo-event', '--count', '2']);
    same(lines(out).map(({ event: name, args }) => [name, args[0]]), [['echo-event', 1], ['echo-event', 2]]);
  });
  await checks.step('connect: commands from standard input', async () => {
    const { out } = await connect(0, [...auth, '--wait', 'echo-event', '--count', '2'], { input: 'echo-event 1 {"a": 2}\n\n"echo-event" "last"' });
    same(lines(out).map(({ args }) => args.slice(0, 2)).map(([a]) => a), [1, 'last']);
    same(lines((await connect(0, [...auth, '--ack'], { input: 'echo 5\n' })).out)[0].args, [5]);
    truth((await connect(65, auth, { input: 'echo 12x\n' })).err.includes('line 1: '), 'line');
  });
  await checks.step('connect: answers what the server asks', async () => {
    const { out } = await connect(0, [...auth, '--emit', 'ask-me', '7', '--answer', '["yes",{"n":1}]', '--wait', 'answered', '--timeout', '3s']);
    const [question, answered] = lines(out);
    same([question.event, question.ack, question.args], ['question', true, [7]]);
    same(answered.args.slice(0, 2), ['yes', { n: 1 }]);
  });
  await checks.step('connect: lives through heartbeats, and prints its coming and going', async () => {
    const { out } = await connect(0, [...auth, '--lifecycle', '--for', '2500ms']);
    same(lines(out).map(({ event: name, lifecycle }) => [name, lifecycle]), [['connect', true]]);
  });
  await checks.step('connect: people read it as they would type it', async () => {
    same((await connect(0, [...auth, '-o', 'table', '--emit', 'echo', '1', '"a b"', '--ack'])).out, 'answer to echo 1 "a b"\n');
  });
  await checks.step('77: a namespace that refuses, with message and data', async () => {
    truth((await connect(77, ['--nsp', '/forbidden', '--emit', 'x'])).err.includes('nope {"code":42}'), 'reason');
    truth((await connect(77, ['--nsp', '/unheard-of', '--emit', 'x'])).err.includes('Invalid namespace'), 'reason');
  });
  await checks.step('75: an event or an acknowledgement that does not come', async () => {
    truth((await connect(75, [...auth, '--wait', 'never', '--timeout', '200ms'])).err.includes('no event never'), 'event');
    truth((await connect(75, [...auth, '--emit', 'unheard', '--ack', '--timeout', '200ms'])).err.includes('unheard'), 'ack');
  });
  await checks.step('1: the server disconnects; 77: a reserved event; 65: auth that is none', async () => {
    await connect(1, [...auth, '--emit', 'kick', '--wait', 'never', '--timeout', '3s']);
    await connect(77, [...auth, '--emit', 'disconnect']);
    await connect(65, ['--auth', '[]']);
    await connect(65, ['--auth', '{']);
  });
  await checks.step('69: nobody there; 70: no Socket.IO server; 75: a server that is silent', async () => {
    await exits(69, ['connect', 'http://127.0.0.1:1', '--emit', 'x']);
    await connect(70, ['--path', '/elsewhere/', '--emit', 'x', '--timeout', '1s']).catch(async () => connect(69, ['--path', '/elsewhere/', '--emit', 'x', '--timeout', '3s']));
    const mute = net.createServer(() => {});
    await new Promise((done) => mute.listen(0, '127.0.0.1', done));
    await exits(75, ['connect', `http://127.0.0.1:${mute.address().port}`, '--emit', 'x', '--timeout', '200ms']);
    const mail = net.createServer((socket) => socket.end('220 mail\r\n\r\n'));
    await new Promise((done) => mail.listen(0, '127.0.0.1', done));
    await exits(70, ['connect', `http://127.0.0.1:${mail.address().port}`, '--emit', 'x']);
    mute.close();
    mail.close();
  });
  await checks.step('connect ends well on SIGINT', async () => {
    const client = start(['connect', server.url, ...auth, '--lifecycle']);
    await until(3000, () => client.out.includes('\n'), 'connect');
    client.child.kill('SIGINT');
    same(await client.end, { code: 0, signal: null });
  });
}

async function routesFile() {
  const good = join(folder, 'good.json');
  const bad = join(folder, 'bad.json');
  writeFileSync(good, '{"version":1,"namespaces":{"/":{"events":{"echo":[{"ack":"{event.args}"}]}}}}');
  writeFileSync(bad, '{"version": 1,\n  "namespaces": {\n    "/": { "events": { "x": [ { "fly": true } ] } }\n  }\n}\n');
  await checks.step('78: a routes file that is wrong or absent, with the place, a line each', async () => {
    const { err } = await exits(78, ['routes', 'check', bad]);
    truth(err.includes(`${bad}:3: /namespaces/~1/events/x`), err);
    truth((await exits(78, ['routes', 'check', join(folder, 'absent.json')])).err.includes('No such file'), 'reason');
    await exits(78, ['routes', 'explain', bad, 'x']);
    writeFileSync(bad, '');
    await exits(78, ['routes', 'check', bad]);
  });
  await checks.step('routes check and explain', async () => {
    same((await exits(0, ['routes', 'check', good, '-o', 'table'])).out, `${good}: 1 namespaces, 1 events, 0 topics, no mistakes\n`);
    same(lines((await exits(0, ['routes', 'explain', good, 'echo', '1', '--user', 'alice'])).out)[0].verb, 'ack');
    await exits(1, ['routes', 'explain', good, 'unheard-of']);
    await exits(65, ['routes', 'explain', good, 'echo', 'oops']);
  });
  await checks.step('routes explain tells what becomes of a Kafka record, or why it is a dead letter', async () => {
    const topics = join(folder, 'topics.json');
    writeFileSync(topics, JSON.stringify({ version: 1, topics: { 'course.*': [
      { emit: 'update', args: ['{record.value.data}', '{record.headers.Trace}', '{record.key}'], to: { room: 'c_{record.value.id}' } },
    ] } }));
    const given = ['--topic', 'course.updated', '--header', 'Trace=a=b', '--header', 'trace=c', '--key', 'k'];
    const tells = async (...more) => lines((await exits(0, ['routes', 'explain', topics, ...given, ...more, '-o', 'ndjson'])).out);
    same((await exits(0, ['routes', 'check', topics, '-o', 'table'])).out, `${topics}: 1 namespaces, 0 events, 1 topics, no mistakes\n`);
    const [step] = await tells('--value', '{"id":7,"data":{"x":1}}');
    same([step.verb, step.event, step.args, step.rooms], ['emit', 'update', [{ x: 1 }, 'a=b', 'k'], ['c_7']]);
    same((await tells('--value-text', '{"id":7'))[0].reason, 'the value ends too early, at byte 7');
    same((await tells())[0].verb, 'dead-letter');
    await exits(65, ['routes', 'explain', topics, ...given, '--value', '{"id":7']);
    await exits(1, ['routes', 'explain', topics, '--topic', 'other']);
    for (const wrong of [['event', ...given], [...given, '--user', 'bob'], ['event', '--value', '1'], [],
      [...given, '--value', '1', '--value-text', '1'], ['--topic', 't', '--header', 'x']]) {
      await exits(64, ['routes', 'explain', topics, ...wrong]);
    }
  });
  await checks.step('routes explain supposes the handshake, the rooms and the answer it is told', async () => {
    const asks = join(folder, 'asks.json');
    writeFileSync(asks, JSON.stringify({ version: 1, namespaces: { '/': { events: { go: [
      { ask: 'why' },
      { ack: ['{answer.0}', '{handshake.query.v}', '{handshake.headers.x-app}', '{handshake.auth.tier}', '{socket.rooms}'] },
    ] } } } }));
    const { out } = await exits(0, ['routes', 'explain', asks, 'go', '--query', 'v=2', '--header', 'X-App=web',
      '--auth', '{"tier":7}', '--room', 'r1', '--answer', '"because"']);
    same(lines(out)[1].args, ['because', '2', 'web', 7, ['r1', 'supposed-socket-id']]);
    await exits(64, ['routes', 'explain', asks, 'go', '--query', 'v']);
    await exits(65, ['routes', 'explain', asks, 'go', '--auth', '{']);
  });
}

async function completing() {
  const offers = async (shellWords) => {
    const words = shellWords.map((word) => `'${word}'`).join(' ');
    const script = `source <("${sioctlBinary}" completion bash); COMP_WORDS=(${words}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _sioctl; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return (await runCommand('bash', ['-c', script], '')).trim().split('\n').sort();
  };
  await checks.step('bash completes commands, options and values', async () => {
    truth((await offers(['sioctl', 'em'])).includes('emit'), 'emit');
    same(await offers(['sioctl', '--output', 'json', 'rou']), ['routes']);
    same(await offers(['sioctl', 'routes', 'ex']), ['explain']);
    same(await offers(['sioctl', 'disconnect', '--how', 't']), ['transport']);
    same(await offers(['sioctl', 'rooms', '-o', '']), ['json', 'ndjson', 'table']);
    same(await offers(['sioctl', 'completion', 'z']), ['zsh']);
    same(await offers(['sioctl', 'emit', 'x', '--vol']), ['--volatile']);
  });
  await checks.step('bash offers each option that --help names', async () => {
    for (const command of ['emit', 'rooms', 'sockets', 'presence', 'nodes', 'server-emit', 'join', 'leave', 'disconnect', 'health', 'stat', 'listen', 'handle',
      'connect', 'routes check', 'routes explain', 'routes reload', 'routes show', 'wait', 'log', 'completion']) {
      const help = (await exits(0, [...command.split(' '), '--help'])).out;
      const named = [...help.matchAll(/^ {2}(?:-\w,)?(--[a-z-]+)/gm)].map((match) => match[1]);
      const offered = await offers(['sioctl', ...command.split(' '), '--']);
      for (const option of named) truth(offered.includes(option), `${command} ${option} is not offered`);
    }
  });
  for (const [shell, check] of [['bash', 'bash -n'], ['zsh', 'zsh -n'], ['fish', 'fish -n']]) {
    await checks.step(`${shell} takes its script`, async () => {
      const file = join(folder, `completion.${shell}`);
      writeFileSync(file, (await exits(0, ['completion', shell])).out);
      const script = `command -v ${shell} >/dev/null || exit 0; ${check} ${file}`;
      same(await runCommand('bash', ['-c', script]), '');
    });
  }
}

async function withGateway(server) {
  const control = (words) => ['--control', server.control, ...words];
  const client = io(server.url, { transports: ['websocket'], auth: { token: 't-1' }, forceNew: true });
  const seen = [];
  client.onAny((...args) => seen.push(args));
  client.on('question', (...args) => args.at(-1)('fine'));
  await within(5000, new Promise((done) => client.on('connect', done)), 'connect');
  await checks.step('gateway: emit reaches a browser', async () => {
    same(lines((await exits(0, control(['emit', 'notification', '{"message":"hello"}', '--to', client.id]))).out), [{ reached: 1 }]);
    await until(2000, () => seen.length, 'the event');
    same([seen[0][0], seen[0][1]], ['notification', { message: 'hello' }]);
    same(lines((await exits(0, control(['emit', 'x', '--to', 'nobody-here']))).out), [{ reached: 0 }]);
  });
  await checks.step('gateway: emit --ack prints what the client answers', async () => {
    same(lines((await exits(0, control(['emit', 'question', '--socket', client.id, '--ack', '--timeout', '2s']))).out),
      [{ sid: client.id, args: ['fine'] }]);
    await exits(1, control(['emit', 'unheard', '--socket', client.id, '--ack', '--timeout', '200ms']));
  });
  await checks.step('gateway: sockets, join, rooms, leave', async () => {
    const all = lines((await exits(0, control(['sockets']))).out);
    truth(all.some(({ sid, transport }) => sid === client.id && transport === 'websocket'), JSON.stringify(all));
    await exits(0, control(['join', 'attic', '--socket', client.id]));
    truth(lines((await exits(0, control(['rooms']))).out).some(({ room, sockets }) => room === 'attic' && sockets === 1), 'room');
    same(lines((await exits(0, control(['emit', 'y', '--to', 'attic']))).out), [{ reached: 1 }]);
    await exits(0, control(['leave', 'attic', '--to', 'attic']));
    truth(!lines((await exits(0, control(['rooms']))).out).some(({ room }) => room === 'attic'), 'room is gone');
  });
  await checks.step('gateway: health, stat, wait, log, routes', async () => {
    await exits(0, control(['wait', '--ready', '--timeout', '2s']));
    same(lines((await exits(0, control(['health']))).out)[0].status, 'ok');
    truth(lines((await exits(0, control(['stat']))).out)[0].socketConnections >= 1, 'counter');
    await exits(0, control(['log', 'error']));
    await exits(0, control(['routes', 'show']));
    await exits(0, control(['routes', 'reload']));
  });
  await checks.step('gateway: listen prints what a client sends', async () => {
    const listener = start(control(['listen', 'echo', '--count', '1']));
    const timer = setInterval(() => client.emit('echo', 'over', () => {}), 50);
    same(await within(5000, listener.end, 'listen').finally(() => clearInterval(timer)), { code: 0, signal: null });
    const [{ event: name, args, sid }] = lines(listener.out);
    same([name, args, sid], ['echo', ['over'], client.id]);
  });
  await checks.step('gateway: 77 for an event that no server may emit', async () => exits(77, control(['emit', 'disconnect'])));
  await checks.step('gateway: disconnect', async () => {
    const left = within(3000, new Promise((done) => client.on('disconnect', done)), 'disconnect');
    await exits(0, control(['disconnect', client.id]));
    same(await left, 'io server disconnect');
  });
  client.close();
}

await commandLine();
await unreachable();
await emitting();
await asking();
await listening();
await handling();
await completing();
await routesFile();
const server = await startServer();
await connecting(server);
if (!onReference) await withGateway(server);
await checks.end(server);
