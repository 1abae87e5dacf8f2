// Runs the integration tests: run.mjs [--reference] [--only NAME]
//
// --reference   on the Node reference server instead of bin/sio-gateway (without the tests of the gateway's own)
// --only NAME   only the files whose name contains NAME
//
// Two files run at a time; each prints its own lines when it is done.

import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runPrograms, wantedName } from '../support/run_programs.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const reference = process.argv.includes('--reference');

// The longest first, so that two at a time end together.
const longest = ['clients_python.mjs', 'raw_polls.mjs', 'gateway_ops.mjs', 'clients_js.mjs', 'browser.mjs', 'clients_java.mjs'];
const rank = (file) => (longest.includes(file) ? longest.indexOf(file) : longest.length);
const files = readdirSync(here)
  .filter((file) => file.endsWith('.mjs') && !['run.mjs', 'reference.mjs'].includes(file) && file.includes(wantedName()))
  .filter((file) => !(reference && file.startsWith('gateway_')))
  .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));

await runPrograms(files.map((file) => ({ name: file, command: process.execPath,
  args: [join(here, file), ...(reference ? ['--reference'] : [])] })), { limit: 120000, atATime: 2 });
