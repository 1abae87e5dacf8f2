// Runs the tests of sio-bridge against a real Kafka broker: run.mjs [--quick] [--only NAME]
//
// --quick       shorter outages
// --only NAME   only the files whose name contains NAME
//
// One file at a time. Java and Maven are needed; the broker's jars are fetched at the first run (see broker.mjs).

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const quick = process.argv.includes('--quick');
const at = process.argv.indexOf('--only');
const only = at > 0 ? process.argv[at + 1] : '';
const perFile = 300000;   // milliseconds
const noTests = ['run.mjs', 'broker.mjs'];

const files = readdirSync(here).filter((file) => file.endsWith('.mjs') && !noTests.includes(file) && file.includes(only)).sort();

// The programs under test: SIO_BIN names their folder for all files alike.
const env = { ...process.env };
if (env.SIO_BIN) {
  env.SIO_GATEWAY ??= join(env.SIO_BIN, 'sio-gateway');
  env.SIOCTL ??= join(env.SIO_BIN, 'sioctl');
}

let passed = 0;
let failed = 0;
let current = null;
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => { current?.kill('SIGTERM'); process.exit(1); });

for (const file of files) {
  const began = Date.now();
  const child = spawn(process.execPath, [join(here, file), ...(quick ? ['--quick'] : [])], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  current = child;
  let out = '';
  child.stdout.on('data', (part) => { out += part; });
  child.stderr.on('data', (part) => { out += part; });
  const timer = setTimeout(() => {
    out += `\nFAIL  ${file}: not done within ${perFile / 1000} s\n`;
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
  console.log(`      ${file}: ${yes !== undefined ? `${yes} passed, ${no} failed` : `ended early with ${code}`}, `
    + `${((Date.now() - began) / 1000).toFixed(1)} s`);
}
if (files.length === 0) { console.log(`no file is named ${only}`); failed += 1; }
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
