// What somebody types to filter a list: words match names, `/…/` is a regular expression, and
// `ready>1000`, `consumers=0`, `type:quorum` are tokens about a field.

export interface Filter {
  /** Part of a name, or a pattern. */
  name: string;
  isPattern: boolean;
  /** As the API takes them, in `where`. */
  tokens: string[];
}

const TOKEN = /^[a-z][a-z_.]*(?:>=|<=|!=|[><=:])\S+/i;
/** Words; a value that has spaces stands between quotes. */
const WORD = /(?:"[^"]*"|[^\s"]|"(?![^"]*"))+/g;

/** Reads what was typed; without tokens all words are of names. */
export function parse(text: string): Filter {
  const filter: Filter = { name: '', isPattern: false, tokens: [] };
  const pattern = /(?:^|\s)\/(.+)\/(?=\s|$)/.exec(text);
  const rest = pattern ? text.replace(pattern[0], ' ') : text;
  const isToken = (word: string) => TOKEN.test(word);
  const words = rest.match(WORD) ?? [];
  filter.tokens = words.filter(isToken);
  filter.name = words.filter((word) => !isToken(word)).join(' ');
  if (pattern?.[1]) {
    filter.name = pattern[1];
    filter.isPattern = true;
  }
  return filter;
}

/** A token as it would be typed. */
export function tokenOf(field: string, value: string): string {
  return /[\s"]/.test(value) ? `${field}:"${value.replaceAll('"', '')}"` : `${field}:${value}`;
}

/** A token as the API takes it. */
export function plainToken(token: string): string {
  return token.replace(/"([^"]*)"/g, '$1');
}

/** The parts that stand as chips, each as it would be typed. */
export function chips(text: string): string[] {
  const { name, isPattern, tokens } = parse(text);
  return [...(name ? [isPattern ? `/${name}/` : name] : []), ...tokens];
}

/** The text without one of its chips, or with one more. */
export function toggled(text: string, chip: string): string {
  const all = chips(text);
  return (all.includes(chip) ? all.filter((each) => each !== chip) : [...all, chip]).join(' ');
}
