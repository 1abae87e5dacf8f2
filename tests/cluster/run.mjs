// Runs the cluster tests: run.mjs [--reference] [--full] [--only NAME]
//
// --reference   Node servers in the place of the gateways (the files that this makes sense for)
// --full        the long forms: 2,000 clients, outages of 20 s
// --only NAME   only the files whose name contains NAME
//
// One file at a time, as each has several servers and many clients.

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const [reference, full] = ['--reference', '--full'].map((flag) => process.argv.includes(flag));
const at = process.argv.indexOf('--only');
const only = at > 0 ? process.argv[at + 1] : '';
const perFile = full ? 600000 : 180000;   // milliseconds
const noTests = ['run.mjs', 'golden.mjs'];
const onNode = ['operations.mjs', 'outages.mjs', 'kill.mjs'];

const files = readdirSync(here)
  .filter((file) => file.endsWith('.mjs') && !noTests.includes(file) && file.includes(only) && (!reference || onNode.includes(file)))
  .sort((a, b) => (onNode.indexOf(b) >= 0) - (onNode.indexOf(a) >= 0) || onNode.indexOf(a) - onNode.indexOf(b) || a.localeCompare(b));

let passed = 0;
let failed = 0;
let current = null;
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => { current?.kill('SIGTERM'); process.exit(1); });

for (const file of files) {
  const began = Date.now();
  const child = spawn(process.execPath, [join(here, file), ...(reference ? ['--reference'] : []), ...(full ? ['--full'] : [])],
    { stdio: ['ignore', 'pipe', 'pipe'] });
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
