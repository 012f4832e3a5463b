// What stands around every page: the line at the top, the places, notices.

import { Menu, Pause, Play, RotateCw, Search, User } from 'lucide';
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import type { Overview } from '../api/types.ts';
import { age, time } from '../lib/format.ts';
import { address } from '../state/address.ts';
import { awaySince, isPaused, lastRead, refresh, usePoll } from '../state/poll.ts';
import { session, signOut, vhosts } from '../state/session.ts';
import { every, EVERY, isCompact, range, RANGES, setRange, singleKeys, theme, utc, vhost } from '../state/settings.ts';
import { Icon } from '../ui/icon.tsx';
import { Mark } from '../ui/mark.tsx';
import { find, PLACES } from '../routes.ts';
import { isHelpOpen, isSearchOpen, Help, useKeys } from './keys.tsx';
import { Notices } from './notices.tsx';
import { SearchBox } from './search.tsx';

export function Frame({ children }: { children: ComponentChildren }) {
  useKeys();
  const { data } = usePoll<Overview>('/overview?columns=cluster_name,node,product_version', { every: 60_000 });
  const found = find(address.value.parts);
  const title = found ? found.route.title(found.names) : 'Not found';
  useEffect(() => {
    document.title = `${title} · ${data?.cluster_name ?? 'Warren'}`;
  }, [title, data?.cluster_name]);
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => {
        event.preventDefault();
        document.getElementById('main')?.focus();
      }}>To the content</a>
      <header class="head">
        <PlacesMenu here={found?.route.place} />
        <a class="brand" href="#/" aria-label="Warren, overview"><Mark /> <span class="on-wide">Warren</span></a>
        <span class="where" title={data && `Cluster ${data.cluster_name}, node ${data.node}`}>
          {data?.cluster_name}<span class="node"> · {data?.node}</span>
        </span>
        <span class="spring" />
        <button type="button" class="find" aria-label="Search Ctrl K" onClick={() => { isSearchOpen.value = true; }}>
          <Icon of={Search} /> <span class="wide">Search</span> <kbd class="wide">Ctrl K</kbd>
        </button>
        <VhostChoice />
        <Times isWide />
        <UserMenu version={data?.product_version} />
      </header>
      <nav class="places" aria-label="Places">
        {places().map((place) => (
          <a key={place.id} href={place.path} aria-current={place.id === found?.route.place ? 'page' : undefined}>{place.title}</a>
        ))}
      </nav>
      <Away />
      <Notices />
      {children}
      {isSearchOpen.value && <SearchBox onClose={() => { isSearchOpen.value = false; }} />}
      {isHelpOpen.value && <Help onClose={() => { isHelpOpen.value = false; }} />}
    </>
  );
}

function places() {
  return PLACES.filter((place) => place.needs?.value !== false);
}

/** The places on a narrow screen. */
function PlacesMenu({ here }: { here?: string }) {
  const id = useId();
  const menu = useRef<HTMLDivElement>(null);
  return (
    <div class="places-menu">
      <button type="button" class="plain" popovertarget={id} aria-label="Places"><Icon of={Menu} size={20} /></button>
      <div id={id} ref={menu} popover="auto" class="menu" role="navigation" aria-label="Places">
        {places().map((place) => (
          <a key={place.id} href={place.path} aria-current={place.id === here ? 'page' : undefined} onClick={() => menu.current?.hidePopover()}>{place.title}</a>
        ))}
        <VhostChoice isInMenu />
        <Times />
      </div>
    </div>
  );
}

function VhostChoice({ isInMenu }: { isInMenu?: boolean }) {
  return (
    <label class={isInMenu ? 'row' : 'on-wide'}>
      vhost
      <select value={vhost.value} onChange={(event) => { vhost.value = event.currentTarget.value; }}>
        <option value="">All</option>
        {vhosts.value.map((name) => <option key={name} value={name}>{name}</option>)}
      </select>
    </label>
  );
}

/** What charts show, and how often the page is read. */
function Times({ isWide }: { isWide?: boolean }) {
  const kind = isWide ? 'on-wide' : 'row';
  return (
    <>
      <label class={kind}>
        <span class={isWide ? 'hidden' : undefined}>Charts show</span>
        <select value={String(range.value)} onChange={(event) => setRange(Number(event.currentTarget.value))}>
          {RANGES.map(([seconds, title]) => <option key={seconds} value={String(seconds)}>{title}</option>)}
        </select>
      </label>
      <label class={kind}>
        <span class={isWide ? 'hidden' : undefined}>Refresh every</span>
        <select value={String(every.value)} onChange={(event) => { every.value = Number(event.currentTarget.value); }}>
          {EVERY.map(([seconds, title]) => <option key={seconds} value={String(seconds)}>{title}</option>)}
        </select>
      </label>
      <button type="button" class={isWide ? 'plain on-wide' : 'plain'} aria-label="Refresh now" title="Refresh now (r)" onClick={refresh}><Icon of={RotateCw} />{!isWide && ' Refresh now'}</button>
      <button type="button" class={isWide ? 'plain on-wide' : 'plain'} aria-pressed={isPaused.value} aria-label="Pause" title="Pause (p)"
        onClick={() => { isPaused.value = !isPaused.value; }}><Icon of={isPaused.value ? Play : Pause} />{!isWide && ' Pause'}</button>
    </>
  );
}

function UserMenu({ version }: { version?: string }) {
  const id = useId();
  return (
    <>
      <button type="button" class="plain" popovertarget={id} aria-label={`User ${session.value?.user}`}>
        <Icon of={User} /> <span class="wide">{session.value?.user}</span>
      </button>
      <div id={id} popover="auto" class="menu">
        <label class="row">Theme
          <select value={theme.value} onChange={(event) => { theme.value = event.currentTarget.value; }}>
            <option value="system">System</option><option value="light">Light</option><option value="dark">Dark</option>
          </select>
        </label>
        <label><input type="checkbox" checked={utc.value} onChange={(event) => { utc.value = event.currentTarget.checked; }} /> Times in UTC</label>
        <label><input type="checkbox" checked={isCompact.value} onChange={(event) => { isCompact.value = event.currentTarget.checked; }} /> Narrow rows</label>
        <label><input type="checkbox" checked={singleKeys.value} onChange={(event) => { singleKeys.value = event.currentTarget.checked; }} /> Single keys act</label>
        <button type="button" class="plain" onClick={() => { isHelpOpen.value = true; }}>Keys</button>
        <a href="api/index.html" target="_blank" rel="noreferrer">HTTP API</a>
        <button type="button" class="plain" onClick={() => void signOut()}>Sign out</button>
        {version && <p class="help">Warren {version}; {session.value?.tags.join(', ') || 'no tags'}</p>}
      </div>
    </>
  );
}

/** That the node does not answer, or that the page stands still: for how long. */
function Away() {
  const [, draw] = useState(0);
  const isShown = awaySince.value > 0 || isPaused.value;
  useEffect(() => {
    if (!isShown) return undefined;
    const timer = setInterval(() => draw((count) => count + 1), 1000);
    return () => clearInterval(timer);
  }, [isShown]);
  if (awaySince.value) return <p class="away" role="status">No answer from {location.host} for {age(Date.now() - awaySince.value)}, trying again.</p>;
  if (isPaused.value) return <p class="away">Paused: what is here was read at {time(lastRead.value, utc.value)}, {age(Date.now() - lastRead.value)} ago. <button type="button" class="plain" onClick={() => { isPaused.value = false; }}>Go on</button></p>;
  return null;
}
