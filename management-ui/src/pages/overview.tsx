// Is the cluster well? What needs attention, lengths and rates, and what runs where.

import { count, counted, age, bytes, rate } from '../lib/format.ts';
import type { Cluster, Node, Overview as Data, Page, Queue } from '../api/types.ts';
import { href } from '../state/address.ts';
import { usePoll } from '../state/poll.ts';
import { isAdministrator, isMonitor, vhosts } from '../state/session.ts';
import { vhost } from '../state/settings.ts';
import { Badge } from '../ui/badge.tsx';
import { Name } from '../ui/name.tsx';
import { Card, Failed, Figures, Loading, Meter } from '../ui/states.tsx';
import { Whole } from '../ui/list.tsx';
import type { Column } from '../ui/table.tsx';
import { Health, urgency } from './health.tsx';
import { Lengths, Rates, seriesOf } from './charts.tsx';

export function Overview() {
  const { data, error } = usePoll<Data>('/overview');
  const totals = data?.object_totals;
  // Who monitors sees the whole; others what is in their vhost.
  const own = vhost.value || (vhosts.value.length === 1 ? vhosts.value[0] : undefined);
  const of = isMonitor.value ? 'cluster' : own && seriesOf('vhost', own);
  return (
    <div class="page">
      <div class="title"><h1>Overview</h1>{isMonitor.value && <Standing />}</div>
      {error && !data && <Failed what="The overview" error={error} />}
      <Attention />
      <Card title="Messages">
        {data ? <Messages data={data} /> : <Loading rows={2} />}
        {of && <div class="two"><Lengths of={of} /><Rates of={of} /></div>}
      </Card>
      <Card title="In use">
        {totals ? (
          <Figures of={(['connections', 'channels', 'exchanges', 'queues', 'consumers'] as const).map((kind) => ({
            name: kind[0]?.toUpperCase() + kind.slice(1), value: count(totals[kind]), href: kind === 'consumers' ? undefined : href(kind),
          }))} />
        ) : <Loading rows={1} />}
      </Card>
      {isMonitor.value && <Nodes />}
      {data?.churn_rates && <Churn of={data.churn_rates} />}
      {data?.listeners && <Listeners data={data} />}
      {isAdministrator.value && <p><a href={href('definitions')}>Export or import definitions</a></p>}
    </div>
  );
}

/** Whether the cluster is well, in a line. */
function Standing() {
  const { data: nodes } = usePoll<Node[]>('/nodes');
  const { data: cluster } = usePoll<Cluster>('/cluster');
  if (!nodes || !cluster) return null;
  const down = nodes.filter((node) => !node.running).length;
  const alarms = nodes.filter((node) => node.mem_alarm || node.disk_free_alarm).length;
  const drained = nodes.filter((node) => node.being_drained).length;
  const risk = cluster.at_risk_count;
  const worst = down || alarms ? 'bad' : drained || risk ? 'warn' : 'ok';
  const words = [
    down ? `${down} of ${counted(nodes.length, 'node')} not running` : nodes.length === 1 ? 'The node runs' : `All ${nodes.length} nodes run`,
    alarms ? `${counted(alarms, 'node')} short of memory or disk` : 'no alarms',
    ...(drained ? [`${counted(drained, 'node')} out of service`] : []),
    ...(nodes.length > 1 ? [risk ? `${counted(risk, 'queue')} at risk` : 'no queue at risk'] : []),
  ];
  return <a href={href('cluster')}><Badge level={worst}>{words.join(', ')}</Badge></a>;
}

function Messages({ data }: { data: Data }) {
  const { queue_totals: totals, message_stats: stats } = data;
  return (
    <Figures of={[
      { name: 'Ready', value: count(totals?.messages_ready ?? 0), colour: 'ready' },
      { name: 'Unacked', value: count(totals?.messages_unacknowledged ?? 0), colour: 'unacked' },
      ...(stats ? [
        { name: 'In', value: rate(stats.publish_details?.rate), exact: `${count(stats.publish)} published`, colour: 'publish' },
        { name: 'Out', value: rate(stats.deliver_get_details?.rate), exact: `${count(stats.deliver_get)} delivered or got`, colour: 'deliver' },
        { name: 'Acks', value: rate(stats.ack_details?.rate), exact: `${count(stats.ack)} acknowledged`, colour: 'ack' },
      ] : []),
    ]} />
  );
}

/** Queues whose health is a fault, the worst first. */
function Attention() {
  const { data } = usePoll<Page<Queue>>('/queues?page=1&page_size=100&sort=messages_ready&sort_reverse=true&where=health!=ok&columns=name,vhost,health,state,messages_ready,messages_unacknowledged');
  // Of the longest ones: what is stuck comes before what only grows.
  const worst = [...(data?.items ?? [])].sort((a, b) => urgency(a.health) - urgency(b.health)).slice(0, 5);
  if (!data || worst.length === 0) return null;
  return (
    <Card title="Needs attention" tools={<a href="#/queues?sort=health&down=true">All queues by health</a>}>
      <ul class="attention">
        {worst.map((queue) => (
          <li key={`${queue.vhost} ${queue.name}`}>
            <Health of={queue} />
            <Name of={queue.name} href={href('queues', queue.vhost, queue.name)} copy={false} />
            <span class="muted">{count(queue.messages_ready)} ready, {count(queue.messages_unacknowledged)} unacked</span>
          </li>
        ))}
      </ul>
      {data.filtered_count > worst.length && <p class="note">and {count(data.filtered_count - worst.length)} more</p>}
    </Card>
  );
}

export const NODES: Column<Node>[] = [
  { id: 'name', title: 'Node', cell: (node) => <Name of={node.name} href={href('nodes', node.name)} />, value: (node) => node.name, phone: 'name' },
  { id: 'state', title: 'State', width: 16, cell: (node) => <NodeState node={node} />, value: (node) => node.running, phone: 'state' },
  { id: 'memory', title: 'Memory', width: 22, phone: 'figure', value: (node) => node.mem_used,
    cell: (node) => <Meter used={node.mem_used} of={node.mem_limit} isBad={node.mem_alarm} text={`${bytes(node.mem_used)} of ${bytes(node.mem_limit)}`} /> },
  { id: 'disk', title: 'Disk free', width: 22, phone: 'figure', value: (node) => node.disk_free,
    cell: (node) => <span title={`An alarm below ${bytes(node.disk_free_limit)}`}>{bytes(node.disk_free)}</span> },
  { id: 'files', title: 'File descriptors', width: 20, phone: 'figure', value: (node) => node.fd_used,
    cell: (node) => <Meter used={node.fd_used} of={node.fd_total} text={`${count(node.fd_used)} of ${count(node.fd_total)}`} /> },
  { id: 'sockets', title: 'Sockets', width: 12, end: true, value: (node) => node.sockets_used, cell: (node) => count(node.sockets_used) },
  { id: 'uptime', title: 'Up', width: 14, end: true, phone: 'figure', value: (node) => node.uptime, cell: (node) => age(node.uptime) },
];

export function NodeState({ node }: { node: Node }) {
  if (!node.running) return <Badge level="bad">not running</Badge>;
  if (node.mem_alarm || node.disk_free_alarm) return <Badge level="bad">{node.mem_alarm ? 'memory alarm' : 'disk alarm'}</Badge>;
  return node.being_drained ? <Badge level="warn">draining</Badge> : <Badge level="ok">running</Badge>;
}

function Nodes() {
  const { data, error } = usePoll<Node[]>('/nodes');
  return (
    <Card title="Nodes">
      {error && !data && <Failed what="The list of nodes" error={error} />}
      {data ? <Whole id="overview-nodes" label="Nodes" columns={NODES} rows={data} rowKey={(node) => node.name} order={{ by: 'name', isDown: false }} isBare empty={null} /> : !error && <Loading rows={2} />}
    </Card>
  );
}

/** How often clients come and go, and queues are made. */
function Churn({ of }: { of: NonNullable<Data['churn_rates']> }) {
  const kinds = [
    ['Connections', 'connection_created', 'connection_closed'], ['Channels', 'channel_created', 'channel_closed'], ['Queues', 'queue_created', 'queue_deleted'],
  ] as const;
  const rateOf = (name: string) => {
    const details = of[`${name}_details`];
    return typeof details === 'object' ? details.rate : undefined;
  };
  const totalOf = (name: string) => {
    const total = of[name];
    return typeof total === 'number' ? `${count(total)} so far` : undefined;
  };
  return (
    <Card title="Coming and going">
      <table aria-label="Coming and going">
        <thead><tr><th scope="col">What</th><th scope="col" class="end">Opened</th><th scope="col" class="end">Closed</th></tr></thead>
        <tbody>
          {kinds.map(([title, opened, closed]) => (
            <tr key={title}>
              <th scope="row">{title}</th>
              <td class="end" title={totalOf(opened)}>{rate(rateOf(opened))}</td>
              <td class="end" title={totalOf(closed)}>{rate(rateOf(closed))}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Card>
  );
}

function Listeners({ data }: { data: Data }) {
  return (
    <Card title="Listeners">
      <table aria-label="Listeners">
        <thead><tr><th scope="col">Protocol</th><th scope="col">Address</th><th scope="col">Node</th></tr></thead>
        <tbody>
          {data.listeners?.map((each) => (
            <tr key={`${each.node} ${each.protocol} ${each.port}`}>
              <td>{each.protocol}</td>
              <td>{each.ip_address.includes(':') ? `[${each.ip_address}]` : each.ip_address}:{each.port}</td>
              <td>{each.node}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Card>
  );
}
