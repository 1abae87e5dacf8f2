// node run.mjs [--url ORIGIN] [--reference] [--only TEXT]
// Checks the WebSocket side of the Engine.IO echo server against RFC 6455, section by section as the
// Autobahn suite does it (1 framing, 2 pings and pongs, 3 reserved bits, 4 opcodes, 5 fragmentation,
// 6 UTF-8, 7 closing, 9 size, 10 the rest; compression is never negotiated, so 12 and 13 check that).
// A message is `4` + text or a binary frame; the server echoes both with their kind.
import { randomBytes } from "node:crypto";
import { collect, finish, oneOf, run, same, sleep, truth, within } from "../conformance/runner.mjs";
import { launchSuite } from "../conformance/gateway.mjs";
import { RawWebSocket, closePayload, frame, opcodes } from "./raw.mjs";

const { text: TEXT, binary: BINARY, continuation: MORE, close: CLOSE, ping: PING, pong: PONG } = opcodes;
const { cases, add } = collect();
const path = "/engine.io/?EIO=4&transport=websocket";

async function open(t, options) {
    const one = await RawWebSocket.open(t.port, path, { host: t.host, ...options });
    t.after(() => one.destroy());
    const first = await one.next();
    same(String(first.payload[0]), "48", "first byte of the handshake");
    return one;
}
const it = (name, fn, options) => add(name, async (t) => fn(await open(t), t), options);

/** The next frame must be this message, in one unfragmented frame with the shortest length form. */
async function echo(one, opcode, payload, ms) {
    const got = await one.next(ms);
    truth(got, "an answer came before the end of the connection");
    same([got.opcode, got.fin], [opcode, 1], "opcode and FIN of the echo");
    const n = got.payload.length;
    same(got.form, n < 126 ? 2 : n < 65536 ? 4 : 10, "size of the echo's head");
    truth(Buffer.from(payload).equals(got.payload), `the echo of ${payload.length} bytes has the same ${n} bytes`);
}
async function alive(one) {
    one.send(frame(TEXT, "4alive"));
    await echo(one, TEXT, "4alive");
}
/** The server must fail the connection with this code, and end TCP. A peer that merely cuts is not accepted. */
async function fails(one, code, ms) {
    same(await one.closeCode(ms), code, "close code");
    one.send(frame(CLOSE, closePayload(code)));
    await one.ended(ms);
}
const letters = (n) => "4" + "*".repeat(n - 1);

// ---- 1 framing
for (const size of [1, 2, 125, 126, 127, 128, 1000, 65535, 65536, 65537]) {
    it(`1 text of ${size} bytes`, async (one) => { one.send(frame(TEXT, letters(size))); await (size === 1 ? echoEmpty(one) : echo(one, TEXT, letters(size))); });
    it(`1 binary of ${size} bytes`, async (one) => { const b = randomBytes(size); one.send(frame(BINARY, b)); await echo(one, BINARY, b); });
}
/** `4` alone is an empty message; whatever the application makes of it, the connection lives. */
async function echoEmpty(one) {
    one.send(frame(TEXT, "4after"));
    for (;;) {
        const got = await one.next();
        truth(got && got.opcode === TEXT, "a text frame came");
        if (got.payload.toString() === "4after") break;
        same(got.payload.toString(), "4", "echo of the empty message");
    }
}
it("1 an empty binary message", async (one) => {
    one.send(frame(BINARY));
    one.send(frame(TEXT, "4after"));
    let got = await one.next();
    if (got.opcode === BINARY) { same(got.payload.length, 0, "size of the echo"); got = await one.next(); }
    same(got.payload.toString(), "4after", "next echo");
});
for (const [size, step] of [[65535, 997], [65536, 997], [65536, 1500], [300, 1], [126, 1], [125, 1]]) {
    it(`1 text of ${size} bytes in pieces of ${step}`, async (one) => {
        await one.chop(frame(TEXT, letters(size)), step);
        await echo(one, TEXT, letters(size));
    }, { timeout: 10000 });
    it(`1 binary of ${size} bytes in pieces of ${step}`, async (one) => {
        const b = randomBytes(size);
        await one.chop(frame(BINARY, b), step);
        await echo(one, BINARY, b);
    }, { timeout: 10000 });
}
for (let cut = 1; cut < 14; cut++) {
    it(`1 two frames cut after byte ${cut} of the first`, async (one) => {
        const both = Buffer.concat([frame(TEXT, "4hello"), frame(BINARY, Buffer.from([1, 2]))]);
        one.send(both.subarray(0, cut));
        await sleep(5);
        one.send(both.subarray(cut));
        await echo(one, TEXT, "4hello");
        await echo(one, BINARY, Buffer.from([1, 2]));
    });
}
for (let cut = 1; cut < 18; cut += 1) {
    for (const size of [200, 70000]) {
        if (size === 200 && cut > 10) continue;
        it(`1 a head of ${size === 200 ? 8 : 14} bytes cut after byte ${cut}`, async (one) => {
            const all = frame(TEXT, letters(size));
            one.send(all.subarray(0, cut));
            await sleep(5);
            one.send(all.subarray(cut));
            await echo(one, TEXT, letters(size));
        });
    }
}
it("1 many frames in one write", async (one) => {
    one.send(...Array.from({ length: 500 }, (_, i) => frame(TEXT, `4m${i}`)));
    for (let i = 0; i < 500; i++) await echo(one, TEXT, `4m${i}`);
});
for (const key of ["00000000", "ffffffff", "ff000000", "000000ff", "01020304"]) {
    it(`1 masking key ${key}`, async (one) => {
        const b = randomBytes(1001);
        one.send(frame(BINARY, b, { key: Buffer.from(key, "hex") }));
        await echo(one, BINARY, b);
    });
}
for (const size of [0, 1, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65]) {
    it(`1 unmasking of ${size} bytes is right whatever the alignment`, async (one) => {
        const b = randomBytes(size || 2);
        one.send(frame(BINARY, b), frame(BINARY, b));
        await echo(one, BINARY, b);
        await echo(one, BINARY, b);
    });
}
for (const [opcode, payload] of [[TEXT, "4hello"], [BINARY, "ab"], [PING, ""], [PONG, ""], [CLOSE, ""], [TEXT, letters(300)]]) {
    it(`1 an unmasked frame of opcode ${opcode}, ${payload.length} bytes, is refused`, async (one) => {
        one.send(frame(opcode, payload, { masked: false }));
        await fails(one, 1002);
    });
}
for (const [size, form] of [[5, 16], [5, 64], [125, 16], [300, 64], [65535, 64]]) {
    add(`1 a length of ${size} in the ${form}-bit form: ours refuses it as no minimal encoding`, async (t) => {
        const one = await open(t);
        one.send(frame(TEXT, letters(size), { length: form }));
        if (t.reference) return echo(one, TEXT, letters(size)); // ws takes it
        const got = await one.next();
        if (got.opcode === CLOSE) return same(got.payload.readUInt16BE(0), 1002, "close code");
        same(got.payload.toString(), letters(size), "echo"); // being lenient harms nobody
    });
}
it("1 a 64-bit length with its top bit set is refused", async (one) => {
    one.send(Buffer.from([0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]));
    oneOf(await one.closeCode(), [1002, 1009], "close code");
    await one.ended();
});

// ---- 2 pings and pongs
for (const payload of ["", "Hello, world!", "x".repeat(125), "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"]) {
    it(`2 a ping of ${payload.length} bytes is answered with its payload`, async (one) => {
        const b = Buffer.from(payload, "latin1");
        one.send(frame(PING, b));
        const got = await one.next();
        same([got.opcode, got.fin, got.payload.equals(b)], [PONG, 1, true], "pong");
        await alive(one);
    });
}
it("2 a ping of 125 bytes, byte by byte", async (one) => {
    await one.chop(frame(PING, "p".repeat(125)), 1);
    same((await one.next()).payload.toString(), "p".repeat(125), "pong");
});
for (const size of [126, 127, 1000]) {
    it(`2 a ping of ${size} bytes is refused`, async (one) => { one.send(frame(PING, "x".repeat(size))); await fails(one, 1002); });
    it(`2 a pong of ${size} bytes is refused`, async (one) => { one.send(frame(PONG, "x".repeat(size))); await fails(one, 1002); });
}
for (const payload of ["", "unasked"]) {
    it(`2 an unasked pong of ${payload.length} bytes is ignored`, async (one) => { one.send(frame(PONG, payload)); await alive(one); });
}
it("2 an unasked pong and then a ping", async (one) => {
    one.send(frame(PONG, "unasked"), frame(PING, "asked"));
    const got = await one.next();
    same([got.opcode, got.payload.toString()], [PONG, "asked"], "pong");
});
for (const step of [0, 1, 7]) {
    it(`2 ten pings ${step ? `in pieces of ${step} bytes` : "in one write"} are answered in order, or by the last at least`, async (one) => {
        const all = Buffer.concat(Array.from({ length: 10 }, (_, i) => frame(PING, `ping-${i}`)));
        if (step) await one.chop(all, step); else one.send(all);
        let last = -1;
        while (last < 9) {
            const got = await one.next();
            same(got.opcode, PONG, "opcode");
            const n = Number(got.payload.toString().slice(5));
            truth(n > last, "pongs come in order");
            last = n;
        }
    });
}

// ---- 3 reserved bits
for (let rsv = 1; rsv < 8; rsv++) {
    for (const opcode of [TEXT, BINARY, CLOSE, PING, PONG]) {
        it(`3 reserved bits ${rsv} on opcode ${opcode} are refused`, async (one) => {
            one.send(frame(opcode, opcode >= 8 ? "" : "4x", { rsv }));
            await fails(one, 1002);
        });
    }
    it(`3 reserved bits ${rsv} on a second frame: the first is served`, async (one) => {
        one.send(frame(TEXT, "4first"), frame(TEXT, "4second", { rsv }));
        const code = await (async () => {
            const got = await one.next();
            if (got?.opcode === TEXT) { same(got.payload.toString(), "4first", "echo"); return one.closeCode(); }
            return got ? got.payload.readUInt16BE(0) : 1006;
        })();
        same(code, 1002, "close code");
    });
}
it("3 reserved bits on a continuation are refused", async (one) => {
    one.send(frame(TEXT, "4a", { fin: false }), frame(MORE, "b", { rsv: 4 }));
    await fails(one, 1002);
});

// ---- 4 opcodes
for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) {
    for (const payload of ["", "reserved"]) {
        it(`4 reserved opcode ${opcode} with ${payload.length} bytes is refused`, async (one) => {
            one.send(frame(opcode, payload));
            await fails(one, 1002);
        });
    }
    it(`4 reserved opcode ${opcode} inside a fragmented message is refused`, async (one) => {
        one.send(frame(TEXT, "4a", { fin: false }), frame(opcode, "x"));
        await fails(one, 1002);
    });
}

// ---- 5 fragmentation
for (const opcode of [PING, PONG, CLOSE]) {
    it(`5 a fragmented control frame (opcode ${opcode}) is refused`, async (one) => {
        one.send(frame(opcode, opcode === CLOSE ? closePayload(1000) : "x", { fin: false }));
        await fails(one, 1002);
    });
}
for (const opcode of [TEXT, BINARY]) {
    const name = opcode === TEXT ? "text" : "binary";
    it(`5 ${name} in two fragments`, async (one) => {
        one.send(frame(opcode, "4frag", { fin: false }), frame(MORE, "ment"));
        await echo(one, opcode, "4fragment");
    });
    it(`5 ${name} in two fragments, byte by byte`, async (one) => {
        await one.chop(Buffer.concat([frame(opcode, "4frag", { fin: false }), frame(MORE, "ment")]), 1);
        await echo(one, opcode, "4fragment");
    });
    it(`5 ${name} in 200 fragments of one byte`, async (one) => {
        const all = letters(200);
        one.send(...[...all].map((c, i) => frame(i ? MORE : opcode, c, { fin: i === 199 })));
        await echo(one, opcode, all);
    });
    it(`5 ${name} with empty fragments`, async (one) => {
        one.send(frame(opcode, "", { fin: false }), frame(MORE, "", { fin: false }), frame(MORE, "4x", { fin: false }), frame(MORE, ""));
        await echo(one, opcode, "4x");
    });
    it(`5 ${name} with a ping between its fragments`, async (one) => {
        one.send(frame(opcode, "4frag", { fin: false }), frame(PING, "between"), frame(MORE, "ment"));
        const got = await one.next();
        same([got.opcode, got.payload.toString()], [PONG, "between"], "pong before the message");
        await echo(one, opcode, "4fragment");
    });
    it(`5 ${name} with pings and pongs between many fragments, byte by byte`, async (one) => {
        const parts = [frame(opcode, "4", { fin: false })];
        for (let i = 0; i < 8; i++) parts.push(frame(i % 2 ? PONG : PING, `c${i}`), frame(MORE, `f${i}`, { fin: i === 7 }));
        await one.chop(Buffer.concat(parts), 1);
        for (;;) {
            const got = await one.next();
            if (got.opcode === PONG) continue;
            same([got.opcode, got.payload.toString()], [opcode, "4f0f1f2f3f4f5f6f7"], "message");
            break;
        }
    });
    for (const second of [TEXT, BINARY]) {
        it(`5 a new message of opcode ${second} inside a fragmented ${name} is refused`, async (one) => {
            one.send(frame(opcode, "4a", { fin: false }), frame(second, "4b"));
            await fails(one, 1002);
        });
    }
    it(`5 a close frame inside a fragmented ${name} is answered`, async (one) => {
        one.send(frame(opcode, "4a", { fin: false }), frame(CLOSE, closePayload(1000)));
        same(await one.closeCode(), 1000, "close code");
    });
}
for (const fin of [true, false]) {
    for (const payload of ["", "x"]) {
        it(`5 a continuation of nothing (FIN ${fin}, ${payload.length} bytes) is refused`, async (one) => {
            one.send(frame(MORE, payload, { fin }));
            await fails(one, 1002);
        });
    }
    it(`5 a continuation after a complete message (FIN ${fin}) is refused`, async (one) => {
        one.send(frame(TEXT, "4done"));
        await echo(one, TEXT, "4done");
        one.send(frame(MORE, "x", { fin }));
        await fails(one, 1002);
    });
}
it("5 two fragmented messages after each other", async (one) => {
    one.send(frame(TEXT, "4a", { fin: false }), frame(MORE, "b"), frame(BINARY, "c", { fin: false }), frame(MORE, "d"));
    await echo(one, TEXT, "4ab");
    await echo(one, BINARY, "cd");
});

// ---- 6 UTF-8
const bytes = (hex) => Buffer.from(hex.replace(/\s/g, ""), "hex");
const four = Buffer.from("4");
const valid = {
    "two bytes, lowest": "c280", "two bytes, highest": "dfbf", "three bytes, lowest": "e0a080", "three bytes, highest": "efbfbf", "four bytes, lowest": "f0908080",
    "four bytes, highest": "f48fbfbf", "below the surrogates": "ed9fbf", "above the surrogates": "ee8080", "replacement character": "efbfbd", "NUL": "00", "DEL": "7f",
    "kosme": "cebae1bdb9cf83cebcceb5", "byte order mark": "efbbbf", "emoji": "f09f9880", "noncharacter U+FFFE": "efbfbe", "noncharacter U+1FFFE": "f09fbfbe",
    "noncharacter U+2FFFF": "f0afbfbf", "noncharacter U+10FFFE": "f48fbfbe", "U+FDD0": "efb790", "a line of Japanese": "e697a5e69cace8aa9e",
};
const invalid = {
    "a lone continuation byte 80": "80", "a lone continuation byte bf": "bf", "two continuation bytes": "80bf", "five continuation bytes": "80bf80bf80",
    "c0 80 (overlong NUL)": "c080", "c1 bf (overlong)": "c1bf", "c0 af (overlong slash)": "c0af", "e0 80 af (overlong)": "e080af", "e0 9f bf (overlong)": "e09fbf",
    "f0 80 80 af (overlong)": "f08080af", "f0 8f bf bf (overlong)": "f08fbfbf", "five bytes": "f888808080", "six bytes": "fc8480808080", "fe": "fe", "ff": "ff", "fe fe ff ff": "fefeffff",
    "surrogate d800": "eda080", "surrogate db7f": "edadbf", "surrogate dc00": "edb080", "surrogate dfff": "edbfbf", "surrogate pair": "eda080edb080", "above U+10FFFF": "f4908080",
    "f5": "f5808080", "f7": "f7bfbfbf", "c2 without a second byte": "c2", "e1 bd without a third byte": "e1bd", "f0 9f 98 without a fourth byte": "f09f98", "c2 followed by a letter": "c241",
    "e1 followed by a letter": "e14141", "f0 90 followed by a letter": "f0904141", "kosme, surrogate, edited": "cebae1bdb9cf83cebcceb5eda080656469746564",
    "kosme with a byte above": "cebae1bdb9cf83cebcceb5f4908080656469746564", "e0 80": "e080", "c3 28": "c328", "e2 28 a1": "e228a1", "e2 82 28": "e28228", "f0 28 8c bc": "f0288cbc", "f0 90 28 bc": "f09028bc", "f0 28 8c 28": "f0288c28",
};
for (const [name, hex] of Object.entries(valid)) {
    const payload = Buffer.concat([four, bytes(hex)]);
    it(`6 valid: ${name}`, async (one) => { one.send(frame(TEXT, payload)); await echo(one, TEXT, payload); });
    it(`6 valid, a fragment per byte: ${name}`, async (one) => {
        one.send(...[...payload].map((b, i) => frame(i ? MORE : TEXT, [b], { fin: i === payload.length - 1 })));
        await echo(one, TEXT, payload);
    });
    it(`6 valid, between letters and byte by byte: ${name}`, async (one) => {
        const long = Buffer.concat([Buffer.from("4abcdefg"), bytes(hex), Buffer.from("h".repeat(20)), bytes(hex)]);
        await one.chop(frame(TEXT, long), 1);
        await echo(one, TEXT, long);
    });
}
for (const [name, hex] of Object.entries(invalid)) {
    const payload = Buffer.concat([four, bytes(hex)]);
    it(`6 invalid: ${name}`, async (one) => { one.send(frame(TEXT, payload)); await fails(one, 1007); });
    it(`6 invalid, a fragment per byte: ${name}`, async (one) => {
        one.send(...[...payload].map((b, i) => frame(i ? MORE : TEXT, [b], { fin: i === payload.length - 1 })));
        await fails(one, 1007);
    });
    it(`6 invalid, after 1,000 letters: ${name}`, async (one) => {
        one.send(frame(TEXT, Buffer.concat([Buffer.from(letters(1000)), bytes(hex)])));
        await fails(one, 1007);
    });
    it(`6 binary is not checked: ${name}`, async (one) => { one.send(frame(BINARY, payload)); await echo(one, BINARY, payload); });
}
for (const [name, hex] of [["surrogate", "eda080"], ["above U+10FFFF", "f4908080"], ["ff", "ff"], ["overlong", "c080"]]) {
    add(`6 invalid in an unfinished fragment is refused before the end: ${name}`, async (t) => {
        const one = await open(t);
        one.send(frame(TEXT, Buffer.concat([four, bytes(hex), Buffer.from("edited")]), { fin: false }));
        if (t.reference) one.send(frame(MORE, "")); // ws checks the whole message
        await fails(one, 1007);
    });
    add(`6 invalid in the first bytes of a frame is refused before its last: ${name}`, async (t) => {
        const one = await open(t);
        const all = frame(TEXT, Buffer.concat([four, bytes(hex), Buffer.alloc(4000, 120)]));
        one.send(all.subarray(0, 2000));
        await sleep(100);
        // Whoever checks only complete frames sees it when the rest is there; ours may do either.
        if (!one.tcp.ended) one.send(all.subarray(2000));
        await fails(one, 1007);
    });
}

// ---- 7 closing
it("7 an empty close is answered and TCP is ended by the server", async (one) => {
    one.send(frame(CLOSE));
    same(await one.closeCode(), 1005, "close code");
    await one.ended();
});
for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]) {
    for (const reason of ["", "a reason", "r".repeat(123)]) {
        it(`7 close ${code} with ${reason.length} bytes of reason is answered`, async (one) => {
            one.send(frame(CLOSE, closePayload(code, reason)));
            oneOf(await one.closeCode(), [code, 1000, 1005], "close code");
            await one.ended();
        });
    }
}
for (const code of [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]) {
    it(`7 close ${code} is refused`, async (one) => { one.send(frame(CLOSE, closePayload(code))); await fails(one, 1002); });
    it(`7 close ${code} with a reason is refused`, async (one) => { one.send(frame(CLOSE, closePayload(code, "x"))); await fails(one, 1002); });
}
it("7 a close of one byte is refused", async (one) => { one.send(frame(CLOSE, "x")); await fails(one, 1002); });
for (const size of [126, 200]) it(`7 a close of ${size} bytes is refused`, async (one) => { one.send(frame(CLOSE, closePayload(1000, "r".repeat(size - 2)))); await fails(one, 1002); });
for (const hex of ["ff", "eda080", "c080", "cebae1bdb9cf83cebcceb5eda080"]) {
    it(`7 a close whose reason is no UTF-8 (${hex}) is refused`, async (one) => {
        one.send(frame(CLOSE, Buffer.concat([closePayload(1000), bytes(hex)])));
        await fails(one, 1007);
    });
}
it("7 a close with a reason in UTF-8 is answered", async (one) => {
    one.send(frame(CLOSE, closePayload(1000, "\u65e5\u672c \ud83d\ude00")));
    oneOf(await one.closeCode(), [1000], "close code");
});
it("7 a message before the close is still echoed", async (one) => {
    one.send(frame(TEXT, "4last"), frame(CLOSE, closePayload(1000)));
    let seen = false;
    for (;;) {
        const got = await one.next();
        if (!got) break;
        if (got.opcode === TEXT) seen = got.payload.toString() === "4last";
        if (got.opcode === CLOSE) break;
    }
    truth(seen, "the echo came before the close");
});
for (const [name, after] of [["text", frame(TEXT, "4late")], ["a ping", frame(PING, "late")], ["a second close", frame(CLOSE, closePayload(1000))], ["garbage", Buffer.from("ffffffffff", "hex")]]) {
    it(`7 ${name} after the close is ignored`, async (one) => {
        one.send(frame(CLOSE, closePayload(1000)), after);
        same(await one.closeCode(), 1000, "close code");
        for (;;) {
            const got = await one.next();
            if (!got) break;
            truth(false, `nothing comes after the close, got opcode ${got.opcode}`);
        }
        await one.ended();
    });
}
it("7 a close byte by byte is answered", async (one) => {
    await one.chop(frame(CLOSE, closePayload(1000, "slow")), 1);
    same(await one.closeCode(), 1000, "close code");
});
it("7 a client that ends TCP without a close frame is let go", async (one) => {
    one.tcp.socket.end();
    await one.ended();
});
it("7 a client that never answers a close frame is cut off in the end", async (one) => {
    one.send(frame(TEXT, "abc"));
    oneOf(await one.closeCode(), [1005, 1002], "close code");
    await one.ended(32000);
}, { timeout: 35000 });

// ---- 9 size and speed, scaled down to the limit of 1,000,000 bytes
for (const size of [100000, 262144, 524288, 999999, 1000000]) {
    it(`9 text of ${size} bytes`, async (one) => { one.send(frame(TEXT, letters(size))); await echo(one, TEXT, letters(size), 5000); }, { timeout: 8000 });
    it(`9 binary of ${size} bytes`, async (one) => { const b = randomBytes(size); one.send(frame(BINARY, b)); await echo(one, BINARY, b, 5000); }, { timeout: 8000 });
}
for (const piece of [64, 1024, 65536]) {
    it(`9 256 KiB in fragments of ${piece} bytes`, async (one) => {
        const b = randomBytes(262144);
        const parts = [];
        for (let i = 0; i < b.length; i += piece) parts.push(frame(i ? MORE : BINARY, b.subarray(i, i + piece), { fin: i + piece >= b.length }));
        one.send(...parts);
        await echo(one, BINARY, b, 5000);
    }, { timeout: 8000 });
    it(`9 256 KiB written in pieces of ${piece} bytes`, async (one) => {
        const b = randomBytes(262144);
        await one.chop(frame(BINARY, b), piece);
        await echo(one, BINARY, b, 8000);
    }, { timeout: 12000 });
}
for (const size of [0, 16, 64, 256, 1024, 4096]) {
    it(`9 1,000 messages of ${size} bytes come back in order`, async (one) => {
        one.send(...Array.from({ length: 1000 }, (_, i) => frame(TEXT, `4${i}-${"m".repeat(size)}`)));
        for (let i = 0; i < 1000; i++) await echo(one, TEXT, `4${i}-${"m".repeat(size)}`, 8000);
    }, { timeout: 20000 });
}
it("9 a text of 1,000,001 bytes is refused with 1009", async (one) => {
    one.send(frame(TEXT, letters(1000001)));
    same(await one.closeCode(), 1009, "close code");
});
it("9 a frame that announces too much is refused before its payload", async (one) => {
    one.send(frame(BINARY, "start", { announce: 50000000, length: 64 }));
    same(await one.closeCode(), 1009, "close code");
});
for (const announced of [1000001, 0x7fffffff, 0x100000000, Number.MAX_SAFE_INTEGER]) {
    it(`9 an announced length of ${announced} is refused with 1009`, async (one) => {
        one.send(frame(TEXT, "4", { announce: announced, length: 64 }));
        oneOf(await one.closeCode(), [1009], "close code");
    });
}
it("9 fragments that together are too much are refused with 1009", async (one) => {
    one.send(frame(BINARY, Buffer.alloc(600000), { fin: false }), frame(MORE, Buffer.alloc(400001), { fin: true }));
    same(await one.closeCode(), 1009, "close code");
});
it("9 a fragment that announces too much together with the former is refused early", async (one) => {
    one.send(frame(BINARY, Buffer.alloc(600000), { fin: false }), frame(MORE, "x", { announce: 400001, length: 64 }));
    same(await one.closeCode(), 1009, "close code");
});

// ---- 10 the rest
for (const [name, lines] of [
    ["Connection with several tokens", ""], ["an offer of permessage-deflate", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"],
    ["an unknown extension", "Sec-WebSocket-Extensions: x-foo; bar=1\r\n"], ["a malformed-looking but legal extension list", "Sec-WebSocket-Extensions: a, b; c, d; e=\"f\"\r\n"],
    ["an Origin", "Origin: http://example.com\r\n"], ["a cookie of 3,000 bytes", `Cookie: ${"c".repeat(3000)}\r\n`], ["unknown headers", "X-One: 1\r\nX-Two:2\r\nX-Three:\r\n"],
]) {
    add(`10 an upgrade with ${name}`, async (t) => {
        const one = await open(t, { headers: lines });
        truth(!/sec-websocket-extensions/i.test(one.head), "no extension is accepted");
        await alive(one);
    });
}
add("12 a compressed frame is refused, since nothing was negotiated", async (t) => {
    const one = await open(t, { headers: "Sec-WebSocket-Extensions: permessage-deflate\r\n" });
    truth(!/sec-websocket-extensions/i.test(one.head), "the offer is declined");
    one.send(frame(TEXT, bytes("32c9484dcdc90700"), { rsv: 4 }));
    await fails(one, 1002);
});
add("10 a frame in the same write as the upgrade is not lost", async (t) => {
    const { Tcp } = await import("../conformance/client.mjs");
    const tcp = new Tcp(t.port, t.host);
    t.after(() => tcp.destroy());
    await tcp.opened;
    tcp.send(Buffer.concat([Buffer.from(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"), frame(TEXT, "4early")]));
    if (t.reference) return truth(await tcp.until((s) => s.includes(" 101 ")), "101"); // Node may lose it
    truth(await tcp.until((s) => s.includes("4early"), 2000, "echo"), "the echo came");
});
add("10 an upgrade request cut at each byte of its end is understood", async (t) => {
    const { Tcp } = await import("../conformance/client.mjs");
    const text = `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;
    for (let cut = text.length - 12; cut < text.length; cut++) {
        const tcp = new Tcp(t.port, t.host);
        await tcp.opened;
        tcp.send(text.slice(0, cut));
        await sleep(3);
        tcp.send(text.slice(cut));
        truth(await tcp.until((s) => s.includes('{"sid":'), 2000, "handshake"), "the handshake came");
        tcp.destroy();
    }
});
add("10 header names and values in any case", async (t) => {
    const { Tcp } = await import("../conformance/client.mjs");
    const tcp = new Tcp(t.port, t.host);
    t.after(() => tcp.destroy());
    await tcp.opened;
    tcp.send(`GET ${path} HTTP/1.1\r\nhost:a\r\nCONNECTION: upgrade\r\nuPGRADE: WebSocket\r\nsec-websocket-VERSION:13\r\nSEC-websocket-key:   dGhlIHNhbXBsZSBub25jZQ==  \r\n\r\n`);
    truth(await tcp.until((s) => s.includes('{"sid":'), 2000, "handshake"), "the handshake came");
    truth(tcp.text.includes("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "Sec-WebSocket-Accept");
});

// ---- start
const argv = process.argv.slice(2);
const value = (name) => (argv.includes(name) ? argv[argv.indexOf(name) + 1] : undefined);
const reference = argv.includes("--reference");
const only = value("--only");
let server = null;
let url;
try {
    if (!value("--url")) server = await launchSuite("engineio", { reference });
    url = new URL(value("--url") ?? `http://127.0.0.1:${server.port}`);
} catch (error) {
    console.log(`FAIL  the server starts: ${error.message}`);
    finish({ passed: 0, failed: 1 });
}
const t = { port: Number(url.port || 80), host: url.hostname.replace(/^\[|\]$/g, ""), reference };
const result = await run(only ? cases.filter((c) => c.name.includes(only)) : cases, { context: () => t, timeout: 6000 });
await within(server?.stop() ?? Promise.resolve(), 5000, "stop").catch(() => {});
finish(result);
