// How the console is built: relative addresses, so that it works below any prefix, and names with
// hashes. `npm run dev` serves it while it is written; WARREN_HTTP says where a broker listens.
import { defineConfig } from 'vite';

const broker = process.env.WARREN_HTTP ?? 'http://127.0.0.1:15672';

export default defineConfig({
  base: './',
  build: {
    outDir: 'dist/console',
    emptyOutDir: true,
    target: ['chrome123', 'firefox128', 'safari17.5'],
    // A picture inside a style would need more than the page's policy lets.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { '/api': broker } },
});
