// The keyboard: single keys, which can be switched off, and what they do.

import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { go } from '../state/address.ts';
import { isPaused, refresh } from '../state/poll.ts';
import { singleKeys } from '../state/settings.ts';
import { Dialog } from '../ui/dialog.tsx';
import { PLACES } from '../routes.ts';

export const isSearchOpen = signal(false);
export const isHelpOpen = signal(false);

/** How long after `g` the second key may come, in milliseconds. */
const SECOND_KEY = 1500;

/** Listens for keys as long as the frame is there. */
export function useKeys(): void {
  useEffect(() => {
    let wentAt = -Infinity;
    const onKeyDown = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
        event.preventDefault();
        isSearchOpen.value = true;
        return;
      }
      if (!singleKeys.value || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector('dialog[open]')) return;
      // When the keys were pressed counts, not when a busy page gets to them.
      if (event.timeStamp - wentAt < SECOND_KEY) {
        wentAt = -Infinity;
        const place = PLACES.find((each) => each.key === event.key && each.needs?.value !== false);
        if (place) go(place.path);
        return;
      }
      switch (event.key) {
        case 'g': wentAt = event.timeStamp; break;
        case 'r': refresh(); break;
        case 'p': isPaused.value = !isPaused.value; break;
        case '?': isHelpOpen.value = true; break;
        case '/': {
          const filter = document.querySelector<HTMLElement>('[data-filter]');
          if (filter) {
            event.preventDefault();
            filter.focus();
          }
          break;
        }
      }
    };
    addEventListener('keydown', onKeyDown);
    return () => removeEventListener('keydown', onKeyDown);
  }, []);
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

export function Help({ onClose }: { onClose: () => void }) {
  const keys = [
    ['/', 'Filter the list'], ['Ctrl K', 'Search everything'], ['r', 'Refresh now'], ['p', 'Pause, and go on'], ['?', 'This list'], ['Esc', 'Close'],
    ...PLACES.filter((place) => place.needs?.value !== false).map((place) => [`g ${place.key}`, place.title]),
  ];
  return (
    <Dialog title="Keys" onClose={onClose}>
      <dl class="keys">
        {keys.map(([key, what]) => [<dt key={key}><kbd>{key}</kbd></dt>, <dd key={what}>{what}</dd>])}
      </dl>
    </Dialog>
  );
}
