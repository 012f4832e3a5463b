// What a page or a panel shows is deleted.

import { send } from '../api/client.ts';
import { leaveTo } from './address.ts';
import { drawn, refresh } from './poll.ts';

/** Deletes what the page or its panel shows, and goes to its list, `to`; what is gone is not asked for again. */
export async function deleteAndLeave(path: string, to: string): Promise<void> {
  const leave = leaveTo(to);
  await send('DELETE', path);
  if (leave()) addEventListener('hashchange', () => void drawn().then(refresh), { once: true });
  else refresh();
}
