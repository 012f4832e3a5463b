// The cluster: what each node leads, how far the others are, and which queues are at risk.

import { useState } from 'preact/hooks';
import { send } from '../api/client.ts';
import type { Cluster as Data, ClusterNode, Node } from '../api/types.ts';
import { age, bytes, count, counted } from '../lib/format.ts';
import { href } from '../state/address.ts';
import { refresh, usePoll } from '../state/poll.ts';
import { isAdministrator } from '../state/session.ts';
import { Badge } from '../ui/badge.tsx';
import { Dialog } from '../ui/dialog.tsx';
import { Form } from '../ui/form.tsx';
import { Whole } from '../ui/list.tsx';
import { Name } from '../ui/name.tsx';
import { Card, Empty, Failed, Figures, Loading, Meter } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { tell } from '../ui/toast.tsx';
import { NodeState } from './overview.tsx';
import { Rebalance } from './rebalance.tsx';
import type { Names } from '../routes.ts';

type Row = ClusterNode & { node?: Node };

export function Cluster(_: { names: Names }) {
  const { data, error } = usePoll<Data>('/cluster');
  const nodes = usePoll<Node[]>('/nodes');
  const [open, setOpen] = useState<'rename' | 'rebalance'>();
  const close = () => setOpen(undefined);
  if (!data) return <div class="page"><div class="title"><h1>Cluster</h1></div>{error ? <Failed what="The cluster" error={error} /> : <Loading />}</div>;
  const rows = data.nodes.map((each): Row => ({ ...each, node: nodes.data?.find((node) => node.name === each.name) }));
  const running = rows.filter((row) => row.running).length;
  const leaders = rows.reduce((sum, row) => sum + row.leaders, 0);
  const most = Math.max(1, ...rows.map((row) => row.leaders));
  return (
    <div class="page">
      <div class="title">
        <h1>Cluster</h1>
        <span class="muted mono">{data.name}</span>
        {isAdministrator.value && (
          <div class="tools">
            <button type="button" onClick={() => setOpen('rename')}>Rename…</button>
            <button type="button" disabled={rows.length < 2} title={rows.length < 2 ? 'There is one node: it leads everything' : undefined} onClick={() => setOpen('rebalance')}>Rebalance…</button>
          </div>
        )}
      </div>
      <Card>
        <Figures of={[
          { name: 'Nodes running', value: running === rows.length ? count(running) : `${running} of ${rows.length}` },
          { name: 'Queues', value: count(leaders), href: href('queues') },
          { name: 'At risk', value: count(data.at_risk_count) },
        ]} />
        {running < rows.length && <p><Badge level="bad">{counted(rows.length - running, 'node')} not running: {rows.filter((row) => !row.running).map((row) => row.name).join(', ')}</Badge></p>}
      </Card>
      <Card title="Nodes">
        <Whole id="cluster-nodes" label="Nodes of the cluster" columns={columns(most)} rows={rows} rowKey={(row) => row.name} order={{ by: 'name', isDown: false }} isBare empty={null} />
      </Card>
      {rows.length > 1 && <Links rows={rows} />}
      <AtRisk of={data} />
      {open === 'rename' && <Dialog title="Rename the cluster" onClose={close}><Rename name={data.name} onDone={close} /></Dialog>}
      {open === 'rebalance' && <Dialog title="Rebalance leaders" side onClose={close}><Rebalance nodes={rows} onDone={close} /></Dialog>}
    </div>
  );
}

function columns(most: number): Column<Row>[] {
  return [
    { id: 'name', title: 'Node', phone: 'name', value: (row) => row.name, cell: (row) => <Name of={row.name} href={href('nodes', row.name)} /> },
    { id: 'state', title: 'State', width: 17, phone: 'state', value: (row) => row.running, cell: (row) => (row.node ? <NodeState node={row.node} /> : <Badge level={row.running ? 'ok' : 'bad'}>{row.running ? 'running' : 'not running'}</Badge>) },
    { id: 'leaders', title: 'Leads', width: 18, phone: 'figure', value: (row) => row.leaders, cell: (row) => <Meter used={row.leaders} of={most} isPlain text={counted(row.leaders, 'queue')} /> },
    { id: 'members', title: 'Members', width: 12, end: true, phone: 'figure', value: (row) => row.members, cell: (row) => count(row.members) },
    { id: 'memory', title: 'Memory', width: 26, phone: 'figure', value: (row) => row.node?.mem_used,
      cell: (row) => <Meter used={row.node?.mem_used} of={row.node?.mem_limit} isBad={row.node?.mem_alarm} text={row.node?.mem_used === undefined ? '–' : `${bytes(row.node.mem_used)} of ${bytes(row.node.mem_limit)}`} /> },
    { id: 'disk', title: 'Disk free', width: 14, end: true, phone: 'figure', value: (row) => row.node?.disk_free, cell: (row) => bytes(row.node?.disk_free) },
    { id: 'uptime', title: 'Up', width: 14, end: true, value: (row) => row.node?.uptime, cell: (row) => age(row.node?.uptime) },
  ];
}

/** How long the way from each node to each other takes. */
function Links({ rows }: { rows: Row[] }) {
  return (
    <Card title="Links">
      <div class="scroll" tabIndex={0} role="group" aria-label="Links">
        <table class="links">
          <caption class="hidden">The way there and back, from the node of the row to that of the column</caption>
          <thead><tr><th scope="col">From</th>{rows.map(({ name }) => <th key={name} scope="col" class="end">{name}</th>)}</tr></thead>
          <tbody>
            {rows.map((from) => (
              <tr key={from.name}>
                <th scope="row">{from.name}</th>
                {rows.map((to) => <td key={to.name} class="end">{from.name === to.name ? <span class="muted">itself</span> : <Way of={from.links?.[to.name]} />}</td>)}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function Way({ of }: { of: { ms: number | null } | undefined }) {
  if (!of) return <Badge level="bad">none</Badge>;
  return <>{of.ms === null ? '–' : age(of.ms)}</>;
}

type Risk = Data['at_risk'][number];

const AT_RISK: Column<Risk>[] = [
  { id: 'queue', title: 'Queue', phone: 'name', value: (row) => row.queue, cell: (row) => <Name of={row.queue} href={`${href('queues', row.vhost, row.queue)}?tab=members`} /> },
  { id: 'vhost', title: 'vhost', width: 16, phone: 'figure', value: (row) => row.vhost, cell: (row) => row.vhost },
  { id: 'state', title: 'State', width: 46, phone: 'state', value: (row) => row.online, cell: (row) => <Standing of={row} /> },
  { id: 'online', title: 'Online', width: 12, end: true, phone: 'figure', value: (row) => row.online, cell: (row) => `${row.online} of ${row.members}` },
];

/** What one node less would mean. */
function Standing({ of: { online, members } }: { of: Risk }) {
  if (2 * online <= members) return <Badge level="bad">no majority: unavailable</Badge>;
  return <Badge level="warn">one more node down, and it is unavailable</Badge>;
}

function AtRisk({ of }: { of: Data }) {
  return (
    <Card title="Queues at risk">
      <Whole id="at-risk" label="Queues at risk" columns={AT_RISK} rows={of.at_risk} rowKey={(row) => `${row.vhost} ${row.queue}`} order={{ by: 'state', isDown: false }} isBare
        empty={<Empty>None: every replicated queue has all its members, or more than it needs.</Empty>} />
      {of.at_risk_count > of.at_risk.length && <p class="note">and {count(of.at_risk_count - of.at_risk.length)} more</p>}
    </Card>
  );
}

function Rename({ name, onDone }: { name: string; onDone: () => void }) {
  return (
    <Form fields={[{ name: 'name', label: 'Name', isRequired: true, value: name, help: 'Shown in consoles and told to clients. Nothing else depends on it.' }]} button="Rename cluster" onCancel={onDone} submit={async (values) => {
      await send('PUT', '/cluster-name', { name: values.name });
      refresh();
      tell(`The cluster is called ${values.name}`);
      onDone();
    }} />
  );
}
