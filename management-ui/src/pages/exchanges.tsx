// All exchanges: what comes in, what goes out.

import { useState } from 'preact/hooks';
import { send, url } from '../api/client.ts';
import type { Exchange, Overview } from '../api/types.ts';
import { rate, shown } from '../lib/format.ts';
import { href } from '../state/address.ts';
import { refresh, usePoll } from '../state/poll.ts';
import { may, vhosts } from '../state/session.ts';
import { vhost } from '../state/settings.ts';
import { Tag } from '../ui/badge.tsx';
import { Dialog } from '../ui/dialog.tsx';
import { argumentsOf, Form, type Field } from '../ui/form.tsx';
import { List } from '../ui/list.tsx';
import { Name } from '../ui/name.tsx';
import { Empty } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { tell } from '../ui/toast.tsx';
import { hasManyVhosts, inVhost, useKnown } from './parts.tsx';
import { RouteTester } from './route-tester.tsx';

export const NAMELESS = '(AMQP default)';

const COLUMNS: Column<Exchange>[] = [
  { id: 'name', title: 'Name', sort: 'name', phone: 'name', value: (exchange) => exchange.name,
    cell: (exchange) => <Name of={exchange.name} fallback={NAMELESS} href={href('exchanges', exchange.vhost, exchange.name || 'amq.default')} /> },
  { id: 'vhost', title: 'vhost', sort: 'vhost', width: 13, phone: 'line', value: (exchange) => exchange.vhost, cell: (exchange) => exchange.vhost },
  { id: 'type', title: 'Type', sort: 'type', width: 20, phone: 'state', value: (exchange) => exchange.type, cell: (exchange) => exchange.type },
  { id: 'features', title: 'Features', width: 26, value: (exchange) => features(exchange).join(' '), cell: (exchange) => features(exchange).map((each) => <Tag key={each}>{each}</Tag>) },
  { id: 'policy', title: 'Policy', sort: 'policy', width: 16, value: (exchange) => exchange.policy, cell: (exchange) => exchange.policy ?? '–' },
  { id: 'in', title: 'In', sort: 'message_stats.publish_in_details.rate', width: 12, end: true, phone: 'figure', value: (exchange) => exchange.message_stats?.publish_in_details?.rate,
    cell: (exchange) => rate(exchange.message_stats?.publish_in_details?.rate) },
  { id: 'out', title: 'Out', sort: 'message_stats.publish_out_details.rate', width: 12, end: true, phone: 'figure', value: (exchange) => exchange.message_stats?.publish_out_details?.rate,
    cell: (exchange) => rate(exchange.message_stats?.publish_out_details?.rate) },
];

export function features(exchange: Exchange): string[] {
  return [
    exchange.durable ? '' : 'transient', exchange.auto_delete ? 'auto-delete' : '', exchange.internal ? 'internal' : '',
    ...Object.keys(exchange.arguments).map((name) => (name === 'alternate-exchange' ? 'AE' : name)),
  ].filter(Boolean);
}

export function Exchanges() {
  const [isAdding, setAdding] = useState(false);
  const [isTesting, setTesting] = useState(false);
  const add = vhosts.value.some((each) => may('configure', each)) && <button type="button" onClick={() => setAdding(true)}>New exchange</button>;
  return (
    <div class="page">
      <div class="title"><h1>Exchanges</h1><div class="tools"><button type="button" onClick={() => setTesting(true)}>Test a route…</button>{add}</div></div>
      <List
        of="exchanges"
        path={inVhost('/exchanges')}
        columns={hasManyVhosts() ? COLUMNS : COLUMNS.filter((column) => column.id !== 'vhost')}
        rowKey={(exchange) => `${exchange.vhost} ${exchange.name}`}
        order={{ by: 'name', isDown: false }}
        tokens="type:topic"
        empty={<Empty action={add}>No exchanges{vhost.value ? ` in ${vhost.value}` : ''}.</Empty>}
      />
      {isTesting && <Dialog title="Where would a message go?" side="wide" onClose={() => setTesting(false)}><AnyRoute /></Dialog>}
      {isAdding && <Dialog title="New exchange" side onClose={() => setAdding(false)}><NewExchange onDone={() => setAdding(false)} /></Dialog>}
    </div>
  );
}

/** The route tester of an exchange that is chosen first. */
function AnyRoute() {
  const [of, setOf] = useState(vhost.value || vhosts.value[0] || '/');
  const [name, setName] = useState('');
  const { data } = usePoll<Exchange[]>(url`/exchanges/${of}` + '?columns=name,type,internal');
  const exchange = data?.find((each) => each.name === name) ?? data?.[0];
  return (
    <div class="stack">
      <div class="inline">
        {vhosts.value.length > 1 && (
          <label>vhost<select value={of} onChange={(event) => setOf(event.currentTarget.value)}>{vhosts.value.map((each) => <option key={each} value={each}>{each}</option>)}</select></label>
        )}
        <label>Exchange
          <select value={exchange?.name ?? ''} onChange={(event) => setName(event.currentTarget.value)}>
            {data?.map((each) => <option key={each.name} value={each.name}>{each.name === '' ? NAMELESS : shown(each.name)}</option>)}
          </select>
        </label>
      </div>
      {exchange && <RouteTester key={`${of} ${exchange.name}`} vhost={of} exchange={exchange.name} type={exchange.type} />}
    </div>
  );
}

function NewExchange({ onDone }: { onDone: () => void }) {
  const known = useKnown();
  const { data } = usePoll<Overview>('/overview?columns=exchange_types', { every: 60_000 });
  const types = data?.exchange_types.filter((type) => type.enabled && !type.internal_purpose);
  const fields: Field[] = [
    { name: 'vhost', label: 'vhost', kind: 'select', options: vhosts.value.filter((each) => may('configure', each)), value: vhost.value || undefined },
    { name: 'name', label: 'Name', isRequired: true },
    { name: 'type', label: 'Type', kind: 'select', value: 'direct', options: types?.map((type) => ({ value: type.name, title: type.name })) ?? ['direct'] },
    { name: 'durability', label: 'Durability', kind: 'select', options: ['durable', 'transient'], help: 'A transient exchange is gone after a restart.' },
    { name: 'auto_delete', label: 'Delete it when its last binding goes', kind: 'check' },
    { name: 'internal', label: 'Internal: only other exchanges publish to it', kind: 'check' },
    { name: 'arguments', label: 'Arguments', kind: 'arguments', known: known?.exchange },
  ];
  return (
    <Form fields={fields} button="Add exchange" onCancel={onDone} submit={async (values) => {
      await send('PUT', url`/exchanges/${values.vhost ?? ''}/${values.name ?? ''}`, {
        type: values.type, durable: values.durability !== 'transient', auto_delete: values.auto_delete === 'true', internal: values.internal === 'true', arguments: argumentsOf(values.arguments),
      });
      refresh();
      tell(`Exchange ${values.name} is there`);
      onDone();
    }} />
  );
}
