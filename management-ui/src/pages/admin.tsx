// What the pages of the place Admin have in common: the row of links, and tables of rights and limits.

import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { send } from '../api/client.ts';
import type { KnownArgument, LimitValues } from '../api/types.ts';
import { ADMIN } from '../routes.ts';
import { href } from '../state/address.ts';
import { refresh } from '../state/poll.ts';
import { renew } from '../state/session.ts';
import { Form } from '../ui/form.tsx';
import { tell } from '../ui/toast.tsx';

/** A page with the links to its neighbours. */
export function AdminPage({ id, tools, children }: { id: string; tools?: ComponentChildren; children: ComponentChildren }) {
  const links = useRef<HTMLElement>(null);
  const pages = ADMIN.filter((page) => page.needs?.value !== false);
  // Which vhosts there are may have changed elsewhere since this browser signed in.
  useEffect(() => void renew(), [id]);
  useEffect(() => {
    // On a narrow screen the row is a box that scrolls.
    const box = links.current;
    const here = box?.querySelector<HTMLElement>('[aria-current]');
    if (box && here) box.scrollLeft = here.offsetLeft - box.clientWidth / 2;
  }, [id]);
  return (
    <div class="page">
      <nav ref={links} class="subplaces" aria-label="Admin">
        {pages.map((page) => (
          <a key={page.id} href={href(page.id)} aria-current={page.id === id ? 'page' : undefined}>{page.title}</a>
        ))}
      </nav>
      <div class="title"><h1>{pages.find((page) => page.id === id)?.title}</h1><div class="tools">{tools}</div></div>
      {children}
    </div>
  );
}

/** Limits as a form: one field for each; an empty one is no limit. `path` is where a limit is put by its name. */
export function LimitForm({ known, values, path }: { known: KnownArgument[]; values: LimitValues; path: (limit: string) => string }) {
  return (
    <Form
      key={JSON.stringify(values)}
      fields={known.map(({ name, help }) => ({ name, label: name, kind: 'number', help, value: values[name] === undefined ? '' : String(values[name]), placeholder: 'no limit' }))}
      button="Save limits"
      submit={async (given) => {
        for (const { name } of known) {
          const text = given[name]?.trim() ?? '';
          if (text === String(values[name] ?? '')) continue;
          if (text === '') await send('DELETE', path(name));
          else await send('PUT', path(name), { value: wholeNumber(name, text) });
        }
        refresh();
        tell('Limits are saved');
      }}
    />
  );
}

/** A whole number out of a field. */
export function wholeNumber(name: string, text: string): number {
  if (!/^-?\d+$/.test(text)) throw new Error(`${name} has to be a whole number`);
  return Number(text);
}

/** Limits in a word each. */
export function limitsText(values: LimitValues | undefined): string {
  return Object.entries(values ?? {}).map(([name, value]) => `${value < 0 ? 'any' : value} ${name.replace(/^max-/, '')}`).join(', ') || '–';
}
