// Leaders of quorum queues spread over the nodes: first the plan, then the moves.

import { send } from '../api/client.ts';
import type { ClusterNode, Move } from '../api/types.ts';
import { counted } from '../lib/format.ts';
import { useDryRun } from '../state/dry-run.ts';
import { refresh } from '../state/poll.ts';
import { Form, type Values } from '../ui/form.tsx';
import { tell } from '../ui/toast.tsx';

/** Moves that are listed. */
const LISTED = 20;

const spoken = ({ vhost_pattern, queue_pattern }: Values) => ({ vhost_pattern, queue_pattern });

export function Rebalance({ nodes, onDone }: { nodes: ClusterNode[]; onDone: () => void }) {
  return (
    <>
      <p class="note">Leaders of quorum queues move to members on nodes that lead fewer. Clients go on; a queue rests for a moment while its leader changes. Now: {nodes.map((node) => `${node.name} leads ${counted(node.leaders, 'queue')}`).join(', ')}.</p>
      <Form
        fields={[
          { name: 'vhost_pattern', label: 'vhosts', value: '.*', help: 'A regular expression.' },
          { name: 'queue_pattern', label: 'Queues', value: '.*', help: 'A regular expression.' },
        ]}
        button="Rebalance leaders"
        onCancel={onDone}
        submit={async (values) => {
          await send('POST', '/rebalance/queues', spoken(values));
          refresh();
          tell('Leaders are spread');
          onDone();
        }}
      >
        {(values) => <Plan values={values} />}
      </Form>
    </>
  );
}

function Plan({ values }: { values: Values }) {
  const { found, failure } = useDryRun<{ moves: Move[] }>('/rebalance/queues?dry_run=true', spoken(values));
  const moves = found?.moves;
  return (
    <section class="preview" aria-label="The plan" role="status">
      <h3>The plan</h3>
      {failure && <p class="failure">{failure}</p>}
      {!moves && !failure && <p class="note">…</p>}
      {moves?.length === 0 && <p>Nothing would move: leaders are spread as evenly as their members allow.</p>}
      {moves && moves.length > 0 && (
        <>
          <p>{counted(moves.length, 'leader')} would move:</p>
          <ul class="changes">
            {moves.slice(0, LISTED).map((move) => <li key={`${move.vhost} ${move.queue}`}><b>{move.queue}</b> <span class="muted">{move.vhost}: {move.from} → {move.to}</span></li>)}
            {moves.length > LISTED && <li class="muted">and {moves.length - LISTED} more</li>}
          </ul>
        </>
      )}
    </section>
  );
}
