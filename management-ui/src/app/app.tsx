// The whole: signed out, or the frame with the page of the address.

import { useSignal } from '@preact/signals';
import { Component, type ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { address } from '../state/address.ts';
import { awaySince } from '../state/poll.ts';
import { hasLapsed, session } from '../state/session.ts';
import { Questions } from '../ui/dialog.tsx';
import { Empty, Loading } from '../ui/states.tsx';
import { Toasts } from '../ui/toast.tsx';
import { find, type Names, type Page, type Route } from '../routes.ts';
import { Frame } from './frame.tsx';
import { SignIn } from './sign-in.tsx';

export function App() {
  const who = session.value;
  if (who === undefined) return null;
  if (who === null) return <SignIn />;
  return (
    <div class={awaySince.value ? 'is-away' : undefined}>
      <Frame>
        {/* Another user sees another page: nothing of the last one stays. */}
        <Current key={who.user} />
      </Frame>
      <Questions />
      <Toasts />
      {hasLapsed.value && <SignIn isOver />}
    </div>
  );
}

function Current() {
  const { parts } = address.value;
  const found = find(parts);
  const main = useRef<HTMLElement>(null);
  // A panel that opens over a list is an address of its own, and the list stays as it is.
  const path = found?.route.shared ?? parts.join('/');
  const isFirst = useRef(true);
  useEffect(() => {
    // After a change of page the next Tab starts at its top.
    if (!isFirst.current) main.current?.focus({ preventScroll: true });
    if (!isFirst.current) scrollTo(0, 0);
    isFirst.current = false;
  }, [path]);
  return (
    <main id="main" ref={main} tabIndex={-1}>
      {!found && <Empty action={<a href="#/">To the overview</a>}>There is no page at this address.</Empty>}
      {found && found.route.needs?.value === false && <Empty>Your user may not see this page.</Empty>}
      {found && found.route.needs?.value !== false && (
        <Guard key={path}><Loaded key={found.route.shared ?? found.route.path} route={found.route} names={found.names} id={path} /></Guard>
      )}
    </main>
  );
}

const pages = new Map<Route, Page>();

function Loaded({ route, names, id }: { route: Route; names: Names; id: string }) {
  const page = useSignal(pages.get(route));
  const failed = useSignal(false);
  useEffect(() => {
    if (page.value) return;
    route.load().then((loaded) => {
      pages.set(route, loaded);
      page.value = loaded;
    }, () => {
      failed.value = true;
    });
  }, [route]);
  if (failed.value) {
    return <Empty action={<button type="button" onClick={() => location.reload()}>Load the console again</button>}>This page could not be loaded: the node is away, or another version runs now.</Empty>;
  }
  const Shown = page.value;
  return Shown ? <Shown key={id} names={names} /> : <Loading />;
}

/** A fault of a page takes the page, not the frame. */
class Guard extends Component<{ children: ComponentChildren }, { error?: Error }> {
  override state: { error?: Error } = {};

  static override getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    return (
      <Empty action={<button type="button" onClick={() => this.setState({ error: undefined })}>Draw it again</button>}>
        This page has a fault: {error.message}
      </Empty>
    );
  }
}
