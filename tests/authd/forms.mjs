// What a client sends that is refused by its form is told at info, at most once a second, with how many were held back.

import { io } from 'socket.io-client';
import { Checks, httpGet, same, sleep, startGateway, truth, until } from '../integration/lib/harness.mjs';
import { Authd } from './lib/authd.mjs';
import { mint } from './lib/tokens.mjs';

const checks = new Checks('forms');
const authd = await Authd.start({});
const routes = (file) => ({ '--routes': 'FOLDER/routes.json', ...file });
const files = { 'routes.json': JSON.stringify({ version: 1, namespaces: { '/': { events: { known: [{ ack: [true] }] } } } }) };
const asking = await startGateway({ options: routes({ '--auth': 'authd', '--authd': authd.control, '--log-level': 'info' }), files });
const open = await startGateway({ options: routes({ '--auth': 'none', '--log-level': 'info' }), files });
const lines = (server, event) => server.log().split('\n').filter((line) => line.includes(` ${event} `));
const heldBack = (list) => list.reduce((sum, line) => sum + Number(/held_back=(\d+)/.exec(line)[1]), 0);
const metric = async (server, name) => Number(new RegExp(`^${name} (.*)$`, 'm')
  .exec((await httpGet(`${server.url}/metrics`, { headers: { Accept: 'text/plain' } })).body)?.[1]);

/** The words with which a CONNECT with this auth is refused. */
const refused = (auth) => new Promise((done) => {
  const socket = io(asking.url, { transports: ['websocket'], auth, forceNew: true, reconnection: false });
  socket.once('connect_error', (error) => { socket.close(); done(error.data?.code ?? error.message); });
});

await checks.step('tokens that are none: refused, counted, one line a second', async () => {
  for (const token of [null, '', 42, true, [], {}, null]) truth(/unauthorized/i.test(await refused({ token })), `${JSON.stringify(token)} is refused`);
  same([lines(asking, 'token_malformed').length, await metric(asking, 'sio_tokens_malformed_total')], [1, 7], 'lines, and the metric');
  truth(/ info auth token_malformed .*reason="the token is no string" held_back=0/.test(lines(asking, 'token_malformed')[0]), lines(asking, 'token_malformed')[0]);
  await sleep(1100);
  await refused({ token: '' });
  same([lines(asking, 'token_malformed').length, heldBack(lines(asking, 'token_malformed'))], [2, 6], 'lines, and those held back');
});

await checks.step('so is what is sent to be a new token', async () => {
  const socket = io(asking.url, { transports: ['websocket'], auth: { token: await mint('v5', { sub: 'ann' }) }, forceNew: true, reconnection: false });
  await new Promise((done, fail) => { socket.once('connect', done); socket.once('connect_error', fail); });
  await sleep(1100);
  const before = [lines(asking, 'token_malformed').length, await metric(asking, 'sio_tokens_malformed_total')];
  for (const wish of [{ token: null }, { token: '' }, {}, 'text']) same((await socket.emitWithAck('sio:refresh', wish)).error, 'unauthorized', `${JSON.stringify(wish)}`);
  same([lines(asking, 'token_malformed').length, await metric(asking, 'sio_tokens_malformed_total')], [before[0] + 1, before[1] + 4], 'lines, and the metric');
  truth(/reason="sio:refresh has no token string"/.test(lines(asking, 'token_malformed').at(-1)), lines(asking, 'token_malformed').at(-1));
  socket.close();
});

await checks.step('events without a route: counted, one line a second', async () => {
  const socket = io(open.url, { transports: ['websocket'], forceNew: true });
  await new Promise((done) => { socket.once('connect', done); });
  for (let i = 0; i < 50; i += 1) socket.emit(`unknown-${i}`, i);
  await new Promise((done) => { socket.emit('known', done); });
  same([lines(open, 'no_route').length, await metric(open, 'sio_events_without_route_total')], [1, 50], 'lines, and the metric');
  await sleep(1100);
  socket.emit('unknown', 1);
  await until(1000, () => lines(open, 'no_route').length === 2, 'the second line');
  same(heldBack(lines(open, 'no_route')), 49, 'held back');
  socket.close();
});

await authd.stop();
await checks.end([asking, open]);
