// One node: whether it is well, what it uses of what it may, where it listens, and how it was set up.

import { useState } from 'preact/hooks';
import { query, send, url } from '../api/client.ts';
import type { AuthAttempts, Cluster, Node as Data, Overview } from '../api/types.ts';
import { age, bytes, count, counted, percent } from '../lib/format.ts';
import { href } from '../state/address.ts';
import { deleteAndLeave } from '../state/delete.ts';
import { refresh, usePoll } from '../state/poll.ts';
import { isAdministrator } from '../state/session.ts';
import { Badge, Tag } from '../ui/badge.tsx';
import { ask, Dialog } from '../ui/dialog.tsx';
import { Form } from '../ui/form.tsx';
import { Whole } from '../ui/list.tsx';
import { Card, Empty, Facts, Failed, Loading, Meter } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { tell, tellFailure } from '../ui/toast.tsx';
import { NodeState } from './overview.tsx';
import type { Names } from '../routes.ts';

export function Node({ names }: { names: Names }) {
  const { name = '' } = names;
  const { data, error } = usePoll<Data>(url`/nodes/${name}`);
  const cluster = usePoll<Cluster>('/cluster').data;
  const [isGrowing, setGrowing] = useState(false);
  if (error?.isGone) return <div class="page"><div class="title"><h1>{name}</h1></div><Empty action={<a href="#/cluster">To the cluster</a>}>There is no node {name} in this cluster.</Empty></div>;
  if (!data) return <div class="page"><div class="title"><h1>{name}</h1></div>{error ? <Failed what={`Node ${name}`} error={error} /> : <Loading />}</div>;
  const load = cluster?.nodes.find((each) => each.name === name);
  const isAlone = cluster !== undefined && cluster.nodes.length < 2;
  return (
    <div class="page">
      <div class="title">
        <h1>{name}</h1>
        <NodeState node={data} />
        {isAdministrator.value && cluster && (
          <div class="tools">
            {data.running && <Maintenance name={name} isAlone={isAlone} />}
            {!isAlone && data.running && <button type="button" onClick={() => setGrowing(true)}>Add members here…</button>}
            {!isAlone && load !== undefined && load.members > 0 && <button type="button" onClick={() => shrink(name, load.members)}>Remove members…</button>}
            {!isAlone && !data.running && <button type="button" class="danger" onClick={() => forget(name, load?.members ?? 0)}>Forget node…</button>}
          </div>
        )}
        <p class="sub">{data.running ? `up for ${age(data.uptime)}` : 'does not answer'}{load && <> · leads {counted(load.leaders, 'queue')} · {counted(load.members, 'member')}</>}</p>
      </div>
      {data.running ? <Running node={data} /> : <Card><Empty>{name} is not running, or this node does not reach it. What it said of itself is not known.</Empty></Card>}
      {isGrowing && <Dialog title={`Add members on ${name}`} side onClose={() => setGrowing(false)}><Grow name={name} onDone={() => setGrowing(false)} /></Dialog>}
    </div>
  );
}

/** Taking a node out of service, and back. */
function Maintenance({ name, isAlone }: { name: string; isAlone: boolean }) {
  const { data } = usePoll<{ drained: boolean; takes_clients: boolean }>(`/maintenance${query({ node: name })}`);
  if (!data) return null;
  const act = async (action: string) => {
    await send('PUT', url`/maintenance/${action}` + query({ node: name }));
    refresh();
  };
  if (data.drained || !data.takes_clients) {
    const revive = async () => {
      await act(data.drained ? 'revive' : 'resume-listeners');
      tell(`${name} takes clients again`);
    };
    return <button type="button" onClick={() => void revive().catch(tellFailure)}>{data.drained ? 'Revive' : 'Take clients again'}</button>;
  }
  return (
    <button type="button" onClick={() => ask({
      title: `Drain ${name}?`,
      text: <p>{name} hands its leaders to other nodes, closes the connections of its clients, and takes no new ones until it is revived. {isAlone && 'There is no other node: nobody can publish or consume meanwhile. '}Its console and HTTP API go on. This takes up to a minute.</p>,
      button: `Drain ${name}`,
      type: isAlone ? name : undefined,
      run: async () => {
        await act('drain');
        tell(`${name} is drained`);
      },
    })}>Drain…</button>
  );
}

function Running({ node }: { node: Data }) {
  return (
    <>
      <Card title="Limits">
        {(node.mem_alarm || node.disk_free_alarm) && <p><Badge level="bad">{node.mem_alarm ? 'Memory is short' : 'The disk is short'}: connections that publish are blocked on all nodes.</Badge></p>}
        <Facts of={[
          ['Memory', <Meter used={node.mem_used} of={node.mem_limit} isBad={node.mem_alarm} text={`${bytes(node.mem_used)} of ${bytes(node.mem_limit)}`} />],
          ['Disk free', <><span>{bytes(node.disk_free)}</span> <span class="muted">alarm below {bytes(node.disk_free_limit)}</span></>],
          ['File descriptors', <Meter used={node.fd_used} of={node.fd_total} text={`${count(node.fd_used)} of ${count(node.fd_total)}`} />],
          ['Sockets', <Meter used={node.sockets_used} of={node.sockets_total} text={`${count(node.sockets_used)} of ${count(node.sockets_total)}`} />],
          ['Threads', <Meter used={node.proc_used} of={node.proc_total} text={`${count(node.proc_used)} of ${count(node.proc_total)}`} />],
          ['Processors', count(node.processors)],
        ]} />
      </Card>
      <div class="two">
        <Listeners name={node.name} node={node} />
        <Attempts name={node.name} />
      </div>
      <Memory name={node.name} />
      <Card title="Set up">
        <Facts of={[
          ['Data', <code>{node.db_dir ?? '–'}</code>],
          ['Configuration', lines(node.config_files, 'no file')],
          ['Log', lines(node.log_files, 'none')],
          ['Process', node.os_pid ?? '–'],
          ['Programs', node.applications?.map((each) => `${each.name} ${each.version}`).join(', ') || '–'],
          ['Signs clients in by', node.auth_mechanisms?.filter((each) => each.enabled).map((each) => each.name).join(', ') || '–'],
          ['Memory is counted by', node.mem_calculation_strategy ?? '–'],
        ]} />
        {node.enabled_plugins && (
          <details class="more">
            <summary>{counted(node.enabled_plugins.length, 'feature')} that RabbitMQ has as plug-ins</summary>
            <p>{node.enabled_plugins.map((each) => <Tag key={each}>{each}</Tag>)}</p>
          </details>
        )}
      </Card>
    </>
  );
}

/** What memory is used for; what takes none is left out. */
function Memory({ name }: { name: string }) {
  const { data } = usePoll<{ memory: Record<string, unknown> & { total?: Record<string, number> } }>(url`/nodes/${name}/memory`, { every: 15_000 });
  if (!data) return null;
  const total = Math.max(1, ...Object.values(data.memory.total ?? {}));
  const parts = Object.entries(data.memory).filter((part): part is [string, number] => typeof part[1] === 'number' && part[1] > 0).sort(([, a], [, b]) => b - a);
  return (
    <Card title="Memory">
      <Facts of={parts.map(([part, used]) => [USES[part] ?? part.replaceAll('_', ' '), <Meter used={used} of={total} isPlain text={`${bytes(used)}, ${percent(used, total)}`} />])} />
    </Card>
  );
}

/** RabbitMQ's words for what uses memory, where they say little. */
const USES: Record<string, string> = {
  connection_readers: 'Connections, reading', connection_writers: 'Connections, writing', connection_channels: 'Channels', connection_other: 'Connections, other',
  queue_procs: 'Messages of classic queues', quorum_queue_procs: 'Messages of quorum queues', stream_queue_procs: 'Streams', other_system: 'Everything else',
};

function lines(of: string[] | undefined, none: string) {
  return of?.length ? of.map((each) => <code key={each} class="line">{each}</code>) : <span class="muted">{none}</span>;
}

interface Listening {
  protocol: string;
  address: string;
}

const LISTENERS: Column<Listening>[] = [
  { id: 'protocol', title: 'Protocol', phone: 'name', value: (row) => row.protocol, cell: (row) => row.protocol },
  { id: 'address', title: 'Address', width: 32, phone: 'line', value: (row) => row.address, cell: (row) => <span class="mono">{row.address}</span> },
];

function Listeners({ name, node }: { name: string; node: Data }) {
  const { data } = usePoll<Overview>('/overview?columns=listeners', { every: 30_000 });
  const rows = data?.listeners?.filter((each) => each.node === name).map(({ protocol, ip_address: ip, port }): Listening => ({ protocol, address: `${ip.includes(':') ? `[${ip}]` : ip}:${port}` }));
  const contexts = node.contexts ?? [];
  return (
    <Card title="Listeners">
      {rows ? <Whole id="listeners" label="Listeners" columns={LISTENERS} rows={rows} rowKey={(row) => `${row.protocol} ${row.address}`} order={{ by: 'protocol', isDown: false }} isBare empty={<Empty>It listens nowhere that is known here.</Empty>} /> : <Loading rows={2} />}
      {contexts.length > 0 && <p class="note">Over HTTP: {contexts.map((each) => `${each.path} at port ${each.port}`).join(', ')}</p>}
    </Card>
  );
}

const ATTEMPTS: Column<AuthAttempts>[] = [
  { id: 'protocol', title: 'Protocol', phone: 'name', value: (row) => row.protocol, cell: (row) => row.protocol },
  { id: 'succeeded', title: 'Succeeded', width: 14, end: true, phone: 'figure', value: (row) => row.auth_attempts_succeeded, cell: (row) => count(row.auth_attempts_succeeded) },
  { id: 'failed', title: 'Failed', width: 14, end: true, phone: 'figure', value: (row) => row.auth_attempts_failed, cell: (row) => count(row.auth_attempts_failed) },
];

function Attempts({ name }: { name: string }) {
  const { data, error } = usePoll<AuthAttempts[]>(url`/auth/attempts/${name}`);
  const reset = isAdministrator.value && data && data.length > 0 && <button type="button" onClick={() => ask({
    title: 'Count sign-ins from nothing?',
    text: <p>What {name} counted of attempts to sign in starts at 0 again.</p>,
    button: 'Reset the counts',
    run: async () => {
      await send('DELETE', url`/auth/attempts/${name}`);
      refresh();
    },
  })}>Reset…</button>;
  return (
    <Card title="Attempts to sign in" tools={reset}>
      {error && !data && <Failed what="The attempts" error={error} />}
      {data ? <Whole id="attempts" label="Attempts to sign in" columns={ATTEMPTS} rows={data} rowKey={(row) => row.protocol} order={{ by: 'protocol', isDown: false }} isBare empty={<Empty>Nobody tried since the node started.</Empty>} /> : !error && <Loading rows={2} />}
    </Card>
  );
}

function Grow({ name, onDone }: { name: string; onDone: () => void }) {
  return (
    <>
      <p class="note">Quorum queues that have no member on {name} get one. It copies what is in them, which takes network and disk.</p>
      <Form
        fields={[
          { name: 'strategy', label: 'Which queues', kind: 'select', options: [{ value: 'all', title: 'All that match' }, { value: 'even', title: 'Those with an even number of members' }] },
          { name: 'vhost_pattern', label: 'vhosts', value: '.*', help: 'A regular expression.' },
          { name: 'queue_pattern', label: 'Queues', value: '.*', help: 'A regular expression.' },
        ]}
        button="Add members"
        onCancel={onDone}
        submit={async ({ strategy, vhost_pattern, queue_pattern }) => {
          await send('POST', url`/queues/quorum/replicas/on/${name}/grow`, { strategy, vhost_pattern, queue_pattern });
          refresh();
          tell(`Members are added on ${name}`);
          onDone();
        }}
      />
    </>
  );
}

function shrink(name: string, members: number): void {
  ask({
    title: `Remove members from ${name}?`,
    text: <p>Quorum queues lose their members on {name}: up to {count(members)}. What is in them stays on the other nodes. A queue whose only member is here keeps it.</p>,
    button: `Remove members from ${name}`,
    type: name,
    run: async () => {
      await send('DELETE', url`/queues/quorum/replicas/on/${name}/shrink`);
      refresh();
      tell(`Members of quorum queues are removed from ${name}`);
    },
  });
}

function forget(name: string, members: number): void {
  ask({
    title: `Forget node ${name}?`,
    text: <p>{name} leaves the cluster for good, and {counted(members, 'member')} with it. Queues that are on it alone are lost. If it comes back it has to join again, empty. This cannot be undone.</p>,
    button: `Forget ${name}`,
    type: name,
    run: async () => {
      await deleteAndLeave(url`/nodes/${name}`, href('cluster'));
      tell(`${name} is forgotten`);
    },
  });
}
