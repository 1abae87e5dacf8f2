// Child processes of Node that answer requests: {id, op, …} there, {id, …} back. What comes without an id is news.

import { fork } from 'node:child_process';
import { within } from '../integration/lib/harness.mjs';

const running = new Set();
process.on('exit', () => { for (const child of running) child.kill('SIGKILL'); });

export class Worker {
  /** Runs `program` with `settings` as JSON; `onNews(message)`: what it says without being asked. */
  constructor(program, settings, onNews = () => {}) {
    this.child = fork(program, [JSON.stringify(settings)]);
    this.waiting = new Map();
    this.next = 0;
    running.add(this.child);
    this.child.on('message', ({ id, ...answer }) => {
      if (id === undefined) { onNews(answer); return; }
      this.waiting.get(id)?.(answer);
      this.waiting.delete(id);
    });
    this.exited = new Promise((done) => this.child.once('exit', (code, signal) => { running.delete(this.child); done(code ?? signal); }));
  }

  get pid() { return this.child.pid; }

  ask(op, members = {}, timeout = 10000) {
    this.next += 1;
    const id = this.next;
    const answer = new Promise((done) => { this.waiting.set(id, done); });
    this.child.send({ id, op, ...members });
    return within(timeout, answer, `${op} of a worker`);
  }

  end() { this.child.kill('SIGTERM'); }
}

/** The worker's side: answers each request with what `operations[op]` gives. */
export function serve(operations) {
  process.on('message', async ({ id, op, ...members }) => process.send({ id, ...await operations[op](members) }));
  process.on('disconnect', () => process.exit(0));
}

/** Tells the parent something it has not asked for. */
export const tell = (news) => process.send(news);
