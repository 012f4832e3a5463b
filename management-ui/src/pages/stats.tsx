// Counts and rates of messages, by the thing at their other end.

import type { MessageStats } from '../api/types.ts';
import { count, rate } from '../lib/format.ts';
import { Name } from '../ui/name.tsx';
import { Card } from '../ui/states.tsx';

type Counter = 'publish' | 'confirm' | 'return_unroutable' | 'drop_unroutable' | 'deliver_get' | 'ack' | 'redeliver';

/** A table with a row for each. */
export function Stats({ title, of, columns }: { title: string; of: { name: string; href: string; fallback?: string; stats: MessageStats }[]; columns: [string, Counter][] }) {
  return (
    <Card title={title}>
      <div class="scroll" role="group" aria-label={title} tabIndex={0}>
        <table aria-label={title}>
          <thead><tr><th scope="col">Name</th>{columns.map(([head]) => <th key={head} scope="col" class="end">{head}</th>)}</tr></thead>
          <tbody>
            {of.map((each) => (
              <tr key={each.href}>
                <th scope="row"><Name of={each.name} href={each.href} fallback={each.fallback} copy={false} /></th>
                {columns.map(([head, counter]) => <td key={head} class="end" title={`${count(each.stats[counter])} so far`}>{rate(each.stats[`${counter}_details`]?.rate)}</td>)}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}
