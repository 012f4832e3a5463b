// Jobs with how far they are; what an import would change before it is done.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { desk, overhang, page, signIn, until, violations, visit } from './support.mjs';

let at;

before(async () => {
  at = await desk();
});

after(() => at?.close());

test('a job is shown with how far it is, and forgotten', async () => {
  const { opened, ask } = at;
  await visit(opened, '#/jobs');
  await opened.getByText(/^No jobs\./).waitFor();
  for (const name of ['one', 'two']) await ask('PUT', `/queues/%2F/${name}`, { durable: true });
  await ask('POST', '/jobs', { kind: 'delete', vhost: '/', queues: ['one', 'two', 'not-there'] });
  await until('it has ended', async () => (await ask('GET', '/jobs'))[0]?.state === 'done');
  await opened.getByRole('button', { name: 'Refresh now' }).click();
  await opened.getByText('2 of 3').waitFor();
  await opened.getByText(/not-there: /).waitFor();
  for (const width of [1280, 400]) {
    const other = await page(at.chrome, at.node.http, { width, theme: 'dark' });
    await signIn(other.page, at.node.http, 'guest', 'guest', '#/jobs');
    await visit(other.page, '#/jobs');
    assert.deepEqual(await violations(other.page), []);
    assert.ok((await overhang(other.page)) <= 0);
    assert.deepEqual(other.faults, []);
    await other.close();
  }
  await opened.getByRole('button', { name: /^Forget/ }).click();
  await opened.getByText(/^No jobs\./).waitFor();
  assert.equal((await ask('GET', '/jobs')).length, 0);
});

test('what an import would change is shown, and nothing is changed', async () => {
  const { opened, ask } = at;
  await ask('PUT', '/queues/%2F/there', { durable: true, arguments: {} });
  await visit(opened, '#/definitions');
  await opened.getByLabel('Document').selectOption('text');
  await opened.getByLabel(/^JSON/).fill(JSON.stringify({
    vhosts: [{ name: 'new' }],
    queues: [
      { name: 'fresh', vhost: 'new', durable: true, auto_delete: false, arguments: {} },
      { name: 'there', vhost: '/', durable: true, auto_delete: false, arguments: { 'x-max-length': 5 } },
    ],
  }));
  await opened.getByRole('button', { name: 'Show what it would change' }).click();
  const preview = opened.getByLabel('What it would change', { exact: true });
  await preview.getByText(/vhost new/).waitFor();
  await preview.getByText(/queue new fresh/).waitFor();
  await preview.getByText('1 conflict').waitFor();
  assert.equal((await ask('GET', '/vhosts')).length, 1);
  assert.deepEqual(at.faults, []);
});
