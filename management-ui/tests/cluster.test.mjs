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

test('leaders are spread as the plan said, and members added and removed for a whole node', async () => {
  const ask = api(nodes.http(1));
  const names = ['one', 'two', 'three', 'four'].map((each) => `spread-${each}`);
  for (const name of names) {
    await ask('PUT', `/queues/%2F/${name}`, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
    await until('it has a leader', async () => (await ask('GET', `/queues/%2F/${name}`)).online?.length === 3);
    await ask('POST', `/queues/quorum/%2F/${name}/replicas/transfer-leadership`, { node: nodes.name(2) });
    await until('node 2 leads it', async () => (await ask('GET', `/queues/%2F/${name}`)).leader === nodes.name(2));
  }
  const { page: opened, faults, close } = await page(chrome, nodes.http(1));
  await signIn(opened, nodes.http(1));
  const panel = opened.getByRole('dialog');
  await visit(opened, '#/cluster');
  await opened.getByRole('button', { name: 'Rebalance…' }).click();
  await panel.getByLabel('Queues', { exact: true }).fill('^spread-');
  const plan = panel.getByRole('status', { name: 'The plan' });
  await plan.getByText(/leaders? would move:/).waitFor();
  const moves = (await plan.getByRole('listitem').allTextContents()).map((text) => /^(spread-[a-z]+).*→ (\S+)$/.exec(text).slice(1));
  await panel.getByRole('button', { name: 'Rebalance leaders' }).click();
  for (const [queue, node] of moves) await until(`${queue} is led by ${node}`, async () => (await ask('GET', `/queues/%2F/${queue}`)).leader === node);
  await panel.waitFor({ state: 'detached' });
  const members = async () => Promise.all(names.map(async (name) => (await ask('GET', `/queues/%2F/${name}`)).members));
  await visit(opened, `#/nodes/${nodes.name(3)}`);
  await opened.getByRole('button', { name: 'Remove members…' }).click();
  await panel.getByRole('textbox').fill(nodes.name(3));
  await panel.getByRole('button', { name: `Remove members from ${nodes.name(3)}` }).click();
  await until('node 3 has none', async () => (await members()).every((all) => !all.includes(nodes.name(3))));
  await opened.getByRole('button', { name: 'Add members here…' }).click();
  await panel.getByLabel('Queues', { exact: true }).fill('^spread-');
  await panel.getByRole('button', { name: 'Add members' }).click();
  await until('node 3 has all', async () => (await members()).every((all) => all.includes(nodes.name(3))));
  for (const name of names) await ask('DELETE', `/queues/%2F/${name}`);
  assert.deepEqual(faults, []);
  await close();
});

test('a node that is silent is named, what the others know is shown, and it comes back without a reload', async () => {
  const { page: opened, close } = await page(chrome, nodes.http(1));
  await signIn(opened, nodes.http(1));
  await visit(opened, '#/cluster');
  nodes.signal(3, 'SIGSTOP');
  try {
    await opened.getByText(/1 node not running: rabbit@n3/).waitFor();
    for (const hash of ['#/', '#/queues', '#/connections', '#/streams', `#/nodes/${nodes.name(3)}`]) {
      await visit(opened, hash);
      assert.deepEqual(await violations(opened), [], hash);
    }
    await visit(opened, '#/queues');
    await opened.getByRole('link', { name: 'mail' }).waitFor();
    await visit(opened, '#/');
    await opened.getByText(/1 of 3 nodes not running/).waitFor();
  } finally {
    nodes.signal(3, 'SIGCONT');
  }
  await nodes.ready();
  await opened.getByText(/All 3 nodes run, no alarms/).waitFor();
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

test('a node that is gone for good is forgotten, after its name is typed', async () => {
  const ask = api(nodes.http(1));
  const { page: opened, close } = await page(chrome, nodes.http(1));
  await signIn(opened, nodes.http(1));
  await nodes.kill(3);
  await visit(opened, `#/nodes/${nodes.name(3)}`);
  await opened.getByRole('button', { name: 'Forget node…' }).click();
  await opened.getByRole('dialog').getByRole('textbox').fill(nodes.name(3));
  await opened.getByRole('dialog').getByRole('button', { name: `Forget ${nodes.name(3)}` }).click();
  await until('two nodes are left', async () => (await ask('GET', '/nodes')).length === 2);
  await opened.getByRole('heading', { level: 1, name: 'Cluster' }).waitFor();
  await close();
});
