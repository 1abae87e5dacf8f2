// Runs the tests of sio-bridge against a real Kafka broker: run.mjs [--quick] [--only NAME]
//
// --quick       shorter outages
// --only NAME   only the files whose name contains NAME
//
// Two files at a time: most of what they do is wait for Kafka. Java and Maven are needed; the broker's jars are fetched
// at the first run (see broker.mjs).

import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runPrograms, wantedName } from '../support/run_programs.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const flags = process.argv.includes('--quick') ? ['--quick'] : [];
const noTests = ['run.mjs', 'broker.mjs'];

// The longest first, so that two at a time end together.
const longest = ['away.mjs', 'security.mjs', 'storm.mjs'];
const rank = (file) => (longest.includes(file) ? longest.indexOf(file) : longest.length);

await runPrograms(readdirSync(here)
  .filter((file) => file.endsWith('.mjs') && !noTests.includes(file) && file.includes(wantedName()))
  .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b))
  .map((file) => ({ name: file, command: process.execPath, args: [join(here, file), ...flags] })), { limit: 300000, atATime: 2 });
