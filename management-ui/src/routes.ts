// The table of pages: address, title, place in the menu, who may see it, and the page, which is
// loaded when it is first opened. The addresses are RabbitMQ's.

import type { ComponentType } from 'preact';
import { isAdministrator, isMonitor, isPolicymaker } from './state/session.ts';

/** The parts of an address that have names: `{ vhost: '/', name: 'orders' }`. */
export type Names = Record<string, string>;
export type Page = ComponentType<{ names: Names }>;

export interface Route {
  /** `queues/:vhost/:name` */
  path: string;
  /** Of the window: `orders · Queues`. */
  title: (names: Names) => string;
  /** Which place of the menu it belongs to. */
  place: string;
  needs?: { value: boolean };
  load: () => Promise<Page>;
}

/** The menu: word, address, and the key after `g`. */
export interface Place {
  id: string;
  title: string;
  path: string;
  key: string;
  needs?: { value: boolean };
}

export const PLACES: Place[] = [
  { id: 'overview', title: 'Overview', path: '#/', key: 'o' },
  { id: 'connections', title: 'Connections', path: '#/connections', key: 'c' },
  { id: 'channels', title: 'Channels', path: '#/channels', key: 'h' },
  { id: 'exchanges', title: 'Exchanges', path: '#/exchanges', key: 'e' },
  { id: 'queues', title: 'Queues and Streams', path: '#/queues', key: 'q' },
];

const page = (title: string) => () => title;
const named = (of: string) => (names: Names) => `${names.name || '(AMQP default)'} · ${of}`;

export const ROUTES: Route[] = [
  { path: '', title: page('Overview'), place: 'overview', load: async () => (await import('./pages/overview.tsx')).Overview },
  { path: 'connections', title: page('Connections'), place: 'connections', load: async () => (await import('./pages/connections.tsx')).Connections },
  { path: 'connections/:name', title: named('Connections'), place: 'connections', load: async () => (await import('./pages/connection.tsx')).Connection },
  { path: 'channels', title: page('Channels'), place: 'channels', load: async () => (await import('./pages/channels.tsx')).Channels },
  { path: 'channels/:name', title: named('Channels'), place: 'channels', load: async () => (await import('./pages/channel.tsx')).Channel },
  { path: 'exchanges', title: page('Exchanges'), place: 'exchanges', load: async () => (await import('./pages/exchanges.tsx')).Exchanges },
  { path: 'exchanges/:vhost/:name', title: named('Exchanges'), place: 'exchanges', load: async () => (await import('./pages/exchange.tsx')).Exchange },
  { path: 'queues', title: page('Queues and Streams'), place: 'queues', load: async () => (await import('./pages/queues.tsx')).Queues },
  { path: 'queues/:vhost/:name', title: named('Queues'), place: 'queues', load: async () => (await import('./pages/queue.tsx')).Queue },
];

/** Who may see a page, for the table. */
export const NEEDS = { monitor: isMonitor, administrator: isAdministrator, policymaker: isPolicymaker };

/** The page of an address, and what the parts of the address are called. */
export function find(parts: string[]): { route: Route; names: Names } | undefined {
  for (const route of ROUTES) {
    const names = match(route.path === '' ? [] : route.path.split('/'), parts);
    if (names) return { route, names };
  }
  return undefined;
}

function match(pattern: string[], parts: string[]): Names | undefined {
  if (pattern.length !== parts.length) return undefined;
  const names: Names = {};
  for (const [at, part] of pattern.entries()) {
    const given = parts[at] ?? '';
    if (part.startsWith(':')) names[part.slice(1)] = given;
    else if (part !== given) return undefined;
  }
  return names;
}
