// Who may do what where: permissions and topic permissions, of a user or in a vhost.

import { send, url } from '../api/client.ts';
import type { Exchange, Permission, TopicPermission, User } from '../api/types.ts';
import { href } from '../state/address.ts';
import { refresh, usePoll } from '../state/poll.ts';
import { renew, vhosts } from '../state/session.ts';
import { ask } from '../ui/dialog.tsx';
import { Form, type Field } from '../ui/form.tsx';
import { Whole } from '../ui/list.tsx';
import { Name } from '../ui/name.tsx';
import { Empty, Failed, Loading } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { tell } from '../ui/toast.tsx';

/** Of which user, or in which vhost. */
export type Whose = { user: string } | { vhost: string };

const PATTERN = 'A regular expression for whole names. Empty allows nothing.';

/** The field that names the other side, and the column that shows it. */
function useOther(whose: Whose): Field {
  const { data } = usePoll<Pick<User, 'name'>[]>('vhost' in whose ? '/users?columns=name' : null, { every: 60_000 });
  return 'user' in whose
    ? { name: 'vhost', label: 'vhost', kind: 'select', options: vhosts.value }
    : { name: 'user', label: 'User', isRequired: true, suggest: data?.map(({ name }) => name) ?? [] };
}

function otherColumn<T extends { user: string; vhost: string }>(whose: Whose): Column<T> {
  return 'user' in whose
    ? { id: 'vhost', title: 'vhost', value: (row) => row.vhost, phone: 'name', cell: (row) => <Name of={row.vhost} href={href('vhosts', row.vhost)} /> }
    : { id: 'user', title: 'User', value: (row) => row.user, phone: 'name', cell: (row) => <Name of={row.user} href={href('users', row.user)} /> };
}

function pathOf(whose: Whose, what: string): string {
  return ('user' in whose ? url`/users/${whose.user}` : url`/vhosts/${whose.vhost}`) + `/${what}`;
}

const code = (text: string) => (text === '' ? <span class="muted">nothing</span> : <code title={text}>{text}</code>);

export function Permissions({ of: whose }: { of: Whose }) {
  const { data, error } = usePoll<Permission[]>(pathOf(whose, 'permissions'));
  const other = useOther(whose);
  if (!data) return error ? <Failed what="The permissions" error={error} /> : <Loading />;
  const columns: Column<Permission>[] = [
    otherColumn(whose),
    { id: 'configure', title: 'Configure', width: 16, phone: 'line', value: (row) => row.configure, cell: (row) => code(row.configure) },
    { id: 'write', title: 'Write', width: 16, phone: 'line', value: (row) => row.write, cell: (row) => code(row.write) },
    { id: 'read', title: 'Read', width: 16, phone: 'line', value: (row) => row.read, cell: (row) => code(row.read) },
    { id: 'clear', title: 'Clear', width: 12, end: true, phone: 'state', cell: (row) => <button type="button" class="small" aria-label={`Clear permissions of ${row.user} in ${row.vhost}…`} onClick={() => clear(row)}>Clear…</button> },
  ];
  return (
    <>
      <Whole id="permissions" label="Permissions" columns={columns} rows={data} rowKey={(row) => `${row.vhost} ${row.user}`} order={{ by: other.name, isDown: false }} isBare
        empty={<Empty>{'user' in whose ? `${whose.user} may not use any vhost.` : `Nobody may use ${whose.vhost}.`}</Empty>} />
      <details class="more">
        <summary>Set permissions</summary>
        <Form
          fields={[
            other,
            { name: 'configure', label: 'Configure', value: '.*', help: PATTERN },
            { name: 'write', label: 'Write', value: '.*' },
            { name: 'read', label: 'Read', value: '.*' },
          ]}
          button="Set permissions"
          submit={async (values) => {
            const { user, vhost } = { ...values, ...whose } as unknown as Permission;
            await send('PUT', url`/permissions/${vhost}/${user}`, { configure: values.configure, write: values.write, read: values.read });
            refresh();
            await renew();
            tell(`Permissions of ${user} in ${vhost} are set`);
          }}
        />
      </details>
    </>
  );
}

function clear({ user, vhost }: Permission): void {
  ask({
    title: `Clear permissions of ${user}?`,
    text: <p>{user} may not use {vhost} any more. Connections that are open stay, and what they ask for is refused.</p>,
    button: `Clear permissions of ${user}`,
    run: async () => {
      await send('DELETE', url`/permissions/${vhost}/${user}`);
      refresh();
      await renew();
    },
  });
}

export function TopicPermissions({ of: whose }: { of: Whose }) {
  const { data, error } = usePoll<TopicPermission[]>(pathOf(whose, 'topic-permissions'));
  const other = useOther(whose);
  const exchanges = usePoll<Pick<Exchange, 'name' | 'type' | 'vhost'>[]>('/exchanges?columns=name,type,vhost', { every: 60_000 });
  if (!data) return error ? <Failed what="The topic permissions" error={error} /> : <Loading />;
  const topics = exchanges.data?.filter((exchange) => exchange.type === 'topic' && (!('vhost' in whose) || exchange.vhost === whose.vhost));
  const columns: Column<TopicPermission>[] = [
    otherColumn(whose),
    { id: 'exchange', title: 'Exchange', width: 18, phone: 'line', value: (row) => row.exchange, cell: (row) => <a href={href('exchanges', row.vhost, row.exchange || 'amq.default')}>{row.exchange || '(AMQP default)'}</a> },
    { id: 'write', title: 'Write', width: 14, phone: 'line', value: (row) => row.write, cell: (row) => code(row.write) },
    { id: 'read', title: 'Read', width: 14, phone: 'line', value: (row) => row.read, cell: (row) => code(row.read) },
    { id: 'clear', title: 'Clear', width: 11, end: true, phone: 'state', cell: (row) => <button type="button" class="small" aria-label={`Clear topic permission of ${row.user} for ${row.exchange}…`} onClick={() => clearTopic(row)}>Clear…</button> },
  ];
  return (
    <>
      <Whole id="topic-permissions" label="Topic permissions" columns={columns} rows={data} rowKey={(row) => `${row.vhost} ${row.user} ${row.exchange}`} order={{ by: other.name, isDown: false }} isBare
        empty={<Empty>No topic permissions: routing keys are not looked at.</Empty>} />
      <details class="more">
        <summary>Set topic permission</summary>
        <Form
          fields={[
            other,
            { name: 'exchange', label: 'Exchange', isRequired: true, value: 'amq.topic', suggest: [...new Set(topics?.map(({ name }) => name))] },
            { name: 'write', label: 'Write', value: '.*', help: 'A regular expression for routing keys that may be published with.' },
            { name: 'read', label: 'Read', value: '.*', help: 'For binding keys.' },
          ]}
          button="Set topic permission"
          submit={async (values) => {
            const { user, vhost } = { ...values, ...whose } as unknown as Permission;
            await send('PUT', url`/topic-permissions/${vhost}/${user}`, { exchange: values.exchange, write: values.write, read: values.read });
            refresh();
            tell(`Topic permission of ${user} for ${values.exchange} is set`);
          }}
        />
      </details>
    </>
  );
}

function clearTopic({ user, vhost, exchange }: TopicPermission): void {
  ask({
    title: `Clear topic permission of ${user}?`,
    text: <p>Routing keys of {user} for {exchange} in {vhost} are not looked at any more: {user} may use all.</p>,
    button: `Clear topic permission of ${user}`,
    run: async () => {
      await send('DELETE', url`/topic-permissions/${vhost}/${user}/${exchange}`);
      refresh();
    },
  });
}

