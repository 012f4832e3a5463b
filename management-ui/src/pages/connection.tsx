// One connection: who it is, its channels, what it can do; and how to close it.

import { url } from '../api/client.ts';
import type { Channel, Connection as Data } from '../api/types.ts';
import { age, bytes, count, shown, time } from '../lib/format.ts';
import { leaveTo } from '../state/address.ts';
import { usePoll } from '../state/poll.ts';
import { utc } from '../state/settings.ts';
import { Tag } from '../ui/badge.tsx';
import { Whole } from '../ui/list.tsx';
import { Card, Empty, Facts, Failed, Figures, Loading } from '../ui/states.tsx';
import { CHANNELS } from './channels.tsx';
import { Octets, seriesOf } from './charts.tsx';
import { ArgumentList, clientName, peer } from './parts.tsx';
import { OfConnection } from './readers.tsx';
import { close, ConnectionState, perSecond } from './connections.tsx';
import type { Names } from '../routes.ts';

export function Connection({ names }: { names: Names }) {
  const { name = '' } = names;
  const { data, error } = usePoll<Data>(url`/connections/${name}`);
  if (error?.isGone) return <Empty action={<a href="#/connections">To all connections</a>}>The connection {name} is closed.</Empty>;
  if (!data) return error ? <Failed what={`Connection ${name}`} error={error} /> : <Loading />;
  const { capabilities, ...properties } = data.client_properties;
  const isOfStreams = data.protocol === 'stream';
  return (
    <div class="page">
      <div class="title">
        <h1>{shown(data.user_provided_name ?? data.name)}</h1>
        <ConnectionState of={data} />
        <div class="tools"><button type="button" class="danger" onClick={() => close([data], leaveTo(isOfStreams ? '#/stream/connections' : '#/connections'))}>Close…</button></div>
        <p class="sub">{data.name} · user {data.user} · vhost {data.vhost} · node {data.node}</p>
      </div>
      <Card title="Traffic">
        <Figures of={[
          { name: 'From client', value: perSecond(data.recv_oct_details?.rate), exact: `${count(data.recv_oct)} bytes so far`, colour: 'publish' },
          { name: 'To client', value: perSecond(data.send_oct_details?.rate), exact: `${count(data.send_oct)} bytes so far`, colour: 'deliver' },
          ...(isOfStreams ? [] : [{ name: 'Channels', value: count(data.channels) }]),
          { name: 'Connected for', value: age(Date.now() - data.connected_at), exact: time(data.connected_at, utc.value) },
        ]} />
        <Octets of={seriesOf('connection', name)} />
      </Card>
      {isOfStreams ? <OfConnection vhost={data.vhost} name={name} /> : <Channels name={name} />}
      <Card title="Properties">
        <Facts of={[
          ['Library', clientName(data) || '–'],
          ['Client address', peer(data)],
          ['Protocol', data.protocol],
          ['TLS', data.ssl ? `${data.ssl_protocol ?? 'yes'} ${data.ssl_cipher ?? ''}` : 'no'],
          ['Signed in by', data.auth_mechanism],
          ['Heartbeat', data.timeout ? `${data.timeout} s` : 'off'],
          ['Frames up to', bytes(data.frame_max)],
          ...(isOfStreams ? [] : [['Channels up to', count(data.channel_max)] as [string, string]]),
          ['Since', time(data.connected_at, utc.value)],
          ['The client says', <ArgumentList of={properties} />],
          ['It can do', <Capabilities of={capabilities} />],
        ]} />
      </Card>
    </div>
  );
}

/** What the client says that it can do. */
function Capabilities({ of }: { of: unknown }) {
  const able = Object.entries(of && typeof of === 'object' ? of : {}).filter(([, value]) => value === true);
  return able.length ? <>{able.map(([name]) => <Tag key={name}>{name.replaceAll('_', ' ')}</Tag>)}</> : <span class="muted">nothing</span>;
}

function Channels({ name }: { name: string }) {
  const { data, error } = usePoll<Channel[]>(url`/connections/${name}/channels`);
  return (
    <Card title="Channels">
      {error && !data && <Failed what="The channels" error={error} />}
      {data ? (
        <Whole id="connection-channels" label="Channels" columns={CHANNELS.filter((column) => !['user', 'vhost', 'node'].includes(column.id))} rows={data} rowKey={(channel) => channel.name}
          order={{ by: 'name', isDown: false }} isBare empty={<Empty>No channel is open.</Empty>} />
      ) : !error && <Loading />}
    </Card>
  );
}
