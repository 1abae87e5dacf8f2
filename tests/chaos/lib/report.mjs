// What a run prints: the table of what was killed and what was found, and the story of the first fault.

import { hows, kinds } from './options.mjs';

const clock = (ms) => `${(ms / 1000).toFixed(2).padStart(7)} s`;

function table(head, rows) {
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => String(row[i]).length)));
  const line = (row) => row.map((cell, i) => (i === 0 ? String(cell).padEnd(widths[i]) : String(cell).padStart(widths[i]))).join('  ');
  return [head, ...rows].map((row) => `      ${line(row).trimEnd()}`).join('\n');
}

/** What was done to whom: kind × how × times; what was done together counts for each. */
export function killTable(plan) {
  const ways = hows.filter((how) => plan.some((action) => action.how === how));
  const rows = kinds.filter((kind) => plan.some((action) => action.kind.split('+').includes(kind)))
    .map((kind) => [kind, ...ways.map((how) => plan.filter((action) => action.how === how && action.kind.split('+').includes(kind)).length || '')]);
  return table(['killed, frozen, cut', ...ways], rows);
}

const percent = (part, whole) => (whole ? ` (${((100 * part) / whole).toFixed(3)} %)` : '');

export function foundTable({ deliveries, returns, outbound, presence, made, here, reasons }) {
  const rows = [
    ['records in Kafka', made],
    ['deliveries expected', deliveries.expected], ['  delivered', deliveries.delivered], ['  missing', `${deliveries.missing}${percent(deliveries.missing, deliveries.expected)}`],
    ['  not delivered, and told', `${deliveries.told}${percent(deliveries.told, deliveries.expected)}`], ['  repeated', deliveries.repeated], ['  out of order', deliveries.disordered],
    ['returns of clients', returns.returns], ['  begun again', `${returns.again}${percent(returns.again, returns.returns)}`],
    ['  begun again, away for longer than the window', returns.late], ['  begun again, no Redis to keep the session', returns.excused], ['  shut out', returns.shutOut],
    ...reasons.map(([name, value]) => [`  gateways: ${name}`, value]),
    ['client events sent', outbound.sent], ['  acknowledged', outbound.acked], ['  refused', outbound.refused], ['  without an answer', outbound.silent],
    ['  found in Kafka', outbound.found], ['  repeats, told by their id', outbound.repeats], ['  acknowledged and missing', outbound.missing], ['  twice', outbound.twice],
    ['  out of order', outbound.disordered], ['  gaps in sequences', outbound.gaps], ['  that nobody sent', outbound.foreign],
    ['presence announced', presence.told], ['  mistakes', presence.faults.length], ['  not judged, Redis was away', presence.excused], ['  online at the end', here],
  ];
  return table(['found', ''], rows);
}

export function costTable(cores) {
  const judge = ['clients', 'network', 'judge'];
  const sum = (list) => list.reduce((all, [, value]) => all + value, 0).toFixed(2);
  const shown = (list) => list.map(([group, value]) => `${group} ${value.toFixed(2)}`).join(', ');
  const [test, product] = [cores.filter(([group]) => judge.includes(group)), cores.filter(([group]) => !judge.includes(group))];
  return `      processors: product ${sum(product)} (${shown(product)}); test ${sum(test)} (${shown(test)})`;
}

/** What happened around a fault: actions, and what its client saw; ms before and after. */
export function story({ at, client }, { timeline, clients, began }, { before = 8000, after = 2000 } = {}) {
  const about = (list, who) => list.filter((one) => one.at >= at - before && one.at <= at + after).map((one) => ({ ...one, who }));
  const notes = client === undefined ? [] : clients[client]?.notes ?? [];
  return [...about(timeline.filter((one) => one.client === null), ''), ...about(notes, `client ${client}: `)].sort((a, b) => a.at - b.at)
    .map(({ at: then, text, who }) => `      ${clock(then - began)}  ${who}${text}`).join('\n');
}

export { clock };
