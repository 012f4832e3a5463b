// Feature flags, and deprecated features with whether anything uses them.

import type { DeprecatedFeature, FeatureFlag } from '../api/types.ts';
import { usePoll } from '../state/poll.ts';
import { Badge, Tag } from '../ui/badge.tsx';
import { Whole } from '../ui/list.tsx';
import { Card, Empty, Failed, Loading } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { AdminPage } from './admin.tsx';
import type { Names } from '../routes.ts';

const FLAGS: Column<FeatureFlag>[] = [
  { id: 'name', title: 'Name', width: 40, phone: 'name', value: (flag) => flag.name, cell: (flag) => <span title={flag.name}>{flag.name}</span> },
  { id: 'state', title: 'State', width: 14, phone: 'state', value: (flag) => flag.state, cell: (flag) => <Badge level={flag.state === 'enabled' ? 'ok' : 'off'}>{flag.state}</Badge> },
  { id: 'stability', title: 'Stability', width: 14, value: (flag) => flag.stability, cell: (flag) => <Tag>{flag.stability}</Tag> },
  { id: 'description', title: 'Description', phone: 'line', value: (flag) => flag.desc, cell: (flag) => <span title={flag.desc}>{flag.desc}</span> },
  { id: 'by', title: 'Provided by', width: 28, isHidden: true, value: (flag) => flag.provided_by, cell: (flag) => flag.provided_by },
];

const DEPRECATED: Column<DeprecatedFeature>[] = [
  { id: 'name', title: 'Name', width: 40, phone: 'name', value: (feature) => feature.name, cell: (feature) => feature.name },
  { id: 'phase', title: 'Phase', width: 22, phone: 'state', value: (feature) => feature.deprecation_phase, cell: (feature) => <Tag>{feature.deprecation_phase.replaceAll('_', ' ')}</Tag> },
  { id: 'description', title: 'Description', phone: 'line', value: (feature) => feature.desc, cell: (feature) => <span title={feature.desc}>{feature.desc}</span> },
];

export function FeatureFlags(_: { names: Names }) {
  const flags = usePoll<FeatureFlag[]>('/feature-flags', { every: 30_000 });
  const deprecated = usePoll<DeprecatedFeature[]>('/deprecated-features', { every: 30_000 });
  const used = new Set(usePoll<DeprecatedFeature[]>('/deprecated-features/used', { every: 30_000 }).data?.map(({ name }) => name));
  const usage: Column<DeprecatedFeature> = {
    id: 'used', title: 'Used', width: 12, value: (feature) => used.has(feature.name),
    cell: (feature) => (used.has(feature.name) ? <Badge level="warn">used</Badge> : 'no'),
  };
  return (
    <AdminPage id="feature-flags">
      <Card title="Flags">
        <p class="note">They are told to clients and tools that ask for them, as RabbitMQ tells them. Nothing here waits to be enabled.</p>
        {flags.error && !flags.data && <Failed what="The feature flags" error={flags.error} />}
        {flags.data ? (
          <Whole id="feature-flags" label="Feature flags" columns={FLAGS} rows={flags.data} rowKey={(flag) => flag.name} order={{ by: 'name', isDown: false }} empty={<Empty>There are no feature flags.</Empty>} />
        ) : !flags.error && <Loading rows={8} />}
      </Card>
      <Card title="Deprecated features">
        {deprecated.error && !deprecated.data && <Failed what="The deprecated features" error={deprecated.error} />}
        {deprecated.data ? (
          <Whole id="deprecated-features" label="Deprecated features" columns={[...DEPRECATED, usage]} rows={deprecated.data} rowKey={(feature) => feature.name} order={{ by: 'name', isDown: false }} isBare
            empty={<Empty>There are none: nothing that works here is going to be taken away.</Empty>} />
        ) : !deprecated.error && <Loading rows={1} />}
      </Card>
    </AdminPage>
  );
}
