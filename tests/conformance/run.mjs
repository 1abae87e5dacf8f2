// node run.mjs engineio|socketio|beyond [--url ORIGIN] [--repeat N] [--reference] [--only TEXT]
// Checks a server against the behaviours of the official suites, or against all else that the protocol
// documents say (beyond). Without --url it starts the server itself; --reference means the Node server.
import { finish, run } from "./runner.mjs";
import { launchSuite, ServerPool } from "./gateway.mjs";

function parse(argv) {
    const settings = { repeat: 1 };
    for (let i = 0; i < argv.length; i++) {
        if (argv[i] === "--url") settings.url = argv[++i].replace(/\/$/, "");
        else if (argv[i] === "--repeat") settings.repeat = Number(argv[++i]);
        else if (argv[i] === "--only") settings.only = argv[++i];
        else if (argv[i] === "--reference") settings.reference = true;
        else if (!settings.kind && !argv[i].startsWith("-")) settings.kind = argv[i];
        else throw new Error(`unknown argument ${argv[i]}`);
    }
    if (!["engineio", "socketio", "beyond"].includes(settings.kind)) throw new Error("say engineio, socketio or beyond");
    return settings;
}

let settings;
try {
    settings = parse(process.argv.slice(2));
} catch (error) {
    console.error(`run.mjs: ${error.message}`);
    process.exit(2);
}

const { kind, reference = false, only, repeat } = settings;
let cases = (await import(`./${kind}.mjs`)).default;
if (only) cases = cases.filter((c) => c.name.includes(only));
const total = { passed: 0, failed: 0 };
const count = (result) => { total.passed += result.passed; total.failed += result.failed; };

if (kind === "beyond") {
    const pool = new ServerPool({ reference });
    const side = reference ? "reference" : "gateway";
    for (let i = 0; i < repeat; i++) {
        count(await run(cases, {
            timeout: 5000,
            skip: (c) => (c.side && c.side !== side ? `only for the ${c.side}` : null),
            async context(one) {
                const server = await pool.get(one.options ?? {});
                return { port: server.port, url: `http://127.0.0.1:${server.port}`, path: one.options?.path ?? "/socket.io/",
                    reference, ours: !reference, server, pool };
            },
        }));
    }
    await pool.stop();
} else {
    let server = null;
    try {
        if (!settings.url) server = await launchSuite(kind, { reference });
    } catch (error) {
        console.log(`FAIL  the server starts: ${error.message}`);
        finish({ passed: 0, failed: 1 });
    }
    const url = settings.url ?? `http://localhost:${server.port}`;
    for (let i = 0; i < repeat; i++) {
        const result = await run(cases, {
            quiet: repeat > 1, context: () => ({ url, reference, path: kind === "engineio" ? "/engine.io/" : "/socket.io/" }),
        });
        if (repeat > 1) console.log(`run ${i + 1}: ${result.passed} of ${result.passed + result.failed}`);
        count(result);
    }
    await server?.stop();
}
finish(total);
