// vhosts: added, described, limited, opened to users, deleted; each read back over the API.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { desk, until, visit } from './support.mjs';

let at;

before(async () => {
  at = await desk();
  await at.ask('PUT', '/users/worker', { password: 'w', tags: '' });
});

after(() => at?.close());

const card = (title) => at.panel.locator('.card', { has: at.opened.getByRole('heading', { name: title, exact: true }) });

test('a vhost is added, and the choice of vhosts has it at once', async () => {
  const { opened, panel, ask } = at;
  await visit(opened, '#/vhosts');
  await opened.getByRole('button', { name: 'New vhost' }).click();
  await panel.getByRole('textbox', { name: /^Name/ }).fill('shop');
  await panel.getByLabel('Description').fill('Orders');
  await panel.getByLabel('Tags').fill('production, eu');
  await panel.getByLabel('Default queue type').selectOption('quorum');
  await panel.getByRole('button', { name: 'Add vhost' }).click();
  await opened.getByRole('link', { name: 'shop' }).waitFor();
  const vhost = await ask('GET', '/vhosts/shop');
  assert.deepEqual([vhost.description, vhost.tags, vhost.default_queue_type], ['Orders', ['production', 'eu'], 'quorum']);
  await opened.locator('header > label').getByRole('combobox').first().selectOption('shop');
  await opened.locator('header > label').getByRole('combobox').first().selectOption('');
});

test('its description changes, and what was not changed stays', async () => {
  const { opened, ask } = at;
  await visit(opened, '#/vhosts/shop');
  const form = card('Description');
  await form.getByLabel('Description').fill('All orders');
  await form.getByRole('button', { name: 'Save vhost' }).click();
  await until('it is saved', async () => (await ask('GET', '/vhosts/shop')).description === 'All orders');
  const vhost = await ask('GET', '/vhosts/shop');
  assert.deepEqual([vhost.tags, vhost.default_queue_type], [['production', 'eu'], 'quorum']);
});

test('a user may use it, and its limits hold', async () => {
  const { opened, ask } = at;
  await visit(opened, '#/vhosts/shop');
  const permissions = card('Permissions');
  await permissions.getByText('Set permissions').first().click();
  await permissions.getByLabel(/^User/).fill('worker');
  await permissions.getByLabel('Read').fill('^billing$');
  await permissions.getByRole('button', { name: 'Set permissions' }).click();
  await permissions.getByRole('link', { name: 'worker' }).waitFor();
  assert.equal((await ask('GET', '/permissions/shop/worker')).read, '^billing$');
  const limits = card('Limits');
  await limits.getByLabel('max-queues').fill('1');
  await limits.getByRole('button', { name: 'Save limits' }).click();
  await until('the limit is there', async () => (await ask('GET', '/vhost-limits/shop'))[0]?.value['max-queues'] === 1);
  await ask('PUT', '/queues/shop/one', { durable: true });
  await assert.rejects(ask('PUT', '/queues/shop/two', { durable: true }), /queue limit/);
});

test('it is traced, and what it is described as stays', async () => {
  const { opened, ask } = at;
  await visit(opened, '#/vhosts/shop');
  await card('Tracing').getByRole('button', { name: 'Start tracing' }).click();
  await card('Tracing').getByRole('button', { name: 'Stop tracing' }).waitFor();
  const vhost = await ask('GET', '/vhosts/shop');
  assert.deepEqual([vhost.tracing, vhost.description, vhost.tags], [true, 'All orders', ['production', 'eu']]);
  await card('Tracing').getByRole('button', { name: 'Stop tracing' }).click();
  await until('it is off', async () => (await ask('GET', '/vhosts/shop')).tracing === false);
});

test('it is deleted after its name is typed, with what is in it told', async () => {
  const { opened, panel, ask } = at;
  await visit(opened, '#/vhosts/shop');
  await panel.locator('.figures').getByText('1', { exact: true }).waitFor();
  await panel.getByRole('button', { name: 'Delete…' }).click();
  await panel.getByText(/with 1 queue, 0 messages/).waitFor();
  await panel.getByLabel('Type shop to go on').fill('shop');
  await panel.getByRole('button', { name: 'Delete vhost shop' }).click();
  await opened.getByRole('link', { name: 'shop' }).waitFor({ state: 'detached' });
  await until('it is gone', async () => (await ask('GET', '/vhosts')).length === 1);
  assert.deepEqual(at.faults, []);
});
