// The state of a queue in a word.

import type { Queue } from '../api/types.ts';
import { Badge, type Level } from '../ui/badge.tsx';

/** How bad each word is; one that is not here is a warning. */
const LEVELS: Record<string, Level> = {
  ok: 'ok', running: 'ok', idle: 'off', growing: 'warn', looping: 'warn', no_consumers: 'warn', full: 'warn',
  stuck: 'bad', unavailable: 'bad', minority: 'bad', down: 'bad', crashed: 'bad', stopped: 'bad', damaged: 'bad',
};

/** How urgent a word is, the most urgent first. */
export function urgency(word: string | undefined): number {
  const level = LEVELS[word ?? ''] ?? 'warn';
  return level === 'bad' ? 0 : level === 'warn' ? 1 : 2;
}

/** Health where the node tells it, else the state. */
export function Health({ of }: { of: Pick<Queue, 'health' | 'state'> }) {
  const word = of.health ?? of.state;
  return <Badge level={LEVELS[word] ?? 'warn'}>{word.replaceAll('_', ' ')}</Badge>;
}
