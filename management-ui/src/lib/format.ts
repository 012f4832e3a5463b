// How values read: the only place that rounds. What is not known is a dash; zero is 0.

export const UNKNOWN = '–';

const whole = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 1 });

/** 12,345 */
export function count(value: number | null | undefined): string {
  return value == null || !Number.isFinite(value) ? UNKNOWN : whole.format(value);
}

/** 1.2 k, 3.4 M: where there is little room. */
export function short(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return UNKNOWN;
  for (const [unit, name] of [[1e9, 'G'], [1e6, 'M'], [1e3, 'k']] as const) {
    if (Math.abs(value) >= unit) return `${tenth.format(value / unit)} ${name}`;
  }
  return Math.abs(value) < 10 ? tenth.format(value) : whole.format(value);
}

/** 1.2 k/s */
export function rate(value: number | null | undefined): string {
  return value == null ? UNKNOWN : `${short(value)}/s`;
}

/** 3.4 MiB */
export function bytes(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return UNKNOWN;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let size = value;
  let unit = 0;
  while (Math.abs(size) >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 || size >= 100 ? whole.format(size) : tenth.format(size)} ${units[unit]}`;
}

/** 14 min, from milliseconds. */
export function age(ms: number | null | undefined): string {
  if (ms == null || !Number.isFinite(ms)) return UNKNOWN;
  const s = ms / 1000;
  if (s < 1) return `${(ms < 10 ? tenth : whole).format(ms)} ms`;
  if (s < 60) return s < 10 ? `${tenth.format(s)} s` : `${whole.format(s)} s`;
  if (s < 3600) return `${whole.format(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** 42 % */
export function percent(part: number | null | undefined, of = 1): string {
  return part == null || !of ? UNKNOWN : `${whole.format((100 * part) / of)} %`;
}

/** Local time with its zone, or UTC. */
export function time(at: number | string | null | undefined, utc: boolean): string {
  if (at == null) return UNKNOWN;
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return UNKNOWN;
  return new Intl.DateTimeFormat('en-GB', {
    year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit',
    timeZoneName: 'short', ...(utc ? { timeZone: 'UTC' } : {}),
  }).format(date);
}

/** Milliseconds since 1970 of what a field for a time holds, `2026-01-31T12:00:00`, in the zone that is shown. Throws when it
 * holds none. */
export function momentOf(text: string, utc: boolean): number {
  const at = new Date(utc && text ? `${text}Z` : text).getTime();
  if (Number.isNaN(at)) throw new Error('A date and a time are needed');
  return at;
}

/** What a field for a time holds for these milliseconds since 1970, in the zone that is shown. */
export function fieldOf(at: number, utc: boolean): string {
  const offset = utc ? 0 : new Date(at).getTimezoneOffset() * 60_000;
  return new Date(at - offset).toISOString().slice(0, 19);
}

/** Hours and minutes for an axis, in the zone that is shown. */
export function clock(at: number, utc: boolean, seconds: boolean): string {
  return new Intl.DateTimeFormat('en-GB', {
    hour: '2-digit', minute: '2-digit', ...(seconds ? { second: '2-digit' } : {}), ...(utc ? { timeZone: 'UTC' } : {}),
  }).format(new Date(at));
}

/** `one thing`, `2 things` */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** A name, in which what would not be seen or would turn the text round is. */
export function shown(name: string): string {
  return name.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (char) => `⟨${char.charCodeAt(0).toString(16).padStart(4, '0').toUpperCase()}⟩`);
}

/** A value of an argument or header as text. */
export function plain(value: unknown): string {
  return typeof value === 'string' ? shown(value) : JSON.stringify(value);
}
