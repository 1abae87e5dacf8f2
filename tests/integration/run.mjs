// Runs the integration tests: run.mjs [--reference] [--only NAME]
//
// --reference   on the Node reference server instead of bin/sio-gateway (without the tests of the gateway's own)
// --only NAME   only the files whose name contains NAME
//
// Two files run at a time; each prints its own lines when it is done.

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const reference = process.argv.includes('--reference');
const at = process.argv.indexOf('--only');
const only = at > 0 ? process.argv[at + 1] : '';
const perFile = 120000;   // milliseconds

// The longest first, so that two at a time end together.
const longest = ['clients_python.mjs', 'raw_polls.mjs', 'gateway_ops.mjs', 'clients_js.mjs', 'browser.mjs', 'clients_java.mjs'];
const rank = (file) => (longest.includes(file) ? longest.indexOf(file) : longest.length);
const files = readdirSync(here)
  .filter((file) => file.endsWith('.mjs') && !['run.mjs', 'reference.mjs'].includes(file) && file.includes(only))
  .filter((file) => !(reference && file.startsWith('gateway_')))
  .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));

let passed = 0;
let failed = 0;
const children = new Set();
const stopAll = () => { for (const child of children) child.kill('SIGTERM'); process.exit(1); };
process.on('SIGINT', stopAll);
process.on('SIGTERM', stopAll);

function run(file) {
  return new Promise((done) => {
    const began = Date.now();
    const child = spawn(process.execPath, [join(here, file), ...(reference ? ['--reference'] : [])],
      { stdio: ['ignore', 'pipe', 'pipe'] });
    children.add(child);
    let out = '';
    child.stdout.on('data', (part) => { out += part; });
    child.stderr.on('data', (part) => { out += part; });
    const timer = setTimeout(() => {
      out += `\nFAIL  ${file}: not done within ${perFile / 1000} s\n`;
      child.kill('SIGTERM');
    }, perFile);
    child.on('close', (code) => {
      clearTimeout(timer);
      children.delete(child);
      const lines = out.trimEnd().split('\n');
      const [, yes, no] = /^(\d+) passed, (\d+) failed$/.exec(lines.at(-1)) ?? [];
      if (yes !== undefined) lines.pop();
      passed += Number(yes ?? 0);
      failed += no !== undefined && (code === 0 || Number(no) > 0) ? Number(no) : 1;
      console.log(lines.join('\n'));
      console.log(`      ${file}: ${yes !== undefined ? `${yes} passed, ${no} failed` : `ended early with ${code}`}, `
        + `${((Date.now() - began) / 1000).toFixed(1)} s`);
      done();
    });
  });
}

const waiting = [...files];
const worker = async () => { while (waiting.length) await run(waiting.shift()); };
await Promise.all([worker(), worker()]);
if (files.length === 0) { console.log(`no file is named ${only}`); failed += 1; }
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
