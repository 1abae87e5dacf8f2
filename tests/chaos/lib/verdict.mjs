// Brings together what the judges say of all clients: sums for the table, and faults with what is known of each.

import { judgeRoom } from './deliveries.mjs';
import { judgeEvents } from './events.mjs';
import { byUser, judgeUser, judgeWatcher } from './presence.mjs';
import { topics } from './product.mjs';

/** Until what waited for Redis has been sent to it, ms. */
const settling = 500;

/** What became of the records at all clients: {sum, faults}. */
export function judgeDeliveries(clients, logs) {
  const sum = { expected: 0, delivered: 0, missing: 0, told: 0, repeated: 0, disordered: 0 };
  const faults = [];
  for (const { index, user, room, watches, isAway, follower } of clients) {
    if (watches) continue;
    if (isAway) follower.episodes.at(-1).ended ??= 'left';   // to whom nothing is due since
    const found = judgeRoom(follower, logs[room]);
    for (const key of Object.keys(sum)) sum[key] += found[key];
    for (const [from, to] of found.gaps) {
      faults.push({ kind: 'missing', client: index, user, room, from, to, at: logs[room].times[from - 1], text: `client ${index} lacks ${from === to ? from : `${from} to ${to}`} of room ${room}` });
    }
    if (found.repeated) faults.push({ kind: 'repeated', client: index, user, room, text: `client ${index} got ${found.repeated} records of room ${room} twice` });
    if (found.disordered) faults.push({ kind: 'disordered', client: index, user, room, text: `client ${index} got ${found.disordered} records of room ${room} out of order` });
  }
  return { sum, faults };
}

/**
 * Who began again: {returns, again, late, excused, faults}. `late`: away for as long as the window. `excused`: the session was made
 * while Redis was not there to keep it, and its gateway ended before Redis was back; nobody can have it then.
 */
export function judgeReturns(clients, { window, disturbances }) {
  const result = { returns: 0, again: 0, late: 0, excused: 0, shutOut: 0, faults: [] };
  for (const { index, user, room, returns, begunAgain, sessions, shutOut } of clients) {
    result.returns += returns;
    result.shutOut += shutOut;
    if (shutOut) result.faults.push({ kind: 'shut out', client: index, user, text: `client ${index} was told ${shutOut} times to stay away` });
    for (const { at, away } of begunAgain) {
      const since = sessions.filter((one) => one < at).at(-1) ?? 0;
      const isHomeless = disturbances.some(({ from, back }) => from - 200 <= since && since <= back + settling && at - away <= back + settling);
      if (away >= window) result.late += 1;
      else if (isHomeless) result.excused += 1;
      else {
        result.again += 1;
        result.faults.push({ kind: 'again', client: index, user, room, at, text: `client ${index} begins again after ${(away / 1000).toFixed(1)} s away` });
      }
    }
  }
  return result;
}

/** What is in Kafka of what clients sent, with the sums of what they were answered: {sum, faults, records}. */
export async function judgeOutbound(clients, broker) {
  const records = (await broker.consume(topics.events, { timeout: 60000 })).map(({ partition, offset, time, headers, value }) => {
    const { user, client, n } = JSON.parse(value);
    return { partition, offset, id: headers['sio-id'], seq: Number(headers['sio-seq']), user, client, n, node: headers['sio-node'], made: Number(headers['sio-time']), stored: time };
  });
  const senders = new Map(clients.filter(({ watches }) => !watches).map(({ index, user, sent, acked }) => [index, { user, sent, acked }]));
  const { faults, ...sum } = judgeEvents(records, senders);
  const total = (key) => clients.reduce((all, one) => all + one[key], 0);
  return {
    sum: { sent: total('sent'), acked: clients.reduce((all, { acked }) => all + acked.length, 0), refused: total('refused'), silent: total('silent'), ...sum },
    faults,
    records,
  };
}

/**
 * Presence of all users: {told, excused, faults, atWatchers, here}. `announced`: all changes, as the stream has them; `online`: who is said
 * to be online at the end, by gateway.
 */
export function judgePresence(clients, announced, { end, grace, chaos, online }) {
  const watchers = clients.filter(({ watches }) => watches);
  const atWatchers = watchers.flatMap(({ user, watched }) => judgeWatcher(user, watched, announced));
  const changes = byUser(announced);
  const result = { told: announced.length, excused: 0, faults: [], atWatchers };
  const users = new Map();
  for (const { user, intervals } of clients) users.set(user, [...(users.get(user) ?? []), ...intervals]);
  const history = { end, grace, disturbances: chaos.disturbances, stops: chaos.stops, actions: chaos.actions };
  for (const [user, intervals] of users) {
    const found = judgeUser(user, { ...history, intervals, told: changes.get(user) ?? [] });
    result.excused += found.excused;
    result.faults.push(...found.faults);
  }
  for (const user of changes.keys()) if (!users.has(user)) result.faults.push({ kind: 'presence', user, text: `${user} was announced, and is nobody` });
  const here = [...users].filter(([, intervals]) => intervals.some(({ to }) => to === null)).map(([user]) => user).sort();
  for (const { name, users: said } of online) {
    const lacks = here.filter((user) => !said.includes(user));
    const more = said.filter((user) => !here.includes(user));
    if (lacks.length) result.faults.push({ kind: 'presence', user: lacks[0], text: `${name} says that ${lacks.length} users are offline who are connected: ${lacks.slice(0, 3)}` });
    if (more.length) result.faults.push({ kind: 'presence', user: more[0], text: `${name} says that ${more.length} users are online who are gone: ${more.slice(0, 3)}` });
  }
  return { ...result, here };
}
