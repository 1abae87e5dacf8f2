// Every operation of a cluster, from every origin to the clients of every member, with text and with binary.
//
// Two gateways and two Node servers; three clients on each: `one` and `two` in /, `chat` in /chat on the connection of
// `one`. Origins: the four members and the two emitters. A check is named
// `operation, text|binary: origin to member`. The classic emitter is heard by gateways alone.

import {
  Checks, onReference, same, sleep, truth, until, within,
} from '../integration/lib/harness.mjs';
import { Cluster, startCluster } from './lib/cluster.mjs';
import { TestClient } from './lib/client.mjs';

const checks = new Checks('operations');
const cluster = await startCluster(checks);
const { members, nodes, gateways, streams, classic } = cluster;

/** The members whose clients an origin can reach. */
const audience = (origin) => (origin.kind === 'classic' ? members.filter(({ kind }) => kind === 'gateway') : members);
const origins = [...members, streams, ...(onReference ? [] : [classic])];

// ---- The clients ------------------------------------------------------------------------------------------------

const moment = new Date('2026-11-23T07:35:53.123Z');
const answerOf = (name) => (kind, ...args) => (kind === 'silent' && name.startsWith('two') ? undefined
  : { from: name, got: args.length, ...(kind === 'binary' ? { bytes: Buffer.from(name), when: moment } : {}) });

// Bytes above ASCII and a header in two lines, which are the same text whoever describes the socket.
const oddHeaders = { 'X-Note': 'caf\xe9 \xff', 'X-List': ['a', 'b'] };

const clients = new Map();   // member → {one, two, chat}
for (const member of members) {
  const auth = { token: `of ${member.name}`, list: [1, { a: null }] };
  const make = (name, settings) => TestClient.connect(member, { name: `${name}@${member.name}`, answer: answerOf(`${name}@${member.name}`), options: { extraHeaders: oddHeaders }, ...settings });
  const one = await make('one', { rooms: ['red', 'warm', `red ${member.name}`], auth });
  const two = await make('two', { rooms: ['blue', 'warm'], transports: member === members[0] ? ['polling'] : ['polling', 'websocket'] });
  const chat = await make('chat', { rooms: ['red', 'talk'], nsp: '/chat', manager: one.manager });
  clients.set(member, { one, two, chat });
}
const everyone = [...clients.values()].flatMap(({ one, two, chat }) => [one, two, chat]);
const role = (client) => client.name.split('@')[0];
const roles = (...wanted) => (client) => wanted.includes(role(client));

let serial = 0;
const fresh = () => { serial += 1; return `event-${serial}`; };

/** Waits until every client has what was written to the stream before. */
async function fence() {
  const event = fresh();
  await Promise.all([streams.emit({}, event), streams.emit({ nsp: '/chat' }, event)]);
  await Promise.all(everyone.filter((client) => client.socket.connected).map((client) => client.waitFor(event, 1, 3000)));
}

/** What a value is after a journey as Socket.IO makes it: dates are texts, bytes are Buffers, undefined is null. */
function travelled(value) {
  if (value === undefined || (typeof value === 'number' && !Number.isFinite(value))) return null;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return Buffer.from(value);
  if (Array.isArray(value)) return value.map(travelled);
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined).map(([key, item]) => [key, travelled(item)]));
  }
  return value;
}

const payloads = {
  text: ['text', 7, -1.5, 1099511627776, true, null, { a: [1, { b: 'ü€😀"\\\u2028' }], empty: {}, none: [] }, 'end'],
  binary: ['binary', Buffer.from([0, 1, 255]), { deep: [{ bytes: Buffer.from('xyz'), empty: Buffer.alloc(0) }], n: 1 }, 'end'],
};
const rich = {
  text: [moment, undefined, NaN, { when: moment, gone: undefined, kept: [undefined, 1] }, 'x'.repeat(70000), 1e300, 5e-324, -0.1],
  binary: [moment, undefined, { when: moment, kept: [undefined, Buffer.from([7])] }, new Uint8Array([1, 2]), Buffer.alloc(70000, 3),
    NaN, 1e300, 4294967296, -2147483649, 'end'],
};

/** Records one check per member: `judge(member)` throws what is wrong there. */
async function cells(name, origin, act, judge, options = {}) {
  let broken = null;
  let value;
  try { value = await act(); } catch (error) { broken = error; }
  for (const member of options.to ?? audience(origin)) {
    let error = broken;
    try { if (!error) await judge(member, value); } catch (one) { error = one; }
    checks.record(`${name}: ${origin.name} to ${member.name}`, error, options);
  }
}

/** A broadcast: `send(event, args)` sends it, exactly the clients of which `reaches` is true get it, once. */
async function broadcast(name, origin, send, reaches, { args = [], offset = true, ...options } = {}) {
  const event = options.event ?? fresh();
  for (const client of everyone) client.received = [];
  const to = audience(origin);
  await cells(name, origin, async () => {
    await send(event, args);
    // Who does not get it is found by its own cell.
    await Promise.all(everyone.filter((client) => to.includes(client.member) && reaches(client))
      .map((client) => client.waitFor(event, 1, 1500).catch(() => {})));
    await fence();
  }, (member) => {
    for (const client of Object.values(clients.get(member))) {
      const got = client.of(event);
      if (!reaches(client)) { same(got.length, 0, `events at ${client.name}, which was not meant`); continue; }
      same(got.length, 1, `events at ${client.name}`);
      same(got[0].args, options.want ?? travelled(args), `arguments at ${client.name}`);
      if (offset && origin.kind !== 'classic') truth(got[0].offset !== null, `no offset at ${client.name}`);
      if (!offset) same(got[0].offset, null, `offset at ${client.name}`);
    }
  }, options);
}

// ---- Broadcasts -------------------------------------------------------------------------------------------------

async function broadcasts() {
  for (const origin of origins) {
    for (const [kind, args] of Object.entries(payloads)) {
      const row = (name, target, reaches, more = {}) => broadcast(`${name}, ${kind}`, origin,
        (event, values) => origin.emit(target, event, values), reaches, { args, ...more });
      await row('to everybody', {}, roles('one', 'two'));
      await row('to everybody in another namespace', { nsp: '/chat' }, roles('chat'));
      await row('to a room', { rooms: ['red'] }, roles('one'));
      await row('to a room of another namespace', { nsp: '/chat', rooms: ['red'] }, roles('chat'));
      await row('to two rooms that share members', { rooms: ['red', 'warm'] }, roles('one', 'two'));
      await row('to a room except another', { rooms: ['warm'], except: ['blue'] }, roles('one'));
      await row('to everybody except a room', { except: ['red'] }, roles('two'));
      await row('volatile', { rooms: ['red'], volatile: true }, roles('one'), { offset: false });
    }
    // The classic emitter's encoder writes whole numbers above 64 bits as 0.
    const writable = (values) => (origin.name.startsWith('classic') ? values.filter((value) => value !== 1e300) : values);
    await broadcast('dates, undefined, NaN and long texts, text', origin, (event, args) => origin.emit({ rooms: ['red'] }, event, args),
      roles('one'), { args: writable(rich.text) });
    await broadcast('dates, undefined, NaN and long bytes, binary', origin, (event, args) => origin.emit({ rooms: ['red'] }, event, args),
      roles('one'), { args: writable(rich.binary) });
    const many = fresh();
    await cells('a hundred in a row come in order', origin, async () => {
      await Promise.all(Array.from({ length: 100 }, (_, i) => origin.emit({ rooms: ['warm'] }, many, [i])));
    }, async (member) => {
      for (const client of [clients.get(member).one, clients.get(member).two]) {
        await client.waitFor(many, 100).catch(() => {});
        same(client.of(many).map(({ args }) => args[0]), Array.from({ length: 100 }, (_, i) => i), `numbers at ${client.name}`);
      }
    });
    for (const member of audience(origin)) {
      const { one } = clients.get(member);
      const event = fresh();
      await checks.step(`to one socket by its id: ${origin.name} to ${member.name}`, async () => {
        await origin.emit({ rooms: [one.sid] }, event, ['just you']);
        await one.waitFor(event);
        await fence();
        same(everyone.filter((client) => client.of(event).length > 0).map(({ name }) => name), [one.name], 'receivers');
      });
    }
  }
  // What a client makes its server send.
  for (const origin of members) {
    for (const [kind, args] of Object.entries(payloads)) {
      const { one, two } = clients.get(origin);
      await broadcast(`by a client to the others in a room, ${kind}`, origin, (event, values) => one.socket.emit('say', 'warm', ...values),
        (client) => roles('one', 'two')(client) && client !== one, { args, event: 'said', want: ['warm', ...travelled(args)] });
      await broadcast(`local, ${kind}`, origin, (event, values) => two.socket.emit('shout-here', ...values),
        (client) => roles('one', 'two')(client) && client.member === origin, { args, event: 'shouted', offset: false });
    }
  }
}

// ---- Joining, leaving, disconnecting ----------------------------------------------------------------------------

async function memberships() {
  for (const origin of origins) {
    const settle = () => (origin.kind === 'classic' ? sleep(50) : fence());
    const room = `room of ${fresh()}`;
    const reached = async (member) => {
      const event = fresh();
      await streams.emit({ rooms: [room] }, event);
      await fence();
      return Object.values(clients.get(member)).filter((client) => client.of(event).length > 0).map(role);
    };
    await cells('join', origin, async () => { await origin.join({ rooms: ['red'] }, [room, `${room} too`]); await settle(); },
      async (member) => { same(await reached(member), ['one'], 'who is in the room'); });
    await cells('join of everybody but some', origin, async () => { await origin.join({ except: ['red'] }, [room]); await settle(); },
      async (member) => { same(await reached(member), ['one', 'two'], 'who is in the room'); });
    await cells('leave', origin, async () => { await origin.leave({ rooms: ['red'] }, [room, 'never joined']); await settle(); },
      async (member) => { same(await reached(member), ['two'], 'who is in the room'); });
    await cells('leave of everybody', origin, async () => { await origin.leave({}, [room, `${room} too`]); await settle(); },
      async (member) => { same(await reached(member), [], 'who is in the room'); });

    for (const close of [false, true]) {
      const victims = new Map();
      for (const member of audience(origin)) {
        const first = await TestClient.connect(member, { name: `victim@${member.name}`, rooms: [room] });
        const second = await TestClient.connect(member, { nsp: '/chat', manager: first.manager });
        victims.set(member, { first, second });
      }
      await cells(close ? 'disconnect of clients' : 'disconnect from the namespace', origin, async () => {
        await origin.disconnect({ rooms: [room] }, close);
        await fence();
        await until(1500, () => [...victims.values()].every(({ first }) => first.disconnects.length > 0), 'disconnects').catch(() => {});
        if (close) await sleep(30);
      }, (member) => {
        const { first, second } = victims.get(member);
        same(first.disconnects, ['io server disconnect'], 'reasons in /');
        same(second.disconnects.length, close ? 1 : 0, 'disconnects in the other namespace');
        for (const client of Object.values(clients.get(member))) same(client.disconnects, [], `disconnects of ${client.name}`);
      });
      for (const { first, second } of victims.values()) { second.close(); first.close(); }
    }
  }
}

// ---- Requests that all members answer ----------------------------------------------------------------------------

const byText = (a, b) => (a < b ? -1 : 1);

async function requests() {
  for (const origin of members) {
    const expected = (member, ...wanted) => Object.values(clients.get(member)).filter(roles(...wanted));
    const fetchRow = (name, target, ...wanted) => cells(`fetchSockets, ${name}`, origin, () => origin.fetchSockets(target), (member, sockets) => {
      for (const client of Object.values(clients.get(member))) {
        const found = sockets.filter(({ id }) => id === client.sid);
        same(found.length, wanted.includes(role(client)) ? 1 : 0, `entries of ${client.name}`);
        if (!found.length) continue;
        same(found[0].rooms.filter((room) => room !== client.sid).sort(byText), [...client.rooms].sort(byText), `rooms of ${client.name}`);
        if (origin.kind !== 'node') continue;
        const { handshake, data } = found[0];
        same(Object.entries(handshake).map(([key, value]) => `${key}: ${typeof value}`).sort(byText),
          ['address: string', 'auth: object', 'headers: object', 'issued: number', 'query: object', 'secure: boolean', 'time: string',
            'url: string', 'xdomain: boolean'], `handshake of ${client.name}`);
        same(handshake.query.EIO, '4', 'query.EIO');
        same(typeof handshake.headers.host, 'string', 'type of the host header');
        same([handshake.headers['x-note'], handshake.headers['x-list']], ['caf\xe9 \xff', 'a, b'], `odd headers of ${client.name}`);
        truth(handshake.url.startsWith('/socket.io/?'), `url ${handshake.url}`);
        truth(Math.abs(Date.parse(handshake.time) - handshake.issued) < 1001, `time ${handshake.time}, issued ${handshake.issued}`);
        // A gateway keeps credentials to itself.
        const { token, ...rest } = client.socket.auth;
        same(handshake.auth, member.kind === 'gateway' ? rest : client.socket.auth, `auth of ${client.name}`);
        truth(data !== null && typeof data === 'object', `data of ${client.name} is ${data}`);
      }
    });
    await fetchRow('everybody', {}, 'one', 'two');
    await fetchRow('a room except another', { rooms: ['warm'], except: ['blue'] }, 'one');
    await fetchRow('another namespace', { nsp: '/chat', rooms: ['talk'] }, 'chat');
    await fetchRow('nobody', { rooms: ['no such room'] });

    for (const kind of ['text', 'binary']) {
      const ackRow = (name, target, ...wanted) => cells(`emit with acks, ${name}, ${kind}`, origin,
        () => origin.emitWithAck(target, 'question', [kind, ...payloads[kind].slice(1)]), (member, answers) => {
          for (const client of Object.values(clients.get(member))) {
            const found = answers.filter((value) => value?.from === client.name);
            same(found.length, wanted.includes(role(client)) ? 1 : 0, `answers of ${client.name}`);
            if (!found.length) continue;
            const bytes = kind === 'binary' ? { bytes: Buffer.from(client.name), when: moment.toISOString() } : {};
            same(travelled(found[0]), { from: client.name, got: payloads[kind].length - 1, ...bytes }, `answer of ${client.name}`);
          }
        });
      await ackRow('everybody', {}, 'one', 'two');
      await ackRow('a room', { rooms: ['red'] }, 'one');
      await ackRow('another namespace', { nsp: '/chat' }, 'chat');
    }
    await cells('emit with acks, some silent', origin, async () => {
      const began = Date.now();
      try {
        await origin.emitWithAck({}, 'question', ['silent'], 500);
      } catch (error) {
        return { error, took: Date.now() - began };
      }
      throw new Error('no error though half of the clients are silent');
    }, (member, { error, took }) => {
      truth(took > 450 && took < 1500, `it took ${took} ms`);
      const names = error.partial?.map(({ from }) => from) ?? [];
      same(names.filter((name) => name.endsWith(member.name)), [`one@${member.name}`], 'answers in time');
    });
    for (const member of members) {
      await checks.step(`emit with ack to one socket: ${origin.name} to ${member.name}`, async () => {
        const { one } = clients.get(member);
        const got = await origin.emitToSocketWithAck('/', one.sid, 'question', ['binary', 1]);
        same(travelled(got), { from: one.name, got: 1, bytes: Buffer.from(one.name), when: moment.toISOString() }, 'answer');
      });
    }
    await checks.step(`emit with acks to nobody ends at once: ${origin.name}`, async () => {
      const began = Date.now();
      same(await origin.emitWithAck({ rooms: ['no such room'] }, 'question', [], 3000), [], 'answers');
      truth(Date.now() - began < 1000, `it took ${Date.now() - began} ms`);
    });
  }
}

async function serverEvents() {
  const nodeNames = nodes.map(({ name }) => name);
  const heard = async (member, tag) => (await member.serverEvents()).filter(({ args }) => args[0] === tag);
  for (const origin of [...members, streams]) {
    for (const [kind, args] of Object.entries(payloads)) {
      for (const nsp of ['/', '/chat']) {
        const tag = fresh();
        await cells(`serverSideEmit in ${nsp}, ${kind}`, origin, () => origin.serverSideEmit(nsp, 'to-servers', [tag, ...args]), async (member) => {
          if (member === origin) return;
          const [entry] = await until(1500, async () => { const found = await heard(member, tag); return found.length && found; }, 'the event');
          same(entry.nsp, nsp, 'namespace');
          same(entry.args.slice(1).map(travelled), travelled(args), 'arguments');
          same((await heard(member, tag)).length, 1, 'times');
        }, { to: nodes.filter((member) => member !== origin) });
      }
    }
  }
  for (const origin of members) {
    for (const kind of ['text', 'binary']) {
      await checks.step(`serverSideEmit with ack, ${kind}: ${origin.name} gets an answer of each other server in time`, async () => {
        const began = Date.now();
        const answers = await origin.serverSideEmitWithAck('/', 'to-servers', [fresh(), ...payloads[kind]]);
        truth(Date.now() - began < 2000, `it took ${Date.now() - began} ms`);
        same(answers.length, members.length - 1, 'answers');
        for (const name of nodeNames.filter((one) => one !== origin.name)) {
          const [found] = answers.filter((answer) => answer?.from === name);
          truth(found, `no answer of ${name}`);
          same(found.got.slice(1).map(travelled), travelled(payloads[kind]), 'what it got');
        }
      });
    }
  }
}

async function counting() {
  for (const nsp of ['/', '/chat']) {
    await checks.step(`Redis counts each member once in ${nsp}`, async () => {
      same(await cluster.count(nsp), members.length, 'subscribers of the public channel');
      for (const node of nodes) same(await node.request('serverCount', { nsp }), members.length, `serverCount at ${node.name}`);
    });
  }
}

// ---- Recovery at another member ---------------------------------------------------------------------------------

async function recovery() {
  const pairs = members.flatMap((from) => members.map((to) => ({ from, to })));
  const judge = async ({ from, to }) => {
    const room = `recovery ${from.name} ${to.name}`;
    const client = await TestClient.connect(from, {
      name: `mover ${from.name} ${to.name}`, rooms: [room], options: { reconnectionDelay: 400, reconnectionDelayMax: 400, randomizationFactor: 0 },
    });
    try {
      const { sid } = client;
      await streams.emit({ rooms: [room] }, 'before');
      await client.waitFor('before');
      client.cut(to);
      await sleep(150);
      await streams.emit({ rooms: [room] }, 'missed', [1, 'text']);
      await streams.emit({ rooms: ['not its room'] }, 'missed', ['of others']);
      await streams.emit({ rooms: [room], except: [room] }, 'missed', ['excepted']);
      await streams.emit({ rooms: [room, 'not its room'] }, 'missed', [2, Buffer.from([1, 2])]);
      await streams.emit({ nsp: '/chat' }, 'missed', ['of another namespace']);
      await nodes[0].emit({ rooms: [room] }, 'missed', [3, moment]);
      await sleep(100);   // Node answers before its entry is written
      await gateways[0].emit({ rooms: [room] }, 'missed', [4]);
      await until(4000, () => client.connects.length > 1, 'the client to come back');
      same([client.connects[1].recovered, client.connects[1].sid], [true, sid], 'recovered, and its id');
      await streams.emit({ rooms: [room] }, 'after');
      await client.waitFor('after');
      same(client.of('missed').map(({ args }) => args), [[1, 'text'], [2, Buffer.from([1, 2])], [3, moment.toISOString()], [4]], 'what it missed');
      same(client.received.filter(({ event }) => event !== 'missed').map(({ event }) => event), ['before', 'after'].filter((event) => client.of(event).length), 'the rest');
    } finally {
      client.close();
    }
  };
  await Promise.all(pairs.map((pair) => checks.step(`recovery of what was missed: from ${pair.from.name} to ${pair.to.name}`, () => judge(pair))));

  await checks.step('a client whose offset nobody knows is told so by a new session', async () => {
    const client = await TestClient.connect(members[0], { name: 'unknown offset', rooms: ['red'] });
    const { sid } = client;
    await streams.emit({ rooms: [sid] }, 'before');
    await client.waitFor('before');
    client.socket._lastOffset = '1-1';
    client.cut(members[1]);
    await until(4000, () => client.connects.length > 1, 'the client to come back');
    same(client.connects[1].recovered, false, 'recovered');
    truth(client.connects[1].sid !== sid, 'the same id');
    client.close();
  });
}

// ---- What should not be in Redis -----------------------------------------------------------------------------------

/** Entries and payloads that nobody ought to write; a cluster of one gateway alone, as Node does not survive them all. */
async function hazards() {
  if (onReference) return;
  const alone = await Cluster.start({ gateways: 1, nodes: 0 });
  const [gateway] = alone.members;
  const client = await TestClient.connect(gateway, { name: 'bystander', rooms: ['red'] });
  const add = (...fields) => alone.client.xadd('socket.io', '*', ...fields);
  const whole = (data) => ['uid', 'somebody', 'nsp', '/', 'type', '3', 'data', data];
  const opts = '"opts":{"rooms":[],"except":[],"flags":{}}';
  const entries = {
    'no namespace': ['uid', 'x', 'type', '3', 'data', `{"packet":{"type":2,"data":["bad"]},${opts}}`],
    'a namespace that nobody has': ['uid', 'x', 'nsp', '/nowhere', 'type', '3', 'data', `{"packet":{"type":2,"data":["bad"]},${opts}}`],
    'an unknown type': ['uid', 'x', 'nsp', '/', 'type', '99', 'data', '{}'],
    'a type that is no number': ['uid', 'x', 'nsp', '/', 'type', 'three', 'data', '{}'],
    'types 1, 2 and 13 of old servers': ['uid', 'x', 'nsp', '/', 'type', '1'],
    'no data': ['uid', 'x', 'nsp', '/', 'type', '3'],
    'empty data': whole(''),
    'broken JSON': whole('{"packet":{"type":2,"data":["bad"'),
    'JSON with something behind it': whole(`{"packet":{"type":2,"data":["bad"]},${opts}}}`),
    'deep JSON': whole(`{"packet":{"type":2,"data":["bad",${'['.repeat(100000)}${']'.repeat(100000)}]},${opts}}`),
    'no opts': whole('{"packet":{"type":2}}'),
    'opts of other types': whole('{"packet":{"type":2,"data":["bad"]},"opts":[1]}'),
    'rooms that are no texts': whole('{"packet":{"type":2,"data":["bad"]},"opts":{"rooms":[7,{}],"except":[],"flags":{}}}'),
    'a packet that is no event': whole(`{"packet":{"type":4,"data":{"message":"bad"}},${opts}}`),
    'an event without a name': whole(`{"packet":{"type":2,"data":[]},${opts}}`),
    'a reserved event': whole(`{"packet":{"type":2,"data":["disconnect"]},${opts}}`),
    'broken base64': whole('gqZwYWNr*ZXSCpHR5'),
    'broken MessagePack': whole('gqZwYWNrZXSC'),
    'a MessagePack array of four thousand million': whole(Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]).toString('base64')),
    'bytes that are not UTF-8': whole(Buffer.from([...Buffer.from('{"packet":{"type":2,"data":["bad'), 0xff, 0xc0, ...Buffer.from(`"]},${opts}}`)])),
  };
  const good = async (event) => {
    await alone.streams.emit({ rooms: ['red'] }, event, [1]);
    await client.waitFor(event);
    same([gateway.server.exitCode, gateway.server.exitSignal, client.disconnects], [null, null, []], 'end of the gateway, and disconnects');
  };
  for (const [name, fields] of Object.entries(entries)) {
    await checks.step(`the reader goes on behind an entry with ${name}`, async () => {
      client.received = [];
      await add(...fields);
      await good('good');
      same(client.received.map(({ event }) => event), ['good'], 'events');
    });
  }
  const payloads = {
    nothing: Buffer.alloc(0), text: 'hello', 'a classic array': Buffer.from([0x93, 0xa1, 0x78, 0x80, 0x80]), 'a nil': Buffer.from([0xc0]),
    'a map that is cut short': Buffer.from([0x84, 0xa4, 0x74, 0x79]), 'a map of four thousand million': Buffer.from([0xdf, 0xff, 0xff, 0xff, 0xff]),
  };
  for (const [name, payload] of Object.entries(payloads)) {
    await checks.step(`a channel with ${name} harms nobody`, async () => {
      await alone.client.publish('socket.io#/#', payload);
      await alone.client.publish('socket.io-request#/#', payload);
      await alone.client.publish('socket.io#/#red#', payload);
      await good('good');
    });
  }
  client.close();
  await alone.end();
  for (const member of alone.members) {
    await member.server.leave();
    checks.record('the gateway that read all this is well', member.server.complaint() ? new Error(member.server.complaint()) : null);
    await member.server.stop();
  }
}

for (const part of [hazards, counting, broadcasts, memberships, requests, serverEvents, recovery]) {
  const began = Date.now();
  const before = checks.passed + checks.failed;
  await within(60000, part(), part.name).catch((error) => checks.record(part.name, error));
  console.log(`      ${part.name}: ${checks.passed + checks.failed - before} checks, ${((Date.now() - began) / 1000).toFixed(1)} s`);
}
await checks.step('no client lost its connection meanwhile', () => {
  same(everyone.filter(({ disconnects }) => disconnects.length > 0).map(({ name }) => name), [], 'disconnected');
});

for (const client of everyone) client.close();
await cluster.end();
await checks.end(cluster.servers());
