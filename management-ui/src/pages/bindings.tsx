// Bindings from or to one thing: a table, and the form for another.

import { useState } from 'preact/hooks';
import { send, url } from '../api/client.ts';
import type { Binding } from '../api/types.ts';
import { shown } from '../lib/format.ts';
import { href } from '../state/address.ts';
import { refresh } from '../state/poll.ts';
import { may } from '../state/session.ts';
import { ask, Dialog } from '../ui/dialog.tsx';
import { argumentsOf, Form, type Field } from '../ui/form.tsx';
import { Whole } from '../ui/list.tsx';
import { Name } from '../ui/name.tsx';
import { Empty } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { tell } from '../ui/toast.tsx';
import { ArgumentList } from './parts.tsx';

export interface End {
  kind: 'queue' | 'exchange';
  name: string;
}

interface Props {
  of: Binding[];
  vhost: string;
  /** What the bindings lead to, or from: the other end is in the table. */
  to?: End;
  from?: string;
}

export function Bindings({ of, vhost, to, from }: Props) {
  const [isAdding, setAdding] = useState(false);
  // Whoever binds writes to the destination and reads from the source.
  const canAdd = to ? may('write', vhost, to.name) && from === undefined : may('read', vhost, from);
  const isDefault = from === '';
  const add = canAdd && !isDefault && <button type="button" onClick={() => setAdding(true)}>New binding</button>;
  return (
    <>
      <Whole id={to ? 'bindings-to' : 'bindings-from'} label={to ? 'Bindings to it' : 'Bindings from it'} columns={columns(vhost, to)} rows={of} order={{ by: 'other', isDown: false }}
        rowKey={(binding) => `${binding.source} ${binding.destination_type} ${binding.destination} ${binding.properties_key}`} tools={add || undefined} isBare
        empty={<Empty>{to ? 'Nothing is bound to it: only the default exchange leads here.' : 'Nothing is bound to it: what is published here goes nowhere, unless there is an alternate exchange.'}</Empty>} />
      {isAdding && (
        <Dialog title="New binding" side onClose={() => setAdding(false)}>
          <NewBinding vhost={vhost} to={to} from={from} onDone={() => setAdding(false)} />
        </Dialog>
      )}
    </>
  );
}

function columns(vhost: string, to: End | undefined): Column<Binding>[] {
  const other: Column<Binding> = to
    ? { id: 'other', title: 'From exchange', phone: 'name', value: (binding) => binding.source,
        cell: (binding) => <Name of={binding.source} fallback="(default exchange)" href={href('exchanges', vhost, binding.source)} copy={false} /> }
    : { id: 'other', title: 'To', phone: 'name', value: (binding) => binding.destination,
        cell: (binding) => <><span class="muted">{binding.destination_type}&nbsp;</span><Name of={binding.destination} href={href(`${binding.destination_type}s`, vhost, binding.destination)} copy={false} /></> };
  return [
    other,
    { id: 'key', title: 'Binding key', phone: 'line', value: (binding) => binding.routing_key, cell: (binding) => <span class="mono">{shown(binding.routing_key) || '–'}</span> },
    { id: 'arguments', title: 'Arguments', value: (binding) => JSON.stringify(binding.arguments), cell: (binding) => <ArgumentList of={binding.arguments} /> },
    { id: 'unbind', title: 'Remove', width: 14, phone: 'state', cell: (binding) =>
      binding.source === '' || !may('write', vhost, binding.destination) ? null : <button type="button" class="plain small" onClick={() => unbind(binding)}>Unbind…</button> },
  ];
}

function unbind(binding: Binding): void {
  const { vhost, source, destination, destination_type: kind, routing_key: key } = binding;
  ask({
    title: `Unbind ${destination}?`,
    text: <p>What {source} gets with the binding key <code>{key || '(none)'}</code> will no longer go to the {kind} {destination}, unless another binding leads there.</p>,
    button: `Unbind ${destination}`,
    run: async () => {
      await send('DELETE', `${url`/bindings/${vhost}/e/${source}`}/${kind[0]}/${url`${destination}/${binding.properties_key}`}`);
      refresh();
      tell(`${destination} was unbound from ${source}`);
    },
  });
}

function NewBinding({ vhost, to, from, onDone }: { vhost: string; to?: End; from?: string; onDone: () => void }) {
  const fields: Field[] = [
    ...(to ? [{ name: 'source', label: 'From exchange', isRequired: true }] : [
      { name: 'kind', label: 'To a', kind: 'select' as const, options: ['queue', 'exchange'] },
      { name: 'destination', label: 'Name', isRequired: true },
    ]),
    { name: 'routing_key', label: 'Binding key', help: 'For a topic exchange * is one word and # any number of them.' },
    { name: 'arguments', label: 'Arguments', kind: 'arguments' },
  ];
  return (
    <Form fields={fields} button="Bind" onCancel={onDone} submit={async (values) => {
      const source = from ?? values.source ?? '';
      const end = to ?? { kind: values.kind === 'exchange' ? 'exchange' : 'queue', name: values.destination ?? '' };
      await send('POST', `${url`/bindings/${vhost}/e/${source}`}/${end.kind[0]}/${encodeURIComponent(end.name)}`, {
        routing_key: values.routing_key, arguments: argumentsOf(values.arguments),
      });
      refresh();
      tell(`${end.name} is bound to ${source}`);
      onDone();
    }} />
  );
}
