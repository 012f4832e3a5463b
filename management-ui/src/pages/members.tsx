// The members of a replicated queue: who leads, who is there, and how to change that.

import { useState } from 'preact/hooks';
import { send, url } from '../api/client.ts';
import type { Node, Queue, StreamMember } from '../api/types.ts';
import { bytes, count } from '../lib/format.ts';
import { refresh, usePoll } from '../state/poll.ts';
import { isAdministrator } from '../state/session.ts';
import { Badge } from '../ui/badge.tsx';
import { ask } from '../ui/dialog.tsx';
import { Card } from '../ui/states.tsx';
import { tell, tellFailure } from '../ui/toast.tsx';

export function Members({ queue }: { queue: Queue }) {
  const members = queue.members ?? [];
  const online = members.filter((member) => queue.online?.includes(member)).length;
  const spare = online - (Math.floor(members.length / 2) + 1);
  const isStream = queue.type === 'stream';
  const canChange = isAdministrator.value && (isStream || queue.type === 'quorum');
  const path = isStream ? url`/stream/${queue.vhost}/${queue.name}/replicas` : url`/queues/quorum/${queue.vhost}/${queue.name}/replicas`;
  const { data: status } = usePoll<StreamMember[]>(isStream ? url`/stream/${queue.vhost}/${queue.name}/status` : null);
  const said = (member: string) => status?.find(({ node }) => node === member);
  const lead = (node: string) => ask({
    title: `Move the leader of ${queue.name}?`,
    text: <p>{node} will lead instead of {queue.leader}. Clients stay connected; messages stop for a moment.</p>,
    button: `Lead from ${node}`,
    run: async () => {
      await send('POST', isStream ? url`/stream/${queue.vhost}/${queue.name}/restart` : `${path}/transfer-leadership`, { node });
      refresh();
      tell(`${node} is asked to lead ${queue.name}`);
    },
  });
  const remove = (node: string) => ask({
    title: `Remove ${node} from ${queue.name}?`,
    text: <p>The copy on {node} will be gone; {members.length - 1} of {members.length} members stay. With fewer members the queue stands fewer failures.</p>,
    button: `Remove ${node}`,
    type: queue.name,
    run: async () => {
      await send('DELETE', `${path}/delete`, { node });
      refresh();
      tell(`${node} is no member of ${queue.name} any more`);
    },
  });
  return (
    <Card>
      <div class="scroll" role="group" aria-label="Members" tabIndex={0}>
        <table aria-label="Members">
          <thead><tr><th scope="col">Node</th><th scope="col">Role</th><th scope="col">State</th>{isStream && ['First offset', 'Last offset', 'Size', 'Segments', 'Readers'].map((title) => <th key={title} scope="col" class="end">{title}</th>)}{canChange && <th scope="col">Change</th>}</tr></thead>
          <tbody>
            {members.map((member) => (
              <tr key={member}>
                <th scope="row">{member}</th>
                <td>{member === queue.leader ? 'leader' : 'follower'}</td>
                <td>{queue.online?.includes(member) ? <Badge level="ok">online</Badge> : <Badge level="bad">offline</Badge>}</td>
                {isStream && <Said of={said(member)} />}
                {canChange && (
                  <td>
                    {member !== queue.leader && <button type="button" class="plain small" onClick={() => lead(member)}>Lead from here…</button>}
                    {members.length > 1 && <button type="button" class="plain small" onClick={() => remove(member)}>Remove…</button>}
                  </td>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="note">
        {spare < 0 ? 'Too few members are online: nothing is taken or given until more are.'
          : spare === 0 ? 'No member may fail: messages are taken as long as more than half are online.'
            : `${spare} more may fail: messages are taken as long as more than half are online.`}
      </p>
      {canChange && <Add queue={queue} path={path} />}
    </Card>
  );
}

/** What a member of a stream says of itself. */
function Said({ of }: { of: StreamMember | undefined }) {
  const isEmpty = of?.offset === undefined || of.first_offset === undefined || of.offset < of.first_offset;
  const values = [isEmpty ? undefined : of?.first_offset, isEmpty ? undefined : of?.offset];
  return (
    <>
      {values.map((value, at) => <td key={at} class="end">{count(value)}</td>)}
      <td class="end" title={`${count(of?.bytes)} bytes`}>{bytes(of?.bytes)}</td>
      <td class="end">{count(of?.segments)}</td>
      <td class="end">{count(of?.readers)}</td>
    </>
  );
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
