// Reading again and again: one request at a time, none in a hidden tab, fewer when answers are slow;
// the last good answer is kept, and one that did not change costs no body.

import { effect, signal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { ApiError, read } from '../api/client.ts';
import { every } from './settings.ts';

/** The page stands still. */
export const isPaused = signal(false);
/** Counted up by a request to read everything now. */
const asks = signal(0);
const isHidden = signal(document.hidden);
/** Since when the node has not answered, in milliseconds; 0 when it does. */
export const awaySince = signal(0);
/** When anything was last read. */
export const lastRead = signal(0);

document.addEventListener('visibilitychange', () => {
  isHidden.value = document.hidden;
});

/** The longest pause between two polls, in milliseconds. */
const LONGEST = 60_000;
/** The pause while a node is away. */
const AWAY = 2_000;

/** Reads everything on the page now. */
export function refresh(): void {
  asks.value += 1;
}

export interface Polled<T> {
  data: T | undefined;
  error: ApiError | undefined;
  /** Which path `data` belongs to. */
  path: string | undefined;
  /** Nodes that did not answer. */
  silent: string[];
  /** When `data` was read or last found unchanged. */
  at: number;
}

/** When what has just changed is drawn; a hidden tab draws nothing. */
export function drawn(): Promise<void> {
  return new Promise((done) => {
    requestAnimationFrame(() => setTimeout(done));
    setTimeout(done, 200);
  });
}

interface Options {
  /** The pause in milliseconds, where the page's own is not meant. */
  every?: number;
}

/** Reads a path for as long as the component is there; `null` reads nothing. */
export function usePoll<T>(path: string | null, options: Options = {}): Polled<T> {
  const state = useMemo(
    () => signal<Polled<T>>({ data: undefined, error: undefined, path: undefined, silent: [], at: 0 }),
    [],
  );
  useEffect(() => (path === null ? undefined : poll(path, state, options.every)), [path, options.every]);
  return state.value;
}

function poll<T>(path: string, state: { value: Polled<T> }, own: number | undefined): () => void {
  let tag: string | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running: AbortController | undefined;
  let pause = 0;
  let seenAsks = asks.peek();
  let hasRead = false;

  async function round(): Promise<void> {
    if (running) return;
    running = new AbortController();
    const started = performance.now();
    const answered = await once(running.signal);
    running = undefined;
    if (!answered) return;
    const wanted = own ?? every.peek() * 1000;
    const took = performance.now() - started;
    pause = took > wanted ? Math.min(LONGEST, Math.max(2 * pause, 2 * wanted)) : wanted;
    if (awaySince.peek()) pause = Math.min(pause || AWAY, AWAY);
    schedule();
  }

  /** Whether there was an answer that still matters. */
  async function once(signal: AbortSignal): Promise<boolean> {
    try {
      const answer = await read<T>(path, { tag, signal });
      if (signal.aborted) return false;
      tag = answer.tag;
      awaySince.value = 0;
      hasRead = true;
      const at = Date.now();
      lastRead.value = at;
      // An unchanged answer draws nothing anew.
      if (answer.data !== undefined) state.value = { data: answer.data, error: undefined, path, silent: answer.silent, at };
      else if (state.value.error) state.value = { ...state.value, error: undefined, at };
    } catch (error) {
      if (signal.aborted) return false;
      const failure = error instanceof ApiError ? error : new ApiError(0, String(error));
      if (failure.status === 0) awaySince.value ||= Date.now();
      const last = state.value;
      state.value = { ...last, data: last.path === path || failure.status === 0 ? last.data : undefined, error: failure };
    }
    return true;
  }

  function schedule(): void {
    clearTimeout(timer);
    if (pause > 0 && !isPaused.peek() && !isHidden.peek()) timer = setTimeout(() => void round(), pause);
  }

  const stop = effect(() => {
    const asked = asks.value !== seenAsks;
    seenAsks = asks.value;
    const rests = isPaused.value || isHidden.value;
    void every.value;
    clearTimeout(timer);
    if (asked || !hasRead || !rests) void round();
  });
  return () => {
    stop();
    clearTimeout(timer);
    running?.abort();
  };
}
