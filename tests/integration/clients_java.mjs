// The Java client over its default transports, polling alone and WebSocket alone.

import { statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { Checks, here, httpGet, runCommand, startServer, until } from './lib/harness.mjs';
import { runClient } from './lib/client_process.mjs';
import { transportSets } from './lib/values.mjs';

const folder = join(here, 'java');
const jar = join(folder, 'target/java-client.jar');
const madeAt = (path) => { try { return statSync(path).mtimeMs; } catch { return 0; } };

const checks = new Checks('clients_java');
if (madeAt(jar) < Math.max(madeAt(join(folder, 'pom.xml')), madeAt(join(folder, 'src/main/java/Scenario.java')))) {
  const built = await checks.step('the Java client is built',
    () => runCommand('mvn', ['-q', '-f', join(folder, 'pom.xml'), 'package'], '', { timeout: 120000 }), { timeout: 130000 });
  if (!built) await checks.end();
}

// The client leaves a close frame unanswered and notices it at the ping timeout only, unless the code is 1012.
const nodeFails = (set) => (step) => step === 'an event has the arguments that it was sent with, and no more'
  || (set !== 'polling' && step === 'comes back by itself when only its transport is dropped');

// A virtual machine that starts beside others may stand for a second. It idles for 2.6 s, which is longer than both.
const server = await startServer({
  options: { '--ping-interval': '500ms', '--ping-timeout': '1900ms' }, settings: { pingInterval: 500, pingTimeout: 1900 },
});
await Promise.all(transportSets.map(([set]) => runClient(checks, server, 'java',
  ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', [jar, join(folder, 'target/lib/*')].join(delimiter),
    'Scenario', server.url, set], { label: `Java ${set}`, nodeFails: nodeFails(set) })));
await checks.ours('clients that have left are forgotten', () => until(3000, async () => {
  const metrics = JSON.parse((await httpGet(`${server.url}/metrics`)).body);
  return metrics.socketConnections === 0;
}, 'socketConnections = 0'));
await checks.end(server);
