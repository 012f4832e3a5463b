// A stream's page: groups of readers, what they have yet to read, and where they go on.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { desk, until, violations, visit } from './support.mjs';

let at;

before(async () => {
  at = await desk();
  const { ask } = at;
  await ask('PUT', '/queues/%2F/log', { durable: true, arguments: { 'x-queue-type': 'stream' } });
  for (const payload of ['a', 'b', 'c', 'd', 'e']) {
    await ask('POST', '/exchanges/%2F/amq.default/publish', { properties: {}, routing_key: 'log', payload, payload_encoding: 'string' });
  }
  await ask('POST', '/stream/groups/%2F/billing/reset', { stream: 'log', offset: 1 });
});

after(async () => {
  await at?.close();
});

test('groups are shown with their lag, connected or not, and go on where they are told', async () => {
  const { opened, ask } = at;
  await visit(opened, '#/queues/%2F/log');
  await opened.getByRole('tab', { name: 'Groups and publishers' }).click();
  const row = opened.getByRole('row').filter({ hasText: 'billing' });
  await row.getByText('empty').waitFor();
  const cells = await row.getByRole('cell').allTextContents();
  assert.ok(cells.includes('1') && cells.includes('3'), `${cells}`);
  await opened.getByText('Nobody publishes to it by the stream protocol now.').waitFor();
  assert.deepEqual(await violations(opened), []);
  await row.getByRole('button', { name: 'Set offset…' }).click();
  await opened.getByLabel('first, last, next or an offset').fill('next');
  await opened.getByRole('button', { name: 'Set offset', exact: true }).click();
  const group = await until('the offset is set', async () => {
    const found = await ask('GET', '/stream/groups/%2F/billing');
    return found.lag === 0 && found;
  });
  assert.equal(group.partitions[0].stored_offset, 4);
  await opened.getByText('The offset of billing in log is set').waitFor();
});

test('what cannot be an offset is said in the question', async () => {
  const { opened } = at;
  await opened.getByRole('row').filter({ hasText: 'billing' }).getByRole('button', { name: 'Set offset…' }).click();
  await opened.getByLabel('first, last, next or an offset').fill('yesterday');
  await opened.getByRole('button', { name: 'Set offset', exact: true }).click();
  await opened.getByRole('alert').waitFor();
  await opened.getByRole('button', { name: 'Keep' }).click();
});
