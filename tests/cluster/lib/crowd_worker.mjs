// Many cheap clients in a process of their own: crowd_worker.mjs COUNT PORT..., forked with an IPC channel.
//
// They are bare WebSockets that join `/`, answer pings and count the frames they get, spread over the ports. Messages of
// this process: {joined} once all have joined; {counted: {least, most, sum, disorder, gone}} when the parent sends
// {count: EVENT} (events of that name by client; those whose first argument, a number, was not above the one before; and
// clients whose connection ended).

import { createConnection } from 'node:net';

const [count, ...ports] = process.argv.slice(2).map(Number);
const pong = Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0x33]);   // "3", masked by zeros
const connect = Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x34, 0x30]);   // "40"
const clients = [];
let joined = 0;

function take(client, frame) {
  if (frame[0] === 0x32) client.socket.write(pong);
  else if (frame[0] === 0x30) client.socket.write(connect);
  else if (frame[0] === 0x34 && frame[1] === 0x30) {
    joined += 1;
    if (joined === count) process.send({ joined });
  } else if (frame[0] === 0x34 && frame[1] === 0x32) {
    const end = frame.indexOf(0x22, 4);
    const name = frame.toString('latin1', 4, end);
    let number = 0;
    for (let i = end + 2; frame[i] >= 0x30 && frame[i] <= 0x39; i += 1) number = number * 10 + frame[i] - 0x30;
    const seen = client.events[name] ??= { count: 0, last: -1, disorder: 0 };
    seen.count += 1;
    if (number <= seen.last) seen.disorder += 1;
    seen.last = number;
  }
}

function open(port) {
  const client = { socket: createConnection({ port, host: '127.0.0.1', noDelay: true }), rest: Buffer.alloc(0), events: {}, isGone: false };
  let upgraded = false;
  client.socket.write('GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: crowd\r\nUpgrade: websocket\r\n'
    + 'Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n');
  client.socket.on('data', (part) => {
    let data = client.rest.length ? Buffer.concat([client.rest, part]) : part;
    if (!upgraded) {
      const end = data.indexOf('\r\n\r\n');
      if (end < 0) { client.rest = data; return; }
      upgraded = true;
      data = data.subarray(end + 4);
    }
    let at = 0;
    while (data.length - at >= 2) {
      let size = data[at + 1];
      let begin = at + 2;
      if (size === 126) {
        if (data.length - at < 4) break;
        size = data.readUInt16BE(at + 2);
        begin = at + 4;
      }
      if (data.length < begin + size) break;
      take(client, data.subarray(begin, begin + size));
      at = begin + size;
    }
    client.rest = at === data.length ? Buffer.alloc(0) : Buffer.from(data.subarray(at));
  });
  client.socket.on('error', () => {});
  client.socket.on('close', () => { client.isGone = true; });
  clients.push(client);
}

// A few at a time, as a backlog is not endless.
for (let begun = 0; begun < count;) {
  for (const end = Math.min(count, begun + 100); begun < end; begun += 1) open(ports[begun % ports.length]);
  const wanted = begun - 100;
  while (joined < wanted) await new Promise((done) => { setTimeout(done, 2); });
}

process.on('message', ({ count: event }) => {
  const seen = clients.map((client) => client.events[event] ?? { count: 0, disorder: 0 });
  const numbers = seen.map((one) => one.count);
  process.send({ counted: {
    least: Math.min(...numbers), most: Math.max(...numbers), sum: numbers.reduce((a, b) => a + b, 0),
    disorder: seen.reduce((a, b) => a + b.disorder, 0),
    gone: clients.filter(({ isGone }) => isGone).length,
  } });
});
process.on('disconnect', () => process.exit(0));
