// A list that the server sorts, filters and pages. All of it stands in the address.

import { X } from 'lucide';
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { query, read } from '../api/client.ts';
import type { Page } from '../api/types.ts';
import { chips, parse, plainToken, toggled, tokenOf } from '../lib/filter.ts';
import { count, shown } from '../lib/format.ts';
import { asked, setQuery } from '../state/address.ts';
import { usePoll } from '../state/poll.ts';
import { Empty, Failed, Loading } from './states.tsx';
import { Icon } from './icon.tsx';
import { sorted, Table, type Column, type Sorting } from './table.tsx';

const SIZES = [50, 100, 200, 500];
const NONE: never[] = [];

interface Props<T> {
  /** What is listed: `queues`. */
  of: string;
  path: string;
  columns: Column<T>[];
  rowKey: (row: T) => string;
  /** The order unless the address says another. */
  order: Sorting;
  /** A token that holds of everything here, and is not shown. */
  only?: string;
  /** Beside page, order and filter. */
  ask?: Record<string, string | number | boolean | undefined>;
  chosen?: (rows: T[], clear: () => void) => ComponentChildren;
  /** When there are none at all. */
  empty: ComponentChildren;
  /** Counts that filter, above the list: name of a facet, its value, what it is called. */
  facets?: { of: string; value: string; title: string }[];
  /** Facets of which every value that is there filters, the most frequent first: a name, and what its values are called together. */
  valuesOf?: { of: string; title: string }[];
  /** Tokens that the filter's help shows. */
  tokens?: string;
}

/** The list, its filter and its pages. */
export function List<T extends object>(props: Props<T>) {
  const { of, path, columns, rowKey, ask } = props;
  const text = asked('filter');
  const size = Number(asked('size', '50'));
  const number = Number(asked('page', '1'));
  const sorting: Sorting = asked('sort')
    ? { by: asked('sort'), isDown: asked('down') === 'true' }
    : props.order;
  const filter = parse(text);
  const tokens = [...(props.only ? [props.only] : []), ...filter.tokens];
  const question = (page: number, pageSize: number, beside = ask) =>
    path + query({
      page, page_size: pageSize, sort: sorting.by, sort_reverse: sorting.isDown, name: filter.name,
      use_regex: filter.isPattern || undefined, where: tokens.map((token) => plainToken(token).replace(/[\\,]/g, '\\$&')).join(',') || undefined, ...beside,
    });
  const { data, error, path: readPath, silent } = usePoll<Page<T>>(question(number, size));
  useEffect(() => {
    // A page that is gone because others were deleted: back to the first.
    if (error?.status === 400 && number > 1) setQuery({ page: undefined });
  }, [error]);
  const all = async () => {
    const found: T[] = [];
    for (let page = 1; ; page += 1) {
      // Trends are drawn, not listed.
      const part = (await read<Page<T>>(question(page, 500, { ...ask, trend: undefined }))).data;
      found.push(...(part?.items ?? []));
      if (!part || page >= part.page_count) return found;
    }
  };
  const empty = data
    ? text ? <Empty>Nothing matches <code>{text}</code>{props.only ? '' : `; ${count(data.total_count)} ${of} without the filter`}.</Empty> : props.empty
    : error ? <Failed what={`The list of ${of}`} error={error} /> : <Loading rows={8} />;
  return (
    <section class="card list">
      {silent.length > 0 && <p class="note">Without what {silent.join(', ')} know: no answer from there.</p>}
      {error && data && error.status !== 0 && <Failed what={`The list of ${of}`} error={error} />}
      <Table
        id={of}
        label={of}
        columns={columns}
        rows={data?.items ?? NONE}
        rowKey={rowKey}
        sorting={sorting}
        onSort={(next) => setQuery({ sort: next.by, down: next.isDown ? 'true' : 'false', page: undefined })}
        chosen={props.chosen}
        all={all}
        matching={data?.filtered_count}
        empty={empty}
        tools={<FilterBox of={of} text={text} tokens={props.tokens} />}
        below={<><Facets of={[...(props.facets ?? []), ...valuesIn(props.valuesOf ?? [], data?.facets)]} found={data?.facets} text={text} /><Chips text={text} /></>}
        isStale={data && readPath !== question(number, size)}
      />
      {data && <Pages number={number} size={size} page={data} />}
    </section>
  );
}

/** A list that comes whole, such as that of bindings: sorted here. */
export function Whole<T extends object>(props: {
  id: string; label: string; columns: Column<T>[]; rows: T[]; rowKey: (row: T) => string; order: Sorting; empty: ComponentChildren; tools?: ComponentChildren; isBare?: boolean;
  chosen?: (rows: T[], clear: () => void) => ComponentChildren;
}) {
  const [sorting, setSorting] = useState(props.order);
  return <Table {...props} rows={sorted(props.rows, props.columns, sorting)} sorting={sorting} onSort={setSorting} />;
}

/** Values that are offered of a facet. */
const OFFERED = 8;

function valuesIn(of: { of: string; title: string }[], found: Page<unknown>['facets']): { of: string; value: string; title: string }[] {
  return of.flatMap((facet) => {
    const values = Object.entries(found?.[facet.of] ?? {}).sort(([, a], [, b]) => b - a);
    // One value that all have says nothing.
    return values.length < 2 ? [] : values.slice(0, OFFERED).map(([value]) => ({ of: facet.of, value, title: shown(value) }));
  });
}

/** Counts that filter when they are pressed. */
function Facets({ of, found, text }: { of: { of: string; value: string; title: string }[]; found: Page<unknown>['facets']; text: string }) {
  if (!found) return null;
  const active = parse(text).tokens;
  const shown = of.map((each) => ({ ...each, chip: tokenOf(each.of, each.value), number: found[each.of]?.[each.value] ?? 0 }));
  const some = shown.filter(({ chip, number }) => number > 0 || active.includes(chip));
  if (some.length === 0) return null;
  return (
    <div class="facets" role="group" aria-label="Filter by">
      {some.map(({ chip, number, title }) => (
        <button key={chip} type="button" class="chip" aria-pressed={active.includes(chip)} onClick={() => setQuery({ filter: toggled(text, chip), page: undefined })}>
          {title} <b>{count(number)}</b>
        </button>
      ))}
    </div>
  );
}

function FilterBox({ of, text, tokens }: { of: string; text: string; tokens?: string }) {
  const [typed, setTyped] = useState(text);
  useEffect(() => setTyped(text), [text]);
  useEffect(() => {
    if (typed === text) return undefined;
    const timer = setTimeout(() => setQuery({ filter: typed.trim(), page: undefined }), 250);
    return () => clearTimeout(timer);
  }, [typed]);
  return (
    <input
      type="search"
      class="filter"
      data-filter
      value={typed}
      aria-label={`Filter ${of}`}
      placeholder={tokens ? `Filter: name, /pattern/, ${tokens}` : 'Filter: name or /pattern/'}
      onInput={(event) => setTyped(event.currentTarget.value)}
    />
  );
}

function Chips({ text }: { text: string }) {
  const all = chips(text);
  if (all.length === 0) return null;
  return (
    <div class="chips" role="group" aria-label="Active filters">
      {all.map((chip) => (
        <button key={chip} type="button" class="chip" aria-label={`Remove ${chip}`} onClick={() => setQuery({ filter: toggled(text, chip), page: undefined })}>
          {chip} <Icon of={X} size={12} />
        </button>
      ))}
    </div>
  );
}

function Pages({ number, size, page }: { number: number; size: number; page: Page<unknown> }) {
  const from = page.item_count === 0 ? 0 : (number - 1) * size + 1;
  return (
    <nav class="pages" aria-label="Pages">
      <span>{count(from)}–{count(from + page.item_count - (page.item_count ? 1 : 0))} of {count(page.filtered_count)}</span>
      <button type="button" disabled={number <= 1} onClick={() => setQuery({ page: number > 2 ? number - 1 : undefined })}>Previous</button>
      <button type="button" disabled={number >= page.page_count} onClick={() => setQuery({ page: number + 1 })}>Next</button>
      <label>
        <span class="hidden">Rows on a page</span>
        <select value={String(size)} onChange={(event) => setQuery({ size: event.currentTarget.value, page: undefined })}>
          {SIZES.map((each) => <option key={each} value={String(each)}>{each} rows</option>)}
        </select>
      </label>
    </nav>
  );
}
