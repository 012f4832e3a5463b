// The pictures of the README: `make screenshots`.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { broker, browser, page, signIn, visit } from './support.mjs';
import { start } from './traffic.mjs';

const DIR = join(import.meta.dirname, '../../docs/pictures');
/** How long the traffic runs first, so that charts have something to show. */
const WARM_UP = Number(process.env.WARM_UP ?? 90_000);

let node;
let stopTraffic;
let chrome;

before(async () => {
  node = await broker();
  // A broker that was named has its own.
  if (!process.env.WARREN_CONSOLE) stopTraffic = await start(node.amqp);
  chrome = await browser();
  await mkdir(DIR, { recursive: true });
});

after(async () => {
  await chrome?.close();
  await stopTraffic?.();
  await node?.stop();
});

test('pictures', async () => {
  const { page: opened, close } = await page(chrome, node.http, { width: 1200, height: 760 });
  await signIn(opened, node.http);
  await opened.locator('.head').getByRole('combobox', { name: 'Charts show' }).selectOption('600').catch(() => undefined);
  await opened.waitForTimeout(WARM_UP);
  for (const [name, hash] of [['overview', '#/'], ['stuck-queue', '#/queues/%2F/payments'], ['topology', '#/topology?around=exchange%3Aorders']]) {
    await visit(opened, hash);
    await opened.mouse.move(2, 2);
    await opened.waitForTimeout(500);
    await opened.screenshot({ path: join(DIR, `${name}.png`) });
  }
  await close();
});
