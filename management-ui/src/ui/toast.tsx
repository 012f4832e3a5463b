// What came of an action, told once: seen at the corner, heard by screen readers.

import { signal } from '@preact/signals';

interface Toast {
  id: number;
  text: string;
  isBad: boolean;
}

const toasts = signal<Toast[]>([]);
let last = 0;

/** Says that something is done. */
export function tell(text: string): void {
  show(text, false, 6000);
}

/** Says that something failed, in the server's words. */
export function tellFailure(error: unknown): void {
  show(error instanceof Error ? error.message : String(error), true, 15000);
}

function show(text: string, isBad: boolean, ms: number): void {
  last += 1;
  const id = last;
  toasts.value = [...toasts.value.slice(-3), { id, text, isBad }];
  setTimeout(() => dismiss(id), ms);
}

function dismiss(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((toast) => (
        <div key={toast.id} class={toast.isBad ? 'toast bad' : 'toast'}>
          <span>{toast.text}</span>
          <button type="button" class="plain" aria-label="Dismiss" onClick={() => dismiss(toast.id)}>×</button>
        </div>
      ))}
    </div>
  );
}
