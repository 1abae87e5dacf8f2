// A producer without any delay: one Produce request of one record per call, on one connection, for measuring latency.
//
// Source: Kafka's protocol guide, Produce version 3 and record batches of magic 2. acks=all; not idempotent.

import { createConnection } from 'node:net';

const table = new Uint32Array(256).map((_, n) => {
  let c = n;
  for (let bit = 0; bit < 8; bit += 1) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  return c;
});
function crc32c(bytes) {
  let c = 0xffffffff;
  for (const byte of bytes) c = table[(c ^ byte) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

/** A whole number from 0 as a signed varint. */
function varint(value) {
  const bytes = [];
  for (let left = value * 2; ; left = Math.floor(left / 128)) {
    if (left < 128) { bytes.push(left); return Buffer.from(bytes); }
    bytes.push((left % 128) | 128);
  }
}

/**
 * A record batch of magic 2, uncompressed. `records`: {key, value}, both Buffers. Without a producer id it is not
 * idempotent; with one, `sequence` is that of its first record.
 */
export function encodeBatch(records, { producerId = -1n, epoch = -1, sequence = -1 } = {}) {
  const encoded = records.map(({ key, value }, i) => {
    const body = Buffer.concat([Buffer.from([0]), varint(0), varint(i), varint(key.length), key, varint(value.length), value, varint(0)]);
    return Buffer.concat([varint(body.length), body]);
  });
  const head = Buffer.alloc(61);
  const length = encoded.reduce((sum, { length: bytes }) => sum + bytes, 0);
  head.writeInt32BE(49 + length, 8);   // what follows the length
  head.writeInt32BE(-1, 12);
  head.writeInt8(2, 16);
  head.writeInt32BE(records.length - 1, 23);   // the last record's offset
  const at = BigInt(Date.now());
  head.writeBigInt64BE(at, 27);
  head.writeBigInt64BE(at, 35);
  head.writeBigInt64BE(producerId, 43);
  head.writeInt16BE(epoch, 51);
  head.writeInt32BE(sequence, 53);
  head.writeInt32BE(records.length, 57);
  const all = Buffer.concat([head, ...encoded]);
  all.writeUInt32BE(crc32c(all.subarray(21)), 17);
  return all;
}

export class QuickProducer {
  static async connect(port, topic, partitions) {
    const producer = new QuickProducer();
    Object.assign(producer, { topic: Buffer.from(topic), partitions, sent: 0, answered: 0, errors: 0, rest: Buffer.alloc(0) });
    producer.socket = createConnection({ port, host: '127.0.0.1', noDelay: true });
    await new Promise((done, fail) => { producer.socket.once('connect', done); producer.socket.once('error', fail); });
    producer.socket.on('data', (part) => producer.take(part));
    return producer;
  }

  take(part) {
    this.rest = this.rest.length ? Buffer.concat([this.rest, part]) : part;
    while (this.rest.length >= 4 && this.rest.length >= 4 + this.rest.readInt32BE(0)) {
      // Length, correlation id, one topic, its name, one partition, its number, the error.
      if (this.rest.readInt16BE(4 + 4 + 4 + 2 + this.topic.length + 4 + 4) !== 0) this.errors += 1;
      this.answered += 1;
      this.rest = this.rest.subarray(4 + this.rest.readInt32BE(0));
    }
  }

  /** Writes one record; `number` chooses its key and partition. */
  send(number, value) {
    const bytes = encodeBatch([{ key: Buffer.from(`key-${number % 100}`), value: Buffer.from(value) }]);
    const out = Buffer.alloc(4 + 8 + 2 + 2 + 2 + 4 + 4 + 2);
    let at = 4;
    const put = (size, what) => { out.writeIntBE(what, at, size); at += size; };
    put(2, 0); put(2, 3); put(4, this.sent & 0x7fffffff); put(2, -1);   // Produce, version 3, no client id
    put(2, -1); put(2, -1); put(4, 10000); put(4, 1);                    // no transaction, acks=all, timeout, one topic
    put(2, this.topic.length);
    const behind = Buffer.alloc(12);
    behind.writeInt32BE(1, 0);
    behind.writeInt32BE((number % 100) % this.partitions, 4);
    behind.writeInt32BE(bytes.length, 8);
    const all = Buffer.concat([out.subarray(0, at), this.topic, behind, bytes]);
    all.writeInt32BE(all.length - 4, 0);
    this.socket.write(all);
    this.sent += 1;
  }

  close() { this.socket.destroy(); }
}
