// Who reads a stream under a name, connected or not, and how far each has come; and who writes to it by the stream
// protocol.

import { send, url } from '../api/client.ts';
import type { Queue, StreamGroup, StreamPublisher } from '../api/types.ts';
import { count, counted } from '../lib/format.ts';
import { href } from '../state/address.ts';
import { refresh, usePoll } from '../state/poll.ts';
import { Badge } from '../ui/badge.tsx';
import { ask } from '../ui/dialog.tsx';
import { Whole } from '../ui/list.tsx';
import { Name } from '../ui/name.tsx';
import { Card, Empty, Failed, Loading } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { tell } from '../ui/toast.tsx';

/** A group as it reads this stream. */
interface Reader {
  group: StreamGroup;
  name: string;
  partition: StreamGroup['partitions'][number];
}

const READERS: Column<Reader>[] = [
  { id: 'name', title: 'Group', phone: 'name', value: (reader) => reader.name, cell: (reader) => <Name of={reader.name} /> },
  { id: 'state', title: 'State', width: 12, phone: 'state', value: (reader) => reader.group.state,
    cell: ({ group }) => <Badge level={group.state === 'active' ? 'ok' : 'off'}>{group.state}</Badge> },
  { id: 'members', title: 'Members', width: 12, end: true, value: ({ partition }) => partition.members.length, cell: ({ partition }) => count(partition.members.length) },
  { id: 'stored', title: 'Stored offset', width: 15, end: true, phone: 'figure', value: ({ partition }) => partition.stored_offset ?? -1,
    cell: ({ partition }) => (partition.stored_offset === null ? <span class="muted">none</span> : count(partition.stored_offset)) },
  { id: 'lag', title: 'Lag', width: 12, end: true, phone: 'figure', value: ({ partition }) => partition.lag, cell: ({ partition }) => count(partition.lag) },
  { id: 'change', title: 'Change', width: 18, value: () => 0, cell: (reader) => <button type="button" class="plain small" onClick={() => reset(reader)}>Set offset…</button> },
];

const PUBLISHERS: Column<StreamPublisher>[] = [
  { id: 'reference', title: 'Publisher', phone: 'name', value: (publisher) => publisher.reference,
    cell: (publisher) => (publisher.reference ? <Name of={publisher.reference} /> : <span class="muted">without a name</span>) },
  { id: 'connection', title: 'Connection', value: (publisher) => publisher.connection_details.name,
    cell: ({ connection_details: { name } }) => <Name of={name} href={href('connections', name)} copy={false} /> },
  { id: 'published', title: 'Published', width: 14, end: true, phone: 'figure', value: (publisher) => publisher.published, cell: (publisher) => count(publisher.published) },
  { id: 'confirmed', title: 'Confirmed', width: 14, end: true, phone: 'figure', value: (publisher) => publisher.confirmed, cell: (publisher) => count(publisher.confirmed) },
  { id: 'errored', title: 'Refused', width: 12, end: true, value: (publisher) => publisher.errored, cell: (publisher) => count(publisher.errored) },
];

/** Asks where a group is to go on in this stream. */
function reset({ group, name, partition }: Reader): void {
  const isRead = partition.members.some((member) => member.activity_status !== 'waiting');
  ask({
    title: `Set the offset of ${name} in ${partition.stream}?`,
    text: (
      <>
        <p>first, last or next name the message that is read next, by clients that go on behind the stored offset; a number is stored as it is. The stream has offsets {count(partition.first_offset)} to {count(partition.end_offset)}.</p>
        {isRead && <p>{counted(partition.members.length, 'member')} of the group read now: the node refuses this until they have gone.</p>}
      </>
    ),
    button: 'Set offset',
    ask: 'first, last, next or an offset',
    run: async (text) => {
      const wish = text.trim();
      const offset = /^\d+$/.test(wish) ? Number(wish) : wish;
      await send('POST', url`/stream/groups/${group.vhost}/${name}/reset`, { stream: partition.stream, offset });
      refresh();
      tell(`The offset of ${name} in ${partition.stream} is set`);
    },
  });
}

export function Readers({ queue }: { queue: Queue }) {
  const { data: groups, error } = usePoll<StreamGroup[]>(url`/stream/groups/${queue.vhost}`);
  const { data: publishers } = usePoll<StreamPublisher[]>(url`/stream/publishers/${queue.vhost}/${queue.name}`);
  if (error && !groups) return <Failed what="The groups" error={error} />;
  const readers = (groups ?? []).flatMap((group) => {
    const partition = group.partitions.find((one) => one.stream === queue.name);
    return partition ? [{ group, name: group.name, partition }] : [];
  });
  return (
    <>
      <Card title="Groups">
        {groups ? (
          <Whole id="stream-groups" label="Groups" columns={READERS} rows={readers} order={{ by: 'name', isDown: false }} isBare
            rowKey={(reader) => reader.name} empty={<Empty>Nobody reads this stream under a name, or has stored an offset in it.</Empty>} />
        ) : <Loading />}
      </Card>
      <Card title="Publishers">
        <Whole id="stream-publishers" label="Publishers" columns={PUBLISHERS} rows={publishers ?? []} order={{ by: 'reference', isDown: false }} isBare
          rowKey={(publisher) => `${publisher.connection_details.name} ${publisher.publisher_id}`}
          empty={<Empty>Nobody publishes to it by the stream protocol now. Publishers over AMQP are channels.</Empty>} />
      </Card>
    </>
  );
}
