// One channel: what it holds, who consumes on it, what it publishes and takes.

import { url } from '../api/client.ts';
import type { Channel as Data } from '../api/types.ts';
import { count, shown, time } from '../lib/format.ts';
import { href } from '../state/address.ts';
import { usePoll } from '../state/poll.ts';
import { utc } from '../state/settings.ts';
import { Badge } from '../ui/badge.tsx';
import { Name } from '../ui/name.tsx';
import { Card, Empty, Facts, Failed, Figures, Loading } from '../ui/states.tsx';
import { mode, prefetch } from './channels.tsx';
import { Rates, seriesOf } from './charts.tsx';
import { Consumers } from './consumers.tsx';
import { Stats } from './stats.tsx';
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
        <h1>{shown(name)}</h1>
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
