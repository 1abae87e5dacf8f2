// The values that the clients of every language send and want back. `clients.py` and the Java client have the same.

/** Text that a careless server spoils: quotes, escapes, controls, separators of the protocol, planes above the first. */
export const difficultText = 'q"\\/ \u0000\u0001\u001e\u007f \u2028\u2029 äß 中文 \ud83d\ude80 </script> 2["x"]\n\t';

export const difficultJson = {
  empty: {}, list: [], null: null, yes: true, no: false, zero: 0, negative: -1.5, small: -3.0e-7, large: 1e21,
  whole: 9007199254740991, nested: [[[[{ a: [1, { b: 'c' }] }]]]], 'key "with" quotes': 'ü', '': 'empty key',
};

export const largeText = 'aé中🚀'.repeat(10000);   // 100 KB of UTF-8

/** `size` bytes that hold every value, so that text handling of any kind shows. */
export const bytes = (size, seed = 0) => Buffer.from(Array.from({ length: size }, (_, i) => (i * 7 + seed) & 255));

export const transportSets = [
  ['default', undefined], ['polling', ['polling']], ['websocket', ['websocket']],
];
