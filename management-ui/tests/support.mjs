// A broker of its own with traffic, a browser, and what every page has to hold.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import axe from 'axe-core';
import { chromium } from 'playwright-core';

const ROOT = resolve(import.meta.dirname, '../..');
const BINARY = process.env.WARREN_BINARY ?? join(ROOT, process.env.CARGO_TARGET_DIR ?? 'target', 'debug/warren');
/** What is set for the tests is nothing that a node should read. */
const { WARREN_BINARY: _, ...ENVIRONMENT } = process.env;
const NODES = [1, 2, 3];
/** How long anything may take to appear. */
export const PATIENCE = 15_000;

/** Starts a broker on free ports, or uses the one of WARREN_CONSOLE and WARREN_AMQP. */
export async function broker(lines = []) {
  if (process.env.WARREN_CONSOLE) return { http: process.env.WARREN_CONSOLE, amqp: process.env.WARREN_AMQP, stream: Number(process.env.WARREN_STREAM), stop: async () => undefined };
  const dir = await mkdtemp(join(tmpdir(), 'warren-console-'));
  const ports = join(dir, 'ports.json');
  const args = ['server', '--data-dir', join(dir, 'data'), '--amqp', '127.0.0.1:0', '--management', '127.0.0.1:0', '--prometheus', 'none', '--stream', '127.0.0.1:0', '--cluster', 'none', '--ports-file', ports, ...lines];
  const child = spawn(BINARY, args, { env: ENVIRONMENT, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (data) => { said += data; });
  const ended = new Promise((done) => { child.once('exit', done); });
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const found = await readFile(ports, 'utf8').then(JSON.parse).catch(() => undefined);
    if (found) {
      const port = (of) => [found[of]].flat()[0];
      return {
        http: `http://127.0.0.1:${port('management')}/`,
        amqp: `amqp://guest:guest@127.0.0.1:${port('amqp')}`,
        stream: port('stream'),
        stop: async () => {
          child.kill();
          await ended;
          await rm(dir, { recursive: true, force: true });
        },
      };
    }
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`the broker did not start: ${said}`);
    await sleep(50);
  }
}

/** Three nodes, counted from 1, each with a loopback address of its own; before them HAProxy, if it is asked for. */
export async function cluster({ withProxy = false } = {}) {
  const dir = await mkdtemp(join(tmpdir(), 'warren-console-'));
  const byte = () => 1 + Math.floor(Math.random() * 254);
  const network = `127.${byte()}.${byte()}`;
  await writeFile(join(dir, 'secret'), 'the secret of a test');
  const running = new Map();
  const start = (node) => {
    const host = `${network}.${node}`;
    const joins = NODES.flatMap((other) => ['--join', `${network}.${other}:25672`]);
    const listens = ['--amqp', `${host}:5672`, '--management', `${host}:15672`, '--prometheus', 'none', '--stream', `${host}:5552`, '--cluster', `${host}:25672`, '--advertise', `${host}:25672`];
    const args = ['server', '--node-name', `rabbit@n${node}`, '--data-dir', join(dir, `n${node}`), '--cluster-secret-file', join(dir, 'secret'), ...listens, ...joins];
    running.set(node, spawn(BINARY, args, { env: ENVIRONMENT, stdio: 'ignore' }));
  };
  const end = async (process, signal) => {
    if (process.exitCode !== null || process.signalCode !== null) return;
    const ended = new Promise((done) => { process.once('exit', done); });
    process.kill(signal);
    await ended;
  };
  const http = (node) => `http://${network}.${node}:15672/`;
  /** Waits until each node serves clients and sees so many run. */
  const ready = async (nodes = NODES) => {
    for (const node of nodes) {
      await until(`node ${node} ready`, async () => {
        await api(http(node))('GET', '/health/checks/ready-to-serve-clients');
        return (await api(http(node))('GET', '/nodes')).filter((each) => each.running).length === nodes.length;
      });
    }
  };
  const stop = async () => {
    await Promise.all([...running.values()].map((process) => end(process, 'SIGKILL')));
    await rm(dir, { recursive: true, force: true });
  };
  NODES.forEach(start);
  try {
    await ready();
    if (withProxy) {
      const servers = (port) => NODES.map((node) => `  server n${node} ${network}.${node}:${port}`);
      const listen = (name, port) => [`listen ${name}`, `  bind ${network}.100:${port}`, '  balance roundrobin', ...servers(port)];
      const defaults = ['defaults', '  mode tcp', '  timeout connect 2s', '  timeout client 1h', '  timeout server 1h', '  option redispatch',
        '  option httpchk GET /api/health/checks/ready-to-serve-clients', '  http-check expect status 200',
        '  default-server check port 15672 inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions'];
      await writeFile(join(dir, 'haproxy.cfg'), [...defaults, ...listen('console', 15672), ''].join('\n'));
      // -db: it stays a child of ours.
      running.set('proxy', spawn('haproxy', ['-db', '-f', join(dir, 'haproxy.cfg')], { stdio: 'ignore' }));
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return { http, proxy: http(100), amqp: (node) => `amqp://guest:guest@${network}.${node}:5672`, name: (node) => `rabbit@n${node}`, kill: (node) => end(running.get(node), 'SIGKILL'), signal: (node, signal) => running.get(node).kill(signal), start, ready, stop };
}

/** The HTTP API, as guest unless another is named. */
export function api(http, user = 'guest', password = 'guest') {
  const headers = { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`, 'content-type': 'application/json' };
  return async (method, path, body) => {
    const response = await fetch(new URL(`api${path}`, http), { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw Object.assign(new Error(`${method} ${path}: ${response.status} ${text}`), { status: response.status });
    return text ? JSON.parse(text) : undefined;
  };
}

/** A browser, which sees nothing but this machine. */
export function browser() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
}

/** A page that notes what went wrong in it. */
export async function page(of, http, options = {}) {
  const { width = 1280, height = 900, theme = 'light' } = options;
  const context = await of.newContext({ viewport: { width, height }, colorScheme: theme, reducedMotion: 'reduce' });
  const opened = await context.newPage();
  opened.setDefaultTimeout(PATIENCE);
  const faults = [];
  opened.on('console', (message) => message.type() === 'error' && faults.push(`console: ${message.text()} ${message.location().url}`));
  opened.on('pageerror', (error) => faults.push(`page: ${error.message}`));
  opened.on('request', (request) => {
    if (!request.url().startsWith(http) && !/^(data|blob):/.test(request.url())) faults.push(`off the node: ${request.url()}`);
  });
  opened.on('requestfailed', (request) => {
    // What is given up because the page goes on is no failure.
    if (request.failure()?.errorText !== 'net::ERR_ABORTED') faults.push(`failed: ${request.url()} ${request.failure()?.errorText}`);
  });
  return { page: opened, faults, close: () => context.close() };
}

/** Signs in by the form. */
export async function signIn(opened, http, user = 'guest', password = 'guest', hash = '') {
  await opened.goto(http + hash);
  await opened.getByLabel('User').fill(user);
  await opened.getByLabel('Password').fill(password);
  await opened.getByRole('button', { name: 'Sign in' }).click();
  await opened.getByRole('button', { name: `User ${user}` }).waitFor();
}

/** Goes to an address after `#` and waits until its heading and data are there. */
export async function visit(opened, hash) {
  await opened.evaluate((to) => { location.hash = to; }, hash);
  await opened.locator('main h1').first().waitFor();
  await settled(opened);
}

/** Waits until nothing is loading. */
export async function settled(opened) {
  await opened.waitForFunction(() => !document.querySelector('main [aria-busy="true"], main .stale'));
}

/** What axe finds, in words. */
export async function violations(opened) {
  if (!(await opened.evaluate(() => 'axe' in window))) await opened.evaluate(axe.source);
  const { violations: found } = await opened.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  return found.map((each) => `${each.id}: ${each.nodes.slice(0, 3).map((node) => `${node.target} ${node.html.slice(0, 160)} ${node.failureSummary?.split('\n')[1]?.trim()}`).join(' | ')}`);
}

/** By how many pixels the page is wider than its window. */
export function overhang(opened) {
  return opened.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}

/** A broker and a page of it, signed in as guest: what a file of tests works with. */
export async function desk(options = {}) {
  const node = await broker(options.lines);
  const chrome = await browser();
  const close = async () => {
    await chrome.close();
    await node.stop();
  };
  const tab = await page(chrome, node.http, options);
  try {
    await signIn(tab.page, node.http, 'guest', 'guest', options.hash ?? '#/feature-flags');
  } catch (error) {
    await close();
    throw error;
  }
  return { node, chrome, opened: tab.page, faults: tab.faults, ask: api(node.http), panel: tab.page.getByRole('dialog'), close };
}

/** Waits until something holds, and gives what was found. */
export async function until(what, holds, patience = PATIENCE) {
  const deadline = Date.now() + patience;
  for (;;) {
    const found = await Promise.resolve().then(holds).catch(() => undefined);
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`never: ${what}`);
    await sleep(50);
  }
}
