// What gateways of different hosts know of each other by Redis alone, and what sioctl says of one that does not answer.

import {
  Checks, freePort, httpGet, runCommand, same, sioctlBinary, startGateway, truth, until,
} from '../integration/lib/harness.mjs';
import { joinByWebSocket } from '../integration/lib/raw.mjs';
import { clusterOptions } from './lib/cluster.mjs';
import { RedisServer } from './lib/redis.mjs';

const checks = new Checks('nodes');
const redis = await RedisServer.start({});
const start = async (name) => startGateway({
  options: {
    ...clusterOptions(redis.url, name), '--hop-listen': `127.0.0.1:${await freePort()}`, '--hop-secret-file': 'FOLDER/secret',
  },
  files: { secret: 'a secret of sixteen bytes and more\n' },
});
const servers = [await start('one'), await start('two')];
const [one, two] = servers;
const sioctl = (server, args, options = {}) => runCommand(sioctlBinary, ['--control', server.control, ...args], '',
  { timeout: 15000, anyExit: true, ...options });
const listed = async () => (await sioctl(one, ['nodes', '-o', 'ndjson'])).out.trim().split('\n').map((line) => JSON.parse(line));
await until(5000, async () => (await listed()).length === 2, 'two nodes');

await checks.step('sioctl nodes lists the gateways with their sockets and where other hosts reach them', async () => {
  const { tcp } = await joinByWebSocket(two);
  await until(4000, async () => (await listed())[1].sockets === 1, 'the count of sockets');
  const nodes = await listed();
  same(nodes.map(({ node, self }) => [node, self]), [['one', true], ['two', false]], 'names');
  truth(nodes.every(({ hop }) => /^127\.0\.0\.1:\d+$/.test(hop)), JSON.stringify(nodes));
  const table = (await sioctl(one, ['nodes', '-o', 'table'])).out;
  truth(/NODE +SOCKETS/.test(table) && /two +1/.test(table), table);
  tcp.destroy();
});

await checks.step('a poll that reaches the wrong host finds its session through Redis', async () => {
  const path = (sid) => `/socket.io/?EIO=4&transport=polling${sid ? `&sid=${sid}` : ''}`;
  const { sid } = JSON.parse((await httpGet(one.url + path())).body.slice(1));
  same((await httpGet(two.url + path(sid), { method: 'POST', body: '40' })).status, 200, 'status of the POST');
  const poll = await httpGet(two.url + path(sid));
  same(poll.status, 200, 'status of the poll');
  truth(poll.body.startsWith('40{'), poll.body);
});

await checks.step('68: a node that does not answer is named, within a deadline, and the others are told of', async () => {
  const { tcp } = await joinByWebSocket(one);
  two.child.kill('SIGSTOP');
  try {
    for (const command of [['rooms', '--all'], ['sockets'], ['emit', 'x'], ['join', 'r', '--all']]) {
      const began = Date.now();
      const { code, out, err } = await sioctl(one, [...command, '-o', 'json']);
      same(code, 68, `exit code of ${command[0]}`);
      truth(/no answer from node/.test(err), err);
      truth(Date.now() - began < 6000, `${command[0]} took ${Date.now() - began} ms`);
      truth(out.includes('"one"'), out);
    }
  } finally {
    two.child.kill('SIGCONT');
  }
  await until(8000, async () => (await sioctl(one, ['rooms'])).code === 0, 'all to answer again');
  tcp.destroy();
});

await checks.step('no request is sent while servers of the classic adapter share the channels', async () => {
  const classic = redis.client();
  await classic.subscribe('socket.io-request#/#');
  const heard = redis.client();
  const requests = [];
  heard.on('message', (channel) => requests.push(channel));
  await heard.subscribe('socket.io#/#');
  await until(5000, async () => /classic_servers/.test(one.log()), 'the gateway to see them');
  requests.length = 0;
  same((await sioctl(one, ['sockets'])).code, 68, 'exit code');
  same(requests, [], 'requests');
  classic.disconnect();
  heard.disconnect();
  await until(5000, async () => (await sioctl(one, ['sockets'])).code === 0, 'requests to be sent again');
});

await checks.end(servers);
