// How the four programs are compiled and linked, read from them: a fault in one of them must not be easy to use.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Checks, gatewayBinary, runCommand, truth } from './lib/harness.mjs';

const checks = new Checks('hardening');
const bin = dirname(gatewayBinary);

/** How often the bytes `hex` stand in a file. */
function count(path, hex) {
  const [bytes, wanted] = [readFileSync(path), Buffer.from(hex, 'hex')];
  let found = 0;
  for (let at = bytes.indexOf(wanted); at >= 0; at = bytes.indexOf(wanted, at + wanted.length)) found += 1;
  return found;
}

for (const name of ['sio-gateway', 'sio-bridge', 'sio-authd', 'sioctl']) {
  const path = join(bin, name);
  const facts = await runCommand('readelf', ['--wide', '--file-header', '--program-headers', '--dynamic', '--notes', '--dyn-syms', path]);

  await checks.step(`${name} is position-independent, with read-only relocations from the start and no stack that runs`, () => {
    truth(/Type: +DYN /.test(facts), 'it is not position-independent');
    truth(/^ +GNU_RELRO /m.test(facts), 'relocations stay writable');
    truth(/\(FLAGS_1\) +Flags: .*\bNOW\b/.test(facts), 'relocations are done one by one, while it runs');
    truth(/^ +GNU_STACK .* RW +0x/m.test(facts), 'the stack can be run');
    truth(!/\((RPATH|RUNPATH)\)/.test(facts), 'it looks for libraries in folders of its own');
    truth(!/\(TEXTREL\)/.test(facts), 'code is written to when it is loaded');
  });

  if (/ __(a|t)san_init\b/.test(facts)) continue;   // a sanitizer looks at the same, and more
  await checks.step(`${name} looks after its stack, its copies and the library's preconditions`, () => {
    truth(/ __stack_chk_fail@/.test(facts), 'frames have no canary');
    truth(/ __(memcpy|memset|snprintf|vsnprintf|read|recv|poll|fprintf|printf|realpath|fdelt|memmove)_chk@/.test(facts), 'copies are not checked (FORTIFY_SOURCE)');
    truth(/ _ZSt21__glibcxx_assert_fail/.test(facts), 'preconditions of the standard library are not asserted');
  });
  if (name === 'sio-gateway') {
    await checks.step('a frame of the gateway larger than a page is touched page by page', () => {
      // orq $0, (%rsp) of g++, movq $0, (%rsp) of clang
      truth(process.arch !== 'x64' || count(path, '48830c2400') + count(path, '48c7042400000000') > 0, 'no probe of the stack is in it');
    });
  }
  if (!/Machine: +Advanced Micro Devices X86-64/.test(facts)) continue;
  await checks.step(`${name} lands only where a function begins, and may have a shadow stack`, () => {
    truth(count(path, 'f30f1efa') > 500, `${count(path, 'f30f1efa')} landing pads (endbr64)`);
    truth(/x86 feature: (IBT, )?SHSTK/.test(facts), 'it is not marked for shadow stacks');
  });
}

await checks.end();
