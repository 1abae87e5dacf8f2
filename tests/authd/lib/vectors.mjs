// The work of tests/authd/vectors: one sio-authd for each distinct configuration in the file, and each vector's token
// given to it with `verify` at its own clock; unless it needs that clock, with `authenticate` too.

import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { Authd, page } from './authd.mjs';

const together = 4;   // daemons running at a time
const kinds = ['nextauth-v4', 'authjs-v5', 'jws'];

function usage(message) {
  console.error(`vectors: ${message}`);
  process.exit(64);
}

const isText = (value) => typeof value === 'string';
const isTexts = (value) => Array.isArray(value) && value.every(isText);

/** What is wrong with a vector's members, or null. */
function complaint(vector, classes) {
  const { name, kind, secrets, jwks, policy, verify_at: at, token, cookie_header: cookie, cookie_name: cookieName, verdict } = vector ?? {};
  if (!isText(name)) return 'has no name';
  if (!kinds.includes(kind)) return `has the kind ${JSON.stringify(kind)}`;
  if (secrets !== undefined && (!isTexts(secrets) || secrets.some((one) => /[\r\n]/.test(one)))) return 'has secrets that are not a list of lines';
  if (secrets === undefined && jwks === undefined) return 'has neither secrets nor jwks';
  if (jwks !== undefined && (jwks === null || typeof jwks !== 'object')) return 'has a jwks that is no object';
  if (cookieName !== undefined && !isText(cookieName)) return 'has a cookie_name that is no text';
  if (policy === null || typeof policy !== 'object') return 'has no policy';
  if (!Number.isInteger(at)) return 'has a verify_at that is no whole number';
  if (!isText(token) && !isText(cookie)) return 'has neither token nor cookie_header';
  if (!classes.has(verdict)) return `has the verdict ${JSON.stringify(verdict)}, which is in no class`;
  if (verdict === 'valid' && (vector.claims === null || typeof vector.claims !== 'object')) return 'is valid and has no claims';
  return null;
}

function readFile(path) {
  let text;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    usage(`cannot read ${path}: ${error.code}`);
  }
  let file;
  try {
    file = JSON.parse(text);
  } catch (error) {
    usage(`${path} is not JSON: ${error.message}`);
  }
  if (file === null || typeof file !== 'object' || file.format !== 1) usage(`${path} is not of format 1`);
  if (!Array.isArray(file.vectors) || file.vectors.length === 0) usage(`${path} has no vectors`);
  if (file.count !== undefined && file.count !== file.vectors.length) usage(`${path} says ${file.count} vectors and has ${file.vectors.length}`);
  const classes = new Map();
  for (const [name, words] of Object.entries(file.verdict_classes ?? {})) for (const word of [words].flat()) classes.set(word, name);
  if (classes.size === 0) usage(`${path} has no verdict_classes`);
  // What has the form of no token of ours is read by none of the packages either.
  if (!classes.has('opaque')) classes.set('opaque', classes.get('malformed'));
  file.vectors.forEach((vector, i) => {
    const wrong = complaint(vector, classes);
    if (wrong) usage(`${path}: vector ${i + 1}${isText(vector?.name) ? ` (${vector.name})` : ''} ${wrong}`);
  });
  return { vectors: file.vectors, classes };
}

/** The daemon that a vector wants: what Authd.start takes. */
function configuration({ kind, secrets, salt, cookie_name: cookieName, jwks, policy }) {
  const jws = kind === 'jws';
  const options = {
    [kind === 'nextauth-v4' ? '--nextauth-v4' : '--no-nextauth-v4']: true, [kind === 'authjs-v5' ? '--authjs-v5' : '--no-authjs-v5']: true,
    '--origin': page, '--database-schema': 'none', '--leeway': `${policy.clock_tolerance ?? 15}s`,
  };
  const files = {};
  // The salt of a v5 token is its cookie's name.
  const name = kind === 'authjs-v5' ? salt ?? cookieName : cookieName;
  if (name) options['--cookie-name'] = name;
  if (policy.max_token_bytes !== undefined) options['--max-token-bytes'] = policy.max_token_bytes;
  if (jws) {
    if (policy.algorithms) options['--jwt-algorithm'] = policy.algorithms;
    if (policy.issuer) options['--jwt-issuer'] = policy.issuer;
    if (policy.audience) options['--jwt-audience'] = policy.audience;
    if (secrets) {
      files['jwt-secrets'] = `${secrets.join('\n')}\n`;
      options['--jwt-secret-file'] = 'FOLDER/jwt-secrets';
    }
    if (jwks) {
      files['jwks.json'] = JSON.stringify(jwks);
      options['--jwks'] = 'FOLDER/jwks.json';
    }
  }
  return { options, files, secrets: jws ? null : secrets };
}

/** What `answer` gets wrong, or null. */
function judge(vector, answer, classes, { verdicts }) {
  const want = vector.verdict === 'valid' ? 'granted' : 'denied';
  if (answer.result !== want) return `${answer.result} (${answer.verdict ?? answer.reason ?? answer.code ?? ''}), want ${want} (${vector.verdict})`;
  if (verdicts && classes.get(answer.verdict) !== classes.get(vector.verdict)) {
    return `verdict ${answer.verdict}, want ${vector.verdict} or another of the class ${classes.get(vector.verdict)}`;
  }
  if (want === 'denied') return null;
  if (isText(vector.claims.sub) && answer.user !== vector.claims.sub) return `user ${JSON.stringify(answer.user)}, want ${JSON.stringify(vector.claims.sub)}`;
  if (vector.exp !== undefined && answer.expires !== Math.trunc(vector.exp)) return `expires ${answer.expires}, want ${vector.exp}`;
  if (verdicts && !isDeepStrictEqual(answer.claims, vector.claims)) {
    return `claims ${JSON.stringify(answer.claims).slice(0, 200)}, want ${JSON.stringify(vector.claims).slice(0, 200)}`;
  }
  return null;
}

async function checkOne(vector, number, socket, classes) {
  const credentials = isText(vector.cookie_header) ? { cookie: vector.cookie_header, origin: page } : { token: vector.token };
  const verified = judge(vector, await socket.verify({ ...credentials, at: vector.verify_at }), classes, { verdicts: true });
  if (verified || vector.needs_clock) return verified;
  // Each from an address of its own, as failures of one address are limited.
  const address = `127.1.${number >> 8}.${number & 255}`;
  const asked = judge(vector, await socket.authenticate({ ...credentials, address }), classes, { verdicts: false });
  return asked && `authenticate: ${asked}`;
}

const [path, ...rest] = process.argv.slice(2);
if (path === undefined || rest.length) usage('usage: tests/authd/vectors FILE');
const { vectors, classes } = readFile(path);

const groups = new Map();
vectors.forEach((vector, i) => {
  const setting = configuration(vector);
  const key = JSON.stringify(setting);
  if (!groups.has(key)) groups.set(key, { setting, members: [] });
  groups.get(key).members.push({ vector, number: i });
});

// Null: right. What nothing has judged counts as wrong.
const results = vectors.map(() => 'not checked');
const notes = [];
async function checkGroup({ setting, members }) {
  let daemon;
  try {
    daemon = await Authd.start(setting);
    const socket = await daemon.client();
    for (const { vector, number } of members) {
      results[number] = await checkOne(vector, number, socket, classes).catch((error) => error.message);
    }
    if (!daemon.alive) results[members.at(-1).number] = 'sio-authd ended';
  } catch (error) {
    // Keys that the daemon does not start with let nobody in: no more is asked of those that must be refused.
    if (error.exitCode === 78) {
      for (const { number } of members.filter(({ vector }) => vector.verdict !== 'valid')) {
        results[number] = null;
        notes[number] = 'the daemon does not start with these keys';
      }
    }
    for (const { number } of members) if (results[number] === 'not checked') results[number] = error.message;
  } finally {
    await daemon?.stop();
  }
}
const queue = [...groups.values()];
await Promise.all(Array.from({ length: together }, async () => { for (let one = queue.shift(); one; one = queue.shift()) await checkGroup(one); }));

let failed = 0;
vectors.forEach((vector, i) => {
  if (results[i]) failed += 1;
  console.log(results[i] ? `FAIL  ${vector.name}: ${results[i]}` : `ok    ${vector.name}${notes[i] ? ` (${notes[i]})` : ''}`);
});
console.log(`${vectors.length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
