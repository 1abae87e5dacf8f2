// What an operator relies on: the HTTP answers beside Socket.IO, signals, logs, environment, limits and timeouts.

import { readFileSync, renameSync, statSync, writeFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { io } from 'socket.io-client';
import {
  Checks, freePort, gatewayArguments, gatewayBinary, here, httpGet, runCommand, same, sioctlBinary, sleep, startGateway,
  truth, until, within,
} from './lib/harness.mjs';
import { Polling, Tcp, idIn, joinByWebSocket } from './lib/raw.mjs';

const checks = new Checks('gateway_ops');
const servers = [];
const start = async (options) => {
  const server = await startGateway(options);
  servers.push(server);
  return server;
};
const next = (socket, event, ms = 4000) => within(ms, new Promise((done) => {
  socket.once(event, (...args) => done(args));
}), `event "${event}"`);
const metricsOf = async (server) => JSON.parse((await httpGet(`${server.url}/metrics`)).body);
const routesText = () => readFileSync(join(here, 'routes.json'), 'utf8');
/** The arguments of a gateway that is expected to leave at once. */
const attempt = async (args, env = {}) => {
  const environment = { ...process.env, ...env };
  return runCommand(gatewayBinary, args, '', { env: environment, timeout: 5000, anyExit: true });
};
const nextClose = async (tcp, ms = 4000) => {
  for (;;) {
    const got = await tcp.message(ms, 'close frame');
    if (got === null || 'close' in got) return got;
    if (got.text === '2') tcp.text('3');
  }
};

// ---- HTTP beside Socket.IO --------------------------------------------------------------------------------------

async function httpAnswers() {
  const server = await start();
  for (const path of ['/health', '/live', '/ready']) {
    await checks.step(`GET ${path} answers 200 and is not cached`, async () => {
      const answer = await httpGet(server.url + path);
      same(answer.status, 200, 'status');
      truth(/no-store|no-cache/.test(answer.headers['cache-control'] ?? ''), `Cache-Control is ${answer.headers['cache-control']}`);
    });
  }
  await checks.step('GET /health is JSON that says ok', async () => {
    const answer = await httpGet(`${server.url}/health`);
    truth(/^application\/json/.test(answer.headers['content-type']), `type ${answer.headers['content-type']}`);
    same(JSON.parse(answer.body).status, 'ok');
  });
  await checks.step('the same answers come on IPv6', async () => {
    same((await httpGet(`http://[::1]:${server.port}/ready`)).status, 200);
  });
  await checks.step('HEAD /health has no body, POST /health is refused, an unknown path is 404', async () => {
    const head = await httpGet(`${server.url}/health`, { method: 'HEAD' });
    same([head.status, head.body], [200, ''], 'HEAD');
    same((await httpGet(`${server.url}/health`, { method: 'POST', body: 'x' })).status, 405, 'POST');
    same((await httpGet(`${server.url}/nothing-here`)).status, 404, 'unknown path');
  });
  await checks.step('GET /metrics is JSON for programs and people, text for scrapers, by the qualities of Accept', async () => {
    const typeFor = async (accept) => (await httpGet(`${server.url}/metrics`, { headers: accept === undefined ? {} : { accept } })).headers['content-type'].split(';')[0];
    for (const accept of [undefined, '*/*', 'application/json, text/plain, */*', 'application/json;q=1, text/plain;q=0.1', 'text/html,*/*;q=0.8']) {
      same(await typeFor(accept), 'application/json', accept);
    }
    for (const accept of ['application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2', 'text/plain;version=0.0.4;q=1,*/*;q=0.1',
      'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3', 'text/plain']) {
      same(await typeFor(accept), 'text/plain', accept);
    }
  });

  await checks.step('GET /metrics has the asked-for names with their types, and counts', async () => {
    const before = await metricsOf(server);
    const one = await joinByWebSocket(server);
    one.tcp.text('40/custom,');
    idIn(await one.tcp.packet(), '/custom');
    const two = new Polling(server);
    await two.join();
    const metrics = await metricsOf(server);
    const types = Object.fromEntries(['socketConnections', 'redisConnected', 'kafkaConnected', 'totalConnections', 'rooms', 'uptime', 'memory']
      .map((name) => [name, typeof metrics[name]]));
    same(types, {
      socketConnections: 'number', redisConnected: 'boolean', kafkaConnected: 'boolean', totalConnections: 'number',
      rooms: 'number', uptime: 'number', memory: 'object',
    });
    same(metrics.socketConnections - before.socketConnections, 2, 'more connections');
    same(metrics.totalConnections - before.totalConnections, 2, 'more connections in all');
    same([metrics.redisConnected, metrics.kafkaConnected], [false, false]);
    truth(metrics.uptime > 0 && metrics.uptime < 60, `uptime ${metrics.uptime} s`);
    truth(metrics.longestTurnMs > 0 && metrics.longestTurnMs < 5000, `longest turn ${metrics.longestTurnMs} ms`);
    one.tcp.destroy();
    two.destroy();
    // The polling session may live on until its ping goes unanswered.
    await until(3000, async () => (await metricsOf(server)).socketConnections <= before.socketConnections + 1, 'the WebSocket to be forgotten');
    same((await metricsOf(server)).totalConnections, metrics.totalConnections, 'lifetime connections');
  });
  const scrapers = {
    Prometheus: 'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1',
    'an old Prometheus': 'text/plain;version=0.0.4;q=1,*/*;q=0.1',
    'text/plain alone': 'text/plain;version=0.0.4',
  };
  for (const [name, accept] of Object.entries(scrapers)) {
    await checks.step(`GET /metrics is Prometheus text for ${name}`, async () => {
      const answer = await httpGet(`${server.url}/metrics`, { headers: { Accept: accept } });
      truth(/^(text\/plain; ?version=0\.0\.4|application\/openmetrics-text)/.test(answer.headers['content-type']), `type ${answer.headers['content-type']}`);
      const lines = answer.body.split('\n').filter((line) => line && !line.startsWith('#'));
      truth(lines.length > 5, 'hardly a line');
      for (const line of lines) {
        truth(/^[a-z_:][a-z0-9_:]*(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? -?[0-9.e+-]+$/i.test(line), `line "${line}"`);
      }
      for (const line of lines) {
        const metric = line.replace(/[{ ].*/, '').replace(/_(bucket|sum|count)$/, '');
        truth(answer.body.includes(`# TYPE ${metric}`), `no TYPE of ${metric}`);
      }
    });
  }
  await checks.step('GET /metrics is JSON for browsers and curl', async () => {
    for (const accept of ['*/*', 'application/json', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8']) {
      JSON.parse((await httpGet(`${server.url}/metrics`, { headers: { Accept: accept } })).body);
    }
  });
  await checks.step('the client is served below the path with type, ETag and 304', async () => {
    for (const name of ['socket.io.js', 'socket.io.min.js', 'socket.io.esm.min.js', 'socket.io.msgpack.min.js', 'socket.io.min.js.map']) {
      const answer = await httpGet(`${server.url}/socket.io/${name}?x=1`);
      same(answer.status, 200, `status of ${name}`);
      same(answer.headers['content-type'], name.endsWith('.map') ? 'application/json; charset=utf-8' : 'application/javascript; charset=utf-8');
      const again = await httpGet(`${server.url}/socket.io/${name}`, { headers: { 'If-None-Match': answer.headers.etag } });
      same(again.status, 304, `status of ${name} when it is known`);
    }
  });
}

// ---- Signals ----------------------------------------------------------------------------------------------------

async function drain() {
  await checks.step('SIGTERM: readiness first, WebSockets 1012 and polls 503 at a pace, exit 0 in time', async () => {
    const server = await start({ options: { '--drain-deadline': '3s' } });
    const sockets = [];
    for (let i = 0; i < 12; i += 1) sockets.push((await joinByWebSocket(server)).tcp);
    const pollings = [];
    for (let i = 0; i < 4; i += 1) {
      const polling = new Polling(server);
      await polling.join();
      pollings.push(polling);
    }
    const began = Date.now();
    server.child.kill('SIGTERM');
    await sleep(30);
    const statuses = [];
    for (const path of ['/ready', '/live', '/socket.io/?EIO=4&transport=polling']) {
      statuses.push(await httpGet(server.url + path).then(({ status }) => status, (error) => error.code));
    }
    const closes = await Promise.all(sockets.map(async (tcp) => {
      const got = await nextClose(tcp, 4000);
      const at = Date.now() - began;
      tcp.close(1012);
      return { code: got?.close, at };
    }).concat(pollings.map(async (polling) => {
      let answer;
      do {
        await polling.startGet();
        answer = await polling.getter.answer(4000);
        if (answer?.body === '2') await polling.post('3').catch(() => {});
      } while (answer?.status === 200);
      return { status: answer?.status, at: Date.now() - began };
    })));
    same(statuses, [503, 200, 503], '/ready, /live and a new handshake');
    same([...new Set(closes.slice(0, 12).map(({ code }) => code))], [1012], 'close codes');
    same([...new Set(closes.slice(12).map(({ status }) => status))], [503], 'status of the polls');
    const times = closes.map(({ at }) => at).sort((a, b) => a - b);
    truth(times.at(-1) - times[0] > 500, `all were told within ${times.at(-1) - times[0]} ms: no pace`);
    same(await within(5000, server.exited, 'exit'), 0, 'exit code');
    truth(server.exitedAt - began <= 3300, `it took ${server.exitedAt - began} ms`);
  }, { timeout: 15000 });

  await checks.step('SIGTERM with --drain-rate: that many clients a second', async () => {
    const server = await start({ options: { '--drain-deadline': '10s', '--drain-rate': '10' } });
    const sockets = [];
    for (let i = 0; i < 10; i += 1) sockets.push((await joinByWebSocket(server)).tcp);
    const began = Date.now();
    server.child.kill('SIGTERM');
    const times = await Promise.all(sockets.map(async (tcp) => { await nextClose(tcp); tcp.close(1012); return Date.now() - began; }));
    const spread = Math.max(...times) - Math.min(...times);
    truth(spread > 500 && spread < 1500, `10 clients were told within ${spread} ms`);
    same(await within(3000, server.exited, 'exit'), 0, 'exit code');
  }, { timeout: 15000 });

  await checks.step('SIGTERM with nobody connected leaves at once', async () => {
    const server = await start();
    const began = Date.now();
    server.child.kill('SIGTERM');
    same(await within(3000, server.exited, 'exit'), 0, 'exit code');
    truth(Date.now() - began < 1000, 'it took longer than 1 s');
    truth(!existsSync(server.control), 'the control socket is left behind');
  });

  await checks.step('SIGTERM: clients that answer nothing do not hold up the end', async () => {
    const server = await start({ options: { '--drain-deadline': '1s' } });
    for (let i = 0; i < 5; i += 1) (await joinByWebSocket(server)).tcp.socket.pause();
    const silent = await Tcp.open(server.port);
    silent.write('GET /socket.io/?EIO=4');
    const began = Date.now();
    server.child.kill('SIGTERM');
    same(await within(3000, server.exited, 'exit'), 0, 'exit code');
    truth(Date.now() - began < 1400, `it took ${Date.now() - began} ms`);
  });

  await checks.step('a second SIGTERM leaves at once', async () => {
    const server = await start({ options: { '--drain-deadline': '30s', '--drain-rate': '1' } });
    for (let i = 0; i < 5; i += 1) await joinByWebSocket(server);
    server.child.kill('SIGTERM');
    await sleep(300);
    truth(server.exitCode === null, 'the first one ended it');
    const began = Date.now();
    server.child.kill('SIGTERM');
    await within(2000, server.exited, 'exit');
    truth(Date.now() - began < 500, `it took ${Date.now() - began} ms`);
  });

  await checks.step('SIGTERM and a new start on the same port: stock clients are back within a second of it', async () => {
    const port = await freePort();
    const first = await start({ port, options: { '--drain-deadline': '500ms' } });
    const sockets = [undefined, ['polling'], ['websocket']].map((transports) => io(first.url, {
      ...(transports && { transports }), reconnectionDelay: 300, reconnectionDelayMax: 300, randomizationFactor: 0, forceNew: true,
    }));
    try {
      await Promise.all(sockets.map((socket) => next(socket, 'connect')));
      await sleep(300);
      first.child.kill('SIGTERM');
      await within(2000, first.exited, 'exit');
      await start({ port });
      await Promise.all(sockets.map((socket) => until(1500, () => socket.connected, 'return')));
      await Promise.all(sockets.map((socket) => within(2000, socket.emitWithAck('echo', 'back'), 'ack')));
    } finally {
      for (const socket of sockets) socket.disconnect();
    }
  });
}

async function reload() {
  const server = await start({
    options: { '--routes': 'FOLDER/routes.json', '--log-file': 'FOLDER/gateway.log', '--log-level': 'info' },
    files: { 'routes.json': routesText() },
  });
  const routes = join(server.folder, 'routes.json');
  const log = join(server.folder, 'gateway.log');
  const logText = () => (existsSync(log) ? readFileSync(log, 'utf8') : '');
  const answers = async (event) => {
    const { tcp } = await joinByWebSocket(server);
    tcp.text(`421["${event}","x"]`, '422["whoami"]');
    const packet = await tcp.packet();
    tcp.destroy();
    return packet === '431["x"]';
  };
  await checks.step('--log-file takes the log, mode 0640 or stricter', async () => {
    truth(logText().length > 0, 'the file is empty');
    same(statSync(log).mode & 0o027, 0, 'mode bits of others, and of the group to write');
    same(server.log(), '', 'output on stderr');
  });
  await checks.step('SIGHUP reopens the log file after it was renamed', async () => {
    renameSync(log, `${log}.1`);
    server.child.kill('SIGHUP');
    await until(2000, () => existsSync(log), 'the new file');
    await until(2000, () => logText().length > 0, 'a line in the new file');
  });
  await checks.step('SIGHUP reloads the routes, also for those who are connected', async () => {
    const { tcp } = await joinByWebSocket(server);
    writeFileSync(routes, routesText().replaceAll('"echo"', '"echo-anew"'));
    server.child.kill('SIGHUP');
    await until(2000, () => answers('echo-anew'), 'the new event');
    truth(!await answers('echo'), 'the old event is still served');
    tcp.text('421["echo-anew","x"]');
    same(await tcp.packet(), '431["x"]', 'ack');
    tcp.destroy();
  });
  const broken = {
    'a file that is not JSON': (text) => [text.replace('{', '{\n\n  "a" 1,'), /(line[ =:"]*|routes\.json:)3\b/i, null],
    'an unknown member': (text) => [text.replace('{', '{\n\n\n "no-such-member": 1,'), /(line[ =:"]*|routes\.json:)4\b/i, '/no-such-member'],
  };
  for (const [name, change] of Object.entries(broken)) {
    await checks.step(`SIGHUP with ${name}: refused with line and pointer in the log, and the old routes stay`, async () => {
      const [text, line, pointer] = change(routesText());
      writeFileSync(routes, text);
      const before = logText().length;
      server.child.kill('SIGHUP');
      await until(2000, () => line.test(logText().slice(before)), `the line in the log (${JSON.stringify(logText().slice(before))})`)
        .catch((error) => { throw new Error(`${error.message}; log: ${logText().slice(before)}`); });
      if (pointer) truth(logText().slice(before).includes(pointer), `no pointer in: ${logText().slice(before)}`);
      truth(await answers('echo-anew'), 'the old routes are gone');
      same((await httpGet(`${server.url}/ready`)).status, 200, '/ready');
    });
  }
  await checks.step('a start with broken routes ends with 78 and names line and pointer', async () => {
    const { code, err } = await attempt(gatewayArguments(await freePort(), server.folder).flatMap((arg) => (arg === join(here, 'routes.json') ? routes : arg))
      .map((arg) => (arg === server.control ? `${server.control}.2` : arg)));
    same(code, 78, 'exit code');
    truth(/4/.test(err) && err.includes('/no-such-member'), `stderr: ${err}`);
  });
}

// ---- Logs -------------------------------------------------------------------------------------------------------

async function secrets() {
  for (const format of ['text', 'json']) {
    await checks.step(`tokens and cookies never appear in the log (${format}, trace, DEBUG=*)`, async () => {
      const server = await start({ options: { '--log-level': 'trace', '--log-format': format, '--auth': 'none' }, env: { DEBUG: '*' } });
      const secret = `s3cret${Date.now()}`;
      const headers = {
        Cookie: `next-auth.session-token=${secret}; other=${secret}`, Authorization: `Bearer ${secret}`,
        'X-Forwarded-For': '192.0.2.1',
      };
      const query = `EIO=4&transport=websocket&token=${secret}`;
      const { tcp } = await joinByWebSocket(server, { query, headers, connect: `40{"token":"${secret}","nested":{"deep":"${secret}"}}` });
      tcp.text('421["whoami"]', `42["unknown-event","${secret}"]`, `40/forbidden,{"token":"${secret}"}`, `40/unheard-of,{"token":"${secret}"}`);
      await tcp.packet();
      const polling = new Polling(server, { query: (sid) => `EIO=4&transport=polling&token=${secret}${sid ? `&sid=${sid}` : ''}`, headers });
      await polling.join(`40{"token":"${secret}"}`);
      await httpGet(`${server.url}/socket.io/?EIO=3&transport=polling&token=${secret}`, { headers });
      await httpGet(`${server.url}/nothing?token=${secret}`, { headers });
      const broken = await Tcp.open(server.port);
      broken.write(`GET /socket.io/?token=${secret} HTTP/1.1\r\nCookie: ${secret}\r\nBad Header: ${secret}\r\n\r\n`);
      await broken.end(2000).catch(() => {});
      tcp.text(`40{"token":"${secret}"`);   // malformed
      await sleep(200);
      await polling.startPost(`40/custom,{"token":"${secret}"`);
      await sleep(200);
      tcp.destroy();
      polling.destroy();
      server.child.kill('SIGTERM');
      await within(15000, server.exited, 'exit');
      const log = server.log();
      truth(log.split('\n').length > 5, 'trace says hardly anything');
      const line = log.split('\n').find((one) => one.includes(secret));
      truth(!line, `line: ${line}`);
      if (format === 'json') for (const one of log.trim().split('\n')) JSON.parse(one);
    }, { timeout: 25000 });
  }
  await checks.step('text from strangers cannot forge a line of the log', async () => {
    const server = await start({ options: { '--log-level': 'trace' } });
    const { tcp } = await joinByWebSocket(server);
    tcp.text(`42${JSON.stringify(['x\n2026-01-01 fatal gateway forged=1\n'])}`, `40/${'a\\nforged=1\\n'},`);
    await httpGet(`${server.url}/%0aforged=1%0a`);
    await sleep(200);
    truth(!server.log().split('\n').some((line) => /^(2026-01-01 fatal|forged=1)/.test(line)), 'a line is forged');
    tcp.destroy();
  });
}

// ---- Environment ------------------------------------------------------------------------------------------------

async function environment() {
  const clean = Object.fromEntries(['SOCKET_IO_PORT', 'SOCKET_IO_HOST', 'SOCKET_IO_CORS_ORIGIN', 'LOG_LEVEL', 'DEBUG', 'NODE_ENV', 'SIO_CONTROL']
    .map((name) => [name, null]));
  await checks.step('--auth dev with NODE_ENV=production is refused with 78', async () => {
    const { code, err } = await attempt(['--port', '0', '--auth', 'dev'], { NODE_ENV: 'production' });
    same(code, 78, 'exit code');
    truth(/production/.test(err), `stderr: ${err}`);
  });
  await checks.step('an unknown flag is refused with 64, a wrong value with 64 or 78, a taken port with 69', async () => {
    same((await attempt(['--no-such-flag'])).code, 64, 'unknown flag');
    truth([64, 78].includes((await attempt(['--port', '70000'])).code), 'wrong value');
    const server = await start();
    const taken = await attempt(gatewayArguments(server.port, server.folder).map((arg) => (arg === server.control ? `${arg}.2` : arg)));
    same(taken.code, 69, 'taken port');
  });
  await checks.step('SOCKET_IO_PORT and SOCKET_IO_HOST say where it listens', async () => {
    const port = await freePort();
    const server = await start({ port, options: { '--port': null, '--host': null }, env: { ...clean, SOCKET_IO_PORT: String(port), SOCKET_IO_HOST: '127.0.0.1' } });
    same((await httpGet(`${server.url}/ready`)).status, 200);
    await httpGet(`http://[::1]:${port}/ready`).then(() => { throw new Error('it listens on IPv6 too'); }, () => {});
  });
  await checks.step('a flag wins over SOCKET_IO_PORT and LOG_LEVEL', async () => {
    const server = await start({ env: { ...clean, SOCKET_IO_PORT: '1', LOG_LEVEL: 'trace' } });
    same((await httpGet(`${server.url}/ready`)).status, 200);
    same(server.log(), '', 'log at level error');
  });
  await checks.step('SOCKET_IO_CORS_ORIGIN is a list', async () => {
    const server = await start({ options: { '--cors-origin': null }, env: { ...clean, SOCKET_IO_CORS_ORIGIN: 'https://a.example,https://b.example' } });
    const url = `${server.url}/socket.io/?EIO=4&transport=polling`;
    for (const [origin, allowed] of [['https://a.example', true], ['https://b.example', true], ['https://c.example', false]]) {
      const answer = await httpGet(url, { headers: { Origin: origin } });
      same(answer.headers['access-control-allow-origin'], allowed ? origin : undefined, `answer to ${origin}`);
      const preflight = await httpGet(url, { method: 'OPTIONS', headers: { Origin: origin, 'Access-Control-Request-Method': 'POST' } });
      same([preflight.status, preflight.headers['access-control-allow-origin']], [204, allowed ? origin : undefined], 'preflight');
    }
  });
  await checks.step('LOG_LEVEL=debug says more than LOG_LEVEL=error, DEBUG=socket.io:* turns all parts on', async () => {
    const said = async (env) => {
      const server = await start({ options: { '--log-level': null }, env: { ...clean, ...env } });
      const { tcp } = await joinByWebSocket(server);
      tcp.text('421["echo","x"]');
      await tcp.packet();
      tcp.destroy();
      await sleep(100);
      return server.log().split('\n').length;
    };
    const [error, debug, patterns] = [await said({ LOG_LEVEL: 'error' }), await said({ LOG_LEVEL: 'debug' }), await said({ LOG_LEVEL: 'error', DEBUG: 'socket.io:*' })];
    truth(error < debug && error < patterns, `lines: error ${error}, debug ${debug}, DEBUG ${patterns}`);
  });
  await checks.step('--print-config shows where each value comes from', async () => {
    const { code, out } = await attempt(['--print-config', '--ping-interval', '7s'], { LOG_LEVEL: 'warn' });
    same(code, 0, 'exit code');
    truth(/ping-interval *= *7s/.test(out) && /log-level *= *warn/.test(out), out);
  });
}

// ---- Limits and timeouts ----------------------------------------------------------------------------------------

async function limits() {
  await checks.step('--max-connections refuses the one too many and takes another once one has left', async () => {
    const server = await start({ options: { '--max-connections': '5' } });
    const kept = [];
    for (let i = 0; i < 5; i += 1) kept.push((await joinByWebSocket(server)).tcp);
    const refused = async () => {
      const tcp = await Tcp.open(server.port);
      tcp.send('GET', '/socket.io/?EIO=4&transport=polling', { Host: tcp.host });
      const answer = await tcp.answer(2000);
      tcp.destroy();
      return answer === null || answer.status >= 400;
    };
    truth(await refused(), 'the sixth is served');
    kept[0].text('421["echo","unharmed"]');
    same(await kept[0].packet(), '431["unharmed"]', 'ack');
    kept.pop().destroy();
    await until(2000, async () => !await refused(), 'room for another');
    for (const tcp of kept) tcp.destroy();
  });
  await checks.step('--max-connections-per-address counts each address for itself', async () => {
    const server = await start({ options: { '--max-connections-per-address': '3' } });
    const kept = [];
    for (let i = 0; i < 3; i += 1) kept.push((await joinByWebSocket(server)).tcp);
    const ask = async (host) => {
      const tcp = await Tcp.open(server.port, host);
      tcp.send('GET', '/socket.io/?EIO=4&transport=polling', { Host: 'localhost' });
      const answer = await tcp.answer(2000);
      tcp.destroy();
      return answer?.status ?? null;
    };
    const status = await ask('127.0.0.1');
    truth(status === null || status >= 400, `the fourth is served: ${status}`);
    same(await ask('::1'), 200, 'status for another address');
    for (const tcp of kept) tcp.destroy();
    await until(2000, async () => await ask('127.0.0.1') === 200, 'room for another');
  });
  await checks.step('--rate-limit: the events above it are not served, acks and pings do not count, others go on', async () => {
    const server = await start({ options: { '--rate-limit': '100/60s' } });
    const { tcp } = await joinByWebSocket(server);
    const beside = await joinByWebSocket(server);
    for (let i = 0; i < 100; i += 1) tcp.text(`42${i}["echo",${i}]`);
    for (let i = 0; i < 100; i += 1) same(await tcp.packet(), `43${i}[${i}]`, 'ack');
    for (let i = 100; i < 130; i += 1) tcp.text(`42${i}["echo",${i}]`);
    let served = 0;
    for (;;) {
      const packet = await tcp.packet(700).catch(() => null);
      if (packet === null || packet?.close) break;
      if (/^431[0-3]\d\[1/.test(packet)) served += 1;
    }
    same(served, 0, 'events served above the limit');
    beside.tcp.text('421["echo","unharmed"]');
    let packet = await beside.tcp.packet();
    same(packet, '431["unharmed"]', 'ack of the client beside it');
    tcp.destroy();
    beside.tcp.destroy();
  });
  await checks.step('--rate-limit: the default is 100 events in 60 s, and it is over when its time is', async () => {
    const { out } = await attempt(['--print-config']);
    truth(/rate-limit *= *100\/(60s|1m)/.test(out), 'default');
    const server = await start({ options: { '--rate-limit': '5/1s' } });
    const { tcp } = await joinByWebSocket(server);
    for (let round = 0; round < 2; round += 1) {
      for (let i = 0; i < 5; i += 1) { tcp.text(`42${i}["echo",${i}]`); same(await tcp.packet(), `43${i}[${i}]`, 'ack'); }
      await sleep(1200);
    }
    tcp.destroy();
  });
  await checks.step('10,000 action lists may wait, for a time or an answer; the next is told, and counted', async () => {
    const routes = { version: 1, namespaces: { '/': { events: {
      later: [{ ack: ['late'], after: '60s' }],
      asks: [{ ask: 'why', timeout: '60s' }, { ack: '{answer.args}' }],
      hands: [{ hand: 'somebody', timeout: '60s' }],
      echo: [{ ack: '{event.args}' }],
    } } } };
    const server = await start({
      options: { '--routes': 'FOLDER/routes.json' }, files: { 'routes.json': JSON.stringify(routes) },
    });
    const { tcp } = await joinByWebSocket(server);
    for (let i = 0; i < 9_999; i += 1) tcp.text('42["later"]');
    tcp.text('42["asks"]', '421["asks"]', '422["later"]', '423["hands"]', '424["echo","unharmed"]');
    same(await tcp.packet(), '420["why"]', 'the question of the list that may wait');
    const full = '[{"error":"unavailable","reason":"too many lists wait already"}]';
    for (const id of [1, 2, 3]) same(await tcp.packet(), `43${id}${full}`, 'ack of a list too many');
    same(await tcp.packet(), '434["unharmed"]', 'ack of a list that need not wait');
    const metrics = await metricsOf(server);
    same([metrics.routesWaiting, metrics.routesRefused, metrics.questions], [10_000, 3, 1], 'metrics');
    tcp.text('430["because"]', '425["later"]', '426["later"]');
    same(await tcp.packet(), `436${full}`, 'the answer made room for one');
    tcp.destroy();
  });
  await checks.step('--max-payload: a message of that size is taken, a larger one closes with 1009 or 413', async () => {
    const server = await start({ options: { '--max-payload': '10000' } });
    const { tcp } = await joinByWebSocket(server);
    same(tcp.handshake.maxPayload, 10000, 'announced');
    const fill = (size) => `421["echo","${'x'.repeat(size - 14)}"]`;
    truth(fill(10000).length === 10000, 'size of the message');
    tcp.text(fill(10000));
    truth((await tcp.packet()).startsWith('431["xxx'), 'ack');
    tcp.text(fill(10001));
    same((await nextClose(tcp))?.close, 1009, 'close code');
    const polling = new Polling(server);
    await polling.join();
    await polling.startPost(fill(10001));
    same((await polling.poster.answer())?.status, 413, 'status');
    polling.poster.destroy();
    polling.poster = null;
    await polling.post('421["echo","alive"]');
    same(await polling.packet(), '431["alive"]', 'ack');
    polling.destroy();
  });
}

async function timeouts() {
  const server = await start({
    options: {
      '--header-timeout': '700ms', '--body-timeout': '900ms', '--handshake-timeout': '500ms', '--idle-timeout': '1200ms',
      '--connect-timeout': '1500ms', '--upgrade-timeout': '600ms',
    },
  });
  const ended = async (tcp, from, to) => {
    const began = Date.now();
    await tcp.end(to + 1500);
    const took = Date.now() - began;
    truth(took >= from && took <= to, `ended after ${took} ms`);
  };
  await Promise.all([
    checks.step('--handshake-timeout ends a connection that says nothing', async () => ended(await Tcp.open(server.port), 400, 1000)),
    checks.step('--header-timeout ends a request whose headers trickle', async () => {
      const tcp = await Tcp.open(server.port);
      tcp.write('GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nX-Slow: ');
      const trickle = setInterval(() => tcp.write('a'), 50);
      try { await ended(tcp, 500, 1500); } finally { clearInterval(trickle); }
    }),
    checks.step('--body-timeout ends a POST whose body trickles', async () => {
      const polling = new Polling(server);
      await polling.join();
      const tcp = await Tcp.open(server.port);
      tcp.write(`POST ${polling.target()} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n42`);
      const trickle = setInterval(() => tcp.write('a'), 50);
      try { await ended(tcp, 600, 1800); } finally { clearInterval(trickle); polling.destroy(); }
    }),
    checks.step('--idle-timeout ends a kept connection without a next request, and no held poll', async () => {
      const tcp = await Tcp.open(server.port);
      tcp.send('GET', '/live', { Host: 'x' });
      same((await tcp.answer()).status, 200);
      await ended(tcp, 900, 2000);
    }),
    checks.step('--connect-timeout closes a client that joins no namespace, and leaves alone one that did', async () => {
      const joined = await joinByWebSocket(server);
      const tcp = await Tcp.open(server.port);
      await tcp.upgrade('/socket.io/?EIO=4&transport=websocket');
      const began = Date.now();
      const got = await nextClose(tcp);
      truth(got === null || 'close' in got, 'not closed');
      truth(Date.now() - began >= 1300 && Date.now() - began < 2500, `closed after ${Date.now() - began} ms`);
      joined.tcp.text('421["echo","x"]');
      same(await joined.tcp.packet(), '431["x"]', 'ack');
      joined.tcp.destroy();
    }),
    checks.step('--upgrade-timeout closes a WebSocket that never upgrades, and polling goes on', async () => {
      const polling = new Polling(server);
      await polling.join();
      const tcp = await Tcp.open(server.port);
      await tcp.upgrade(polling.wsTarget());
      tcp.text('2probe');
      await tcp.message();
      await nextClose(tcp, 2000);
      await polling.post('421["echo","on"]');
      let packet;
      do packet = await polling.packet(); while (packet === '6');
      same(packet, '431["on"]', 'ack');
      polling.destroy();
    }),
    checks.step('a held poll outlives the idle and the header timeout, and is answered by a ping', async () => {
      const patient = await start({ options: { '--ping-interval': '2500ms', '--header-timeout': '300ms', '--idle-timeout': '400ms', '--handshake-timeout': '300ms', '--body-timeout': '300ms' } });
      const polling = new Polling(patient);
      await polling.join();
      const answer = await polling.get(4000);
      same([answer?.status, answer?.body], [200, '2']);
      polling.destroy();
    }),
    checks.step('a client that answers no ping is closed after interval and timeout', async () => {
      const { tcp } = await joinByWebSocket(server);
      const began = Date.now();
      for (;;) {
        const got = await tcp.message(4000);
        if (got === null || 'close' in got) break;
      }
      const took = Date.now() - began;
      truth(took > 1800 && took < 2600, `closed after ${took} ms`);
    }),
  ]);
}

// ---- Recovery ---------------------------------------------------------------------------------------------------

async function recovery() {
  const server = await start();
  const events = (name, from, count) => Array.from({ length: count }, (_, i) => [name, from + i]);
  for (const transports of [['websocket'], ['polling'], undefined]) {
    const label = transports?.[0] ?? 'default';
    for (const nothingYet of [false, true]) {
      await checks.step(`${label}: a client dropped by sioctl ${nothingYet ? 'that had received nothing yet ' : ''}gets what it missed, in order and once`, async () => {
        const socket = io(server.url, { ...(transports && { transports }), reconnectionDelay: 400, randomizationFactor: 0, forceNew: true });
        const seen = [];
        socket.on('n', (i) => seen.push(i));
        try {
          await next(socket, 'connect');
          const { id } = socket;
          if (!nothingYet) {
            await server.emitMany(events('n', 0, 3), { to: id });
            await until(2000, () => seen.length === 3, 'the first events');
          }
          const first = nothingYet ? 0 : 3;
          for (let round = 0; round < 2; round += 1) {
            const gone = next(socket, 'disconnect');
            const back = next(socket, 'connect');
            for (const promise of [gone, back]) promise.catch(() => {});   // one of them is awaited first
            await runCommand(sioctlBinary, ['--control', server.control, 'disconnect', id, '--how', 'transport']);
            await gone;
            await server.emitMany(events('n', first + round * 50, 50), { to: id });
            await back;
            truth(socket.recovered && socket.id === id, 'not recovered');
          }
          await until(2000, () => seen.length >= first + 100, 'the missed events').catch(() => {});
          same(seen, Array.from({ length: first + 100 }, (_, i) => i));
        } finally {
          socket.disconnect();
        }
      });
    }
  }
  await checks.step('a client away longer than --recovery-window gets a new id and is told that it did not recover', async () => {
    const short = await start({ options: { '--recovery-window': '300ms' } });
    const socket = io(short.url, { transports: ['websocket'], reconnectionDelay: 900, randomizationFactor: 0, forceNew: true });
    try {
      await next(socket, 'connect');
      const { id } = socket;
      socket.emit('drop');
      await next(socket, 'connect');
      truth(!socket.recovered && socket.id !== id, 'it recovered');
    } finally { socket.disconnect(); }
  });
  await checks.step('an unknown pid or offset is a normal connection', async () => {
    for (const auth of ['{"pid":"nobody","offset":"x"}', '{"pid":1,"offset":{}}', '{"pid":"AAAAAAAAAAAAAAAAAAAA"}']) {
      const { tcp } = await joinByWebSocket(server, { connect: `40${auth}` });
      tcp.text('421["whoami"]');
      same(JSON.parse((await tcp.packet()).slice(3))[0].recovered, false);
      tcp.destroy();
    }
  });
  await checks.step('--recovery off: no pid, no offset', async () => {
    const off = await start({ options: { '--recovery': 'off' } });
    const socket = io(off.url, { transports: ['websocket'], forceNew: true });
    try {
      await next(socket, 'connect');
      const came = next(socket, 'n');
      await off.emit('n', [1], { to: socket.id });
      same(await came, [1], 'arguments');
    } finally { socket.disconnect(); }
  });
}

const group = async (name, body) => {
  try { await body(); } catch (error) { checks.record(`${name}: starts`, error); }
};
await Promise.all([
  (async () => { await group('http', httpAnswers); await group('environment', environment); await group('reload', reload); await group('limits', limits); })(),
  (async () => { await group('drain', drain); await group('secrets', secrets); await group('recovery', recovery); await group('timeouts', timeouts); })(),
]);
await checks.end(servers);
