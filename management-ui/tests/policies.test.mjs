// Policies and operator policies: added, changed, deleted, and what they do to a queue.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { api, desk, page, signIn, until, visit } from './support.mjs';

let at;

before(async () => {
  at = await desk();
  await at.ask('PUT', '/queues/%2F/billing', { durable: true, arguments: { 'x-queue-type': 'classic' } });
});

after(() => at?.close());

for (const { id, one } of [{ id: 'policies', one: 'policy' }, { id: 'operator-policies', one: 'operator policy' }]) {
  test(`one of the ${id.replace('-', ' ')} is added, changed and deleted`, async () => {
    const { opened, panel, ask } = at;
    await visit(opened, `#/${id}`);
    await opened.getByRole('button', { name: `New ${one}` }).first().click();
    await panel.getByRole('textbox', { name: /^Name \(/ }).fill('cap');
    await panel.getByLabel('Pattern').fill('^bill');
    await panel.getByLabel('Applies to').selectOption('classic_queues');
    await panel.getByLabel('Priority').fill('3');
    await panel.getByLabel('Name 1').fill('max-length');
    // The broker's own table says that it is a number.
    await until('it is a number', async () => (await panel.getByLabel('Type 1').inputValue()) === 'number');
    await panel.getByLabel('Value 1').fill('-5');
    await panel.getByRole('button', { name: `Add ${one}` }).click();
    await panel.getByRole('alert').getByText(/not a valid/).waitFor();
    assert.equal(await panel.getByLabel('Pattern').inputValue(), '^bill');
    await panel.getByLabel('Value 1').fill('100');
    await panel.getByRole('button', { name: `Add ${one}` }).click();
    await opened.getByRole('link', { name: 'cap' }).waitFor();
    const { name, pattern, priority, definition, 'apply-to': to } = await ask('GET', `/${id}/%2F/cap`);
    assert.deepEqual([name, pattern, priority, definition, to], ['cap', '^bill', 3, { 'max-length': 100 }, 'classic_queues']);
    await until('the queue has it', async () => (await ask('GET', '/queues/%2F/billing')).effective_policy_definition?.['max-length'] === 100);

    await opened.getByRole('link', { name: 'cap' }).click();
    await panel.getByLabel('Value 1').fill('50');
    await panel.getByRole('button', { name: `Save ${one}` }).click();
    await panel.waitFor({ state: 'detached' });
    assert.deepEqual((await ask('GET', `/${id}/%2F/cap`)).definition, { 'max-length': 50 });

    await opened.getByRole('link', { name: 'cap' }).click();
    await panel.getByRole('button', { name: 'Delete…' }).click();
    await panel.getByRole('button', { name: `Delete ${one} cap` }).click();
    await until('it is gone', async () => (await ask('GET', `/${id}`)).length === 0);
    await panel.first().waitFor({ state: 'detached' });
    assert.match(opened.url(), new RegExp(`#/${id}$`));
  });
}

test('what a policy would change and drop is shown before it is saved, and nothing is changed', async () => {
  const { opened, panel, ask } = at;
  for (let number = 0; number < 5; number += 1) {
    await ask('POST', '/exchanges/%2F/amq.default/publish', { properties: {}, routing_key: 'billing', payload: 'x', payload_encoding: 'string' });
  }
  await until('all are ready', async () => (await ask('GET', '/queues/%2F/billing')).messages_ready === 5);
  await visit(opened, '#/policies');
  await opened.getByRole('button', { name: 'New policy' }).first().click();
  await panel.getByRole('textbox', { name: /^Name \(/ }).fill('small');
  await panel.getByLabel('Pattern').fill('^bill');
  await panel.getByLabel('Name 1').fill('max-length');
  await panel.getByLabel('Value 1').fill('2');
  await panel.getByText('It matches 1 queue or exchange and applies to all of them. 1 thing changes:').waitFor();
  await panel.getByText('3 ready messages would be dropped at once').waitFor();
  await panel.getByText('max-length: none → 2').waitFor();
  await panel.getByLabel('Pattern').fill('^(bill');
  await panel.getByText(/It would be refused: pattern should be regular expression/).waitFor();
  await panel.getByRole('button', { name: 'Cancel' }).click();
  assert.equal((await ask('GET', '/policies')).length, 0);
  assert.equal((await ask('GET', '/queues/%2F/billing')).messages_ready, 5);
});

test('who may not change them sees them, and no button', async () => {
  const { ask, node, chrome } = at;
  await ask('PUT', '/users/reader', { password: 'reader', tags: 'management' });
  await ask('PUT', '/permissions/%2F/reader', { configure: '', write: '', read: '.*' });
  await ask('PUT', '/policies/%2F/seen', { pattern: '^x', definition: { expires: 9000 } });
  const { page: opened, faults, close } = await page(chrome, node.http);
  await signIn(opened, node.http, 'reader', 'reader', '#/feature-flags');
  await visit(opened, '#/policies');
  await opened.getByRole('link', { name: 'seen' }).click();
  await opened.getByRole('dialog').getByText('expires: 9000').waitFor();
  assert.equal(await opened.getByRole('button', { name: /Delete|Save|New/ }).count(), 0);
  assert.deepEqual(await opened.getByRole('navigation', { name: 'Admin', includeHidden: true }).getByRole('link', { includeHidden: true }).allTextContents(), ['vhosts', 'Policies', 'Operator policies', 'Limits', 'Feature flags', 'Jobs']);
  for (const hash of ['#/vhosts', '#/operator-policies', '#/limits', '#/feature-flags']) await visit(opened, hash);
  await opened.evaluate(() => { location.hash = '#/users'; });
  await opened.getByText('Your user may not see this page.').waitFor();
  assert.deepEqual(faults, []);
  await close();
  assert.equal((await api(node.http, 'reader', 'reader')('GET', '/policies')).length, 1);
});
