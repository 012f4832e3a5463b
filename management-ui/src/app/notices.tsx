// What is wrong with the cluster, above every page. Told once to screen readers when it appears.

import type { Notice } from '../api/types.ts';
import { age } from '../lib/format.ts';
import { usePoll } from '../state/poll.ts';

const SHAPES: Record<string, string> = { bad: '■', warn: '▲' };

export function Notices() {
  const { data } = usePoll<Notice[]>('/notices');
  if (!data) return null;
  return (
    <div class="notices" role="status">
      {data.map((notice) => (
        <div key={`${notice.code} ${notice.subject?.name}`} class={`notice ${notice.level}`}>
          <span aria-hidden="true">{SHAPES[notice.level] ?? '○'}</span>
          <span>{notice.text}</span>
          {notice.do && <span class="muted">{notice.do}</span>}
          {notice.since != null && <span class="muted">since {age(Date.now() - new Date(notice.since).getTime())}</span>}
          {notice.link?.startsWith('#') && <a href={notice.link}>{notice.subject?.name ?? 'Show'}</a>}
        </div>
      ))}
    </div>
  );
}
