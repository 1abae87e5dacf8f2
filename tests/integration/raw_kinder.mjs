// Kinder than Node: events before the answer to CONNECT are kept, an ending brings clients back, and the recovery offset
// goes to those alone that can use it.

import { Checks, same, startServer, truth } from './lib/harness.mjs';
import { Polling, Tcp, idIn, joinByWebSocket } from './lib/raw.mjs';
import { habits, wsHeadersOf } from './lib/habits.mjs';

const checks = new Checks('raw_kinder');
const server = await startServer();
const kinder = { nodeFails: true };

async function freshWebSocket(headers = {}) {
  const tcp = await Tcp.open(server.port);
  await tcp.upgrade('/socket.io/?EIO=4&transport=websocket', headers);
  await tcp.packet();
  return tcp;
}

await checks.step('events sent together with CONNECT by WebSocket are kept and answered in order (Rust)', async () => {
  const tcp = await freshWebSocket();
  tcp.text('40{"token":"t"}', '420["echo","early"]', '421["echo","earlier"]');
  idIn(await tcp.packet());
  same(await tcp.packet(), '430["early"]', 'first ack');
  same(await tcp.packet(), '431["earlier"]', 'second ack');
  tcp.destroy();
}, kinder);

await checks.step('events sent together with CONNECT by polling are kept and answered in order', async () => {
  const polling = new Polling(server, habits.Rust);
  await polling.handshake();
  await polling.post('40', '420["echo","early"]', '421["echo","earlier"]');
  idIn(await polling.packet());
  same(await polling.packet(), '430["early"]', 'first ack');
  same(await polling.packet(), '431["earlier"]', 'second ack');
  polling.destroy();
}, kinder);

await checks.step('a second CONNECT takes the place of the first, and nobody else on the connection notices', async () => {
  const tcp = await freshWebSocket();
  tcp.text('40/custom,', '40');
  idIn(await tcp.packet(), '/custom');
  const first = idIn(await tcp.packet());
  tcp.text('40', '420["echo","after"]');
  const second = idIn(await tcp.packet());
  truth(second !== first, 'the second has an id of its own');
  same(await tcp.packet(), '430["after"]', 'ack of the second');
  tcp.text('42/custom,1["echo","still here"]');
  same(await tcp.packet(), '43/custom,1["still here"]', 'ack of the other namespace');
  // Two at once, as a component that is mounted, unmounted and mounted again sends them.
  tcp.text('40', '40', '420["echo","last"]');
  const ids = [idIn(await tcp.packet()), idIn(await tcp.packet())];
  truth(new Set([second, ...ids]).size === 3, 'each has its own id');
  same(await tcp.packet(), '430["last"]', 'ack of the last');
  tcp.destroy();
}, kinder);

await checks.step('a second CONNECT by polling, too', async () => {
  const polling = new Polling(server, habits.Rust);
  const first = await polling.join('40');
  await polling.post('40', '421["echo",1]');
  truth(idIn(await polling.packet()) !== first, 'another id');
  same(await polling.packet(), '431[1]', 'ack');
  polling.destroy();
}, kinder);

for (const [offered, answer] of [['chat', 'chat'], ['soap, wamp', 'soap'], ['a.b-c_d ,x', 'a.b-c_d']]) {
  await checks.step(`Sec-WebSocket-Protocol: ${offered} is answered with ${answer}`, async () => {
    const tcp = await Tcp.open(server.port);
    const { headers } = await tcp.upgrade('/socket.io/?EIO=4&transport=websocket', { 'Sec-WebSocket-Protocol': offered });
    same(headers['sec-websocket-protocol'], answer, 'protocol');
    tcp.destroy();
  });
}

for (const offered of ['chat,,x', 'a b', 'twice,twice', '"quoted"', ',']) {
  await checks.step(`a malformed Sec-WebSocket-Protocol is refused: ${offered}`, async () => {
    const tcp = await Tcp.open(server.port);
    tcp.send('GET', '/socket.io/?EIO=4&transport=websocket', {
      Host: tcp.host, Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version': 13, 'Sec-WebSocket-Protocol': offered,
    });
    same((await tcp.answer()).status, 400, 'status');
    tcp.destroy();
  });
}

await checks.step('a WebSocket that a proxy passes on with HTTP/1.0 is taken', async () => {
  const tcp = await Tcp.open(server.port);
  tcp.write('GET /socket.io/?EIO=4&transport=websocket HTTP/1.0\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n'
    + 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n');
  same((await tcp.answer()).status, 101, 'status');
  await tcp.packet();
  tcp.text('40', '427["echo","by 1.0"]');
  idIn(await tcp.packet());
  same(await tcp.packet(), '437["by 1.0"]', 'ack');
  tcp.destroy();
});

await checks.step('the path is served without its slash: by polling, and by WebSocket', async () => {
  const polling = new Polling(server, { ...habits.Rust, path: '/socket.io' });
  await polling.join('40');
  polling.destroy();
  const tcp = await Tcp.open(server.port);
  await tcp.upgrade('/socket.io?EIO=4&transport=websocket');
  await tcp.packet();
  tcp.destroy();
}, kinder);

await checks.step('binary events sent together with CONNECT are kept', async () => {
  const tcp = await freshWebSocket();
  tcp.text('40', '451-0["echo",{"_placeholder":true,"num":0}]');
  tcp.binary(Buffer.from([1, 2, 3]));
  idIn(await tcp.packet());
  same(await tcp.packet(), '461-0[{"_placeholder":true,"num":0}]', 'ack');
  same([...(await tcp.packet()).binary], [1, 2, 3], 'attachment');
  tcp.destroy();
}, kinder);

await checks.step('events for two namespaces sent together with both CONNECTs are kept', async () => {
  const tcp = await freshWebSocket();
  tcp.text('40', '40/custom,', '42/custom,1["echo","there"]', '421["echo","here"]');
  const got = [];
  for (let i = 0; i < 4; i += 1) got.push(await tcp.packet());
  same(got.map((packet) => packet?.replace(/\{.*\}/, '')).sort(), ['40', '40/custom,', '43/custom,1["there"]', '431["here"]']);
  tcp.destroy();
}, kinder);

await checks.step('events sent to a namespace that refuses the CONNECT cost the refusal alone', async () => {
  const { tcp } = await joinByWebSocket(server);
  tcp.text('40/forbidden,', '42/forbidden,1["echo","x"]', '421["echo","still here"]');
  const got = [await tcp.packet(), await tcp.packet()];
  same(got.sort(), ['431["still here"]', '44/forbidden,{"message":"nope","data":{"code":42}}']);
  tcp.destroy();
}, kinder);

await checks.step('a dropped WebSocket gets the close code 1012', async () => {
  const { tcp } = await joinByWebSocket(server);
  tcp.text('42["drop"]');
  let got;
  do got = await tcp.message(2000, 'close frame'); while (got && !('close' in got));
  same(got?.close, 1012, 'close code');
}, kinder);

await checks.step('a dropped WebSocket loses its TCP connection within a second though it answers nothing (.NET, Java)', async () => {
  const { tcp } = await joinByWebSocket(server);
  tcp.text('42["drop"]');
  let got;
  do got = await tcp.message(2000, 'close frame'); while (got && !('close' in got));
  await tcp.end(1000);
}, kinder);

await checks.step('a dropped poll is answered 400, 502 or 503, and never `1`', async () => {
  for (const waiting of [true, false]) {
    const polling = new Polling(server, habits['Python Client']);
    await polling.join();
    if (waiting) await polling.startGet();
    await polling.post('42["drop"]');
    if (!waiting) await polling.startGet();
    const answer = await polling.getter.answer(2000, 'answer to the poll');
    truth(answer === null || [400, 502, 503].includes(answer.status), `answer is ${answer?.status} ${answer?.body}`);
    polling.destroy();
  }
}, kinder);

await checks.step('a kicked client is told 41 and then closed', async () => {
  const { tcp } = await joinByWebSocket(server);
  tcp.text('42["kick"]');
  same(await tcp.packet(), '41');
  const got = await tcp.message(2000, 'close frame');
  truth(got === null || 'close' in got, `instead came ${JSON.stringify(got)}`);
  tcp.destroy();
});

async function eventsOf(source, id) {
  await server.emitMany([['ends-in-text', 'a', 'b'], ['no-arguments']], { to: id });
  return [JSON.parse((await source.packet()).slice(2)), JSON.parse((await source.packet()).slice(2))];
}
for (const [name, habit] of Object.entries(habits)) {
  const check = (events) => {
    if (habit.recovers) {
      same(events[0].slice(0, 3), ['ends-in-text', 'a', 'b'], 'first event');
      same([typeof events[0][3], typeof events[1][1]], ['string', 'string'], 'type of the offsets');
    } else {
      same(events, [['ends-in-text', 'a', 'b'], ['no-arguments']], 'events');
    }
  };
  const options = { nodeFails: !habit.recovers };
  const what = habit.recovers ? 'gets a recovery offset' : 'gets no recovery offset';
  if (name === 'JS 3.1') continue;   // it ignores the offset, and is not told from its successors
  await checks.step(`${name} by polling ${what}`, async () => {
    const polling = new Polling(server, habit);
    const id = await polling.join('40{"token":"t"}');
    check(await eventsOf(polling, id));
    polling.destroy();
  }, options);
  await checks.step(`${name} by WebSocket ${what}`, async () => {
    const { tcp, id } = await joinByWebSocket(server, { headers: wsHeadersOf(habit, server) });
    check(await eventsOf(tcp, id));
    tcp.destroy();
  }, options);
}

await checks.end(server);
