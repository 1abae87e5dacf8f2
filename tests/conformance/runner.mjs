// A small sequential test runner: cases run one after another, each with a time limit.
import { isDeepStrictEqual } from "node:util";

export class Failure extends Error {}

const show = (value) => {
    const text = typeof value === "string" ? JSON.stringify(value)
        : value instanceof Error ? String(value) : JSON.stringify(value);
    return text && text.length > 600 ? text.slice(0, 600) + "..." : text;
};

/** Fails unless the two values are deeply and strictly equal. */
export function same(actual, expected, what = "value") {
    if (!isDeepStrictEqual(actual, expected)) {
        throw new Failure(`${what}: got ${show(actual)}, expected ${show(expected)}`);
    }
}

/** Fails unless `condition` holds. */
export function truth(condition, what) {
    if (!condition) throw new Failure(what);
}

/** Fails unless `actual` is one of `choices`. */
export function oneOf(actual, choices, what = "value") {
    if (!choices.some((c) => isDeepStrictEqual(actual, c))) {
        throw new Failure(`${what}: got ${show(actual)}, expected one of ${show(choices)}`);
    }
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Rejects with a Failure if `promise` is not settled within `ms` milliseconds. */
export function within(promise, ms, what = "answer") {
    let timer;
    const limit = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Failure(`no ${what} within ${ms} ms`)), ms);
    });
    return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

/** Collects cases; `suite(name, fn, settings)` adds one. Settings: timeout (ms) and whatever the caller needs. */
export function collect() {
    const cases = [];
    const add = (name, fn, settings = {}) => cases.push({ name, fn, ...settings });
    return { cases, add };
}

/**
 * Runs the cases in order. `context(case)` gives the argument of each case and may be asynchronous;
 * a case whose `skip(case)` returns a text is named and not counted.
 * Functions registered with `t.after(fn)` run when the case is over.
 * Returns { passed, failed, failures }.
 */
export async function run(cases, { context = () => ({}), timeout = 2000, quiet = false, skip = () => null } = {}) {
    let passed = 0;
    const failures = [];
    for (const one of cases) {
        const reason = skip(one);
        if (reason) {
            if (!quiet) console.log(`skip  ${one.name} (${reason})`);
            continue;
        }
        const cleanups = [];
        const started = performance.now();
        try {
            const base = await context(one);
            const t = { ...base, after: (fn) => cleanups.push(fn) };
            await within(Promise.resolve().then(() => one.fn(t)), one.timeout ?? timeout, "end of the case");
            passed += 1;
            if (!quiet) console.log(`pass  ${one.name} (${Math.round(performance.now() - started)} ms)`);
        } catch (error) {
            failures.push({ name: one.name, error });
            console.log(`FAIL  ${one.name} (${Math.round(performance.now() - started)} ms)`);
            console.log(`      ${error instanceof Failure ? error.message : error?.stack ?? error}`);
        }
        for (const fn of cleanups.reverse()) {
            try { await fn(); } catch { /* what a case leaves behind is not its result */ }
        }
    }
    return { passed, failed: failures.length, failures };
}

/** Prints the last line and ends the process with 0 or 1. */
export function finish({ passed, failed }) {
    console.log(`${passed} passed, ${failed} failed`);
    process.exit(failed === 0 && passed > 0 ? 0 : 1);
}
