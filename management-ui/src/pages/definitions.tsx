// Definitions: everything that is declared, as one document, out and in.

import { useState } from 'preact/hooks';
import { sendJson, text, url } from '../api/client.ts';
import type { DefinitionsPreview } from '../api/types.ts';
import { download } from '../lib/csv.ts';
import { counted, plain } from '../lib/format.ts';
import { pretty } from '../lib/json.ts';
import { refresh } from '../state/poll.ts';
import { renew, vhosts } from '../state/session.ts';
import { Badge } from '../ui/badge.tsx';
import { Form } from '../ui/form.tsx';
import { Card } from '../ui/states.tsx';
import { tell } from '../ui/toast.tsx';
import { AdminPage } from './admin.tsx';
import type { Names } from '../routes.ts';

const EVERYTHING = { value: '', title: 'Everything: users, vhosts and all in them' };
const pathOf = (vhost: string | undefined) => (vhost ? url`/definitions/${vhost}` : '/definitions');

export function Definitions(_: { names: Names }) {
  return (
    <AdminPage id="definitions">
      <div class="two">
        <Card title="Export">
          <p class="note">A document of what is declared, without messages. It holds the hashes of passwords: keep it as you keep those.</p>
          <Form
            fields={[
              { name: 'vhost', label: 'Of', kind: 'select', options: [EVERYTHING, ...vhosts.value.map((name) => ({ value: name, title: `vhost ${name}` }))] },
              { name: 'file', label: 'File', value: `${location.hostname}-${new Date().toISOString().slice(0, 10)}.json` },
            ]}
            button="Download definitions"
            submit={async ({ vhost, file }) => {
              const document = await text(pathOf(vhost));
              download(file || 'definitions.json', 'application/json', pretty(document) ?? document);
            }}
          />
        </Card>
        <Card title="Import">
          <p class="note">What the document has is added or changed; what it does not have stays as it is. Queues and exchanges that are there are not changed.</p>
          <Import />
        </Card>
      </div>
    </AdminPage>
  );
}

function Import() {
  const [sent, setSent] = useState(0);
  return (
    <Form
      key={sent}
      fields={[
        { name: 'vhost', label: 'Into', kind: 'select', options: [EVERYTHING, ...vhosts.value.map((name) => ({ value: name, title: `vhost ${name}` }))] },
        { name: 'from', label: 'Document', kind: 'select', options: [{ value: 'file', title: 'From a file' }, { value: 'text', title: 'Written here' }] },
        { name: 'document', label: 'File', kind: 'file', isRequired: true, when: (values) => values.from !== 'text' },
        { name: 'written', label: 'JSON', kind: 'area', isRequired: true, when: (values) => values.from === 'text' },
      ]}
      button="Import definitions"
      submit={async ({ vhost, document, written }) => {
        const json = document || written || '';
        if (contents(json) === undefined) throw new Error('The document is not JSON');
        await sendJson('POST', pathOf(vhost), json);
        refresh();
        await renew();
        tell('The definitions are imported');
        setSent(sent + 1);
      }}
    >
      {(values) => {
        const json = (values.from === 'text' ? values.written : values.document) ?? '';
        return (
          <>
            <Contents json={json} />
            {json && contents(json) && !values.vhost && <DryRun json={json} />}
          </>
        );
      }}
    </Form>
  );
}

/** What the import would do, asked of the broker, which does nothing of it. */
function DryRun({ json }: { json: string }) {
  const [found, setFound] = useState<{ json: string; preview: DefinitionsPreview }>();
  const [failure, setFailure] = useState('');
  const look = async () => {
    setFailure('');
    try {
      setFound({ json, preview: await sendJson<DefinitionsPreview>('POST', '/definitions?dry_run=true', json) });
    } catch (error) {
      setFailure(error instanceof Error ? error.message : String(error));
    }
  };
  const preview = found?.json === json ? found.preview : undefined;
  return (
    <section class="preview" aria-label="What it would change" role="status">
      {failure && <p class="failure">It would be refused: {failure}</p>}
      {preview ? <Would of={preview} /> : <div><button type="button" onClick={() => void look()}>Show what it would change</button></div>}
    </section>
  );
}

/** Things of each sort that are listed. */
const LISTED = 12;

function Would({ of: { create, change, conflict } }: { of: DefinitionsPreview }) {
  if (create.length + change.length + conflict.length === 0) return <p>Nothing: all of it is there already.</p>;
  const more = (list: unknown[]) => list.length > LISTED && <li class="muted">and {list.length - LISTED} more</li>;
  return (
    <>
      {create.length > 0 && <><h3>It would add {counted(create.length, 'thing')}</h3>
        <ul class="changes">{create.slice(0, LISTED).map((each) => <li key={`${each.kind} ${each.name}`}>{each.kind.replace('_', ' ')} <b>{each.name}</b></li>)}{more(create)}</ul></>}
      {change.length > 0 && <><h3>It would change {counted(change.length, 'thing')}</h3>
        <ul class="changes">{change.slice(0, LISTED).map((each) => <li key={`${each.kind} ${each.name}`}>{each.kind.replace('_', ' ')} <b>{each.name}</b> <span class="muted">{plain(each.from)} → {plain(each.to)}</span></li>)}{more(change)}</ul></>}
      {conflict.length > 0 && <><h3><Badge level="warn">{counted(conflict.length, 'conflict')}</Badge></h3>
        <ul class="changes">{conflict.slice(0, LISTED).map((each, at) => <li key={at}><b>{each.name}</b> {each.why}</li>)}{more(conflict)}</ul></>}
    </>
  );
}

/** How many of each kind a document has. */
function contents(json: string): [string, number][] | undefined {
  try {
    const document = JSON.parse(json) as Record<string, unknown>;
    return Object.entries(document).flatMap(([kind, list]): [string, number][] => (Array.isArray(list) && list.length ? [[kind, list.length]] : []));
  } catch {
    return undefined;
  }
}

function Contents({ json }: { json: string }) {
  if (!json) return null;
  const found = contents(json);
  return (
    <p class={found ? 'note' : 'failure'} role="status">
      {!found ? 'This is not JSON.' : found.length === 0 ? 'It has nothing to import.' : `It has ${found.map(([kind, number]) => counted(number, kind.replaceAll('_', ' ').replace(/ies$/, 'y').replace(/s$/, ''), kind.replaceAll('_', ' '))).join(', ')}.`}
    </p>
  );
}
