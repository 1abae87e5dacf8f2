// The judge of what came to one client: each record of its room once, and in order.
//
// Records of a room are numbered from 1. Which of them are due follows from when the client was in the room: all that
// were made after its join was acknowledged, and all behind the first that came. What is made between the moment when
// the gateway carries the join out and the moment when the client hears of it may come or not.
//
// A client's stay in the room is one or more episodes. One ends when the client is told that it begins again (then what
// it missed is `told`, not missing), or when it leaves on its own (then what was under way to it is nobody's fault).

/** When each record of a room was made: what a client must have follows from it. */
export class RoomLog {
  constructor() { Object.assign(this, { times: [], offsets: [] }); }

  get last() { return this.times.length; }

  /** The next record's number. Times never go back. */
  add(at) { return this.times.push(at); }

  /** The number of the first record that was made after `at`; one above the last when there is none. */
  firstAfter(at) {
    let [low, high] = [0, this.times.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[middle] > at) high = middle; else low = middle + 1;
    }
    return low + 1;
  }
}

const episode = () => ({ joinedAt: null, first: null, next: null, holes: new Set(), early: new Set(), ended: null });

/** What one client has of one room. Every step is told as it happens, so that the work for each event is tiny. */
export class Follower {
  /** `onFault({kind, from, to, after})`: called at once for what is missing, repeated or out of order. */
  constructor(onFault = () => {}) {
    Object.assign(this, { onFault, episodes: [episode()], delivered: 0, repeated: 0, disordered: 0 });
  }

  get current() { return this.episodes[this.episodes.length - 1]; }

  /** Its join was acknowledged. */
  joined(at) { this.current.joinedAt ??= at; }

  /** Record `number` came. */
  take(number) {
    const now = this.current;
    if (now.next === number) {
      now.next += 1;
      this.delivered += 1;
    } else if (now.first === null) {
      now.first = number;
      now.next = number + 1;
      this.delivered += 1;
    } else if (number > now.next) {
      for (let missing = now.next; missing < number; missing += 1) now.holes.add(missing);
      this.onFault({ kind: 'missing', from: now.next, to: number - 1, after: now.next - 1 });
      now.next = number + 1;
      this.delivered += 1;
    } else if (now.holes.delete(number) || (number < now.first && !now.early.has(number))) {
      if (number < now.first) now.early.add(number);
      this.disordered += 1;
      this.delivered += 1;
      this.onFault({ kind: 'disordered', from: number, to: number, after: now.next - 1 });
    } else {
      this.repeated += 1;
      this.onFault({ kind: 'repeated', from: number, to: number, after: now.next - 1 });
    }
  }

  /** The server told it that it begins again. */
  again() { this.end('again'); }

  /** It logs out. */
  left() { this.end('left'); }

  end(how) {
    this.current.ended = how;
    this.episodes.push(episode());
  }

  /** As plain data, for judgeRoom in another process. */
  report() {
    return {
      delivered: this.delivered, repeated: this.repeated, disordered: this.disordered,
      episodes: this.episodes.map(({ holes, early, ...rest }) => ({ ...rest, holes: [...holes], early: [...early] })),
    };
  }
}

/** Where an episode begins: the first record that had to come. */
function beginning({ first, joinedAt }, log) {
  const due = joinedAt === null ? Infinity : log.firstAfter(joinedAt);
  return Math.min(first ?? Infinity, due);
}

/**
 * What a follower's report comes to beside the log of its room: {expected, delivered, missing, told, repeated, disordered,
 * gaps}; `gaps` are the first missing ranges, each [from, to].
 */
export function judgeRoom({ delivered, repeated, disordered, episodes }, log) {
  const sum = { delivered, repeated, disordered, missing: 0, told: 0, gaps: [] };
  const lacks = (from, to) => {
    if (to < from) return;
    sum.missing += to - from + 1;
    if (sum.gaps.length < 5) sum.gaps.push([from, to]);
  };
  episodes.forEach((one, i) => {
    const start = beginning(one, log);
    for (let number = start; one.first !== null && number < one.first; number += 1) if (!one.early.includes(number)) lacks(number, number);
    sum.missing += one.holes.length;
    for (const hole of one.holes.slice(0, 5)) if (sum.gaps.length < 5) sum.gaps.push([hole, hole]);
    const end = one.next ?? start;   // the next that it would have got
    if (one.ended === null && end !== Infinity) lacks(end, log.last);
    if (one.ended === 'again' && end !== Infinity) {
      // Up to where it went on; when it did not, to the end.
      const resumed = Math.min(beginning(episodes[i + 1], log), log.last + 1);
      sum.told += Math.max(0, resumed - end);
    }
  });
  return { ...sum, expected: sum.delivered + sum.missing + sum.told };
}
