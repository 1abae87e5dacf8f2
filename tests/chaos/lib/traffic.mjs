// The traffic of a run: the clients in their processes, and the records that are made for them.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sleep } from '../../integration/lib/harness.mjs';
import { IdempotentProducer } from '../../kafka/lib/idempotent_producer.mjs';
import { Worker } from '../../support/workers.mjs';
import { RoomLog } from './deliveries.mjs';
import { partitions, secret, topics } from './product.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const mostPerWorker = 300;
const tickMs = 20;

/** Who the clients are: every tenth shares the user of the one before, and the last are watchers. */
export function clientsOf({ clients, watchers, rooms, polling }) {
  const kindOf = (i) => {
    const place = (i * 37) % 100;
    return place < polling ? 'polling' : place < 2 * polling + 10 ? 'upgrade' : 'websocket';
  };
  const all = Array.from({ length: clients }, (_, i) => ({ index: i, user: `user-${i % 10 === 9 ? i - 1 : i}`, room: i % rooms, kind: kindOf(i), watches: false }));
  for (let i = 0; i < watchers; i += 1) all.push({ index: clients + i, user: `watcher-${i + 1}`, room: null, kind: ['websocket', 'upgrade', 'polling'][i % 3], watches: true });
  return all;
}

/** The records: numbered per room, the room's number is their key. */
export class Records {
  static async start({ rooms, rate }, broker) {
    const records = new Records();
    Object.assign(records, { rate, logs: Array.from({ length: rooms }, () => new RoomLog()), made: 0 });
    const onStored = (partition, stored, offset) => {
      stored.forEach(({ room, number }, i) => { records.logs[room].offsets[number - 1] = offset < 0 ? -1 : offset + i; });
    };
    records.producer = await IdempotentProducer.connect(broker.port, topics.records, partitions, { onStored });
    return records;
  }

  make() {
    const room = this.made % this.logs.length;
    const number = this.logs[room].add(Date.now());
    this.made += 1;
    this.producer.send(room % partitions, { key: `room-${room}`, value: `{"r":${room},"n":${number}}`, room, number });
  }

  /** A record of each room, then `rate` a second. */
  begin() {
    const began = Date.now();
    const before = this.made;
    this.timer = setInterval(() => {
      const due = before + Math.floor(((Date.now() - began) * this.rate) / 1000);
      while (this.made < due) this.make();
    }, tickMs);
  }

  /** Makes no more, and waits until Kafka has all. */
  async end(ms) {
    clearInterval(this.timer);
    await this.producer.flush(ms);
    this.producer.close();
  }

  /** Where Kafka has a record, as sioctl trace takes it; null when that is not known. */
  placeOf(room, number) {
    const offset = this.logs[room]?.offsets[number - 1] ?? -1;
    return offset < 0 ? null : `${topics.records}/${room % partitions}/${offset}`;
  }

  get last() { return this.logs.map((log) => ({ number: log.last, at: log.times[log.last - 1] ?? 0 })); }
}

export class Crowd {
  /** `onFault(fault)`: the first faults of each process, at once. */
  constructor(options, url, onFault) {
    this.clients = clientsOf(options);
    const count = Math.ceil(this.clients.length / mostPerWorker);
    this.workers = Array.from({ length: count }, (_, w) => new Worker(join(here, 'worker.mjs'), {
      url, secret, events: options.events / count, clients: this.clients.filter((_, i) => i % count === w),
      // Each lie is told once: by the first process, or by that of the first watcher.
      spoil: options.spoil.filter((what) => w === (what === 'announcement' ? options.clients % count : 0)),
    }, ({ fault }) => onFault(fault)));
  }

  all(op, members, ms) { return Promise.all(this.workers.map((worker) => worker.ask(op, members, ms))); }

  /** Everybody logs in; the watchers first, so that they are told of all others. */
  async connect() {
    await this.all('connect', { watches: true }, 30000);
    await sleep(300);   // so that it is beyond doubt that they are there before
    await this.all('connect', { watches: false }, 120000);
  }


  act() { return this.all('act'); }

  /** Carries the absences out at their times; gives a function that ends this. */
  leave(absences, onLeave) {
    const timers = absences.map(({ at, client, how, ms }) => setTimeout(async () => {
      const { left } = await this.workers[client % this.workers.length].ask('leave', { client, how, ms });
      if (left) onLeave({ client, how, ms });
    }, at));
    return () => timers.forEach(clearTimeout);
  }

  /** Sends no more events; those who are in `stay`, and away, stay away. */
  quiet(stay) { return this.all('quiet', { stay }); }

  async pending(last) {
    const sum = { apart: 0, behind: 0, unanswered: 0, delivered: 0 };
    for (const one of await this.all('pending', { last }, 30000)) for (const key of Object.keys(sum)) sum[key] += one[key];
    return sum;
  }

  /** Waits until everybody has everything, `ms` at most, or 15 s without any progress. Gives what is left. */
  async settle(last, ms) {
    const end = Date.now() + ms;
    let [left, moved] = [null, Date.now()];
    for (;;) {
      const now = await this.pending(last);
      if (now.apart + now.behind + now.unanswered === 0) return now;
      if (!left || JSON.stringify(now) !== JSON.stringify(left)) moved = Date.now();
      left = now;
      if (Date.now() > end || Date.now() - moved > 15000) return left;
      await sleep(250);
    }
  }

  /** What each client has to say, in the order of their numbers. */
  async report() {
    const all = await Promise.all(this.workers.map(async (worker) => {
      const found = [];
      for (;;) {
        const { clients } = await worker.ask('report', { from: found.length, count: 50 }, 60000);
        if (clients.length === 0) return found;
        found.push(...clients);
      }
    }));
    return all.flat().sort((a, b) => a.index - b.index);
  }

  end() { for (const worker of this.workers) worker.end(); }
}
