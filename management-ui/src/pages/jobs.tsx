// Jobs: work that goes on when whoever asked for it is gone, such as messages that are redriven.

import { send, url } from '../api/client.ts';
import type { Job } from '../api/types.ts';
import { age, count, time } from '../lib/format.ts';
import { refresh, usePoll } from '../state/poll.ts';
import { utc } from '../state/settings.ts';
import { Badge, type Level } from '../ui/badge.tsx';
import { ask } from '../ui/dialog.tsx';
import { Whole } from '../ui/list.tsx';
import { Card, Empty, Failed, Loading, Meter } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { tellFailure } from '../ui/toast.tsx';
import { AdminPage } from './admin.tsx';
import type { Names } from '../routes.ts';

const LEVELS: Record<string, Level> = { running: 'ok', done: 'off', stopped: 'warn', failed: 'bad' };

const COLUMNS: Column<Job>[] = [
  { id: 'kind', title: 'Job', width: 12, phone: 'name', value: (job) => job.kind, cell: (job) => job.kind },
  { id: 'what', title: 'On', phone: 'line', value: (job) => job.what, cell: (job) => <span title={job.what}>{job.what ?? '–'}</span> },
  { id: 'by', title: 'By', width: 14, phone: 'figure', value: (job) => job.by, cell: (job) => job.by },
  { id: 'state', title: 'State', width: 14, phone: 'state', value: (job) => job.state, cell: (job) => <Badge level={LEVELS[job.state] ?? 'off'}>{job.state}</Badge> },
  { id: 'done', title: 'Done', width: 22, phone: 'figure', value: (job) => job.done, cell: (job) => <Meter used={job.done} of={job.of} isPlain text={`${count(job.done)} of ${count(job.of)}`} /> },
  { id: 'failed', title: 'Failed', width: 30, phone: 'line', value: (job) => failures(job), cell: (job) => <Failures of={job} /> },
  { id: 'started', title: 'Started', width: 16, end: true, phone: 'figure', value: (job) => job.started, cell: (job) => (job.started ? <span title={time(job.started, utc.value)}>{age(Math.max(0, Date.now() - job.started))} ago</span> : '–') },
  { id: 'end', title: 'End', width: 12, end: true, phone: 'figure', cell: (job) => <End of={job} /> },
];

function failures(job: Job): number {
  return job.failed_count ?? job.failed.length;
}

function Failures({ of }: { of: Job }) {
  const [first] = of.failed;
  if (failures(of) === 0 || !first) return <>0</>;
  const all = of.failed.map(({ what, reason }) => `${what}: ${reason}`).join('\n');
  return <span title={all}><Badge level="bad">{count(failures(of))}</Badge> {first.what}: {first.reason}</span>;
}

function End({ of }: { of: Job }) {
  const name = `${of.kind} on ${of.what ?? of.id}`;
  const end = async () => {
    await send('DELETE', url`/jobs/${of.id}`);
    refresh();
  };
  if (of.state !== 'running') return <button type="button" class="small" aria-label={`Forget ${name}`} onClick={() => void end().catch(tellFailure)}>Forget</button>;
  return (
    <button type="button" class="small" aria-label={`Stop… ${name}`} onClick={() => ask({
      title: 'Stop this job?',
      text: <p>What is done stays done: {count(of.done)} of {count(of.of)}. The rest stays as it is.</p>,
      button: 'Stop the job',
      run: end,
    })}>Stop…</button>
  );
}

export function Jobs(_: { names: Names }) {
  const { data, error } = usePoll<Job[]>('/jobs');
  return (
    <AdminPage id="jobs">
      <Card>
        {error && !data && <Failed what="The jobs" error={error} />}
        {data ? (
          <Whole id="jobs" label="Jobs" columns={COLUMNS} rows={data} rowKey={(job) => String(job.id)} order={{ by: 'started', isDown: true }} isBare
            empty={<Empty>No jobs. Messages that are redriven, and queues that are purged or deleted together, appear here with how far they are.</Empty>} />
        ) : !error && <Loading rows={3} />}
      </Card>
    </AdminPage>
  );
}
