// What is in the Redis streams: the entries of the cluster, and the offsets beside them.

/** The entries of the cluster's stream after `after`, in order: {id, uid, nsp, type, data, fields}; data is parsed where it is JSON. */
export async function readStream(client, { stream = 'socket.io', after = null } = {}) {
  const entries = [];
  let from = after === null ? '-' : `(${after}`;
  for (;;) {
    const page = await client.xrange(stream, from, '+', 'COUNT', 20000);
    for (const [id, flat] of page) {
      const fields = {};
      for (let i = 0; i < flat.length; i += 2) fields[flat[i]] = flat[i + 1];
      entries.push({ id, ...fields, data: fields.data?.startsWith('{') ? JSON.parse(fields.data) : fields.data, fields });
    }
    if (page.length < 20000) return entries;
    from = `(${page.at(-1)[0]}`;
  }
}

/** What an emit among them sends: [event, …args]. */
export const emitted = (entries) => entries.filter(({ type }) => type === '3').map(({ data }) => data.packet.data);

/** The offsets of a group, by `TOPIC/PARTITION`: {epoch, next}. */
export async function readOffsets(client, { stream = 'socket.io', group = 'sio' } = {}) {
  const offsets = {};
  for (const [field, value] of Object.entries(await client.hgetall(`sio:offsets:{${stream}}`))) {
    if (!field.startsWith(`${group}/`)) continue;
    const [epoch, next] = value.split(' ');
    offsets[field.slice(group.length + 1)] = { epoch: Number(epoch), next: Number(next) };
  }
  return offsets;
}

/** How many records of a topic are done, all partitions together. */
export async function recordsDone(client, topic, options = {}) {
  return Object.entries(await readOffsets(client, options)).filter(([name]) => name.startsWith(`${topic}/`))
    .reduce((sum, [, { next }]) => sum + next, 0);
}

/**
 * Counts what a stream of emits with the argument {k, n} lacks and repeats when of each key k all n from 0 to
 * `perKey` - 1 should be there, in order.
 */
export function tally(entries, keys, perKey) {
  const result = { entries: 0, missing: 0, repeated: 0, disordered: 0, foreign: 0, first: null };
  const next = new Map();
  const seen = new Map();
  for (const key of keys) { next.set(key, 0); seen.set(key, new Uint8Array(perKey)); }
  for (const [, value] of emitted(entries)) {
    result.entries += 1;
    const { k, n } = value ?? {};
    if (!seen.has(k) || !(n >= 0 && n < perKey)) { result.foreign += 1; continue; }
    if (seen.get(k)[n]) { result.repeated += 1; result.first ??= `${k} ${n} is there twice`; continue; }
    seen.get(k)[n] = 1;
    if (n < next.get(k)) { result.disordered += 1; result.first ??= `${k} ${n} comes after ${next.get(k) - 1}`; }
    next.set(k, Math.max(next.get(k), n + 1));
  }
  for (const [key, flags] of seen) {
    const missing = flags.reduce((sum, flag) => sum + (flag ? 0 : 1), 0);
    if (missing) result.first ??= `${key} lacks ${missing}, from ${flags.indexOf(0)}`;
    result.missing += missing;
  }
  return result;
}

/** The entries of the stream of events, in order: their fields with id; data parsed. */
export async function readEvents(client, stream = 'sio:events') {
  return (await client.xrange(stream, '-', '+')).map(([id, flat]) => {
    const entry = { id };
    for (let i = 0; i < flat.length; i += 2) entry[flat[i]] = flat[i + 1];
    return { ...entry, seq: Number(entry.seq), data: JSON.parse(entry.data) };
  });
}
