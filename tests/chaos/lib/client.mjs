// One stock client of a run: what it was told, what it missed, what it sent. See deliveries.mjs for what is due to it.

import { io } from 'socket.io-client';
import { Follower } from './deliveries.mjs';

const mostNotes = 60;
const mostFaultNotes = 10;   // so that what led to them is not forgotten
const answerMs = 12000;   // for an acknowledgement; longer than a gateway takes to say that Redis is away

const isOffset = (value) => typeof value === 'string' && /^[0-9]+-[0-9]+$/.test(value);
export const transportsOf = { websocket: ['websocket'], polling: ['polling'], upgrade: ['polling', 'websocket'] };

export class ChaosClient {
  /**
   * `index`: its number; `room`: of which it gets the records; `watches`: it is told of presence instead; `token()`: its login;
   * `lies`: a Set of what to tell the judge wrongly (see options.mjs), each by the first client that can; `onFault(fault)`.
   */
  constructor({ index, user, room, kind, watches = false, url, token, lies, onFault }) {
    Object.assign(this, { index, user, room, kind, watches, url, token, lies, onFault });
    this.follower = new Follower((fault) => this.fault(fault));
    Object.assign(this, { notes: [], sessions: [], intervals: [], watched: [{ from: null, told: [] }], heard: 0, offset: null });
    Object.assign(this, { returns: 0, begunAgain: [], shutOut: 0, errors: 0, sent: 0, acked: [], refused: 0, silent: 0, waiting: 0, faults: 0 });
    Object.assign(this, { isJoined: false, isAway: false, staysAway: false, ready: new Promise((done) => { this.isReady = done; }) });
  }

  note(text) {
    this.notes.push({ at: Date.now(), text });
    if (this.notes.length > mostNotes) this.notes.shift();
  }

  fault(fault) {
    this.faults += 1;
    if (this.faults <= mostFaultNotes) this.note(`FAULT ${fault.kind}: ${fault.from}${fault.to > fault.from ? ` to ${fault.to}` : ''} after ${fault.after}`);
    this.onFault({ client: this.index, user: this.user, room: this.room, at: Date.now(), offset: this.offset, ...fault });
  }

  /** Opens the page: a new socket that knows nothing. */
  open() {
    this.isAway = false;
    this.isNew = true;
    this.trying = Date.now();
    const socket = io(this.url, {
      transports: transportsOf[this.kind], forceNew: true, auth: { token: this.token() }, timeout: 5000,
      reconnectionDelay: 200, reconnectionDelayMax: 1000, randomizationFactor: 0.5,
    });
    this.socket = socket;
    socket.io.on('ping', () => { this.heard = Date.now(); });
    socket.on('connect', () => this.connected());
    socket.on('disconnect', (reason) => this.disconnected(reason));
    socket.on('connect_error', (error) => this.notConnected(error));
    if (this.watches) {
      socket.on('user_online', (user, id) => this.tell(user, true, id));
      socket.on('user_offline', (user, id) => this.tell(user, false, id));
    } else {
      socket.on('tick', (room, number, offset) => this.take(room, number, offset));
    }
  }

  connected() {
    const now = Date.now();
    const { recovered } = this.socket;
    const away = now - this.heard;
    this.note(`connected to ${this.socket.io.engine.id.slice(0, 4)} by ${this.socket.io.engine.transport.name}${this.isNew ? ', new' : recovered ? ', recovered' : ', BEGINS AGAIN'}`);
    if (!this.isNew) {
      this.returns += 1;
      if (!recovered || (!this.watches && this.isToLie('again'))) this.beginsAgain(now, away);
    }
    if (!recovered) { this.isJoined = false; this.sessions.push(now); }
    this.isNew = false;
    this.heard = now;
    this.intervals.push({ since: this.trying, from: now, to: null, heard: now, clean: false });
    if (!this.isJoined) this.join();
  }

  beginsAgain(at, away) {
    this.begunAgain.push({ at, away });
    this.follower.again();
    this.watched.push({ from: null, told: [] });
    this.onFault({ kind: 'again', client: this.index, user: this.user, room: this.room, at, away, from: this.follower.current.next, to: null, offset: this.offset });
  }

  disconnected(reason) {
    this.note(`disconnected: ${reason}`);
    const interval = this.intervals.at(-1);
    // The library also says so when a connection is lost whose CONNECT was not answered yet.
    if (interval && interval.to === null) {
      this.trying = Date.now();
      Object.assign(interval, { to: this.trying, heard: this.heard });
    }
    // The server has told it to stay away, which it must not do to anybody here.
    if (reason === 'io server disconnect') this.isShutOut(reason);
  }

  notConnected(error) {
    this.errors += 1;
    this.note(`not connected: ${error.message}`);
    if (!this.socket.active) this.isShutOut(error.message);
  }

  isShutOut(reason) {
    if (this.isAway) return;
    this.shutOut += 1;
    this.onFault({ kind: 'shut out', client: this.index, user: this.user, room: this.room, at: Date.now(), reason });
    const { socket } = this;
    setTimeout(() => { if (this.socket === socket && !this.isAway) socket.connect(); }, 1000);
  }

  join() {
    const { socket } = this;
    const event = this.watches ? 'watch' : 'join';
    socket.timeout(answerMs).emit(event, this.room, (error, answer) => {
      if (this.socket !== socket || this.isJoined || !socket.connected) return;
      if (error || answer?.ok !== true) {
        this.note(`${event}: ${error ? 'no answer' : JSON.stringify(answer)}`);
        setTimeout(() => { if (this.socket === socket && socket.connected && !this.isJoined) this.join(); }, 200);
        return;
      }
      this.isJoined = true;
      this.heard = Date.now();
      this.watched.at(-1).from ??= Date.now();
      this.follower.joined(Date.now());
      this.isReady();
    });
  }

  /** Whether to tell the judge a lie of this kind now. */
  isToLie(what) {
    if (!this.lies.delete(what)) return false;
    this.note(`the judge is told a lie: ${what}`);
    return true;
  }

  take(room, number, offset) {
    this.heard = Date.now();
    if (room !== this.room) { this.fault({ kind: 'foreign', from: number, to: number, after: room }); return; }
    if (this.follower.delivered > 5) {
      if (this.isToLie('delivery')) return;
      if (this.isToLie('repeat')) this.follower.take(number);
    }
    this.follower.take(number);
    this.offset = offset;
  }

  tell(user, online, id) {
    this.heard = Date.now();
    const { told } = this.watched.at(-1);
    if (told.length > 5 && this.isToLie('announcement')) return;
    if (isOffset(id)) told.push({ id, user, online });
  }

  /** Sends the next event; what becomes of it is counted. */
  act() {
    if (!this.socket || this.isAway) return;
    this.sent += 1;
    this.waiting += 1;
    const n = this.sent;
    this.socket.timeout(answerMs).emit('act', this.index, n, (error, answer) => {
      this.waiting -= 1;
      if (error) { this.silent += 1; return; }
      this.heard = Date.now();
      if (answer?.ok === true) this.acked.push(n); else this.refused += 1;
    });
    if (n > 2 && this.isToLie('event')) { this.sent += 1; this.acked.push(this.sent); }
  }

  /** Leaves for `ms` (null: for good), as one who closes the page (logout), or whose network is gone (offline). */
  leave(how, ms) {
    if (this.isAway || !this.socket?.connected) return false;
    this.isAway = true;
    this.note(`goes: ${how}, ${ms === null ? 'for good' : `${ms} ms`}`);
    if (how === 'logout') {
      const { socket } = this;
      socket.disconnect();
      this.intervals.at(-1).clean = true;
      this.follower.left();
      this.isJoined = false;
      this.socket = null;
      this.back = setTimeout(() => this.open(), ms);
      return true;
    }
    // A broken network says nothing; and a poll that hangs must not keep the library from noticing.
    this.socket.io.engine.transport.ws?._socket?.destroy();
    this.socket.io._close();
    this.back = setTimeout(() => { Object.assign(this, { isAway: false, trying: Date.now() }); this.socket.connect(); }, ms);
    return true;
  }

  stayAway() {
    clearTimeout(this.back);
    this.staysAway = true;
  }

  get isConnected() { return this.socket?.connected === true; }

  /** All that the judge needs, as plain data. */
  report() {
    const { index, user, room, kind, watches, notes, watched, sessions, returns, begunAgain, shutOut, errors, sent, acked, refused, silent, isAway, isConnected } = this;
    const intervals = this.intervals.map((one) => ({ ...one, heard: one.to === null ? Date.now() : one.heard }));
    return {
      index, user, room, kind, watches, notes, watched, sessions, returns, begunAgain, shutOut, errors, sent, acked, refused, silent, isAway, isConnected,
      intervals, follower: this.follower.report(),
    };
  }
}
