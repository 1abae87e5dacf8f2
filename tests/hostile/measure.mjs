// What a process uses, read from /proc.
import { readFileSync, readdirSync } from "node:fs";

/** Resident bytes. */
export const resident = (pid) => Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * 4096;

/** Open descriptors. */
export const descriptors = (pid) => readdirSync(`/proc/${pid}/fd`).length;

/** CPU used so far by all its threads, in ms: from schedstat (ns), or from utime + stime (10 ms) where that is missing. */
export function cpu(pid) {
    try {
        let sum = 0;
        for (const task of readdirSync(`/proc/${pid}/task`)) {
            sum += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]) / 1e6;
        }
        if (sum > 0) return sum;
    } catch { /* the next line does without */ }
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /, "").split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10;
}
