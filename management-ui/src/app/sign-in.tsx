// Signing in: as a page, or over the page of somebody whose session has ended.

import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError } from '../api/client.ts';
import { refresh } from '../state/poll.ts';
import { session, signIn } from '../state/session.ts';
import { Mark } from '../ui/mark.tsx';
import { Dialog } from '../ui/dialog.tsx';

export function SignIn({ isOver }: { isOver?: boolean }) {
  if (isOver) {
    return <Dialog title="Signed out" onClose={() => undefined}><p class="note">Your session has ended. Sign in to go on here.</p><SignInForm user={session.value?.user} /></Dialog>;
  }
  return (
    <main class="sign-in">
      <h1><Mark /> Warren</h1>
      <div class="card"><SignInForm /></div>
      <p class="note">The HTTP API is at <a href="api/index.html">api/index.html</a>.</p>
    </main>
  );
}

function SignInForm({ user = '' }: { user?: string }) {
  const [name, setName] = useState(user);
  const [password, setPassword] = useState('');
  const [failure, setFailure] = useState('');
  const [isBusy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  // Who is known has to say the password only.
  useEffect(() => form.current?.querySelector<HTMLInputElement>(user ? '#password' : '#user')?.focus(), []);
  const submit = async (event: Event) => {
    event.preventDefault();
    if (isBusy) return;
    setBusy(true);
    try {
      await signIn(name, password);
      document.title = 'Warren';
      refresh();
    } catch (error) {
      setFailure(said(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <form ref={form} class="form" onSubmit={submit}>
      <div class="field">
        <label for="user">User</label>
        <input id="user" name="username" autocomplete="username" autocapitalize="none" spellcheck={false} required data-first value={name} onInput={(event) => setName(event.currentTarget.value)} />
      </div>
      <div class="field">
        <label for="password">Password</label>
        <input id="password" name="password" type="password" autocomplete="current-password" value={password} onInput={(event) => setPassword(event.currentTarget.value)} />
      </div>
      {failure && <p class="failure" role="alert">{failure}</p>}
      <div class="buttons"><button type="submit" class="primary" disabled={isBusy}>Sign in</button></div>
    </form>
  );
}

function said(error: unknown): string {
  if (!(error instanceof ApiError)) return String(error);
  if (error.status === 401 && /^(not_authori[sz]ed|signed out)?$/i.test(error.message)) return 'No such user, or another password.';
  return error.message;
}
