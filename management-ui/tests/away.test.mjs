// A node that goes away and comes back, a tab nobody sees, answers that did not change.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { broker, browser, page, signIn, visit } from './support.mjs';

let node;
let chrome;

before(async () => {
  node = await broker();
  chrome = await browser();
});

after(async () => {
  await chrome?.close();
  await node?.stop();
});

test('while the node is away what was read stays, and it goes on without a reload', async () => {
  const { page: opened, close } = await page(chrome, node.http);
  await signIn(opened, node.http);
  await visit(opened, '#/exchanges');
  await opened.getByRole('link', { name: 'amq.topic' }).waitFor();
  await opened.route('**/api/**', (route) => route.abort('connectionrefused'));
  await opened.getByRole('button', { name: 'Refresh now' }).click();
  await opened.getByText(/No answer from .*, trying again/).waitFor();
  assert.equal(await opened.getByRole('link', { name: 'amq.topic' }).count(), 1);
  await opened.unroute('**/api/**');
  await opened.getByText(/No answer from/).waitFor({ state: 'detached' });
  await close();
});

test('a hidden tab asks for nothing, and a page that is paused says how old it is', async () => {
  const { page: opened, close } = await page(chrome, node.http);
  await opened.clock.install();
  await signIn(opened, node.http);
  await visit(opened, '#/queues');
  let asked = 0;
  opened.on('request', () => { asked += 1; });
  const polled = opened.waitForRequest(/api\/queues/);
  await opened.clock.fastForward(6000);
  await polled;
  await opened.evaluate(() => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => true });
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await opened.waitForLoadState('networkidle');
  asked = 0;
  // Far more than any interval, by the page's clock.
  await opened.clock.fastForward(600_000);
  await opened.evaluate(() => fetch('api/version').catch(() => undefined));
  // Only the request that this test made itself.
  assert.equal(asked, 1);
  const next = opened.waitForRequest(/api\/queues/);
  await opened.evaluate(() => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => false });
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await next;
  await opened.keyboard.press('p');
  await opened.getByText(/Paused: what is here was read at/).waitFor();
  await opened.getByRole('button', { name: 'Go on' }).click();
  await opened.getByText(/Paused/).waitFor({ state: 'detached' });
  await close();
});

test('keys lead to places, search finds, and what is chosen last is remembered', async () => {
  const { page: opened, faults, close } = await page(chrome, node.http);
  await signIn(opened, node.http);
  for (const [key, heading] of [['q', 'Queues and Streams'], ['e', 'Exchanges'], ['c', 'Connections'], ['h', 'Channels'], ['s', 'Streams'], ['o', 'Overview']]) {
    await opened.keyboard.press('g');
    await opened.keyboard.press(key);
    await opened.getByRole('heading', { level: 1, name: heading, exact: true }).waitFor();
  }
  await opened.keyboard.press('Control+k');
  await opened.waitForFunction(() => document.activeElement?.matches('input'));
  await opened.keyboard.type('amq.top');
  await opened.getByRole('option', { name: /amq\.topic/ }).waitFor();
  await opened.keyboard.press('Enter');
  await opened.getByRole('heading', { level: 1, name: 'amq.topic' }).waitFor();
  await opened.goBack();
  await opened.getByRole('heading', { level: 1, name: 'Overview', exact: true }).waitFor();
  await opened.getByRole('button', { name: 'User guest' }).click();
  await opened.getByLabel('Theme').selectOption('dark');
  await opened.reload();
  await opened.getByRole('heading', { level: 1, name: 'Overview', exact: true }).waitFor();
  assert.equal(await opened.evaluate(() => document.documentElement.dataset.theme), 'dark');
  assert.deepEqual(faults, []);
  await close();
});
