// The judge is judged: histories with one fault each get exactly that verdict, and those without get none.
//
// No program is started, no time passes.

import { Checks, same, truth } from '../integration/lib/harness.mjs';
import { Follower, RoomLog, judgeRoom } from './lib/deliveries.mjs';
import { judgeEvents } from './lib/events.mjs';
import { readOptions } from './lib/options.mjs';
import { lengthOf, makeAbsences, makePlan, targetsOf } from './lib/plan.mjs';
import { byUser, judgeUser, judgeWatcher } from './lib/presence.mjs';

const checks = new Checks('judge');

// ---- Deliveries -----------------------------------------------------------------------------------------------------

/** A room whose record n is made at the time 100 n. */
function roomOf(count) {
  const log = new RoomLog();
  for (let n = 1; n <= count; n += 1) log.add(n * 100);
  return log;
}

const perfect = { expected: 10, delivered: 10, missing: 0, told: 0, repeated: 0, disordered: 0, gaps: [] };

/** A client that joined before all of 10 records, with what `steps` does to it; a number is a delivery. */
async function delivery(name, steps, want) {
  await checks.step(name, () => {
    const follower = new Follower();
    for (const step of steps) { if (typeof step === 'number') follower.take(step); else step(follower); }
    same(judgeRoom(JSON.parse(JSON.stringify(follower.report())), roomOf(10)), { ...perfect, ...want }, 'verdict');
  });
}

const joined = (at) => (follower) => follower.joined(at);
const again = (follower) => follower.again();
const left = (follower) => follower.left();

await delivery('all once and in order is no fault', [joined(50), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], {});
await delivery('one missing in the middle', [joined(50), 1, 2, 3, 4, 6, 7, 8, 9, 10], { delivered: 9, missing: 1, gaps: [[5, 5]] });
await delivery('one missing at the end', [joined(50), 1, 2, 3, 4, 5, 6, 7, 8, 9], { delivered: 9, missing: 1, gaps: [[10, 10]] });
await delivery('one missing right after the join', [joined(50), 2, 3, 4, 5, 6, 7, 8, 9, 10], { delivered: 9, missing: 1, gaps: [[1, 1]] });
await delivery('nothing came at all', [joined(50)], { delivered: 0, missing: 10, gaps: [[1, 10]] });
await delivery('one repeated', [joined(50), 1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10], { repeated: 1 });
await delivery('one repeated much later', [joined(50), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1], { repeated: 1 });
await delivery('two in the wrong order', [joined(50), 1, 2, 4, 3, 5, 6, 7, 8, 9, 10], { disordered: 1 });
await delivery('the first two in the wrong order', [joined(50), 2, 1, 3, 4, 5, 6, 7, 8, 9, 10], { disordered: 1 });
await delivery('one in the wrong order, then again', [joined(50), 1, 2, 4, 3, 3, 5, 6, 7, 8, 9, 10], { disordered: 1, repeated: 1 });
await delivery('what was made before the join was acknowledged may come or not', [joined(350), 3, 4, 5, 6, 7, 8, 9, 10], { expected: 8, delivered: 8 });
await delivery('and is not due', [joined(350), 4, 5, 6, 7, 8, 9, 10], { expected: 7, delivered: 7 });
await delivery('behind the first that came everything is due', [2, joined(450), 5, 6, 7, 8, 9, 10], { expected: 9, delivered: 7, missing: 2, gaps: [[3, 3], [4, 4]] });
await delivery('begun again: told, not missing', [joined(50), 1, 2, 3, again, joined(650), 7, 8, 9, 10], { delivered: 7, told: 3 });
await delivery('begun again, and one missing after that', [joined(50), 1, 2, 3, again, joined(650), 7, 8, 10], { delivered: 6, missing: 1, told: 3, gaps: [[9, 9]] });
await delivery('begun again, and one missing before that', [joined(50), 1, 3, again, joined(650), 7, 8, 9, 10], { delivered: 6, missing: 1, told: 3, gaps: [[2, 2]] });
await delivery('begun again and never back in the room', [joined(50), 1, 2, 3, again], { delivered: 3, told: 7 });
await delivery('whoever logs out misses nothing', [joined(50), 1, 2, 3, left], { expected: 3, delivered: 3 });
await delivery('nor while they are logged out', [joined(50), 1, 2, 3, left, joined(750), 8, 9, 10], { expected: 6, delivered: 6 });

// ---- Events ---------------------------------------------------------------------------------------------------------

const sound = { found: 4, repeats: 0, missing: 0, twice: 0, disordered: 0, gaps: 0, foreign: 0 };
const record = (offset, seq, n, more = {}) => ({ partition: 0, offset, id: `${offset}-0`, user: 'ann', seq, client: 1, n, ...more });

/** One client that sent five events, of which it knows that the first four are there. */
async function events(name, records, want, count) {
  await checks.step(name, () => {
    const { faults, ...sum } = judgeEvents(records, new Map([[1, { user: 'ann', sent: 5, acked: [1, 2, 3, 4] }]]));
    same(sum, { ...sound, ...want }, 'verdict');
    same(faults.length, count, 'faults');
  });
}

const four = [record(0, 1, 1), record(1, 2, 2), record(2, 3, 3), record(3, 4, 4)];
await events('acknowledged events, each once, are no fault', four, {}, 0);
await events('one that was not acknowledged may be there', [...four, record(4, 5, 5)], { found: 5 }, 0);
await events('a repeat under the same id is none', [...four.slice(0, 3), ...four.slice(1).map((one) => ({ ...one, offset: one.offset + 2 }))], { repeats: 2 }, 0);
await events('an acknowledged event is missing at the end', four.slice(0, 3), { found: 3, missing: 1 }, 1);
await events('one is missing, and so is its number in the sequence', [four[0], four[2], four[3]], { found: 3, missing: 1, gaps: 1 }, 2);
await events('the sequence of a user has a gap', [four[0], four[1], record(2, 4, 3), record(3, 5, 4)], { gaps: 1 }, 1);
await events('an event is there under two ids', [...four, record(4, 5, 4)], { found: 5, twice: 1 }, 1);
await events('an event is late: out of order, and no gap', [record(0, 2, 2), record(1, 3, 3), record(2, 1, 1), record(3, 4, 4)], { disordered: 2 }, 2);
await events('two events are in the wrong order', [four[0], record(1, 2, 3), record(2, 3, 2), four[3]], { disordered: 1 }, 1);
await events('a sequence goes back', [four[0], four[1], four[2], record(3, 2, 4)], { disordered: 1 }, 1);
await events('a record is there that nobody sent', [...four, record(4, 5, 9)], { foreign: 1 }, 1);
await events('a record has the name of another user', [...four, record(4, 1, 5, { user: 'bob' })], { foreign: 1 }, 1);

// ---- Presence -------------------------------------------------------------------------------------------------------

const second = 1000;
/** A user who connects after 10 s, with what else happened; times in seconds; `told` as +TIME and -TIME. */
async function presence(name, intervals, told, wantFaults, more = {}) {
  await checks.step(name, () => {
    const verdict = judgeUser('ann', {
      intervals: intervals.map(([from, to, { since = from, heard = to ?? 200, clean = true } = {}]) => ({ since: since * second, from: from * second, to: to === null ? null : to * second, heard: heard * second, clean })),
      told: told.map((at) => ({ at: Math.abs(at) * second, online: at > 0 })),
      end: 200 * second, grace: 5 * second, disturbances: [], stops: [], actions: [], ...more,
    });
    same(verdict.faults.map(({ text }) => text.replace(/[0-9:.]+/g, 'N')), wantFaults, 'faults');
    if (more.excused !== undefined) same(verdict.excused, more.excused, 'excused');
  });
}

const wholeRun = [{ from: 0, to: 200 * second }];
await presence('a user who stays is online', [[10, null]], [10.01], []);
await presence('two tabs are one user', [[10, 50], [20, null]], [10.01], []);
await presence('an absence within the grace is hidden', [[10, 50], [53, null]], [10.01], []);
await presence('a longer one is announced', [[10, 50], [80, null]], [10.01, -55.02, 80.01], []);
await presence('one between grace and detection may be', [[10, 50, { clean: false }], [60, null]], [10.01], []);
await presence('never announced online', [[10, null]], [], ['ann came at N and was not online N ms later']);
await presence('not announced online after a return', [[10, 50], [80, null]], [10.01, -55.02], ['ann came at N and was not online N ms later']);
await presence('not announced offline', [[10, 50], [80, null]], [10.01], ['ann was away for N ms and not announced offline within N ms']);
await presence('not announced offline at the end', [[10, 50]], [10.01], ['ann was away for N ms and not announced offline within N ms']);
await presence('not announced offline after a gateway was killed', [[10, 50], [120, null]], [10.01], ['ann was away for N ms and not announced offline within N ms'], { actions: wholeRun });
await presence('announced offline within the grace', [[10, 50], [53, null]], [10.01, -52.9, 53.1], ['ann was announced offline and had a socket N ms before; the grace is N ms']);
await presence('announced offline while connected', [[10, null]], [10.01, -40, 40.1], ['ann was announced offline and had a socket N ms before; the grace is N ms']);
await presence('announced offline when one of two tabs went', [[10, 50], [20, null]], [10.01, -55.02, 55.1], ['ann was announced offline and had a socket N ms before; the grace is N ms']);
await presence('the same while Redis was away is excused', [[10, null]], [10.01, -40, 40.1], [], { disturbances: [{ from: 36 * second, to: 41 * second }], excused: 1 });
await presence('a connection that nothing was heard of proves nothing', [[10, 60, { heard: 48, clean: false }], [60.2, null]], [10.01, -58, 60.3], []);
await presence('nor does one that began as a gateway was killed', [[10, 50], [53, 53.2], [60, null]], [10.01, -55.1, 60.1], [], { stops: [53.1 * second] });
await presence('announced online while the answer to a login is under way', [[10, null, { since: 2 }]], [2.1], []);
await presence('not online after one of many returns', [[10, 50], [50.2, 90, { since: 50 }], [90.2, null, { since: 90 }]], [10.01, -57], ['ann was announced offline and had a socket N ms before; the grace is N ms', 'ann came at N and was not online N ms later']);
await presence('announced online twice', [[10, null]], [10.01, 30], ['ann was announced online twice in a row']);
await presence('announced online, and was never there', [[10, 20]], [10.01, -25.1, 100, -101], ['ann was announced online, and was not there']);

await checks.step('a watcher is told of all changes, once and in order', () => {
  const [a, b, c] = [['1000-0', 'ann', true], ['2000-0', 'bob', true], ['3000-0', 'ann', false]].map(([id, user, online]) => ({ id, user, online }));
  /** `parts`: what came until it began again, and after that, which was at 2.5 s. */
  const faults = (...parts) => judgeWatcher('it', parts.map((told, i) => ({ from: i * 2500, told })), [a, b, c]).map(({ kind, text }) => `${kind}: ${text}`);
  same([...byUser([a, b, c])].map(([user, told]) => [user, told.map(({ online }) => online)]), [['ann', [true, false]], ['bob', [true]]], 'changes by user');
  same(faults([a, b, c]), [], 'nothing');
  same(faults([a, c]), ['missing: it was not told of 1 changes, first that bob is online (2000-0)'], 'missing');
  same(faults([a, b]), ['missing: it was not told of 1 changes, first that ann is offline (3000-0)'], 'missing at the end');
  same(faults([a, b, b, c]), ['repeated: it was told twice that bob is online (2000-0)'], 'twice');
  same(faults([a, c, b]), ['disordered: it was told out of order that bob is online (2000-0 after 3000-0)'], 'order');
  same(faults([a], [c]), [], 'missing, and begun again');
  same(faults([a, c], [c]), ['missing: it was not told of 1 changes, first that bob is online (2000-0)'], 'missing, and begun again after that');
  same(faults([a], []), ['missing: it was not told of 1 changes, first that ann is offline (3000-0)'], 'begun again, and missing after that');
});

// ---- The schedule ---------------------------------------------------------------------------------------------------

await checks.step('a seed has one schedule, another seed another', () => {
  const plan = (seed) => JSON.stringify(makePlan(readOptions(['--seed', String(seed)])));
  same(plan(7), plan(7), 'schedule');
  truth(plan(7) !== plan(8), 'two seeds have the same schedule');
});

await checks.step('the short form hurts everything in every way', () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const options = readOptions(['--minutes', '1.5', '--seed', String(seed)]);
    const plan = makePlan(options);
    same([...new Set(plan.flatMap(({ kind }) => kind.split('+')))].sort(), [...options.kill].sort(), 'kinds');
    same([...new Set(plan.map(({ how }) => how))].sort(), [...options.how].sort(), 'ways');
    truth(lengthOf(plan, options) <= 95000, `it goes on for ${lengthOf(plan, options)} ms`);
    truth(makeAbsences(options, 90000).length > 60, 'hardly anybody goes away');
  }
});

await checks.step('nobody is hurt who is not named, nor in a way that is not', () => {
  const options = readOptions(['--seed', '3', '--kill', 'gateway,broker', '--how', 'at-once,freeze']);
  same([...new Set(makePlan(options).map(({ kind, how }) => `${kind} ${how}`))].sort(), ['broker at-once', 'broker freeze', 'gateway at-once', 'gateway freeze'], 'actions');
});

await checks.step('nobody is killed who is away already', () => {
  for (const seed of [11, 12, 13]) {
    const options = readOptions(['--minutes', '10', '--seed', String(seed)]);
    const away = new Map();
    for (const { at, steps } of makePlan(options)) {
      for (const { target, after, ms } of steps) {
        truth((away.get(target) ?? 0) <= at, `${target} at ${at}`);
        away.set(target, at + after + ms);
      }
    }
    same(Object.values(targetsOf(options)).flat().filter((name) => !away.has(name)), [], 'never hurt in ten minutes');
  }
});

await checks.end();
