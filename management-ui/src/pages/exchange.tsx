// One exchange: its bindings, publishing to it, and where a message would go.

import { get, url } from '../api/client.ts';
import type { Binding, Exchange as Data } from '../api/types.ts';
import { count, counted, rate, shown } from '../lib/format.ts';
import { href } from '../state/address.ts';
import { deleteAndLeave } from '../state/delete.ts';
import { usePoll } from '../state/poll.ts';
import { may } from '../state/session.ts';
import { Tag } from '../ui/badge.tsx';
import { ask } from '../ui/dialog.tsx';
import { Card, Empty, Facts, Failed, Figures, Loading } from '../ui/states.tsx';
import { Tabs } from '../ui/tabs.tsx';
import { tell } from '../ui/toast.tsx';
import { Bindings } from './bindings.tsx';
import { seriesOf, Throughput } from './charts.tsx';
import { features, NAMELESS } from './exchanges.tsx';
import { ArgumentList, PictureLink } from './parts.tsx';
import { Stats } from './stats.tsx';
import { Publish } from './publish.tsx';
import { RouteTester } from './route-tester.tsx';
import type { Names } from '../routes.ts';

export function Exchange({ names }: { names: Names }) {
  const { vhost = '/', name: address = '' } = names;
  // The default exchange has no name, and RabbitMQ's address for it.
  const name = address === 'amq.default' ? '' : address;
  const { data, error } = usePoll<Data>(url`/exchanges/${vhost}/${name || 'amq.default'}`);
  if (error?.isGone) return <Empty action={<a href="#/exchanges">To all exchanges</a>}>There is no exchange {name} in {vhost}: it was deleted, or never there.</Empty>;
  if (!data) return error ? <Failed what={`Exchange ${name}`} error={error} /> : <Loading />;
  const isOurs = name === '' || name.startsWith('amq.');
  const stats = data.message_stats;
  return (
    <div class="page">
      <div class="title">
        <h1>{shown(name) || NAMELESS}</h1>
        {features(data).map((each) => <Tag key={each}>{each}</Tag>)}
        <div class="tools"><PictureLink vhost={vhost} kind="exchange" name={name} />{!isOurs && may('configure', vhost, name) && <button type="button" class="danger" onClick={() => remove(data)}>Delete…</button>}</div>
        <p class="sub">{data.type} · vhost {vhost}{data.policy ? ` · policy ${data.policy}` : ''}</p>
      </div>
      <Tabs label={`Parts of ${name || NAMELESS}`} of={[
        { id: 'bindings', title: 'Bindings', content: () => <Routes exchange={data} /> },
        { id: 'route', title: 'Test a route', content: () => <Card><RouteTester vhost={vhost} exchange={name} type={data.type} /></Card> },
        ...(may('write', vhost, name) && !data.internal ? [{ id: 'publish', title: 'Publish', content: () => <Card><Publish vhost={vhost} exchange={name} /></Card> }] : []),
        { id: 'overview', title: 'Traffic', content: () => (
          <Card title="Traffic">
            {stats && <Figures of={[
              { name: 'In', value: rate(stats.publish_in_details?.rate), exact: `${count(stats.publish_in)} so far`, colour: 'publish' },
              { name: 'Out', value: rate(stats.publish_out_details?.rate), exact: `${count(stats.publish_out)} so far`, colour: 'deliver' },
            ]} />}
            {!stats && <p class="note">Nothing was published to it since the node started, or the node counts nothing.</p>}
            <Throughput of={seriesOf('exchange', vhost, name)} />
            <Ends of={data} />
          </Card>
        ) },
        { id: 'settings', title: 'Settings', content: () => (
          <Card>
            <Facts of={[
              ['Type', data.type], ['Durability', data.durable ? 'durable' : 'transient'], ['Deleted with its last binding', data.auto_delete ? 'yes' : 'no'],
              ['Internal', data.internal ? 'yes: only exchanges publish to it' : 'no'], ['Arguments', <ArgumentList of={data.arguments} />], ['Policy', data.policy ?? <span class="muted">none</span>],
            ]} />
          </Card>
        ) },
      ]} />
    </div>
  );
}

/** By whom and to where messages go. */
function Ends({ of: { incoming = [], outgoing = [] } }: { of: Data }) {
  return (
    <div class="two">
      {incoming.length > 0 && <Stats title="From channels" columns={[['Published', 'publish']]}
        of={incoming.flatMap(({ channel_details: { name }, stats }) => (name ? [{ name, href: href('channels', name), stats }] : []))} />}
      {outgoing.length > 0 && <Stats title="To queues" columns={[['Published', 'publish']]}
        of={outgoing.map(({ queue, stats }) => ({ name: queue.name, href: href('queues', queue.vhost, queue.name), stats }))} />}
    </div>
  );
}

function Routes({ exchange: { vhost, name } }: { exchange: Data }) {
  const path = url`/exchanges/${vhost}/${name || 'amq.default'}/bindings`;
  const out = usePoll<Binding[]>(`${path}/source`);
  const into = usePoll<Binding[]>(`${path}/destination`);
  return (
    <>
      <Card title="From here">
        {name === '' && <p class="note">Every queue of {vhost} is bound here by its own name.</p>}
        {out.error && !out.data && <Failed what="The bindings" error={out.error} />}
        {out.data ? <Bindings of={out.data} vhost={vhost} from={name} /> : !out.error && <Loading />}
      </Card>
      {into.data && into.data.length > 0 && <Card title="From other exchanges"><Bindings of={into.data} vhost={vhost} to={{ kind: 'exchange', name }} /></Card>}
    </>
  );
}

async function bindingsOf({ vhost, name }: Data): Promise<number> {
  return (await get<Binding[]>(url`/exchanges/${vhost}/${name}/bindings/source`)).length;
}

function remove(exchange: Data): void {
  const { vhost, name } = exchange;
  void bindingsOf(exchange).catch(() => 0).then((bindings) => ask({
    title: `Delete ${name}?`,
    text: <p>The exchange {name} of {vhost} will be gone, with {counted(bindings, 'binding')} from it. A client that publishes to it is told that it does not exist, and its channel is closed. This cannot be undone.</p>,
    button: `Delete ${name}`,
    type: bindings > 0 ? name : undefined,
    run: async () => {
      await deleteAndLeave(url`/exchanges/${vhost}/${name}`, '#/exchanges');
      tell(`${name} was deleted`);
    },
  }));
}
