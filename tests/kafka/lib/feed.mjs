// A producer that goes on over outages of the broker: keyed records in bursts, in order, each once.
//
// Each burst is a kcat of its own (one that stays would keep the end of what it is given until there is more), which
// begins when the one before it is done.

const none = Promise.resolve();

export class Feed {
  /** Produces {k, n} to `topic`, keys in turns; of each key n counts from 0. */
  constructor(broker, topic, keys) {
    Object.assign(this, { broker, topic, keys, counts: new Array(keys.length).fill(0), turn: 0, sent: 0, last: none, failure: null });
  }

  /** Begins to produce the next `count` records, unless those before are under way still; resolves at once. */
  async burst(count) {
    if (this.failure) throw this.failure;
    const records = [];
    for (let i = 0; i < count; i += 1) {
      const at = this.turn;
      this.turn = (at + 1) % this.keys.length;
      records.push({ key: this.keys[at], value: `{"k":"${this.keys[at]}","n":${this.counts[at]}}` });
      this.counts[at] += 1;
    }
    this.sent += count;
    this.last = this.last.then(() => this.broker.produce(this.topic, records, {
      timeout: 60000, args: ['-E', '-X', 'message.timeout.ms=0', '-X', 'reconnect.backoff.ms=50', '-X', 'reconnect.backoff.max.ms=500'],
    })).catch((error) => { this.failure ??= error; });
  }

  /** Waits until Kafka has all of it. */
  async end() {
    await this.last;
    if (this.failure) throw this.failure;
  }
}
