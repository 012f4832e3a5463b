// What several pages show in the same way.

import { useEffect, useState } from 'preact/hooks';
import { get, query } from '../api/client.ts';
import type { Arguments, Connection, Known } from '../api/types.ts';
import { plain } from '../lib/format.ts';
import { vhosts } from '../state/session.ts';
import { vhost } from '../state/settings.ts';
import { Tag } from '../ui/badge.tsx';
import { PLACES } from '../routes.ts';

/** Path of a list, within the vhost that is chosen. */
export function inVhost(path: string): string {
  return vhost.value ? `${path}/${encodeURIComponent(vhost.value)}` : path;
}

/** Whether the vhost of a thing has to be told. */
export function hasManyVhosts(): boolean {
  return !vhost.value && vhosts.value.length > 1;
}

/** Arguments and properties: names and values. */
export function ArgumentList({ of }: { of: Arguments | null | undefined }) {
  const entries = Object.entries(of ?? {});
  if (entries.length === 0) return <span class="muted">none</span>;
  return <>{entries.map(([name, value]) => <Tag key={name}>{name}: {plain(value)}</Tag>)}</>;
}

/** What the client calls itself, and what it is. */
export function clientName(connection: Connection): string {
  const { product, version } = connection.client_properties;
  return [product, version].filter((part) => typeof part === 'string').join(' ');
}

/** Where the client is. */
export function peer(connection: { peer_host: string; peer_port: number }): string {
  const { peer_host: host, peer_port: port } = connection;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** To the picture of what is around an exchange or queue, where there is one. */
export function PictureLink({ vhost: of, kind, name }: { vhost: string; kind: 'queue' | 'exchange'; name: string }) {
  if (!PLACES.some((place) => place.id === 'topology')) return null;
  return <a class="button" href={`#/topology${query({ vhost: of, around: `${kind}:${name}` })}`}>Picture</a>;
}

/** What can be declared, as the broker tells it; nothing where it does not. */
export function useKnown(): Known | undefined {
  const [known, setKnown] = useState<Known>();
  useEffect(() => {
    get<Known>('/arguments').then(setKnown, () => undefined);
  }, []);
  return known;
}
