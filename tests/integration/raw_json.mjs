// Point 7 of what clients need: JSON in every spelling, and ack ids as they choose them.

import { Checks, same, startServer } from './lib/harness.mjs';
import { joinByWebSocket } from './lib/raw.mjs';

const checks = new Checks('raw_json');
const server = await startServer();

const spellings = [
  ['\\uXXXX pairs for what is not ASCII (Python, PHP)', '["\\u00e4\\u4e2d\\ud83d\\ude80"]'],
  ['<\\/ (Java)', '["<\\/script>"]'],
  ['\\u2013 (Java)', '["\\u2013 dash"]'],
  ['-3.0E-7 (Java)', '[-3.0E-7,1.0E10,2E+3]'],
  ['\\u003c and \\u0026 (Go)', '["\\u003cb\\u003e \\u0026"]'],
  ['\\/ (PHP)', '["a\\/b"]'],
  ['keys that are sorted (Rust, Go)', '[{"a":1,"b":2,"z":{"a":1}}]'],
  ['keys that are not sorted (Java)', '[{"z":{"a":1},"b":2,"a":1}]'],
  ['blanks between the tokens (Python)', '[ { "a" : [ 1 , 2 ] } , null ]'],
  ['\\u001e, \\u0000 and \\u007f', '["\\u001e\\u0000\\u007f"]'],
  ['numbers that no double holds', '[9007199254740993,123456789012345678901234567890,0.1000000000000000055511151231257827]'],
  ['2028 and 2029 as they are', '["\u2028\u2029"]'],
];
for (const [name, args] of spellings) {
  await checks.step(`an ack and an event give back ${name}`, async () => {
    const { tcp } = await joinByWebSocket(server);
    tcp.text(`420["echo",${args.slice(1)}`);
    const ack = await tcp.packet();
    same(ack.slice(0, 3), '430', 'ack');
    same(JSON.parse(ack.slice(3)), JSON.parse(args), 'arguments of the ack');
    tcp.text(`42["echo-event",${args.slice(1)}`);
    const event = JSON.parse((await tcp.packet()).slice(2));
    const sent = JSON.parse(args);
    same(event.slice(0, sent.length + 1), ['echo-event', ...sent], 'arguments of the event');
    tcp.destroy();
  });
}

await checks.ours('arguments are passed on byte for byte', async () => {
  const { tcp } = await joinByWebSocket(server);
  for (const [, args] of spellings) {
    tcp.text(`420["echo",${args.slice(1)}`);
    same((await tcp.packet()).slice(3).replaceAll(' ', ''), args.replaceAll(' ', ''), 'ack');
  }
  tcp.destroy();
});

await checks.step('ack ids from 0, from 1, in no order and some of them twice (Rust)', async () => {
  const { tcp } = await joinByWebSocket(server);
  for (const id of [0, 1, 998, 17, 17, 2, 0, 998]) {
    tcp.text(`42${id}["echo",${id}]`);
    same(await tcp.packet(), `43${id}[${id}]`, 'ack');
  }
  tcp.destroy();
});

await checks.step('Rust: binary with an ack as 61-<id>["event",…] does no harm to others', async () => {
  const beside = await joinByWebSocket(server);
  const { tcp } = await joinByWebSocket(server);
  tcp.text('461-5["echo",{"_placeholder":true,"num":0}]');
  tcp.binary(Buffer.from([1, 2, 3]));
  beside.tcp.text('421["echo","unharmed"]');
  same(await beside.tcp.packet(), '431["unharmed"]', 'ack of the client beside it');
  tcp.destroy();
  beside.tcp.destroy();
});

await checks.step('answers to a question with an id that nobody gave, or twice, are ignored', async () => {
  const { tcp } = await joinByWebSocket(server);
  tcp.text('4399["nobody asked"]', '42["ask-me","why"]');
  const question = await tcp.packet();
  const [, id] = /^42(\d+)\["question","why"\]$/.exec(question) ?? [];
  tcp.text(`43${id}["first"]`, `43${id}["second"]`);
  same(JSON.parse((await tcp.packet()).slice(2)).slice(0, 2), ['answered', 'first']);
  tcp.text('421["echo",1]');
  same(await tcp.packet(), '431[1]', 'what follows');
  tcp.destroy();
});

await checks.end(server);
