// What leads where: exchanges and queues as boxes, and the ways a message takes between them. The same
// stands as a list beside it.

import { useMemo, useState } from 'preact/hooks';
import { query, url } from '../api/client.ts';
import type { Topology as Data, TopologyEdge, TopologyNode } from '../api/types.ts';
import { count, counted, rate, short, shown } from '../lib/format.ts';
import { laidOut, path, type Laid, type Point } from '../lib/layout.ts';
import { asked, href, setQuery } from '../state/address.ts';
import { usePoll } from '../state/poll.ts';
import { vhosts } from '../state/session.ts';
import { vhost as chosen } from '../state/settings.ts';
import { Badge } from '../ui/badge.tsx';
import { Dialog } from '../ui/dialog.tsx';
import { Whole } from '../ui/list.tsx';
import { Name } from '../ui/name.tsx';
import { Card, Empty, Facts, Failed, Loading } from '../ui/states.tsx';
import type { Column } from '../ui/table.tsx';
import { Tabs } from '../ui/tabs.tsx';
import { NAMELESS } from './exchanges.tsx';
import { Health } from './health.tsx';
import { RouteTester } from './route-tester.tsx';
import type { Names } from '../routes.ts';

/** Sizes of a box, in pixels. */
const HEIGHT = 44;
const NARROWEST = 156;
const WIDEST = 272;
const CHARACTER = 8;
/** In the second line. */
const SMALLER = 6.6;
/** Characters of a name that a box has room for. */
const LONGEST = 30;
/** Edges up to which their keys are written on them. */
const WITH_KEYS = 60;

const KINDS: Record<TopologyEdge['kind'], string> = { binding: 'binding', alternate: 'alternate', dead_letter: 'dead letters', group: 'and more' };

const NOTHING: Data = { nodes: [], edges: [], left_out: 0 };

export function Topology(_: { names: Names }) {
  const vhost = asked('vhost') || chosen.value || (vhosts.value.includes('/') ? '/' : (vhosts.value[0] ?? '/'));
  const around = asked('around');
  const hops = asked('hops', '2');
  const { data: found, error } = usePoll<Data>(url`/topology/${vhost}` + query({ around, hops }));
  const data = error?.isGone ? NOTHING : found;
  return (
    <div class="page">
      <div class="title"><h1>Topology</h1></div>
      <Card>
        <Controls vhost={vhost} around={around} hops={hops} />
        {error && !data && <Failed what={`The topology of ${vhost}`} error={error} />}
        {!data && !error && <Loading rows={6} />}
        {data && data.nodes.length === 0 && (
          around
            ? <Empty action={<button type="button" onClick={() => setQuery({ around: undefined, at: undefined })}>Show all of {vhost}</button>}>Nothing in {vhost} is called {around.replace(/^(queue|exchange):/, '')}. A name that ends in * is the begin of names.</Empty>
            : <Empty action={<a href="#/queues">To the queues</a>}>Nothing is bound in {vhost} yet. Exchanges and queues appear here, with the ways between them.</Empty>
        )}
        {data && data.nodes.length > 0 && (
          <Tabs label="Shown as" of={[
            { id: 'picture', title: 'Picture', content: () => <Picture data={data} vhost={vhost} /> },
            { id: 'list', title: 'List', content: () => <Ways data={data} vhost={vhost} /> },
          ]} />
        )}
        {data && data.left_out > 0 && <p class="note">{counted(data.left_out, 'more exchange or queue', 'more exchanges and queues')} of {vhost} {data.left_out === 1 ? 'is' : 'are'} not shown. Name what you look for, or go more hops.</p>}
      </Card>
    </div>
  );
}

function Controls({ vhost, around, hops }: { vhost: string; around: string; hops: string }) {
  return (
    <form class="inline" onSubmit={(event) => {
      event.preventDefault();
      const text = String(new FormData(event.currentTarget).get('around') ?? '').trim();
      setQuery({ around: text, at: undefined });
    }}>
      {vhosts.value.length > 1 && (
        <label>vhost
          <select value={vhost} onChange={(event) => setQuery({ vhost: event.currentTarget.value, around: undefined, at: undefined })}>
            {vhosts.value.map((each) => <option key={each} value={each}>{each}</option>)}
          </select>
        </label>
      )}
      <label>Around
        <input key={around} name="around" type="search" data-filter defaultValue={around} placeholder="Name, or begin*" autocomplete="off" spellcheck={false} />
      </label>
      <label>Hops
        <select value={hops} onChange={(event) => setQuery({ hops: event.currentTarget.value === '2' ? undefined : event.currentTarget.value })}>
          {['1', '2', '3', '4', '6', '10'].map((each) => <option key={each} value={each}>{each}</option>)}
        </select>
      </label>
      <button type="submit">Show</button>
      {around && <button type="button" class="plain" onClick={() => setQuery({ around: undefined, at: undefined })}>Show all</button>}
    </form>
  );
}

const edgeId = ({ from, to, kind }: TopologyEdge) => `${kind} ${from} ${to}`;

function Picture({ data, vhost }: { data: Data; vhost: string }) {
  // Numbers change with each poll; where the boxes lie does not.
  const shape = JSON.stringify([data.nodes.map((node) => [node.id, node.name, widthOf(node)]), data.edges]);
  const laid = useMemo(() => arranged(data), [shape]);
  const at = data.nodes.find((node) => node.id === asked('at'));
  const widths = new Map(data.nodes.map((node) => [node.id, widthOf(node)]));
  return (
    <>
      <div class="scroll topology" role="group" tabIndex={0} aria-label={`Picture of ${vhost}; the list has the same`}>
        <svg width={laid.width} height={laid.height} viewBox={`0 0 ${laid.width} ${laid.height}`} role="group" aria-label={`Exchanges and queues of ${vhost}`}>
          <defs>
            <marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" markerUnits="userSpaceOnUse" orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" /></marker>
          </defs>
          {data.edges.map((edge) => <Edge key={edgeId(edge)} edge={edge} laid={laid} data={data} widths={widths} isLit={at !== undefined && (edge.from === at.id || edge.to === at.id)} />)}
          {data.nodes.map((node) => <BoxOf key={node.id} node={node} laid={laid} width={widths.get(node.id) ?? WIDEST} isAt={node === at} />)}
        </svg>
      </div>
      <p class="legend-line"><span class="way">binding</span> <span class="way alternate">alternate exchange</span> <span class="way dead_letter">dead letters</span> <span class="muted">An edge is as thick as what goes along it, where that is known. Press a box to see more of it.</span></p>
      {at && <Chosen node={at} vhost={vhost} data={data} />}
    </>
  );
}

function labelOf(node: TopologyNode): string {
  const name = node.name === '' ? NAMELESS : shown(node.name);
  return name.length <= LONGEST ? name : `${name.slice(0, LONGEST - 13)}…${name.slice(-12)}`;
}

function widthOf(node: TopologyNode): number {
  // Numbers change: room for the longest.
  const second = isBad(node) ? `${node.health} 999.9 k ready · 999.9 k/s` : '';
  return Math.min(WIDEST, Math.max(NARROWEST, labelOf(node).length * CHARACTER + 24, second.length * SMALLER + 24));
}

const heightOf = (node: TopologyNode) => (node.kind === 'group' ? 28 : HEIGHT);

function keysOf({ keys, count: all }: TopologyEdge): string {
  const first = shown(keys[0] ?? '');
  const cut = first.length > 18 ? `${first.slice(0, 17)}…` : first;
  return all > 1 ? `${cut || '–'} +${all - 1}` : cut;
}

function arranged(data: Data): Laid {
  const isNamed = data.edges.length <= WITH_KEYS;
  return laidOut(
    data.nodes.map((node) => ({ id: node.id, width: widthOf(node), height: heightOf(node) })),
    data.edges.map((edge) => ({ id: edgeId(edge), from: edge.from, to: edge.to, label: { width: isNamed ? keysOf(edge).length * 6.2 + 8 : 1, height: 14 } })),
  );
}

/** What goes along an edge, in messages a second, where its end says so: it is the only way there. */
function along(edge: TopologyEdge, data: Data): number | undefined {
  const to = data.nodes.find((node) => node.id === edge.to);
  const ways = data.edges.filter((other) => other.to === edge.to);
  return ways.length === 1 && to?.in != null ? to.in : undefined;
}

/** The points of a line that leaves and enters its boxes at the middle of their sides. */
function joined(edge: TopologyEdge, points: Point[], laid: Laid, widths: Map<string, number>): Point[] {
  const [from, to] = [laid.boxes.get(edge.from), laid.boxes.get(edge.to)];
  if (!from || !to || edge.from === edge.to) return points;
  const way = from.x <= to.x ? 1 : -1;
  const side = (id: string) => (widths.get(id) ?? WIDEST) / 2;
  return [{ x: from.x + way * side(edge.from), y: from.y }, ...points.slice(1, -1), { x: to.x - way * side(edge.to), y: to.y }];
}

function Edge({ edge, laid, data, widths, isLit }: { edge: TopologyEdge; laid: Laid; data: Data; widths: Map<string, number>; isLit: boolean }) {
  const line = laid.lines.get(edgeId(edge));
  if (!line) return null;
  const flow = along(edge, data) ?? 0;
  const width = flow > 0 ? Math.min(7, 1.5 + Math.log10(1 + flow) * 1.6) : 1.2;
  const keys = data.edges.length <= WITH_KEYS ? keysOf(edge) : '';
  return (
    <g class={`edge ${edge.kind}${isLit ? ' lit' : ''}`}>
      <title>{`${KINDS[edge.kind]} ${edge.keys.map((key) => key || '(no key)').join(', ')}${edge.count > edge.keys.length ? ' …' : ''}${flow > 0 ? `, ${rate(flow)}` : ''}`}</title>
      <path d={path(joined(edge, line.points, laid, widths))} stroke-width={width} marker-end="url(#head)" />
      {keys && <text x={line.label.x} y={line.label.y + 4} text-anchor="middle">{keys}</text>}
    </g>
  );
}

const isBad = (node: TopologyNode) => BAD.includes(node.health ?? '');
const BAD = ['missing', 'stuck', 'unavailable', 'minority', 'down', 'crashed', 'stopped', 'damaged'];

function BoxOf({ node, laid, width, isAt }: { node: TopologyNode; laid: Laid; width: number; isAt: boolean }) {
  const middle = laid.boxes.get(node.id);
  if (!middle) return null;
  const height = heightOf(node);
  const [x, y] = [middle.x - width / 2, middle.y - height / 2];
  const flow = node.in ? ` · ${rate(node.in)}` : '';
  const second = node.health === 'missing' ? '■ not there' : node.kind === 'queue' ? `${isBad(node) ? `■ ${node.health} · ` : ''}${short(node.ready)} ready${flow}` : `${node.type ?? 'exchange'}${flow}`;
  return (
    <a class={`box ${node.kind}${isBad(node) ? ' bad' : ''}${isAt ? ' at' : ''}`} href={`#/topology?at=${encodeURIComponent(node.id)}`}
      onClick={(event: Event) => {
        event.preventDefault();
        if (node.kind === 'group') setQuery({ around: node.id.replace(/^group:/, ''), hops: '1', at: undefined });
        else setQuery({ at: isAt ? undefined : node.id });
      }}>
      {labelOf(node) !== node.name && node.name !== '' && <title>{shown(node.name)}</title>}
      <rect x={x} y={y} width={width} height={height} rx={node.kind === 'exchange' ? 14 : 4} />
      <text class="of-name" x={x + 12} y={y + 18}>{labelOf(node)}</text>
      {node.kind !== 'group' && <text x={x + 12} y={y + 35}>{second}</text>}
    </a>
  );
}

function pageOf(node: TopologyNode, vhost: string): string {
  return node.kind === 'queue' ? href('queues', vhost, node.name) : href('exchanges', vhost, node.name || 'amq.default');
}

function Chosen({ node, vhost, data }: { node: TopologyNode; vhost: string; data: Data }) {
  const [isTesting, setTesting] = useState(false);
  const isMissing = node.health === 'missing';
  const into = data.edges.filter((edge) => edge.to === node.id);
  const out = data.edges.filter((edge) => edge.from === node.id);
  const named = (id: string) => id.replace(/^(queue|exchange):/, '') || NAMELESS;
  const ways = (of: TopologyEdge[], end: 'from' | 'to') => of.length === 0 ? <span class="muted">none shown</span> : of.slice(0, 6).map((edge) => (
    <span key={edgeId(edge)} class="way-line">{named(edge[end])} <span class="muted">{edge.kind === 'binding' ? keysOf(edge) : KINDS[edge.kind]}</span></span>
  ));
  return (
    <section class="chosen-box" aria-live="polite" aria-label={`About ${node.name || NAMELESS}`}>
      <div class="title">
        <h2>{node.name || NAMELESS}</h2>
        <span class="muted">{node.kind}{node.type ? `, ${node.type}` : ''}</span>
        {isMissing ? <Badge level="bad">not there</Badge> : node.health && <Health of={{ health: node.health, state: '' }} />}
        <div class="tools">
          {node.kind === 'exchange' && !isMissing && <button type="button" onClick={() => setTesting(true)}>Test a route…</button>}
          <button type="button" onClick={() => setQuery({ around: node.id })}>Show what is around it</button>
          {!isMissing && <a class="button" href={pageOf(node, vhost)}>Open the {node.kind}</a>}
        </div>
      </div>
      <Facts of={[
        ...(node.kind === 'queue' && !isMissing ? [['Ready', count(node.ready)], ...(node.unacked == null ? [] : [['Unacked', count(node.unacked)]]), ...(node.consumers == null ? [] : [['Consumers', count(node.consumers)]])] as [string, string][] : []),
        ...(node.in == null ? [] : [['In', rate(node.in)], ['Out', rate(node.out)]] as [string, string][]),
        ['Comes from', ways(into, 'from')],
        ['Goes to', ways(out, 'to')],
      ]} />
      {isTesting && (
        <Dialog title={`Test a route from ${node.name || NAMELESS}`} side onClose={() => setTesting(false)}>
          <div class="stack"><RouteTester vhost={vhost} exchange={node.name} type={node.type ?? ''} /></div>
        </Dialog>
      )}
    </section>
  );
}

function Ways({ data, vhost }: { data: Data; vhost: string }) {
  const nodes = new Map(data.nodes.map((node) => [node.id, node]));
  const link = (id: string) => {
    const node = nodes.get(id);
    if (node?.kind === 'group') return <>{node.name}</>;
    return node ? <Name of={node.name} fallback={NAMELESS} href={node.health === 'missing' ? undefined : pageOf(node, vhost)} copy={false} /> : <>{id}</>;
  };
  const columns: Column<TopologyEdge>[] = [
    { id: 'from', title: 'From', phone: 'name', value: (edge) => edge.from, cell: (edge) => link(edge.from) },
    { id: 'kind', title: 'Way', width: 16, phone: 'state', value: (edge) => edge.kind, cell: (edge) => KINDS[edge.kind] },
    { id: 'keys', title: 'Keys', width: 34, phone: 'line', value: (edge) => edge.keys.join(' '), cell: (edge) => <span class="mono" title={edge.keys.join('\n')}>{keysOf(edge) || '–'}</span> },
    { id: 'to', title: 'To', width: 34, phone: 'line', value: (edge) => edge.to, cell: (edge) => link(edge.to) },
    { id: 'in', title: 'Into its end', width: 14, end: true, value: (edge) => nodes.get(edge.to)?.in, cell: (edge) => rate(nodes.get(edge.to)?.in) },
  ];
  return <Whole id="topology" label="Ways" columns={columns} rows={data.edges} rowKey={edgeId} order={{ by: 'from', isDown: false }} empty={<Empty>Nothing leads anywhere.</Empty>} />;
}
