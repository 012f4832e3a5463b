// Users: who there is, what they may do, and how they sign in.

import { useState } from 'preact/hooks';
import { get, send, url } from '../api/client.ts';
import type { Connection, Permission, User } from '../api/types.ts';
import { counted, shown } from '../lib/format.ts';
import { beside, go } from '../state/address.ts';
import { deleteAndLeave } from '../state/delete.ts';
import { refresh, usePoll } from '../state/poll.ts';
import { renew, session, vhosts } from '../state/session.ts';
import { Badge, Tag } from '../ui/badge.tsx';
import { ask, Dialog } from '../ui/dialog.tsx';
import { Form, type Field, type Values } from '../ui/form.tsx';
import { List } from '../ui/list.tsx';
import { Name } from '../ui/name.tsx';
import { Card, Empty, Failed, Loading } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { tell } from '../ui/toast.tsx';
import { AdminPage, LimitForm, limitsText } from './admin.tsx';
import { useKnown } from './parts.tsx';
import { Permissions, TopicPermissions } from './permissions.tsx';
import type { Names } from '../routes.ts';

/** Tags that the broker knows, with what they allow. */
const TAGS = [
  { value: 'management', title: 'management: the console, for what they may use' },
  { value: 'policymaker', title: 'policymaker: also policies and parameters' },
  { value: 'monitoring', title: 'monitoring: also everybody’s connections, and nodes' },
  { value: 'administrator', title: 'administrator: everything' },
];
const KNOWN_TAGS = TAGS.map((tag) => tag.value);

export function Users({ names }: { names: Names }) {
  const [isAdding, setAdding] = useState(false);
  const permissions = usePoll<Permission[]>('/permissions', { every: 15_000 }).data;
  const byUser = new Map<string, string[]>();
  for (const { user, vhost } of permissions ?? []) byUser.set(user, [...(byUser.get(user) ?? []), vhost]);
  const columns: Column<User>[] = [
    { id: 'name', title: 'Name', sort: 'name', phone: 'name', value: (user) => user.name,
      cell: (user) => <Name of={user.name} href={beside('users', user.name)} /> },
    { id: 'tags', title: 'Tags', sort: 'tags', width: 30, phone: 'line', value: (user) => user.tags.join(' '),
      cell: (user) => (user.tags.length ? user.tags.map((tag) => <Tag key={tag}>{tag}</Tag>) : <span class="muted">none: no console</span>) },
    { id: 'vhosts', title: 'May use', width: 30, phone: 'line', value: (user) => byUser.get(user.name)?.join(' '),
      cell: (user) => <MayUse vhosts={permissions && (byUser.get(user.name) ?? [])} /> },
    { id: 'password', title: 'Password', width: 14, value: (user) => user.password_hash !== '', cell: (user) => (user.password_hash ? 'yes' : <span class="muted">none</span>) },
    { id: 'limits', title: 'Limits', width: 36, value: (user) => limitsText(user.limits), cell: (user) => limitsText(user.limits) },
  ];
  const add = <button type="button" onClick={() => setAdding(true)}>New user</button>;
  return (
    <AdminPage id="users" tools={add}>
      <List of="users" path="/users" columns={columns} rowKey={(user) => user.name} order={{ by: 'name', isDown: false }} empty={<Empty action={add}>No users.</Empty>} />
      {isAdding && <Dialog title="New user" side onClose={() => setAdding(false)}><NewUser onDone={() => setAdding(false)} /></Dialog>}
      {names.name !== undefined && <Dialog key={names.name} title={names.name} side="wide" onClose={() => go(beside('users'))}><Detail name={names.name} /></Dialog>}
    </AdminPage>
  );
}

function MayUse({ vhosts: of }: { vhosts: string[] | undefined }) {
  if (!of) return <>–</>;
  if (of.length === 0) return <Badge level="warn">no vhost</Badge>;
  return <span title={of.join(', ')}>{of.length > 3 ? `${of.slice(0, 3).map(shown).join(', ')} and ${of.length - 3} more` : of.map(shown).join(', ')}</span>;
}

/** How somebody signs in: a password, its hash, or not by one at all. */
function passwordFields(first: { value: string; title: string }[]): Field[] {
  return [
    { name: 'sign_in', label: 'Signs in with', kind: 'select', options: [...first, { value: 'password', title: 'A password' }, { value: 'hash', title: 'A password whose hash is given' }, { value: 'none', title: 'No password: certificates or other means only' }] },
    { name: 'password', label: 'Password', kind: 'password', isRequired: true, when: (values) => values.sign_in === 'password' },
    { name: 'again', label: 'Password again', kind: 'password', isRequired: true, when: (values) => values.sign_in === 'password' },
    { name: 'password_hash', label: 'Hash', isRequired: true, when: (values) => values.sign_in === 'hash', help: 'Base64 of the salt and the hash over salt and password, as definitions have it.' },
    { name: 'hashing_algorithm', label: 'Hashed with', kind: 'select', when: (values) => values.sign_in === 'hash', options: ['rabbit_password_hashing_sha256', 'rabbit_password_hashing_sha512', 'rabbit_password_hashing_md5'] },
  ];
}

function tagFields(tags: string[]): Field[] {
  return [
    { name: 'tags', label: 'Tags', kind: 'choices', options: TAGS, value: tags.filter((tag) => KNOWN_TAGS.includes(tag)).join() },
    { name: 'other_tags', label: 'Other tags', value: tags.filter((tag) => !KNOWN_TAGS.includes(tag)).join(', '), help: 'With commas between them. They mean nothing to the broker.' },
  ];
}

/** The body that says it to the server; `kept` is what is there already. */
function spoken(values: Values, kept?: User): Record<string, string> {
  const other = values.other_tags?.split(',').map((tag) => tag.trim()).filter(Boolean) ?? [];
  const tags = [...(values.tags?.split(',').filter(Boolean) ?? []), ...other].join();
  switch (values.sign_in) {
    case 'password':
      if (values.password !== values.again) throw new Error('The password and the password again are not the same');
      return { tags, password: values.password ?? '' };
    case 'hash': return { tags, password_hash: values.password_hash ?? '', hashing_algorithm: values.hashing_algorithm ?? '' };
    case 'none': return { tags, password_hash: '' };
    default: return { tags, password_hash: kept?.password_hash ?? '', hashing_algorithm: kept?.hashing_algorithm ?? '' };
  }
}

function NewUser({ onDone }: { onDone: () => void }) {
  const fields: Field[] = [
    { name: 'name', label: 'Name', isRequired: true },
    ...passwordFields([]),
    ...tagFields([]),
    { name: 'vhosts', label: 'May do everything in', kind: 'choices', options: vhosts.value, help: 'Finer permissions can be set afterwards.' },
  ];
  return (
    <Form fields={fields} button="Add user" onCancel={onDone} submit={async (values) => {
      const name = values.name ?? '';
      if (await isThere(name)) throw new Error(`There is a user of the name ${name} already`);
      await send('PUT', url`/users/${name}`, spoken(values));
      for (const vhost of values.vhosts?.split(',').filter(Boolean) ?? []) {
        await send('PUT', url`/permissions/${vhost}/${name}`, { configure: '.*', write: '.*', read: '.*' });
      }
      refresh();
      tell(`User ${name} is there`);
      onDone();
    }} />
  );
}

async function isThere(name: string): Promise<boolean> {
  return (await get<Pick<User, 'name'>[]>('/users?columns=name')).some((user) => user.name === name);
}

function Detail({ name }: { name: string }) {
  const { data, error } = usePoll<User>(url`/users/${name}`);
  const open = usePoll<Connection[]>(url`/connections/username/${name}?columns=name`).data?.length;
  const known = useKnown();
  if (error?.isGone) return <Empty action={<a href={beside('users')}>To all users</a>}>There is no user {name}: deleted, or never there.</Empty>;
  if (!data) return error ? <Failed what={`User ${name}`} error={error} /> : <Loading />;
  return (
    <div class="stack">
      <div class="title">
        {data.tags.length ? data.tags.map((tag) => <Tag key={tag}>{tag}</Tag>) : <span class="muted">no tags</span>}
        <span class="muted">{data.password_hash ? 'has a password' : 'no password'}{open !== undefined && ` · ${counted(open, 'connection')}`}</span>
        <div class="tools">
          {open !== undefined && open > 0 && <button type="button" onClick={() => closeAll(name, open)}>Close connections…</button>}
          <button type="button" class="danger" disabled={name === session.value?.user} title={name === session.value?.user ? 'This is you' : undefined} onClick={() => remove(name, open)}>Delete…</button>
        </div>
      </div>
      <Card title="Permissions"><Permissions of={{ user: name }} /></Card>
      <Card title="Topic permissions"><TopicPermissions of={{ user: name }} /></Card>
      {known && <Card title="Limits"><LimitForm known={known.limits.user} values={data.limits} path={(limit) => url`/user-limits/${name}/${limit}`} /></Card>}
      <Card title="Password and tags">
        <Form
          key={`${data.password_hash} ${data.tags.join()}`}
          fields={[...passwordFields([{ value: 'same', title: data.password_hash ? 'The password as it is' : 'No password, as it is' }]), ...tagFields(data.tags)]}
          button="Save user"
          submit={async (values) => {
            await send('PUT', url`/users/${name}`, spoken(values, data));
            refresh();
            if (name === session.value?.user) await renew();
            tell(`User ${name} is saved`);
          }}
        />
      </Card>
    </div>
  );
}

function closeAll(name: string, open: number): void {
  ask({
    title: `Close connections of ${name}?`,
    text: <p>{counted(open, 'connection')} of {name} will be closed. Clients that connect again may do so.</p>,
    button: `Close ${counted(open, 'connection')} of ${name}`,
    type: open > 1 ? name : undefined,
    ask: 'Reason, which the clients are told',
    run: async (reason) => {
      await send('DELETE', url`/connections/username/${name}`, undefined, reason || undefined);
      refresh();
    },
  });
}

function remove(name: string, open: number | undefined): void {
  ask({
    title: `Delete user ${name}?`,
    text: <p>{name} will be gone, with all permissions and limits, and cannot sign in any more. {open ? `${counted(open, 'connection')} will be closed. ` : ''}This cannot be undone.</p>,
    button: `Delete user ${name}`,
    type: name,
    run: async () => {
      await deleteAndLeave(url`/users/${name}`, beside('users'));
      tell(`User ${name} is deleted`);
    },
  });
}
