// The picture of what leads where, the same as a list, and what is told about a box.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { desk, overhang, page, signIn, violations, visit } from './support.mjs';
import { HOSTILE, start } from './traffic.mjs';

const PICTURES = process.env.PICTURES;
let at;
let stopTraffic;

before(async () => {
  at = await desk();
  stopTraffic = await start(at.node.amqp);
});

after(async () => {
  await stopTraffic?.();
  await at?.close();
});

const box = (name) => at.opened.locator('svg a.box').filter({ has: at.opened.getByText(name, { exact: true }) });

test('boxes and ways are what the broker has, and a box tells of itself', async () => {
  const { opened, ask } = at;
  await visit(opened, '#/topology');
  const { nodes, edges } = await ask('GET', '/topology/%2F');
  assert.equal(await opened.locator('svg a.box').count(), nodes.length);
  assert.equal(await opened.locator('svg g.edge').count(), edges.length);
  for (const { kind, count } of [{ kind: 'dead_letter', count: 2 }, { kind: 'alternate', count: 1 }]) {
    assert.equal(edges.filter((edge) => edge.kind === kind).length, count, kind);
    assert.equal(await opened.locator(`svg g.edge.${kind}`).count(), count, kind);
  }
  await box('payments').focus();
  await opened.keyboard.press('Enter');
  await opened.getByRole('region', { name: 'About payments' }).getByText('order.paid.*').waitFor();
  await opened.getByRole('link', { name: 'Open the queue' }).click();
  await opened.getByRole('heading', { name: 'payments', level: 1 }).waitFor();
  assert.match(opened.url(), /#\/queues\/%2F\/payments(\?|$)/);
});

test('what is near one thing is shown, by hops, and what is not is counted', async () => {
  const { opened } = at;
  await visit(opened, '#/topology');
  await opened.getByLabel('Around').fill('dlx*');
  await opened.getByRole('button', { name: 'Show', exact: true }).click();
  await box('billing').waitFor({ state: 'detached' });
  await opened.getByLabel('Hops').selectOption('1');
  await box('orders').waitFor({ state: 'detached' });
  assert.deepEqual((await opened.locator('svg a.box .of-name').allTextContents()).sort(), ['dead', 'dlx', 'fraud', 'payments']);
  await box('fraud').click();
  await opened.getByRole('button', { name: 'Show what is around it' }).click();
  await box('orders').waitFor();
  assert.match(opened.url(), /around=queue%3Afraud/);
  await opened.getByLabel('Around').fill('nothing-begins-so');
  await opened.getByRole('button', { name: 'Show', exact: true }).click();
  await opened.getByText('Nothing in / is called nothing-begins-so. A name that ends in * is the begin of names.').waitFor();
});

test('a route is tested from a box', async () => {
  const { opened, panel } = at;
  await visit(opened, '#/topology');
  await box('dlx').click();
  await opened.getByRole('button', { name: 'Test a route…' }).click();
  await panel.getByLabel('Routing key').fill('dead');
  await panel.getByRole('button', { name: 'Test the route' }).click();
  await panel.getByText('It would go to 1 queue').waitFor();
  await opened.keyboard.press('Escape');
});

test('the list has every way', async () => {
  const { opened, ask } = at;
  await visit(opened, '#/topology?tab=list');
  const { edges } = await ask('GET', '/topology/%2F');
  assert.equal(await opened.locator('tbody tr').count(), edges.length);
});

test('a target that is not there is shown as missing', async () => {
  const { opened, ask } = at;
  await ask('PUT', '/queues/%2F/lonely', { durable: true, arguments: { 'x-dead-letter-exchange': 'never-declared' } });
  await visit(opened, '#/topology?around=queue:lonely');
  await box('never-declared').getByText('■ not there').waitFor();
});

for (const theme of ['light', 'dark']) {
  for (const width of [1280, 400]) {
    test(`the page is in order, ${theme}, ${width} pixels wide`, async () => {
      const { node, chrome } = at;
      if (PICTURES) await mkdir(PICTURES, { recursive: true });
      const { page: opened, faults, close } = await page(chrome, node.http, { width, theme });
      await signIn(opened, node.http, 'guest', 'guest', '#/feature-flags');
      for (const hash of ['#/topology', '#/topology?at=queue:payments', '#/topology?tab=list', `#/topology?around=${encodeURIComponent(`queue:${HOSTILE}`)}`]) {
        await visit(opened, hash);
        assert.deepEqual(await violations(opened), [], hash);
        assert.ok((await overhang(opened)) <= 0, hash);
        if (PICTURES) await opened.screenshot({ path: join(PICTURES, `${hash.replace(/[^a-z0-9]+/gi, '_').slice(0, 60)}-${width}-${theme}.png`), fullPage: true });
      }
      assert.equal(await opened.evaluate(() => window.hacked), undefined);
      assert.deepEqual(faults, []);
      await close();
    });
  }
}
