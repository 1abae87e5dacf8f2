// Runs the cluster tests: run.mjs [--reference] [--full] [--only NAME]
//
// --reference   Node servers in the place of the gateways (the files that this makes sense for)
// --full        the long forms: 2,000 clients, outages of 20 s
// --only NAME   only the files whose name contains NAME
//
// Files with many clients or much traffic run alone, the others two at a time.

import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runPrograms, wantedName } from '../support/run_programs.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const flags = ['--reference', '--full'].filter((flag) => process.argv.includes(flag));
const noTests = ['run.mjs', 'golden.mjs'];
const alone = ['operations.mjs', 'outages.mjs', 'kill.mjs', 'questions.mjs', 'restart.mjs', 'returns.mjs', 'further_back.mjs', 'takeover.mjs'];
const onNode = ['operations.mjs', 'outages.mjs', 'kill.mjs'];

const files = readdirSync(here)
  .filter((file) => file.endsWith('.mjs') && !noTests.includes(file) && file.includes(wantedName()))
  .filter((file) => !flags.includes('--reference') || onNode.includes(file))
  .sort((a, b) => (onNode.indexOf(b) >= 0) - (onNode.indexOf(a) >= 0) || onNode.indexOf(a) - onNode.indexOf(b) || a.localeCompare(b));

await runPrograms(files.map((file) => ({ name: file, command: process.execPath, args: [join(here, file), ...flags], isAlone: alone.includes(file) })),
  { limit: flags.includes('--full') ? 600000 : 180000, atATime: 2 });
