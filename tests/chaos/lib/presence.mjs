// The judge of presence: what was announced of a user, beside when the user's clients were connected; and whether watchers
// were told of it.
//
// A user is online while any of their sockets is; the grace hides absences that are shorter. Times of announcements are
// those of the entries' ids, so of Redis's clock, which is this host's. Of a client only what is sure counts: from when
// its CONNECT was answered to when it last heard from its gateway it had a socket there; after its connection closed it
// had none but one that a gateway had yet to miss.
//
// Not judged, but counted as excused: what falls into a time when a gateway could not tell Redis (see `disturbances`),
// as sio-gateway(8) has it.

/** After a gateway died or froze nothing says that it had told Redis of a socket that was younger than this, ms. */
const telling = 1000;
/** Clocks of Redis and of clients are this host's; what is closer than this may have been at the same time, ms. */
const transit = 50;
/** How late an announcement may be when nothing is wrong: batches, sweeps, this host's two cores. */
const lateness = 3000;

/**
 * How long it may take until a socket is missed when its gateway or its connection died: pings, the heartbeats of
 * gateways, the calm after an outage of Redis.
 */
const missing = 30000;

const overlaps = (list, from, to) => list.some((one) => one.from < to && one.to > from);

/**
 * Those parts of a user's connections in which a gateway had a socket of theirs for sure, and had told so: not those that
 * began right before a gateway stopped, since it may have been that one.
 */
function evidenceOf(intervals, stops) {
  return intervals.filter(({ from }) => !stops.some((at) => at >= from && at - telling < from))
    .map(({ from, to, heard }) => ({ from, end: Math.min(heard, to ?? heard) }));
}

/** When any client of the user was connected, or tried to be, joined where they touch: [{from, to, clean}], `to` null: still. */
function runsOf(intervals) {
  const runs = [];
  for (const { since, to, clean } of [...intervals].sort((a, b) => a.since - b.since)) {
    const run = runs.at(-1);
    if (!run || (run.to !== null && run.to < since)) runs.push({ from: since, to, clean });
    else if (run.to !== null && (to === null || to > run.to)) Object.assign(run, { to, clean });
  }
  return runs;
}

/** Until when something must have been announced: later when Redis was not there meanwhile. */
function deadline(at, disturbances) {
  let until = at;
  for (const one of disturbances) if (one.from < until && one.to + missing > until) until = one.to + missing;
  return until;
}

/** No announcement is said twice, and none is false. */
function judgeTold(judge, { intervals, told, end, grace, disturbances, stops }) {
  const evidence = evidenceOf(intervals, stops);
  let before = false;
  for (const { at, online } of told) {
    if (online === before) judge.fault(at, `was announced ${online ? 'online' : 'offline'} twice in a row`);
    before = online;
    if (online) {
      if (!intervals.some(({ since, to }) => since <= at && (to ?? end) + missing >= at)) judge.fault(at, 'was announced online, and was not there');
      continue;
    }
    const seen = evidence.filter(({ from, end: until }) => from < at - telling && until > at - grace + telling);
    if (seen.length === 0) continue;
    if (overlaps(disturbances, at - grace - 1000, at)) { judge.excused += 1; continue; }
    const last = Math.max(...seen.map(({ end: until }) => Math.min(until, at)));
    judge.fault(at, `was announced offline and had a socket ${Math.round(at - last)} ms before; the grace is ${grace} ms`);
  }
}

/** What had to be announced was. */
function judgeUntold(judge, { intervals, told, end, grace, disturbances, actions }) {
  for (const { from, to } of intervals) {
    const online = deadline(from + (overlaps(actions, from - 1000, from + lateness) ? missing : lateness), disturbances);
    if (online < (to ?? end) && !told.filter(({ at }) => at <= online).at(-1)?.online) {
      judge.fault(online, `came at ${new Date(from).toISOString().slice(14, 23)} and was not online ${Math.round(online - from)} ms later`);
      return;
    }
  }
  const runs = runsOf(intervals);
  runs.forEach(({ to, clean }, i) => {
    if (to === null) return;
    const back = runs[i + 1]?.from ?? end;
    const isClean = clean && !overlaps(actions, to - missing, to + grace + lateness);
    const offline = deadline(to + grace + lateness + (isClean ? 0 : missing), disturbances);
    if (offline < back && !told.some(({ at, online: is }) => !is && at > to && at <= offline)) {
      judge.fault(offline, `was away for ${Math.round(back - to)} ms and not announced offline within ${Math.round(offline - to)} ms`);
    }
  });
}

/**
 * Judges one user. `intervals`: of all their clients, {since, from, to (null: still), heard, clean}: when it began to try,
 * when CONNECT was answered, when the client saw the end, when it last heard anything; clean: it logged out. `told`: what was announced, {at, online}, in
 * the order of the stream. `end`: when the judgement is made. `disturbances`: when Redis, or a way to it, was not there, sorted
 * [{from, to}]; `stops`: when gateways were killed or frozen; `actions`: when anything at all was done, [{from, to}].
 * Gives {excused, faults: [{kind, user, at, text}]}.
 */
export function judgeUser(user, history) {
  const judge = { excused: 0, faults: [], fault: (at, text) => judge.faults.push({ kind: 'presence', user, at, text: `${user} ${text}` }) };
  judgeTold(judge, history);
  judgeUntold(judge, history);
  return { excused: judge.excused, faults: judge.faults };
}

const timeOf = (id) => Number(id.split('-')[0]);
function inOrder(a, b) {
  const [x, y] = [a, b].map((id) => id.split('-').map(Number));
  return x[0] - y[0] || x[1] - y[1];
}
const changed = ({ user, online }) => `${user} is ${online ? 'online' : 'offline'}`;

/** What was announced of each user: Map of user → [{at, online, id}]. `all`: {id, user, online}, in the order of the stream. */
export function byUser(all) {
  const users = new Map();
  for (const one of all) users.set(one.user, [...(users.get(one.user) ?? []), { ...one, at: timeOf(one.id) }]);
  return users;
}

/**
 * What one watcher was told beside all that was announced: once, and in order. `watched` has, for the time until it was told that
 * it begins again, and for that after it, {from: when its join was acknowledged, told: [{id, user, online}] as they came}.
 * Gives the faults, which are those of a delivery.
 */
export function judgeWatcher(name, watched, all) {
  const faults = [];
  const fault = (kind, { id, user }, text) => faults.push({ kind, user, at: timeOf(id), text: `${name} was ${text}` });
  watched.forEach(({ from, told }, i) => {
    const seen = new Set();
    let last = '0-0';
    for (const one of told) {
      if (seen.has(one.id)) { fault('repeated', one, `told twice that ${changed(one)} (${one.id})`); continue; }
      seen.add(one.id);
      if (inOrder(one.id, last) < 0) fault('disordered', one, `told out of order that ${changed(one)} (${one.id} after ${last})`);
      last = one.id;
    }
    // Before it began again it had everything up to the last that came.
    const end = i + 1 < watched.length ? told.at(-1)?.id ?? '0-0' : all.at(-1)?.id;
    const missed = all.filter(({ id }) => from !== null && timeOf(id) > from + transit && inOrder(id, end) <= 0 && !seen.has(id));
    if (missed.length) fault('missing', missed[0], `not told of ${missed.length} changes, first that ${changed(missed[0])} (${missed[0].id})`);
  });
  return faults;
}
