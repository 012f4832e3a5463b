// Who is connected: the client's own name first.

import { ApiError, send, url } from '../api/client.ts';
import type { Connection } from '../api/types.ts';
import { age, bytes, count, counted, shown } from '../lib/format.ts';
import { href } from '../state/address.ts';
import { refresh } from '../state/poll.ts';
import { Badge } from '../ui/badge.tsx';
import { ask } from '../ui/dialog.tsx';
import { List } from '../ui/list.tsx';
import { Name } from '../ui/name.tsx';
import { Empty } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { tell } from '../ui/toast.tsx';
import { vhost } from '../state/settings.ts';
import { hasManyVhosts, peer } from './parts.tsx';

export const COLUMNS: Column<Connection>[] = [
  { id: 'name', title: 'Client', sort: 'user_provided_name', phone: 'name', value: (connection) => connection.user_provided_name ?? connection.name,
    cell: (connection) => <Name of={connection.user_provided_name ?? connection.name} href={href('connections', connection.name)} /> },
  { id: 'address', title: 'Address', sort: 'name', width: 17, value: (connection) => connection.name, cell: (connection) => <span title={connection.name}>{peer(connection)}</span> },
  { id: 'vhost', title: 'vhost', sort: 'vhost', width: 10, value: (connection) => connection.vhost, cell: (connection) => connection.vhost },
  { id: 'user', title: 'User', sort: 'user', width: 10, phone: 'figure', value: (connection) => connection.user, cell: (connection) => connection.user },
  { id: 'state', title: 'State', sort: 'state', width: 11, phone: 'state', value: (connection) => connection.state, cell: (connection) => <ConnectionState of={connection} /> },
  { id: 'node', title: 'Node', sort: 'node', width: 20, isHidden: true, value: (connection) => connection.node, cell: (connection) => connection.node },
  { id: 'tls', title: 'TLS', sort: 'ssl', width: 8, value: (connection) => connection.ssl, cell: (connection) => (connection.ssl ? connection.ssl_protocol ?? 'yes' : 'no') },
  { id: 'client', title: 'Library', sort: 'client_properties.product', width: 13, value: (connection) => property(connection, 'product'), cell: (connection) => property(connection, 'product') ?? '–' },
  { id: 'version', title: 'Version', sort: 'client_properties.version', width: 9, value: (connection) => property(connection, 'version'), cell: (connection) => property(connection, 'version') ?? '–' },
  { id: 'channels', title: 'Channels', sort: 'channels', width: 10, end: true, phone: 'figure', value: (connection) => connection.channels, cell: (connection) => count(connection.channels) },
  { id: 'from', title: 'From client', sort: 'recv_oct_details.rate', width: 11, end: true, phone: 'figure', value: (connection) => connection.recv_oct_details?.rate,
    cell: (connection) => perSecond(connection.recv_oct_details?.rate) },
  { id: 'to', title: 'To client', sort: 'send_oct_details.rate', width: 11, end: true, phone: 'figure', value: (connection) => connection.send_oct_details?.rate,
    cell: (connection) => perSecond(connection.send_oct_details?.rate) },
  { id: 'since', title: 'Connected', sort: 'connected_at', width: 11, end: true, value: (connection) => connection.connected_at, cell: (connection) => age(Date.now() - connection.connected_at) },
];

/** What the client says of itself, if it is a text. */
function property({ client_properties: all }: Connection, name: string): string | undefined {
  const value = all[name];
  return typeof value === 'string' ? shown(value) : undefined;
}

export function perSecond(value: number | undefined): string {
  return value === undefined ? '–' : `${bytes(value)}/s`;
}

export function ConnectionState({ of }: { of: Connection }) {
  const level = of.state === 'running' ? 'ok' : of.state === 'blocked' || of.state === 'blocking' || of.state === 'flow' ? 'warn' : 'off';
  return <Badge level={level}>{of.state}</Badge>;
}

export function Connections() {
  const path = vhost.value ? url`/vhosts/${vhost.value}/connections` : '/connections';
  return (
    <div class="page">
      <div class="title"><h1>Connections</h1></div>
      <List
        of="connections"
        path={path}
        columns={hasManyVhosts() ? COLUMNS : COLUMNS.filter((column) => column.id !== 'vhost')}
        rowKey={(connection) => connection.name}
        order={{ by: 'name', isDown: false }}
        tokens="user:guest, channels>10"
        ask={{ facets: 'client_properties.product' }}
        valuesOf={[{ of: 'client_properties.product', title: 'Library' }]}
        chosen={(connections, clear) => <button type="button" onClick={() => close(connections, clear)}>Close…</button>}
        empty={<Empty>Nobody is connected. A client connects with AMQP to port 5672, unless it is configured otherwise.</Empty>}
      />
    </div>
  );
}

/** Requests that are under way together. */
const AT_ONCE = 8;

async function eachOf<T>(of: T[], run: (one: T) => Promise<void>): Promise<void> {
  const left = [...of];
  const worker = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) await run(next);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** Asks, and closes. */
export function close(connections: Connection[], done: () => void): void {
  const channels = connections.reduce((sum, connection) => sum + (connection.channels ?? 0), 0);
  const hasChannels = connections.some((connection) => connection.channels !== undefined);
  const only = connections.length === 1 ? connections[0] : undefined;
  const what = only ? (only.user_provided_name ?? only.name) : counted(connections.length, 'connection');
  ask({
    title: `Close ${what}?`,
    text: <p>{what} will be cut off{hasChannels && `, with ${counted(channels, 'channel')}`}. What the client holds unacked goes back to its queues. Many clients connect again by themselves.</p>,
    button: `Close ${what}`,
    type: only ? undefined : String(connections.length),
    ask: 'Reason, which the client is told',
    run: async (reason) => {
      await eachOf(connections, async (connection) => {
        await send('DELETE', url`/connections/${connection.name}`, undefined, reason || 'Closed via the console').catch((error: unknown) => {
          // It has gone by itself.
          if (!(error instanceof ApiError && error.isGone)) throw error;
        });
      });
      refresh();
      tell(`${what} closed`);
      done();
    },
  });
}
