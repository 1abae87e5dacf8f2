// node run.mjs [--table | --long] [--clients N] [--seconds S] [--minutes M] [--only TEXT]
//
// Attacks a gateway that has well-behaved clients; see README.md for what is measured and judged.
//   (nothing)  the short form of `make test`: each attack for a second, one gateway for all of them
//   --table    each attack for five seconds against a fresh gateway and against Node's socket.io, 1,000 clients, as a table
//   --long     all attacks at once from 20 addresses for ten minutes, the gateway within 256 MB; a minute later all is back
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { descriptors, resident } from "../measure.mjs";
import { attacks } from "./attacks.mjs";
import { MiB, metrics, peak, resetPeak, startNode, startOurs } from "./servers.mjs";
import { pause } from "./wire.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const argv = process.argv.slice(2);
const value = (name, otherwise) => (argv.includes(name) ? argv[argv.indexOf(name) + 1] : otherwise);
const form = argv.includes("--table") ? "table" : argv.includes("--long") ? "long" : "short";
const clients = Number(value("--clients", form === "short" ? 200 : form === "table" ? 1000 : 200));
const seconds = Number(value("--seconds", form === "short" ? 0.5 : 5));
const only = value("--only", "");
const chosen = attacks.filter((one) => one.name.includes(only));

const mostGrowth = Math.max(64, Number(process.env.SIO_MEMORY_MIB ?? 0)) * MiB;
const mostWait = Number(process.env.SIO_LONGEST_WAIT_MS ?? 20);
const tries = 3; // what is the gateway's own comes back each time; what another process of the machine did does not
const children = new Set();
process.on("exit", () => { for (const child of children) child.kill("SIGKILL"); });
process.on("SIGTERM", () => process.exit(1));
process.on("SIGINT", () => process.exit(1));

/** A child that answers each line with one; ask() gives the next line it prints as JSON, or null when it has ended. */
function helper(program, ...args) {
    const child = spawn(process.execPath, [join(here, program), ...args.map(String)], { stdio: ["pipe", "pipe", "inherit"] });
    children.add(child);
    child.stdin.on("error", () => {});
    const lines = [];
    const waiting = [];
    const take = (line) => { if (waiting.length > 0) waiting.shift()(line); else lines.push(line); };
    createInterface({ input: child.stdout }).on("line", take);
    child.ended = new Promise((done) => child.once("close", () => { children.delete(child); take(null); done(); }));
    child.next = () => (lines.length > 0 ? Promise.resolve(lines.shift()) : new Promise((done) => waiting.push(done)));
    child.ask = async (line = "") => { child.stdin.write(`${line}\n`); return JSON.parse(await child.next()); };
    child.stop = async () => { child.kill("SIGKILL"); await child.ended; };
    return child;
}

/** Starts attacks; `over` when they have ended, or died. */
function attack(attacker, names, address, duration) {
    attacker.stdin.write(`${JSON.stringify({ names, address, seconds: duration })}\n`);
    attacker.over = attacker.next();
}

async function crowd(server, count) {
    const child = helper("crowd.mjs", server.port, count);
    const { clients: joined } = JSON.parse(await child.next());
    if (joined < count) throw new Error(`${count - joined} of ${count} clients did not get in: ${server.output()}`);
    return child;
}

/** Attacks `server` with `names` from `address`; what was seen meanwhile. Never fails: a dead server is a result. */
async function measure(server, people, attacker, name, address) {
    const isOurs = server.isOurs;
    resetPeak(server.pid);
    const before = { resident: resident(server.pid), said: isOurs ? await metrics(server.port) : null };
    await people.ask();
    attack(attacker, [name], address, seconds);
    if (await attacker.over === null) throw new Error(`the attacker died: ${name}`);
    await pause(100); // what was asked during the attack is answered, or late
    const figures = await people.ask();
    const isAlive = !server.exited();
    const said = isOurs && isAlive ? await metrics(server.port) : null;
    return {
        growth: isAlive ? peak(server.pid) - before.resident : Infinity,
        ownTurn: isOurs ? (said === null ? Infinity : said.longestTurnMs > (before.said?.longestTurnMs ?? 0) ? said.longestTurnMs : 0) : NaN,
        ...figures, refused: figures.refused + figures.closed, isAlive,
    };
}

/** Why a verdict on these figures is not good; empty when it is. */
function faults(one) {
    const found = [];
    if (!one.isAlive) found.push("the process died");
    if (one.growth > mostGrowth) found.push(`memory grew by ${(one.growth / MiB).toFixed(0)} MB`);
    if (one.refused > 0) found.push(`${one.refused} others were refused or cut`);
    // A clock on the wall is no test where the machine is shared: the short form shows the waits, and the others judge them.
    if (form === "short") return found;
    if (one.ownTurn > mostWait) found.push(`the loop stood for ${one.ownTurn.toFixed(0)} ms`);
    else if (one.late99 > mostWait + one.lag) found.push(`others waited ${one.late99} ms`);
    return found;
}

const number = (value, digits = 0) => (Number.isFinite(value) ? value.toFixed(digits) : "-");
const cells = (one) => [
    number(one.growth / MiB), number(one.longest), number(one.late99), number(one.ownTurn), String(one.refused), one.isAlive ? "yes" : "no",
];
const row = (name, ...columns) => console.log(`${name.padEnd(66)}${columns.map((cell) => cell.padStart(8)).join("")}`);
const head = ["MB", "longest", "99 %", "turn", "refused", "alive"];

// ---- one after the other
let passed = 0;
let failed = 0;
function judge(one, wrong) {
    if (wrong.length > 0 && one.expected === undefined) {
        failed += 1;
        console.log(`FAIL  ${one.name}: ${wrong.join("; ")}`);
        return;
    }
    passed += 1;
    if (one.expected !== undefined) console.log(`      ${wrong.length > 0 ? "known" : "withstood this time"}: ${one.name}: ${one.expected}`);
}

async function withServer(start, use) {
    const server = await start();
    try {
        const people = await crowd(server, clients);
        const attacker = helper("attacker.mjs", server.port);
        try { return await use(server, people, attacker); } finally { await people.stop(); await attacker.stop(); }
    } finally { await server.stop(); }
}

/** The short form: one gateway as long as it holds; a fresh one for each further try. */
async function shortForm() {
    row("attack", ...head);
    let server = null;
    let people = null;
    let attacker = null;
    const renew = async () => {
        await people?.stop();
        await attacker?.stop();
        await server?.stop();
        server = { ...await startOurs(), isOurs: true };
        people = await crowd(server, clients);
        attacker = helper("attacker.mjs", server.port);
    };
    let address = 10;
    for (const one of chosen) {
        let result;
        let wrong;
        for (let attempt = 0; attempt < tries; attempt++) {
            if (server === null || attempt > 0) await renew();
            result = await measure(server, people, attacker, one.name, `127.0.0.${address++}`);
            wrong = faults(result);
            if (wrong.length === 0 || one.expected !== undefined) break;
        }
        row(one.name, ...cells(result));
        judge(one, wrong);
        if (wrong.length > 0) await renew(); // the next one finds nothing of this
    }
    await people.stop();
    await attacker.stop();
    await server.stop();
}

async function tableForm() {
    row("", "ours".padStart(48), "Node".padStart(48));
    row("attack", ...head, ...head);
    for (const one of chosen) {
        let ours;
        let wrong;
        for (let attempt = 0; attempt < tries; attempt++) {
            ours = await withServer(async () => ({ ...await startOurs(), isOurs: true }), (...all) => measure(...all, one.name, "127.0.0.10"));
            wrong = faults(ours);
            if (wrong.length === 0) break;
        }
        let theirs = [];
        try {
            theirs = cells(await withServer(startNode, (...all) => measure(...all, one.name, "127.0.0.10")));
        } catch (error) { theirs = [`no figures: ${error.message}`]; }
        row(one.name, ...cells(ours), ...theirs);
        judge(one, wrong);
    }
}

// ---- all at once
const addresses = 20;
const limit = 256 * MiB;
const kept = ["connections", "sockets", "rooms", "socketConnections", "routesWaiting", "questions"];

/** What has to be as before: what the gateway holds, without what recovery keeps for its window. */
async function state(server) {
    const said = await metrics(server.port) ?? {};
    return { ...Object.fromEntries(kept.map((name) => [name, said[name]])), descriptors: descriptors(server.pid), resident: resident(server.pid) };
}

async function longForm() {
    const minutes = Number(value("--minutes", 10));
    const server = { ...await startOurs({ addressSpace: limit }), isOurs: true };
    const people = await crowd(server, clients);
    await pause(1000);
    const before = await state(server);
    await people.ask();
    resetPeak(server.pid);
    const attackers = Array.from({ length: addresses }, (_, i) => helper("attacker.mjs", server.port));
    for (const [i, attacker] of attackers.entries()) {
        attack(attacker, chosen.filter((_, k) => k % addresses === i).map((one) => one.name), `127.0.0.${100 + i}`, minutes * 60);
    }
    const sum = { refused: 0, longest: 0 };
    const until = Date.now() + minutes * 60000;
    while (Date.now() < until && !server.exited()) {
        await pause(Math.min(10000, Math.max(0, until - Date.now())));
        const figures = await people.ask();
        sum.refused += figures.refused + figures.closed;
        sum.longest = Math.max(sum.longest, figures.longest);
        const said = await metrics(server.port);
        console.log(`${new Date().toISOString().slice(11, 19)}  resident ${number((server.exited() ? NaN : resident(server.pid)) / MiB)} MB, clients ${figures.clients}, `
            + `99 % ${figures.late99} ms, longest ${figures.longest} ms, refused ${figures.refused}, cut ${figures.closed}, turn ${number(said?.longestTurnMs)} ms, over a limit ${said?.clientsOverLimit}`);
    }
    for (const attacker of attackers) await attacker.stop();
    await people.ask("rest");   // a visit leaves a session behind, for the 45 s that its next poll may take
    const isAlive = !server.exited();
    check(isAlive, `the process lives through it: ${server.exited()} ${isAlive ? "" : server.output().slice(-2000)}`);
    if (isAlive) {
        const most = peak(server.pid);
        await pause(60000);
        const after = await state(server);
        console.log(`before ${JSON.stringify(before)}\nafter  ${JSON.stringify(after)}\nresident at most ${number(most / MiB)} MB`);
        check(most <= limit, "resident memory is never over the limit");
        check(sum.refused === 0, `nobody else is refused or cut: ${sum.refused}`);
        check(after.resident <= before.resident + mostGrowth, "a minute later resident memory is within 64 MB of what it was");
        check(after.descriptors <= before.descriptors + 2, "descriptors are back");
        for (const name of kept) check(after[name] <= before[name] + 2, `${name} is back`);
    }
    await people.stop();
    await server.stop();
}
function check(isGood, what) {
    if (isGood) passed += 1; else failed += 1;
    console.log(`${isGood ? "ok   " : "FAIL "} ${what}`);
}

await { short: shortForm, table: tableForm, long: longForm }[form]();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
