// All channels: what they hold unacked, and what waits for a confirm.

import { url } from '../api/client.ts';
import type { Channel } from '../api/types.ts';
import { count, rate } from '../lib/format.ts';
import { href } from '../state/address.ts';
import { vhost } from '../state/settings.ts';
import { Badge, Tag } from '../ui/badge.tsx';
import { List } from '../ui/list.tsx';
import { Name } from '../ui/name.tsx';
import { Empty } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { peer, hasManyVhosts } from './parts.tsx';

export const CHANNELS: Column<Channel>[] = [
  { id: 'name', title: 'Channel', sort: 'name', phone: 'name', value: (channel) => channel.name, cell: (channel) => <Name of={channel.name} text={`${peer(channel.connection_details)} (${channel.number})`} href={href('channels', channel.name)} /> },
  { id: 'vhost', title: 'vhost', sort: 'vhost', width: 11, value: (channel) => channel.vhost, cell: (channel) => channel.vhost },
  { id: 'user', title: 'User', sort: 'user', width: 11, value: (channel) => channel.user, cell: (channel) => channel.user },
  { id: 'node', title: 'Node', sort: 'node', width: 20, isHidden: true, value: (channel) => channel.node, cell: (channel) => channel.node },
  { id: 'mode', title: 'Mode', width: 13, value: mode, cell: (channel) => (mode(channel) ? <Tag>{mode(channel)}</Tag> : '') },
  { id: 'state', title: 'State', sort: 'state', width: 12, phone: 'state', value: (channel) => channel.state, cell: (channel) => <Badge level={channel.state === 'running' ? 'ok' : 'off'}>{channel.state}</Badge> },
  { id: 'consumers', title: 'Consumers', sort: 'consumer_count', width: 12, end: true, phone: 'figure', value: (channel) => channel.consumer_count, cell: (channel) => count(channel.consumer_count) },
  { id: 'unacked', title: 'Unacked', sort: 'messages_unacknowledged', width: 11, end: true, phone: 'figure', value: (channel) => channel.messages_unacknowledged, cell: (channel) => count(channel.messages_unacknowledged) },
  { id: 'prefetch', title: 'Prefetch', sort: 'prefetch_count', width: 12, end: true, value: (channel) => channel.prefetch_count, cell: (channel) => prefetch(channel) },
  { id: 'unconfirmed', title: 'Unconfirmed', sort: 'messages_unconfirmed', width: 13, end: true, phone: 'figure', value: (channel) => channel.messages_unconfirmed, cell: (channel) => count(channel.messages_unconfirmed) },
  { id: 'publish', title: 'Published', sort: 'message_stats.publish_details.rate', width: 11, end: true, value: (channel) => channel.message_stats?.publish_details?.rate, cell: (channel) => rate(channel.message_stats?.publish_details?.rate) },
  { id: 'deliver', title: 'Delivered', sort: 'message_stats.deliver_get_details.rate', width: 11, end: true, value: (channel) => channel.message_stats?.deliver_get_details?.rate, cell: (channel) => rate(channel.message_stats?.deliver_get_details?.rate) },
  { id: 'ack', title: 'Acks', sort: 'message_stats.ack_details.rate', width: 10, end: true, value: (channel) => channel.message_stats?.ack_details?.rate, cell: (channel) => rate(channel.message_stats?.ack_details?.rate) },
];

/** Whether publishes are confirmed or in transactions. */
export function mode(channel: Channel): string {
  return channel.confirm ? 'confirms' : channel.transactional ? 'transactions' : '';
}

/** The limit that channels of new consumers begin with, and that of all together. */
export function prefetch({ prefetch_count: each, global_prefetch_count: all }: Channel): string {
  if (each === undefined && all === undefined) return '–';
  return [each ? count(each) : '', all ? `${count(all)} together` : ''].filter(Boolean).join(', ') || 'unlimited';
}

export function Channels() {
  return (
    <div class="page">
      <div class="title"><h1>Channels</h1></div>
      <List
        of="channels"
        path={vhost.value ? url`/vhosts/${vhost.value}/channels` : '/channels'}
        columns={hasManyVhosts() ? CHANNELS : CHANNELS.filter((column) => column.id !== 'vhost')}
        rowKey={(channel) => channel.name}
        order={{ by: 'name', isDown: false }}
        tokens="user:guest, unacked>10"
        empty={<Empty>No channel is open: nobody is connected, or they do nothing yet.</Empty>}
      />
    </div>
  );
}
