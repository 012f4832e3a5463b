// Charts over time, drawn by uPlot, which is named nowhere else.
//
// Only series that moved are on. A gap is a gap. One crosshair runs through all charts of a page. The
// same values can be shown as a table.

import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Series } from '../api/types.ts';
import { clock, short, time, UNKNOWN } from '../lib/format.ts';
import { theme, utc } from '../state/settings.ts';

export interface Line {
  measure: string;
  title: string;
  /** The token of its colour, the same on every page. */
  colour: string;
  /** Filled to the ground, below the lines. */
  isFilled?: boolean;
}

interface Props {
  title: string;
  lines: Line[];
  series: Series | undefined;
  format?: (value: number | null | undefined) => string;
  /** Of things that come whole: no step between 0 and 1. */
  isWhole?: boolean;
}

const HEIGHT = 160;
const CROSSHAIR = uPlot.sync('page');

/** A chart with its legend. */
export function Chart({ title, lines, series, format = short, isWhole = false }: Props) {
  const [toggled, setToggled] = useState<Record<string, boolean>>({});
  const [isTable, setTable] = useState(false);
  const [isAll, setAll] = useState(false);
  const values = (line: Line) => series?.values[line.measure] ?? [];
  const moved = (line: Line) => values(line).some((value) => value !== null && value !== 0);
  const anyMoved = lines.some(moved);
  const isOn = (line: Line, at: number) => toggled[line.measure] ?? (anyMoved ? moved(line) : at === 0);
  const on = lines.filter(isOn);
  const still = lines.filter((line, at) => !moved(line) && !isOn(line, at) && toggled[line.measure] === undefined).length;
  return (
    <figure class="chart">
      <figcaption>
        <h3>{title}</h3>
        <button type="button" class="plain small" aria-pressed={isTable} onClick={() => setTable(!isTable)}>Show as table</button>
      </figcaption>
      {!series ? <div class="plot grey" /> : isTable
        ? <Values series={series} lines={on} format={format} />
        : <Plot lines={on} series={series} format={format} label={title} isWhole={isWhole} />}
      <div class="legend" role="group" aria-label={`Series of ${title}`}>
        {lines.map((line, at) => {
          const { now, min, max } = range(values(line));
          if (!isAll && !isOn(line, at) && !moved(line) && toggled[line.measure] === undefined) return null;
          return (
            <button key={line.measure} type="button" class={`plain series-${line.colour}`} aria-pressed={isOn(line, at)}
              title={`min ${format(min)}, max ${format(max)}`} onClick={() => setToggled({ ...toggled, [line.measure]: !isOn(line, at) })}>
              <span class="swatch" aria-hidden="true" /> {line.title} <b>{format(now)}</b>
              <span class="extent">{max === undefined ? '' : ` ${format(min)}–${format(max)}`}</span>
            </button>
          );
        })}
        {still > 0 && <button type="button" class="plain muted" aria-expanded={isAll} onClick={() => setAll(!isAll)}>{isAll ? 'Fewer' : `${still} that did not move`}</button>}
      </div>
    </figure>
  );
}

function range(values: (number | null)[]): { now?: number; min?: number; max?: number } {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return {};
  return { now: known.at(-1), min: Math.min(...known), max: Math.max(...known) };
}

function Plot({ lines, series, format, label, isWhole }: { lines: Line[]; series: Series; format: (value: number) => string; label: string; isWhole: boolean }) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(null);
  // What somebody dragged out stays until they double-click, whatever comes in the meantime.
  const isZoomed = useRef(false);
  const shape = `${lines.map((line) => line.measure).join()} ${theme.value} ${utc.value}`;
  const data = aligned(lines, series);
  useEffect(() => {
    const element = place.current;
    if (!element) return undefined;
    const drawn = new uPlot(options(element, lines, format, isWhole), data, element);
    plot.current = drawn;
    isZoomed.current = false;
    drawn.hooks.setSelect = [(self) => { isZoomed.current ||= self.select.width > 0; }];
    drawn.over.addEventListener('dblclick', () => { isZoomed.current = false; });
    const watch = new ResizeObserver(() => drawn.setSize({ width: element.clientWidth, height: HEIGHT }));
    watch.observe(element);
    // The system's colours may change under the page.
    const colours = matchMedia('(prefers-color-scheme: dark)');
    const redraw = () => drawn.redraw();
    colours.addEventListener('change', redraw);
    return () => {
      colours.removeEventListener('change', redraw);
      watch.disconnect();
      drawn.destroy();
    };
  }, [shape]);
  useEffect(() => {
    plot.current?.setData(data, !isZoomed.current);
    if (isZoomed.current) plot.current?.redraw();
  }, [series]);
  return <div ref={place} class="plot" role="img" aria-label={`${label}: ${spoken(lines, series, format)}`} />;
}

function spoken(lines: Line[], series: Series, format: (value: number) => string): string {
  return lines.map((line) => {
    const { now, min, max } = range(series.values[line.measure] ?? []);
    return now === undefined || min === undefined || max === undefined
      ? `${line.title} unknown`
      : `${line.title} now ${format(now)}, between ${format(min)} and ${format(max)}`;
  }).join('; ');
}

function aligned(lines: Line[], series: Series): uPlot.AlignedData {
  const length = Math.max(1, ...Object.values(series.values).map((values) => values.length));
  const times = Array.from({ length }, (_, at) => series.t0 / 1000 + at * series.every);
  return [times, ...lines.map((line) => series.values[line.measure] ?? times.map(() => null))];
}

/** Steps of an axis of things that come whole. */
const WHOLE = Array.from({ length: 16 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();

function options(element: HTMLElement, lines: Line[], format: (value: number) => string, isWhole: boolean): uPlot.Options {
  const token = (name: string) => () => {
    // A colour may hold light-dark(): only an element knows which.
    element.style.color = `var(--${name})`;
    const colour = getComputedStyle(element).color;
    element.style.color = '';
    return colour;
  };
  const axis: uPlot.Axis = {
    stroke: token('muted'), font: '11px system-ui, sans-serif', grid: { stroke: token('line'), width: 1 }, ticks: { show: false },
  };
  return {
    width: element.clientWidth || 300,
    height: HEIGHT,
    legend: { show: false },
    cursor: { sync: { key: CROSSHAIR.key }, points: { size: 6 }, drag: { x: true, y: false } },
    scales: { x: { time: true }, y: { range: (_, __, max) => [0, max > 0 ? max * 1.08 : 1] } },
    axes: [
      { ...axis, size: 28, space: 70, values: (self, ticks) => {
        const span = (self.scales.x?.max ?? 0) - (self.scales.x?.min ?? 0);
        return ticks.map((tick) => clock(tick * 1000, utc.value, span <= 600));
      } },
      { ...axis, size: 52, space: 32, incrs: isWhole ? WHOLE : undefined, values: (_, ticks) => ticks.map((tick) => format(tick)) },
    ],
    series: [
      {},
      ...lines.map((line): uPlot.Series => ({
        label: line.title,
        stroke: token(line.colour),
        width: 1.5,
        spanGaps: false,
        points: { show: false },
        ...(line.isFilled ? { fill: () => `color-mix(in srgb, ${token(line.colour)()} 22%, transparent)` } : {}),
      })),
    ],
  };
}

function Values({ series, lines, format }: { series: Series; lines: Line[]; format: (value: number | null) => string }) {
  const length = Math.max(0, ...lines.map((line) => series.values[line.measure]?.length ?? 0));
  const rows = Array.from({ length }, (_, at) => length - 1 - at).slice(0, 60);
  return (
    <div class="scroll plot" role="group" aria-label="Values" tabIndex={0}>
      <table>
        <thead><tr><th scope="col">Time</th>{lines.map((line) => <th key={line.measure} scope="col" class="end">{line.title}</th>)}</tr></thead>
        <tbody>
          {rows.map((at) => (
            <tr key={at}>
              <th scope="row">{time(series.t0 + at * series.every * 1000, utc.value)}</th>
              {lines.map((line) => {
                const value = series.values[line.measure]?.[at];
                return <td key={line.measure} class="end">{value == null ? UNKNOWN : format(value)}</td>;
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The last minutes of a number in a line, such as a queue's length. */
export function Spark({ values, label }: { values: (number | null)[]; label: string }) {
  const known = values.filter((value) => value !== null);
  if (known.length < 2) return <span class="muted">{UNKNOWN}</span>;
  const most = Math.max(1, ...known);
  const step = 100 / (values.length - 1);
  let path = '';
  let isOpen = false;
  values.forEach((value, at) => {
    if (value === null) {
      isOpen = false;
      return;
    }
    path += `${isOpen ? 'L' : 'M'}${(at * step).toFixed(1)} ${(19 - (18 * value) / most).toFixed(1)}`;
    isOpen = true;
  });
  return (
    <svg class="spark" viewBox="0 0 100 20" preserveAspectRatio="none" role="img" aria-label={label}>
      <path d={path} />
    </svg>
  );
}
