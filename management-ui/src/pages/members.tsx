// The members of a replicated queue: who leads, who is there, and how to change that.

import { useState } from 'preact/hooks';
import { send, url } from '../api/client.ts';
import type { Node, Queue, StreamMember } from '../api/types.ts';
import { bytes, count } from '../lib/format.ts';
import { href } from '../state/address.ts';
import { refresh, usePoll } from '../state/poll.ts';
import { isAdministrator, isMonitor } from '../state/session.ts';
import { Badge } from '../ui/badge.tsx';
import { ask } from '../ui/dialog.tsx';
import { Whole } from '../ui/list.tsx';
import { Name } from '../ui/name.tsx';
import { Card } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { tell, tellFailure } from '../ui/toast.tsx';

interface Member {
  node: string;
  isLeader: boolean;
  isOnline: boolean;
  /** What a member of a stream says of itself. */
  said?: StreamMember;
}

export function Members({ queue }: { queue: Queue }) {
  const members = queue.members ?? [];
  const online = members.filter((member) => queue.online?.includes(member)).length;
  const spare = online - (Math.floor(members.length / 2) + 1);
  const isStream = queue.type === 'stream';
  const canChange = isAdministrator.value && (isStream || queue.type === 'quorum');
  const path = isStream ? url`/stream/${queue.vhost}/${queue.name}/replicas` : url`/queues/quorum/${queue.vhost}/${queue.name}/replicas`;
  const { data: status } = usePoll<StreamMember[]>(isStream ? url`/stream/${queue.vhost}/${queue.name}/status` : null);
  const rows = members.map((node): Member => ({ node, isLeader: node === queue.leader, isOnline: queue.online?.includes(node) === true, said: status?.find((each) => each.node === node) }));
  return (
    <Card>
      <Whole id="members" label="Members" columns={[...COLUMNS, ...(isStream ? OF_STREAMS : []), ...(canChange ? [change(queue, path)] : [])]}
        rows={rows} rowKey={({ node }) => node} order={{ by: 'node', isDown: false }} empty={null} isBare />
      <p class="note">
        {spare < 0 ? 'Too few members are online: nothing is taken or given until more are.'
          : spare === 0 ? 'No member may fail: messages are taken as long as more than half are online.'
            : `${spare} more may fail: messages are taken as long as more than half are online.`}
      </p>
      {canChange && <Add queue={queue} path={path} />}
    </Card>
  );
}

const role = ({ isLeader }: Member) => (isLeader ? 'leader' : 'follower');

const COLUMNS: Column<Member>[] = [
  { id: 'node', title: 'Node', phone: 'name', value: ({ node }) => node, cell: ({ node }) => <Name of={node} href={isMonitor.value ? href('nodes', node) : undefined} copy={false} /> },
  { id: 'role', title: 'Role', width: 12, phone: 'figure', value: role, cell: role },
  { id: 'state', title: 'State', width: 13, phone: 'state', value: ({ isOnline }) => isOnline, cell: ({ isOnline }) => (isOnline ? <Badge level="ok">online</Badge> : <Badge level="bad">offline</Badge>) },
];

function figure(id: string, title: string, of: (said: StreamMember) => number | undefined, text = count): Column<Member> {
  const value = ({ said }: Member) => said && of(said);
  return { id, title, width: 13, end: true, phone: 'figure', value, cell: (member) => text(value(member)) };
}

/** Of a member that has no messages no offset is told. */
const ofMessages = (of: (said: StreamMember) => number | undefined) => (said: StreamMember) => ((said.offset ?? -1) < (said.first_offset ?? 0) ? undefined : of(said));

const OF_STREAMS = [
  figure('first', 'First offset', ofMessages((said) => said.first_offset)), figure('last', 'Last offset', ofMessages((said) => said.offset)),
  figure('size', 'Size', (said) => said.bytes, bytes), figure('segments', 'Segments', (said) => said.segments), figure('readers', 'Readers', (said) => said.readers),
];

function change(queue: Queue, path: string): Column<Member> {
  const members = queue.members?.length ?? 0;
  const lead = (node: string) => ask({
    title: `Move the leader of ${queue.name}?`,
    text: <p>{node} will lead instead of {queue.leader}. Clients stay connected; messages stop for a moment.</p>,
    button: `Lead from ${node}`,
    run: async () => {
      await send('POST', queue.type === 'stream' ? url`/stream/${queue.vhost}/${queue.name}/restart` : `${path}/transfer-leadership`, { node });
      refresh();
      tell(`${node} is asked to lead ${queue.name}`);
    },
  });
  const remove = (node: string) => ask({
    title: `Remove ${node} from ${queue.name}?`,
    text: <p>The copy on {node} will be gone; {members - 1} of {members} members stay. With fewer members the queue stands fewer failures.</p>,
    button: `Remove ${node}`,
    type: queue.name,
    run: async () => {
      await send('DELETE', `${path}/delete`, { node });
      refresh();
      tell(`${node} is no member of ${queue.name} any more`);
    },
  });
  return {
    id: 'change', title: 'Change', width: 32, phone: 'line',
    cell: ({ node, isLeader }) => (members < 2 ? <span class="muted">the only one</span> : (
      <>
        {!isLeader && <button type="button" class="plain small" onClick={() => lead(node)}>Lead from here…</button>}
        <button type="button" class="plain small" onClick={() => remove(node)}>Remove…</button>
      </>
    )),
  };
}

/** Another node for the queue. */
function Add({ queue, path }: { queue: Queue; path: string }) {
  const { data } = usePoll<Node[]>('/nodes?columns=name,running');
  const free = data?.filter((node) => node.running && !queue.members?.includes(node.name)).map((node) => node.name) ?? [];
  const [chosen, setChosen] = useState('');
  const node = free.includes(chosen) ? chosen : free[0];
  if (!node) return null;
  return (
    <form class="inline" onSubmit={(event) => {
      event.preventDefault();
      send('POST', `${path}/add`, { node }).then(() => {
        refresh();
        tell(`${node} is a member of ${queue.name} now`);
      }, tellFailure);
    }}>
      <label>Add a member on
        <select value={node} onChange={(event) => setChosen(event.currentTarget.value)}>{free.map((each) => <option key={each} value={each}>{each}</option>)}</select>
      </label>
      <button type="submit">Add member</button>
    </form>
  );
}
