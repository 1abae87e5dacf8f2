// The Node reference server, set up as the suites want it.
// node reference.mjs engineio|socketio PORT [OPTIONS as JSON]
import http from "node:http";
import net from "node:net";
import { Server as EngineServer } from "engine.io";
import { Server } from "socket.io";

/** Starts the reference server on IPv4 and IPv6 loopback; see gateway.mjs for the options. */
export async function start(kind, port, options = {}) {
    const { path, recovery = "off", recoveryWindow, cors, originCheck, ...rest } = options;
    const engineOptions = { pingInterval: 300, pingTimeout: 200, ...rest };
    if (cors) engineOptions.cors = cors;
    let server;
    if (kind === "engineio") {
        server = http.createServer();
        const engine = new EngineServer(engineOptions);
        engine.attach(server, { path: path ?? "/engine.io/" });
        engine.on("connection", (socket) => socket.on("data", (data) => socket.send(data)));
    } else {
        server = http.createServer((request, response) => response.writeHead(404).end());
        if (path) engineOptions.path = path;
        if (recovery !== "off") engineOptions.connectionStateRecovery = { maxDisconnectionDuration: recoveryWindow ?? 120000 };
        application(new Server(server, { connectTimeout: 1000, ...engineOptions }));
    }
    await new Promise((done) => server.listen(port, "127.0.0.1", 4096, done));
    await new Promise((done) => {
        const six = net.createServer((socket) => server.emit("connection", socket));
        six.on("error", done);
        six.listen(port, "::1", done);
    });
    return server;
}

/** What the gateway's routes file must do as well; the list is in gateway.mjs. */
function application(io) {
    const greet = (socket) => socket.emit("auth", socket.handshake.auth);
    io.on("connection", (socket) => {
        greet(socket);
        socket.on("message", (...args) => socket.emit("message-back", ...args));
        socket.on("message-with-ack", (...args) => typeof args.at(-1) === "function" && args.pop()(...args));
        socket.on("volatile", (...args) => socket.volatile.emit("volatile-back", ...args));
        socket.on("broadcast", (...args) => io.emit("broadcast", ...args));
        socket.on("others", (...args) => socket.broadcast.emit("others", ...args));
        socket.on("join", (room) => socket.join(room));
        socket.on("to-room", (room, ...args) => io.to(room).emit("to-room", ...args));
        socket.on("ask-me", (...args) => {
            socket.emit("question", ...args, (...answer) => socket.emit("answered", ...answer));
        });
        socket.on("leave-me", () => socket.disconnect());
        socket.on("kick", () => socket.disconnect(true));
        socket.on("drop", () => socket.conn.close());
        socket.on("whoami", (ack) => ack?.({
            auth: socket.handshake.auth, namespace: socket.nsp.name, sid: socket.id,
            transport: socket.conn.transport.name, recovered: socket.recovered,
        }));
    });
    const custom = io.of("/custom");
    custom.on("connection", (socket) => {
        greet(socket);
        socket.on("leave-me", () => socket.disconnect());
        socket.on("kick", () => socket.disconnect(true));
        socket.on("ask-me", (...args) => {
            socket.emit("question", ...args, (...answer) => socket.emit("answered", ...answer));
        });
    });
    io.of("/forbidden").use((socket, next) => {
        const error = new Error("nope");
        error.data = { code: 42 };
        next(error);
    });
    io.of(/^\/room-\d+$/).on("connection", greet);
}

if (process.argv[1] && import.meta.url.endsWith(process.argv[1].split("/").pop()) && process.argv.length >= 4) {
    await start(process.argv[2], Number(process.argv[3]), JSON.parse(process.argv[4] ?? "{}"));
    console.log("ready");
}
