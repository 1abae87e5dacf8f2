// What the run costs, and what the programs count: processor time by process, counters over all lives of a process.

import { readFileSync } from 'node:fs';
import { httpGet } from '../../integration/lib/harness.mjs';

const everyMs = 500;
const ticksPerSecond = 100;   // USER_HZ

function ticksOf(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1).split(' ');
    return Number(fields[11]) + Number(fields[12]);
  } catch {
    return 0;
  }
}

export class Meters {
  /** `groups()`: what to add up, [[group, pid], …]; `parts`: whose /metrics are read. */
  constructor(groups, parts) {
    Object.assign(this, { groups, parts, began: Date.now(), cpu: new Map(), lastTicks: new Map(), counters: new Map(), lastCounts: new Map() });
    this.timer = setInterval(() => this.look(), everyMs);
    this.look();
  }

  look() {
    for (const [group, pid] of this.groups()) {
      const now = ticksOf(pid);
      this.cpu.set(group, (this.cpu.get(group) ?? 0) + Math.max(0, now - (this.lastTicks.get(pid) ?? now)));
      this.lastTicks.set(pid, now);
    }
    for (const part of this.parts) this.count(part).catch(() => {});
  }

  async count({ kind, url, pid }) {
    const { body } = await httpGet(`${url}/metrics`, { timeout: 400, headers: { Accept: 'text/plain' } });
    for (const [, name, value] of body.matchAll(/^(sio_\w+_total(?:\{[^}]*\})?) (\d+)$/gm)) {
      const key = `${pid} ${name}`;
      const news = Number(value) - (this.lastCounts.get(key) ?? 0);
      this.lastCounts.set(key, Number(value));
      if (news > 0) this.counters.set(`${kind} ${name}`, (this.counters.get(`${kind} ${name}`) ?? 0) + news);
    }
  }

  /** The counters of a kind of program whose names match, [[name, value], …]. What a killed one counted last is not in them. */
  counted(kind, pattern) {
    return [...this.counters].filter(([name]) => name.startsWith(`${kind} `) && pattern.test(name)).map(([name, value]) => [name.slice(kind.length + 1), value]).sort();
  }

  /** Cores in use by each group. */
  cores() {
    const seconds = (Date.now() - this.began) / 1000;
    return [...this.cpu].map(([group, ticks]) => [group, ticks / ticksPerSecond / seconds]);
  }

  end() { clearInterval(this.timer); }
}
