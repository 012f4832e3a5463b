// Leaders of quorum queues spread over the nodes.

import { send } from '../api/client.ts';
import type { ClusterNode } from '../api/types.ts';
import { counted } from '../lib/format.ts';
import { refresh } from '../state/poll.ts';
import { Form } from '../ui/form.tsx';
import { tell } from '../ui/toast.tsx';

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
          await send('POST', '/rebalance/queues', { vhost_pattern: values.vhost_pattern, queue_pattern: values.queue_pattern });
          refresh();
          tell('Leaders are spread');
          onDone();
        }}
      />
    </>
  );
}
