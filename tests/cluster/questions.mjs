// What members of a cluster ask of each other, and what that costs: answers to Node's fetchSockets.

import { Checks, same, truth } from '../integration/lib/harness.mjs';
import { TestClient } from './lib/client.mjs';
import { GatewayMember, NodeMember } from './lib/cluster.mjs';
import { RedisServer } from './lib/redis.mjs';

const checks = new Checks('questions');
const redis = await RedisServer.start({});
const one = await GatewayMember.start('one', redis);
const node = await NodeMember.start('node', redis);

await checks.step("Node's fetchSockets has the headers that came, and no others", async () => {
  const client = await TestClient.connect(one, {
    rooms: ['seen'], options: { extraHeaders: { 'X-Kept': 'as it is', Cookie: 'session=secret', Authorization: 'Bearer secret' } },
  });
  const [socket, ...others] = await node.fetchSockets({ rooms: ['seen'] });
  same([socket.id, others.length], [client.sid, 0], 'sockets');
  const { headers } = socket.handshake;
  same(Object.keys(headers).sort(), ['connection', 'host', 'sec-websocket-extensions', 'sec-websocket-key', 'sec-websocket-version',
    'upgrade', 'x-kept'], 'headers');
  same(headers['x-kept'], 'as it is', 'value of a header');
  truth(!JSON.stringify(socket).includes('secret'), 'credentials left the gateway');
  client.close();
});

await checks.end([one.server, node.server]);
