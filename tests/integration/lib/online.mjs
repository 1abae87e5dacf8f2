// What a daemon's --check-config --online says.

import { dirname, join } from 'node:path';
import { gatewayBinary, runCommand } from './harness.mjs';

/**
 * Checks `sio-DAEMON` with these arguments, and without variables of ours. Returns its status, the milliseconds that it
 * took, and what it says on stderr: `faults` and `warnings`, without the program's name.
 */
export async function checkOnline(daemon, args, { limit = '5s', env = {} } = {}) {
  const began = performance.now();
  const { code, out, err } = await runCommand(join(dirname(gatewayBinary), `sio-${daemon}`), ['--check-config', `--online=${limit}`, ...args], '',
    { env: { PATH: process.env.PATH, ...env }, anyExit: true, timeout: 20000 });
  const lines = err.split('\n').filter((line) => line !== '').map((line) => line.replace(`sio-${daemon}: `, ''));
  return {
    code, out, err, ms: performance.now() - began,
    faults: lines.filter((line) => !line.startsWith('warning: ')),
    warnings: lines.filter((line) => line.startsWith('warning: ')).map((line) => line.slice('warning: '.length)),
  };
}
