// Numbers drawn from a seed: the same seed and name give the same numbers, on any machine.

export class Random {
  /** `name`: what is drawn from it, so that more draws for one thing change nothing for another. */
  constructor(seed, name) {
    this.state = seed >>> 0;
    for (const character of name) this.state = Math.imul(this.state ^ character.charCodeAt(0), 0x9e3779b1) >>> 0;
  }

  /** From 0, below 1 (mulberry32). */
  next() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 0x100000000;
  }

  /** An integer from `low` to `high`, both included. */
  integer(low, high) { return low + Math.floor(this.next() * (high - low + 1)); }
  between(low, high) { return low + this.next() * (high - low); }
  pick(list) { return list[this.integer(0, list.length - 1)]; }

  /** The list in an order of its own. */
  shuffle(list) {
    const out = [...list];
    for (let i = out.length - 1; i > 0; i -= 1) {
      const other = this.integer(0, i);
      [out[i], out[other]] = [out[other], out[i]];
    }
    return out;
  }
}
