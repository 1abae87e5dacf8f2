// What an attack has in hand: a server's port, an address of its own, a time, and sockets that keep to a pace.
import { getHead, pause, tcp, text, until, upgradeHead } from "./wire.mjs";

const bytesPerSecond = 40 * 1024 * 1024; // of one attacker: more than a client's line has, less than the loopback's

export class Context {
    constructor(port, address, seconds) {
        this.port = port;
        this.address = address;
        this.until = performance.now() + seconds * 1000;
        this.sockets = new Set();
        this.sent = 0;
        this.began = performance.now();
    }

    get isOver() { return performance.now() >= this.until; }
    get left() { return Math.max(0, this.until - performance.now()); }

    /** A connection; `reads: false`: nothing of what comes is taken. */
    async tcp({ reads = true, ...options } = {}) {
        const socket = tcp(this.port, this.address, options);
        this.sockets.add(socket);
        socket.once("close", () => this.sockets.delete(socket));
        if (!reads) socket.pause();
        await Promise.race([socket.ready, pause(2000)]);
        return socket;
    }

    /**
     * A WebSocket, in the main namespace unless `joins` is false. It reads until it is there, then as `reads` says. It
     * names itself a browser, since what is kept for the return of a client is kept for browsers.
     */
    async websocket({ reads = true, joins = true, query = "", lines = "User-Agent: Mozilla/5.0\r\n" } = {}) {
        const socket = await this.tcp();
        socket.write(upgradeHead(query, lines));
        const isThere = () => socket.seen.includes(query === "" ? "pingInterval" : " 101 ");
        await until(() => isThere() || socket.destroyed || this.isOver, 3000);
        if (joins) {
            socket.write(text("40"));
            await until(() => socket.seen.includes("40{") || socket.destroyed || this.isOver, 3000);
        }
        if (!reads) socket.pause();
        return socket;
    }

    /** A polling session's id, or nothing when there was none to be had. */
    async session({ joins = false } = {}) {
        const socket = await this.tcp();
        socket.write(getHead("", "Connection: close\r\n"));
        await until(() => socket.destroyed, 3000);
        const sid = /"sid":"([^"]+)"/.exec(socket.seen)?.[1] ?? "";
        if (joins && sid !== "") {
            const other = await this.tcp();
            other.write(`POST /socket.io/?EIO=4&transport=polling&sid=${sid} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\n40`);
            await until(() => other.destroyed, 3000);
        }
        return sid;
    }

    /** Writes as fast as the pace and the peer allow. False: it is over, for the attack or for the connection. */
    async put(socket, bytes, patience = 200) {
        if (this.isOver || socket.destroyed || !socket.writable) return false;
        this.sent += bytes.length;
        const ahead = this.sent / bytesPerSecond - (performance.now() - this.began) / 1000;
        if (ahead > 0.005) await pause(ahead * 1000);
        if (socket.destroyed || !socket.writable) return false;
        if (!socket.write(bytes)) {
            let drained;
            const drain = new Promise((done) => { drained = done; });
            socket.once("drain", drained);
            await Promise.race([drain, socket.gone, pause(Math.min(patience, this.left))]);
            socket.off("drain", drained);
        }
        return !this.isOver && !socket.destroyed;
    }

    /** Puts `bytes` until it is over; a connection that no longer takes them is left standing. */
    async flood(socket, bytes) {
        while (await this.put(socket, bytes)) {
            if (socket.writableLength > 4 * 1024 * 1024) { await this.rest(); return; }
            await new Promise((done) => setImmediate(done));
        }
    }

    /** Holds what it has until the time is over. */
    rest() { return pause(this.left); }

    /** Ends what it holds. */
    async letGo() {
        for (const socket of this.sockets) socket.destroy();
        await pause(20);
    }
}
