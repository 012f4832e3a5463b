// What each kind of user sees: nothing they may not, and what they may.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { api, broker, browser, page, signIn, visit } from './support.mjs';

let node;
let chrome;

before(async () => {
  node = await broker();
  const ask = api(node.http);
  for (const tags of ['', 'management', 'policymaker', 'monitoring', 'administrator']) {
    const name = tags || 'none';
    await ask('PUT', `/users/${name}`, { password: name, tags });
    await ask('PUT', `/permissions/%2F/${name}`, { configure: '', write: '', read: '.*' });
  }
  await ask('PUT', '/queues/%2F/seen', {});
  chrome = await browser();
});

after(async () => {
  await chrome?.close();
  await node?.stop();
});

test('a user without a tag is not let in, and told why', async () => {
  const { page: opened, close } = await page(chrome, node.http);
  await opened.goto(node.http);
  await opened.getByLabel('User').fill('none');
  await opened.getByLabel('Password').fill('none');
  await opened.getByRole('button', { name: 'Sign in' }).click();
  await opened.getByRole('alert').getByText('Not management user').waitFor();
  await close();
});

for (const [user, seesNodes] of [['management', false], ['policymaker', false], ['monitoring', true], ['administrator', true]]) {
  test(`a user with the tag ${user} sees what they may`, async () => {
    const { page: opened, faults, close } = await page(chrome, node.http);
    await signIn(opened, node.http, user, user);
    await visit(opened, '#/');
    assert.equal(await opened.getByRole('heading', { name: 'Nodes' }).count(), seesNodes ? 1 : 0);
    await visit(opened, '#/queues/%2F/seen');
    await opened.getByRole('button', { name: 'Purge…' }).waitFor();
    // They may read, and configure nothing.
    assert.equal(await opened.getByRole('button', { name: 'Delete…' }).count(), 0);
    await visit(opened, '#/queues');
    assert.equal(await opened.getByRole('button', { name: 'New queue' }).count(), 0);
    for (const hash of ['#/connections', '#/channels', '#/exchanges', '#/exchanges/%2F/amq.topic']) await visit(opened, hash);
    assert.deepEqual(faults, []);
    await close();
  });
}

test('a session that ends is taken up again over the page', async () => {
  const ask = api(node.http);
  const { page: opened, close } = await page(chrome, node.http);
  await signIn(opened, node.http, 'monitoring', 'monitoring', '#/queues/%2F/seen');
  await opened.getByRole('heading', { level: 1, name: 'seen' }).waitFor();
  const theirs = (await ask('GET', '/sessions')).filter(({ user }) => user === 'monitoring');
  assert.ok(theirs.length > 0);
  for (const { id } of theirs) await ask('DELETE', `/sessions/${id}`);
  // A poll may have found out before, and then the form lies over the button.
  await opened.getByRole('button', { name: 'Refresh now' }).click({ timeout: 2000 }).catch(() => undefined);
  const dialog = opened.getByRole('dialog', { name: 'Signed out' });
  assert.equal(await dialog.getByLabel('User').inputValue(), 'monitoring');
  await dialog.getByLabel('Password').fill('monitoring');
  await dialog.getByRole('button', { name: 'Sign in' }).click();
  await dialog.waitFor({ state: 'detached' });
  await opened.getByRole('heading', { level: 1, name: 'seen' }).waitFor();
  // A reload asks nobody again.
  await opened.reload();
  await opened.getByRole('heading', { level: 1, name: 'seen' }).waitFor();
  await close();
});

test('after signing out nothing is left to see', async () => {
  const { page: opened, close } = await page(chrome, node.http);
  await signIn(opened, node.http, 'management', 'management');
  await opened.getByRole('button', { name: 'User management' }).click();
  await opened.getByRole('button', { name: 'Sign out' }).click();
  await opened.getByRole('button', { name: 'Sign in' }).waitFor();
  await opened.goto(`${node.http}#/queues/%2F/seen`);
  await opened.getByRole('button', { name: 'Sign in' }).waitFor();
  assert.equal(await opened.getByText('seen').count(), 0);
  const kept = await opened.evaluate(() => JSON.stringify(localStorage));
  assert.ok(!kept.includes('password') && !kept.includes('Basic'), kept);
  await close();
});
