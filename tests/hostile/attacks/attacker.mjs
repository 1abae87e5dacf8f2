// node attacker.mjs PORT: the least important process of the machine, since it is to take the server's time and not its
// processor. Each line of stdin, { names, address, seconds }, is a time of attacks; `done` on a line of stdout ends it.
import os from "node:os";
import { createInterface } from "node:readline";
import { attacks } from "./attacks.mjs";
import { Context } from "./context.mjs";

os.setPriority(19);
const port = Number(process.argv[2]);

/** Again and again until the time is over: an attack that is cut off comes back. */
async function keepAttacking(one, address, seconds) {
    const context = new Context(port, address, seconds);
    do {
        await one.run(context);
        await context.letGo();
    } while (!context.isOver);
}

const input = createInterface({ input: process.stdin });
input.on("line", async (line) => {
    const { names, address, seconds } = JSON.parse(line);
    await Promise.all(attacks.filter((one) => names.includes(one.name)).map((one) => keepAttacking(one, address, seconds)));
    console.log("done");
});
input.on("close", () => process.exit(0));
