// The network of a run, a process of its own: the balancer before the gateways, and a link to Redis for each who has one.
// network_process.mjs SETTINGS as JSON, forked; SETTINGS: `clients`, the ports of the gateways; `links`, name → port.

import { Balancer } from '../../cluster/lib/balancer.mjs';
import { serve } from '../../support/workers.mjs';
import { Random } from './random.mjs';

const settings = JSON.parse(process.argv[2]);
const ways = new Map([['clients', await Balancer.start(settings.clients)]]);
for (const [name, port] of Object.entries(settings.links)) ways.set(name, await Balancer.start([port]));

/** `seed` decides which connections it is, as far as they are the same. */
function chosen({ target, share, seed }) {
  const random = new Random(seed, 'connections');
  return ways.get(target).some(share / 100, () => random.next());
}

serve({
  ports: () => ({ ports: Object.fromEntries([...ways].map(([name, { port }]) => [name, port])) }),
  cut(request) {
    const pairs = chosen(request);
    ways.get(request.target).drop(...pairs);
    return { count: pairs.length };
  },
  /** Half open for `ms`; when all of a way are, so are those that are opened meanwhile. */
  swallow(request) {
    const way = ways.get(request.target);
    const pairs = chosen(request);
    way.swallow(pairs);
    way.isSwallowing = request.share >= 100;
    setTimeout(() => {
      way.isSwallowing = false;
      way.drop(...[...way.pairs].filter(({ isSwallowed }) => isSwallowed));
    }, request.ms);
    return { count: pairs.length };
  },
});
