// The judge notices what is wrong with the real product: one lie of each kind is told to it about a run in which nobody is
// killed, and it must find exactly those.

import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Checks, same } from '../integration/lib/harness.mjs';
import { spoils } from './lib/options.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const checks = new Checks('judge');

const { status, stdout } = spawnSync(process.execPath, [join(here, 'run.mjs'), '--minutes', '0.15', '--seed', '1', '--clients', '40', '--rooms', '10', '--rate', '200',
  '--kill', 'clients', '--how', 'cut', '--spoil', spoils.join(',')], { encoding: 'utf8', timeout: 120000 });
const failed = [...stdout.matchAll(/^FAIL +chaos: ([^:]*): (\d+)/gm)].map(([, name, count]) => `${name}: ${count}`);

await checks.step('a run of which the judge is told one lie of each kind ends with status 1, and names each once', () => {
  same(status, 1, 'exit status');
  same(failed, [
    'no record is missing at a client in its room: 2',   // a delivery, and an announcement at a watcher
    'no record comes twice: 1', 'nobody begins again who was away for less than 120 s: 1', 'each acknowledged event is in Kafka, once: 1',
  ], 'what failed');
});
if (checks.failed) console.log(stdout.replace(/^/gm, '      | '));
await checks.end();
