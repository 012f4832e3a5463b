// Every page, light and dark, wide and narrow: nothing in the console's log, nothing off the node, axe
// finds nothing, nothing scrolls sideways, and no name that a client chose runs as code.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { broker, browser, overhang, page, signIn, violations, visit } from './support.mjs';
import { HOSTILE, LONG, start } from './traffic.mjs';

const part = encodeURIComponent;
const VISITS = [
  '#/', '#/connections', '#/channels', '#/exchanges', '#/queues', '#/queues?filter=pay', '#/queues?filter=nothing-has-this-name',
  '#/queues/%2F/payments', '#/queues/%2F/payments?tab=messages', '#/queues/%2F/payments?tab=consumers', '#/queues/%2F/payments?tab=bindings',
  '#/queues/%2F/payments?tab=settings', '#/queues/%2F/billing?tab=members', `#/queues/%2F/${part(LONG)}`, '#/queues/%2F/lines?tab=bindings', '#/queues/%2F/lines?tab=messages', `#/queues/%2F/${part(HOSTILE)}?tab=bindings`,
  `#/queues/%2F/${part(HOSTILE)}?tab=consumers`, '#/streams', '#/streams?tab=groups', '#/streams?tab=subscriptions', '#/streams?tab=publishers', '#/streams?tab=super', '#/streams?tab=connections', '#/stream/connections',
  '#/queues/%2F/journal', '#/queues/%2F/journal?tab=messages', '#/queues/%2F/journal?tab=consumers', '#/queues/%2F/journal?tab=readers', '#/queues/%2F/journal?tab=members',
  '#/exchanges/%2F/orders', '#/exchanges/%2F/orders?tab=route', '#/exchanges/%2F/orders?tab=publish',
  '#/exchanges/%2F/orders?tab=overview', '#/exchanges/%2F/amq.default', `#/exchanges/%2F/${part(HOSTILE)}?tab=settings`,
];
/** Where pictures are put, if anywhere. */
const PICTURES = process.env.PICTURES;

let node;
let stopTraffic;
let chrome;

before(async () => {
  node = await broker();
  stopTraffic = await start(node.amqp, node.stream);
  chrome = await browser();
  if (PICTURES) await mkdir(PICTURES, { recursive: true });
});

after(async () => {
  await chrome?.close();
  await stopTraffic?.();
  await node?.stop();
});

for (const theme of ['light', 'dark']) {
  for (const width of [1280, 400]) {
    test(`every page is in order, ${theme}, ${width} pixels wide`, async () => {
      const { page: opened, faults, close } = await page(chrome, node.http, { width, theme });
      await opened.goto(node.http);
      await opened.getByRole('button', { name: 'Sign in' }).waitFor();
      assert.deepEqual(await violations(opened), [], 'signing in');
      await signIn(opened, node.http);
      const details = await detailsOf(node.http);
      for (const hash of [...VISITS, ...details]) {
        await visit(opened, hash);
        if (hash.endsWith('tab=messages')) {
          await opened.getByRole('button', { name: 'Look', exact: true }).click();
          await opened.getByRole('article').first().waitFor();
        }
        await opened.mouse.move(2, 2);
        assert.deepEqual(await violations(opened), [], hash);
        assert.ok((await overhang(opened)) <= 0, `${hash} scrolls sideways by ${await overhang(opened)}`);
        assert.match(await opened.title(), / · /, hash);
        if (PICTURES) await opened.screenshot({ path: join(PICTURES, `${hash.replace(/[^a-z0-9]+/gi, '_').slice(0, 60)}-${width}-${theme}.png`), fullPage: true });
      }
      assert.equal(await opened.evaluate(() => window.hacked), undefined);
      assert.deepEqual(faults, []);
      await close();
    });
  }
}

/** Pages of what has other names on each run. */
async function detailsOf(http) {
  const { api } = await import('./support.mjs');
  const ask = api(http);
  const connections = await ask('GET', '/connections');
  const hostile = connections.find((each) => each.user_provided_name === HOSTILE);
  const worker = connections.find((each) => each.user_provided_name === 'billing-worker');
  const [channel] = await ask('GET', `/connections/${part(worker.name)}/channels`);
  const [stream] = await ask('GET', '/stream/connections');
  return [`#/connections/${part(hostile.name)}`, `#/connections/${part(worker.name)}`, `#/channels/${part(channel.name)}`, `#/stream/connections/%2F/${part(stream.name)}`];
}

test('charts show what moves, for eyes and for ears', async () => {
  const { page: opened, faults, close } = await page(chrome, node.http);
  await signIn(opened, node.http);
  for (const hash of ['#/', '#/queues/%2F/billing']) {
    await visit(opened, hash);
    const chart = opened.getByRole('figure').filter({ hasText: 'Messages per second' });
    await chart.getByRole('img', { name: /Published now [1-9]/ }).waitFor();
    await chart.locator('canvas').first().waitFor();
    await chart.getByRole('button', { name: 'Show as table' }).click();
    await chart.getByRole('columnheader', { name: 'Published' }).waitFor();
    await chart.getByRole('button', { name: /^Published/ }).click();
    assert.equal(await chart.getByRole('columnheader', { name: 'Published' }).count(), 0);
  }
  assert.deepEqual(faults, []);
  await close();
});

test('the range of charts stands in the address, and a link shows what its sender saw', async () => {
  const { page: opened, faults, close } = await page(chrome, node.http);
  await signIn(opened, node.http);
  await visit(opened, '#/queues/%2F/billing');
  await opened.waitForURL(/range=600/);
  const range = opened.getByRole('combobox', { name: 'Charts show' });
  const asked = opened.waitForRequest(/series.*age=28800/);
  await range.selectOption('28800');
  await asked;
  await opened.waitForURL(/range=28800/);
  // Kept on other pages, until a link says another.
  await visit(opened, '#/');
  await opened.waitForURL(/range=28800/);
  const linked = opened.waitForRequest(/series.*age=60&/);
  await visit(opened, '#/queues/%2F/billing?range=60');
  await linked;
  assert.equal(await range.inputValue(), '60');
  await visit(opened, '#/exchanges/%2F/orders?tab=overview');
  await opened.waitForURL(/range=28800/);
  assert.deepEqual(faults, []);
  await close();
});

test('columns are made wider and narrower, by pointer and keyboard, and stay so', async () => {
  const { page: opened, faults, close } = await page(chrome, node.http);
  await signIn(opened, node.http);
  await visit(opened, '#/queues');
  const head = (title) => opened.getByRole('columnheader', { name: title });
  const width = async (title) => Math.round((await head(title).boundingBox()).width);
  const before = await width('Health');
  const grip = await head('Health').locator('.grip').boundingBox();
  await opened.mouse.move(grip.x + 4, grip.y + 10);
  await opened.mouse.down();
  await opened.mouse.move(grip.x + 104, grip.y + 10, { steps: 4 });
  await opened.mouse.up();
  const drawn = await width('Health');
  assert.ok(drawn >= before + 60, `${before} → ${drawn}`);
  await opened.getByRole('button', { name: 'Columns of queues' }).focus();
  await opened.keyboard.press('Enter');
  const narrower = opened.getByRole('button', { name: 'Narrower: Health' });
  await narrower.focus();
  for (let at = 0; at < 3; at += 1) await opened.keyboard.press('Enter');
  const less = await width('Health');
  assert.ok(less <= drawn - 40, `${drawn} → ${less}`);
  assert.deepEqual(await violations(opened), []);
  await opened.reload();
  await head('Health').waitFor();
  assert.ok(Math.abs((await width('Health')) - less) <= 2);
  await opened.getByRole('button', { name: 'Columns of queues' }).click();
  await opened.getByRole('button', { name: 'Widths as they were' }).click();
  assert.ok(Math.abs((await width('Health')) - before) <= 2);
  assert.deepEqual(faults, []);
  await close();
});

test('counts above a list filter it, and so do tokens', async () => {
  const { page: opened, faults, close } = await page(chrome, node.http);
  await signIn(opened, node.http);
  await visit(opened, '#/queues');
  await opened.getByRole('button', { name: /^No consumers \d/ }).click();
  await opened.getByRole('link', { name: 'billing' }).waitFor({ state: 'detached' });
  await opened.getByRole('link', { name: 'nobody-reads' }).waitFor();
  assert.match(opened.url(), /filter=health/);
  await opened.getByRole('button', { name: 'Remove health:no_consumers' }).click();
  await opened.getByRole('link', { name: 'billing' }).waitFor();
  await opened.getByRole('searchbox', { name: 'Filter queues' }).fill('type:quorum ready>=0');
  await opened.getByRole('link', { name: 'nobody-reads' }).waitFor({ state: 'detached' });
  assert.equal(await opened.getByRole('link', { name: 'billing' }).count(), 1);
  assert.deepEqual(faults, []);
  await close();
});

test('the page runs no other script and is in no frame', async () => {
  const response = await fetch(node.http);
  const policy = response.headers.get('content-security-policy');
  for (const wanted of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"]) assert.ok(policy.includes(wanted), policy);
  assert.equal(response.headers.get('cache-control'), 'no-store');
  const script = /src="\.\/(assets\/[^"]+\.js)"/.exec(await response.text())[1];
  const served = await fetch(new URL(script, node.http), { headers: { 'accept-encoding': 'gzip' } });
  assert.equal(served.headers.get('content-encoding'), 'gzip');
  assert.match(served.headers.get('cache-control'), /max-age=31536000/);
});
