// How each client writes its requests, from captures of the real ones. S stands for the session id in a query.

const ws = (query) => (sid) => query.replace('&sid=S', sid ? `&sid=${sid}` : '');
const typed = { 'Content-Type': 'text/plain;charset=UTF-8' };
const own = (scheme) => (host) => `${scheme}://${host}`;

/**
 * `recovers`: it understands the recovery offset of events. `origin(host)`: of its WebSockets. `wsHeaders`: others of
 * them.
 */
export const habits = {
  'JS 4.8': {
    query: ws('EIO=4&transport=polling&t=g6ucw2vh&sid=S'), postHeaders: typed, recovers: true,
    headers: { 'User-Agent': 'node-XMLHttpRequest', Accept: '*/*', Connection: 'close' },
    wsHeaders: { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' },
  },
  'JS 3.1': {
    query: ws('EIO=4&transport=polling&t=Q897fbp&b64=1&sid=S'), postHeaders: typed,
    headers: { 'User-Agent': 'node-XMLHttpRequest', Accept: '*/*', Connection: 'close' },
  },
  Chromium: {
    query: ws('EIO=4&transport=polling&t=g6ucw2vh&sid=S'), postHeaders: typed, recovers: true,
    headers: {
      Connection: 'keep-alive', 'Accept-Encoding': 'gzip, deflate, br, zstd',
      'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36',
    },
    origin: own('http'),
    wsHeaders: {
      'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36',
      'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits',
    },
  },
  'Python Client': {
    query: ws('transport=polling&EIO=4&sid=S&t=1795.3'), postHeaders: { 'Content-Type': 'text/plain' },
    headers: { 'User-Agent': 'python-requests/2.34.2', 'Accept-Encoding': 'gzip, deflate', Accept: '*/*', Connection: 'keep-alive' },
    origin: own('http'),
  },
  'Python AsyncClient': {
    query: ws('transport=polling&EIO=4&sid=S&t=1795.3'), postHeaders: { 'Content-Type': 'text/plain' },
    headers: { Accept: '*/*', 'Accept-Encoding': 'gzip, deflate', 'User-Agent': 'Python/3.11 aiohttp/3.14.5' },
    wsHeaders: { 'User-Agent': 'Python/3.11 aiohttp/3.14.5' },
  },
  Java: {
    query: ws('EIO=4&transport=polling&sid=S'), postHeaders: typed,
    headers: { Accept: '*/*', Connection: 'Keep-Alive', 'Accept-Encoding': 'gzip', 'User-Agent': 'okhttp/3.12.12' },
    wsHeaders: { 'Accept-Encoding': 'gzip', 'User-Agent': 'okhttp/3.12.12' },
  },
  Rust: { query: ws('EIO=4&sid=S&transport=polling&t=715853956'), postHeaders: {}, headers: { accept: '*/*' } },
  'Go zishang520': {
    query: ws('EIO=4&sid=S&transport=polling'), chunked: true, postHeaders: typed, recovers: true,
    headers: { 'User-Agent': 'engine.io-go/1.0', Accept: '*/*', 'Accept-Encoding': 'zstd, br, gzip, deflate' },
    wsHeaders: { 'Sec-WebSocket-Extensions': 'permessage-deflate; server_no_context_takeover; client_no_context_takeover' },
  },
  'Go maldikhan': {
    query: (sid) => `EIO=4&sid=${sid ?? ''}&transport=polling`, postHeaders: {},
    headers: { 'User-Agent': 'Go-http-client/1.1', 'Accept-Encoding': 'gzip' },
    origin: (host) => `http://${host}/socket.io/?eio=4`,
  },
  PHP: {
    query: ws('EIO=4&transport=polling&t=Q89CE40.1&sid=S'), postHeaders: { 'Content-Type': 'text/plain; charset=UTF-8' },
    headers: { 'User-Agent': 'Elephant.io/5.1.0', Connection: 'keep-alive' }, origin: own('http'),
  },
  '.NET': {
    query: ws('EIO=4&transport=polling&sid=S&t=1795419403991'), postHeaders: { 'Content-Type': 'text/plain; charset=utf-8' },
    getHeaders: { 'Content-Type': 'text/plain', 'Content-Length': 0 }, headers: {},
  },
  Swift: {
    query: ws('transport=polling&b64=1&EIO=4&sid=S'), postHeaders: { 'Content-Type': 'text/plain; charset=UTF-8' },
    headers: { 'User-Agent': 'App/1 CFNetwork/1 Darwin/1', Accept: '*/*', 'Accept-Encoding': 'gzip, deflate', Connection: 'keep-alive' },
    origin: own('ws'),
  },
};

/** The headers with which a client asks for its WebSocket. */
export function wsHeadersOf(habit, server) {
  return { ...(habit.origin && { Origin: habit.origin(`127.0.0.1:${server.port}`) }), ...habit.wsHeaders };
}
