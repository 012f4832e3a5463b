// Pictures of pages, to look at: node tests/look.mjs DIR [HASH…]. WARREN_CONSOLE says of which broker.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { browser, overhang, page, signIn, violations, visit } from './support.mjs';

const [dir, ...hashes] = process.argv.slice(2);
const http = process.env.WARREN_CONSOLE;
await mkdir(dir, { recursive: true });
const chrome = await browser();
for (const theme of (process.env.THEMES ?? 'light dark').split(' ')) {
  for (const width of (process.env.WIDTHS ?? '1280 400').split(' ').map(Number)) {
    const { page: opened, faults, close } = await page(chrome, http, { width, height: width > 500 ? 900 : 860, theme });
    await signIn(opened, http);
    for (const hash of hashes) {
      await visit(opened, hash);
      await opened.waitForTimeout(600);
      const name = `${hash.replace(/[^a-z0-9]+/gi, '_') || 'overview'}-${width}-${theme}.png`;
      await opened.screenshot({ path: join(dir, name), fullPage: true });
      const found = await violations(opened);
      console.log(name, 'overhang', await overhang(opened), found.length ? found : '');
    }
    if (faults.length) console.log(theme, width, faults);
    await close();
  }
}
await chrome.close();
