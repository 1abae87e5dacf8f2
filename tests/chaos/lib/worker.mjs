// Some hundred stock clients in a process of their own: worker.mjs SETTINGS as JSON, forked.
//
// SETTINGS: `url`; `clients`, each {index, user, room, kind, watches}; `events`, how many a second all of them send
// together; `secret`, that signs their tokens; `spoil`: the lies to be told, see options.mjs.

import { createHmac } from 'node:crypto';
import { serve, tell } from '../../support/workers.mjs';
import { ChaosClient } from './client.mjs';

const { url, clients: wanted, events, secret, spoil } = JSON.parse(process.argv[2]);
const tellAtMost = 20;   // faults, as they happen; all are counted
let tellLeft = tellAtMost;

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
function tokenOf(user) {
  const input = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: user, exp: Math.floor(Date.now() / 1000) + 6 * 3600 })}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

const lies = new Set(spoil);
const clients = new Map(wanted.map((one) => [one.index, new ChaosClient({
  ...one, url, lies, token: () => tokenOf(one.user),
  onFault: (fault) => { if (tellLeft > 0) { tellLeft -= 1; tell({ fault }); } },
})]));
const all = [...clients.values()];
const speakers = all.filter(({ watches }) => !watches);
let acting = null;

serve({
  /** Opens the watchers' pages, or everybody else's. */
  async connect({ watches }) {
    const those = all.filter((client) => client.watches === watches);
    for (let i = 0; i < those.length; i += 20) {
      // A burst of logins is not what this is about.
      for (const one of those.slice(i, i + 20)) one.open();
      await Promise.all(those.slice(i, i + 20).map(({ ready }) => ready));
    }
    return {};
  },
  /** Begins to send events, one client after the other. */
  act() {
    const began = Date.now();
    let sent = 0;
    acting = setInterval(() => {
      const due = Math.floor(((Date.now() - began) * events) / 1000);
      for (; sent < due; sent += 1) speakers[(sent * 7919) % speakers.length].act();
    }, 20);
    return {};
  },
  leave: ({ client, how, ms }) => ({ left: clients.get(client).leave(how, ms) }),
  /** Sends no more; those in `stay` who are away stay away. */
  quiet({ stay }) {
    clearInterval(acting);
    for (const client of all) if (client.isAway && stay.includes(client.index)) client.stayAway();
    return {};
  },
  /** How far they are beside `last`, of each room the {number, at} of its last record. */
  pending({ last }) {
    const isBehind = ({ staysAway, room, follower: { current } }) => !staysAway && last[room].number > 0
      && (current.first === null ? current.joinedAt === null || current.joinedAt < last[room].at : current.next <= last[room].number);
    return {
      apart: all.filter((client) => !client.staysAway && !(client.isConnected && client.isJoined)).length,
      behind: speakers.filter(isBehind).length,
      unanswered: all.reduce((sum, { waiting }) => sum + waiting, 0),
      delivered: all.reduce((sum, { follower }) => sum + follower.delivered, 0),
    };
  },
  report: ({ from, count }) => ({ clients: all.slice(from, from + count).map((client) => client.report()) }),
});
