// What Node writes, byte for byte: makes unit/cluster/golden.h with the code of the real packages, or compares it with
// them.
//
// usage: golden.mjs [--write]      without: N passed, N failed
//
// The adapter runs over a Redis client that only keeps what it is given; its random ids are fixed.

import crypto from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const target = new URL('../unit/cluster/golden.h', import.meta.url);
const require = createRequire(import.meta.url);
const ofAdapter = createRequire(require.resolve('@socket.io/redis-streams-adapter'));
const msgpack = ofAdapter('@msgpack/msgpack');
const { hashCode } = ofAdapter('./util.js');
const { createAdapter } = require('@socket.io/redis-streams-adapter');
const { Emitter } = require('@socket.io/redis-emitter');
const { MessageType } = ofAdapter('socket.io-adapter');

const uid = '710f65ae4c7f8b9e';
const requestId = 'b06cfaa030759f19';
const realRandomBytes = crypto.randomBytes;
require('node:crypto').randomBytes = (size) => (size === 8 ? Buffer.from(requestId, 'hex') : realRandomBytes(size));

// ---- The adapter's own messages -----------------------------------------------------------------------------------

const kept = [];
class FakeRedis {
  options = {};
  duplicate() { return new FakeRedis(); }
  on() {}
  subscribe() {}
  disconnect() {}
  xread() { return new Promise(() => {}); }
  xadd(args) {
    kept.push({ fields: Object.fromEntries([...Array((args.length - 5) / 2).keys()].map((i) => args.slice(5 + 2 * i, 7 + 2 * i))) });
    return Promise.resolve('1-1');
  }
  publish(channel, payload) { kept.push({ channel, payload: Buffer.from(payload) }); return Promise.resolve(1); }
  send_command(_command, _args, done) { done(null, ['', '2']); }
  set(key, value) { kept.push({ key, value }); return Promise.resolve('OK'); }
}

const sockets = new Map();
const nsp = {
  name: '/',
  _ids: 0,
  sockets,
  server: { encoder: { encode: () => [] }, opts: { connectionStateRecovery: { maxDisconnectionDuration: 120000 } } },
  _onServerSideEmit: ([, , answer]) => answer({ from: 'node', bytes: Buffer.from([7, 8]) }, 'ignored'),
};
const adapter = createAdapter(new FakeRedis(), {})(nsp);
adapter.uid = uid;

const issued = Date.UTC(2026, 10, 23, 7, 35, 53, 120);
const dateText = 'Mon Nov 23 2026 07:35:53 GMT+0000 (Coordinated Universal Time)';
sockets.set('sid-1', {
  id: 'sid-1',
  handshake: {
    headers: { host: 'localhost', 'user-agent': 'n' }, time: dateText, address: '127.0.0.1', xdomain: false, secure: true,
    issued, url: '/socket.io/?EIO=4', query: { EIO: '4', transport: 'websocket' }, auth: { token: 'x' },
  },
  rooms: new Set(['sid-1', 'room1']),
  data: { name: 'é', n: 1.5 },
  acks: new Map(),
  client: { writeToEngine() {} },
  notifyOutgoingListeners() {},
  join() {},
  leave() {},
  disconnect() {},
});
adapter.addAll('sid-1', new Set(['sid-1', 'room1']));

const opts = (rooms = [], except = [], flags = {}) => ({ rooms: new Set(rooms), except: new Set(except), flags });
const when = new Date(issued);
/** Runs something and returns the last thing it gave to Redis. */
const of = async (act) => {
  kept.length = 0;
  act();
  for (let i = 0; i < 20 && kept.length === 0; i += 1) await new Promise((next) => setImmediate(next));
  if (kept.length === 0) throw new Error('nothing was sent');
  return kept.at(-1);
};
const event = (...data) => ({ type: 2, data });
const stream = async (act) => Buffer.from((await of(act)).fields.data);
const channel = async (act) => (await of(act)).payload;
const heard = (type, data) => adapter.onMessage({ uid: 'cafe', nsp: '/', type, data });

const bytes = {};
bytes.stream_hello = await stream(() => adapter.broadcast(event('hello', 1, '2', { a: [true, null] }, null), opts()));
bytes.stream_flags = await stream(() => adapter.broadcast(event('x'), opts(['r1', 'é"\n'], ['r2'], { volatile: true, compress: false })));
bytes.stream_with_id = await stream(() => adapter.broadcast({ ...event('q', 1), id: 7 }, opts(['sid-1'])));
bytes.stream_binary = await stream(() => adapter.broadcast(event('bin', Buffer.from([1, 2])), opts(['room1'])));
bytes.stream_two_binary = await stream(() => adapter.broadcast(event('bin', { a: Buffer.from([0]), n: [1.5, -1, 70000, -40000, 2 ** 40, -(2 ** 40)] }, Buffer.alloc(300, 5)), opts([], ['x'])));
bytes.stream_binary_date = await stream(() => adapter.broadcast(event('d', when, new Date(issued - 120), new Date(-1), Buffer.from([9]), undefined, { u: undefined }), opts()));
bytes.stream_join = await stream(() => adapter.addSockets(opts(['room1']), ['a', 'b']));
bytes.stream_leave = await stream(() => adapter.delSockets(opts([], ['room1']), ['a']));
bytes.stream_disconnect = await stream(() => adapter.disconnectSockets(opts(['nobody']), true));
bytes.payload_fetch = await channel(() => adapter.fetchSockets(opts()));
bytes.payload_ask = await channel(() => adapter.broadcastWithAck(event('askall', 1), opts([], [], { timeout: 500 }), () => {}, () => {}));
bytes.payload_ask_binary = await channel(() => adapter.broadcastWithAck(event('askall', Buffer.from([1, 2, 3])), opts(['r'], [], { expectSingleResponse: true, timeout: 500 }), () => {}, () => {}));
bytes.payload_emit = await channel(() => adapter.serverSideEmit(['ev', 1, { a: 'b' }]));
bytes.payload_emit_ack = await channel(() => adapter.serverSideEmit(['ev', 1, () => {}]));
bytes.payload_sockets = await channel(() => heard(MessageType.FETCH_SOCKETS, { requestId, opts: { rooms: ['room1'], except: [], flags: {} } }));
bytes.payload_no_sockets = await channel(() => heard(MessageType.FETCH_SOCKETS, { requestId, opts: { rooms: ['nobody'], except: [], flags: {} } }));
bytes.payload_emit_answer = await channel(() => heard(MessageType.SERVER_SIDE_EMIT, { requestId, packet: ['ev', 1] }));
bytes.payload_count = await channel(() => heard(MessageType.BROADCAST, { requestId, packet: event('q'), opts: { rooms: ['nobody'], except: [], flags: {} } }));
bytes.payload_ack = await channel(() => adapter.publishResponse('cafe', { type: MessageType.BROADCAST_ACK, data: { requestId, packet: { from: 'c2' } } }));
bytes.payload_ack_nothing = await channel(() => adapter.publishResponse('cafe', { type: MessageType.BROADCAST_ACK, data: { requestId, packet: undefined } }));
bytes.session = Buffer.from((await of(() => adapter.persistSession({ sid: 'sid-1', pid: 'pid-1', rooms: ['sid-1', 'room1'], data: { name: 'é', b: Buffer.from([1]) } }))).value);

const emitter = new Emitter({ publish: (name, message) => kept.push({ channel: name, payload: Buffer.from(message) }) });
bytes.classic_all = await channel(() => emitter.emit('hello', 1, 'é'));
bytes.classic_room = await channel(() => emitter.of('/chat').to('room1').except('x').volatile.emit('hello'));
bytes.classic_binary = await channel(() => emitter.to('a').to('b').emit('bin', Buffer.from([1, 2]), { d: when }));
bytes.classic_join = await channel(() => emitter.in('a').socketsJoin(['x', 'y']));
bytes.classic_leave = await channel(() => emitter.socketsLeave('x'));
bytes.classic_disconnect = await channel(() => emitter.except('a').disconnectSockets(true));
bytes.classic_server_side = await channel(() => emitter.serverSideEmit('ev', 1, 'x'));

// ---- Values -----------------------------------------------------------------------------------------------------

const long = 'w'.repeat(31);
/** JSON texts and how Node encodes what they mean. */
const encoded = [
  null, true, false, 0, 1, 127, 128, 255, 256, 65535, 65536, 4294967295, 4294967296, 9007199254740991, 9007199254740992,
  -1, -32, -33, -128, -129, -32768, -32769, -2147483648, -2147483649, -9007199254740991, -9007199254740992,
  0.5, -0.1, 1e21, 1e300, 5e-324, '', 'a', long, `${long}y`, 'y'.repeat(255), 'y'.repeat(256), 'é€😀', '"\\\n\t\u0001',
  [], {}, [[]], [{}], [1, [2, [3]], { a: { b: [] } }], Array(15).fill(0), Array(16).fill(0), { '': null, a: 1 },
  Object.fromEntries([...Array(15).keys()].map((i) => [`k${i}`, i])), Object.fromEntries([...Array(16).keys()].map((i) => [`k${i}`, i])),
  [[], {}, [[], 1], 'x,y', ',', '[', '}'],
].map((value) => [JSON.stringify(value), msgpack.encode(value)]);
for (const text of ['1.0', '1e3', '-0', '1E-2', '12345678901234567890', '1e999', '-1e999', '1e-999', '123456789012345.0', '0.0000001e7', ' [ 1 , { "a" : 2 } ] ', '"\\u00e9\\ud83d\\ude00\\/"', '[ ]']) {
  encoded.push([text, msgpack.encode(JSON.parse(text))]);
}

/** Bytes, and the JSON that Node sends to clients for what they mean. */
const decoded = [
  ...[NaN, Infinity, -Infinity, -0, 0.1, 1 / 3, 1e21, 1.5e21, 123456789012345680000, 1e-6, 1e-7, 1.25e-7, 5e-324, 1.7976931348623157e308,
    -123.456, 100.5, 4294967296.5, 1e20 + 0.5, 2 ** 53, 2 ** 63, 0.000001234, 1e23].map((n) => msgpack.encode(n)),
  ...[0, 1, -1, 999, 1000, issued, issued + 0.5, -62135596800000, -62167219200001, 253402300799999, 253402300800000, 8.64e15, -8.64e15,
    951782400000, 1709164800000, 4102444800000, 2 ** 34 * 1000 - 1, 2 ** 34 * 1000].map((ms) => msgpack.encode(new Date(ms))),
  msgpack.encode({ a: undefined, b: [undefined] }),
  msgpack.encode(0.1, { forceFloat32: true }),
  Uint8Array.of(0x81, 0x05, 0x01),
  Uint8Array.of(0x81, 0xff, 0x01),
  Uint8Array.of(0xd3, 0, 0, 0, 0, 0, 0, 0, 5),
  Uint8Array.of(0xcd, 0, 5),
  Uint8Array.of(0xd9, 1, 0x61),
  Uint8Array.of(0xdc, 0, 1, 0xc0),
  Uint8Array.of(0xdf, 0, 0, 0, 1, 0xdb, 0, 0, 0, 1, 0x61, 0xc2),
].map((data) => [data, JSON.stringify(msgpack.decode(data)) ?? 'null']);

const hashes = ['', '/', '/admin', '/custom', '/chat', '/a', '/notifications', '/my-namespace', '/é😀ü-long-name-here'].map((name) => [name, hashCode(name)]);
const streams = [['/', 1], ['/', 4], ['/chat', 4], ['/notifications', 4], ['/my-namespace', 4], ['/my-namespace', 3]].map(
  ([name, count]) => [name, count, count === 1 ? 's' : `s-${hashCode(name) % count}`]);
process.env.TZ = 'UTC';
const dates = [0, issued, 951782400000, -1, 1e12, -62135596800000, 253402300800000, 4107542400000].map((ms) => [ms, `${new Date(ms)}`]);

// ---- The header -------------------------------------------------------------------------------------------------

const literal = (text) => {
  const parts = [];
  let part = '';
  for (const byte of Buffer.from(text)) {
    const c = String.fromCharCode(byte);
    if (byte < 0x20 || byte > 0x7e) part += `\\${byte.toString(8).padStart(3, '0')}`;
    else part += c === '"' || c === '\\' ? `\\${c}` : c === '?' ? '\\?' : c;
    if (part.length > 90) {
      parts.push(part);
      part = '';
    }
  }
  if (part || parts.length === 0) parts.push(part);
  return parts.map((each) => `"${each}"`).join('\n    ') + 'sv';
};
const lines = [
  '// What the Node packages write. Made by cluster/golden.mjs --write; do not edit.',
  '// clang-format off',
  '#pragma once',
  '',
  '#include <array>',
  '#include <cstdint>',
  '#include <string_view>',
  '',
  'namespace sio::golden {',
  '',
  'using namespace std::string_view_literals;',
  '',
  ...Object.entries(bytes).map(([name, data]) => `inline constexpr std::string_view ${name} =\n    ${literal(data)};`),
  '',
  '/// A JSON text, and the bytes that msgpack.encode(JSON.parse(text)) makes.',
  'struct Encoded { std::string_view json, bytes; };',
  'inline constexpr std::array encoded{',
  ...encoded.map(([json, data]) => `    Encoded{${literal(json)},\n    ${literal(data)}},`),
  '};',
  '',
  '/// Bytes, and the JSON of what msgpack.decode() makes of them.',
  'inline constexpr std::array decoded{',
  ...decoded.map(([data, json]) => `    Encoded{${literal(json)},\n    ${literal(data)}},`),
  '};',
  '',
  'struct Hash { std::string_view nsp; std::int32_t hash; };',
  'inline constexpr std::array hashes{',
  ...hashes.map(([name, hash]) => `    Hash{${literal(name)}, ${hash}},`),
  '};',
  '',
  'struct Stream { std::string_view nsp; std::uint32_t count; std::string_view stream; };',
  'inline constexpr std::array streams{',
  ...streams.map(([name, count, text]) => `    Stream{${literal(name)}, ${count}, ${literal(text)}},`),
  '};',
  '',
  'struct Date { std::int64_t ms; std::string_view text; };',
  'inline constexpr std::array dates{',
  ...dates.map(([ms, text]) => `    Date{${ms}, ${literal(text)}},`),
  '};',
  '',
  '}  // namespace sio::golden',
  '',
].join('\n');

if (process.argv.includes('--write')) {
  writeFileSync(target, lines);
  console.log('written');
} else {
  const same = readFileSync(target, 'utf8') === lines;
  if (!same) console.log('not ok: what the packages write differs from unit/cluster/golden.h');
  console.log(same ? '1 passed, 0 failed' : '0 passed, 1 failed');
  process.exitCode = same ? 0 : 1;
}
process.exit();
