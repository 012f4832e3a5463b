// What a person prefers, kept in this browser. Nothing secret is kept here.

import { computed, effect, signal, type Signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { asked, setQuery } from './address.ts';

/** A text, number or yes-or-no that is kept under a name. */
function kept<T>(name: string, otherwise: T): Signal<T> {
  const stored = load(name);
  const value = signal<T>(typeof stored === typeof otherwise ? (stored as T) : otherwise);
  effect(() => save(name, value.value));
  return value;
}

/** Reads what is kept under a name. */
export function load(name: string): unknown {
  try {
    return JSON.parse(localStorage.getItem(`warren.${name}`) ?? 'null');
  } catch {
    return null;
  }
}

/** Keeps something; a browser that keeps nothing is no error. */
export function save(name: string, value: unknown): void {
  try {
    localStorage.setItem(`warren.${name}`, JSON.stringify(value));
  } catch {
    // Private windows and full stores: it holds until the page is closed.
  }
}

/** `system`, `light` or `dark`. */
export const theme = kept<string>('theme', 'system');
/** Seconds between two polls; 0 is off. */
export const every = kept('every', 5);
/** Seconds that charts showed last. */
const lastRange = kept('range', 600);
export const utc = kept('utc', false);
export const singleKeys = kept('keys', true);
/** The vhost whose things are listed; '' is all. */
export const vhost = kept('vhost', '');
export const isCompact = kept('compact', false);

effect(() => {
  const root = document.documentElement;
  if (theme.value === 'light' || theme.value === 'dark') root.dataset.theme = theme.value;
  else delete root.dataset.theme;
});
effect(() => {
  document.documentElement.classList.toggle('compact', isCompact.value);
});

export const EVERY: [number, string][] = [[1, '1 s'], [2, '2 s'], [5, '5 s'], [15, '15 s'], [30, '30 s'], [60, '1 min'], [0, 'Off']];
export const RANGES: [number, string][] = [
  [60, 'Minute'], [600, '10 min'], [3600, 'Hour'], [28800, '8 hours'], [86400, 'Day'],
];

/** Seconds that charts show: those of the address, or those that were chosen last. */
export const range = computed(() => {
  const given = Number(asked('range'));
  return RANGES.some(([seconds]) => seconds === given) ? given : lastRange.value;
});

/** Has charts show so many seconds, here and on pages that are opened later. */
export function setRange(seconds: number): void {
  lastRange.value = seconds;
  if (asked('range')) setQuery({ range: seconds });
}

/** The seconds that charts show, put into the address: a link shows what its sender saw. */
export function useRange(): number {
  const seconds = range.value;
  useEffect(() => {
    if (asked('range') !== String(seconds)) setQuery({ range: seconds });
  });
  return seconds;
}
