// Stock clients, and gateways that ask a sio-authd.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Manager } from 'socket.io-client';
import { runCommand, sioctlBinary, startGateway, until, within } from '../../integration/lib/harness.mjs';

const here = dirname(fileURLToPath(import.meta.url));
export const routesFile = join(here, '../routes.json');

/** A gateway that asks `authd`. */
export function startAskingGateway(authd, { options = {}, ...rest } = {}) {
  return startGateway({
    options: {
      '--auth': 'authd', '--authd': authd.control, '--routes': routesFile, '--log-level': 'info', '--recovery': 'on',
      '--ping-interval': '2s', '--ping-timeout': '4s', ...options,
    },
    ...rest,
  });
}

/** One stock client and all that it was told. */
export class Client {
  /** `auth`: an object, or a function as the client library takes it. `headers`: of its requests. */
  constructor(server, {
    auth = {}, headers = {}, transports = ['websocket'], nsp = '/', refresh = null, options = {},
  } = {}) {
    this.manager = new Manager(server.url, {
      transports, extraHeaders: headers, forceNew: true, autoConnect: false, reconnectionDelay: 100, reconnectionDelayMax: 400,
      randomizationFactor: 0.2, ...options,
    });
    Object.assign(this, { received: [], disconnects: [], refusals: [], connects: [], startedAt: Date.now() });
    this.socket = this.manager.socket(nsp, { auth });
    this.socket.onAny((event, ...args) => {
      // With recovery a server appends the offset of an event to rooms.
      if (typeof args.at(-1) === 'string' && /^[0-9]+-[0-9]+$/.test(args.at(-1))) args.pop();
      this.received.push({ event, args, at: Date.now() });
      if (event === 'sio:expiring' && refresh) refresh(this, args[0]);
    });
    this.socket.on('disconnect', (reason) => this.disconnects.push({ reason, at: Date.now() }));
    this.socket.on('connect', () => this.connects.push({ sid: this.socket.id, recovered: this.socket.recovered, at: Date.now() }));
    this.socket.on('connect_error', (error) => this.refusals.push({
      message: error.message, code: error.data?.code, active: this.socket.active, at: Date.now(),
    }));
    this.manager.open();
    this.socket.connect();
  }

  /** Waits until the server has said yes or no for good: 'connected', or the code of the refusal. */
  outcome(ms = 5000) {
    return until(ms, () => (this.connects.length ? 'connected' : this.refusals.find(({ active }) => !active)?.code ?? null), 'a yes or a no');
  }

  get sid() { return this.socket.id; }
  get connected() { return this.socket.connected; }
  of(event) { return this.received.filter((entry) => entry.event === event); }
  waitFor(event, ms = 2000, count = 1) { return until(ms, () => this.of(event).length >= count && this.of(event).at(-1), `the event ${event}`); }
  gone(ms = 2000) { return until(ms, () => this.disconnects.at(-1), 'a disconnect'); }
  ask(event, ...args) { return within(4000, this.socket.emitWithAck(event, ...args), `answer to ${event}`); }
  userId() { return this.ask('whoami'); }

  close() {
    this.socket.disconnect();
    this.manager._close();
  }
}

const clients = [];

/** A client that is closed by closeAll(). */
export function client(server, settings) {
  const one = new Client(server, settings);
  clients.push(one);
  return one;
}

export async function connected(server, settings, ms = 5000) {
  const one = client(server, settings);
  const outcome = await one.outcome(ms);
  if (outcome !== 'connected') throw new Error(`refused: ${outcome}`);
  return one;
}

export function closeAll() { for (const one of clients.splice(0)) one.close(); }

/** Runs sioctl; gives {code, out, err}. */
export function sioctl(args, { input = '', env = {} } = {}) {
  const environment = { ...process.env, ...env };
  for (const name of ['AUTH_SECRET', 'NEXTAUTH_SECRET']) if (!(name in env)) delete environment[name];
  return runCommand(sioctlBinary, args, input, { env: environment, anyExit: true });
}
