// Carries a schedule out, and writes down what happened when.

import { sleep, within } from '../../integration/lib/harness.mjs';

/** How long it is still felt that Redis, or the way to it, was away: connections come back, what waited is sent. */
const aftermath = 3000;

const ours = ['gateway', 'bridge', 'authd'];

export class Chaos {
  /** `say(text)`: a line for who watches. */
  constructor(product, say) {
    Object.assign(this, { product, say, timeline: [], stops: [], disturbances: [], actions: [], faults: [], restarts: 0, open: new Set(), isOver: false });
    for (const part of product.parts.values()) this.guard(part);
  }

  /** `client`: whose it is, when it is what a client noticed. */
  mark(text, client = null) {
    this.timeline.push({ at: Date.now(), text, client });
    this.say(text);
  }

  fault(kind, text) {
    this.faults.push({ kind, at: Date.now(), text });
    this.mark(`FAULT ${text}`);
  }

  /** Whoever ends without being told to is a fault, and is started again, as a supervisor does. */
  guard(part) {
    const { child } = part;
    part.exited.then(async () => {
      if (this.isOver || part.child !== child || part.isExpected) return;
      this.fault('ended', `${part.name} ended by itself with ${child.exitCode ?? child.signalCode}: ${part.log().trim().slice(-300)}`);
      await sleep(1000);
      if (!this.isOver && !part.isRunning) await this.start(part);
    });
  }

  async start(part) {
    part.isExpected = false;
    const started = part.start();
    const { lives } = part;
    try {
      this.guard(part);
      await started;
      await part.ready(60000);
    } catch (error) {
      // Killed once more before it was up: then the next life counts.
      if (!this.isOver && !part.isExpected && part.lives === lives) this.fault('not back', `${part.name} is not back: ${error.message}`);
    }
  }

  /** Does everything in the plan at its time, and waits until the last of it is over. */
  async run(plan) {
    const began = Date.now();
    for (const action of plan) {
      await sleep(Math.max(0, began + action.at - Date.now()));
      this.mark(action.title);
      for (const step of action.steps) this.begin(step, action);
    }
    await Promise.all(this.open);
  }

  begin(step, action) {
    const doing = this.perform(step, action).catch((error) => this.fault('not done', `${action.title}: ${error.message}`));
    this.open.add(doing);
    doing.finally(() => this.open.delete(doing));
  }

  async perform(step, { title }) {
    await sleep(step.after);
    const record = { from: Date.now(), back: Infinity, to: Infinity };
    this.actions.push(record);
    const part = this.product.part(step.target);
    if (step.target === 'redis' || step.target.startsWith('redis of ')) this.disturbances.push(record);
    if (part?.kind === 'gateway') this.stops.push(record.from);
    await (part ? this.hurt(part, step) : this.disconnect(step, title));
    Object.assign(record, { back: Date.now(), to: Date.now() + aftermath });
  }

  /** One thing after the other: a drain, for example, may take longer than the plan thinks. */
  async hurt(part, step) {
    const before = part.isHurt ?? Promise.resolve();
    const doing = before.then(() => this.hurtNow(part, step));
    part.isHurt = doing.catch(() => {});
    await doing;
  }

  async hurtNow(part, { do: how, ms }) {
    // A plan knows how long things take about; whoever is not up yet is waited for.
    if (!part.isRunning) await part.ready(30000);
    if (how === 'freeze') {
      part.freeze();
      await sleep(ms);
      part.thaw();
      this.mark(`${part.name} thawed`);
      return;
    }
    part.isExpected = true;
    if (how === 'kill') await part.kill();
    else await this.term(part);
    await sleep(ms);
    const began = Date.now();
    if (ms > 0 || how === 'term') this.mark(`${part.name} started again`);
    await this.start(part);
    this.mark(`${part.name} is of use again, ${Date.now() - began} ms after its start`);
  }

  async term(part) {
    const status = await part.term().catch((error) => error.message);
    if (ours.includes(part.kind) && status !== 0) {
      this.fault('exit', `${part.name} was asked to end: ${status ?? part.child.signalCode}`);
      if (part.isRunning) await part.kill();
    }
  }

  async disconnect({ target, do: how, share, ms }) {
    const { count } = await this.product.network.ask(how, { target, share, ms, seed: this.actions.length });
    this.mark(`${count} connections of ${target} ${how === 'cut' ? 'cut' : 'half open'}`);
    await sleep(ms);
  }

  /** Waits for what is under way, and for every process to be of use. */
  async settle() {
    await within(90000, Promise.all(this.open), 'the end of all actions').catch((error) => this.fault('not back', error.message));
    await this.product.ready(30000).catch((error) => this.fault('not back', error.message));
  }

  end() { this.isOver = true; }
}
