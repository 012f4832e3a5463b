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
  /** Pages with the same word here are one page: a list, and the panel of one thing over it. */
  shared?: string;
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
  { id: 'streams', title: 'Streams', path: '#/streams', key: 's' },
  { id: 'topology', title: 'Topology', path: '#/topology', key: 't' },
  { id: 'cluster', title: 'Cluster', path: '#/cluster', key: 'u', needs: isMonitor },
  { id: 'admin', title: 'Admin', get path() { return isAdministrator.value ? '#/users' : '#/policies'; }, key: 'a' },
];

/** The pages of the place Admin, in their order. */
export const ADMIN: { id: string; title: string; needs?: { value: boolean } }[] = [
  { id: 'users', title: 'Users', needs: isAdministrator },
  { id: 'vhosts', title: 'vhosts' },
  { id: 'policies', title: 'Policies' },
  { id: 'operator-policies', title: 'Operator policies' },
  { id: 'limits', title: 'Limits' },
  { id: 'parameters', title: 'Parameters', needs: isPolicymaker },
  { id: 'definitions', title: 'Definitions', needs: isAdministrator },
  { id: 'feature-flags', title: 'Feature flags' },
  { id: 'sessions', title: 'Sessions', needs: isAdministrator },
  { id: 'jobs', title: 'Jobs' },
];

const page = (title: string) => () => title;
const named = (of: string) => (names: Names) => `${names.name || '(AMQP default)'} · ${of}`;
const users = async () => (await import('./pages/users.tsx')).Users;
const virtualHosts = async () => (await import('./pages/vhosts.tsx')).Vhosts;
const policies = async () => (await import('./pages/policies.tsx')).Policies;
const operatorPolicies = async () => (await import('./pages/policies.tsx')).OperatorPolicies;
const limits = async () => (await import('./pages/limits.tsx')).Limits;
const parameters = async () => (await import('./pages/parameters.tsx')).Parameters;
const flags = async () => (await import('./pages/feature-flags.tsx')).FeatureFlags;
const streams = async () => (await import('./pages/streams.tsx')).Streams;
const cluster = async () => (await import('./pages/cluster.tsx')).Cluster;

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
  { path: 'streams', title: page('Streams'), place: 'streams', load: streams },
  { path: 'stream/connections', title: page('Streams'), place: 'streams', load: async () => (await import('./pages/streams.tsx')).StreamConnections },
  { path: 'stream/connections/:vhost/:name', title: named('Connections'), place: 'streams', load: async () => (await import('./pages/connection.tsx')).Connection },
  { path: 'topology', title: page('Topology'), place: 'topology', load: async () => (await import('./pages/topology.tsx')).Topology },
  { path: 'cluster', title: page('Cluster'), place: 'cluster', needs: isMonitor, load: cluster },
  { path: 'cluster-name', title: page('Cluster'), place: 'cluster', needs: isMonitor, load: cluster },
  { path: 'nodes/:name', title: named('Nodes'), place: 'cluster', needs: isMonitor, load: async () => (await import('./pages/node.tsx')).Node },
  { path: 'users', title: page('Users'), place: 'admin', shared: 'users', needs: isAdministrator, load: users },
  { path: 'users/:name', title: named('Users'), place: 'admin', shared: 'users', needs: isAdministrator, load: users },
  { path: 'vhosts', title: page('vhosts'), place: 'admin', shared: 'vhosts', load: virtualHosts },
  { path: 'vhosts/:name', title: named('vhosts'), place: 'admin', shared: 'vhosts', load: virtualHosts },
  { path: 'policies', title: page('Policies'), place: 'admin', shared: 'policies', load: policies },
  { path: 'policies/:vhost/:name', title: named('Policies'), place: 'admin', shared: 'policies', load: policies },
  { path: 'operator-policies', title: page('Operator policies'), place: 'admin', shared: 'operator-policies', load: operatorPolicies },
  { path: 'operator-policies/:vhost/:name', title: named('Operator policies'), place: 'admin', shared: 'operator-policies', load: operatorPolicies },
  { path: 'limits', title: page('Limits'), place: 'admin', load: limits },
  { path: 'parameters', title: page('Parameters'), place: 'admin', shared: 'parameters', needs: isPolicymaker, load: parameters },
  { path: 'parameters/:component/:vhost/:name', title: named('Parameters'), place: 'admin', shared: 'parameters', needs: isPolicymaker, load: parameters },
  { path: 'global-parameters/:name', title: named('Parameters'), place: 'admin', shared: 'parameters', needs: isPolicymaker, load: parameters },
  { path: 'definitions', title: page('Definitions'), place: 'admin', needs: isAdministrator, load: async () => (await import('./pages/definitions.tsx')).Definitions },
  { path: 'feature-flags', title: page('Feature flags'), place: 'admin', load: flags },
  { path: 'deprecated-features', title: page('Feature flags'), place: 'admin', load: flags },
  { path: 'jobs', title: page('Jobs'), place: 'admin', load: async () => (await import('./pages/jobs.tsx')).Jobs },
  { path: 'sessions', title: page('Sessions'), place: 'admin', needs: isAdministrator, load: async () => (await import('./pages/sessions.tsx')).Sessions },
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
