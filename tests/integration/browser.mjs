// Real Chromium with the browser bundle that the server serves: a page of another origin, and the demo page.

import { createServer } from 'node:http';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import {
  Checks, freePort, root, runCommand, same, sioctlBinary, sleep, startGateway, startServer, truth, until,
} from './lib/harness.mjs';
import { difficultText } from './lib/values.mjs';

const checks = new Checks('browser');
const executablePath = process.env.SIO_CHROMIUM ?? '/usr/bin/chromium';
const profile = mkdtempSync(join(tmpdir(), 'sio-chromium-'));
const server = await startServer();
const servers = [server];

// A page of another origin: another port, and another name of the loopback.
const pagePort = await freePort();
const page = createServer((request, response) => {
  response.setHeader('Content-Type', 'text/html; charset=utf-8');
  response.end(`<!doctype html><title>page</title><script src="${server.url}/socket.io/socket.io.min.js"></script>`);
});
await new Promise((done) => page.listen(pagePort, '127.0.0.1', done));

const context = await chromium.launchPersistentContext(profile, {
  executablePath, headless: true,
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});

/** Runs `body(socket, server's url, …)` in a fresh tab of the page. */
async function inPage(body, argument) {
  const tab = await context.newPage();
  const problems = [];
  tab.on('pageerror', (error) => problems.push(String(error)));
  tab.on('console', (message) => { if (message.type() === 'error') problems.push(message.text()); });
  try {
    await tab.goto(`http://127.0.0.1:${pagePort}/`);
    const result = await tab.evaluate(body, argument);
    return { result, problems, tab };
  } finally {
    await tab.close();
  }
}

for (const transports of [null, ['polling'], ['websocket']]) {
  const name = transports?.[0] ?? 'default';
  await checks.step(`${name}: a page of another origin connects with the served bundle, acks, binary, namespaces`, async () => {
    const { result, problems } = await inPage(async ({ url, transports, text }) => {
      const options = { forceNew: true, auth: { token: 't-1' }, ...(transports && { transports }) };
      const socket = io(url, options);
      const once = (on, event) => new Promise((done, fail) => {
        on.once(event, (...args) => done(args));
        setTimeout(() => fail(new Error(`no ${event}`)), 5000);
      });
      const ask = (on, ...args) => on.timeout(5000).emitWithAck(...args);
      await once(socket, 'connect');
      const out = {};
      out.echo = await ask(socket, 'echo', text);
      const sent = new Uint8Array(1000).map((_, i) => i);
      const back = new Uint8Array(await ask(socket, 'echo', sent));
      out.binary = back.length === sent.length && back.every((byte, i) => byte === sent[i]);
      const other = io(`${url}/custom`, { auth: { token: 't-1' }, ...(transports && { transports }) });
      await once(other, 'connect');
      out.other = (await ask(other, 'whoami')).namespace;
      const refused = io(`${url}/forbidden`, { ...(transports && { transports }) });
      const [error] = await once(refused, 'connect_error');
      out.refused = [error.message, error.data];
      const seen = [];
      socket.on('echo-event', (i) => seen.push(i));
      for (let i = 0; i < 1000; i += 1) socket.emit('echo-event', i);
      for (let i = 0; i < 500 && seen.length < 1000; i += 1) await new Promise((done) => setTimeout(done, 10));
      out.order = seen.length === 1000 && seen.every((value, i) => value === i);
      await new Promise((done) => setTimeout(done, 2300));
      out.connected = socket.connected;
      out.transport = socket.io.engine.transport.name;
      out.who = (await ask(socket, 'whoami')).transport;
      for (const one of [socket, other, refused]) one.disconnect();
      return out;
    }, { url: server.url, transports, text: difficultText });
    const last = name === 'polling' ? 'polling' : 'websocket';
    same(result, {
      echo: difficultText, binary: true, other: '/custom', refused: ['nope', { code: 42 }], order: true, connected: true,
      transport: last, who: last,
    });
    same(problems, [], 'problems of the page');
  }, { timeout: 25000 });
}

await checks.step('a tab whose transport is dropped recovers what it missed, in order and once', async () => {
  const tab = await context.newPage();
  await tab.goto(`http://127.0.0.1:${pagePort}/`);
  await tab.evaluate((url) => new Promise((done) => {
    window.seen = [];
    window.socket = io(url, { reconnectionDelay: 600, randomizationFactor: 0 });
    socket.on('missed', (i) => seen.push(i));
    socket.once('connect', () => { socket.emit('echo-event', 'mark'); socket.once('echo-event', done); });
  }), server.url);
  await until(3000, () => tab.evaluate(() => socket.io.engine.transport.name === 'websocket'), 'upgrade');
  const id = await tab.evaluate(() => {
    const { id } = socket;
    window.gone = new Promise((done) => socket.once('disconnect', () => done(id)));
    socket.emit('drop');
    return window.gone;
  });
  await server.emitMany(Array.from({ length: 20 }, (_, i) => ['missed', i]), { to: id });
  await until(4000, () => tab.evaluate(() => socket.connected), 'return');
  await sleep(200);
  same(await tab.evaluate(() => [socket.recovered, socket.id]), [true, id]);
  same(await tab.evaluate(() => seen), Array.from({ length: 20 }, (_, i) => i), 'missed events');
  await tab.close();
}, { timeout: 15000 });

await checks.ours('the demo page connects, and what an operator emits to alice appears on it', async () => {
  truth(existsSync(join(root, 'share/demo/index.html')), 'there is no demo page');
  const demo = await startGateway({
    options: { '--demo': true, '--auth': 'dev', '--routes': null, '--cors-origin': null }, env: { NODE_ENV: null },
  });
  servers.push(demo);
  const tab = await context.newPage();
  const problems = [];
  tab.on('pageerror', (error) => problems.push(String(error)));
  tab.on('console', (message) => { if (message.type() === 'error') problems.push(message.text()); });
  await tab.goto(`${demo.url}/?user=alice`);
  await until(5000, async () => /\bconnected/i.test(await tab.innerText('body')), 'a connected page');
  const text = `hello-${Date.now()}`;
  await until(5000, async () => {
    await runCommand(sioctlBinary, ['--control', demo.control, 'emit', 'notification',
      JSON.stringify({ message: text }), '--to', 'alice'], '', { anyExit: true });
    await sleep(100);
    return (await tab.innerText('body')).includes(text);
  }, 'the notification on the page');
  same(problems.filter((problem) => !/favicon/.test(problem)), [], 'problems of the page');
  await tab.close();
}, { timeout: 20000 });

await context.close();
page.close();
rmSync(profile, { recursive: true, force: true });
await checks.end(servers);
