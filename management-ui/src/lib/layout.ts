// Where the boxes and edges of a directed picture lie, from left to right. The one place that knows
// dagre, which is loaded with the page that draws.

import { Graph, layout } from '@dagrejs/dagre';

export interface Box {
  id: string;
  width: number;
  height: number;
}

export interface Line {
  /** Different for two lines between the same boxes. */
  id: string;
  from: string;
  to: string;
  /** Room for a text in its middle. */
  label: { width: number; height: number };
}

export interface Point {
  x: number;
  y: number;
}

export interface Laid {
  width: number;
  height: number;
  /** Middles of the boxes. */
  boxes: Map<string, Point>;
  lines: Map<string, { points: Point[]; label: Point }>;
}

/** Lays boxes and lines out. */
export function laidOut(boxes: Box[], lines: Line[]): Laid {
  const graph = new Graph({ multigraph: true });
  graph.setGraph({ rankdir: 'LR', ranker: 'tight-tree', nodesep: 14, edgesep: 8, ranksep: 36, marginx: 12, marginy: 12 });
  for (const { id, width, height } of boxes) graph.setNode(id, { width, height });
  for (const { id, from, to, label } of lines) graph.setEdge({ v: from, w: to, name: id }, { ...label, labelpos: 'c' });
  layout(graph);
  const size = graph.graph() as { width?: number; height?: number };
  const found: Laid = { width: size.width ?? 0, height: size.height ?? 0, boxes: new Map(), lines: new Map() };
  for (const { id } of boxes) {
    const { x, y } = graph.node(id) as Point;
    found.boxes.set(id, { x, y });
  }
  for (const { id, from, to } of lines) {
    const { points, x, y } = graph.edge({ v: from, w: to, name: id }) as Point & { points: Point[] };
    found.lines.set(id, { points, label: { x, y } });
  }
  return found;
}

/** A line through points, bent softly. */
export function path(points: Point[]): string {
  const [first, ...rest] = points;
  if (!first) return '';
  let text = `M${first.x},${first.y}`;
  rest.forEach((point, at) => {
    const before = points[at] ?? first;
    const middle = (before.x + point.x) / 2;
    text += `C${middle},${before.y} ${middle},${point.y} ${point.x},${point.y}`;
  });
  return text;
}
