// Names of things: long ones lose their middle, and each can be copied.

import { Copy } from 'lucide';
import { shown as visible } from '../lib/format.ts';
import { Icon } from './icon.tsx';
import { tell } from './toast.tsx';

/** Characters of the end that always stay. */
const TAIL = 12;

/** A name that may be long, shown in one line. */
export function Name({ of, href, copy = true, fallback, text: own }: {
  of: string; href?: string; copy?: boolean; fallback?: string;
  /** Shown instead, where the whole says more than is needed. */
  text?: string;
}) {
  const text = own ?? (of === '' ? (fallback ?? '(no name)') : visible(of));
  const shown = text.length > 2 * TAIL ? (
    <span class="cut" title={of || text}>
      <span class="cut-head">{text.slice(0, -TAIL)}</span>
      <span class="cut-tail">{text.slice(-TAIL)}</span>
    </span>
  ) : (
    <span class="cut" title={own && of}><span class="cut-tail">{text}</span></span>
  );
  return (
    <span class="name">
      {href ? <a href={href}>{shown}</a> : shown}
      {copy && of !== '' && (
        <button type="button" class="plain copy" aria-label={`Copy ${of}`} onClick={() => void copied(of)}>
          <Icon of={Copy} size={13} />
        </button>
      )}
    </span>
  );
}

async function copied(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    tell('Copied');
  } catch {
    tell('This browser does not let pages copy here');
  }
}
