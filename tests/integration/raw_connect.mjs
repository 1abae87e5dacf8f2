// Point 5 of what clients need, every spelling of CONNECT and DISCONNECT; and the requests of each client as captured.

import { Checks, same, startServer } from './lib/harness.mjs';
import { Polling, Tcp, idIn, joinByWebSocket } from './lib/raw.mjs';
import { habits, wsHeadersOf } from './lib/habits.mjs';

const checks = new Checks('raw_connect');
const server = await startServer();

const spellings = [
  ['40', {}], ['40{}', {}], ['40{"token":"t"}', { token: 't' }], ['40/,{"token":"t"}', { token: 't' }], ['40/,', {}],
  ['40/', {}], ['40{"token":"\\u00fc \\ud83d\\ude80"}', { token: 'ü 🚀' }],
];
for (const [connect, auth] of spellings) {
  await checks.step(`${connect} joins / by WebSocket and by polling, and is answered 40{"sid":…}`, async () => {
    const { tcp, id } = await joinByWebSocket(server, { connect });
    tcp.text('421["whoami"]');
    const [who] = JSON.parse((await tcp.packet()).slice(3));
    same([who.auth, who.namespace, who.sid], [auth, '/', id]);
    tcp.destroy();
    const polling = new Polling(server);
    await polling.join(connect);
    polling.destroy();
  });
}

for (const [connect, namespace] of [['40/custom,', '/custom'], ['40/custom', '/custom'], ['40/custom,{"token":"t"}', '/custom']]) {
  await checks.step(`${connect} joins ${namespace}`, async () => {
    const { tcp } = await joinByWebSocket(server);
    tcp.text(connect);
    idIn(await tcp.packet(), namespace);
    tcp.text('42/custom,3["echo",1]');
    same(await tcp.packet(), '43/custom,3[1]', 'ack');
    tcp.destroy();
  });
}

for (const leave of ['41', '41/,', '41/']) {
  await checks.step(`${leave} leaves / and no other namespace`, async () => {
    const { tcp } = await joinByWebSocket(server);
    tcp.text('40/custom,');
    idIn(await tcp.packet(), '/custom');
    tcp.text(leave, '42/custom,3["echo",1]');
    same(await tcp.packet(), '43/custom,3[1]', 'ack of the other namespace');
    tcp.text('40');
    idIn(await tcp.packet());
    tcp.destroy();
  });
}

await checks.step('41/custom, and 41/custom leave /custom and not /', async () => {
  for (const leave of ['41/custom,', '41/custom']) {
    const { tcp } = await joinByWebSocket(server);
    tcp.text('40/custom,');
    idIn(await tcp.packet(), '/custom');
    tcp.text(leave, '423["echo",1]');
    same(await tcp.packet(), '433[1]', 'ack of /');
    tcp.destroy();
  }
});

await checks.step('a refusal is written 44/forbidden,{"message":"nope","data":{"code":42}}', async () => {
  const { tcp } = await joinByWebSocket(server);
  tcp.text('40/forbidden,{"token":"t"}');
  same(await tcp.packet(), '44/forbidden,{"message":"nope","data":{"code":42}}');
  tcp.text('40/unheard-of,', '421["echo",1]');
  same(await tcp.packet(), '44/unheard-of,{"message":"Invalid namespace"}');
  same(await tcp.packet(), '431[1]', 'ack');
  tcp.destroy();
});

for (const [name, habit] of Object.entries(habits)) {
  await checks.step(`requests as ${name} writes them: handshake, POST, poll, WebSocket`, async () => {
    const polling = new Polling(server, habit);
    await polling.join('40{"token":"t"}');
    await polling.post('421["echo","x"]');
    same(await polling.packet(), '431["x"]', 'ack by polling');
    const tcp = await Tcp.open(server.port);
    await tcp.upgrade('/socket.io/?EIO=4&transport=websocket', wsHeadersOf(habit, server));
    await tcp.packet();
    tcp.text('40{"token":"t"}');
    idIn(await tcp.packet());
    tcp.text('421["echo","x"]');
    same(await tcp.packet(), '431["x"]', 'ack by WebSocket');
    tcp.destroy();
    polling.destroy();
  });
}

await checks.step('C++: transport=websocket&t=<s> and leaving by close 1000 with a text', async () => {
  const { tcp } = await joinByWebSocket(server, { query: 'EIO=4&transport=websocket&t=1795419403' });
  tcp.frame(8, Buffer.concat([Buffer.from([0x03, 0xe8]), Buffer.from('End by user')]));
  let got;
  do got = await tcp.message(2000, 'close frame'); while (got && !('close' in got));
  same([1000, 1005].includes(got?.close), true, `close ${got?.close}`);
  await tcp.end();
});

await checks.end(server);
