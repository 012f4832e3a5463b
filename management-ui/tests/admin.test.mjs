// Limits, parameters, definitions, sessions: forms sent and read back; and all pages of Admin and Cluster,
// light and dark, wide and narrow.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import amqp from 'amqplib';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { desk, overhang, page, signIn, until, violations, visit } from './support.mjs';
import { HOSTILE, LONG } from './traffic.mjs';

const part = encodeURIComponent;
/** Where pictures are put, if anywhere. */
const PICTURES = process.env.PICTURES;
let at;

before(async () => {
  at = await desk();
  const { ask } = at;
  await ask('PUT', `/vhosts/${part(HOSTILE)}`, { description: HOSTILE, tags: 'a,b' });
  await ask('PUT', `/users/${part(HOSTILE)}`, { password: 'x', tags: 'monitoring,other' });
  await ask('PUT', `/users/${part(LONG)}`, { password: 'x', tags: '' });
  await ask('PUT', `/permissions/%2F/${part(HOSTILE)}`, { configure: HOSTILE.replace(/[\\{}$]/g, ''), write: '', read: '.*' });
  await ask('PUT', `/topic-permissions/%2F/${part(HOSTILE)}`, { exchange: 'amq.topic', write: '.*', read: '^a' });
  await ask('PUT', `/user-limits/${part(HOSTILE)}/max-channels`, { value: 12345 });
  await ask('PUT', `/policies/%2F/${part(HOSTILE)}`, { pattern: '', 'apply-to': 'queues', definition: { 'max-length': 5, 'dead-letter-routing-key': HOSTILE } });
  await ask('PUT', '/operator-policies/%2F/bound', { pattern: '.*', 'apply-to': 'queues', definition: { expires: 5000 } });
  await ask('POST', '/definitions', { parameters: [{ component: 'shovel', vhost: '/', name: HOSTILE, value: { 'src-uri': 'amqp://', 'src-queue': LONG } }] });
});

after(() => at?.close());

test('a limit is set and cleared', async () => {
  const { opened, panel, ask } = at;
  await visit(opened, '#/limits');
  await opened.getByRole('button', { name: 'Set a limit of a vhost' }).click();
  await panel.getByLabel('vhost').selectOption('/');
  await panel.getByLabel('Limit', { exact: true }).selectOption('max-connections');
  await panel.getByLabel(/^Value/).fill('7');
  await panel.getByRole('button', { name: 'Set limit' }).click();
  await opened.getByRole('button', { name: 'Clear max-connections of /…' }).waitFor();
  assert.deepEqual(await ask('GET', '/vhost-limits/%2F'), [{ vhost: '/', value: { 'max-connections': 7 } }]);
  await opened.getByRole('button', { name: 'Set a limit of a user' }).click();
  await panel.getByLabel(/^User/).fill('guest');
  await panel.getByLabel('Limit', { exact: true }).selectOption('max-channels');
  await panel.getByLabel(/^Value/).fill('70');
  await panel.getByRole('button', { name: 'Set limit' }).click();
  await opened.getByRole('button', { name: 'Clear max-channels of guest…' }).waitFor();
  assert.deepEqual((await ask('GET', '/user-limits/guest'))[0].value, { 'max-channels': 70 });
  await opened.getByRole('button', { name: 'Clear max-connections of /…' }).click();
  await panel.getByRole('button', { name: 'Clear max-connections', exact: true }).click();
  await until('it is gone', async () => (await ask('GET', '/vhost-limits')).length === 0);
});

test('parameters are added, changed and deleted, and numbers keep every digit', async () => {
  const { opened, panel, ask, node } = at;
  await visit(opened, '#/parameters');
  await opened.getByRole('button', { name: 'New global parameter' }).click();
  await panel.getByRole('textbox', { name: /^Name/ }).fill('owner');
  await panel.getByLabel(/^Value/).fill('{"id": 9007199254740993,');
  await panel.getByRole('button', { name: 'Add parameter' }).click();
  await panel.getByText(/The value is not JSON/).waitFor();
  await panel.getByLabel(/^Value/).fill('{"id": 9007199254740993}');
  await panel.getByRole('button', { name: 'Add parameter' }).click();
  await opened.getByRole('link', { name: 'owner' }).waitFor();
  const raw = await fetch(new URL('api/global-parameters/owner', node.http), { headers: { authorization: `Basic ${btoa('guest:guest')}` } });
  assert.match(await raw.text(), /"id":9007199254740993\b/);
  await opened.getByRole('link', { name: 'owner' }).click();
  await panel.getByLabel(/^Value/).fill('"nobody"');
  await panel.getByRole('button', { name: 'Save parameter' }).click();
  await until('it is changed', async () => (await ask('GET', '/global-parameters/owner')).value === 'nobody');
  await opened.getByRole('link', { name: 'owner' }).click();
  await panel.getByRole('button', { name: 'Delete…' }).click();
  await panel.getByRole('button', { name: 'Delete parameter owner' }).click();
  await until('it is gone', async () => !(await ask('GET', '/global-parameters')).some(({ name }) => name === 'owner'));

  await ask('POST', '/definitions', { parameters: [{ component: 'federation-upstream', vhost: '/', name: 'east', value: { uri: 'amqp://east' } }] });
  await opened.getByRole('button', { name: 'Refresh now' }).click();
  await opened.getByRole('link', { name: 'east' }).click();
  await panel.getByText('"amqp://east"').waitFor();
  await panel.getByRole('button', { name: 'Delete…' }).click();
  await panel.getByRole('button', { name: 'Delete parameter east' }).click();
  await until('it is gone', async () => !(await ask('GET', '/parameters')).some(({ name }) => name === 'east'));
});

test('whoever goes on before a deletion is answered stays where they are', async () => {
  const { opened, panel, ask } = at;
  await ask('PUT', '/global-parameters/slow', { name: 'slow', value: 1 });
  await visit(opened, '#/global-parameters/slow');
  let answer;
  await opened.route('**/api/global-parameters/slow', async (route) => {
    if (route.request().method() !== 'DELETE') return route.continue();
    const response = await route.fetch();
    answer = () => route.fulfill({ response });
  });
  await panel.getByRole('button', { name: 'Delete…' }).click();
  await panel.getByRole('button', { name: 'Delete parameter slow' }).click();
  await until('it is deleted, and not answered', async () => answer);
  await visit(opened, '#/definitions');
  await opened.getByRole('heading', { name: 'Definitions' }).waitFor();
  await answer();
  await opened.getByText('Parameter slow is deleted').waitFor();
  assert.equal(new URL(opened.url()).hash, '#/definitions');
  await opened.unroute('**/api/global-parameters/slow');
});

test('definitions go out, and come in again', async () => {
  const { opened, ask } = at;
  await ask('PUT', '/queues/%2F/kept', { durable: true, arguments: { 'x-max-length': 5 } });
  await visit(opened, '#/definitions');
  const download = opened.waitForEvent('download');
  await opened.getByRole('button', { name: 'Download definitions' }).click();
  const file = join(tmpdir(), `definitions-${process.pid}.json`);
  await (await download).saveAs(file);
  const document = JSON.parse(await readFile(file, 'utf8'));
  assert.ok(document.queues.some(({ name }) => name === 'kept'));
  await ask('DELETE', '/queues/%2F/kept');
  await writeFile(file, JSON.stringify({ ...document, vhosts: [...document.vhosts, { name: 'new' }] }));
  await opened.getByLabel(/^File \(/).setInputFiles(file);
  await opened.getByText(/It has .*3 vhosts/).waitFor();
  await opened.getByRole('button', { name: 'Import definitions' }).click();
  await opened.getByText('The definitions are imported').waitFor();
  assert.deepEqual((await ask('GET', '/queues/%2F/kept')).arguments['x-max-length'], 5);
  assert.ok((await ask('GET', '/vhosts')).some(({ name }) => name === 'new'));

  await opened.getByLabel('Document').selectOption('text');
  await opened.getByLabel(/^JSON/).fill('{"queues":[{"name":"written","durable":true}]}');
  await opened.locator('.card', { hasText: 'Import' }).getByLabel('Into').selectOption('new');
  await opened.getByRole('button', { name: 'Import definitions' }).click();
  await until('the queue is there', async () => (await ask('GET', '/queues/new')).some(({ name }) => name === 'written'));
});

test('another browser is signed out', async () => {
  const { opened, panel, ask, node, chrome } = at;
  await ask('PUT', '/users/guest2', { password: 'guest2', tags: 'administrator' });
  const other = await page(chrome, node.http);
  await signIn(other.page, node.http, 'guest2', 'guest2');
  await visit(opened, '#/sessions');
  await opened.getByText('this browser').waitFor();
  await opened.getByRole('button', { name: /^Sign out guest2 at .*…$/ }).click();
  await panel.getByRole('button', { name: 'Sign guest2 out' }).click();
  await until('the session is gone', async () => !(await ask('GET', '/sessions')).some(({ user }) => user === 'guest2'));
  await other.page.getByRole('button', { name: 'Refresh now' }).click();
  await other.page.getByRole('button', { name: 'Sign in' }).waitFor();
  await other.close();
});

test('the cluster is renamed, and attempts to sign in counted from nothing', async () => {
  const { opened, panel, ask } = at;
  await visit(opened, '#/cluster');
  await opened.getByRole('button', { name: 'Rename…' }).click();
  await panel.getByLabel(/^Name/).fill('prod');
  await panel.getByRole('button', { name: 'Rename cluster' }).click();
  await until('it has its name', async () => (await ask('GET', '/cluster-name')).name === 'prod');
  await opened.getByRole('main').getByText('prod').waitFor();
  await opened.getByRole('main').getByRole('link', { name: /^rabbit@/ }).click();
  await opened.getByRole('button', { name: 'Reset…' }).click();
  await panel.getByRole('button', { name: 'Reset the counts' }).click();
  await panel.waitFor({ state: 'detached' });
  const [{ name }] = await ask('GET', '/nodes');
  const http = (await ask('GET', `/auth/attempts/${name}`)).find(({ protocol }) => protocol === 'http');
  assert.ok(!http || http.auth_attempts < 20, JSON.stringify(http));
  assert.deepEqual(at.faults, []);
});

test('the node is drained, and revived', async () => {
  const { opened, panel, ask, node } = at;
  const [{ name }] = await ask('GET', '/nodes');
  await visit(opened, `#/nodes/${part(name)}`);
  await opened.getByRole('button', { name: 'Drain…' }).click();
  await panel.getByRole('textbox').fill(name);
  await panel.getByRole('button', { name: `Drain ${name}` }).click();
  await opened.getByRole('button', { name: 'Revive' }).waitFor();
  assert.equal((await ask('GET', '/maintenance')).drained, true);
  await assert.rejects(amqp.connect(node.amqp));
  await opened.getByRole('button', { name: 'Revive' }).click();
  await opened.getByRole('button', { name: 'Drain…' }).waitFor();
  await (await amqp.connect(node.amqp)).close();
});

test('search finds users, vhosts, policies and nodes, and opens them', async () => {
  const { opened, panel } = at;
  await visit(opened, '#/');
  await opened.keyboard.press('Control+k');
  await panel.getByLabel('Name').fill('bound');
  await panel.getByRole('option', { name: /bound/ }).waitFor();
  await opened.keyboard.press('Enter');
  await opened.getByRole('heading', { name: 'Operator policies' }).waitFor({ state: 'attached' });
  assert.match(opened.url(), /#\/operator-policies\/%2F\/bound$/);
  await opened.keyboard.press('Escape');
});

const hashes = async () => {
  const [{ name }] = await at.ask('GET', '/nodes');
  return [
    '#/users', `#/users/${part(HOSTILE)}`, `#/users/${part(LONG)}`, '#/users?filter=nobody-of-this-name', '#/vhosts', `#/vhosts/${part(HOSTILE)}`, '#/policies', `#/policies/%2F/${part(HOSTILE)}`,
    '#/operator-policies', '#/limits', '#/parameters', `#/parameters/shovel/%2F/${part(HOSTILE)}`, '#/definitions', '#/feature-flags', '#/sessions', '#/cluster', `#/nodes/${part(name)}`,
  ];
};

for (const theme of ['light', 'dark']) {
  for (const width of [1280, 400]) {
    test(`every page is in order, ${theme}, ${width} pixels wide`, async () => {
      const { node, chrome } = at;
      if (PICTURES) await mkdir(PICTURES, { recursive: true });
      const { page: opened, faults, close } = await page(chrome, node.http, { width, theme });
      await signIn(opened, node.http, 'guest', 'guest', '#/feature-flags');
      for (const hash of await hashes()) {
        await visit(opened, hash);
        await opened.waitForFunction(() => !document.querySelector('dialog [aria-busy="true"]'));
        await opened.mouse.move(2, 2);
        assert.deepEqual(await violations(opened), [], hash);
        assert.ok((await overhang(opened)) <= 0, `${hash} scrolls sideways by ${await overhang(opened)}`);
        if (PICTURES) await opened.screenshot({ path: join(PICTURES, `${hash.replace(/[^a-z0-9]+/gi, '_').slice(0, 60)}-${width}-${theme}.png`), fullPage: true });
      }
      assert.equal(await opened.evaluate(() => window.hacked), undefined);
      assert.deepEqual(faults, []);
      await close();
    });
  }
}
