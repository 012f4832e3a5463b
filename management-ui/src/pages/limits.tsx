// Limits of vhosts and of users, each as a row with its limits in columns.

import { useState } from 'preact/hooks';
import { send, url } from '../api/client.ts';
import type { KnownArgument, Limited, User } from '../api/types.ts';
import { count } from '../lib/format.ts';
import { href } from '../state/address.ts';
import { refresh, usePoll } from '../state/poll.ts';
import { isAdministrator, vhosts } from '../state/session.ts';
import { ask, Dialog } from '../ui/dialog.tsx';
import { Form, type Field } from '../ui/form.tsx';
import { Whole } from '../ui/list.tsx';
import { Name } from '../ui/name.tsx';
import { Card, Empty, Failed, Loading } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { tell } from '../ui/toast.tsx';
import { AdminPage, wholeNumber } from './admin.tsx';
import { useKnown } from './parts.tsx';
import type { Names } from '../routes.ts';

type Kind = 'vhost' | 'user';

export function Limits(_: { names: Names }) {
  const known = useKnown();
  const [adding, setAdding] = useState<Kind>();
  return (
    <AdminPage id="limits">
      {(['vhost', 'user'] as const).filter((kind) => kind === 'vhost' || isAdministrator.value).map((kind) => (
        <LimitsOf key={kind} kind={kind} known={known?.limits[kind]} onAdd={() => setAdding(kind)} />
      ))}
      {adding && known && <Dialog title={`Set a limit of a ${adding}`} side onClose={() => setAdding(undefined)}><SetLimit kind={adding} known={known.limits[adding]} onDone={() => setAdding(undefined)} /></Dialog>}
    </AdminPage>
  );
}

function LimitsOf({ kind, known, onAdd }: { kind: Kind; known: KnownArgument[] | undefined; onAdd: () => void }) {
  const { data, error } = usePoll<Limited[]>(`/${kind}-limits`);
  const nameOf = (row: Limited) => row[kind] ?? '';
  const columns: Column<Limited>[] = [
    { id: 'name', title: kind === 'vhost' ? 'vhost' : 'User', phone: 'name', value: nameOf, cell: (row) => <Name of={nameOf(row)} href={href(`${kind}s`, nameOf(row))} /> },
    ...(known ?? []).map(({ name }): Column<Limited> => ({
      id: name, title: name, width: 22, end: true, phone: 'line', value: (row) => row.value[name],
      cell: (row) => {
        const value = row.value[name];
        if (value === undefined) return '–';
        return <>{value < 0 ? 'no limit' : count(value)} {isAdministrator.value && <button type="button" class="small" aria-label={`Clear ${name} of ${nameOf(row)}…`} onClick={() => clear(kind, nameOf(row), name)}>Clear…</button>}</>;
      },
    })),
  ];
  const set = isAdministrator.value && known && <button type="button" onClick={onAdd}>Set a limit of a {kind}</button>;
  return (
    <Card title={kind === 'vhost' ? 'Of vhosts' : 'Of users'} tools={data && data.length > 0 && set}>
      {error && !data && <Failed what="The limits" error={error} />}
      {data && known ? (
        <Whole id={`${kind}-limits`} label={`Limits of ${kind}s`} columns={columns} rows={data} rowKey={nameOf} order={{ by: 'name', isDown: false }} isBare
          empty={<Empty action={set}>{kind === 'vhost' ? 'No vhost has a limit of queues or connections.' : 'No user has a limit of connections or channels.'}</Empty>} />
      ) : !error && <Loading rows={2} />}
    </Card>
  );
}

function SetLimit({ kind, known, onDone }: { kind: Kind; known: KnownArgument[]; onDone: () => void }) {
  const users = usePoll<Pick<User, 'name'>[]>(kind === 'user' ? '/users?columns=name' : null, { every: 60_000 }).data;
  const fields: Field[] = [
    kind === 'vhost'
      ? { name: 'name', label: 'vhost', kind: 'select', options: vhosts.value }
      : { name: 'name', label: 'User', isRequired: true, suggest: users?.map(({ name }) => name) ?? [] },
    { name: 'limit', label: 'Limit', kind: 'select', options: known.map(({ name }) => name) },
    { name: 'value', label: 'Value', kind: 'number', isRequired: true, help: 'Below 0 is no limit; 0 allows none.' },
  ];
  return (
    <Form fields={fields} button="Set limit" onCancel={onDone} submit={async ({ name = '', limit = '', value = '' }) => {
      await send('PUT', url`/${`${kind}-limits`}/${name}/${limit}`, { value: wholeNumber('value', value.trim()) });
      refresh();
      tell(`${limit} of ${name} is ${value}`);
      onDone();
    }} />
  );
}

function clear(kind: Kind, name: string, limit: string): void {
  ask({
    title: `Clear ${limit} of ${name}?`,
    text: <p>The {kind} {name} has no {limit} any more.</p>,
    button: `Clear ${limit}`,
    run: async () => {
      await send('DELETE', url`/${`${kind}-limits`}/${name}/${limit}`);
      refresh();
    },
  });
}
