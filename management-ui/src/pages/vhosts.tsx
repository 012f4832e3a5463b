// Virtual hosts: what is in each, who may use it, and its limits.

import { useState } from 'preact/hooks';
import { get, query, send, url } from '../api/client.ts';
import type { Limited, Page, Queue, Vhost } from '../api/types.ts';
import { count, counted, rate, shown } from '../lib/format.ts';
import { beside, go, href } from '../state/address.ts';
import { deleteAndLeave } from '../state/delete.ts';
import { refresh, usePoll } from '../state/poll.ts';
import { isAdministrator, renew } from '../state/session.ts';
import { vhost as chosen } from '../state/settings.ts';
import { Badge, Tag } from '../ui/badge.tsx';
import { ask, Dialog } from '../ui/dialog.tsx';
import { Form, type Field, type Values } from '../ui/form.tsx';
import { List } from '../ui/list.tsx';
import { Name } from '../ui/name.tsx';
import { Card, Empty, Failed, Figures, Loading } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { tell, tellFailure } from '../ui/toast.tsx';
import { AdminPage, LimitForm } from './admin.tsx';
import { useKnown } from './parts.tsx';
import { Permissions, TopicPermissions } from './permissions.tsx';
import type { Names } from '../routes.ts';

const COLUMNS: Column<Vhost>[] = [
  { id: 'name', title: 'Name', sort: 'name', phone: 'name', value: (vhost) => vhost.name, cell: (vhost) => <Name of={vhost.name} href={beside('vhosts', vhost.name)} /> },
  { id: 'description', title: 'Description', sort: 'description', value: (vhost) => vhost.description, cell: (vhost) => shown(vhost.description) || '–' },
  { id: 'tags', title: 'Tags', width: 18, value: (vhost) => vhost.tags.join(' '), cell: (vhost) => (vhost.tags.length ? vhost.tags.map((tag) => <Tag key={tag}>{tag}</Tag>) : '–') },
  { id: 'type', title: 'Default queue type', width: 20, value: (vhost) => vhost.default_queue_type, cell: (vhost) => vhost.default_queue_type ?? '–' },
  { id: 'state', title: 'State', width: 14, phone: 'state', value: (vhost) => isRunning(vhost), cell: (vhost) => <State of={vhost} /> },
  { id: 'ready', title: 'Ready', sort: 'messages_ready', width: 12, end: true, phone: 'figure', value: (vhost) => vhost.messages_ready, cell: (vhost) => count(vhost.messages_ready) },
  { id: 'unacked', title: 'Unacked', sort: 'messages_unacknowledged', width: 12, end: true, phone: 'figure', value: (vhost) => vhost.messages_unacknowledged, cell: (vhost) => count(vhost.messages_unacknowledged) },
  { id: 'in', title: 'In', sort: 'message_stats.publish_details.rate', width: 10, end: true, phone: 'figure', value: (vhost) => vhost.message_stats?.publish_details?.rate, cell: (vhost) => rate(vhost.message_stats?.publish_details?.rate) },
  { id: 'out', title: 'Out', sort: 'message_stats.deliver_get_details.rate', width: 10, end: true, phone: 'figure', value: (vhost) => vhost.message_stats?.deliver_get_details?.rate, cell: (vhost) => rate(vhost.message_stats?.deliver_get_details?.rate) },
];

function isRunning({ cluster_state: states }: Vhost): boolean {
  return Object.values(states).every((state) => state === 'running');
}

function State({ of }: { of: Vhost }) {
  return isRunning(of) ? <Badge level="ok">running</Badge> : <Badge level="bad">stopped</Badge>;
}

export function Vhosts({ names }: { names: Names }) {
  const [isAdding, setAdding] = useState(false);
  const add = isAdministrator.value && <button type="button" onClick={() => setAdding(true)}>New vhost</button>;
  return (
    <AdminPage id="vhosts" tools={add}>
      <List of="vhosts" path="/vhosts" columns={COLUMNS} rowKey={(vhost) => vhost.name} order={{ by: 'name', isDown: false }} empty={<Empty action={add}>No vhosts that you may use.</Empty>} />
      {isAdding && <Dialog title="New vhost" side onClose={() => setAdding(false)}><NewVhost onDone={() => setAdding(false)} /></Dialog>}
      {names.name !== undefined && <Dialog key={names.name} title={names.name} side="wide" onClose={() => go(beside('vhosts'))}><Detail name={names.name} /></Dialog>}
    </AdminPage>
  );
}

function fields(of?: Vhost): Field[] {
  return [
    { name: 'description', label: 'Description', value: of?.description },
    { name: 'tags', label: 'Tags', value: of?.tags.join(', '), help: 'With commas between them.' },
    { name: 'default_queue_type', label: 'Default queue type', kind: 'select', value: of?.default_queue_type ?? '',
      options: [...(of?.default_queue_type ? [] : [{ value: '', title: 'As the node has it' }]), 'classic', 'quorum', 'stream'], help: 'Of queues that are declared without a type.' },
  ];
}

function spoken(values: Values): Record<string, string> {
  const { description = '', tags = '', default_queue_type: type } = values;
  return { description, tags: tags.split(',').map((tag) => tag.trim()).filter(Boolean).join(), ...(type ? { default_queue_type: type } : {}) };
}

function NewVhost({ onDone }: { onDone: () => void }) {
  return (
    <Form fields={[{ name: 'name', label: 'Name', isRequired: true }, ...fields()]} button="Add vhost" onCancel={onDone} submit={async (values) => {
      const name = values.name ?? '';
      if ((await get<Pick<Vhost, 'name'>[]>('/vhosts?columns=name')).some((vhost) => vhost.name === name)) throw new Error(`There is a vhost of the name ${name} already`);
      await send('PUT', url`/vhosts/${name}`, spoken(values));
      refresh();
      await renew();
      tell(`vhost ${name} is there`);
      onDone();
    }} />
  );
}

function Detail({ name }: { name: string }) {
  const { data, error } = usePoll<Vhost>(url`/vhosts/${name}`);
  const queues = usePoll<Page<Queue>>(url`/queues/${name}` + query({ page: 1, page_size: 1, columns: 'name' })).data?.total_count;
  if (error?.isGone) return <Empty action={<a href={beside('vhosts')}>To all vhosts</a>}>There is no vhost {name}: deleted, or never there.</Empty>;
  if (!data) return error ? <Failed what={`The vhost ${name}`} error={error} /> : <Loading />;
  const stopped = Object.entries(data.cluster_state).filter(([, state]) => state !== 'running').map(([node]) => node);
  const stats = data.message_stats;
  return (
    <div class="stack">
      <div class="title">
        <State of={data} />
        <span class="muted">{shown(data.description)}</span>
        <div class="tools">
          <button type="button" onClick={() => show(name)}>Show its queues</button>
          {isAdministrator.value && stopped.map((node) => <button key={node} type="button" onClick={() => void start(name, node)}>Start on {node}</button>)}
          {isAdministrator.value && <button type="button" class="danger" onClick={() => remove(data, queues)}>Delete…</button>}
        </div>
      </div>
      <Figures of={[
        { name: 'Queues', value: count(queues) },
        { name: 'Ready', value: count(data.messages_ready), colour: 'ready' },
        { name: 'Unacked', value: count(data.messages_unacknowledged), colour: 'unacked' },
        ...(stats ? [{ name: 'In', value: rate(stats.publish_details?.rate), colour: 'publish' }, { name: 'Out', value: rate(stats.deliver_get_details?.rate), colour: 'deliver' }] : []),
      ]} />
      {isAdministrator.value && (
        <>
          <Card title="Permissions"><Permissions of={{ vhost: name }} /></Card>
          <Card title="Topic permissions"><TopicPermissions of={{ vhost: name }} /></Card>
        </>
      )}
      <Limits name={name} />
      {isAdministrator.value && <Tracing of={data} />}
      {isAdministrator.value && (
        <Card title="Description">
          <Form key={JSON.stringify([data.description, data.tags, data.default_queue_type])} fields={fields(data)} button="Save vhost" submit={async (values) => {
            await send('PUT', url`/vhosts/${name}`, spoken(values));
            refresh();
            tell(`vhost ${name} is saved`);
          }} />
        </Card>
      )}
    </div>
  );
}

/** The firehose: what is published and delivered in the vhost comes to amq.rabbitmq.trace too. */
function Tracing({ of }: { of: Vhost }) {
  const set = async (tracing: boolean) => {
    await send('PUT', url`/vhosts/${of.name}`, { tracing });
    refresh();
    tell(`Tracing of ${of.name} is ${tracing ? 'on' : 'off'}`);
  };
  return (
    <Card title="Tracing">
      <p class="note">A copy of each message that clients of this node publish or get in {of.name} goes to its exchange <a href={href('exchanges', of.name, 'amq.rabbitmq.trace')}>amq.rabbitmq.trace</a>: bind a queue to it with publish.# or deliver.#. Every copy costs as much as a message. Other nodes are not traced, and it ends with this node’s process.</p>
      <div class="buttons start">
        {of.tracing ? <Badge level="warn">on</Badge> : <Badge level="off">off</Badge>}
        <button type="button" onClick={() => void set(!of.tracing).catch(tellFailure)}>{of.tracing ? 'Stop tracing' : 'Start tracing'}</button>
      </div>
    </Card>
  );
}

function Limits({ name }: { name: string }) {
  const { data } = usePoll<Limited[]>(url`/vhost-limits/${name}`);
  const known = useKnown();
  if (!data || !known || !isAdministrator.value) return null;
  return (
    <Card title="Limits">
      <LimitForm known={known.limits.vhost} values={data[0]?.value ?? {}} path={(limit) => url`/vhost-limits/${name}/${limit}`} />
    </Card>
  );
}

function show(name: string): void {
  chosen.value = name;
  go(href('queues'));
}

async function start(name: string, node: string): Promise<void> {
  await send('POST', url`/vhosts/${name}/start/${node}`);
  refresh();
}

function remove(vhost: Vhost, queues: number | undefined): void {
  const { name } = vhost;
  ask({
    title: `Delete vhost ${name}?`,
    text: <p>{name} will be gone, with {counted(queues ?? 0, 'queue')}, {counted(vhost.messages ?? 0, 'message')}, its exchanges, bindings, policies and permissions. Its connections are closed. This cannot be undone.</p>,
    button: `Delete vhost ${name}`,
    type: name,
    run: async () => {
      await deleteAndLeave(url`/vhosts/${name}`, beside('vhosts'));
      if (chosen.value === name) chosen.value = '';
      await renew();
      tell(`vhost ${name} is deleted`);
    },
  });
}
