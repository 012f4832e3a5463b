// A state in a word, with a shape and a colour that say the same.

export type Level = 'ok' | 'warn' | 'bad' | 'off';

const SHAPES: Record<Level, string> = { ok: '●', warn: '▲', bad: '■', off: '○' };

export function Badge({ level, children }: { level: Level; children: preact.ComponentChildren }) {
  return (
    <span class={`badge ${level}`}>
      <span aria-hidden="true" class="shape">{SHAPES[level]}</span> {children}
    </span>
  );
}

/** A small mark of a property, such as `durable`. */
export function Tag({ children, title }: { children: preact.ComponentChildren; title?: string }) {
  return <span class="tag" title={title}>{children}</span>;
}
