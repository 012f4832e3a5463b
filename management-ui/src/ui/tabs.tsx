// Tabs of a page. Which is open stands in the address.

import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { asked, setQuery } from '../state/address.ts';

export interface TabOf {
  id: string;
  title: ComponentChildren;
  content: () => ComponentChildren;
}

/** A row of tabs; the first is open unless the address says another. */
export function Tabs({ of, label, isOfLists }: {
  of: TabOf[]; label: string;
  /** Each tab has a list of its own: order, page and filter are not those of the last. */
  isOfLists?: boolean;
}) {
  const row = useRef<HTMLDivElement>(null);
  const first = of[0];
  const open = of.find((tab) => tab.id === asked('tab')) ?? first;
  useEffect(() => {
    // On a narrow screen the row is a box that scrolls.
    const tab = row.current?.querySelector<HTMLElement>('[aria-selected="true"]');
    if (row.current && tab) row.current.scrollLeft = tab.offsetLeft - row.current.offsetLeft - (row.current.clientWidth - tab.offsetWidth) / 2;
  }, [open?.id]);
  if (!first || !open) return null;
  const choose = (tab: TabOf) => setQuery({
    tab: tab === first ? undefined : tab.id,
    ...(isOfLists ? { filter: undefined, sort: undefined, down: undefined, page: undefined } : {}),
  });
  const onKeyDown = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
    const next = of[(of.indexOf(open) + step + of.length) % of.length];
    if (!step || !next) return;
    event.preventDefault();
    choose(next);
    document.getElementById(`tab-${next.id}`)?.focus();
  };
  return (
    <>
      <div ref={row} class="tabs" role="tablist" aria-label={label} onKeyDown={onKeyDown}>
        {of.map((tab) => (
          <button
            key={tab.id}
            id={`tab-${tab.id}`}
            type="button"
            role="tab"
            aria-selected={tab === open}
            aria-controls="tab-content"
            tabIndex={tab === open ? 0 : -1}
            onClick={() => choose(tab)}
          >
            {tab.title}
          </button>
        ))}
      </div>
      <div id="tab-content" class="stack" role="tabpanel" aria-labelledby={`tab-${open.id}`}>{open.content()}</div>
    </>
  );
}
