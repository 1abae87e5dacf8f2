// All changes of presence that were announced, as the stream of the cluster has them: what the judge of presence goes by.

import { sleep } from '../../integration/lib/harness.mjs';

export class Announcements {
  /** Reads the stream of `redis` (a RedisServer) from now on, over all that becomes of Redis. */
  static start(redis) {
    const announcements = new Announcements();
    Object.assign(announcements, { all: [], from: '0-0', store: redis.client(), isOver: false });
    announcements.done = announcements.read();
    return announcements;
  }

  async read() {
    while (!this.isOver) {
      const answer = await this.store.xread('COUNT', 5000, 'STREAMS', 'socket.io', this.from).catch(() => null);
      const entries = answer?.[0]?.[1] ?? [];
      for (const [id, fields] of entries) this.take(id, fields);
      if (entries.length < 5000) await sleep(250);
    }
  }

  take(id, fields) {
    this.from = id;
    const data = fields[fields.indexOf('data') + 1];
    if (!data.includes('"user_o')) return;
    const [event, user] = JSON.parse(data).packet.data;
    this.all.push({ id, user, online: event === 'user_online' });
  }

  /** Reads no more; gives all, in order: [{id, user, online}]. */
  async end() {
    this.isOver = true;
    await this.done;
    return this.all;
  }
}
