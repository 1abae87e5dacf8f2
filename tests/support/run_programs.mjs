// Runs test programs that end with `N passed, N failed`, shows what they print, adds up, and ends with the sum.

import { spawn } from 'node:child_process';
import { join } from 'node:path';

/** What stands behind `--only` on the command line; empty: everything. */
export function wantedName() {
  const at = process.argv.indexOf('--only');
  return at > 0 ? process.argv[at + 1] : '';
}

/**
 * Runs `programs`, each {name, command, args, isAlone}, those that are to be alone first, then `atATime` of them side by side,
 * each for at most `limit` ms, and ends this process. SIO_BIN names the folder of the programs under test for all alike. One that ends badly, or without its count,
 * is one failure; so is having none to run.
 */
export async function runPrograms(programs, { limit, atATime = 1 }) {
  const env = { ...process.env };
  if (env.SIO_BIN) {
    env.SIO_GATEWAY ??= join(env.SIO_BIN, 'sio-gateway');
    env.SIOCTL ??= join(env.SIO_BIN, 'sioctl');
  }
  let passed = 0;
  let failed = 0;
  const children = new Set();
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => { for (const child of children) child.kill('SIGTERM'); process.exit(1); });
  }

  async function run({ name, command, args }) {
    const began = Date.now();
    const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    children.add(child);
    let out = '';
    child.stdout.on('data', (part) => { out += part; });
    child.stderr.on('data', (part) => { out += part; });
    child.on('error', (error) => { out += `\nFAIL  ${name}: ${error.message}\n`; });
    const timer = setTimeout(() => {
      out += `\nFAIL  ${name}: not done within ${limit / 1000} s\n`;
      child.kill('SIGTERM');
    }, limit);
    const code = await new Promise((done) => child.once('close', done));
    clearTimeout(timer);
    children.delete(child);
    const lines = out.trimEnd().split('\n');
    const [, yes, no] = /^(\d+) passed, (\d+) failed$/.exec(lines.at(-1)) ?? [];
    if (yes !== undefined) lines.pop();
    passed += Number(yes ?? 0);
    failed += no !== undefined && (code === 0 || Number(no) > 0) ? Number(no) : 1;
    console.log(lines.join('\n'));
    console.log(`      ${name}: ${yes !== undefined ? `${yes} passed, ${no} failed` : `ended early with ${code}`}, `
      + `${((Date.now() - began) / 1000).toFixed(1)} s`);
  }

  for (const one of programs) if (one.isAlone) await run(one);
  const waiting = programs.filter((one) => !one.isAlone);
  const worker = async () => { while (waiting.length) await run(waiting.shift()); };
  await Promise.all(Array.from({ length: atATime }, worker));
  if (programs.length === 0) { console.log(`no file is named ${wantedName()}`); failed += 1; }
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
}
