// The Python clients Client, AsyncClient and SimpleClient, each over its default transports, polling and WebSocket.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Checks, here, httpGet, root, startServer, until } from './lib/harness.mjs';
import { runClient } from './lib/client_process.mjs';
import { transportSets } from './lib/values.mjs';

const python = process.env.SIO_PYTHON ?? join(root, '.deps/venv/bin/python');
const checks = new Checks('clients_python');
if (!existsSync(python)) {
  checks.record('the Python clients are installed', new Error(`no ${python}: run make deps`));
  await checks.end();
}

// Python takes at most 16 packets in the answer to a poll, and does not come back when a poll is answered `1`.
const lostByPolling = ['gets 1,000 events', 'sends 1,000 events', 'comes back by itself when only its transport is dropped'];
// The recovery offset is one argument more than a handler with fixed parameters takes.
const lostToOffset = ['a handler with fixed parameters is called', 'an event has the arguments that it was sent with, and no more'];

// Nine at a time on two cores may be late with a pong by more than the second that the other tests have.
const server = await startServer({ options: { '--ping-timeout': '3s' }, settings: { pingTimeout: 3000 } });
await Promise.all(['sync', 'async', 'simple'].flatMap((kind) => transportSets.map(([set]) => runClient(
  checks, server, python, [join(here, 'clients.py'), kind, server.url, set],
  {
    label: `Python ${{ sync: 'Client', async: 'AsyncClient', simple: 'SimpleClient' }[kind]} ${set}`,
    nodeFails: (step) => lostToOffset.includes(step) || (set === 'polling' && lostByPolling.includes(step)),
  }))));
await checks.ours('clients that have left are forgotten', () => until(3000, async () => {
  const metrics = JSON.parse((await httpGet(`${server.url}/metrics`)).body);
  return metrics.socketConnections === 0;
}, 'socketConnections = 0'));
await checks.end(server);
