// Who is signed in, and what they may do.

import { computed, signal } from '@preact/signals';
import * as client from '../api/client.ts';
import type { Session } from '../api/types.ts';
import { load, save, vhost } from './settings.ts';

/** Unknown until the node was asked. */
export const session = signal<Session | null | undefined>(undefined);
/** Signed out by the server while a page was open: it is kept, and the form lies over it. */
export const hasLapsed = signal(false);

const tags = computed(() => session.value?.tags ?? []);
export const isAdministrator = computed(() => tags.value.includes('administrator'));
export const isMonitor = computed(() => isAdministrator.value || tags.value.includes('monitoring'));
export const isPolicymaker = computed(() => isAdministrator.value || tags.value.includes('policymaker'));
export const vhosts = computed(() => session.value?.vhosts.map((each) => each.name) ?? []);

/** Whether the user's permission in a vhost lets them use a name; the broker decides in the end. */
export function may(what: 'configure' | 'write' | 'read', vhostName: string, name?: string): boolean {
  const pattern = session.value?.vhosts.find((each) => each.name === vhostName)?.[what];
  if (pattern == null) return false;
  if (name === undefined) return pattern !== '' && pattern !== '^$';
  try {
    return new RegExp(pattern === '' ? '^$' : pattern).test(name);
  } catch {
    // PCRE says more than this engine reads.
    return true;
  }
}

client.whenSignedOut(() => {
  if (session.value) hasLapsed.value = true;
});

/** Finds out at the start whether this browser is signed in. */
export async function resume(): Promise<void> {
  // Who never signed in here is not asked about: the answer would be an error in the log.
  if (load('signed-in') !== true) {
    session.value = null;
    return;
  }
  try {
    entered(await client.session<Session>('GET'));
  } catch {
    save('signed-in', false);
    session.value = null;
  }
}

/** Reads again what the user may do: after vhosts or permissions were changed. */
export async function renew(): Promise<void> {
  const who = await client.session<Session>('GET').catch(() => undefined);
  if (who) entered(who);
}

/** Signs in. Throws what the server says. */
export async function signIn(user: string, password: string): Promise<void> {
  entered(await client.session<Session>('POST', { username: user, password }));
  save('signed-in', true);
}

function entered(who: Session): void {
  session.value = who;
  hasLapsed.value = false;
  if (vhost.value && !who.vhosts.some((each) => each.name === vhost.value)) vhost.value = '';
}

/** Signs out here and at the server. */
export async function signOut(): Promise<void> {
  save('signed-in', false);
  await client.session('DELETE').catch(() => undefined);
  session.value = null;
  hasLapsed.value = false;
}
