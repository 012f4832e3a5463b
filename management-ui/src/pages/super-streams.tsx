// Super streams: streams that are one for their clients, each message being in one of the partitions. Made, given partitions,
// deleted.

import { useState } from 'preact/hooks';
import { send, url } from '../api/client.ts';
import type { SuperStream } from '../api/types.ts';
import { count, counted } from '../lib/format.ts';
import { href } from '../state/address.ts';
import { refresh, usePoll } from '../state/poll.ts';
import { may, vhosts } from '../state/session.ts';
import { vhost as chosen } from '../state/settings.ts';
import { ask, Dialog } from '../ui/dialog.tsx';
import { argumentsOf, Form } from '../ui/form.tsx';
import { Whole } from '../ui/list.tsx';
import { Name } from '../ui/name.tsx';
import { Card, Empty, Failed, Loading } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { tell } from '../ui/toast.tsx';
import { hasManyVhosts, inVhost, useKnown } from './parts.tsx';

/** Partitions that are shown in a row. */
const SHOWN = 6;

function columns(onAdd: (one: SuperStream) => void): Column<SuperStream>[] {
  return [
    { id: 'name', title: 'Name', phone: 'name', value: (one) => one.name, cell: (one) => <Name of={one.name} href={href('exchanges', one.vhost, one.name)} /> },
    { id: 'vhost', title: 'vhost', width: 12, value: (one) => one.vhost, cell: (one) => one.vhost },
    { id: 'count', title: 'Partitions', width: 12, end: true, phone: 'figure', value: (one) => one.partitions.length, cell: (one) => count(one.partitions.length) },
    { id: 'partitions', title: 'Streams', width: 60, phone: 'line', value: (one) => one.partitions.map(({ name }) => name).join(' '), cell: (one) => (
      <>
        {one.partitions.slice(0, SHOWN).map(({ name, binding_key: key }) => <a key={name} class="apart" title={`Binding key ${key}`} href={href('queues', one.vhost, name)}>{name}</a>)}
        {one.partitions.length > SHOWN && <span class="muted">and {count(one.partitions.length - SHOWN)} more</span>}
      </>
    ) },
    { id: 'change', title: 'Change', width: 28, phone: 'line', cell: (one) => may('configure', one.vhost, one.name) && (
      <>
        <button type="button" class="plain small" onClick={() => onAdd(one)}>Add partition…</button>
        <button type="button" class="plain small" onClick={() => remove(one)}>Delete…</button>
      </>
    ) },
  ];
}

export function SuperStreams() {
  const [open, setOpen] = useState<SuperStream | 'new'>();
  const { data, error } = usePoll<SuperStream[]>(inVhost('/stream/super-streams'));
  const close = () => setOpen(undefined);
  const add = vhosts.value.some((each) => may('configure', each)) && <button type="button" onClick={() => setOpen('new')}>New super stream</button>;
  const shown = columns(setOpen);
  return (
    <Card>
      {error && !data && <Failed what="The super streams" error={error} />}
      {data ? (
        <Whole id="super-streams" label="Super streams" columns={hasManyVhosts() ? shown : shown.filter(({ id }) => id !== 'vhost')} rows={data} rowKey={(one) => `${one.vhost} ${one.name}`}
          order={{ by: 'name', isDown: false }} isBare tools={data.length > 0 && add}
          empty={<Empty action={add}>No super streams. One is several streams that clients take for one: what is published goes to a partition by its routing key.</Empty>} />
      ) : !error && <Loading />}
      {open === 'new' && <Dialog title="New super stream" side onClose={close}><NewSuperStream onDone={close} /></Dialog>}
      {open && open !== 'new' && <Dialog title={`Another partition of ${open.name}`} onClose={close}><AddPartition of={open} onDone={close} /></Dialog>}
    </Card>
  );
}

function NewSuperStream({ onDone }: { onDone: () => void }) {
  const known = useKnown();
  return (
    <Form
      button="Add super stream"
      onCancel={onDone}
      fields={[
        { name: 'vhost', label: 'vhost', kind: 'select', options: vhosts.value.filter((each) => may('configure', each)), value: chosen.value || undefined },
        { name: 'name', label: 'Name', isRequired: true },
        { name: 'by', label: 'Partitions', kind: 'select', options: [{ value: 'count', title: 'a number of them' }, { value: 'keys', title: 'one for each binding key' }] },
        { name: 'count', label: 'How many', kind: 'number', value: '3', isRequired: true, when: (values) => values.by === 'count' },
        { name: 'keys', label: 'Binding keys', isRequired: true, help: 'With commas between them.', when: (values) => values.by === 'keys' },
        { name: 'arguments', label: 'Arguments of each stream', kind: 'arguments', known: known?.queue.filter(({ on }) => !on || on.includes('stream')) },
      ]}
      submit={async (values) => {
        if (values.by === 'count' && !/^\d+$/.test(values.count ?? '')) throw new Error('How many partitions has to be a whole number');
        const partitions = values.by === 'keys' ? { 'binding-keys': values.keys } : { partitions: Number(values.count) };
        await send('PUT', url`/stream/super-streams/${values.vhost ?? ''}/${values.name ?? ''}`, { ...partitions, arguments: argumentsOf(values.arguments) });
        refresh();
        tell(`Super stream ${values.name} is there`);
        onDone();
      }}
    />
  );
}

function AddPartition({ of, onDone }: { of: SuperStream; onDone: () => void }) {
  return (
    <Form
      button="Add partition"
      onCancel={onDone}
      fields={[{ name: 'binding_key', label: 'Binding key', isRequired: true, value: String(of.partitions.length), help: 'Clients that choose a partition by a hash choose among one more from now on: the same key may go to another partition than before.' }]}
      submit={async ({ binding_key: key = '' }) => {
        await send('POST', url`/stream/super-streams/${of.vhost}/${of.name}/partitions`, { 'binding-key': key });
        refresh();
        tell(`${of.name} has another partition`);
        onDone();
      }}
    />
  );
}

function remove(of: SuperStream): void {
  ask({
    title: `Delete ${of.name}?`,
    text: <p>The super stream {of.name} of {of.vhost} will be gone, with {counted(of.partitions.length, 'stream')} and all that is in them. This cannot be undone.</p>,
    button: `Delete ${of.name}`,
    type: of.name,
    run: async () => {
      await send('DELETE', url`/stream/super-streams/${of.vhost}/${of.name}`);
      refresh();
      tell(`${of.name} was deleted`);
    },
  });
}
