// Where the page is: the part of the address after `#`, its path and its query. Pages, sorting,
// filters and tabs live there, so that a link shows what its sender saw.

import { signal } from '@preact/signals';

export interface Address {
  /** Parts of the path, unescaped: `['queues', '/', 'orders']`. */
  parts: string[];
  query: URLSearchParams;
}

export const address = signal(read(location.hash));

function read(hash: string): Address {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split(/\?(.*)/s, 2);
  const parts = path === '' ? [] : path.split('/').map(unescaped);
  return { parts, query: new URLSearchParams(query) };
}

function unescaped(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

addEventListener('hashchange', () => {
  address.value = read(location.hash);
});

/** The address of a place, for links: `href('queues', '/', 'orders')`. */
export function href(...parts: string[]): string {
  return `#/${parts.map(encodeURIComponent).join('/')}`;
}

/** The address of something whose panel opens over the page that is shown: order and filter stay. */
export function beside(...parts: string[]): string {
  const query = new URLSearchParams(address.value.query);
  query.delete('tab');
  const text = query.toString();
  return text ? `${href(...parts)}?${text}` : href(...parts);
}

/** Goes to a place. */
export function go(to: string): void {
  location.hash = to;
}

/** How to leave the page that is shown now, once something is answered. Whoever has gone on by then stays there; whether nobody had. */
export function leaveTo(to: string): () => boolean {
  const here = href(...read(location.hash).parts);
  return () => {
    const isHere = href(...read(location.hash).parts) === here;
    if (isHere) go(to);
    return isHere;
  };
}

/** Changes parts of the query in place; undefined and '' take a part away. Of a page that is about to be left nothing is changed. */
export function setQuery(changes: Record<string, string | number | undefined>): void {
  if (href(...read(location.hash).parts) !== href(...address.value.parts)) return;
  const query = new URLSearchParams(address.value.query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined || value === '') query.delete(name);
    else query.set(name, String(value));
  }
  const text = query.toString();
  const path = href(...address.value.parts);
  history.replaceState(history.state, '', text ? `${path}?${text}` : path);
  address.value = read(location.hash);
}

/** A part of the query, or what it is otherwise. */
export function asked(name: string, otherwise = ''): string {
  return address.value.query.get(name) ?? otherwise;
}
