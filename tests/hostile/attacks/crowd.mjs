// The well-behaved clients, a process of its own so that nobody else's work is in its times.
// node crowd.mjs PORT CLIENTS: WebSockets from 127.0.1.*, each sends an event and waits for its answer once in
// `period` ms; every 50 ms somebody new comes from 127.0.2.*, until the line `rest`. Each line on stdin asks for the figures
// since the last one: { clients, answered, open, closed, refused, longest, late99, lag } (ms; lag: how late this process
// itself was).
import { monitorEventLoopDelay } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { getHead, onText, pause, tcp, text, until, upgradeHead } from "./wire.mjs";

const [port, count] = process.argv.slice(2).map(Number);
const period = 1500; // 40 events a minute: within the default limit of 100
const delay = monitorEventLoopDelay({ resolution: 2 });
delay.enable();

let waits = [];
let closed = 0;
let refused = 0;
let number = 0;
const asked = new Map();
const joined = new Set();

function say(socket) {
    number += 1;
    asked.set(number, performance.now());
    socket.write(text(`42${number}["message-with-ack",${number}]`));
}

function hear(socket, packet) {
    if (packet[0] === "0") socket.write(text("40"));
    else if (packet === "2") socket.write(text("3"));
    else if (packet.startsWith("40")) joined.add(socket);
    else if (packet.startsWith("43")) {
        const id = parseInt(packet.slice(2), 10);
        waits.push(performance.now() - asked.get(id));
        asked.delete(id);
    }
}

async function join(index) {
    const socket = tcp(port, `127.0.1.${1 + index % 200}`, { keeps: 0 });
    onText(socket, (packet) => hear(socket, packet));
    socket.gone.then(() => { closed += 1; joined.delete(socket); });
    await socket.ready;
    socket.write(upgradeHead());
    return socket;
}

for (let at = 0; at < count; at += 50) {
    const batch = Array.from({ length: Math.min(50, count - at) }, (_, i) => join(at + i));
    for (const socket of await Promise.all(batch)) await until(() => joined.has(socket) || socket.destroyed, 5000);
}

// All of them in turn, so that the load is even.
let turn = 0;
let due = 0;
let before = performance.now();
setInterval(() => {
    const now = performance.now();
    due += (now - before) * joined.size / period;
    before = now;
    const list = [...joined];
    for (; due >= 1 && list.length > 0; due -= 1) say(list[turn++ % list.length]);
}, 5);

let guest = 0;
async function visit() {
    const socket = tcp(port, `127.0.2.${1 + guest++ % 200}`);
    await socket.ready;
    socket.write(getHead("", "Connection: close\r\n"));
    const isServed = await until(() => socket.seen.includes('"sid"') || socket.destroyed, 5000);
    if (!isServed || !socket.seen.startsWith("HTTP/1.1 200")) refused += 1;
    socket.destroy();
}
let isResting = false;
(async () => { for (; !isResting;) { visit(); await pause(50); } })();

function report() {
    const now = performance.now();
    const all = [...waits, ...[...asked.values()].map((since) => now - since)].sort((a, b) => a - b);
    const at = (share) => Math.round((all[Math.min(all.length - 1, Math.floor(all.length * share))] ?? 0) * 10) / 10;
    const overdue = [...asked.values()].filter((since) => now - since > 1000).length;
    const figures = {
        clients: joined.size, answered: waits.length, open: overdue, closed, refused,
        longest: at(1), late99: at(0.99), lag: Math.round(delay.max / 1e5) / 10,
    };
    waits = [];
    closed = 0;
    refused = 0;
    delay.reset();
    return figures;
}
createInterface({ input: process.stdin }).on("line", (line) => {
    if (line === "rest") isResting = true;
    console.log(JSON.stringify(report()));
});
process.stdin.on("end", () => process.exit(0));
console.log(JSON.stringify({ clients: joined.size }));
