// All queues: how each gets on, what is in it, and what goes in and out.

import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { send, url } from '../api/client.ts';
import type { Queue } from '../api/types.ts';
import { bytes, count, counted, rate } from '../lib/format.ts';
import { href } from '../state/address.ts';
import { refresh } from '../state/poll.ts';
import { may, vhosts } from '../state/session.ts';
import { useRange, vhost } from '../state/settings.ts';
import { Tag } from '../ui/badge.tsx';
import { Spark } from '../ui/chart.tsx';
import { ask, Dialog } from '../ui/dialog.tsx';
import { argumentsOf, Form, type Field } from '../ui/form.tsx';
import { List } from '../ui/list.tsx';
import { Name } from '../ui/name.tsx';
import { Card, Empty } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { tell } from '../ui/toast.tsx';
import { Health } from './health.tsx';
import { JobProgress } from './job.tsx';
import { hasManyVhosts, inVhost, useKnown } from './parts.tsx';

const COLUMNS: Column<Queue>[] = [
  { id: 'name', title: 'Name', sort: 'name', phone: 'name', value: (queue) => queue.name,
    cell: (queue) => <Name of={queue.name} href={href('queues', queue.vhost, queue.name)} /> },
  { id: 'vhost', title: 'vhost', sort: 'vhost', width: 11, phone: 'line', value: (queue) => queue.vhost, cell: (queue) => queue.vhost },
  { id: 'type', title: 'Type', sort: 'type', width: 9, value: (queue) => queue.type, cell: (queue) => queue.type },
  { id: 'features', title: 'Features', width: 12, value: (queue) => features(queue).join(' '),
    cell: (queue) => features(queue).map((each) => <Tag key={each}>{each}</Tag>) },
  { id: 'policy', title: 'Policy', sort: 'policy', width: 14, isHidden: true, value: (queue) => queue.policy,
    cell: (queue) => [queue.policy, queue.operator_policy].filter(Boolean).join(', ') || '–' },
  { id: 'node', title: 'Node', sort: 'node', width: 20, isHidden: true, value: (queue) => queue.node, cell: (queue) => queue.node ?? '–' },
  { id: 'health', title: 'Health', sort: 'health', width: 16, phone: 'state', value: (queue) => queue.health ?? queue.state, cell: (queue) => <Health of={queue} /> },
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
  { id: 'trend', title: 'Trend', width: 10,
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
  const [jobs, setJobs] = useState<string[]>([]);
  const canAdd = vhosts.value.some((each) => may('configure', each));
  const add = canAdd && <button type="button" onClick={() => setAdding(true)}>New queue</button>;
  return (
    <div class="page">
      <div class="title"><h1>Queues and Streams</h1><div class="tools">{add}</div></div>
      {jobs.length > 0 && (
        <Card title="Under way" tools={<><a href={href('jobs')}>All jobs</a><button type="button" class="plain" onClick={() => setJobs([])}>Hide</button></>}>
          {jobs.map((id) => <JobProgress key={id} id={id} />)}
        </Card>
      )}
      <List
        of="queues"
        path={inVhost('/queues')}
        columns={hasManyVhosts() ? COLUMNS : COLUMNS.filter((column) => column.id !== 'vhost')}
        rowKey={(queue) => `${queue.vhost} ${queue.name}`}
        order={{ by: 'name', isDown: false }}
        ask={{ trend: useRange(), facets: 'health' }}
        facets={FACETS}
        tokens="ready>1000, consumers=0, type:quorum"
        chosen={(queues, clear) => <Chosen queues={queues} clear={clear} begun={setJobs} />}
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

/** Purges or deletes queues; more than one by jobs, one for each vhost, whose ids are given to `begun`. */
function Chosen({ queues, clear, begun }: { queues: Queue[]; clear: () => void; begun: (jobs: string[]) => void }) {
  const total = (of: Queue[], what: (queue: Queue) => number | undefined) => of.reduce((sum, queue) => sum + (what(queue) ?? 0), 0);
  const run = async (kind: 'purge' | 'delete', of: Queue[]) => {
    const [only] = of;
    if (only && of.length === 1) {
      await send('DELETE', url`/queues/${only.vhost}/${only.name}` + (kind === 'purge' ? '/contents' : ''));
      tell(`${only.name} was ${kind}d`);
    } else {
      const jobs: string[] = [];
      for (const each of new Set(of.map((queue) => queue.vhost))) {
        const names = of.filter((queue) => queue.vhost === each).map((queue) => queue.name);
        jobs.push((await send<{ job: string }>('POST', '/jobs', { kind, vhost: each, queues: names })).job);
      }
      begun(jobs);
    }
    refresh();
    clear();
  };
  const question = (kind: 'purge' | 'delete', of: Queue[], follows: ComponentChildren) => {
    const what = of.length === 1 ? (of[0]?.name ?? '') : counted(of.length, 'queue');
    const verb = kind === 'purge' ? 'Purge' : 'Delete';
    ask({ title: `${verb} ${what}?`, text: <p>{follows} This cannot be undone.</p>, button: `${verb} ${what}`, type: of.length === 1 ? what : String(of.length), run: () => run(kind, of) });
  };
  // A stream keeps its messages: there is nothing to purge.
  const purgeable = queues.filter((queue) => queue.type !== 'stream');
  const streams = queues.length - purgeable.length;
  return (
    <>
      {purgeable.length > 0 && (
        <button type="button" onClick={() => question('purge', purgeable, (
          <>{counted(total(purgeable, (queue) => queue.messages_ready), 'ready message')} of {counted(purgeable.length, 'queue')} will be gone. {count(total(purgeable, (queue) => queue.messages_unacknowledged))} unacked stay.{streams > 0 && ` ${counted(streams, 'stream')} keep what they have.`}</>
        ))}>Purge…</button>
      )}
      <span class="spring" />
      <button type="button" onClick={() => question('delete', queues, (
        <>{counted(queues.length, 'queue')} will be gone, with {counted(total(queues, (queue) => queue.messages), 'message')} and {counted(total(queues, (queue) => queue.consumers), 'consumer')}.</>
      ))}>Delete…</button>
    </>
  );
}

/** A form for a queue; of a type that is given, or of any. */
export function NewQueue({ type, onDone }: { type?: string; onDone: () => void }) {
  const known = useKnown();
  const fields: Field[] = [
    { name: 'vhost', label: 'vhost', kind: 'select', options: vhosts.value.filter((each) => may('configure', each)), value: vhost.value || undefined },
    { name: 'type', label: 'Type', kind: 'select', options: [{ value: '', title: 'Default of the vhost' }, 'classic', 'quorum', 'stream'],
      help: 'Quorum queues and streams are kept on several nodes; a stream keeps its messages when they are read.', value: type, when: () => type === undefined },
    { name: 'name', label: 'Name', isRequired: true },
    { name: 'durability', label: 'Durability', kind: 'select', options: ['durable', 'transient'], help: 'A transient queue is gone after a restart.', when: (values) => !type && (values.type === 'classic' || values.type === '') },
    { name: 'auto_delete', label: 'Delete it when its last consumer goes', kind: 'check', when: (values) => !type && (values.type === 'classic' || values.type === '') },
    { name: 'arguments', label: 'Arguments', kind: 'arguments', known: known?.queue.filter(({ on }) => !type || !on || on.includes(type)) },
  ];
  return (
    <Form fields={fields} button={type === 'stream' ? 'Add stream' : 'Add queue'} onCancel={onDone} submit={async (values) => {
      const given = argumentsOf(values.arguments);
      const wanted = type ?? values.type;
      await send('PUT', url`/queues/${values.vhost ?? ''}/${values.name ?? ''}`, {
        durable: values.durability !== 'transient',
        auto_delete: values.auto_delete === 'true',
        arguments: wanted ? { ...given, 'x-queue-type': wanted } : given,
      });
      refresh();
      tell(`${wanted === 'stream' ? 'Stream' : 'Queue'} ${values.name} is there`);
      onDone();
    }} />
  );
}
