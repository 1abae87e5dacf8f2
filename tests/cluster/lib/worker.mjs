// A forked process that answers questions: `ask(op, members)` resolves with what it answers.

import { fork } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { within } from '../../integration/lib/harness.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const alive = new Set();
process.on('exit', () => { for (const child of alive) child.kill('SIGKILL'); });

export function startWorker(file, settings) {
  const child = fork(join(here, file), [JSON.stringify(settings)]);
  alive.add(child);
  child.once('exit', () => alive.delete(child));
  const waiting = new Map();
  let next = 0;
  child.on('message', ({ id, ...answer }) => { waiting.get(id)?.(answer); waiting.delete(id); });
  return {
    child,
    ask(op, members = {}, timeout = 10000) {
      next += 1;
      const id = next;
      const answer = new Promise((done) => { waiting.set(id, done); });
      child.send({ id, op, ...members });
      return within(timeout, answer, `${op} of ${file}`);
    },
    end: () => child.kill('SIGTERM'),
  };
}
