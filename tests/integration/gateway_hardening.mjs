// How the four programs are linked, read from them: a fault in one of them must not be easy to use.

import { dirname, join } from 'node:path';
import { Checks, gatewayBinary, runCommand, truth } from './lib/harness.mjs';

const checks = new Checks('hardening');
const bin = dirname(gatewayBinary);

for (const name of ['sio-gateway', 'sio-bridge', 'sio-authd', 'sioctl']) {
  await checks.step(`${name} is position-independent, with read-only relocations from the start and no stack that runs`, async () => {
    const facts = await runCommand('readelf', ['--wide', '--file-header', '--program-headers', '--dynamic', join(bin, name)]);
    truth(/Type: +DYN /.test(facts), 'it is not position-independent');
    truth(/^ +GNU_RELRO /m.test(facts), 'relocations stay writable');
    truth(/\(FLAGS_1\) +Flags: .*\bNOW\b/.test(facts), 'relocations are done one by one, while it runs');
    truth(/^ +GNU_STACK .* RW +0x/m.test(facts), 'the stack can be run');
    truth(!/\((RPATH|RUNPATH)\)/.test(facts), 'it looks for libraries in folders of its own');
    truth(!/\(TEXTREL\)/.test(facts), 'code is written to when it is loaded');
  });
}

await checks.end();
