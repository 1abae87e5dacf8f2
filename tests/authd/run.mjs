// Runs the authd tests: run.mjs [--only NAME]     only the files whose name contains NAME
//
// All tokens of auth-vectors.json first, then one file at a time.

import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runPrograms, wantedName } from '../support/run_programs.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const programs = readdirSync(here).filter((file) => file.endsWith('.mjs') && file !== 'run.mjs').sort()
  .map((file) => ({ name: file, command: process.execPath, args: [join(here, file)] }));
programs.unshift({ name: 'vectors', command: join(here, 'vectors'), args: [join(here, 'auth-vectors.json')] });

await runPrograms(programs.filter(({ name }) => name.includes(wantedName())), { limit: 120000 });
