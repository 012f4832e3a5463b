// Tables: columns that can be hidden, rows that can be chosen, an order that holds while somebody
// points at it. Built on table-core, which is named nowhere else.

import {
  columnVisibilityFeature, constructTable, createColumnHelper, rowSelectionFeature, tableFeatures, type RowData,
} from '@tanstack/table-core';
import { storeReactivityBindings } from '@tanstack/table-core/store-reactivity-bindings';
import { Columns3, Download, Minus, Plus } from 'lucide';
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useMemo, useReducer, useRef, useState } from 'preact/hooks';
import { csv, download } from '../lib/csv.ts';
import { count } from '../lib/format.ts';
import { load, save } from '../state/settings.ts';
import { Icon } from './icon.tsx';
import { tellFailure } from './toast.tsx';

export interface Column<T> {
  id: string;
  title: string;
  cell: (row: T) => ComponentChildren;
  /** For sorting here, and for CSV. */
  value?: (row: T) => string | number | boolean | null | undefined;
  /** The field the server sorts by; without it, and without `value`, there is no sorting. */
  sort?: string;
  /** Numbers stand at the end of their column. */
  end?: boolean;
  /** In characters; what is left goes to columns without. */
  width?: number;
  /** Not shown until asked for. */
  isHidden?: boolean;
  /** Where it stands in the two lines of a row on a phone, `line` being one of its own; nowhere without. */
  phone?: 'name' | 'state' | 'figure' | 'line';
}

export interface Sorting {
  by: string;
  isDown: boolean;
}

interface Props<T extends RowData> {
  /** What is kept of its columns is kept under this name. */
  id: string;
  label: string;
  columns: Column<T>[];
  rows: T[];
  rowKey: (row: T) => string;
  sorting?: Sorting;
  onSort?: (sorting: Sorting) => void;
  /** What can be done with the chosen rows; without it none can be chosen. */
  chosen?: (rows: T[], clear: () => void) => ComponentChildren;
  /** Everything the table shows a part of, for CSV; the rows themselves without it. */
  all?: () => Promise<T[]>;
  /** How many rows there are on all pages; it is `rows` that are all without it. */
  matching?: number;
  /** Instead of rows, when there are none. */
  empty: ComponentChildren;
  /** Beside the buttons of the table. */
  tools?: ComponentChildren;
  /** The data is of before, and new is on its way. */
  isStale?: boolean;
  /** Between the buttons and the rows. */
  below?: ComponentChildren;
  /** Small and always the same: no choice of columns, no CSV. */
  isBare?: boolean;
}

/** Characters that a column without a width has at least. */
const FREE = 24;
/** Pixels that a column has at least, and that it is made wider by. */
const NARROWEST = 56;
const STEP = 24;

const features = tableFeatures({
  coreReactivityFeature: storeReactivityBindings(),
  columnVisibilityFeature,
  rowSelectionFeature,
});

/** A table of things that have a key each. */
export function Table<T extends RowData>(props: Props<T>) {
  const { id, label, columns, rows, rowKey, sorting, onSort, chosen, empty } = props;
  const table = useTable(id, columns, rows, rowKey);
  const byId = new Map(columns.map((column) => [column.id, column]));
  const visible = table.getVisibleLeafColumns().flatMap((column) => byId.get(column.id) ?? []);
  const shown = useHeldOrder(table.getRowModel().rows);
  const widths = useWidths(id);
  const picked = useChosen(table.store.state.rowSelection, rows, rowKey, props.matching !== undefined);
  const clear = () => table.resetRowSelection(true);
  const chooseAll = (of: T[]) => {
    of.forEach((row) => picked.know(row));
    table.setRowSelection(Object.fromEntries(of.map((row) => [rowKey(row), true])));
  };
  const sort = (column: Column<T>) => {
    const by = column.sort ?? column.id;
    onSort?.({ by, isDown: sorting?.by === by ? !sorting.isDown : column.end === true });
  };
  return (
    <div class={props.isStale ? 'table stale' : 'table'}>
      {!props.isBare && <Bar {...props} everything={props.all} shown={shown} all={table.getAllLeafColumns()} widths={widths} />}
      {props.isBare && props.tools && <div class="bar"><span class="spring" />{props.tools}</div>}
      {props.below}
      {picked.rows.length > 0 && chosen && (
        <div class="chosen" role="region" aria-label="Chosen rows">
          <span>{count(picked.rows.length)} chosen{picked.elsewhere > 0 && <span class="muted">, {count(picked.elsewhere)} of them not on this page</span>}</span>
          <More of={props} chosen={picked.rows.length} choose={chooseAll} />
          {chosen(picked.rows, clear)}
          <button type="button" class="plain" onClick={clear}>Choose none</button>
        </div>
      )}
      {rows.length === 0 ? empty : (
        <div class="scroll" role="group" aria-label={label} tabIndex={0}>
          {/* The first column keeps room for a name; what does not fit scrolls. */}
          <table aria-label={label} style={{ minWidth: `calc(${visible.map((column) => widths.css(column) ?? `${FREE}ch`).join(' + ')})` }}>
            <colgroup>
              {chosen && <col class="pick" />}
              {visible.map((column) => <col key={column.id} style={{ width: widths.css(column) }} />)}
            </colgroup>
            <thead>
              <tr>
                {chosen && (
                  <th class="pick" scope="col">
                    <input type="checkbox" aria-label="Choose all rows of this page" checked={table.getIsAllRowsSelected()}
                      onChange={(event) => table.toggleAllRowsSelected(event.currentTarget.checked)} />
                  </th>
                )}
                {visible.map((column) => (
                  <Head key={column.id} column={column} sorting={sorting} onWidth={props.isBare ? undefined : (width) => widths.set(column, width)} onSort={onSort && (column.sort || column.value) ? sort : undefined} />
                ))}
              </tr>
            </thead>
            <tbody onPointerEnter={shown.hold} onPointerLeave={shown.release} onFocusIn={shown.hold} onFocusOut={shown.release}>
              {shown.rows.map((row) => (
                <tr key={row.id} class={row.getIsSelected() ? 'picked' : undefined}>
                  {chosen && (
                    <td class="pick">
                      <input type="checkbox" aria-label={`Choose ${row.id}`} checked={row.getIsSelected()} onClick={row.getToggleSelectedHandler()} />
                    </td>
                  )}
                  {visible.map((column, at) => {
                    const place = `${column.end ? 'end' : ''} ${column.phone ?? 'no'}-phone`;
                    const content = column.cell(row.original);
                    return at === 0
                      ? <th key={column.id} scope="row" class={place}>{content}</th>
                      : <td key={column.id} class={place} data-title={column.title}>{content}</td>;
                  })}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}

/** What can be done with the whole table. */
function Bar<T extends RowData>({ id, label, columns, rows, all, everything, tools, shown, widths }: {
  id: string; label: string; columns: Column<T>[]; rows: T[]; everything?: () => Promise<T[]>; tools?: ComponentChildren;
  all: { id: string; getIsVisible: () => boolean; toggleVisibility: (isOn: boolean) => void }[];
  shown: { waits: boolean; renew: () => void };
  widths: Widths;
}) {
  const menu = useId();
  const exported = async () => {
    try {
      const of = columns.filter((column) => column.value);
      const found = everything ? await everything() : rows;
      const lines = found.map((row) => of.map((column) => column.value?.(row)));
      download(`${id}.csv`, 'text/csv', csv([of.map((column) => column.title), ...lines]));
    } catch (error) {
      tellFailure(error);
    }
  };
  return (
    <div class="bar">
      {tools}
      <span class="spring" />
      {shown.waits && <button type="button" class="plain" onClick={shown.renew}>New order waits: show it</button>}
      <button type="button" class="plain" popovertarget={menu} aria-label={`Columns of ${label}`}>
        <Icon of={Columns3} /> <span class="wide">Columns</span>
      </button>
      <div id={menu} popover="auto" class="menu">
        {all.map((each, at) => {
          const column = columns.find(({ id: of }) => of === each.id);
          return column && (
            <div key={each.id} class="row">
              <label>
                <input type="checkbox" checked={each.getIsVisible()} disabled={at === 0} onChange={(event) => each.toggleVisibility(event.currentTarget.checked)} />
                {column.title}
              </label>
              <span class="steps">
                {([['Narrower', Minus, -STEP], ['Wider', Plus, STEP]] as const).map(([word, icon, step]) => (
                  <button key={word} type="button" class="plain" disabled={!each.getIsVisible()} aria-label={`${word}: ${column.title}`} title={word}
                    onClick={() => widths.set(column, widths.now(column, label) + step)}><Icon of={icon} size={13} /></button>
                ))}
              </span>
            </div>
          );
        })}
        {widths.isOwn && <button type="button" class="plain" onClick={widths.reset}>Widths as they were</button>}
      </div>
      <button type="button" class="plain" onClick={() => void exported()} aria-label={`CSV: export ${label}`}>
        <Icon of={Download} /> <span class="wide">CSV</span>
      </button>
    </div>
  );
}

/** Offers to choose what is on the other pages too. */
function More<T extends RowData>({ of, chosen, choose }: { of: Props<T>; chosen: number; choose: (rows: T[]) => void }) {
  const [isBusy, setBusy] = useState(false);
  const { all, matching = 0, rows } = of;
  if (!all || matching <= rows.length || chosen < rows.length || chosen >= matching) return null;
  const run = async () => {
    setBusy(true);
    await all().then(choose, tellFailure);
    setBusy(false);
  };
  return <button type="button" disabled={isBusy} onClick={() => void run()}>Choose all {count(matching)} that match</button>;
}

function Head<T>({ column, sorting, onSort, onWidth }: {
  column: Column<T>; sorting?: Sorting; onSort?: (column: Column<T>) => void; onWidth?: (width: number) => void;
}) {
  const isBy = sorting?.by === (column.sort ?? column.id);
  const order = !isBy ? undefined : sorting.isDown ? 'descending' : 'ascending';
  return (
    <th scope="col" data-column={column.id} class={column.end ? 'end' : undefined} aria-sort={order}>
      {onSort ? (
        <button type="button" class="plain" onClick={() => onSort(column)}>
          {column.title}<span aria-hidden="true" class="order">{order ? (sorting?.isDown ? '↓' : '↑') : ''}</span>
        </button>
      ) : column.title}
      {onWidth && <Grip onWidth={onWidth} />}
    </th>
  );
}

/** The edge of a column that is drawn to another width; the keyboard has the same in the menu of columns. */
function Grip({ onWidth }: { onWidth: (width: number) => void }) {
  const from = useRef<{ x: number; width: number } | null>(null);
  return (
    <span
      class="grip"
      aria-hidden="true"
      onPointerDown={(event) => {
        const width = event.currentTarget.parentElement?.offsetWidth ?? 0;
        from.current = { x: event.clientX, width };
        event.currentTarget.setPointerCapture(event.pointerId);
        event.preventDefault();
      }}
      onPointerMove={(event) => {
        if (from.current) onWidth(from.current.width + event.clientX - from.current.x);
      }}
      onPointerUp={() => { from.current = null; }}
      onPointerCancel={() => { from.current = null; }}
    />
  );
}

interface Widths {
  css: (column: { id: string; width?: number }) => string | undefined;
  set: (column: { id: string }, width: number) => void;
  /** As it is drawn, in pixels. */
  now: (column: { id: string }, label: string) => number;
  isOwn: boolean;
  reset: () => void;
}

/** Widths of columns that somebody has set, in pixels; they are kept. */
function useWidths(id: string): Widths {
  const kept = load(`widths.${id}`);
  const [own, setOwn] = useState<Record<string, number>>(kept && typeof kept === 'object' ? (kept as Record<string, number>) : {});
  const change = (next: Record<string, number>) => {
    setOwn(next);
    save(`widths.${id}`, next);
  };
  return {
    css: (column) => {
      const width = own[column.id];
      return width ? `${width}px` : column.width ? `${column.width}ch` : undefined;
    },
    set: (column, width) => change({ ...own, [column.id]: Math.round(Math.max(NARROWEST, width)) }),
    now: (column, label) => {
      const heads = document.querySelectorAll<HTMLElement>('table[aria-label] th[data-column]');
      const head = [...heads].find((each) => each.dataset.column === column.id && each.closest('table')?.getAttribute('aria-label') === label);
      return head?.offsetWidth ?? NARROWEST;
    },
    isOwn: Object.keys(own).length > 0,
    reset: () => change({}),
  };
}

/** The rows that are chosen, on whatever page they are. Of a list that is all here those that are gone are not chosen any more. */
function useChosen<T>(selection: Record<string, boolean>, rows: T[], rowKey: (row: T) => string, isPaged: boolean) {
  const known = useRef(new Map<string, T>());
  const here = new Map(rows.map((row) => [rowKey(row), row]));
  for (const [key, row] of here) if (selection[key]) known.current.set(key, row);
  for (const key of known.current.keys()) if (!selection[key]) known.current.delete(key);
  const keys = Object.keys(selection).filter((key) => selection[key] && (isPaged || here.has(key)));
  return {
    rows: keys.flatMap((key) => known.current.get(key) ?? []),
    elsewhere: keys.filter((key) => !here.has(key)).length,
    know: (row: T) => void known.current.set(rowKey(row), row),
  };
}

/** The machine of a table, drawn again when it changes. */
function useTable<T extends RowData>(id: string, columns: Column<T>[], rows: T[], rowKey: (row: T) => string) {
  const [, draw] = useReducer((count: number) => count + 1, 0);
  const names = columns.map((column) => column.id).join();
  const table = useMemo(() => {
    const helper = createColumnHelper<typeof features, T>();
    const kept = load(`columns.${id}`);
    const hidden = Object.fromEntries(columns.filter((column) => column.isHidden).map((column) => [column.id, false]));
    return constructTable({
      features,
      columns: helper.columns(columns.map((column) => helper.display({ id: column.id }))),
      data: rows,
      getRowId: rowKey,
      initialState: { columnVisibility: kept && typeof kept === 'object' ? { ...hidden, ...(kept as Record<string, boolean>) } : hidden },
    });
  }, [id, names]);
  useEffect(() => {
    let last = table.store.state.columnVisibility;
    const { unsubscribe } = table.store.subscribe(() => {
      const visibility = table.store.state.columnVisibility;
      if (visibility !== last) save(`columns.${id}`, visibility);
      last = visibility;
      draw(undefined);
    });
    return unsubscribe;
  }, [table]);
  if (table.options.data !== rows) table.setOptions((before) => ({ ...before, data: rows }));
  return table;
}

/** Keeps the order of rows while the pointer or the focus is in the body. */
function useHeldOrder<R extends { id: string }>(rows: R[]) {
  const [isHeld, setHeld] = useState(false);
  const order = useRef<string[]>([]);
  const now = rows.map((row) => row.id);
  const same = now.length === order.current.length && now.every((id) => order.current.includes(id));
  if (!isHeld || !same) order.current = now;
  const byId = new Map(rows.map((row) => [row.id, row]));
  const renew = () => {
    order.current = now;
    setHeld(false);
  };
  return {
    rows: order.current.flatMap((id) => byId.get(id) ?? []),
    waits: isHeld && order.current.some((id, at) => id !== now[at]),
    renew,
    hold: () => setHeld(true),
    release: (event: Event) => {
      const body = event.currentTarget as HTMLElement;
      const to = event instanceof FocusEvent ? event.relatedTarget : null;
      if (to instanceof Node && body.contains(to)) return;
      setHeld(event instanceof FocusEvent ? false : body.contains(document.activeElement));
    },
  };
}

/** Sorts rows that are all here. */
export function sorted<T>(rows: T[], columns: Column<T>[], { by, isDown }: Sorting): T[] {
  const column = columns.find((each) => (each.sort ?? each.id) === by);
  const value = column?.value;
  if (!value) return rows;
  const compare = (a: T, b: T) => {
    const [x, y] = [value(a), value(b)];
    if (x == null || y == null) return Number(x != null) - Number(y != null);
    return typeof x === 'string' && typeof y === 'string' ? x.localeCompare(y, undefined, { numeric: true }) : Number(x) - Number(y);
  };
  return [...rows].sort((a, b) => (isDown ? compare(b, a) : compare(a, b)));
}
