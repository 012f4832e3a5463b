// Parameters: those of the whole cluster, and those of components in vhosts that definitions brought.

import { useState } from 'preact/hooks';
import { sendJson, url } from '../api/client.ts';
import type { GlobalParameter, Parameter } from '../api/types.ts';
import { plain } from '../lib/format.ts';
import { pretty } from '../lib/json.ts';
import { beside, go, leaveTo } from '../state/address.ts';
import { deleteAndLeave } from '../state/delete.ts';
import { refresh, usePoll } from '../state/poll.ts';
import { vhost as chosen } from '../state/settings.ts';
import { ask, Dialog } from '../ui/dialog.tsx';
import { Form, type Field } from '../ui/form.tsx';
import { Whole } from '../ui/list.tsx';
import { Name } from '../ui/name.tsx';
import { Card, Empty, Failed, Loading } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { tell } from '../ui/toast.tsx';
import { AdminPage } from './admin.tsx';
import { hasManyVhosts } from './parts.tsx';
import type { Names } from '../routes.ts';

type Any = GlobalParameter & Partial<Parameter>;

const VALUE: Column<Any> = { id: 'value', title: 'Value', width: 60, phone: 'line', value: (parameter) => plain(parameter.value), cell: (parameter) => <code title={plain(parameter.value)}>{plain(parameter.value)}</code> };

/** Components that have pages of their own. */
const ELSEWHERE = ['policy', 'operator_policy', 'vhost-limits'];

const pathOf = (of: Any) => (of.component ? url`/parameters/${of.component}/${of.vhost ?? ''}/${of.name}` : url`/global-parameters/${of.name}`);
const panelOf = (of: Any) => (of.component ? beside('parameters', of.component, of.vhost ?? '', of.name) : beside('global-parameters', of.name));

export function Parameters({ names }: { names: Names }) {
  const [isAdding, setAdding] = useState(false);
  const globals = usePoll<Any[]>('/global-parameters');
  const all = usePoll<Any[]>('/parameters');
  const close = () => setAdding(false);
  const shown = all.data?.filter((each) => !ELSEWHERE.includes(each.component ?? '') && (!chosen.value || each.vhost === chosen.value));
  const name: Column<Any> = { id: 'name', title: 'Name', phone: 'name', value: (parameter) => parameter.name, cell: (parameter) => <Name of={parameter.name} href={panelOf(parameter)} /> };
  const columns: Column<Any>[] = [
    name,
    ...(hasManyVhosts() ? [{ id: 'vhost', title: 'vhost', width: 14, value: (parameter: Any) => parameter.vhost, cell: (parameter: Any) => parameter.vhost }] : []),
    { id: 'component', title: 'Component', width: 24, phone: 'state', value: (parameter) => parameter.component, cell: (parameter) => parameter.component },
    VALUE,
  ];
  const add = <button type="button" onClick={() => setAdding(true)}>New global parameter</button>;
  return (
    <AdminPage id="parameters">
      <Card title="Of the cluster" tools={add}>
        {globals.error && !globals.data && <Failed what="The global parameters" error={globals.error} />}
        {globals.data ? (
          <Whole id="global-parameters" label="Global parameters" columns={[name, VALUE]} rows={globals.data} rowKey={(parameter) => parameter.name} order={{ by: 'name', isDown: false }} isBare
            empty={<Empty>No global parameters.</Empty>} />
        ) : !globals.error && <Loading rows={2} />}
      </Card>
      <Card title="Of components">
        {all.error && !all.data && <Failed what="The parameters" error={all.error} />}
        {shown ? (
          <Whole id="parameters" label="Parameters" columns={columns} rows={shown} rowKey={(parameter) => `${parameter.component} ${parameter.vhost} ${parameter.name}`} order={{ by: 'name', isDown: false }} isBare
            empty={<Empty>No parameters{chosen.value ? ` in ${chosen.value}` : ''}. Those of shovels and federation that definitions bring are kept here, and nothing acts on them.</Empty>} />
        ) : !all.error && <Loading rows={2} />}
      </Card>
      {isAdding && <Dialog title="New global parameter" side onClose={close}><Edit onDone={close} /></Dialog>}
      {names.name !== undefined && (
        <Dialog key={names.name} title={names.name} side onClose={() => go(beside('parameters'))}>
          <Detail all={names.component ? all.data : globals.data} names={names} />
        </Dialog>
      )}
    </AdminPage>
  );
}

function Detail({ all, names }: { all: Any[] | undefined; names: Names }) {
  const found = all?.find((each) => each.name === names.name && each.component === names.component && each.vhost === names.vhost);
  if (!all) return <Loading />;
  if (!found) return <Empty action={<a href={beside('parameters')}>To all parameters</a>}>There is no parameter {names.name}: deleted, or never there.</Empty>;
  return (
    <div class="stack">
      <div class="title">
        <span class="muted">{found.component ? `${found.component} in ${found.vhost}` : 'of the cluster'}</span>
        <div class="tools"><button type="button" class="danger" onClick={() => remove(found)}>Delete…</button></div>
      </div>
      {found.component
        ? <><p class="note">It is kept for definitions: nothing here acts on it.</p><pre class="whole">{pretty(JSON.stringify(found.value)) ?? plain(found.value)}</pre></>
        : <Edit key={plain(found.value)} of={found} onDone={leaveTo(beside('parameters'))} />}
    </div>
  );
}

function Edit({ of, onDone }: { of?: Any; onDone: () => void }) {
  const text = of && JSON.stringify(of.value);
  const fields: Field[] = [
    ...(of ? [] : [{ name: 'name', label: 'Name', isRequired: true }]),
    { name: 'value', label: 'Value', kind: 'area', isRequired: true, value: text && (pretty(text) ?? text), help: 'As JSON: a text stands in quotes.' },
  ];
  return (
    <Form fields={fields} button={of ? 'Save parameter' : 'Add parameter'} onCancel={onDone} submit={async (values) => {
      const name = of?.name ?? values.name ?? '';
      const json = values.value ?? '';
      try {
        JSON.parse(json);
      } catch (error) {
        throw new Error(`The value is not JSON: ${error instanceof Error ? error.message : error}`);
      }
      await sendJson('PUT', url`/global-parameters/${name}`, `{"name":${JSON.stringify(name)},"value":${json}}`);
      refresh();
      tell(`Parameter ${name} is ${of ? 'saved' : 'there'}`);
      onDone();
    }} />
  );
}

function remove(of: Any): void {
  ask({
    title: `Delete parameter ${of.name}?`,
    text: <p>{of.name} will be gone{of.vhost ? ` from ${of.vhost}` : ''}. This cannot be undone.</p>,
    button: `Delete parameter ${of.name}`,
    run: async () => {
      await deleteAndLeave(pathOf(of), beside('parameters'));
      tell(`Parameter ${of.name} is deleted`);
    },
  });
}
