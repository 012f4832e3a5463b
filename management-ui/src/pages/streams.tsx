// All streams: who leads each, how much it holds, and how far its readers are behind. Beside them who reads and writes by the
// stream protocol.

import { useState } from 'preact/hooks';
import type { Connection, Queue, StreamGroup, StreamPublisher } from '../api/types.ts';
import { bytes, count, rate } from '../lib/format.ts';
import { href } from '../state/address.ts';
import { usePoll } from '../state/poll.ts';
import { may, vhosts } from '../state/session.ts';
import { useRange, vhost } from '../state/settings.ts';
import { Badge } from '../ui/badge.tsx';
import { Spark } from '../ui/chart.tsx';
import { Dialog } from '../ui/dialog.tsx';
import { List, Whole } from '../ui/list.tsx';
import { Name } from '../ui/name.tsx';
import { Card, Empty, Failed, Loading } from '../ui/states.tsx';
import { Tabs } from '../ui/tabs.tsx';
import type { Column } from '../ui/table.tsx';
import { close, COLUMNS as CONNECTIONS } from './connections.tsx';
import { Health } from './health.tsx';
import { hasManyVhosts, inVhost } from './parts.tsx';
import { NewQueue } from './queues.tsx';
import { Groups, Publishers, Subscriptions } from './readers.tsx';
import { SuperStreams } from './super-streams.tsx';

/** What is asked about readers and publishers of all streams, in milliseconds. */
const RARELY = 15_000;

/** How many publishers a stream has, and how far the last of its groups is behind. */
interface Around {
  publishers: number;
  lag?: number;
}

export function Streams() {
  return (
    <div class="page">
      <div class="title"><h1>Streams</h1><div class="tools"><New /></div></div>
      <Tabs label="Streams" isOfLists of={[
        { id: 'streams', title: 'Streams', content: () => <AllStreams /> },
        { id: 'groups', title: 'Groups', content: () => <Card><Groups /></Card> },
        { id: 'subscriptions', title: 'Subscriptions', content: () => <Card><Subscriptions path={inVhost('/stream/consumers')} /></Card> },
        { id: 'publishers', title: 'Publishers', content: () => <Card><Publishers path={inVhost('/stream/publishers')} /></Card> },
        { id: 'super', title: 'Super streams', content: () => <SuperStreams /> },
        { id: 'connections', title: 'Connections', content: () => <Connections /> },
      ]} />
    </div>
  );
}

/** RabbitMQ's address of those who are connected. */
export function StreamConnections() {
  return (
    <div class="page">
      <div class="title"><h1>Stream connections</h1><div class="tools"><a class="button" href={href('streams')}>All streams</a></div></div>
      <Connections />
    </div>
  );
}

function New() {
  const [isAdding, setAdding] = useState(false);
  if (!vhosts.value.some((each) => may('configure', each))) return null;
  return (
    <>
      <button type="button" onClick={() => setAdding(true)}>New stream</button>
      {isAdding && <Dialog title="New stream" side onClose={() => setAdding(false)}><NewQueue type="stream" onDone={() => setAdding(false)} /></Dialog>}
    </>
  );
}

function columns(around: Map<string, Around> | undefined): Column<Queue>[] {
  const of = (stream: Queue) => around && (around.get(`${stream.vhost} ${stream.name}`) ?? { publishers: 0 });
  const members = ({ members: all = [], online = [] }: Queue) => `${all.filter((node) => online.includes(node)).length} of ${all.length}`;
  return [
    { id: 'name', title: 'Name', sort: 'name', phone: 'name', value: (stream) => stream.name, cell: (stream) => <Name of={stream.name} href={href('queues', stream.vhost, stream.name)} /> },
    { id: 'vhost', title: 'vhost', sort: 'vhost', width: 11, phone: 'line', value: (stream) => stream.vhost, cell: (stream) => stream.vhost },
    { id: 'health', title: 'Health', sort: 'health', width: 13, phone: 'state', value: (stream) => stream.health ?? stream.state, cell: (stream) => <Health of={stream} /> },
    { id: 'leader', title: 'Leader', sort: 'node', width: 16, value: (stream) => stream.leader, cell: (stream) => stream.leader ?? '–' },
    { id: 'members', title: 'Members', width: 10, value: members, cell: (stream) => (
      stream.members?.every((node) => stream.online?.includes(node)) ? members(stream) : <Badge level="warn">{members(stream)}</Badge>) },
    { id: 'messages', title: 'Messages', sort: 'messages', width: 11, end: true, phone: 'figure', value: (stream) => stream.messages, cell: (stream) => count(stream.messages) },
    { id: 'bytes', title: 'Size', sort: 'bytes', width: 10, end: true, phone: 'figure', value: (stream) => stream.bytes, cell: (stream) => <span title={`${count(stream.bytes)} bytes, as its leader keeps it`}>{bytes(stream.bytes)}</span> },
    { id: 'first', title: 'First offset', sort: 'first_offset', width: 13, end: true, isHidden: true, value: (stream) => stream.first_offset, cell: (stream) => (stream.messages ? count(stream.first_offset) : '–') },
    { id: 'last', title: 'Last offset', sort: 'next_offset', width: 13, end: true, value: last, cell: (stream) => count(last(stream)) },
    { id: 'in', title: 'In', sort: 'message_stats.publish_details.rate', width: 10, end: true, phone: 'figure', value: (stream) => stream.message_stats?.publish_details?.rate,
      cell: (stream) => rate(stream.message_stats?.publish_details?.rate) },
    { id: 'out', title: 'Out', sort: 'message_stats.deliver_get_details.rate', width: 10, end: true, isHidden: true, value: (stream) => stream.message_stats?.deliver_get_details?.rate,
      cell: (stream) => rate(stream.message_stats?.deliver_get_details?.rate) },
    { id: 'publishers', title: 'Publishers', width: 11, end: true, value: (stream) => of(stream)?.publishers, cell: (stream) => <span title="By the stream protocol; those over AMQP are channels">{count(of(stream)?.publishers)}</span> },
    { id: 'consumers', title: 'Consumers', sort: 'consumers', width: 11, end: true, value: (stream) => stream.consumers, cell: (stream) => count(stream.consumers) },
    { id: 'lag', title: 'Lag', width: 10, end: true, phone: 'figure', value: (stream) => of(stream)?.lag,
      cell: (stream) => <span title="Messages that the slowest of its groups has yet to read">{count(of(stream)?.lag)}</span> },
    { id: 'trend', title: 'Trend', width: 13, isHidden: true, cell: (stream) => <Spark values={stream.trend?.ready ?? []} label={`Messages of ${stream.name} over time`} /> },
  ];
}

/** The offset of the newest message. */
function last(stream: Queue): number | undefined {
  return stream.next_offset === undefined || !stream.messages ? undefined : stream.next_offset - 1;
}

function AllStreams() {
  const around = useAround();
  const all = columns(around);
  return (
    <List
      of="streams"
      path={inVhost('/queues')}
      only="type:stream"
      columns={hasManyVhosts() ? all : all.filter((column) => column.id !== 'vhost')}
      rowKey={(stream) => `${stream.vhost} ${stream.name}`}
      order={{ by: 'name', isDown: false }}
      ask={{ trend: useRange(), facets: 'health' }}
      facets={[{ of: 'health', value: 'unavailable', title: 'Unavailable' }, { of: 'health', value: 'damaged', title: 'Damaged' }]}
      tokens="messages>1000, consumers=0"
      empty={<Empty>No streams{vhost.value ? ` in ${vhost.value}` : ''}. A stream keeps its messages when they are read: clients declare one as a queue of the type stream, or you do.</Empty>}
    />
  );
}

/** By vhost and name of the stream; nothing until both are known. */
function useAround(): Map<string, Around> | undefined {
  const { data: publishers } = usePoll<Pick<StreamPublisher, 'queue'>[]>(`${inVhost('/stream/publishers')}?columns=queue`, { every: RARELY });
  const { data: groups } = usePoll<StreamGroup[]>(`${inVhost('/stream/groups')}?columns=vhost,partitions`, { every: RARELY });
  if (!publishers || !groups) return undefined;
  const around = new Map<string, Around>();
  const at = (of: string, name: string) => {
    const key = `${of} ${name}`;
    const found = around.get(key) ?? { publishers: 0 };
    around.set(key, found);
    return found;
  };
  for (const { queue } of publishers) at(queue.vhost, queue.name).publishers += 1;
  for (const group of groups) {
    for (const { stream, lag } of group.partitions) {
      const found = at(group.vhost, stream);
      found.lag = Math.max(found.lag ?? 0, lag);
    }
  }
  return around;
}

function Connections() {
  const { data, error } = usePoll<Connection[]>(inVhost('/stream/connections'));
  const shown = CONNECTIONS.filter((column) => column.id !== 'channels' && (column.id !== 'vhost' || hasManyVhosts()))
    .map((column): Column<Connection> => (column.id === 'name' ? {
      ...column, cell: (connection) => <Name of={connection.user_provided_name ?? connection.name} href={href('stream', 'connections', connection.vhost, connection.name)} />,
    } : column));
  return (
    <Card>
      {error && !data && <Failed what="The list of connections" error={error} />}
      {data ? (
        <Whole id="stream-connections" label="Stream connections" columns={shown} rows={data} rowKey={(connection) => connection.name} order={{ by: 'name', isDown: false }}
          chosen={(chosen, clear) => <button type="button" onClick={() => close(chosen, clear)}>Close…</button>}
          empty={<Empty>Nobody is connected by the stream protocol. Its usual port is 5552.</Empty>} />
      ) : !error && <Loading />}
    </Card>
  );
}
