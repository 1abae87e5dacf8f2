// Starts what is attacked: our gateway as it is shipped, or Node's socket.io with the same application.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, gatewayProgram, launch } from "../../conformance/gateway.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const conformance = join(here, "..", "..", "conformance");
export const MiB = 1024 * 1024;

/** Our gateway with its defaults. `addressSpace`: bytes of RLIMIT_AS, which stand for a small machine. */
export async function startOurs({ flags = [], addressSpace } = {}) {
    const port = await freePort();
    const folder = mkdtempSync(join(tmpdir(), "sio-attacks-"));
    const own = [
        "--host", "127.0.0.1", "--port", port, "--control", join(folder, "control"), "--auth", "none",
        "--routes", join(conformance, "routes.json"), "--log-level", "warn", ...flags,
    ].map(String);
    const [command, args] = addressSpace ? ["prlimit", [`--as=${addressSpace}`, gatewayProgram, ...own]] : [gatewayProgram, own];
    const server = await launch(command, args, port);
    const stop = async () => { await server.stop(); rmSync(folder, { recursive: true, force: true }); };
    return { ...server, stop };
}

/** Node's server, with the settings that ours has by default. */
export async function startNode() {
    const port = await freePort();
    const options = { pingInterval: 25000, pingTimeout: 20000, connectTimeout: 45000 };
    return launch(process.execPath, [join(conformance, "reference.mjs"), "socketio", port, JSON.stringify(options)], port);
}

/** Bytes that were resident at most since resetPeak(). */
export const peak = (pid) => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) * 1024;
export const resetPeak = (pid) => writeFileSync(`/proc/${pid}/clear_refs`, "5");

/** What the gateway says of itself, JSON; null: it does not answer within `ms`. */
export function metrics(port, ms = 5000) {
    return new Promise((done) => {
        const request = http.get({ port, host: "127.0.0.1", path: "/metrics", localAddress: "127.0.3.1", agent: false, timeout: ms,
            headers: { accept: "application/json" } }, (response) => {
            let body = "";
            response.on("data", (part) => { body += part; });
            response.on("end", () => { try { done(JSON.parse(body)); } catch { done(null); } });
        });
        request.on("timeout", () => request.destroy());
        request.on("error", () => done(null));
    });
}

