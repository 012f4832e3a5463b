// What is in a queue: looked at without being taken where the node can do that; and got, which takes,
// or publishes, apart from it.

import { useState } from 'preact/hooks';
import { get, query, send, url } from '../api/client.ts';
import type { Peeked, Queue, StreamMember } from '../api/types.ts';
import { age, bytes, count, counted, momentOf, plain, shown as visible, time } from '../lib/format.ts';
import { fromBase64, hex, pretty } from '../lib/json.ts';
import { href } from '../state/address.ts';
import { refresh } from '../state/poll.ts';
import { may } from '../state/session.ts';
import { utc } from '../state/settings.ts';
import { Tag } from '../ui/badge.tsx';
import { ask } from '../ui/dialog.tsx';
import { Card, Empty, Facts } from '../ui/states.tsx';
import { tell } from '../ui/toast.tsx';
import { Move } from './move.tsx';
import { Publish } from './publish.tsx';

/** Bytes of a body that are asked for at first. */
const FIRST = 4096;

export function Messages({ queue }: { queue: Queue }) {
  const canRead = may('read', queue.vhost, queue.name);
  const canMove = canRead && queue.type !== 'stream' && may('write', queue.vhost);
  const [chosen, setChosen] = useState<number[]>([]);
  // What was seen before a move is not as it was any more.
  const [moves, setMoves] = useState(0);
  const moved = () => {
    setChosen([]);
    setMoves(moves + 1);
  };
  return (
    <>
      {canRead && <Look key={moves} queue={queue} chosen={chosen} onChoose={canMove ? setChosen : undefined} />}
      {canMove && <Move queue={queue} chosen={chosen} onMoved={moved} />}
      {canRead && queue.type !== 'stream' && <Get queue={queue} />}
      {may('write', queue.vhost) && <Card title="Publish to it"><Publish vhost={queue.vhost} exchange="" routingKey={queue.name} /></Card>}
    </>
  );
}

interface Seen {
  messages: Peeked[];
  next?: number | string | null;
  scanned?: number;
}

/** Messages of one look. */
const COUNT = 20;

/** Where a look begins. */
const BEGINS: { value: string; title: string; ofStreams?: boolean }[] = [
  { value: 'first', title: 'with the oldest' }, { value: 'last', title: 'with the newest', ofStreams: true }, { value: 'time', title: 'at a time' }, { value: 'position', title: 'at a position' },
];

/** Looks without taking. */
function Look({ queue, chosen, onChoose }: { queue: Queue; chosen: number[]; onChoose?: (positions: number[]) => void }) {
  const isStream = queue.type === 'stream';
  const [seen, setSeen] = useState<Seen>();
  const [state, setState] = useState('ready');
  const [begin, setBegin] = useState('first');
  const [position, setPosition] = useState('');
  const [moment, setMoment] = useState('');
  const [match, setMatch] = useState('');
  const [failure, setFailure] = useState<Error>();
  const [isBusy, setBusy] = useState(false);
  const path = url`/queues/${queue.vhost}/${queue.name}/messages`;
  const look = async (next?: number | string) => {
    setBusy(true);
    try {
      const from = next ?? (begin === 'position' ? position.trim() : begin === 'last' ? await newest(queue) : undefined);
      const since = begin === 'time' ? momentOf(moment, utc.value) : undefined;
      const part = await get<Seen>(path + query({ state, from, since, count: COUNT, match, body_bytes: FIRST }));
      if (next === undefined) onChoose?.([]);
      setSeen(next === undefined ? part : { ...part, scanned: (seen?.scanned ?? 0) + (part.scanned ?? 0), messages: [...(seen?.messages ?? []), ...part.messages] });
      setFailure(undefined);
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
    } finally {
      setBusy(false);
    }
  };
  const next = seen?.next;
  // Only what waits can be moved.
  const positions = onChoose && seen ? seen.messages.flatMap((message) => (message.state === 'ready' ? Number(message.position) : [])) : [];
  const none = isStream ? 'No message' : `No ${state} message`;
  return (
    <Card title="Look at messages">
      <p class="note">They stay where they are, unchanged: {isStream ? 'no consumer is made, and no offset is stored' : 'no flag, counter or order is touched'}.</p>
      <form class="inline" onSubmit={(event) => {
        event.preventDefault();
        void look();
      }}>
        {!isStream && <label>Which<select value={state} onChange={(event) => setState(event.currentTarget.value)}><option value="ready">ready</option><option value="unacked">unacked</option></select></label>}
        <label>Begin
          <select value={begin} onChange={(event) => setBegin(event.currentTarget.value)}>
            {BEGINS.filter(({ ofStreams }) => isStream || !ofStreams).map(({ value, title }) => <option key={value} value={value}>{isStream ? title.replace('a position', 'an offset') : title}</option>)}
          </select>
        </label>
        {begin === 'position' && <label>{isStream ? 'Offset' : 'Position'}<input inputmode="numeric" value={position} size={10} pattern="[0-9]+" required onInput={(event) => setPosition(event.currentTarget.value)} /></label>}
        {begin === 'time' && <label>{utc.value ? 'Time (UTC)' : 'Time'}<input type="datetime-local" step={1} value={moment} required onInput={(event) => setMoment(event.currentTarget.value)} /></label>}
        <label>Containing<input value={match} placeholder="text, or header:name=value" onInput={(event) => setMatch(event.currentTarget.value)} /></label>
        <button type="submit" disabled={isBusy}>Look</button>
      </form>
      {failure && <p class="failure" role="alert">{failure.message}</p>}
      {seen && seen.messages.length === 0 && next == null && <Empty>{none}{match ? ` with “${match}”` : ''}{begin === 'time' ? ' came since then' : begin === 'position' ? ' from there on' : ''}.</Empty>}
      {positions.length > 0 && (
        <p class="inline">
          <label class="check"><input type="checkbox" checked={chosen.length === positions.length} onChange={(event) => onChoose?.(event.currentTarget.checked ? positions : [])} /> Choose all {count(positions.length)} shown</label>
          {chosen.length > 0 && <span class="muted" role="status">{count(chosen.length)} chosen: <button type="button" class="plain small" onClick={() => document.getElementById('move')?.scrollIntoView()}>Move them…</button></span>}
        </p>
      )}
      {seen && <div class="messages">{seen.messages.map((message) => <Message key={message.position} of={message} isOfStream={isStream} whole={`${path}/${encodeURIComponent(message.position)}`}
        isChosen={positions.includes(Number(message.position)) ? chosen.includes(Number(message.position)) : undefined}
        onChoose={(isOn) => onChoose?.(isOn ? [...chosen, Number(message.position)] : chosen.filter((each) => each !== Number(message.position)))} />)}</div>}
      {seen && match && <p class="note" role="status">{count(seen.messages.length)} of {counted(seen.scanned ?? 0, 'message')} that were looked at.</p>}
      {next != null && <button type="button" disabled={isBusy} onClick={() => void look(next)}>More</button>}
    </Card>
  );
}

/** The offset from which on the newest messages of a stream are. */
async function newest(stream: Queue): Promise<number> {
  const members = await get<StreamMember[]>(url`/stream/${stream.vhost}/${stream.name}/status`);
  return Math.max(0, ...members.map(({ offset = -1 }) => offset + 1 - COUNT));
}

interface Got {
  payload: string;
  payload_bytes: number;
  payload_encoding: string;
  exchange: string;
  routing_key: string;
  redelivered: boolean;
  message_count: number;
  properties: Record<string, unknown>;
}

/** Takes, as `basic.get` does. */
function Get({ queue }: { queue: Queue }) {
  const [mode, setMode] = useState('ack_requeue_true');
  const [number, setNumber] = useState('1');
  const [got, setGot] = useState<Got[]>();
  const run = async () => {
    const messages = await send<Got[]>('POST', url`/queues/${queue.vhost}/${queue.name}/get`, { ackmode: mode, count: Number(number), encoding: 'auto', truncate: 50_000 });
    setGot(messages);
    refresh();
    tell(`${count(messages.length)} got`);
  };
  const takes = mode === 'ack_requeue_false' || mode === 'reject_requeue_false';
  return (
    <Card title="Get messages">
      <p class="note">Getting takes part in the queue as a consumer does: put back, a message counts as delivered once more; acknowledged, it is gone.</p>
      <form class="inline" onSubmit={(event) => {
        event.preventDefault();
        if (takes) {
          ask({
            title: `Get messages out of ${queue.name}?`,
            text: <p>Up to {number} of {count(queue.messages_ready)} ready messages will leave {queue.name}{mode === 'reject_requeue_false' ? ' for its dead-letter exchange, if it has one' : ''}. They are shown here and nowhere else.</p>,
            button: `Take ${number} from ${queue.name}`,
            run,
          });
        } else {
          run().catch((error: Error) => tell(error.message));
        }
      }}>
        <label>Afterwards
          <select value={mode} onChange={(event) => setMode(event.currentTarget.value)}>
            <option value="ack_requeue_true">Put back</option>
            <option value="reject_requeue_true">Reject, put back</option>
            <option value="ack_requeue_false">Acknowledge: gone</option>
            <option value="reject_requeue_false">Reject: dead letter</option>
          </select>
        </label>
        <label>How many<input inputmode="numeric" value={number} size={4} pattern="[1-9][0-9]{0,3}" required onInput={(event) => setNumber(event.currentTarget.value)} /></label>
        <button type="submit">Get</button>
      </form>
      {got && got.length === 0 && <Empty>The queue has no ready message.</Empty>}
      {got && (
        <div class="messages">
          {got.map((each, at) => (
            <Message key={at} of={{
              position: at + 1, state: 'got', exchange: each.exchange, routing_key: each.routing_key, properties: each.properties, redelivered: each.redelivered,
              body: each.payload, encoding: each.payload_encoding, body_bytes: each.payload_bytes,
            }} />
          ))}
        </div>
      )}
    </Card>
  );
}

/** Who has a message that is unacked, and since when. */
function HeldBy({ of }: { of: NonNullable<Peeked['held_by']> }) {
  const who = of.consumer_tag ?? 'basic.get';
  return <span class="muted">held by {of.channel ? <a href={href('channels', of.channel)}>{who}</a> : who} for {age(Date.now() - of.since)}</span>;
}

/** A message, its body as JSON, text or hexadecimal by what it is. */
function Message({ of, whole, isOfStream, isChosen, onChoose }: {
  of: Peeked; whole?: string; isOfStream?: boolean;
  /** Undefined where it cannot be chosen. */
  isChosen?: boolean; onChoose?: (isOn: boolean) => void;
}) {
  const [full, setFull] = useState<Peeked>();
  const [asked, setView] = useState<string>();
  const shown = full ?? of;
  const body = shown.body ?? '';
  const isBinary = shown.encoding === 'base64';
  const json = isBinary ? null : pretty(body);
  const views = isBinary ? ['hex', 'base64'] : json ? ['json', 'text'] : ['text'];
  const view = asked && views.includes(asked) ? asked : views[0];
  const length = isBinary ? fromBase64(body).length : new TextEncoder().encode(body).length;
  const isCut = length < shown.body_bytes;
  const { headers: all = {}, ...properties } = (shown.properties ?? {}) as { headers?: Record<string, unknown> };
  // The offset of a message stands above it.
  const headers = Object.entries(all).filter(([name]) => !isOfStream || name !== 'x-stream-offset');
  return (
    <article class="message" aria-label={`Message ${shown.position}`}>
      <header>
        {isChosen !== undefined && <input type="checkbox" aria-label={`Choose message ${shown.position}`} checked={isChosen} onChange={(event) => onChoose?.(event.currentTarget.checked)} />}
        <span>{isOfStream ? <span class="muted">offset </span> : <span class="muted">#</span>}{shown.position}</span>
        <span><span class="muted">exchange</span> {visible(shown.exchange ?? '') || '(default)'}</span>
        <span><span class="muted">routing key</span> <span class="mono">{visible(shown.routing_key ?? '') || '–'}</span></span>
        <span>{bytes(shown.body_bytes)}</span>
        {shown.redelivered && <Tag>redelivered</Tag>}
        {shown.delivery_count ? <Tag>delivered {shown.delivery_count} times</Tag> : null}
        {shown.enqueued_at != null && <span class="muted" title={time(shown.enqueued_at, utc.value)}>{isOfStream ? time(shown.enqueued_at, utc.value) : `in the queue for ${age(Date.now() - new Date(shown.enqueued_at).getTime())}`}</span>}
        {shown.expires_at != null && <span class="muted">expires {time(shown.expires_at, utc.value)}</span>}
        {shown.held_by && <HeldBy of={shown.held_by} />}
      </header>
      <pre tabIndex={0} role="group" aria-label="Body">{shown.body === undefined ? '(it could not be read)' : shown.body_bytes === 0 ? '(empty)' : view === 'json' ? json : view === 'hex' ? hex(fromBase64(body)) : body}</pre>
      <div class="views">
        {views.length > 1 && views.map((each) => <button key={each} type="button" class="plain small" aria-pressed={each === view} onClick={() => setView(each)}>{each}</button>)}
        {isCut && whole && <button type="button" class="plain small" onClick={() => get<Peeked>(whole).then(setFull, (error: Error) => tell(error.message))}>Show all {bytes(shown.body_bytes)}</button>}
        {isCut && !whole && <span class="help">Only the first {bytes(length)} are shown.</span>}
      </div>
      {(Object.keys(properties).length > 0 || headers.length > 0) && (
        <Facts of={[
          ...Object.entries(properties).map(([name, value]): [string, string] => [name.replaceAll('_', ' '), plain(value)]),
          ...headers.map(([name, value]): [string, string] => [`header ${name}`, plain(value)]),
        ]} />
      )}
    </article>
  );
}
