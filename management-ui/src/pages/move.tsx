// Moving messages out of a queue: dead letters back to where they came from, or anything to a place that
// exists. First it is counted what would go where.

import { useState } from 'preact/hooks';
import { send, url } from '../api/client.ts';
import type { Planned, Queue } from '../api/types.ts';
import { count, counted, fieldOf, momentOf } from '../lib/format.ts';
import { utc } from '../state/settings.ts';
import { ask } from '../ui/dialog.tsx';
import { Form, type Values } from '../ui/form.tsx';
import { Card } from '../ui/states.tsx';
import { JobProgress } from './job.tsx';

/** Midnight, so many days from today, in the zone that is shown. */
function startOfDay(days: number): number {
  const at = new Date();
  if (utc.value) return Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate() + days);
  return new Date(at.getFullYear(), at.getMonth(), at.getDate() + days).getTime();
}

/** `chosen` are positions of messages that were looked at. */
export function Move({ queue, chosen, onMoved }: { queue: Queue; chosen: number[]; onMoved: () => void }) {
  const [job, setJob] = useState<string>();
  const path = url`/queues/${queue.vhost}/${queue.name}/redrive`;
  const submit = async (values: Values) => {
    const wish = wished(values, chosen);
    const plan = await send<Planned>('POST', path, { ...wish, dry_run: true });
    const total = plan.would.reduce((sum, each) => sum + each.count, 0);
    if (total === 0) throw new Error(`Nothing would be moved: ${reasons(plan) || 'no message is meant'}.`);
    ask({
      title: `Move messages out of ${queue.name}?`,
      text: <PlanText plan={plan} from={queue.name} />,
      button: `Move ${counted(total, 'message')} out of ${queue.name}`,
      type: queue.name,
      run: async () => {
        const begun = await send<{ job: string }>('POST', path, wish);
        setJob(String(begun.job));
        onMoved();
      },
    });
  };
  return (
    <Card title="Move messages, or bring dead letters back" id="move">
      <p class="note">Each message is published again and confirmed before it leaves {queue.name}. Nothing happens before you have seen how many would go where.</p>
      <Form
        key={chosen.length > 0 ? 'chosen' : 'all'}
        button="Count first"
        submit={submit}
        fields={[
          { name: 'to', label: 'To', kind: 'select', options: [
            { value: 'origin', title: 'where they came from, as their x-death says' }, { value: 'queue', title: 'a queue' }, { value: 'exchange', title: 'an exchange' },
          ] },
          { name: 'queue', label: 'Queue', isRequired: true, when: (values) => values.to === 'queue' },
          { name: 'exchange', label: 'Exchange', isRequired: true, when: (values) => values.to === 'exchange' },
          { name: 'routing_key', label: 'Routing key', help: 'Without one each message keeps its own.', when: (values) => values.to === 'exchange' },
          { name: 'which', label: 'Which', kind: 'select', options: [
            ...(chosen.length > 0 ? [{ value: 'chosen', title: `the ${counted(chosen.length, 'message')} chosen above` }] : []),
            { value: 'all', title: 'all that are ready' }, { value: 'died', title: 'those that became dead letters within a time' }, { value: 'match', title: 'those containing a text' },
          ], help: chosen.length > 0 ? undefined : 'Look at messages above to choose single ones.' },
          { name: 'match', label: 'Containing', isRequired: true, help: 'A text in the body, a header or the routing key; or header:name=value.', when: (values) => values.which === 'match' },
          { name: 'since', label: utc.value ? 'From (UTC)' : 'From', kind: 'time', value: fieldOf(startOfDay(-1), utc.value), when: (values) => values.which === 'died' },
          { name: 'until', label: utc.value ? 'Until (UTC)' : 'Until', kind: 'time', value: fieldOf(startOfDay(0), utc.value), help: 'Up to that time, and not at it. Yesterday, unless you say otherwise.', when: (values) => values.which === 'died' },
          { name: 'rate', label: 'At most each second', kind: 'number', help: 'Empty means as fast as it goes.' },
        ]}
      />
      {job && <JobProgress key={job} id={job} />}
    </Card>
  );
}

function wished(values: Values, chosen: number[]): Record<string, unknown> {
  const to = values.to === 'queue' ? { exchange: '', routing_key: values.queue }
    : values.to === 'exchange' ? { exchange: values.exchange, ...(values.routing_key ? { routing_key: values.routing_key } : {}) } : 'origin';
  const rate = Number(values.rate);
  if (values.rate && !(rate > 0)) throw new Error('The rate has to be a number above 0');
  const moment = (text: string | undefined) => (text ? momentOf(text, utc.value) : undefined);
  const which = values.which === 'died' ? { died: { since: moment(values.since), until: moment(values.until) } } : values.which === 'match' ? { match: values.match } : values.which === 'chosen' ? { positions: chosen } : 'all';
  return { to, which, ...(values.rate ? { rate: Math.ceil(rate) } : {}) };
}

function reasons(plan: Planned): string {
  return [
    plan.unroutable ? `${count(plan.unroutable)} would reach no queue` : '',
    plan.loops ? `${count(plan.loops)} would come back here` : '',
  ].filter(Boolean).join(', ');
}

function PlanText({ plan, from }: { plan: Planned; from: string }) {
  const left = reasons(plan);
  return (
    <>
      <p>These leave {from}:</p>
      <table aria-label="What would go where">
        <thead><tr><th scope="col">Exchange</th><th scope="col">Routing key</th><th scope="col" class="end">Messages</th></tr></thead>
        <tbody>
          {plan.would.map((each) => (
            <tr key={`${each.exchange} ${each.routing_key}`}><td>{each.exchange || '(default)'}</td><td class="mono">{each.routing_key || '–'}</td><td class="end">{count(each.count)}</td></tr>
          ))}
        </tbody>
      </table>
      {left && <p>{left}: these stay.</p>}
    </>
  );
}
