// The HTTP API: addresses, requests, and what a failure says.
//
// A browser is signed in by a cookie that scripts cannot read.

/** What a request that failed says, for people. */
export class ApiError extends Error {
  /** 0 when there was no answer at all. */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }

  get isGone(): boolean {
    return this.status === 404;
  }
}

export interface Answer<T> {
  /** Undefined when nothing has changed since the tag. */
  data: T | undefined;
  tag: string | undefined;
  /** Nodes whose part is missing. */
  silent: string[];
}

/** An address with every value escaped: url`/queues/${vhost}/${name}`. */
export function url(texts: TemplateStringsArray, ...values: (string | number)[]): string {
  return texts.reduce((path, text, at) => path + encodeURIComponent(String(values[at - 1])) + text);
}

/** `?a=1&b=2`, without what is undefined or empty. */
export function query(values: Record<string, string | number | boolean | undefined>): string {
  const pairs = Object.entries(values).filter(([, value]) => value !== undefined && value !== '');
  const text = pairs.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join('&');
  return text && `?${text}`;
}

let onSignedOut: () => void = () => undefined;

/** What is done when the server does not know the user any more. */
export function whenSignedOut(run: () => void): void {
  onSignedOut = run;
}

interface Options {
  method?: string;
  body?: unknown;
  /** A body that is JSON already. */
  json?: string;
  tag?: string;
  signal?: AbortSignal;
  reason?: string;
  /** A 401 is an answer here, not the end of the session. */
  signingIn?: boolean;
}

async function fetched(path: string, options: Options): Promise<Response> {
  // Every request says that it is ours: other sites' pages cannot.
  const headers = new Headers({ accept: 'application/json', 'x-warren-session': '1' });
  if (options.tag) headers.set('if-none-match', options.tag);
  if (options.reason) headers.set('x-reason', options.reason.replace(/[^\x20-\x7e]/g, '?'));
  const body = options.json ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
  if (body !== undefined) headers.set('content-type', 'application/json');
  let response: Response;
  try {
    response = await fetch(new URL(`api${path}`, document.baseURI), {
      method: options.method ?? 'GET',
      headers,
      body,
      signal: options.signal,
      cache: 'no-store',
      credentials: 'same-origin',
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError(0, `No answer from ${location.host}`);
  }
  if (response.status === 304 || response.ok) return response;
  if (response.status === 401 && !options.signingIn) {
    const text = await reason(response);
    // "Not administrator user" and the like say what this user may not do; they are not signed out.
    if (/not_authori[sz]ed$/i.test(text) || text === '' || response.headers.has('www-authenticate')) onSignedOut();
    throw new ApiError(401, text || 'Signed out');
  }
  throw new ApiError(response.status, (await reason(response)) || `The server answered ${response.status}`);
}

/** The server's own words. */
async function reason(response: Response): Promise<string> {
  const text = await response.text().catch(() => '');
  try {
    const said: unknown = JSON.parse(text);
    if (said && typeof said === 'object' && 'reason' in said) {
      return typeof said.reason === 'string' ? said.reason : JSON.stringify(said.reason);
    }
  } catch {
    // Not JSON: it is shown as it is.
  }
  return text.slice(0, 500);
}

/** Reads, and says with which tag to ask again. */
export async function read<T>(path: string, options: Options = {}): Promise<Answer<T>> {
  const response = await fetched(path, options);
  const silent = response.headers.get('x-silent-nodes');
  return {
    data: response.status === 304 ? undefined : ((await response.json()) as T),
    tag: response.headers.get('etag') ?? undefined,
    silent: silent ? silent.split(', ') : [],
  };
}

/** Reads once. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await read<T>(path, { signal })).data as T;
}

/** Changes something, and gives what the server answers, if anything. */
export async function send<T = unknown>(method: string, path: string, body?: unknown, reason?: string): Promise<T> {
  const response = await fetched(path, { method, body, reason });
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

/** Sends a document as it was written. */
export async function sendJson<T = unknown>(method: string, path: string, json: string): Promise<T> {
  const said = await (await fetched(path, { method, json })).text();
  return (said ? JSON.parse(said) : undefined) as T;
}

/** Reads text as it stands: numbers keep every digit. */
export async function text(path: string): Promise<string> {
  return (await fetched(path, {})).text();
}

/** Asks who is signed in, or signs in. */
export async function session<T>(method: 'GET' | 'POST' | 'DELETE', body?: unknown): Promise<T> {
  const response = await fetched('/session', { method, body, signingIn: true });
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}
