// The few requests of Kafka's own protocol that tests need and kcat has not: topics made, changed and deleted,
// records deleted, rights given.
//
// Each call opens a plain connection of its own. Versions are those before the flexible encodings, which Kafka 3 and 4
// both take.

import { createConnection } from 'node:net';
import { within } from '../../integration/lib/harness.mjs';

const text = (value) => {
  if (value === null) return Buffer.from([0xff, 0xff]);
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(2);
  length.writeInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
};
const number = (bits) => (value) => {
  const bytes = Buffer.alloc(bits / 8);
  bytes.writeIntBE(value, 0, bits / 8);
  return bytes;
};
const [int8, int16, int32] = [8, 16, 32].map(number);
const array = (items) => Buffer.concat([int32(items.length), ...items]);
const pairs = (configs) => array(Object.entries(configs).map(([name, value]) => Buffer.concat([text(name), text(String(value))])));

class Reader {
  constructor(bytes) { Object.assign(this, { bytes, at: 0 }); }
  int(size) { this.at += size; return this.bytes.readIntBE(this.at - size, size); }
  text() {
    const length = this.int(2);
    if (length < 0) return null;
    this.at += length;
    return this.bytes.toString('utf8', this.at - length, this.at);
  }
}

async function request(port, key, version, body) {
  const head = Buffer.concat([int16(key), int16(version), int32(1), text('sio-tests')]);
  const socket = createConnection(port, '127.0.0.1');
  try {
    return await within(15000, new Promise((done, fail) => {
      let got = Buffer.alloc(0);
      socket.on('error', fail);
      socket.on('close', () => fail(new Error('the broker closed the connection')));
      socket.on('data', (part) => {
        got = Buffer.concat([got, part]);
        if (got.length >= 4 && got.length >= 4 + got.readInt32BE(0)) done(new Reader(got.subarray(8)));
      });
      socket.write(Buffer.concat([int32(head.length + body.length), head, body]));
    }), `answer to Kafka request ${key}`);
  } finally {
    socket.destroy();
  }
}

const refuse = (what, code, message) => { if (code !== 0) throw new Error(`${what}: error ${code} ${message ?? ''}`.trim()); };

/** Makes a topic; `configs` are Kafka's own, such as {'min.insync.replicas': 2}. */
export async function createTopic(port, name, partitions, configs = {}) {
  const answer = await request(port, 19, 2, Buffer.concat([
    array([Buffer.concat([text(name), int32(partitions), int16(1), array([]), pairs(configs)])]), int32(10000), int8(0),
  ]));
  answer.int(4);   // throttle time
  answer.int(4);   // one topic
  answer.text();
  refuse(`topic ${name} is not made`, answer.int(2), answer.text());
}

export async function deleteTopic(port, name) {
  const answer = await request(port, 20, 1, Buffer.concat([array([text(name)]), int32(10000)]));
  answer.int(4);
  answer.int(4);
  answer.text();
  refuse(`topic ${name} is not deleted`, answer.int(2));
}

/** Sets configs of a topic that there is. */
export async function alterTopic(port, name, configs) {
  const entries = Object.entries(configs).map(([key, value]) => Buffer.concat([text(key), int8(0), text(String(value))]));
  const answer = await request(port, 44, 0, Buffer.concat([array([Buffer.concat([int8(2), text(name), array(entries)])]), int8(0)]));
  answer.int(4);
  answer.int(4);
  refuse(`topic ${name} is not changed`, answer.int(2), answer.text());
}

const kinds = { topic: 2, group: 3, cluster: 4, transactional: 5 };
const operations = { all: 2, read: 3, write: 4, describe: 8, 'idempotent-write': 12 };

/** Gives rights; `rights`: [kind, name, operation] each, as in ['topic', 'notes', 'read']. The broker needs an authorizer. */
export async function allow(port, principal, rights) {
  const answer = await request(port, 30, 1, array(rights.map(([kind, name, operation]) => Buffer.concat([
    int8(kinds[kind]), text(name), int8(3), text(principal), text('*'), int8(operations[operation]), int8(3),
  ]))));
  answer.int(4);
  for (let left = answer.int(4); left > 0; left -= 1) refuse(`rights of ${principal} are not given`, answer.int(2), answer.text());
}

/** Deletes what is before an offset, as retention does. */
export async function deleteRecords(port, name, partition, before) {
  const answer = await request(port, 21, 1, Buffer.concat([
    array([Buffer.concat([text(name), array([Buffer.concat([int32(partition), int32(0), int32(before)])])])]), int32(10000),
  ]));
  answer.int(4);
  answer.int(4);
  answer.text();
  answer.int(4);
  answer.int(4);
  answer.at += 8;
  refuse(`records of ${name} are not deleted`, answer.int(2));
}
