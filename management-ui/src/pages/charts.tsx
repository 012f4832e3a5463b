// The charts of lengths and rates, the same on every page. Where a node keeps no histories there is
// none.

import { query } from '../api/client.ts';
import type { Series } from '../api/types.ts';
import { bytes, count, short } from '../lib/format.ts';
import { usePoll } from '../state/poll.ts';
import { useRange } from '../state/settings.ts';
import { Chart, type Line } from '../ui/chart.tsx';
import { Failed } from '../ui/states.tsx';

const LENGTHS: Line[] = [
  { measure: 'ready', title: 'Ready', colour: 'ready', isFilled: true },
  { measure: 'unacked', title: 'Unacked', colour: 'unacked' },
];

const RATES: Line[] = [
  { measure: 'publish', title: 'Published', colour: 'publish' },
  { measure: 'confirm', title: 'Confirmed', colour: 'confirm' },
  { measure: 'deliver_get', title: 'Delivered or got', colour: 'deliver' },
  { measure: 'ack', title: 'Acknowledged', colour: 'ack' },
  { measure: 'redeliver', title: 'Redelivered', colour: 'redelivered' },
  { measure: 'return_unroutable', title: 'Returned', colour: 'unroutable' },
  { measure: 'drop_unroutable', title: 'Dropped', colour: 'get' },
];

const OCTETS: Line[] = [
  { measure: 'recv_oct', title: 'From client', colour: 'publish' },
  { measure: 'send_oct', title: 'To client', colour: 'deliver' },
];

const EXCHANGE: Line[] = [
  { measure: 'publish_in', title: 'In', colour: 'publish' },
  { measure: 'publish_out', title: 'Out', colour: 'deliver' },
];

interface Of {
  /** `queue:/:orders`, `cluster` */
  of: string;
}

export function Lengths({ of }: Of) {
  return <OverTime of={of} title="Messages in queues" lines={LENGTHS} format={count} />;
}

export function Rates({ of }: Of) {
  return <OverTime of={of} title="Messages per second" lines={RATES} format={short} />;
}

export function Octets({ of }: Of) {
  return <OverTime of={of} title="Bytes per second" lines={OCTETS} format={bytes} />;
}

export function Throughput({ of }: Of) {
  return <OverTime of={of} title="Messages per second" lines={EXCHANGE} format={short} />;
}

/** What the API calls a thing whose series are asked for; the names stand as they are. */
export function seriesOf(kind: string, ...names: string[]): string {
  return [kind, ...names].join(':');
}

function OverTime({ of, title, lines, format }: Of & { title: string; lines: Line[]; format: (value: number | null | undefined) => string }) {
  const measures = lines.map((line) => line.measure).join();
  const { data, error } = usePoll<Series>(`/series${query({ of, measures, age: useRange(), points: 300 })}`);
  if (error && !data) return error.isGone ? null : <Failed what={title} error={error} />;
  return <Chart title={title} lines={lines} series={data} format={format} isWhole={format === count} />;
}
