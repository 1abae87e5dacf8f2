// An idempotent producer on one connection: keyed records, each in Kafka once and in order per partition, over whatever
// becomes of the broker. It goes on by itself when the broker is back.
//
// One request at a time, with a batch for each partition that has something; a request whose answer was lost is sent
// again as it was, and the broker drops what it has by the batch's sequence. Source: Kafka's protocol guide,
// InitProducerId version 0, Produce version 3.

import { createConnection } from 'node:net';
import { sleep, until } from '../../integration/lib/harness.mjs';
import { encodeBatch } from './quick_producer.mjs';

const batchBytes = 256 * 1024;
/** What a broker says that may be otherwise in a moment: timeouts, no leader yet, too few replicas, not loaded yet. */
const passing = new Set([3, 5, 6, 7, 8, 9, 13, 14, 15, 16, 19, 20, 56]);
const duplicate = 46;

const text = (value) => {
  const bytes = Buffer.from(value);
  return Buffer.concat([int(2, bytes.length), bytes]);
};
function int(size, value) {
  const bytes = Buffer.alloc(size);
  bytes.writeIntBE(value, 0, size);
  return bytes;
}

export class IdempotentProducer {
  /**
   * `onStored(partition, records, offset)`: the broker has these records, from this offset on (-1: it had them before
   * and does not say where). Throws when the broker gives no producer id within 10 s.
   */
  static async connect(port, topic, partitions, { onStored = () => {} } = {}) {
    const producer = new IdempotentProducer();
    Object.assign(producer, {
      port, topic, onStored, lanes: Array.from({ length: partitions }, () => ({ waiting: [], open: null, sequence: 0 })),
      sent: 0, stored: 0, failure: null, closed: false, correlation: 0, socket: null, answered: null,
    });
    await until(10000, async () => {
      const answer = await producer.request(22, 0, Buffer.concat([int(2, -1), int(4, 60000)]));
      if (answer === null || answer.readInt16BE(4) !== 0) { await sleep(50); return false; }
      producer.producerId = answer.readBigInt64BE(6);
      producer.epoch = answer.readInt16BE(14);
      return true;
    }, 'a producer id');
    producer.done = producer.run();
    return producer;
  }

  /** Takes a record; `record` is given back to onStored, and has the members key and value, texts. */
  send(partition, record) {
    this.lanes[partition].waiting.push(record);
    this.sent += 1;
    this.wake?.();
  }

  /** How many records Kafka has not confirmed. */
  get open() { return this.sent - this.stored; }

  /** Waits until Kafka has everything. */
  async flush(ms) {
    await until(ms, () => { if (this.failure) throw this.failure; return this.open === 0; }, `Kafka to take the last records, of which it lacks ${this.open}`);
  }

  async run() {
    while (!this.closed && !this.failure) {
      for (const lane of this.lanes) if (!lane.open && lane.waiting.length) this.fill(lane);
      if (!this.lanes.some(({ open }) => open)) {
        await new Promise((done) => { this.wake = done; });
        this.wake = null;
        await sleep(5);   // what comes in the same moment goes in one request
        continue;
      }
      const answer = await this.request(0, 3, this.produceRequest());
      if (answer === null || !this.take(answer)) await sleep(50);
    }
  }

  /** Gives a lane its next batch. It stays as it is until the broker has it. */
  fill(lane) {
    let bytes = 0;
    let count = 0;
    while (count < lane.waiting.length && bytes < batchBytes) {
      bytes += lane.waiting[count].key.length + lane.waiting[count].value.length + 20;
      count += 1;
    }
    const records = lane.waiting.splice(0, count);
    const encoded = encodeBatch(records.map(({ key, value }) => ({ key: Buffer.from(key), value: Buffer.from(value) })),
      { producerId: this.producerId, epoch: this.epoch, sequence: lane.sequence });
    lane.sequence += count;
    lane.open = { records, encoded };
  }

  produceRequest() {
    const parts = this.lanes.flatMap(({ open }, partition) => (open ? [int(4, partition), int(4, open.encoded.length), open.encoded] : []));
    return Buffer.concat([int(2, -1), int(2, -1), int(4, 10000), int(4, 1), text(this.topic), int(4, parts.length / 3), ...parts]);
  }

  /** Reads an answer to Produce; false when something is to be sent again after a pause. */
  take(answer) {
    let at = 4 + 2 + this.topic.length;   // one topic and its name
    const count = answer.readInt32BE(at);
    at += 4;
    let all = true;
    for (let i = 0; i < count; i += 1, at += 22) {
      const partition = answer.readInt32BE(at);
      const error = answer.readInt16BE(at + 4);
      const lane = this.lanes[partition];
      if (error === 0 || error === duplicate) {
        this.onStored(partition, lane.open.records, error === 0 ? Number(answer.readBigInt64BE(at + 6)) : -1);
        this.stored += lane.open.records.length;
        lane.open = null;
      } else if (passing.has(error)) {
        all = false;
      } else {
        this.failure = new Error(`the broker refuses records of ${this.topic}/${partition}: error ${error}`);
      }
    }
    return all;
  }

  /** The body of the answer, or null when the connection was lost. */
  request(key, version, body) {
    this.correlation += 1;
    const head = Buffer.concat([int(2, key), int(2, version), int(4, this.correlation), text('sio-chaos')]);
    return new Promise((done) => {
      this.answered = done;
      if (!this.socket) this.dial();
      this.socket.write(Buffer.concat([int(4, head.length + body.length), head, body]));
    });
  }

  dial() {
    let got = Buffer.alloc(0);
    const socket = createConnection({ port: this.port, host: '127.0.0.1', noDelay: true });
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('close', () => {
      if (this.socket === socket) this.socket = null;
      this.answer(null);
    });
    socket.on('data', (part) => {
      got = got.length ? Buffer.concat([got, part]) : part;
      if (got.length < 4 || got.length < 4 + got.readInt32BE(0)) return;
      const body = got.subarray(8, 4 + got.readInt32BE(0));
      got = got.subarray(4 + got.readInt32BE(0));
      this.answer(body);
    });
  }

  answer(body) {
    const done = this.answered;
    this.answered = null;
    done?.(body);
  }

  close() {
    this.closed = true;
    this.wake?.();
    this.socket?.destroy();
  }
}
