// Three nodes: the console of any of them shows the whole cluster, in front of nodes that go away, and behind
// HAProxy.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { api, browser, cluster, overhang, page, settled, signIn, until, violations, visit } from './support.mjs';
import { start } from './traffic.mjs';

const HAS_HAPROXY = spawnSync('haproxy', ['-v']).status === 0;

let nodes;
let stopTraffic;
let chrome;

before(async () => {
  nodes = await cluster({ withProxy: HAS_HAPROXY });
  stopTraffic = await start(nodes.amqp(1));
  chrome = await browser();
});

after(async () => {
  await chrome?.close();
  await stopTraffic?.();
  await nodes?.stop();
});

for (const width of [1280, 400]) {
  test(`pages about the cluster are in order on any node, ${width} pixels wide`, async () => {
    for (const node of [1, 3]) {
      const { page: opened, faults, close } = await page(chrome, nodes.http(node), { width });
      await signIn(opened, nodes.http(node));
      for (const hash of ['#/', '#/cluster', `#/nodes/${nodes.name(2)}`, '#/queues', '#/queues/%2F/billing', '#/queues/%2F/billing?tab=members', '#/queues/%2F/mail', '#/streams', '#/queues/%2F/journal?tab=members', '#/topology', '#/connections']) {
        await visit(opened, hash);
        assert.deepEqual(await violations(opened), [], `node ${node} ${hash}`);
        assert.ok((await overhang(opened)) <= 0, `${hash} scrolls sideways`);
      }
      assert.deepEqual(faults, []);
      await close();
    }
  });
}

test('what lives on one node is shown and changed by another', async () => {
  const ask = api(nodes.http(3));
  const { page: opened, faults, close } = await page(chrome, nodes.http(3));
  await signIn(opened, nodes.http(3));
  // A classic queue of node 1, of which this one knows nothing itself.
  await visit(opened, '#/queues/%2F/payments?tab=messages');
  await opened.getByRole('button', { name: 'Look', exact: true }).click();
  await opened.getByRole('article').first().waitFor();
  await visit(opened, '#/connections');
  await opened.getByRole('link', { name: /billing-worker/ }).waitFor();
  // Its members, and who leads.
  await visit(opened, '#/queues/%2F/billing?tab=members');
  for (const node of [1, 2, 3]) await opened.getByRole('rowheader', { name: nodes.name(node) }).waitFor();
  const { leader } = await ask('GET', '/queues/%2F/billing');
  await visit(opened, '#/cluster');
  await opened.getByRole('row').filter({ hasText: leader }).getByText('running').waitFor();
  assert.deepEqual(faults, []);
  await close();
});

test('members of a stream are removed and added, its leader is moved, and each says what it has', async () => {
  const ask = api(nodes.http(1));
  const { page: opened, faults, close } = await page(chrome, nodes.http(2));
  await signIn(opened, nodes.http(2));
  await visit(opened, '#/queues/%2F/journal?tab=members');
  const stream = () => ask('GET', '/queues/%2F/journal');
  const row = (node) => opened.getByRole('row').filter({ has: opened.getByRole('rowheader', { name: node, exact: true }) });
  const { leader, members } = await stream();
  assert.equal(members.length, 3);
  const [other, third] = members.filter((each) => each !== leader);
  await row(other).getByRole('button', { name: 'Lead from here…' }).click();
  await opened.getByRole('dialog').getByRole('button', { name: `Lead from ${other}` }).click();
  await until('the other leads', async () => (await stream()).leader === other);
  await row(other).getByText('leader').waitFor();
  await row(third).getByRole('button', { name: 'Remove…' }).click();
  await opened.getByRole('dialog').getByRole('textbox').fill('journal');
  await opened.getByRole('dialog').getByRole('button', { name: `Remove ${third}` }).click();
  await until('two are left', async () => (await stream()).members.length === 2);
  await opened.getByLabel('Add a member on').selectOption(third);
  await opened.getByRole('button', { name: 'Add member' }).click();
  await until('three again', async () => (await stream()).online.length === 3);
  await row(third).getByText('online').waitFor();
  // Each says its offsets and its size.
  await until('the third says what it has', async () => (await row(third).getByRole('cell').allTextContents()).some((text) => /[KM]?i?B$/.test(text)));
  assert.deepEqual(await violations(opened), []);
  assert.deepEqual(faults, []);
  await close();
});

test('a node is drained and revived from the console of another', async () => {
  const name = nodes.name(3);
  const ask = api(nodes.http(2));
  const { page: opened, faults, close } = await page(chrome, nodes.http(1));
  await signIn(opened, nodes.http(1));
  await visit(opened, `#/nodes/${name}`);
  await opened.getByRole('button', { name: 'Drain…' }).click();
  await opened.getByRole('dialog').getByRole('button', { name: `Drain ${name}` }).click();
  await opened.getByRole('button', { name: 'Revive' }).waitFor();
  await until('the others say so', async () => (await ask('GET', `/nodes/${name}`)).being_drained);
  assert.equal((await ask('GET', '/maintenance')).drained, false);
  await opened.getByRole('button', { name: 'Revive' }).click();
  await opened.getByRole('button', { name: 'Drain…' }).waitFor();
  await until('it is in service again', async () => !(await ask('GET', `/nodes/${name}`)).being_drained);
  assert.deepEqual(faults, []);
  await close();
});

test('a node that is killed is named on the others, and when it is back nothing says so any more', async () => {
  const { page: opened, close } = await page(chrome, nodes.http(1));
  await signIn(opened, nodes.http(1));
  await visit(opened, '#/cluster');
  await nodes.kill(3);
  await opened.getByText(/1 node not running: rabbit@n3/).waitFor();
  for (const hash of ['#/', '#/queues', '#/connections', '#/queues/%2F/billing?tab=members', `#/nodes/${nodes.name(3)}`]) {
    await visit(opened, hash);
    assert.deepEqual(await violations(opened), [], hash);
  }
  nodes.start(3);
  await nodes.ready();
  await visit(opened, '#/cluster');
  await opened.getByText(/not running: rabbit@n3/).waitFor({ state: 'detached' });
  await close();
});

test('behind HAProxy it goes on with the next node, and nobody signs in again', { skip: !HAS_HAPROXY && 'haproxy is not installed' }, async () => {
  const { page: opened, close } = await page(chrome, nodes.proxy);
  await signIn(opened, nodes.proxy);
  await visit(opened, '#/queues');
  for (const node of [1, 2]) {
    await nodes.kill(node);
    await until('the rest goes on', () => opened.evaluate(() => fetch('api/whoami').then((answer) => answer.status === 200)));
    await visit(opened, '#/exchanges');
    await settled(opened);
    await opened.getByRole('link', { name: 'amq.topic' }).waitFor();
    await visit(opened, '#/queues');
    await opened.getByRole('link', { name: 'billing' }).waitFor();
    assert.equal(await opened.getByRole('button', { name: 'Sign in' }).count(), 0);
    nodes.start(node);
    await nodes.ready();
  }
  await close();
});
