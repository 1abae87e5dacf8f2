// Runs a client program of another language as part of a test file.
//
// The program gets the address of the server and the name of a transport set, and writes one line per step:
//   ok NAME                     the step passed
//   FAIL NAME<tab>DETAIL        the step failed
//   @emit {"to":…,"nsp":…,"events":[[name, …args], …]}
//                               the operator is asked to send events; answered by a line `done` on its stdin
//   end                         it ran to its end

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** `nodeFails(step)`: whether the reference is known to fail that step. */
export function runClient(checks, server, command, args, { label, nodeFails = () => false, timeout = 60000 }) {
  return new Promise((finished) => {
    const child = spawn(command, args, { stdio: 'pipe' });
    const timer = setTimeout(() => child.kill('SIGKILL'), timeout);
    let ended = false;
    let errors = '';
    const record = (name, detail) => checks.record(`${label}: ${name}`, detail, { nodeFails: nodeFails(name) });
    child.stderr.on('data', (part) => { errors = (errors + part).slice(-2000); });
    child.stdin.on('error', () => {});
    createInterface({ input: child.stdout }).on('line', async (line) => {
      const [, word, rest] = /^(\S+) ?(.*)$/.exec(line) ?? [];
      if (word === 'ok') record(rest, null);
      else if (word === 'FAIL') { const [name, detail] = rest.split('\t'); record(name, new Error(detail)); }
      else if (word === 'end') ended = true;
      else if (word === '@emit') {
        const { to, nsp, events } = JSON.parse(rest);
        try {
          await server.emitMany(events, { to, nsp });
        } catch (error) {
          record('the operator sends events', error);
        }
        child.stdin.write('done\n');
      }
    });
    child.on('error', (error) => { clearTimeout(timer); record('starts', error); finished(); });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      record('runs to its end', ended && code === 0 ? null
        : new Error(`left with ${code ?? signal}: ${errors.trim().slice(-600)}`));
      finished();
    });
  });
}
