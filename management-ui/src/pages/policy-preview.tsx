// What a policy would change, before it is saved: asked of the broker while it is written.

import type { PolicyPreview } from '../api/types.ts';
import { count, counted, plain } from '../lib/format.ts';
import { useDryRun } from '../state/dry-run.ts';
import { Badge } from '../ui/badge.tsx';

/** Changes that are listed. */
const LISTED = 8;

/** `body` is that of saving it; undefined while it cannot be sent. */
export function Preview({ path, body }: { path: string; body: object | undefined }) {
  const { found, failure } = useDryRun<PolicyPreview>(path, body);
  if (!body) return <p class="note">What it would change is shown here once it has a definition.</p>;
  return (
    <section class="preview" aria-label="What it would change" role="status">
      <h3>What it would change</h3>
      {failure && <p class="failure">It could not be found out: {failure}</p>}
      {!found && !failure && <p class="note">…</p>}
      {found && <Found of={found} />}
    </section>
  );
}

function Found({ of }: { of: PolicyPreview }) {
  if (of.errors.length > 0) return <p class="failure">It would be refused: {of.errors.join(' ')}</p>;
  const loses = of.loses.reduce((sum, each) => sum + each.count, 0);
  return (
    <>
      <p>
        It matches {counted(of.matches, 'queue or exchange', 'queues and exchanges')}
        {of.matches > 0 && (loses === 0 ? ' and applies to all of them' : `, applies to ${count(of.wins)}, and gives way at ${count(loses)} (${of.loses.map((each) => each.policy).join(', ')})`)}.
        {' '}{of.changes === 0 ? 'Nothing changes.' : `${counted(of.changes, 'thing changes', 'things change')}:`}
      </p>
      {of.drops !== undefined && of.drops > 0 && <p><Badge level="bad">{counted(of.drops, 'ready message')} would be dropped at once</Badge></p>}
      <ul class="changes">
        {of.sample.slice(0, LISTED).map((each) => (
          <li key={`${each.kind} ${each.name}`}>
            <b>{each.name}</b> {differences(each.now, each.then).map(([key, before, after]) => (
              <span key={key} class="muted">{key}: {before} → {after}; </span>
            ))}
            {each.drops > 0 && <Badge level="bad">drops {count(each.drops)}</Badge>}
          </li>
        ))}
      </ul>
      {of.changes > LISTED && <p class="note">and {count(of.changes - Math.min(LISTED, of.sample.length))} more</p>}
    </>
  );
}

/** Keys whose values are not the same, with both. */
function differences(now: Record<string, unknown>, then: Record<string, unknown>): [string, string, string][] {
  const shown = (value: unknown) => (value === undefined ? 'none' : plain(value));
  const keys = [...new Set([...Object.keys(now), ...Object.keys(then)])].sort();
  return keys.map((key): [string, string, string] => [key, shown(now[key]), shown(then[key])]).filter(([, before, after]) => before !== after);
}
