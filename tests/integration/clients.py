"""Runs the scenario of the integration tests with a Python client: clients.py KIND URL TRANSPORTS

KIND is sync (Client), async (AsyncClient) or simple (SimpleClient), TRANSPORTS is default, polling or websocket.
What it writes is described in lib/client_process.mjs.
"""

import asyncio
import json
import logging
import sys
import time

import socketio

KIND, URL, TRANSPORT_SET = sys.argv[1:4]
TRANSPORTS = None if TRANSPORT_SET == 'default' else [TRANSPORT_SET]
LAST_TRANSPORT = 'polling' if TRANSPORT_SET == 'polling' else 'websocket'

# The same values as in lib/values.mjs.
DIFFICULT_TEXT = 'q"\\/ \x00\x01\x1e\x7f \u2028\u2029 äß 中文 \U0001f680 </script> 2["x"]\n\t'
DIFFICULT_JSON = {
    'empty': {}, 'list': [], 'null': None, 'yes': True, 'no': False, 'zero': 0, 'negative': -1.5,
    'small': -3.0e-7, 'large': 1e21, 'whole': 9007199254740991, 'nested': [[[[{'a': [1, {'b': 'c'}]}]]]],
    'key "with" quotes': 'ü', '': 'empty key',
}
LARGE_TEXT = 'aé中🚀' * 10000

logging.disable(logging.CRITICAL)


def byte_pattern(size, seed=0):
    return bytes((i * 7 + seed) & 255 for i in range(size))


def say(line):
    print(line, flush=True)


def same(got, want, what='value'):
    if got != want:
        raise AssertionError(f'{what}: got {str(got)[:300]!r}, want {str(want)[:300]!r}')


async def until(seconds, condition, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f'{what}: not within {seconds} s')
        await asyncio.sleep(0.01)


# Seconds for a thousand events: nine of these clients share the machine, and take 16 events with a poll.
MANY = 34


async def step(name, body, seconds=12):
    try:
        await asyncio.wait_for(body(), seconds)
        say(f'ok {name}')
        return True
    except BaseException as error:  # the report must name whatever it was
        text = f'{type(error).__name__} {error}'.replace('\n', ' ').replace('\t', ' ')
        say(f'FAIL {name}\t{text}')
        return False


async def operator(events, to, nsp='/'):
    """Has the operator send events, each [name, ...args], to a room."""
    say('@emit ' + json.dumps({'to': to, 'nsp': nsp, 'events': events}))
    await asyncio.to_thread(sys.stdin.readline)


class Client:
    """A Client or an AsyncClient, driven from coroutines either way."""

    def __init__(self, kind):
        options = {'reconnection_delay': 0.6, 'randomization_factor': 0, 'handle_sigint': False}
        self.is_async = kind == 'async'
        self.raw = socketio.AsyncClient(**options) if self.is_async else socketio.Client(**options)
        self.events = []        # (name, args) of every event, in the order of the handlers' calls
        self.connects = 0
        self.disconnects = 0
        self.refusals = []
        self.raw.on('connect', self._count_connect)
        self.raw.on('disconnect', self._count_disconnect)
        self.raw.on('*', lambda name, *args: self.events.append((name, args)))

    def _count_connect(self):
        self.connects += 1

    def _count_disconnect(self, *_):
        self.disconnects += 1

    async def run(self, function, *args, **named):
        if self.is_async:
            return await function(*args, **named)
        return await asyncio.to_thread(function, *args, **named)

    async def connect(self, namespaces=('/',)):
        named = {'transports': TRANSPORTS} if TRANSPORTS else {}
        await self.run(self.raw.connect, URL, auth={'token': 't-1'}, namespaces=list(namespaces),
                       wait_timeout=5, **named)

    async def emit(self, name, data=None, nsp='/'):
        await self.run(self.raw.emit, name, data, namespace=nsp)

    async def ask(self, name, data=None, nsp='/'):
        return await self.run(self.raw.call, name, data, namespace=nsp, timeout=5)

    async def leave(self):
        await self.run(self.raw.disconnect)

    async def wait_event(self, name, seconds=5):
        def find():
            return next((e for e in self.events if e[0] == name), None)
        await until(seconds, find, f'event "{name}"')
        found = find()
        self.events.remove(found)
        return found[1]


async def full_scenario():
    client = Client(KIND)
    if not await step('connects with auth', client.connect):
        return

    async def text():
        same(await client.ask('echo', (DIFFICULT_TEXT, 'x')), (DIFFICULT_TEXT, 'x'))

    async def all_json():
        same(await client.ask('echo', DIFFICULT_JSON), DIFFICULT_JSON)

    async def large():
        same(await client.ask('echo', LARGE_TEXT), LARGE_TEXT)

    async def whoami():
        who = await client.ask('whoami')
        same(who['auth'], {'token': 't-1'}, 'auth')
        same([who['namespace'], who['sid'], who['transport']], ['/', client.raw.get_sid(), LAST_TRANSPORT])

    async def event_back():
        await client.emit('echo-event', (1, 'two', {'three': [3]}))
        same((await client.wait_event('echo-event'))[:3], (1, 'two', {'three': [3]}))

    async def binary_ack():
        same(await client.ask('echo', (byte_pattern(1000), {'in': {'side': byte_pattern(5, 9)}}, b'')),
             (byte_pattern(1000), {'in': {'side': byte_pattern(5, 9)}}, b''))

    async def binary_event():
        await client.emit('echo-event', (byte_pattern(100000), 'text', byte_pattern(3, 1)))
        same((await client.wait_event('echo-event'))[:3], (byte_pattern(100000), 'text', byte_pattern(3, 1)))

    async def fixed_parameters():
        seen = []
        client.raw.on('fixed', lambda one, two: seen.append((one, two)))
        await operator([['fixed', 1, 'two'], ['fixed', 3, {'four': 4}]], client.raw.get_sid())
        await until(2, lambda: len(seen) == 2, 'calls of the handler')
        same(sorted(map(str, seen)), sorted(map(str, [(1, 'two'), (3, {'four': 4})])))

    async def question():
        client.raw.on('question', lambda what, how, *_: (what + '!', {'how': how}))
        await client.emit('ask-me', ('why', {'deep': True}))
        same((await client.wait_event('answered'))[:2], ('why!', {'how': {'deep': True}}))

    async def binary_question():
        client.raw.on('question', lambda what, *_: what)
        await client.emit('ask-me', byte_pattern(300))
        same((await client.wait_event('answered'))[0], byte_pattern(300))

    async def namespaces():
        second = Client(KIND)
        await second.connect(['/', '/custom'])
        who = await second.ask('whoami', nsp='/custom')
        same([who['namespace'], who['sid']], ['/custom', second.raw.get_sid('/custom')])
        assert second.raw.get_sid('/custom') != second.raw.get_sid('/'), 'ids of the namespaces do not differ'
        same(await second.ask('echo', 'there', nsp='/custom'), 'there')
        same(await second.ask('echo', 'here'), 'here')
        await second.leave()

    async def refused(namespace, message, data):
        other = Client(KIND)
        refusals = []
        other.raw.on('connect_error', lambda what: refusals.append(what), namespace=namespace)
        try:
            await other.connect([namespace])
        except socketio.exceptions.ConnectionError:
            pass
        else:
            raise AssertionError('it was not refused')
        same(refusals[0]['message'], message, 'message')
        same(refusals[0].get('data'), data, 'data')

    async def burst():
        seen = []
        client.raw.on('tick', lambda i, *_: seen.append(i))
        await operator([['tick', i] for i in range(1000)], client.raw.get_sid())
        await until(MANY - 4, lambda: len(seen) >= 1000, '1,000 events')
        # The threads of the synchronous client run out of order now and then.
        same(seen if client.is_async else sorted(seen), list(range(1000)))

    async def flood():
        seen = []
        client.raw.on('echo-event', lambda i, *_: seen.append(i))
        for i in range(1000):
            await client.emit('echo-event', i)
        await until(MANY - 4, lambda: len(seen) >= 1000, '1,000 events')
        same(seen if client.is_async else sorted(seen), list(range(1000)))

    async def idle():
        before = client.disconnects
        await asyncio.sleep(4.6)
        same(client.disconnects, before, 'disconnections')
        same(await client.ask('echo', 'awake'), 'awake')

    async def drop():
        before = client.connects
        await client.emit('drop')
        await until(2, lambda: client.connects > before, 'return')
        same(await client.ask('echo', 'back'), 'back')

    async def kick():
        before = client.connects
        await client.emit('kick')
        await until(3, lambda: not client.raw.connected, 'disconnection')
        await asyncio.sleep(0.8)
        same(client.connects, before, 'connections')
        await client.connect()
        same(await client.ask('echo', 'anew'), 'anew')

    async def fresh():
        # What a lost connection left behind must not fail the steps after it.
        nonlocal client
        try:
            await asyncio.wait_for(client.leave(), 3)
        except BaseException:
            pass
        client = Client(KIND)
        await client.connect()

    await step('difficult text comes back in an ack', text)
    await step('JSON of every kind comes back in an ack', all_json)
    await step('100 KB of text come back in an ack', large)
    await step('the server knows who it is', whoami)
    await step('an event comes back', event_back)
    await step('binary comes back in an ack', binary_ack)
    await step('binary comes back in an event', binary_event)
    await step('a handler with fixed parameters is called', fixed_parameters)
    await step('answers a question of the server', question)
    await step('answers a question of the server with binary', binary_question)
    await step('joins a second namespace', namespaces)
    await step('is refused with message and data', lambda: refused('/forbidden', 'nope', {'code': 42}))
    await step('is told of an invalid namespace', lambda: refused('/unheard-of', 'Invalid namespace', None))
    if not await step('gets 1,000 events', burst, MANY):
        await fresh()
    if not await step('sends 1,000 events', flood, MANY):
        await fresh()
    await step('idles longer than the ping timeout', idle)
    if not await step('comes back by itself when only its transport is dropped', drop):
        await fresh()
    await step('is kicked, stays away, and may connect anew', kick)
    await step('leaves', client.leave)


async def simple_scenario():
    client = socketio.SimpleClient(reconnection_delay=0.6, randomization_factor=0, handle_sigint=False)
    run = asyncio.to_thread
    named = {'transports': TRANSPORTS} if TRANSPORTS else {}

    async def receive(name, seconds=5):
        while True:
            got = await run(client.receive, timeout=seconds)
            if got[0] == name:
                return got[1:]

    async def ask(*args):
        return await run(client.call, *args, timeout=5)

    async def connect():
        await run(client.connect, URL, auth={'token': 't-1'}, wait_timeout=5, **named)

    async def text():
        same(await ask('echo', (DIFFICULT_TEXT, 'x')), (DIFFICULT_TEXT, 'x'))

    async def all_json():
        same(await ask('echo', DIFFICULT_JSON), DIFFICULT_JSON)

    async def large():
        same(await ask('echo', LARGE_TEXT), LARGE_TEXT)

    async def whoami():
        who = await ask('whoami')
        same([who['auth'], who['namespace'], who['sid'], who['transport']],
             [{'token': 't-1'}, '/', client.sid, LAST_TRANSPORT])

    async def event_back():
        await run(client.emit, 'echo-event', (1, 'two', {'three': [3]}))
        same((await receive('echo-event'))[:3], [1, 'two', {'three': [3]}])

    async def no_more_arguments():
        await operator([['exactly', 1, 'two']], client.sid)
        same(await receive('exactly'), [1, 'two'])

    async def binary_ack():
        same(await ask('echo', (byte_pattern(1000), {'in': byte_pattern(5, 9)})),
             (byte_pattern(1000), {'in': byte_pattern(5, 9)}))

    async def binary_event():
        await run(client.emit, 'echo-event', (byte_pattern(100000), 'text', byte_pattern(3, 1)))
        same((await receive('echo-event'))[:3], [byte_pattern(100000), 'text', byte_pattern(3, 1)])

    async def question():
        # It answers with nothing; the server must take that for an answer.
        await run(client.emit, 'ask-me', 'why')
        await receive('answered')

    async def namespace():
        other = socketio.SimpleClient(handle_sigint=False)
        await run(other.connect, URL, namespace='/custom', auth={'token': 't-1'}, wait_timeout=5, **named)
        who = await run(other.call, 'whoami', timeout=5)
        same(who['namespace'], '/custom')
        await run(other.disconnect)

    async def refused(name):
        other = socketio.SimpleClient(handle_sigint=False)
        try:
            await run(other.connect, URL, namespace=name, wait_timeout=5, **named)
        except socketio.exceptions.ConnectionError:
            return
        raise AssertionError('it was not refused')

    async def burst():
        await operator([['tick', i] for i in range(1000)], client.sid)
        seen = []
        while len(seen) < 1000:
            seen.append((await receive('tick'))[0])
        same(sorted(seen), list(range(1000)))

    async def flood():
        for i in range(1000):
            await run(client.emit, 'echo-event', i)
        seen = []
        while len(seen) < 1000:
            seen.append((await receive('echo-event'))[0])
        same(sorted(seen), list(range(1000)))

    async def idle():
        await asyncio.sleep(4.6)
        same(await ask('echo', 'awake'), 'awake')

    async def drop():
        before = client.sid
        await run(client.emit, 'drop')
        await until(2, lambda: client.connected and client.sid not in (None, before), 'return')
        same(await ask('echo', 'back'), 'back')

    async def kick():
        nonlocal client
        await run(client.emit, 'kick')
        await until(3, lambda: not client.connected, 'disconnection')
        client = socketio.SimpleClient(handle_sigint=False)
        await connect()
        same(await ask('echo', 'anew'), 'anew')

    async def fresh():
        nonlocal client
        try:
            await asyncio.wait_for(run(client.disconnect), 3)
        except BaseException:
            pass
        client = socketio.SimpleClient(reconnection_delay=0.6, randomization_factor=0, handle_sigint=False)
        await connect()

    if not await step('connects with auth', connect):
        return
    await step('difficult text comes back in an ack', text)
    await step('JSON of every kind comes back in an ack', all_json)
    await step('100 KB of text come back in an ack', large)
    await step('the server knows who it is', whoami)
    await step('an event comes back', event_back)
    await step('an event has the arguments that it was sent with, and no more', no_more_arguments)
    await step('binary comes back in an ack', binary_ack)
    await step('binary comes back in an event', binary_event)
    await step('its empty answer to a question counts', question)
    await step('joins another namespace', namespace)
    await step('is refused', lambda: refused('/forbidden'))
    await step('is refused an invalid namespace', lambda: refused('/unheard-of'))
    if not await step('gets 1,000 events', burst, MANY):
        await fresh()
    if not await step('sends 1,000 events', flood, MANY):
        await fresh()
    await step('idles longer than the ping timeout', idle)
    if not await step('comes back by itself when only its transport is dropped', drop):
        await fresh()
    await step('is kicked, and another may connect', kick)

    async def leave():
        await run(client.disconnect)
    await step('leaves', leave)


async def main():
    await (simple_scenario() if KIND == 'simple' else full_scenario())
    say('end')
    sys.stdout.flush()
    # Threads of a connection that was lost must not hold up the end.
    import os
    os._exit(0)


asyncio.run(main())
