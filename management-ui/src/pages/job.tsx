// A piece of work of the broker that goes on without the page: how far it is, and how to stop it.

import { useEffect, useState } from 'preact/hooks';
import { send, url } from '../api/client.ts';
import type { Job } from '../api/types.ts';
import { count, counted } from '../lib/format.ts';
import { refresh, usePoll } from '../state/poll.ts';
import { Badge, type Level } from '../ui/badge.tsx';
import { Meter } from '../ui/states.tsx';
import { tellFailure } from '../ui/toast.tsx';

const LEVELS: Record<string, Level> = { running: 'ok', done: 'ok', stopped: 'warn', failed: 'bad' };

export function JobProgress({ id }: { id: string }) {
  const [hasEnded, setEnded] = useState(false);
  const { data: job, error } = usePoll<Job>(hasEnded ? null : url`/jobs/${id}`, { every: 1000 });
  useEffect(() => {
    if (!job || job.state === 'running') return;
    setEnded(true);
    refresh();
  }, [job?.state]);
  if (!job) return <p class="note" role="status">{error ? error.message : 'It begins.'}</p>;
  return (
    <div class="stack" role="status">
      <p>
        <Badge level={LEVELS[job.state] ?? 'off'}>{job.kind}: {job.state}</Badge>{' '}
        {job.state === 'running' && (
          <button type="button" class="plain small" onClick={() => send('DELETE', url`/jobs/${id}`).then(refresh, tellFailure)}>Stop</button>
        )}
      </p>
      <Meter used={job.done} of={job.of} isPlain text={`${count(job.done)} of ${count(job.of)}`} />
      {job.failed.length > 0 && (
        <details>
          <summary>{counted(job.failed.length, 'failure')}</summary>
          <ul class="attention">{job.failed.map((each) => <li key={each.what}>{each.what} <span class="muted">{each.reason}</span></li>)}</ul>
        </details>
      )}
    </div>
  );
}
