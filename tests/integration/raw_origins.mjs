// Point 2 of what clients need: an Origin check that lets in those that send odd origins, and no others.

import { Checks, httpGet, same, startServer, truth } from './lib/harness.mjs';
import { Polling, Tcp } from './lib/raw.mjs';

const checks = new Checks('raw_origins');
const listed = 'https://app.example';
const server = await startServer({ options: { '--cors-origin': listed } });
const host = `127.0.0.1:${server.port}`;

async function statusOfWebSocket(origin, target = '/socket.io/?EIO=4&transport=websocket') {
  const tcp = await Tcp.open(server.port);
  tcp.send('GET', target, {
    Host: host, Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': 13,
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', ...(origin !== undefined && { Origin: origin }),
  });
  const answer = await tcp.answer();
  tcp.destroy();
  return answer?.status;
}

const welcome = [
  ['no Origin (JS in Node, aiohttp, Java, Rust)', undefined],
  ['the own host with http (Python Client, PHP)', `http://${host}`],
  ['the own host with https', `https://${host}`],
  ['the own host with ws (Swift)', `ws://${host}`],
  ['the own host with wss', `wss://${host}`],
  ['the own host with path and query (Go maldikhan)', `http://${host}/socket.io/?eio=4`],
  ['a page of the list (a browser)', listed],
];
const refused = [
  ['a page that is not of the list', 'https://evil.example'],
  ['a host that begins as our own', `http://${host}.evil.example`],
  ['a host that begins as one of the list', `${listed}.evil.example`],
  ['our host as a user name', `http://${host}@evil.example`],
  ['our host in a query', `http://evil.example/?http://${host}`],
  ['our host behind a path', `http://evil.example/${host}`],
  ['another scheme of a page of the list', 'http://app.example'],
  ['another scheme at our own host', `ftp://${host}`],
  ['null', 'null'],
];

for (const [name, origin] of welcome) {
  await checks.step(`a WebSocket is given to ${name}`, async () => same(await statusOfWebSocket(origin), 101, 'status'));
}
for (const [name, origin] of refused) {
  await checks.ours(`a WebSocket is refused to ${name}`, async () => {
    const status = await statusOfWebSocket(origin);
    truth(status >= 400 && status < 500, `status ${status}`);
  });
}
await checks.ours('an upgrade is refused to a page that is not of the list, and polling goes on', async () => {
  const polling = new Polling(server);
  await polling.join();
  const status = await statusOfWebSocket('https://evil.example', polling.wsTarget());
  truth(status >= 400 && status < 500, `status ${status}`);
  await polling.post('421["echo","on"]');
  same(await polling.packet(), '431["on"]', 'ack');
  same(await statusOfWebSocket(`http://${host}/socket.io/?eio=4`, polling.wsTarget()), 101, 'status with the own host');
  polling.destroy();
});
await checks.ours('a poll from a page of the list is answered with its origin, one from elsewhere without', async () => {
  const url = `${server.url}/socket.io/?EIO=4&transport=polling`;
  const listedAnswer = await httpGet(url, { headers: { Origin: listed } });
  same(listedAnswer.headers['access-control-allow-origin'], listed, 'Access-Control-Allow-Origin');
  const other = await httpGet(url, { headers: { Origin: 'https://evil.example' } });
  truth(other.headers['access-control-allow-origin'] !== 'https://evil.example'
    && other.headers['access-control-allow-origin'] !== '*', 'it is allowed');
});

await checks.end(server);
