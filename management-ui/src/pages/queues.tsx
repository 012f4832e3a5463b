// All queues: how each gets on, what is in it, and what goes in and out.

import { useState } from 'preact/hooks';
import { send, url } from '../api/client.ts';
import type { Queue } from '../api/types.ts';
import { bytes, count, counted, rate } from '../lib/format.ts';
import { href } from '../state/address.ts';
import { refresh } from '../state/poll.ts';
import { may, vhosts } from '../state/session.ts';
import { range, vhost } from '../state/settings.ts';
import { Tag } from '../ui/badge.tsx';
import { Spark } from '../ui/chart.tsx';
import { ask, Dialog } from '../ui/dialog.tsx';
import { argumentsOf, Form, type Field } from '../ui/form.tsx';
import { List } from '../ui/list.tsx';
import { Name } from '../ui/name.tsx';
import { Empty } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { tell } from '../ui/toast.tsx';
import { Health } from './health.tsx';
import { hasManyVhosts, inVhost, useKnown } from './parts.tsx';

const COLUMNS: Column<Queue>[] = [
  { id: 'name', title: 'Name', sort: 'name', phone: 'name', value: (queue) => queue.name,
    cell: (queue) => <Name of={queue.name} href={href('queues', queue.vhost, queue.name)} /> },
  { id: 'vhost', title: 'vhost', sort: 'vhost', width: 13, value: (queue) => queue.vhost, cell: (queue) => queue.vhost },
  { id: 'type', title: 'Type', sort: 'type', width: 10, value: (queue) => queue.type, cell: (queue) => queue.type },
  { id: 'features', title: 'Features', width: 14, value: (queue) => features(queue).join(' '),
    cell: (queue) => features(queue).map((each) => <Tag key={each}>{each}</Tag>) },
  { id: 'policy', title: 'Policy', sort: 'policy', width: 14, isHidden: true, value: (queue) => queue.policy,
    cell: (queue) => [queue.policy, queue.operator_policy].filter(Boolean).join(', ') || '–' },
  { id: 'node', title: 'Node', sort: 'node', width: 20, isHidden: true, value: (queue) => queue.node, cell: (queue) => queue.node ?? '–' },
  { id: 'health', title: 'Health', sort: 'health', width: 15, phone: 'state', value: (queue) => queue.health ?? queue.state, cell: (queue) => <Health of={queue} /> },
  { id: 'ready', title: 'Ready', sort: 'messages_ready', width: 11, end: true, phone: 'figure', value: (queue) => queue.messages_ready,
    cell: (queue) => count(queue.messages_ready) },
  { id: 'unacked', title: 'Unacked', sort: 'messages_unacknowledged', width: 11, end: true, phone: 'figure', value: (queue) => queue.messages_unacknowledged,
    cell: (queue) => count(queue.messages_unacknowledged) },
  { id: 'total', title: 'Total', sort: 'messages', width: 11, end: true, isHidden: true, value: (queue) => queue.messages, cell: (queue) => count(queue.messages) },
  { id: 'bytes', title: 'Bytes', sort: 'message_bytes', width: 11, end: true, isHidden: true, value: (queue) => queue.message_bytes, cell: (queue) => bytes(queue.message_bytes) },
  { id: 'consumers', title: 'Consumers', sort: 'consumers', width: 12, end: true, value: (queue) => queue.consumers, cell: (queue) => count(queue.consumers) },
  { id: 'in', title: 'In', sort: 'message_stats.publish_details.rate', width: 10, end: true, phone: 'figure', value: (queue) => queue.message_stats?.publish_details?.rate,
    cell: (queue) => rate(queue.message_stats?.publish_details?.rate) },
  { id: 'out', title: 'Out', sort: 'message_stats.deliver_get_details.rate', width: 10, end: true, phone: 'figure', value: (queue) => queue.message_stats?.deliver_get_details?.rate,
    cell: (queue) => rate(queue.message_stats?.deliver_get_details?.rate) },
  { id: 'ack', title: 'Acks', sort: 'message_stats.ack_details.rate', width: 10, end: true, value: (queue) => queue.message_stats?.ack_details?.rate,
    cell: (queue) => rate(queue.message_stats?.ack_details?.rate) },
  { id: 'trend', title: 'Trend', width: 13,
    cell: (queue) => <Spark values={queue.trend?.ready ?? []} label={`Ready messages of ${queue.name} over time`} /> },
];

const FACETS = [
  { of: 'health', value: 'stuck', title: 'Stuck' },
  { of: 'health', value: 'no_consumers', title: 'No consumers' },
  { of: 'health', value: 'unavailable', title: 'Unavailable' },
  { of: 'health', value: 'full', title: 'Full' },
  { of: 'health', value: 'looping', title: 'Looping' },
  { of: 'health', value: 'growing', title: 'Growing' },
];

export function Queues() {
  const [isAdding, setAdding] = useState(false);
  const canAdd = vhosts.value.some((each) => may('configure', each));
  const add = canAdd && <button type="button" onClick={() => setAdding(true)}>New queue</button>;
  return (
    <div class="page">
      <div class="title"><h1>Queues and Streams</h1><div class="tools">{add}</div></div>
      <List
        of="queues"
        path={inVhost('/queues')}
        columns={hasManyVhosts() ? COLUMNS : COLUMNS.filter((column) => column.id !== 'vhost')}
        rowKey={(queue) => `${queue.vhost} ${queue.name}`}
        order={{ by: 'name', isDown: false }}
        ask={{ trend: range.value, facets: 'health' }}
        facets={FACETS}
        tokens="ready>1000, consumers=0, type:quorum"
        chosen={(queues, clear) => <Chosen queues={queues} clear={clear} />}
        empty={<Empty action={add}>No queues{vhost.value ? ` in ${vhost.value}` : ''}. Clients declare them, or you do.</Empty>}
      />
      {isAdding && <Dialog title="New queue" side onClose={() => setAdding(false)}><NewQueue onDone={() => setAdding(false)} /></Dialog>}
    </div>
  );
}

/** Short words for what a queue was declared with. */
export function features(queue: Queue): string[] {
  return [
    queue.durable ? '' : 'transient',
    queue.exclusive ? 'exclusive' : '',
    queue.auto_delete ? 'auto-delete' : '',
    ...Object.keys(queue.arguments).filter((name) => name !== 'x-queue-type').map(abbreviated),
  ].filter(Boolean);
}

const ABBREVIATIONS: Record<string, string> = {
  'x-message-ttl': 'TTL', 'x-expires': 'expires', 'x-max-length': 'limit', 'x-max-length-bytes': 'limit bytes', 'x-overflow': 'overflow',
  'x-dead-letter-exchange': 'DLX', 'x-dead-letter-routing-key': 'DLK', 'x-max-priority': 'priority', 'x-single-active-consumer': 'SAC', 'x-delivery-limit': 'delivery limit',
};

function abbreviated(name: string): string {
  return ABBREVIATIONS[name] ?? name.replace(/^x-/, '');
}

function Chosen({ queues, clear }: { queues: Queue[]; clear: () => void }) {
  const total = (of: (queue: Queue) => number | undefined) => queues.reduce((sum, queue) => sum + (of(queue) ?? 0), 0);
  const each = async (method: string, path: (queue: Queue) => string, done: string) => {
    const failed: string[] = [];
    for (const queue of queues) {
      await send(method, path(queue)).catch((error: Error) => failed.push(`${queue.name}: ${error.message}`));
    }
    refresh();
    if (failed.length) throw new Error(`${failed.length} of ${queues.length} were not ${done}. ${failed.slice(0, 3).join('; ')}`);
    clear();
    tell(`${counted(queues.length, 'queue')} ${done}`);
  };
  const names = counted(queues.length, 'queue');
  const only = queues.length === 1 ? queues[0] : undefined;
  return (
    <>
      <button type="button" onClick={() => ask({
        title: `Purge ${only?.name ?? names}?`,
        text: <p>{counted(total((queue) => queue.messages_ready), 'ready message')} of {only?.name ?? names} will be gone. {count(total((queue) => queue.messages_unacknowledged))} unacked stay. This cannot be undone.</p>,
        button: `Purge ${only?.name ?? names}`,
        type: only?.name ?? String(queues.length),
        run: () => each('DELETE', (queue) => url`/queues/${queue.vhost}/${queue.name}/contents`, 'purged'),
      })}>Purge…</button>
      <span class="spring" />
      <button type="button" onClick={() => ask({
        title: `Delete ${only?.name ?? names}?`,
        text: <p>{only?.name ?? names} will be gone, with {counted(total((queue) => queue.messages), 'message')} and {counted(total((queue) => queue.consumers), 'consumer')}. This cannot be undone.</p>,
        button: `Delete ${only?.name ?? names}`,
        type: only?.name ?? String(queues.length),
        run: () => each('DELETE', (queue) => url`/queues/${queue.vhost}/${queue.name}`, 'deleted'),
      })}>Delete…</button>
    </>
  );
}

function NewQueue({ onDone }: { onDone: () => void }) {
  const known = useKnown();
  const fields: Field[] = [
    { name: 'vhost', label: 'vhost', kind: 'select', options: vhosts.value.filter((each) => may('configure', each)), value: vhost.value || undefined },
    { name: 'type', label: 'Type', kind: 'select', options: [{ value: '', title: 'Default of the vhost' }, 'classic', 'quorum'],
      help: 'Quorum queues are kept on several nodes.' },
    { name: 'name', label: 'Name', isRequired: true },
    { name: 'durability', label: 'Durability', kind: 'select', options: ['durable', 'transient'], help: 'A transient queue is gone after a restart.', when: (values) => values.type === 'classic' || values.type === '' },
    { name: 'auto_delete', label: 'Delete it when its last consumer goes', kind: 'check', when: (values) => values.type === 'classic' || values.type === '' },
    { name: 'arguments', label: 'Arguments', kind: 'arguments', known: known?.queue },
  ];
  return (
    <Form fields={fields} button="Add queue" onCancel={onDone} submit={async (values) => {
      const given = argumentsOf(values.arguments);
      await send('PUT', url`/queues/${values.vhost ?? ''}/${values.name ?? ''}`, {
        durable: values.durability !== 'transient',
        auto_delete: values.auto_delete === 'true',
        arguments: values.type ? { ...given, 'x-queue-type': values.type } : given,
      });
      refresh();
      tell(`Queue ${values.name} is there`);
      onDone();
    }} />
  );
}
