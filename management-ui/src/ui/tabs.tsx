// Tabs of a page. Which is open stands in the address.

import type { ComponentChildren } from 'preact';
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
  const first = of[0];
  const open = of.find((tab) => tab.id === asked('tab')) ?? first;
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
      <div class="tabs" role="tablist" aria-label={label} onKeyDown={onKeyDown}>
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
