// Browsers that are signed in at this node.

import { send, url } from '../api/client.ts';
import type { SignedIn } from '../api/types.ts';
import { age, time } from '../lib/format.ts';
import { href } from '../state/address.ts';
import { refresh, usePoll } from '../state/poll.ts';
import { utc } from '../state/settings.ts';
import { Badge } from '../ui/badge.tsx';
import { ask } from '../ui/dialog.tsx';
import { Whole } from '../ui/list.tsx';
import { Card, Empty, Failed, Loading } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { tell } from '../ui/toast.tsx';
import { AdminPage } from './admin.tsx';
import type { Names } from '../routes.ts';

const ago = (at: number) => <span title={time(at, utc.value)}>{age(Math.max(0, Date.now() - at))} ago</span>;

const COLUMNS: Column<SignedIn>[] = [
  { id: 'user', title: 'User', phone: 'name', value: (session) => session.user, cell: (session) => <span class="pair"><a href={href('users', session.user)}>{session.user}</a>{session.is_own && <Badge level="ok">this browser</Badge>}</span> },
  { id: 'from', title: 'From', width: 24, phone: 'figure', value: (session) => session.from, cell: (session) => session.from },
  { id: 'since', title: 'Signed in', width: 18, end: true, phone: 'figure', value: (session) => session.since, cell: (session) => ago(session.since) },
  { id: 'used', title: 'Last used', width: 18, end: true, phone: 'figure', value: (session) => session.last_used, cell: (session) => ago(session.last_used) },
  { id: 'expires', title: 'Expires', width: 18, end: true, value: (session) => session.expires_at, cell: (session) => <span title={time(session.expires_at, utc.value)}>in {age(Math.max(0, session.expires_at - Date.now()))}</span> },
  { id: 'out', title: 'Sign out', width: 16, end: true, phone: 'state', cell: (session) => !session.is_own && <button type="button" class="small" aria-label={`Sign out ${session.user} at ${session.from}…`} onClick={() => signOut(session)}>Sign out…</button> },
];

export function Sessions(_: { names: Names }) {
  const { data, error } = usePoll<SignedIn[]>('/sessions');
  return (
    <AdminPage id="sessions">
      <Card>
        <p class="note">Browsers that are signed in. All nodes of the cluster know them.</p>
        {error && !data && <Failed what="The sessions" error={error} />}
        {data ? (
          <Whole id="sessions" label="Sessions" columns={COLUMNS} rows={data} rowKey={(session) => String(session.id)} order={{ by: 'used', isDown: true }} isBare empty={<Empty>No browser is signed in by a session.</Empty>} />
        ) : !error && <Loading rows={3} />}
      </Card>
    </AdminPage>
  );
}

function signOut({ id, user, from }: SignedIn): void {
  ask({
    title: `Sign ${user} out?`,
    text: <p>The browser at {from} has to sign in as {user} again.</p>,
    button: `Sign ${user} out`,
    run: async () => {
      await send('DELETE', url`/sessions/${id}`);
      refresh();
      tell(`${user} at ${from} is signed out`);
    },
  });
}
