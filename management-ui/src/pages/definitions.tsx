// Everything declared, as a file to keep and to bring back.

import { useState } from 'preact/hooks';
import { get, send, url } from '../api/client.ts';
import { download } from '../lib/csv.ts';
import { counted } from '../lib/format.ts';
import { refresh } from '../state/poll.ts';
import { vhosts } from '../state/session.ts';
import { ask } from '../ui/dialog.tsx';
import { Card } from '../ui/states.tsx';
import { tell, tellFailure } from '../ui/toast.tsx';

const KINDS = ['users', 'vhosts', 'permissions', 'topic_permissions', 'parameters', 'global_parameters', 'policies', 'queues', 'exchanges', 'bindings'];

export function Definitions() {
  const [vhost, setVhost] = useState('');
  const path = vhost ? url`/definitions/${vhost}` : '/definitions';
  const save = async () => {
    const definitions = await get(path);
    download(`definitions-${new Date().toISOString().slice(0, 10)}.json`, 'application/json', `${JSON.stringify(definitions, null, 2)}\n`);
  };
  const bring = async (file: File) => {
    const text = await file.text();
    const definitions: unknown = JSON.parse(text);
    if (!definitions || typeof definitions !== 'object') throw new Error(`${file.name} holds no definitions`);
    const found = KINDS.flatMap((kind) => {
      const list = (definitions as Record<string, unknown>)[kind];
      return Array.isArray(list) && list.length ? [`${list.length} ${kind.replaceAll('_', ' ')}`] : [];
    });
    ask({
      title: `Import ${file.name}?`,
      text: <p>What it holds is declared{vhost ? ` in ${vhost}` : ''}: {found.join(', ') || 'nothing'}. Queues, exchanges and bindings that are there stay as they are; users, permissions, policies and parameters of the same name are replaced. Nothing is deleted.</p>,
      button: `Import ${counted(found.length, 'kind')} of things`,
      run: async () => {
        await send('POST', path, definitions);
        refresh();
        tell(`${file.name} was imported`);
      },
    });
  };
  return (
    <Card title="Definitions">
      <p class="note">Users, vhosts, policies, queues, exchanges and bindings; no messages. Passwords are in it as hashes.</p>
      <div class="inline">
        <label>Of
          <select value={vhost} onChange={(event) => setVhost(event.currentTarget.value)}>
            <option value="">everything</option>
            {vhosts.value.map((name) => <option key={name} value={name}>{name}</option>)}
          </select>
        </label>
        <button type="button" onClick={() => save().catch(tellFailure)}>Export</button>
        <label>Import a file
          <input type="file" accept="application/json,.json" onChange={(event) => {
            const input = event.currentTarget;
            const file = input.files?.[0];
            if (file) bring(file).catch(tellFailure);
            input.value = '';
          }} />
        </label>
      </div>
    </Card>
  );
}
