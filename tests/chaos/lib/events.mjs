// The judge of what clients sent to Kafka.
//
// Promised (sio-bridge(8), doc/protocol/stream.md): an event that was acknowledged with {ok:true} is there. A record may
// be there twice when a bridge dies before it knows that Kafka has it; then both have the same sio-id, and count as one.
// Of one user, sio-seq counts 1, 2, 3… without a gap, in the order in which records first appear. What was not
// acknowledged may be there or not. No client sends an event a second time, so none is there under two ids.

/**
 * `records`: in the order of their partitions, {partition, offset, id, user, seq, client, n}, where n numbers a client's
 * events from 1. `clients`: Map of client → {user, sent, acked}; acked: the numbers that were acknowledged.
 * Gives counts, and `faults`, each {kind, client?, user?, text}.
 */
export function judgeEvents(records, clients) {
  const sum = { found: 0, repeats: 0, missing: 0, twice: 0, disordered: 0, gaps: 0, foreign: 0, faults: [] };
  const fault = (kind, about, text, count = 1) => {
    sum[kind] += count;
    sum.faults.push({ kind: `event ${kind}`, ...about, text });
  };
  const ids = new Set();
  const nextOf = new Map();    // user → the seq that comes next
  const holes = new Map();     // user → seqs before that which have not come
  const partitionOf = new Map();
  const foundOf = new Map([...clients.keys()].map((client) => [client, new Set()]));
  const newestOf = new Map();  // client → its highest number so far
  for (const { partition, offset, id, user, seq, client, n } of records) {
    if (ids.has(id)) { sum.repeats += 1; continue; }
    ids.add(id);
    const where = `${partition}/${offset}`;
    const sender = clients.get(client);
    if (!sender || sender.user !== user || !(n >= 1 && n <= sender.sent)) {
      fault('foreign', { user, at: where }, `a record at ${where} that nobody sent: user ${user}, client ${client}, number ${n}`);
      continue;
    }
    sum.found += 1;
    const home = partitionOf.get(user) ?? partition;
    partitionOf.set(user, home);
    if (home !== partition) fault('disordered', { user }, `records of ${user} are in partitions ${home} and ${partition}`);
    const next = nextOf.get(user) ?? 1;
    if (!holes.has(user)) holes.set(user, new Set());
    for (let hole = next; hole < seq; hole += 1) holes.get(user).add(hole);
    if (seq < next) {
      holes.get(user).delete(seq);
      fault('disordered', { user }, `${user}: sequence ${seq} comes after ${next - 1}, at ${where}`);
    }
    nextOf.set(user, Math.max(next, seq + 1));
    const found = foundOf.get(client);
    if (found.has(n)) fault('twice', { client, user }, `event ${n} of client ${client} is in Kafka under two ids, the second at ${where}`);
    else if (n < (newestOf.get(client) ?? 0)) fault('disordered', { client, user }, `event ${n} of client ${client} comes after its event ${newestOf.get(client)}, at ${where}`);
    found.add(n);
    newestOf.set(client, Math.max(n, newestOf.get(client) ?? 0));
  }
  for (const [user, lacking] of holes) {
    if (lacking.size) fault('gaps', { user }, `${user}: sequence ${[...lacking].slice(0, 5).join(', ')} is not in Kafka, and ${nextOf.get(user) - 1} is`, lacking.size);
  }
  for (const [client, { user, acked }] of clients) {
    const missing = acked.filter((n) => !foundOf.get(client).has(n));
    if (missing.length) {
      fault('missing', { client, user }, `acknowledged to client ${client} (${user}) and not in Kafka: ${missing.slice(0, 5).join(', ')}${missing.length > 5 ? `… (${missing.length})` : ''}`, missing.length);
    }
  }
  return sum;
}
