// One queue: whether it gets on and why not, what is in it, who takes from it, where it comes from.

import { get, send, url } from '../api/client.ts';
import type { Binding, Consumer, Latency, Queue as Data, QueueHealth, StreamMember } from '../api/types.ts';
import { age, bytes, count, counted, percent, rate, shown } from '../lib/format.ts';
import { href } from '../state/address.ts';
import { deleteAndLeave } from '../state/delete.ts';
import { refresh, usePoll } from '../state/poll.ts';
import { isPolicymaker, may } from '../state/session.ts';
import { Badge, Tag } from '../ui/badge.tsx';
import { ask } from '../ui/dialog.tsx';
import { Name } from '../ui/name.tsx';
import { Card, Empty, Facts, Failed, Figures, Loading } from '../ui/states.tsx';
import { Tabs } from '../ui/tabs.tsx';
import { tell } from '../ui/toast.tsx';
import { Bindings } from './bindings.tsx';
import { Lengths, Rates, seriesOf } from './charts.tsx';
import { Consumers } from './consumers.tsx';
import { Health } from './health.tsx';
import { Messages } from './messages.tsx';
import { ArgumentList, PictureLink } from './parts.tsx';
import { Members } from './members.tsx';
import { Readers } from './readers.tsx';
import { Stats } from './stats.tsx';
import type { Names } from '../routes.ts';

export function Queue({ names }: { names: Names }) {
  const { vhost = '/', name = '' } = names;
  const { data: queue, error } = usePoll<Data>(url`/queues/${vhost}/${name}`);
  const { data: health } = usePoll<QueueHealth>(queue ? url`/queues/${vhost}/${name}/health` : null);
  if (error?.isGone) return <Empty action={<a href="#/queues">To all queues</a>}>There is no queue {name} in {vhost}: it was deleted, or never there.</Empty>;
  if (!queue) return error ? <Failed what={`Queue ${name}`} error={error} /> : <Loading />;
  return (
    <div class="page">
      <div class="title">
        <h1>{shown(name)}</h1>
        <Health of={{ ...queue, health: health?.health ?? queue.health }} />
        <div class="tools"><PictureLink vhost={vhost} kind="queue" name={name} /><Actions queue={queue} /></div>
        <p class="sub">{queue.type} · vhost {queue.vhost} · {queue.leader ? 'leader' : 'node'} {queue.leader ?? queue.node ?? 'unknown'}{queue.durable ? '' : ' · transient'}{queue.exclusive ? ' · exclusive' : ''}{queue.auto_delete ? ' · auto-delete' : ''}</p>
      </div>
      {health && <Why of={health} />}
      <Tabs label={`Parts of ${name}`} of={[
        { id: 'overview', title: 'Overview', content: () => <Overview queue={queue} /> },
        { id: 'messages', title: 'Messages', content: () => <Messages queue={queue} /> },
        { id: 'consumers', title: `Consumers ${count(queue.consumers)}`, content: () => <QueueConsumers queue={queue} /> },
        ...(queue.type === 'stream' ? [{ id: 'readers', title: 'Readers and publishers', content: () => <Readers queue={queue} /> }] : []),
        { id: 'bindings', title: 'Bindings', content: () => <QueueBindings queue={queue} /> },
        ...(queue.members ? [{ id: 'members', title: 'Members', content: () => <Members queue={queue} /> }] : []),
        { id: 'settings', title: 'Settings', content: () => <Settings queue={queue} /> },
      ]} />
    </div>
  );
}

/** The reasons why a queue does not get on, in order of weight. */
function Why({ of: data }: { of: QueueHealth }) {
  if (data.reasons.length === 0) return null;
  return (
    <Card title="What holds it up">
      <ul class="attention">
        {data.reasons.map((reason) => (
          <li key={reason.code}>
            <Badge level={reason.level === 'info' ? 'off' : reason.level}>{reason.text}</Badge>
            {reason.do && <span class="muted">{reason.do}</span>}
            {reason.link?.startsWith('#') && <a href={reason.link}>{placeOf(reason.link)}</a>}
          </li>
        ))}
      </ul>
      <Facts of={[
        ...(data.oldest_ready_ms != null ? [['Oldest ready', age(data.oldest_ready_ms)] as [string, string]] : []),
        ...(data.oldest_unacked_ms != null ? [['Oldest unacked', age(data.oldest_unacked_ms)] as [string, string]] : []),
        ...(data.drain_s != null ? [['Empty in', age(data.drain_s * 1000)] as [string, string]] : []),
      ]} />
    </Card>
  );
}

/** What a link leads to. */
function placeOf(link: string): string {
  const tab = /[?&]tab=([a-z]+)/.exec(link)?.[1];
  if (tab) return `Its ${tab}`;
  return link.startsWith('#/channels/') ? 'Its channel' : link.startsWith('#/exchanges/') ? 'The exchange' : 'Show';
}

function Overview({ queue }: { queue: Data }) {
  const stats = queue.message_stats;
  const of = seriesOf('queue', queue.vhost, queue.name);
  const kept = useKept(queue);
  return (
    <>
      <Card title="Messages">
        <Figures of={[
          ...(queue.type === 'stream' ? kept : [
          { name: 'Ready', value: count(queue.messages_ready), colour: 'ready' },
          { name: 'Unacked', value: count(queue.messages_unacknowledged), colour: 'unacked' },
          { name: 'Bytes', value: bytes(queue.message_bytes), exact: `${count(queue.message_bytes)} bytes of bodies` },
          ]),
          { name: 'Consumers', value: count(queue.consumers) },
          ...(queue.consumer_utilisation != null ? [{ name: 'Consumer capacity', value: percent(queue.consumer_utilisation), exact: 'Share of the time in which a consumer could have taken a message at once' }] : []),
          ...(stats ? [
            { name: 'In', value: rate(stats.publish_details?.rate), exact: `${count(stats.publish)} so far`, colour: 'publish' },
            { name: 'Out', value: rate(stats.deliver_get_details?.rate), exact: `${count(stats.deliver_get)} so far`, colour: 'deliver' },
            { name: 'Acks', value: rate(stats.ack_details?.rate), exact: `${count(stats.ack)} so far`, colour: 'ack' },
            ...(queue.type === 'stream' ? [] : [{ name: 'Redelivered', value: rate(stats.redeliver_details?.rate), exact: `${count(stats.redeliver)} so far`, colour: 'redelivered' }]),
          ] : []),
        ]} />
        <div class="two"><Lengths of={of} /><Rates of={of} /></div>
      </Card>
      <Latencies queue={queue} />
      <Ends of={queue} />
    </>
  );
}

/** What a stream keeps, as the member says that has come furthest. */
function useKept(queue: Data) {
  const { data } = usePoll<StreamMember[]>(queue.type === 'stream' ? url`/stream/${queue.vhost}/${queue.name}/status` : null);
  const member = data?.reduce<StreamMember | undefined>((best, each) => ((each.offset ?? -1) >= (best?.offset ?? -1) ? each : best), undefined);
  const { first_offset: first, offset: last } = member ?? {};
  return [
    { name: 'Messages', value: count(queue.messages), colour: 'ready' },
    { name: 'Offsets', value: first === undefined || last === undefined || last < first ? '–' : `${count(first)}–${count(last)}` },
    { name: 'Size', value: bytes(member?.bytes), exact: `${count(member?.bytes)} bytes, as one member keeps it` },
    { name: 'Segments', value: count(member?.segments), exact: 'The oldest one goes as a whole, when it is too old or too much' },
  ];
}

/** From which exchanges messages come, and to whom they go. */
function Ends({ of: { incoming = [], deliveries = [] } }: { of: Data }) {
  return (
    <>
      {incoming.length > 0 && <Stats title="From exchanges" columns={[['Published', 'publish']]}
        of={incoming.map(({ exchange, stats }) => ({ name: exchange.name, fallback: '(default exchange)', href: href('exchanges', exchange.vhost, exchange.name || 'amq.default'), stats }))} />}
      {deliveries.length > 0 && <Stats title="To channels" columns={[['Delivered', 'deliver_get'], ['Acks', 'ack'], ['Redelivered', 'redeliver']]}
        of={deliveries.flatMap(({ channel_details: { name }, stats }) => (name ? [{ name, href: href('channels', name), stats }] : []))} />}
    </>
  );
}

/** How long messages wait and are held. */
function Latencies({ queue }: { queue: Data }) {
  const { data } = usePoll<Latency>(url`/queues/${queue.vhost}/${queue.name}/latency` + '?age=600');
  const kinds = data && (['wait', 'ack', 'confirm'] as const).filter((kind) => data[kind]?.max != null);
  if (!data || !kinds?.length) return null;
  const titles = { wait: 'Waiting in the queue', ack: 'Held by a consumer', confirm: 'Until the confirm' };
  const points = ['p50', 'p95', 'p99', 'max'] as const;
  return (
    <Card title="How long it takes, last 10 min">
      <table aria-label="Latencies">
        <thead><tr><th scope="col">What</th>{points.map((point) => <th key={point} scope="col" class="end">{point}</th>)}</tr></thead>
        <tbody>
          {kinds.map((kind) => (
            <tr key={kind}><th scope="row">{titles[kind]}</th>{points.map((point) => <td key={point} class="end">{age(data[kind]?.[point])}</td>)}</tr>
          ))}
        </tbody>
      </table>
    </Card>
  );
}

function QueueConsumers({ queue }: { queue: Data }) {
  const consumers: Consumer[] = queue.consumer_details ?? [];
  return <Card><Consumers of={consumers} empty={queue.type === 'stream' ? 'Nobody consumes from this stream over AMQP or by its own protocol.' : 'Nobody consumes from this queue: what comes stays in it.'} /></Card>;
}

function QueueBindings({ queue }: { queue: Data }) {
  const { data, error } = usePoll<Binding[]>(url`/queues/${queue.vhost}/${queue.name}/bindings`);
  if (error && !data) return <Failed what="The bindings" error={error} />;
  return <Card>{data ? <Bindings of={data} vhost={queue.vhost} to={{ kind: 'queue', name: queue.name }} /> : <Loading />}</Card>;
}

function Settings({ queue }: { queue: Data }) {
  const policy = (name: string | null | undefined) =>
    name ? (isPolicymaker.value ? <Tag>{name}</Tag> : name) : <span class="muted">none</span>;
  return (
    <Card>
      <Facts of={[
        ['Type', queue.type],
        ['Durability', queue.durable ? 'durable' : 'transient'],
        ['Exclusive to', queue.owner_pid_details ? <Name of={queue.owner_pid_details.name} href={href('connections', queue.owner_pid_details.name)} /> : queue.exclusive ? 'a connection' : <span class="muted">nobody</span>],
        ['Deleted with its last consumer', queue.auto_delete ? 'yes' : 'no'],
        ['Arguments', <ArgumentList of={queue.arguments} />],
        ['Policy', policy(queue.policy)],
        ['Operator policy', policy(queue.operator_policy)],
        ['In effect of both', <ArgumentList of={queue.effective_policy_definition} />],
      ]} />
    </Card>
  );
}

function Actions({ queue }: { queue: Data }) {
  const { vhost, name } = queue;
  const path = url`/queues/${vhost}/${name}`;
  // Counted when the question opens, not when the page was read.
  const current = () => get<Data>(path);
  const purge = async () => {
    const now = await current();
    ask({
      title: `Purge ${name}?`,
      text: <p>{counted(now.messages_ready ?? 0, 'ready message')} will be gone from {name}. {count(now.messages_unacknowledged)} unacked stay. This cannot be undone.</p>,
      button: `Purge ${counted(now.messages_ready ?? 0, 'message')} from ${name}`,
      type: (now.messages_ready ?? 0) > 0 ? name : undefined,
      run: async () => {
        await send('DELETE', `${path}/contents`);
        refresh();
        tell(`${name} was purged`);
      },
    });
  };
  const remove = async () => {
    const now = await current();
    const isUsed = (now.messages ?? 0) > 0 || (now.consumers ?? 0) > 0;
    ask({
      title: `Delete ${name}?`,
      text: <p>The queue {name} of {vhost} will be gone, with {counted(now.messages ?? 0, 'message')} and {counted(now.consumers ?? 0, 'consumer')}. Its bindings go with it. This cannot be undone.</p>,
      button: `Delete ${name}`,
      type: isUsed ? name : undefined,
      run: async () => {
        await deleteAndLeave(path, '#/queues');
        tell(`${name} was deleted`);
      },
    });
  };
  const canPurge = may('read', vhost, name) && queue.type !== 'stream';
  const canDelete = may('configure', vhost, name);
  return (
    <>
      {canPurge && <button type="button" onClick={() => void purge()}>Purge…</button>}
      {canDelete && <button type="button" class="danger" onClick={() => void remove()}>Delete…</button>}
    </>
  );
}
