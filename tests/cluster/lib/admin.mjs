// A client of the gateway's control socket (doc/protocol/admin.md), with binary arguments both ways.

import { createConnection } from 'node:net';
import { within } from '../../integration/lib/harness.mjs';

/** Takes binary values out of `value`: placeholders stand for them, their base64 goes to `attachments`. */
function takeOut(value, attachments) {
  if (Buffer.isBuffer(value) || value instanceof Uint8Array) {
    attachments.push(Buffer.from(value).toString('base64'));
    return { _placeholder: true, num: attachments.length - 1 };
  }
  if (Array.isArray(value)) return value.map((item) => takeOut(item, attachments));
  if (value && typeof value === 'object' && !(value instanceof Date)) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, takeOut(item, attachments)]));
  }
  return value;
}

function putBack(value, attachments) {
  if (Array.isArray(value)) return value.map((item) => putBack(item, attachments));
  if (value && typeof value === 'object') {
    if (value._placeholder === true) return Buffer.from(attachments[value.num], 'base64');
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, putBack(item, attachments)]));
  }
  return value;
}

export class AdminClient {
  static async connect(path) {
    const client = new AdminClient();
    client.waiting = new Map();
    client.next = 0;
    client.socket = createConnection(path);
    let text = '';
    const greeted = new Promise((done, fail) => {
      client.socket.once('error', fail);
      client.socket.setEncoding('utf8');
      client.socket.on('data', (part) => {
        text += part;
        for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
          const line = JSON.parse(text.slice(0, end));
          text = text.slice(end + 1);
          if (line.sio === 'admin') { client.greeting = line; done(); } else client.take(line);
        }
      });
    });
    client.socket.on('error', () => {});
    client.socket.on('close', () => {
      for (const { fail } of client.waiting.values()) fail(new Error('the control socket was closed'));
      client.waiting.clear();
    });
    await within(2000, greeted, 'greeting on the control socket');
    client.socket.write('{"sio":"admin","major":1,"minor":0}\n');
    return client;
  }

  take(line) {
    const waiting = this.waiting.get(line.id);
    if (!waiting) return;
    this.waiting.delete(line.id);
    if (line.answers) line.answers = line.answers.map((one) => (one.attachments ? putBack(one, one.attachments) : one));
    if (line.ok) waiting.done(line.attachments ? putBack(line, line.attachments) : line);
    else waiting.fail(Object.assign(new Error(`${line.error.code}: ${line.error.message}`), { code: line.error.code, line }));
  }

  request(cmd, members = {}, { timeout = 10000 } = {}) {
    this.next += 1;
    const id = this.next;
    const attachments = [];
    const request = { id, cmd, ...members };
    if (members.args) request.args = takeOut(members.args, attachments);
    if (attachments.length) request.attachments = attachments;
    const answer = new Promise((done, fail) => { this.waiting.set(id, { done, fail }); });
    this.socket.write(`${JSON.stringify(request)}\n`);
    return within(timeout, answer, `answer to ${cmd}`);
  }

  close() { this.socket.destroy(); }
}
