// One channel: what it holds, who consumes on it, what it publishes and takes.

import { url } from '../api/client.ts';
import type { Channel as Data, MessageStats } from '../api/types.ts';
import { count, rate, time } from '../lib/format.ts';
import { href } from '../state/address.ts';
import { usePoll } from '../state/poll.ts';
import { utc } from '../state/settings.ts';
import { Badge } from '../ui/badge.tsx';
import { Name } from '../ui/name.tsx';
import { Card, Empty, Facts, Failed, Figures, Loading } from '../ui/states.tsx';
import { mode, prefetch } from './channels.tsx';
import { Rates, seriesOf } from './charts.tsx';
import { Consumers } from './consumers.tsx';
import type { Names } from '../routes.ts';

export function Channel({ names }: { names: Names }) {
  const { name = '' } = names;
  const { data, error } = usePoll<Data>(url`/channels/${name}`);
  if (error?.isGone) return <Empty action={<a href="#/channels">To all channels</a>}>The channel {name} is closed.</Empty>;
  if (!data) return error ? <Failed what={`Channel ${name}`} error={error} /> : <Loading />;
  const connection = data.connection_details.name;
  return (
    <div class="page">
      <div class="title">
        <h1>{name}</h1>
        <Badge level={data.state === 'running' ? 'ok' : 'off'}>{data.state}</Badge>
        <p class="sub">channel {data.number} of <Name of={connection} href={href('connections', connection)} copy={false} /> · user {data.user} · vhost {data.vhost} · node {data.node}</p>
      </div>
      <Card title="Messages">
        <Figures of={[
          { name: 'Unacked', value: count(data.messages_unacknowledged), colour: 'unacked' },
          { name: 'Prefetch', value: prefetch(data) },
          { name: 'Unconfirmed', value: count(data.messages_unconfirmed), colour: 'confirm' },
          ...(data.transactional ? [
            { name: 'Uncommitted', value: count(data.messages_uncommitted) },
            { name: 'Uncommitted acks', value: count(data.acks_uncommitted) },
          ] : []),
        ]} />
        <Rates of={seriesOf('channel', name)} />
      </Card>
      <Card title="Consumers"><Consumers of={data.consumer_details ?? []} isOfChannel empty="Nothing is consumed on this channel." /></Card>
      {data.publishes && data.publishes.length > 0 && (
        <Stats title="Published to" of={data.publishes.map(({ exchange, stats }) => ({ name: exchange.name, href: href('exchanges', exchange.vhost, exchange.name), fallback: '(default exchange)', stats }))}
          columns={[['Published', 'publish'], ['Confirmed', 'confirm'], ['Returned', 'return_unroutable'], ['Dropped', 'drop_unroutable']]} />
      )}
      {data.deliveries && data.deliveries.length > 0 && (
        <Stats title="Taken from" of={data.deliveries.map(({ queue, stats }) => ({ name: queue.name, href: href('queues', queue.vhost, queue.name), stats }))}
          columns={[['Delivered', 'deliver_get'], ['Acks', 'ack'], ['Redelivered', 'redeliver']]} />
      )}
      <Card title="Properties">
        <Facts of={[['Mode', mode(data) || 'neither confirms nor transactions'], ['Idle since', data.idle_since ? time(data.idle_since, utc.value) : 'it is at work']]} />
      </Card>
    </div>
  );
}

type Counter = 'publish' | 'confirm' | 'return_unroutable' | 'drop_unroutable' | 'deliver_get' | 'ack' | 'redeliver';

/** Counts and rates by the thing at the other end. */
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
