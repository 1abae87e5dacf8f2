// The well-behaved client beside the hostile ones, a process of its own so that its clock is not theirs.
// node beside.mjs PORT: sends an event with an ack each 20 ms and waits for the answer; on a line of stdin
// it prints one JSON line { sent, answered, longest, lag } (ms) and begins to count anew.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { WebSocket } from "ws";

const socket = new WebSocket(`ws://127.0.0.1:${process.argv[2]}/socket.io/?EIO=4&transport=websocket`, { perMessageDeflate: false });
const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();
const waiting = new Map();
let id = 0;
let count = { sent: 0, answered: 0, longest: 0, closed: false };

function tick() {
    if (socket.readyState !== WebSocket.OPEN) { count.closed = true; return; }
    waiting.set(++id, performance.now());
    count.sent += 1;
    socket.send(`42${id}["message-with-ack",${id}]`);
}

socket.on("message", (data) => {
    const text = data.toString();
    if (text[0] === "0") socket.send("40");
    else if (text === "2") socket.send("3");
    else if (text.startsWith("40")) setInterval(tick, 20);
    else if (text.startsWith("43")) {
        const n = parseInt(text.slice(2), 10);
        count.longest = Math.max(count.longest, performance.now() - waiting.get(n));
        count.answered += 1;
        waiting.delete(n);
    }
});
socket.on("error", (error) => { count.closed = String(error); });
socket.on("close", (code) => { count.closed = code; });

createInterface({ input: process.stdin }).on("line", () => {
    const now = performance.now();
    let longest = count.longest;
    for (const since of waiting.values()) longest = Math.max(longest, now - since);
    console.log(JSON.stringify({ ...count, longest: Math.round(longest * 10) / 10, open: waiting.size, lag: Math.round(delay.max / 1e5) / 10 }));
    count = { sent: 0, answered: 0, longest: 0, closed: false };
    delay.reset();
});
