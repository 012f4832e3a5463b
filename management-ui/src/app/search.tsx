// One box that finds everything by name: queues, exchanges, connections and whatever else has a page.

import { useEffect, useId, useState } from 'preact/hooks';
import { get, query } from '../api/client.ts';
import type { Found } from '../api/types.ts';
import { go, href } from '../state/address.ts';
import { Dialog } from '../ui/dialog.tsx';
import { Name } from '../ui/name.tsx';
import { Tag } from '../ui/badge.tsx';

/** How long nothing is typed before the server is asked, in milliseconds. */
const REST = 150;

export function SearchBox({ onClose }: { onClose: () => void }) {
  const [text, setText] = useState('');
  const [found, setFound] = useState<Found[]>([]);
  const [at, setAt] = useState(0);
  const [failure, setFailure] = useState('');
  const id = useId();
  useEffect(() => {
    if (!text.trim()) {
      setFound([]);
      return undefined;
    }
    const stop = new AbortController();
    const timer = setTimeout(() => {
      get<Found[]>(`/search${query({ q: text.trim(), limit: 20 })}`, stop.signal).then(
        (results) => {
          setFound(results.filter((each) => place(each)));
          setAt(0);
          setFailure('');
        },
        (error: Error) => !stop.signal.aborted && setFailure(error.message),
      );
    }, REST);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [text]);
  const open = (what: Found | undefined) => {
    const to = what && place(what);
    if (!to) return;
    onClose();
    go(to);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (step && found.length) {
      event.preventDefault();
      setAt((at + step + found.length) % found.length);
    } else if (event.key === 'Enter') {
      event.preventDefault();
      open(found[at]);
    }
  };
  return (
    <Dialog title="Search" onClose={onClose}>
      <div class="field">
        <input data-first role="combobox" aria-label="Name" aria-expanded={found.length > 0} aria-controls={`${id}-list`}
          aria-activedescendant={found.length ? `${id}-${at}` : undefined} aria-autocomplete="list" autocomplete="off" spellcheck={false}
          placeholder="Queue, exchange, connection, user …" value={text} onInput={(event) => setText(event.currentTarget.value)} onKeyDown={onKeyDown} />
      </div>
      <div class="results" role="listbox" id={`${id}-list`} aria-label="Results">
        {found.map((each, index) => (
          <a key={`${each.kind} ${each.vhost} ${each.name}`} id={`${id}-${index}`} role="option" aria-selected={index === at} tabIndex={-1} href={place(each)}
            onClick={(event) => {
              event.preventDefault();
              open(each);
            }}>
            <Tag>{each.kind.replace('_', ' ')}</Tag> <Name of={each.name} copy={false} /> {each.vhost && <span class="muted">{each.vhost}</span>}
          </a>
        ))}
      </div>
      <p class={failure ? 'failure' : 'help'} role="status">
        {failure || (text.trim() ? found.length === 0 && 'Nothing of that name.' : 'Part of a name; arrows choose, Enter opens.')}
      </p>
    </Dialog>
  );
}

/** The page of a thing that was found. */
function place({ kind, vhost, name }: Found): string | undefined {
  switch (kind) {
    case 'queue': return href('queues', vhost ?? '/', name);
    case 'exchange': return href('exchanges', vhost ?? '/', name);
    case 'connection': return href('connections', name);
    case 'channel': return href('channels', name);
    case 'vhost': return href('vhosts', name);
    case 'policy': return href('policies', vhost ?? '/', name);
    case 'operator_policy': return href('operator-policies', vhost ?? '/', name);
    case 'user': return href('users', name);
    case 'node': return href('nodes', name);
    default: return undefined;
  }
}
