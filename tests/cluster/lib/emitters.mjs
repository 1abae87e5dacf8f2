// The two emitters as origins of operations: programs that publish into a cluster without being a member of it.
//
// @socket.io/redis-streams-emitter 0.1.1 is not on npm; StreamsEmitter writes the stream entries it writes: uid
// `emitter`, the namespace inside the packet too, flags before except.

import { encode } from '@msgpack/msgpack';
import { Emitter } from '@socket.io/redis-emitter';

function holdsBinary(value) {
  if (value === null || typeof value !== 'object' || value instanceof Date) return false;
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return true;
  return Object.values(value).some(holdsBinary);
}

export class StreamsEmitter {
  constructor(redis, { streamName = 'socket.io', maxLen = 10000 } = {}) {
    Object.assign(this, { name: 'streams emitter', kind: 'streams', redis, streamName, maxLen });
  }

  /** Gives the id of the entry. */
  add(nsp, type, data) {
    const text = holdsBinary(data) ? Buffer.from(encode(data)).toString('base64') : JSON.stringify(data);
    return this.redis.xadd(this.streamName, 'MAXLEN', '~', this.maxLen, '*',
      'uid', 'emitter', 'nsp', nsp, 'type', String(type), 'data', text);
  }

  emit({ nsp = '/', rooms = [], except = [], volatile = false } = {}, event, args = []) {
    return this.add(nsp, 3, {
      packet: { type: 2, data: [event, ...args], nsp }, opts: { rooms, flags: volatile ? { volatile } : {}, except },
    });
  }

  join({ nsp = '/', rooms = [], except = [] }, joined) { return this.add(nsp, 4, { opts: { rooms, except, flags: {} }, rooms: joined }); }
  leave({ nsp = '/', rooms = [], except = [] }, left) { return this.add(nsp, 5, { opts: { rooms, except, flags: {} }, rooms: left }); }
  disconnect({ nsp = '/', rooms = [], except = [] }, close) { return this.add(nsp, 6, { opts: { rooms, except, flags: {} }, close }); }
  serverSideEmit(nsp, event, args) { return this.add(nsp, 9, { packet: [event, ...args] }); }
}

/** The published @socket.io/redis-emitter. Members that speak streams alone do not hear it. */
export class ClassicEmitter {
  constructor(redis) {
    Object.assign(this, { name: 'classic emitter', kind: 'classic', redis, emitter: new Emitter(redis) });
  }

  select({ nsp = '/', rooms = [], except = [], volatile = false } = {}) {
    const emitter = nsp === '/' ? this.emitter : this.emitter.of(nsp);
    let operator = emitter.in(rooms).except(except);
    if (volatile) operator = operator.volatile;
    return operator;
  }

  // The emitter gives no promise; what is behind it on the connection tells when Redis has it.
  async emit(target, event, args = []) { this.select(target).emit(event, ...args); await this.redis.ping(); }
  async join(target, joined) { this.select(target).socketsJoin(joined); await this.redis.ping(); }
  async leave(target, left) { this.select(target).socketsLeave(left); await this.redis.ping(); }
  async disconnect(target, close) { this.select(target).disconnectSockets(close); await this.redis.ping(); }
}
