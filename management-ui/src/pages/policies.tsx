// Policies, and those of operators, which set bounds to them. Both pages are the same but for what a
// policy may hold and who may change it.

import { useState } from 'preact/hooks';
import { get, send, url } from '../api/client.ts';
import type { Overview, Policy } from '../api/types.ts';
import { plain } from '../lib/format.ts';
import { beside, go, leaveTo } from '../state/address.ts';
import { deleteAndLeave } from '../state/delete.ts';
import { refresh, usePoll } from '../state/poll.ts';
import { isAdministrator, isPolicymaker, vhosts } from '../state/session.ts';
import { vhost as chosen } from '../state/settings.ts';
import { Tag } from '../ui/badge.tsx';
import { ask, Dialog } from '../ui/dialog.tsx';
import { argumentsOf, Form, rowsOf, type Field, type Values } from '../ui/form.tsx';
import { List } from '../ui/list.tsx';
import { Name } from '../ui/name.tsx';
import { Empty, Failed, Loading } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { tell } from '../ui/toast.tsx';
import { AdminPage, wholeNumber } from './admin.tsx';
import { hasManyVhosts, inVhost, useKnown } from './parts.tsx';
import { Preview } from './policy-preview.tsx';
import type { Names } from '../routes.ts';

interface Kind {
  /** In addresses, of pages and of the API. */
  id: 'policies' | 'operator-policies';
  one: string;
  /** What they are for, where there are none. */
  purpose: string;
}

const KINDS: Record<'own' | 'operator', Kind> = {
  own: { id: 'policies', one: 'policy', purpose: 'Policies give arguments to many queues or exchanges at once, and can be changed later.' },
  operator: { id: 'operator-policies', one: 'operator policy', purpose: 'Operator policies bound what the policies and arguments of others may ask for.' },
};

/** What a policy can be for. */
const APPLY_TO = [
  { value: 'queues', title: 'Queues of all types' }, { value: 'classic_queues', title: 'Classic queues' }, { value: 'quorum_queues', title: 'Quorum queues' },
  { value: 'streams', title: 'Streams' },
];
const APPLY_TO_EXCHANGES = [{ value: 'exchanges', title: 'Exchanges' }, { value: 'all', title: 'Queues and exchanges' }];

export const Policies = ({ names }: { names: Names }) => <PoliciesOf kind={KINDS.own} names={names} />;
export const OperatorPolicies = ({ names }: { names: Names }) => <PoliciesOf kind={KINDS.operator} names={names} />;

function useMayChange(kind: Kind): boolean {
  const { data } = usePoll<Pick<Overview, 'is_op_policy_updating_enabled'>>(kind === KINDS.operator ? '/overview?columns=is_op_policy_updating_enabled' : null, { every: 60_000 });
  return kind === KINDS.own ? isPolicymaker.value : isAdministrator.value && data?.is_op_policy_updating_enabled !== false;
}

function PoliciesOf({ kind, names }: { kind: Kind; names: Names }) {
  const [isAdding, setAdding] = useState(false);
  const mayChange = useMayChange(kind);
  const { id, one } = kind;
  const columns: Column<Policy>[] = [
    { id: 'name', title: 'Name', sort: 'name', phone: 'name', value: (policy) => policy.name, cell: (policy) => <Name of={policy.name} href={beside(id, policy.vhost, policy.name)} /> },
    ...(hasManyVhosts() ? [{ id: 'vhost', title: 'vhost', sort: 'vhost', width: 14, value: (policy: Policy) => policy.vhost, cell: (policy: Policy) => policy.vhost }] : []),
    { id: 'pattern', title: 'Pattern', sort: 'pattern', width: 24, phone: 'line', value: (policy) => policy.pattern, cell: (policy) => (policy.pattern === '' ? <span class="muted">every name</span> : <code title={policy.pattern}>{policy.pattern}</code>) },
    { id: 'apply-to', title: 'Applies to', sort: 'apply-to', width: 18, phone: 'state', value: (policy) => policy['apply-to'], cell: (policy) => policy['apply-to'].replace('_', ' ') },
    { id: 'definition', title: 'Definition', width: 50, phone: 'line', value: (policy) => JSON.stringify(policy.definition), cell: (policy) => <Definition of={policy} /> },
    { id: 'priority', title: 'Priority', sort: 'priority', width: 11, end: true, phone: 'line', value: (policy) => policy.priority, cell: (policy) => policy.priority },
  ];
  const add = mayChange && <button type="button" onClick={() => setAdding(true)}>New {one}</button>;
  return (
    <AdminPage id={id} tools={add}>
      <List of={id} path={inVhost(`/${id}`)} columns={columns} rowKey={(policy) => `${policy.vhost} ${policy.name}`} order={{ by: 'name', isDown: false }}
        empty={<Empty action={add}>No {id.replace('-', ' ')}{chosen.value ? ` in ${chosen.value}` : ''}. {kind.purpose}</Empty>} />
      {isAdding && <Dialog title={`New ${one}`} side="wide" onClose={() => setAdding(false)}><Edit kind={kind} onDone={() => setAdding(false)} /></Dialog>}
      {names.name !== undefined && (
        <Dialog key={`${names.vhost} ${names.name}`} title={names.name} side="wide" onClose={() => go(beside(id))}>
          <Detail kind={kind} vhost={names.vhost ?? '/'} name={names.name} mayChange={mayChange} />
        </Dialog>
      )}
    </AdminPage>
  );
}

function Definition({ of }: { of: Policy }) {
  return <>{Object.entries(of.definition).map(([name, value]) => <Tag key={name}>{name}: {plain(value)}</Tag>)}</>;
}

function Detail({ kind, vhost, name, mayChange }: { kind: Kind; vhost: string; name: string; mayChange: boolean }) {
  // A single one is for policymakers; the list is for everybody who may use the vhost.
  const { data, error } = usePoll<Policy[]>(url`/${kind.id}/${vhost}`);
  const policy = data?.find((each) => each.name === name);
  if (!data) return error ? <Failed what={`The ${kind.one}`} error={error} /> : <Loading />;
  if (!policy) return <Empty action={<a href={beside(kind.id)}>To all {kind.id.replace('-', ' ')}</a>}>There is no {kind.one} {name} in {vhost}: deleted, or never there.</Empty>;
  if (!mayChange) {
    return <p>For {policy['apply-to'].replace('_', ' ')} of {vhost} whose names match <code>{policy.pattern}</code>, with priority {policy.priority}: <Definition of={policy} /></p>;
  }
  return (
    <div class="stack">
      <div class="title">
        <span class="muted">vhost {vhost}</span>
        <div class="tools"><button type="button" class="danger" onClick={() => remove(kind, policy)}>Delete…</button></div>
      </div>
      <Edit key={JSON.stringify(policy)} kind={kind} of={policy} onDone={leaveTo(beside(kind.id))} />
    </div>
  );
}

function Edit({ kind, of, onDone }: { kind: Kind; of?: Policy; onDone: () => void }) {
  const known = useKnown();
  const isOperators = kind === KINDS.operator;
  const keys = known?.policy.filter((key) => !isOperators || key.operator);
  // The same key can be for queues of one type and of another.
  const byName = [...new Map(keys?.map((key) => [key.name, key])).values()];
  const fields: Field[] = [
    ...(of ? [] : [
      { name: 'vhost', label: 'vhost', kind: 'select', options: vhosts.value, value: chosen.value || undefined } satisfies Field,
      { name: 'name', label: 'Name', isRequired: true },
    ]),
    { name: 'pattern', label: 'Pattern', value: of?.pattern, placeholder: '^orders\\.', help: 'A regular expression; it matches anywhere in a name unless ^ and $ say otherwise. Empty is every name.' },
    { name: 'apply-to', label: 'Applies to', kind: 'select', options: isOperators ? APPLY_TO : [...APPLY_TO, ...APPLY_TO_EXCHANGES], value: of?.['apply-to'] },
    { name: 'priority', label: 'Priority', kind: 'number', value: String(of?.priority ?? 0), help: 'One applies to each queue: the highest wins.' },
    { name: 'definition', label: 'Definition', kind: 'arguments', known: byName, value: of && rowsOf(of.definition) },
  ];
  return (
    <Form fields={fields} button={of ? `Save ${kind.one}` : `Add ${kind.one}`} onCancel={onDone} submit={async (values) => {
      const { vhost = '', name = '' } = of ?? values;
      if (!of && await exists(kind, vhost, name)) throw new Error(`There is a ${kind.one} of the name ${name} in ${vhost} already`);
      await send('PUT', url`/${kind.id}/${vhost}/${name}`, spoken(values));
      refresh();
      tell(`${kind.one[0]?.toUpperCase()}${kind.one.slice(1)} ${name} is ${of ? 'saved' : 'there'}`);
      onDone();
    }}>
      {(values) => {
        const { vhost = '', name = '' } = of ?? values;
        return <Preview path={url`/${kind.id}/${vhost}/${name || NEW}/preview`} body={written(values)} />;
      }}
    </Form>
  );
}

/** Stands for the name of a policy that has none yet. */
const NEW = '(new)';

/** The body that says it to the server. */
function spoken(values: Values): { definition: Record<string, unknown> } & Record<string, unknown> {
  return { pattern: values.pattern ?? '', 'apply-to': values['apply-to'], priority: wholeNumber('priority', values.priority?.trim() || '0'), definition: argumentsOf(values.definition) };
}

/** The same while it is being written; nothing as long as it cannot be read, or says nothing. */
function written(values: Values) {
  try {
    const body = spoken(values);
    return Object.keys(body.definition).length > 0 ? body : undefined;
  } catch {
    return undefined;
  }
}

async function exists(kind: Kind, vhost: string, name: string): Promise<boolean> {
  return (await get<Policy[]>(url`/${kind.id}/${vhost}`)).some((policy) => policy.name === name);
}

function remove(kind: Kind, { vhost, name, pattern }: Policy): void {
  ask({
    title: `Delete ${kind.one} ${name}?`,
    text: <p>{name} will be gone from {vhost}. Whatever matches <code>{pattern}</code> goes on with what it was declared with, or with the next policy that matches it.</p>,
    button: `Delete ${kind.one} ${name}`,
    run: async () => {
      await deleteAndLeave(url`/${kind.id}/${vhost}/${name}`, beside(kind.id));
      tell(`${name} is deleted`);
    },
  });
}
