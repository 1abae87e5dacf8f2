// Starts the server a case asks for: ours or the Node reference.
//
// Options of a case (times in ms):
//   pingInterval pingTimeout upgradeTimeout connectTimeout maxHttpBufferSize path transports allowUpgrades
//   serveClient httpCompression (false, true or { threshold }) cors { origin, credentials, methods,
//   allowedHeaders, exposedHeaders, maxAge } cookie { name, path, httpOnly, sameSite, maxAge, domain, secure }
//   recovery ("off", "auto", "on") recoveryWindow originCheck (true: WebSockets obey the CORS origins)
//
// What the application does, in reference.mjs by code and in ours by tests/conformance/routes.json:
//   on connect to /, /custom and /room-<digits>: emit `auth` with the auth object
//   on /:  message -> emit `message-back` with the same arguments       message-with-ack -> ack with them
//          volatile -> volatile emit of `volatile-back`                 broadcast -> emit to all
//          others -> emit to all but the sender                         join ROOM
//          to-room ROOM, args -> emit `to-room` with args to the room   leave-me -> leave the namespace
//          ask-me -> emit `question` with an ack, then `answered` with the answer's arguments
//          kick -> disconnect the client   drop -> close the transport only
//          whoami -> ack { auth, namespace, sid, transport, recovered }
//   on /custom also: leave-me, kick, ask-me.  /forbidden refuses with message `nope` and data {"code":42}
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Failure, sleep } from "./runner.mjs";

process.setMaxListeners(0); // each running server has a listener for the end of this process
const here = dirname(fileURLToPath(import.meta.url));
export const gatewayProgram = process.env.SIO_GATEWAY ?? join(here, "..", "..", "bin", "sio-gateway");

/** The command line of our gateway for the options of a case. The only place that knows its flags. */
export function gatewayArguments(port, options, control) {
    const o = { pingInterval: 300, pingTimeout: 200, connectTimeout: 1000, recovery: "off", ...options };
    const args = [
        "--port", port, "--host", "127.0.0.1", "--host", "::1", "--auth", "none", "--rate-limit", "off",
        "--log-level", "error", "--routes", o.routes ?? join(here, "routes.json"), "--recovery", o.recovery,
        "--ping-interval", `${o.pingInterval}ms`, "--ping-timeout", `${o.pingTimeout}ms`,
        "--connect-timeout", `${o.connectTimeout}ms`, "--websocket-origin-check", o.originCheck ? "on" : "off",
    ];
    const flag = (name, value) => { if (value !== undefined) args.push(name, String(value)); };
    const list = (value) => (Array.isArray(value) ? value.join(",") : value);
    flag("--control", control);
    flag("--path", o.path);
    flag("--upgrade-timeout", o.upgradeTimeout && `${o.upgradeTimeout}ms`);
    flag("--max-payload", o.maxHttpBufferSize);
    flag("--transports", o.transports?.join(","));
    flag("--recovery-window", o.recoveryWindow && `${o.recoveryWindow}ms`);
    if (o.allowUpgrades === false) args.push("--no-upgrades");
    if (o.serveClient === false) args.push("--no-serve-client");
    if (o.httpCompression === false) flag("--http-compression-threshold", "off");
    else if (o.httpCompression) flag("--http-compression-threshold", o.httpCompression.threshold ?? 0);
    if (o.cors && o.cors.origin !== false) {
        for (const origin of [o.cors.origin ?? "*"].flat()) flag("--cors-origin", origin);
        if (o.cors.credentials) args.push("--cors-credentials");
        flag("--cors-methods", list(o.cors.methods));
        flag("--cors-headers", list(o.cors.allowedHeaders));
        flag("--cors-expose", list(o.cors.exposedHeaders));
        flag("--cors-max-age", o.cors.maxAge);
    }
    if (o.cookie) {
        const c = o.cookie === true ? {} : o.cookie;
        const attributes = [c.name ?? "io"];
        if (c.maxAge !== undefined) attributes.push(`Max-Age=${c.maxAge}`);
        if (c.domain) attributes.push(`Domain=${c.domain}`);
        attributes.push(`Path=${c.path ?? "/"}`);
        if (c.httpOnly !== false) attributes.push("HttpOnly");
        if (c.secure) attributes.push("Secure");
        const sameSite = c.sameSite ?? "lax";
        attributes.push(`SameSite=${sameSite[0].toUpperCase()}${sameSite.slice(1)}`);
        flag("--cookie", attributes.join("; "));
    }
    if (o.extraFlags) args.push(...o.extraFlags);
    return args.map(String);
}

/** A TCP port that was free a moment ago. */
export function freePort() {
    return new Promise((done, fail) => {
        const server = net.createServer();
        server.on("error", fail);
        server.listen(0, "127.0.0.1", () => { const { port } = server.address(); server.close(() => done(port)); });
    });
}

function answers(port, host) {
    return new Promise((done) => {
        const socket = net.connect({ port, host });
        socket.on("connect", () => { socket.destroy(); done(true); });
        socket.on("error", () => done(false));
    });
}

/** Starts `command args` and waits until `port` answers; returns { port, pid, stop(), output() }. */
export async function launch(command, args, port, { wait = 10000, env } = {}) {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
    let text = "";
    let gone = null;
    child.stdout.on("data", (d) => { text = (text + d).slice(-20000); });
    child.stderr.on("data", (d) => { text = (text + d).slice(-20000); });
    const exit = new Promise((done) => {
        child.on("error", (error) => { gone = String(error); done(); });
        child.on("exit", (code, signal) => { gone = `exit ${code ?? signal}`; done(); });
    });
    const kill = () => { if (!gone) child.kill("SIGKILL"); };
    process.on("exit", kill);
    const limit = Date.now() + wait;
    while (!await answers(port, "127.0.0.1")) {
        if (gone) throw new Failure(`the server did not start: ${gone}; ${text}`);
        if (Date.now() > limit) { kill(); throw new Failure(`the server did not listen within ${wait} ms; ${text}`); }
        await sleep(20);
    }
    return {
        port, pid: child.pid, output: () => text, exited: () => gone,
        async stop() {
            process.removeListener("exit", kill);
            if (gone) return;
            child.kill("SIGTERM");
            const timer = setTimeout(() => child.kill("SIGKILL"), 1500);
            await exit;
            clearTimeout(timer);
        },
    };
}

/** Starts the server of the official suites: `serve KIND PORT`, or the reference. */
export async function launchSuite(kind, { reference = false } = {}) {
    const port = await freePort();
    if (reference) return launch(process.execPath, [join(here, "reference.mjs"), kind, port, JSON.stringify({ cors: { origin: "*" } })], port);
    const script = join(here, "serve");
    if (!existsSync(script)) throw new Failure(`${script} is not there`);
    return launch(script, [kind, String(port)], port);
}

/** Starts a Socket.IO server with `options`: ours, or the reference. */
export async function launchWith(options, { reference = false, control } = {}) {
    const port = await freePort();
    if (reference) return launch(process.execPath, [join(here, "reference.mjs"), "socketio", port, JSON.stringify(options)], port);
    if (!existsSync(gatewayProgram)) throw new Failure(`${gatewayProgram} is not there`);
    const folder = mkdtempSync(join(tmpdir(), "sio-test-"));
    const server = await launch(gatewayProgram, gatewayArguments(port, options, control ?? join(folder, "control")), port);
    const clear = () => rmSync(folder, { recursive: true, force: true });
    process.on("exit", clear);
    const stop = server.stop;
    server.stop = async () => { await stop(); clear(); };
    return server;
}

/** Keeps one running server per set of options; at most `limit` at a time. */
export class ServerPool {
    constructor({ reference, limit = 6 }) { this.reference = reference; this.limit = limit; this.servers = new Map(); }

    async get(options) {
        const key = JSON.stringify(options);
        const found = this.servers.get(key);
        if (found && !found.exited()) return found;
        if (this.servers.size >= this.limit) {
            const [oldest, server] = this.servers.entries().next().value;
            this.servers.delete(oldest);
            await server.stop();
        }
        const server = await launchWith(options, { reference: this.reference });
        this.servers.set(key, server);
        return server;
    }

    async stop() { for (const server of this.servers.values()) await server.stop(); this.servers.clear(); }
}
