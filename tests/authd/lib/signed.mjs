// Key pairs, key sets and signed tokens, and an HTTPS server with a certificate authority of its own.

import { execFileSync } from 'node:child_process';
import { createServer } from 'node:https';
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folders = new Set();
process.on('exit', () => { for (const folder of folders) rmSync(folder, { recursive: true, force: true }); });

export class Key {
  constructor(kid, algorithm = 'RS256') {
    Object.assign(this, { kid, algorithm });
    const kinds = { RS256: ['rsa', { modulusLength: 2048 }], ES256: ['ec', { namedCurve: 'P-256' }], EdDSA: ['ed25519', {}] };
    Object.assign(this, generateKeyPairSync(...kinds[algorithm]));
  }

  get jwk() { return { ...this.publicKey.export({ format: 'jwk' }), kid: this.kid, use: 'sig', alg: this.algorithm }; }

  token(claims, { lifetime = 600, header = {} } = {}) {
    const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const now = Math.floor(Date.now() / 1000);
    const input = `${encode({ alg: this.algorithm, kid: this.kid, ...header })}.${encode({ iat: now, exp: now + lifetime, ...claims })}`;
    const key = { key: this.privateKey, dsaEncoding: 'ieee-p1363' };
    return `${input}.${sign(this.algorithm === 'EdDSA' ? null : 'sha256', Buffer.from(input), key).toString('base64url')}`;
  }
}

export const keySet = (...keys) => JSON.stringify({ keys: keys.map(({ jwk }) => jwk) });

/** A certificate authority and a certificate for 127.0.0.1 and localhost, made by openssl. */
export function certificates() {
  const folder = mkdtempSync(join(tmpdir(), 'sio-ca-'));
  folders.add(folder);
  const openssl = (...args) => execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'ignore'] });
  writeFileSync(join(folder, 'names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n');
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...curve, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=Test CA',
    '-addext', 'keyUsage=critical,keyCertSign,cRLSign');
  openssl('req', ...curve, '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=localhost');
  openssl('x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-out', 'server.pem', '-days', '2',
    '-extfile', 'names');
  return { ca: join(folder, 'ca.pem'), key: readFileSync(join(folder, 'server.key')), cert: readFileSync(join(folder, 'server.pem')) };
}

/** An HTTPS server whose answer is `answer(request, response)`, which may be changed; counts requests. */
export class KeyServer {
  static async start({ key, cert }, answer) {
    const server = new KeyServer();
    Object.assign(server, { answer, requests: 0, sockets: new Set() });
    server.server = createServer({ key, cert }, (request, response) => { server.requests += 1; server.answer(request, response); });
    server.server.on('connection', (socket) => { server.sockets.add(socket); socket.on('close', () => server.sockets.delete(socket)); });
    server.server.on('tlsClientError', () => {});
    await server.listen(0);
    return server;
  }

  async listen(port) {
    await new Promise((done, fail) => { this.server.once('error', fail); this.server.listen(port, '127.0.0.1', done); });
    this.port = this.server.address().port;
  }

  get url() { return `https://127.0.0.1:${this.port}/jwks.json`; }

  /** Stops answering; listen(port) brings it back. */
  async away() {
    const closed = new Promise((done) => this.server.close(done));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }
}

export const json = (text) => (request, response) => { response.setHeader('Content-Type', 'application/json'); response.end(text); };
