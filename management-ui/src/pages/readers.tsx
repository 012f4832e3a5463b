// Who reads streams and who writes to them by the stream protocol: groups of readers under one name, connected or not, with
// how far each has come and where it is to go on; subscriptions; publishers.

import { useState } from 'preact/hooks';
import { send, url } from '../api/client.ts';
import type { Queue, StreamGroup, StreamPublisher, StreamSubscription } from '../api/types.ts';
import { count, counted, momentOf } from '../lib/format.ts';
import { href } from '../state/address.ts';
import { refresh, usePoll, type Polled } from '../state/poll.ts';
import { may } from '../state/session.ts';
import { utc } from '../state/settings.ts';
import { Badge } from '../ui/badge.tsx';
import { ask, Dialog } from '../ui/dialog.tsx';
import { Form, type Values } from '../ui/form.tsx';
import { Whole } from '../ui/list.tsx';
import { Name } from '../ui/name.tsx';
import { Card, Empty, Failed, Loading } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { tell } from '../ui/toast.tsx';
import { hasManyVhosts, inVhost } from './parts.tsx';

/** A group as it reads one stream. */
interface Reader {
  group: StreamGroup;
  name: string;
  partition: StreamGroup['partitions'][number];
}

/** What stands in a column of every list here. */
const vhostColumn = <T,>(of: (row: T) => string): Column<T> => ({ id: 'vhost', title: 'vhost', width: 12, value: of, cell: of });
const streamColumn = <T,>(vhost: (row: T) => string, name: (row: T) => string): Column<T> => ({
  id: 'stream', title: 'Stream', phone: 'line', value: name,
  cell: (row) => <Name of={name(row)} href={href('queues', vhost(row), name(row))} copy={false} />,
});
const connectionColumn = <T extends { queue: { vhost: string }; connection_details: { name: string } }>(): Column<T> => ({
  id: 'connection', title: 'Connection', phone: 'line', value: (row) => row.connection_details.name,
  cell: ({ queue, connection_details: { name } }) => <Name of={name} href={href('stream', 'connections', queue.vhost, name)} copy={false} />,
});

function readerColumns(onSet: (reader: Reader) => void): Column<Reader>[] {
  return [
    { id: 'name', title: 'Group', phone: 'name', value: (reader) => reader.name, cell: (reader) => <Name of={reader.name} /> },
    streamColumn(({ group }) => group.vhost, ({ partition }) => partition.stream),
    vhostColumn(({ group }) => group.vhost),
    { id: 'state', title: 'State', width: 11, phone: 'state', value: (reader) => reader.group.state,
      cell: ({ group }) => <Badge level={group.state === 'active' ? 'ok' : 'off'}>{group.state}</Badge> },
    { id: 'members', title: 'Members', width: 11, end: true, phone: 'figure', value: ({ partition }) => partition.members.length, cell: ({ partition }) => count(partition.members.length) },
    { id: 'stored', title: 'Stored offset', width: 15, end: true, phone: 'figure', value: ({ partition }) => partition.stored_offset ?? -1,
      cell: ({ partition }) => (partition.stored_offset === null ? <span class="muted">none</span> : count(partition.stored_offset)) },
    { id: 'lag', title: 'Lag', width: 11, end: true, phone: 'figure', value: ({ partition }) => partition.lag, cell: ({ partition }) => count(partition.lag) },
    { id: 'change', title: 'Change', width: 27, phone: 'line', cell: (reader) => may('read', reader.group.vhost, reader.partition.stream) && (
      <>
        <button type="button" class="plain small" onClick={() => onSet(reader)}>Set offset…</button>
        <button type="button" class="plain small" onClick={() => forget(reader)}>Forget…</button>
      </>
    ) },
  ];
}

const PUBLISHERS: Column<StreamPublisher>[] = [
  { id: 'reference', title: 'Publisher', phone: 'name', value: (publisher) => publisher.reference,
    cell: (publisher) => (publisher.reference ? <Name of={publisher.reference} /> : <span class="muted">without a name</span>) },
  streamColumn(({ queue }) => queue.vhost, ({ queue }) => queue.name),
  vhostColumn(({ queue }) => queue.vhost),
  connectionColumn(),
  { id: 'published', title: 'Published', width: 14, end: true, phone: 'figure', value: (publisher) => publisher.published, cell: (publisher) => count(publisher.published) },
  { id: 'confirmed', title: 'Confirmed', width: 14, end: true, phone: 'figure', value: (publisher) => publisher.confirmed, cell: (publisher) => count(publisher.confirmed) },
  { id: 'errored', title: 'Refused', width: 12, end: true, phone: 'figure', value: (publisher) => publisher.errored, cell: (publisher) => count(publisher.errored) },
];

const SUBSCRIPTIONS: Column<StreamSubscription>[] = [
  { id: 'name', title: 'Group', phone: 'name', value: (one) => one.properties.name,
    cell: (one) => (one.properties.name ? <Name of={one.properties.name} /> : <span class="muted">without a name</span>) },
  streamColumn(({ queue }) => queue.vhost, ({ queue }) => queue.name),
  vhostColumn(({ queue }) => queue.vhost),
  connectionColumn(),
  { id: 'state', title: 'State', width: 17, phone: 'state', value: (one) => one.activity_status,
    cell: (one) => <Badge level={one.active ? 'ok' : 'off'}>{one.activity_status.replaceAll('_', ' ')}</Badge> },
  { id: 'offset', title: 'Next offset', width: 14, end: true, phone: 'figure', value: (one) => one.offset, cell: (one) => count(one.offset) },
  { id: 'lag', title: 'Lag', width: 11, end: true, phone: 'figure', value: (one) => one.offset_lag, cell: (one) => count(one.offset_lag) },
  { id: 'consumed', title: 'Consumed', width: 13, end: true, phone: 'figure', value: (one) => one.consumed, cell: (one) => count(one.consumed) },
  { id: 'credits', title: 'Credit', width: 10, end: true, phone: 'figure', value: (one) => one.credits, cell: (one) => count(one.credits) },
];

/** Which columns: those that say the same of every row are left out. */
function shownColumns<T>(columns: Column<T>[], without: string[] = []): Column<T>[] {
  return columns.filter(({ id }) => !without.includes(id) && (id !== 'vhost' || (hasManyVhosts() && !without.includes('stream'))));
}

function forget({ group, name, partition }: Reader): void {
  const others = group.partitions.length - 1;
  ask({
    title: `Forget the offsets of ${name}?`,
    text: <p>What {name} has stored in {partition.stream}{others > 0 && ` and ${counted(others, 'other stream')}`} is forgotten: when it reads again it begins where its client says. The messages stay. The node refuses this while a member of the group reads.</p>,
    button: `Forget ${name}`,
    run: async () => {
      await send('DELETE', url`/stream/groups/${group.vhost}/${name}`);
      refresh();
      tell(`The offsets of ${name} are forgotten`);
    },
  });
}

/** Where a group is to go on in a stream. */
function SetOffset({ reader: { group, name, partition }, onDone }: { reader: Reader; onDone: () => void }) {
  const readers = partition.members.filter((member) => member.activity_status !== 'waiting').length;
  const body = (values: Values) => {
    const where = values.where === 'time' ? { timestamp: momentOf(values.time ?? '', utc.value) }
      : { offset: values.where === 'offset' ? wholeOffset(values.offset ?? '') : values.where };
    return { stream: partition.stream, ...where, ...(values.force === 'true' ? { force: true } : {}) };
  };
  return (
    <>
      <p class="note">{partition.stream} has {partition.first_offset === partition.end_offset ? 'no messages' : `offsets ${count(partition.first_offset)} to ${count(partition.end_offset - 1)}`}; {name} has stored {partition.stored_offset === null ? 'none' : count(partition.stored_offset)}. Clients go on behind the offset that is stored.</p>
      <Form
        button="Set offset"
        onCancel={onDone}
        fields={[
          { name: 'where', label: 'Read next', kind: 'select', options: [
            { value: 'first', title: 'the oldest message' }, { value: 'last', title: 'the newest chunk' }, { value: 'next', title: 'what comes from now on' },
            { value: 'time', title: 'what came since a time' }, { value: 'offset', title: 'behind an offset' },
          ] },
          { name: 'time', label: utc.value ? 'Since (UTC)' : 'Since', kind: 'time', isRequired: true, when: (values) => values.where === 'time' },
          { name: 'offset', label: 'Offset', kind: 'number', isRequired: true, help: 'The last one that counts as read.', when: (values) => values.where === 'offset' },
          { name: 'force', label: 'Even while a member reads', kind: 'check', help: `${counted(readers, 'member')} of the group read now. They go on where they are, and may store that again.`, when: () => readers > 0 },
        ]}
        submit={async (values) => {
          await send('POST', url`/stream/groups/${group.vhost}/${name}/reset`, body(values));
          refresh();
          tell(`The offset of ${name} in ${partition.stream} is set`);
          onDone();
        }}
      />
    </>
  );
}

function wholeOffset(text: string): number {
  if (!/^\d+$/.test(text.trim())) throw new Error('An offset is a whole number');
  return Number(text);
}

/** Groups with what each has yet to read; of one stream, or of all. */
export function Groups({ stream }: { stream?: Queue }) {
  const [setting, setSetting] = useState<Reader>();
  const { data, error } = usePoll<StreamGroup[]>(stream ? url`/stream/groups/${stream.vhost}` : inVhost('/stream/groups'));
  const rows = data?.flatMap((group) => group.partitions.filter((one) => !stream || one.stream === stream.name).map((partition) => ({ group, name: group.name, partition })));
  return (
    <>
      <Listed what="groups" rows={rows} error={error} columns={shownColumns(readerColumns(setSetting), stream && ['stream'])} order={{ by: 'lag', isDown: true }}
        rowKey={({ group, name, partition }) => `${group.vhost} ${name} ${partition.stream}`}
        empty={`Nobody reads ${stream ? 'this stream' : 'a stream'} under a name, or has stored an offset in it.`} />
      {setting && (
        <Dialog title={`Offset of ${setting.name} in ${setting.partition.stream}`} onClose={() => setSetting(undefined)}>
          <SetOffset reader={setting} onDone={() => setSetting(undefined)} />
        </Dialog>
      )}
    </>
  );
}

/** Publishers of the stream protocol; of one stream or connection, or all. */
export function Publishers({ path, without }: { path: string; without?: string[] }) {
  const { data, error } = usePoll<StreamPublisher[]>(path);
  return (
    <Listed what="publishers" rows={data} error={error} columns={shownColumns(PUBLISHERS, without)} order={{ by: 'reference', isDown: false }}
      rowKey={(publisher) => `${publisher.connection_details.name} ${publisher.publisher_id}`}
      empty="Nobody publishes by the stream protocol now. Publishers over AMQP are channels." />
  );
}

/** Subscriptions of the stream protocol; `of` chooses among them. */
export function Subscriptions({ path, without, of = () => true }: { path: string; without?: string[]; of?: (one: StreamSubscription) => boolean }) {
  const { data, error } = usePoll<StreamSubscription[]>(path);
  return (
    <Listed what="subscriptions" rows={data?.filter(of)} error={error} columns={shownColumns(SUBSCRIPTIONS, without)} order={{ by: 'lag', isDown: true }}
      rowKey={(one) => `${one.connection_details.name} ${one.subscription_id}`}
      empty="Nobody reads by the stream protocol now. Consumers over AMQP are on the page of their stream." />
  );
}

function Listed<T extends object>({ what, rows, error, columns, order, rowKey, empty }: {
  what: string; rows: T[] | undefined; error: Polled<T>['error']; columns: Column<T>[]; order: { by: string; isDown: boolean }; rowKey: (row: T) => string; empty: string;
}) {
  if (error && !rows) return <Failed what={`The list of ${what}`} error={error} />;
  if (!rows) return <Loading />;
  return <Whole id={`stream-${what}`} label={`Stream ${what}`} columns={columns} rows={rows} order={order} rowKey={rowKey} isBare={rows.length < 10} empty={<Empty>{empty}</Empty>} />;
}

/** All of one stream. */
export function Readers({ queue }: { queue: Queue }) {
  const ofStream = ['stream'];
  return (
    <>
      <Card title="Groups"><Groups stream={queue} /></Card>
      <Card title="Subscriptions">
        <Subscriptions path={url`/stream/consumers/${queue.vhost}`} without={ofStream} of={(one) => one.queue.name === queue.name} />
      </Card>
      <Card title="Publishers"><Publishers path={url`/stream/publishers/${queue.vhost}/${queue.name}`} without={ofStream} /></Card>
    </>
  );
}

/** What a connection of the stream protocol has instead of channels. */
export function OfConnection({ vhost: of, name }: { vhost: string; name: string }) {
  const without = ['connection', 'vhost'];
  return (
    <>
      <Card title="Publishers"><Publishers path={url`/stream/connections/${of}/${name}/publishers`} without={without} /></Card>
      <Card title="Subscriptions"><Subscriptions path={url`/stream/connections/${of}/${name}/consumers`} without={without} /></Card>
    </>
  );
}
