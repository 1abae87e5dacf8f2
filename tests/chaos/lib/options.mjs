// The command line of `make chaos`, and the presets.

export const kinds = ['gateway', 'bridge', 'redis', 'authd', 'broker', 'clients', 'links'];
export const hows = ['at-once', 'later', 'freeze', 'freeze-long', 'term', 'cut', 'swallow', 'together'];

/** What can be wrong: one delivery that does not come, comes twice, and so on. */
export const spoils = ['delivery', 'repeat', 'event', 'again', 'announcement'];

const storm = { clients: 300, rate: 10000, rooms: 100, polling: 5, events: 50, absences: 0, watchers: 2, rounds: 20 };

/** Each preset is the options that it sets; `--short` puts those under `short` over them. `every`: ms between two actions. */
export const presets = {
  restart: {
    about: 'each of three gateways killed in turn and started again at once, 20 times, under 10,000 records/s to 300 clients in 100 rooms',
    ...storm, plan: 'turns', every: 2500, short: { rounds: 2 },
  },
  alone: {
    about: 'one gateway alone beside Redis, killed and started again at once, 20 times; all clients return to it',
    ...storm, plan: 'turns', every: 5000, gateways: 1, short: { rounds: 4 },
  },
  all: {
    about: 'all three gateways killed within one second and started again at once, 20 times',
    ...storm, plan: 'all', every: 6000, short: { rounds: 3 },
  },
  everything: {
    about: 'as restart, while bridges and Redis are killed and started again at once, too',
    ...storm, plan: 'everything', every: 3500, short: { rounds: 3 },
  },
};

const table = {
  '--preset': { text: 'NAME', help: `one of ${Object.keys(presets).join(', ')}; options given besides count more` },
  '--short': { help: 'the short form of the preset' },
  '--minutes': { number: true, value: 2, help: 'how long processes are killed; starting and the last judgement come on top' },
  '--seed': { number: true, help: 'which schedule; drawn, and printed, when it is not given' },
  '--clients': { number: true, value: 300, help: 'stock clients' },
  '--rate': { number: true, value: 1000, help: 'Kafka records a second, all rooms together' },
  '--rooms': { number: true, value: 100, help: 'rooms; each client is in one, and each is the key of its records' },
  '--events': { number: true, value: 100, help: 'client events a second, all clients together' },
  '--absences': { number: true, value: 1, help: 'a second: clients that log out, or lose their network, and come back later' },
  '--polling': { number: true, value: 15, help: 'percent of clients that stay with polling; as many again, and 10, upgrade from it' },
  '--watchers': { number: true, value: 3, help: 'clients that are told of presence' },
  '--gateways': { number: true, value: 3, help: 'gateways' },
  '--bridges': { number: true, value: 2, help: 'bridges' },
  '--authds': { number: true, value: 2, help: 'sio-authds; gateways ask them in turns' },
  '--grace': { number: true, value: 5, help: 'grace of presence, seconds' },
  '--window': { number: true, value: 120, help: 'recovery window, seconds' },
  '--kill': { list: kinds, help: `what is hurt, a list of ${kinds.join(', ')}; all by default` },
  '--how': { list: hows, help: `how, a list of ${hows.join(', ')}; all by default` },
  '--spoil': { list: spoils, value: [], help: `tell the judge one lie each of ${spoils.join(', ')}, to see that it notices` },
  '--log-level': { text: 'LEVEL', value: 'info', help: 'of all programs under test' },
  '--keep': { help: 'keep the logs also when nothing was found' },
  '--dry': { help: 'print the schedule, and end' },
  '--help': { help: 'this text' },
};

export function help() {
  const lines = Object.entries(table).map(([flag, { text, number, list, value, help: sentence }]) => {
    const operand = text ?? (number ? 'N' : list ? 'LIST' : '');
    return `  ${`${flag} ${operand}`.padEnd(20)} ${sentence}${value === undefined || list ? '' : ` (${value})`}`;
  });
  const shown = Object.entries(presets).map(([name, { about }]) => `  ${name.padEnd(12)} ${about}`);
  return `usage: node tests/chaos/run.mjs [option…]     or: make chaos ARGS='option…'

Runs the whole product, Kafka to stock clients and back, kills, freezes and cuts its parts by a schedule that follows from
the seed, and judges at both ends. Exit status: 0 when nothing was lost, repeated, out of order or told wrongly, 1 when
anything was, 64 for a wrong command line. The schedule of a seed is always the same; where traffic is at that moment is not.

${lines.join('\n')}

Presets:
${shown.join('\n')}
`;
}

function wrong(sentence) {
  console.error(`chaos: ${sentence}; --help tells the options`);
  process.exit(64);
}

function valueOf(flag, { number, list }, text) {
  if (text === undefined) wrong(`${flag} needs a value`);
  if (number) {
    if (!Number.isFinite(Number(text)) || Number(text) < 0) wrong(`${flag} is a number, not ${text}`);
    return Number(text);
  }
  if (!list) return text;
  const names = text.split(',');
  for (const name of names) if (!list.includes(name)) wrong(`${flag}: no ${name} among ${list.join(', ')}`);
  return names;
}

/** The options by their names without dashes; ends the program for --help and for a wrong command line. */
export function readOptions(args) {
  const given = {};
  for (let i = 0; i < args.length; i += 1) {
    const entry = table[args[i]];
    if (!entry) wrong(`${args[i]} is not known`);
    const takes = entry.number || entry.list || entry.text;
    given[args[i].slice(2)] = takes ? valueOf(args[i], entry, args[i += 1]) : true;
  }
  if (given.help) { process.stdout.write(help()); process.exit(0); }
  const preset = given.preset === undefined ? {} : presets[given.preset] ?? wrong(`no preset ${given.preset} among ${Object.keys(presets).join(', ')}`);
  const defaults = { kill: kinds, how: hows, plan: 'random', seed: Date.now() % 1000000 };
  for (const [flag, { value }] of Object.entries(table)) if (value !== undefined) defaults[flag.slice(2)] = value;
  return { ...defaults, ...preset, ...(given.short ? preset.short : {}), ...given };
}
