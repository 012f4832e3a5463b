// Dialogs, and the question before something that cannot be undone.
//
// The question says what, how much and what follows; its button repeats verb and object; focus starts
// on keeping. Where more than a little would go, the name has to be typed.

import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { shown } from '../lib/format.ts';

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  /** At the side of the page rather than over its middle; `wide` for what holds tables. */
  side?: boolean | 'wide';
}

/** A modal dialog: Escape closes it, and focus goes back to where it was. */
export function Dialog({ title, onClose, children, side }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    const element = dialog.current;
    element?.showModal();
    element?.querySelector<HTMLElement>('[data-first]')?.focus();
    return () => {
      element?.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={side === 'wide' ? 'side is-wide' : side ? 'side' : undefined}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <header>
        <h2 id={id}>{shown(title)}</h2>
        <button type="button" class="plain" aria-label="Close" onClick={onClose}>×</button>
      </header>
      <div class="content">{children}</div>
    </dialog>
  );
}

export interface Question {
  /** `Purge orders?` */
  title: string;
  /** What goes, how much, what follows. */
  text: ComponentChildren;
  /** `Purge orders` */
  button: string;
  /** What has to be typed first. */
  type?: string;
  /** Does it; what it throws is shown in the dialog. `typed` is what was written in the field of `ask`. */
  run: (typed: string) => Promise<void>;
  /** A field in the question, such as the reason for closing a connection. */
  ask?: string;
}

const question = signal<Question | null>(null);

/** Asks before something dangerous is done. */
export function ask(what: Question): void {
  question.value = what;
}

/** Where the question appears. */
export function Questions() {
  return question.value ? <Asked key={question.value.title} {...question.value} /> : null;
}

function Asked({ title, text, button, type, run, ask: field }: Question) {
  const [typed, setTyped] = useState('');
  const [reason, setReason] = useState('');
  const [error, setError] = useState('');
  const [isBusy, setBusy] = useState(false);
  const close = () => {
    question.value = null;
  };
  const submit = async (event: Event) => {
    event.preventDefault();
    if (isBusy || (type !== undefined && typed !== type)) return;
    setBusy(true);
    try {
      await run(reason);
      close();
    } catch (failure) {
      setError(failure instanceof Error ? failure.message : String(failure));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog title={title} onClose={close}>
      <form onSubmit={submit}>
        <div class="prose">{text}</div>
        {field && (
          <label class="field">
            <span>{field}</span>
            <input value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
          </label>
        )}
        {type !== undefined && (
          <label class="field">
            <span>Type <code>{type}</code> to go on</span>
            <input value={typed} autocomplete="off" spellcheck={false} onInput={(event) => setTyped(event.currentTarget.value)} />
          </label>
        )}
        {error && <p class="failure" role="alert">{error}</p>}
        <div class="buttons">
          <button type="button" data-first onClick={close}>Keep</button>
          <button type="submit" class="danger" disabled={isBusy || (type !== undefined && typed !== type)}>{button}</button>
        </div>
      </form>
    </Dialog>
  );
}
