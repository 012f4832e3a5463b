// Consumers of a queue or a channel.

import type { Consumer } from '../api/types.ts';
import { count } from '../lib/format.ts';
import { href } from '../state/address.ts';
import { Badge, Tag } from '../ui/badge.tsx';
import { Whole } from '../ui/list.tsx';
import { Name } from '../ui/name.tsx';
import { Empty } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { ArgumentList } from './parts.tsx';

const TAG: Column<Consumer> = { id: 'tag', title: 'Consumer tag', phone: 'name', value: (consumer) => consumer.consumer_tag, cell: (consumer) => <Name of={consumer.consumer_tag} /> };
const CHANNEL: Column<Consumer> = {
  id: 'channel', title: 'Channel', value: (consumer) => consumer.channel_details?.name,
  cell: ({ channel_details: channel }) => channel?.name ? <Name of={channel.name} href={href('channels', channel.name)} copy={false} /> : '–',
};
const QUEUE: Column<Consumer> = {
  id: 'queue', title: 'Queue', value: (consumer) => consumer.queue.name,
  cell: ({ queue }) => <Name of={queue.name} href={href('queues', queue.vhost, queue.name)} copy={false} />,
};
const REST: Column<Consumer>[] = [
  { id: 'active', title: 'State', width: 18, phone: 'state', value: (consumer) => consumer.activity_status,
    cell: (consumer) => <Badge level={consumer.active ? 'ok' : 'off'}>{(consumer.activity_status ?? (consumer.active ? 'up' : 'waiting')).replaceAll('_', ' ')}</Badge> },
  { id: 'ack', title: 'Acks', width: 12, phone: 'figure', value: (consumer) => consumer.ack_required, cell: (consumer) => (consumer.ack_required ? 'by hand' : 'none') },
  { id: 'prefetch', title: 'Prefetch', width: 12, end: true, phone: 'figure', value: (consumer) => consumer.prefetch_count,
    cell: (consumer) => (consumer.prefetch_count === 0 ? 'unlimited' : count(consumer.prefetch_count)) },
  { id: 'exclusive', title: 'Exclusive', width: 12, value: (consumer) => consumer.exclusive, cell: (consumer) => (consumer.exclusive ? <Tag>exclusive</Tag> : '') },
  { id: 'arguments', title: 'Arguments', value: (consumer) => JSON.stringify(consumer.arguments), cell: (consumer) => <ArgumentList of={consumer.arguments} /> },
];

/** `isOfChannel`: which queue each takes from is told, instead of which channel it is on. */
export function Consumers({ of, empty, isOfChannel }: { of: Consumer[]; empty: string; isOfChannel?: boolean }) {
  const columns = [TAG, isOfChannel ? QUEUE : CHANNEL, ...REST];
  return (
    <Whole id={isOfChannel ? 'channel-consumers' : 'consumers'} label="Consumers" columns={columns} rows={of} order={{ by: 'tag', isDown: false }} isBare
      rowKey={(consumer) => `${consumer.channel_details?.name} ${consumer.consumer_tag} ${consumer.queue.name}`} empty={<Empty>{empty}</Empty>} />
  );
}
