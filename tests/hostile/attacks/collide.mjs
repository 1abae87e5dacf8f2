// Names of one hash, made by bin/hostile-collide for libstdc++'s std::hash (whose seed is known to everybody).
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const program = join(process.env.SIO_BIN ?? join(here, "..", "..", "..", "bin"), "hostile-collide");

/** 2,000 names of rooms; another set for each `start`. */
export function names(start) {
    const made = spawnSync(program, ["2000", start], { encoding: "utf8" });
    if (made.status !== 0) throw new Error(`${program} makes no names: ${made.error ?? made.stderr}`);
    return made.stdout.trim().split("\n");
}
