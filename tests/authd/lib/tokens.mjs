// Tokens and cookies as the real packages make them: next-auth 4 from its own npm tree, @auth/core from the tests'.

import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { decode as decodeV5, encode as encodeV5 } from '@auth/core/jwt';
import { secret } from './authd.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(join(here, '../nextauth4/package.json'));
const v4 = require('next-auth/jwt');
const { SessionStore: StoreV4 } = require(join(here, '../nextauth4/node_modules/next-auth/core/lib/cookie.js'));
const core = dirname(fileURLToPath(import.meta.resolve('@auth/core')));
const { SessionStore: StoreV5 } = await import(pathToFileURL(join(core, 'lib/utils/cookie.js')));

export { v4 as packageV4 };

export const cookieNames = { v4: 'next-auth.session-token', v5: 'authjs.session-token' };

/** A token of `kind`, made by the package itself. `lifetime`: seconds. `salt`: of v5 only. */
export function mint(kind, claims, { with: key = secret, lifetime = 3600, salt = cookieNames.v5 } = {}) {
  return kind === 'v4' ? v4.encode({ token: claims, secret: key, maxAge: lifetime })
    : encodeV5({ token: claims, secret: key, salt, maxAge: lifetime });
}

/** What the package reads in a token; rejects when it refuses. */
export const read = (kind, token, { with: key = secret, salt = cookieNames.v5 } = {}) => (kind === 'v4'
  ? v4.decode({ token, secret: key }) : decodeV5({ token, secret: key, salt }));

/** The Cookie header of a browser that has this session: one cookie, or the chunks that the package cuts. */
export function cookie(kind, token, name = cookieNames[kind]) {
  const silent = { debug() {}, warn() {}, error() {} };
  const option = { name, options: {} };
  const store = kind === 'v4' ? new StoreV4(option, { cookies: {}, headers: {} }, silent) : new StoreV5(option, {}, silent);
  return store.chunk(token, {}).map((one) => `${one.name}=${one.value}`).join('; ');
}

/** Claims that make a token of about 6 KB. */
export const manyClaims = { permissions: Array.from({ length: 150 }, (_, i) => `project:${1000 + i}:read-write-admin`) };

export const sha256 = (text) => createHash('sha256').update(text).digest('hex');
