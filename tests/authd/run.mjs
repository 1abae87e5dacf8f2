// Runs the authd tests: run.mjs [--only NAME]     only the files whose name contains NAME
//
// All tokens of auth-vectors.json first, then one file at a time.

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const at = process.argv.indexOf('--only');
const only = at > 0 ? process.argv[at + 1] : '';
const perFile = 120000;   // milliseconds

const commands = readdirSync(here).filter((file) => file.endsWith('.mjs') && file !== 'run.mjs').sort()
  .map((file) => [file, process.execPath, join(here, file)]);
commands.unshift(['vectors', join(here, 'vectors'), join(here, 'auth-vectors.json')]);

// The programs under test: SIO_BIN names their folder for all files alike.
const env = { ...process.env };
if (env.SIO_BIN) {
  env.SIO_GATEWAY ??= join(env.SIO_BIN, 'sio-gateway');
  env.SIOCTL ??= join(env.SIO_BIN, 'sioctl');
}

let passed = 0;
let failed = 0;
let ran = 0;
let current = null;
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => { current?.kill('SIGTERM'); process.exit(1); });

for (const [name, command, ...args] of commands) {
  if (!name.includes(only)) continue;
  ran += 1;
  const began = Date.now();
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
  current = child;
  let out = '';
  child.stdout.on('data', (part) => { out += part; });
  child.stderr.on('data', (part) => { out += part; });
  child.on('error', (error) => { out += `\nFAIL  ${name}: ${error.message}\n`; });
  const timer = setTimeout(() => {
    out += `\nFAIL  ${name}: not done within ${perFile / 1000} s\n`;
    child.kill('SIGTERM');
  }, perFile);
  const code = await new Promise((done) => child.once('close', done));
  clearTimeout(timer);
  const lines = out.trimEnd().split('\n');
  const [, yes, no] = /^(\d+) passed, (\d+) failed$/.exec(lines.at(-1)) ?? [];
  if (yes !== undefined) lines.pop();
  passed += Number(yes ?? 0);
  failed += no !== undefined && (code === 0 || Number(no) > 0) ? Number(no) : 1;
  console.log(lines.join('\n'));
  console.log(`      ${name}: ${yes !== undefined ? `${yes} passed, ${no} failed` : `ended early with ${code}`}, `
    + `${((Date.now() - began) / 1000).toFixed(1)} s`);
}
if (ran === 0) { console.log(`no file is named ${only}`); failed += 1; }
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
