// What is done to whom, and when: the schedule of a run, made of the seed and the options alone.
//
// An action is {at, kind, how, title, steps}; `at` in ms from the beginning of the chaos, and each step
// {target, do, after, ms}: `after` ms from the beginning of the action; `ms`: how long the target is away (kill), frozen
// or without its bytes; `share` of the connections, for the network.

import { Random } from './random.mjs';

/** How long a SIGSTOP lasts that outlives what its neighbours put up with: pings, leases, sessions and timeouts. */
const longFreeze = { gateway: [11000, 14000], bridge: [6000, 9000], authd: [6000, 8000], redis: [4000, 8000], broker: [5000, 8000] };
/** How long each takes to be of use again, about. */
const settling = { gateway: 1000, bridge: 3500, authd: 500, redis: 1500, broker: 5000, clients: 500, links: 1000 };
const mostAtOnce = 2;   // actions under way at a time; what belongs together is one action

export const names = (kind, count) => (count === 1 && ['redis', 'broker'].includes(kind) ? [kind]
  : Array.from({ length: count }, (_, i) => `${kind}-${i + 1}`));

/** Who is there to be hurt, by kind. */
export function targetsOf({ gateways, bridges, authds }) {
  return {
    gateway: names('gateway', gateways), bridge: names('bridge', bridges), authd: names('authd', authds), redis: ['redis'], broker: ['broker'],
    clients: ['clients'], links: [...names('gateway', gateways), ...names('bridge', bridges)].map((name) => `redis of ${name}`),
  };
}

const processKinds = ['gateway', 'bridge', 'authd', 'redis', 'broker'];
const kill = (target, ms = 0, after = 0) => ({ target, do: 'kill', ms, after });
const shown = (ms) => `${(ms / 1000).toFixed(1)} s`;

/** How to make an action of a kind and a way: (random, target) → its title and steps. */
const makers = {
  'at-once': (random, target) => ({ title: `${target} killed, back at once`, steps: [kill(target)] }),
  later(random, target) {
    const ms = random.integer(1000, 6000);
    return { title: `${target} killed, back after ${shown(ms)}`, steps: [kill(target, ms)] };
  },
  freeze(random, target) {
    const ms = random.integer(200, 1500);
    return { title: `${target} frozen for ${shown(ms)}`, steps: [{ target, do: 'freeze', ms, after: 0 }] };
  },
  'freeze-long': (random, target, kind) => {
    const ms = random.integer(...longFreeze[kind]);
    return { title: `${target} frozen for ${shown(ms)}`, steps: [{ target, do: 'freeze', ms, after: 0 }] };
  },
  term: (random, target) => ({ title: `${target} asked to end, then started again`, steps: [{ target, do: 'term', ms: 0, after: 0 }] }),
  cut(random, target) {
    const share = target === 'clients' ? random.integer(10, 60) : 100;
    return { title: `${share} % of the connections ${target === 'clients' ? 'of clients' : `to ${target}`} cut`, steps: [{ target, do: 'cut', share, ms: 0, after: 0 }] };
  },
  swallow(random, target) {
    const share = target === 'clients' ? random.integer(5, 25) : 100;
    const ms = target === 'clients' ? 12000 : random.integer(1000, 8000);
    return {
      title: `${share} % of the connections ${target === 'clients' ? 'of clients' : `to ${target}`} half open for ${shown(ms)}`,
      steps: [{ target, do: 'swallow', share, ms, after: 0 }],
    };
  },
};

/** Several at a time: the kinds they need, and their steps. */
const combinations = [
  {
    kinds: ['gateway'], title: 'all gateways killed within one second',
    steps: (random, { gateway }) => gateway.map((target) => kill(target, 0, random.integer(0, 1000))),
  },
  {
    kinds: ['gateway', 'redis'], title: 'a gateway and Redis killed',
    steps: (random, { gateway }) => [kill(random.pick(gateway), 0, random.integer(0, 500)), kill('redis', random.integer(0, 1500), random.integer(0, 500))],
  },
  {
    kinds: ['bridge', 'broker'], title: 'a bridge and the broker killed',
    steps: (random, { bridge }) => [kill(random.pick(bridge), random.integer(0, 2000), random.integer(0, 500)), kill('broker', random.integer(0, 1500), random.integer(0, 500))],
  },
  {
    kinds: ['gateway', 'authd'], title: 'a gateway killed while no sio-authd is there',
    steps: (random, { gateway, authd }) => [...authd.map((target) => kill(target, 2500)), kill(random.pick(gateway), 0, random.integer(100, 1000))],
  },
  {
    kinds: ['bridge', 'redis'], title: 'all bridges and Redis killed within one second',
    steps: (random, { bridge }) => [...bridge.map((target) => kill(target, 0, random.integer(0, 1000))), kill('redis', 0, random.integer(0, 1000))],
  },
];

/** All kinds of actions that the options allow, each with a function that makes one for targets that are free. */
function choices(options) {
  const targets = targetsOf(options);
  const found = [];
  for (const kind of options.kill) {
    const ways = processKinds.includes(kind) ? ['at-once', 'later', 'freeze', 'freeze-long', 'term'] : ['cut', 'swallow'];
    for (const how of ways.filter((one) => options.how.includes(one))) {
      if (targets[kind].length === 0) continue;
      found.push({ kind, how, make: (random, free, times) => {
        const able = targets[kind].filter(free);
        const fewest = Math.min(...able.map(times));
        return able.length ? makers[how](random, random.pick(able.filter((target) => times(target) === fewest)), kind) : null;
      } });
    }
  }
  if (options.how.includes('together')) {
    for (const { kinds: needed, title, steps } of combinations) {
      if (!needed.every((kind) => options.kill.includes(kind))) continue;
      found.push({ kind: needed.join('+'), how: 'together', make: (random, free) => {
        const made = steps(random, targets);
        return made.every(({ target }) => free(target)) ? { title, steps: made } : null;
      } });
    }
  }
  return found;
}

/** First such as cover every kind and every way, then the others, then all of them again and again. */
function* inOrder(random, all) {
  const left = random.shuffle(all);
  const uncovered = new Set(all.flatMap(({ kind, how }) => [`kind ${kind}`, `how ${how}`]));
  const news = ({ kind, how }) => uncovered.has(`kind ${kind}`) + uncovered.has(`how ${how}`);
  while (left.length) {
    const best = left.reduce((most, one) => (news(one) > news(most) ? one : most));
    left.splice(left.indexOf(best), 1);
    uncovered.delete(`kind ${best.kind}`);
    uncovered.delete(`how ${best.how}`);
    yield best;
  }
  for (;;) yield* random.shuffle(all);
}

const kindOf = (target) => (target.startsWith('redis of ') ? 'links' : target.replace(/-\d+$/, ''));

function randomPlan(options) {
  const random = new Random(options.seed, 'plan');
  const all = choices(options);
  const end = options.minutes * 60000;
  const actions = [];
  const busy = new Map();   // target → when it is itself again
  const hurt = new Map();   // target → how many times
  const times = (target) => hurt.get(target) ?? 0;
  const running = [];       // ends of actions
  if (all.length === 0) return actions;
  let waiting = [];
  const order = inOrder(random, all);
  for (let at = 1000; at < end;) {
    const underWay = running.filter((until) => until > at);
    if (underWay.length >= mostAtOnce) { at = Math.min(...underWay); continue; }
    const free = (target) => (busy.get(target) ?? 0) <= at;
    if (waiting.length === 0) waiting = [order.next().value];
    let choice = null;
    let made = null;
    for (const one of waiting) {
      made = one.make(random, free, times);
      if (made) { choice = one; break; }
    }
    if (!made) {
      // Whoever has to wait for its target does not hold up the others.
      if (waiting.length < 6) waiting.push(order.next().value);
      else at += 500;
      continue;
    }
    waiting.splice(waiting.indexOf(choice), 1);
    const { kind, how } = choice;
    const lasts = Math.max(...made.steps.map(({ target, after, ms }) => after + ms + settling[kindOf(target)]));
    if (at + lasts > end) break;
    for (const { target, after, ms } of made.steps) {
      busy.set(target, at + after + ms + settling[kindOf(target)]);
      hurt.set(target, times(target) + 1);
    }
    running.push(at + lasts);
    actions.push({ at, kind, how, ...made });
    at += random.integer(400, 3500);
  }
  return actions;
}

/** The presets' plans: `rounds` of the same, `every` ms, at a moment that is drawn. */
const rounds = {
  turns: (options, random, targets) => Array.from({ length: options.rounds * targets.gateway.length }, (_, i) => ({
    kind: 'gateway', how: 'at-once', title: `${targets.gateway[i % targets.gateway.length]} killed, back at once`, steps: [kill(targets.gateway[i % targets.gateway.length])],
  })),
  all: (options, random, targets) => Array.from({ length: options.rounds }, () => ({
    kind: 'gateway', how: 'together', title: 'all gateways killed within one second', steps: targets.gateway.map((target) => kill(target, 0, random.integer(0, 1000))),
  })),
  everything: (options, random, targets) => Array.from({ length: options.rounds }, (_, round) => targets.gateway.map((target, i) => {
    const other = i % 3 === 1 ? targets.bridge[round % targets.bridge.length] : i % 3 === 2 ? 'redis' : null;
    return {
      kind: other ? `gateway+${kindOf(other)}` : 'gateway', how: other ? 'together' : 'at-once', title: `${target}${other ? ` and ${other}` : ''} killed, back at once`,
      steps: [kill(target), ...(other ? [kill(other, 0, random.integer(0, 800))] : [])],
    };
  })).flat(),
};

/** The schedule: actions in the order of their time. */
export function makePlan(options) {
  if (options.plan === 'random') return randomPlan(options);
  const random = new Random(options.seed, 'plan');
  return rounds[options.plan](options, random, targetsOf(options)).map((action, i) => ({
    at: 1500 + i * options.every + random.integer(0, Math.floor(options.every / 3)), ...action,
  }));
}

/** How long a plan goes on, ms. */
export function lengthOf(plan, options) {
  const last = plan.at(-1);
  const end = last ? last.at + Math.max(...last.steps.map(({ after, ms }) => after + ms)) + 3000 : 5000;
  return options.plan === 'random' ? Math.max(end, options.minutes * 60000) : end;
}

/** Whose clients go away on their own, when, how and for how long: [{at, client, how, ms}]. */
export function makeAbsences(options, length) {
  const random = new Random(options.seed, 'absences');
  const absences = [];
  for (let at = 1000; options.absences > 0 && at < length - 3000; at += random.between(0.3, 1.7) * 1000 / options.absences) {
    const how = random.pick(['logout', 'offline']);
    const long = random.next() < 0.4;
    const ms = long ? (options.grace + random.integer(4, 40)) * 1000 : random.integer(300, Math.max(400, options.grace * 1000 - 1500));
    absences.push({ at, client: random.integer(0, options.clients - 1), how, ms });
  }
  return absences;
}
