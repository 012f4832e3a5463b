// What a part of a page looks like before, without and instead of its content.

import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';

/** Grey rows, once it has taken long enough to be seen. */
export function Loading({ rows = 4 }: { rows?: number }) {
  const [isLate, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), 150);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div class="loading" aria-busy="true">
      <span class="hidden">Loading</span>
      {isLate && Array.from({ length: rows }, (_, at) => <div key={at} class="grey" />)}
    </div>
  );
}

/** What would be here, and the one thing to do. */
export function Empty({ children, action }: { children: ComponentChildren; action?: ComponentChildren }) {
  return (
    <div class="empty">
      <p>{children}</p>
      {action}
    </div>
  );
}

/** A part that failed, in the server's words; the rest of the page lives. */
export function Failed({ what, error }: { what: string; error: Error }) {
  return <p class="failure" role="alert">{what} could not be read. {error.message}</p>;
}

/** A card with a heading. */
export function Card({ title, children, tools, id }: { title?: ComponentChildren; children: ComponentChildren; tools?: ComponentChildren; id?: string }) {
  return (
    <section class="card" id={id}>
      {(title || tools) && (
        <header>
          {title && <h2>{title}</h2>}
          {tools && <div class="tools">{tools}</div>}
        </header>
      )}
      {children}
    </section>
  );
}

/** Names and values, one under the other. */
export function Facts({ of }: { of: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {of.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Large numbers with what they count. */
export function Figures({ of }: { of: { name: string; value: ComponentChildren; exact?: string; href?: string; colour?: string }[] }) {
  return (
    <dl class="figures">
      {of.map(({ name, value, exact, href, colour }) => (
        <div key={name} class={colour ? `series-${colour}` : undefined}>
          <dt>{name}</dt>
          <dd title={exact}>{href ? <a href={href}>{value}</a> : value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A share of a limit. */
export function Meter({ used, of, text, isBad, isPlain }: {
  used?: number | null; of?: number | null; text: string; isBad?: boolean;
  /** Being full is nothing to warn of. */
  isPlain?: boolean;
}) {
  const share = used == null || !of ? 0 : Math.min(1, used / of);
  const level = isBad ? 'bad' : share > 0.85 && !isPlain ? 'warn' : 'ok';
  return (
    <span class="meter">
      <svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" class={level}>
        <rect class="ground" width="100" height="6" />
        <rect class="share" width={100 * share} height="6" />
      </svg>
      <span>{text}</span>
    </span>
  );
}
