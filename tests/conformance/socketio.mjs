// The 32 behaviours that the official Socket.IO v5 suite checks, on the application of gateway.mjs
// (pingInterval 300, pingTimeout 200, maxPayload 1000000, connectTimeout 1000, recovery off).
import { collect, same, truth } from "./runner.mjs";
import { closeCases, handshakeCases, heartbeatCases, tools } from "./engineio.mjs";

const { cases, add } = collect();
handshakeCases(add);
heartbeatCases(add);
closeCases(add);

add("upgrade: from polling to WebSocket", async (t) => {
    const { polling, upgrade } = tools(t);
    const wire = upgrade(await polling());
    await wire.opened;
    wire.send("2probe");
    same(await wire.next(), "3probe", "answer to the probe");
    wire.send("5");
});
add("upgrade: polling is refused afterwards", async (t) => {
    const { polling, poll, upgrade } = tools(t);
    const sid = await polling();
    const wire = upgrade(sid);
    await wire.opened;
    wire.send("2probe");
    same(await wire.next(), "3probe", "answer to the probe");
    wire.send("5");
    same((await poll(sid)).status, 400, "poll status");
});
add("upgrade: a second WebSocket is closed", async (t) => {
    const { polling, upgrade } = tools(t);
    const sid = await polling();
    const wire = upgrade(sid);
    await wire.opened;
    wire.send("2probe");
    same(await wire.next(), "3probe", "answer to the probe");
    wire.send("5");
    await upgrade(sid).closed;
});

/** Sends `packet` and takes the CONNECT answer, which must begin with `prefix` and have a sid alone. */
async function connect(wire, packet, prefix) {
    wire.send(packet);
    const answer = await wire.next();
    truth(answer.startsWith(prefix + "{"), `CONNECT answer ${answer} begins with ${prefix}{`);
    const value = JSON.parse(answer.slice(prefix.length));
    same(Object.keys(value), ["sid"], "keys of the CONNECT answer");
    same(typeof value.sid, "string", "type of sid");
}

/** A WebSocket that has joined the main namespace and taken the `auth` event. */
async function joined(t) {
    const wire = await tools(t).websocket();
    await connect(wire, "40", "40");
    await wire.next();
    return wire;
}

add("connect: the main namespace", async (t) => {
    const wire = await tools(t).websocket();
    await connect(wire, "40", "40");
    same(await wire.next(), '42["auth",{}]', "auth event");
});
add("connect: the main namespace with a payload", async (t) => {
    const wire = await tools(t).websocket();
    await connect(wire, '40{"token":"123"}', "40");
    same(await wire.next(), '42["auth",{"token":"123"}]', "auth event");
});
add("connect: another namespace", async (t) => {
    const wire = await tools(t).websocket();
    await connect(wire, "40/custom,", "40/custom,");
    same(await wire.next(), '42/custom,["auth",{}]', "auth event");
});
add("connect: another namespace with a payload", async (t) => {
    const wire = await tools(t).websocket();
    await connect(wire, '40/custom,{"token":"abc"}', "40/custom,");
    same(await wire.next(), '42/custom,["auth",{"token":"abc"}]', "auth event");
});
add("connect: an unknown namespace is refused", async (t) => {
    const wire = await tools(t).websocket();
    wire.send("40/random");
    same(await wire.next(), '44/random,{"message":"Invalid namespace"}', "answer");
});
add("connect: an invalid first packet ends the connection", async (t) => {
    const wire = await tools(t).websocket();
    wire.send("4abc");
    await wire.closed;
});
add("connect: whoever joins no namespace is disconnected", async (t) => {
    await (await tools(t).websocket()).closed;
});
add("disconnect: leaving the main namespace is not answered", async (t) => {
    const wire = await joined(t);
    wire.send("41");
    same(await wire.next(), "2", "next frame");
});
add("disconnect: leaving one namespace keeps the other", async (t) => {
    const wire = await joined(t);
    same(await wire.next(), "2", "ping");
    wire.send("40/custom");
    await wire.next();
    await wire.next();
    wire.send("41/custom");
    wire.send('42["message","message to main namespace"]');
    same(await wire.next(), '42["message-back","message to main namespace"]', "answer");
});
add("message: a plain event comes back byte for byte", async (t) => {
    const wire = await joined(t);
    wire.send('42["message",1,"2",{"3":[true]}]');
    same(await wire.next(), '42["message-back",1,"2",{"3":[true]}]', "answer");
});

const nextBut = (wire) => wire.nextMessage(1500, false);
const placeholders = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}';

async function twoAttachments(wire) {
    same([...await nextBut(wire)], [1, 2, 3], "first attachment");
    same([...await nextBut(wire)], [4, 5, 6], "second attachment");
}

add("message: an event with binary comes back", async (t) => {
    const wire = await joined(t);
    wire.send(`452-["message",${placeholders}]`);
    wire.send(Buffer.from([1, 2, 3]));
    wire.send(Buffer.from([4, 5, 6]));
    same(await nextBut(wire), `452-["message-back",${placeholders}]`, "answer");
    await twoAttachments(wire);
});
add("message: an event with an acknowledgement id is acknowledged", async (t) => {
    const wire = await joined(t);
    wire.send('42456["message-with-ack",1,"2",{"3":[false]}]');
    same(await nextBut(wire), '43456[1,"2",{"3":[false]}]', "answer");
});
add("message: an event with binary and an acknowledgement id is acknowledged", async (t) => {
    const wire = await joined(t);
    wire.send(`452-789["message-with-ack",${placeholders}]`);
    wire.send(Buffer.from([1, 2, 3]));
    wire.send(Buffer.from([4, 5, 6]));
    same(await nextBut(wire), `462-789[${placeholders}]`, "answer");
    await twoAttachments(wire);
});
add("message: an unknown packet type ends the connection", async (t) => {
    const wire = await joined(t);
    wire.send("4abc");
    await wire.closed;
});
add("message: an event that is not an array ends the connection", async (t) => {
    const wire = await joined(t);
    wire.send("42{}");
    await wire.closed;
});
add("message: an acknowledgement id that is no number ends the connection", async (t) => {
    const wire = await joined(t);
    wire.send('42abc["message-with-ack",1,"2",{"3":[false]}]');
    await wire.closed;
});

export default cases;
