// What an operator comes for, by what is to be seen on the page and nothing else: is the cluster well, which queue is stuck and
// why, where would this message go, the dead letters of a time brought back, who is connected with an old client.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import amqp from 'amqplib';
import { desk, until, violations, visit } from './support.mjs';
import { start } from './traffic.mjs';

const PICTURES = process.env.PICTURES;
let at;
let stopTraffic;
let old;

before(async () => {
  at = await desk();
  stopTraffic = await start(at.node.amqp, at.node.stream);
  old = await amqp.connect(at.node.amqp, { clientProperties: { connection_name: 'till-of-2019', product: 'RabbitMQ Java', version: '5.1.0' } });
  old.on('error', () => undefined);
  if (PICTURES) await mkdir(PICTURES, { recursive: true });
});

after(async () => {
  await old?.close().catch(() => undefined);
  await stopTraffic?.();
  await at?.close();
});

let step = 0;
/** A picture of this step, if they are kept. */
const picture = async (name) => {
  step += 1;
  if (PICTURES) await at.opened.screenshot({ path: join(PICTURES, `task-${String(step).padStart(2, '0')}-${name}.png`) });
};

test('is the cluster well? the first page says it in a line', async () => {
  const { opened } = at;
  await visit(opened, '#/');
  await opened.getByText('The node runs, no alarms').waitFor();
  await picture('well');
  assert.deepEqual(await violations(opened), []);
});

test('which queue is stuck, and why?', async () => {
  const { opened } = at;
  // A queue is stuck after a minute of nothing settled.
  await until('payments is stuck', async () => (await at.ask('GET', '/queues/%2F/payments/health')).health === 'stuck', 75_000);
  await opened.getByRole('button', { name: 'Refresh now' }).click();
  const attention = opened.getByRole('listitem').filter({ hasText: 'stuck' });
  await attention.waitFor();
  await picture('attention');
  await attention.getByRole('link', { name: 'payments' }).click();
  await opened.getByText(/1 of 1 consumers hold their prefetch, nothing settled for/).waitFor();
  await opened.getByText(/'payments-1' holds 5 of 5/).waitFor();
  await picture('why');
  // To whom that is.
  await opened.getByRole('link', { name: 'Its channel' }).click();
  await opened.getByRole('link', { name: 'payments', exact: true }).first().waitFor();
  await picture('channel');
});

test('where would this message go?', async () => {
  const { opened, panel } = at;
  await opened.getByRole('navigation', { name: 'Places' }).getByRole('link', { name: 'Exchanges' }).click();
  await opened.getByRole('button', { name: 'Test a route…' }).click();
  await panel.getByLabel('Exchange').selectOption({ label: 'orders' });
  await panel.getByLabel('Routing key').fill('order.paid.eu');
  await panel.getByRole('button', { name: 'Test the route' }).click();
  await panel.getByText('It would go to 4 queues').waitFor();
  assert.equal(await panel.getByText(/would not take it/).count(), 0);
  for (const queue of ['mail', 'payments', 'nobody-reads', 'journal']) await panel.getByRole('link', { name: queue, exact: true }).first().waitFor();
  await picture('route');
  assert.deepEqual(await violations(opened), []);
  await panel.getByRole('button', { name: 'Close' }).click();
});

test('the dead letters of a time are brought back', async () => {
  const { opened, panel, ask } = at;
  const bodies = async (queue) => (await ask('GET', `/queues/%2F/${queue}/messages?count=200`)).messages.map(({ body }) => body);
  for (const name of ['returns', 'returns-dead']) await ask('PUT', `/queues/%2F/${name}`, { durable: true, arguments: name === 'returns' ? { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'returns-dead' } : {} });
  const publish = (payload) => ask('POST', '/exchanges/%2F/amq.default/publish', { properties: {}, routing_key: 'returns', payload, payload_encoding: 'string' });
  const reject = () => ask('POST', '/queues/%2F/returns/get', { ackmode: 'reject_requeue_false', count: 10, encoding: 'auto' });
  await publish('too old');
  await reject();
  await until('it is dead', async () => (await bodies('returns-dead')).length === 1);
  const [{ properties }] = (await ask('GET', '/queues/%2F/returns-dead/messages')).messages;
  const died = properties.headers['x-death'][0].time * 1000;
  await until('two seconds have passed', async () => Date.now() > died + 2000);
  await publish('of then');
  await reject();
  await until('both are dead', async () => (await bodies('returns-dead')).length === 2);
  await visit(opened, '#/queues/%2F/returns-dead');
  await opened.getByRole('tab', { name: 'Messages' }).click();
  await opened.getByLabel('Which', { exact: true }).last().selectOption('died');
  await picture('dead-letters');
  const field = (ms) => opened.evaluate((value) => new Date(value - new Date(value).getTimezoneOffset() * 60_000).toISOString().slice(0, 19), ms);
  await opened.getByLabel('From', { exact: true }).fill(await field(died + 1000));
  await opened.getByLabel('Until', { exact: true }).fill(await field(died + 86_400_000));
  await opened.getByRole('button', { name: 'Count first' }).click();
  await panel.getByRole('row').filter({ hasText: 'returns' }).getByRole('cell', { name: '1', exact: true }).waitFor();
  await picture('counted');
  await panel.getByRole('textbox').fill('returns-dead');
  await panel.getByRole('button', { name: 'Move 1 message out of returns-dead' }).click();
  await until('it is back', async () => (await bodies('returns')).join() === 'of then');
  assert.deepEqual(await bodies('returns-dead'), ['too old']);
  await opened.getByText('1 of 1').waitFor();
  await picture('back');
});

test('who is connected with an old client?', async () => {
  const { opened } = at;
  await opened.getByRole('navigation', { name: 'Places' }).getByRole('link', { name: 'Connections' }).click();
  await opened.getByRole('columnheader', { name: 'Version' }).getByRole('button').click();
  await until('they are in order', async () => (await opened.url()).includes('client_properties.version'));
  await picture('versions');
  await opened.getByRole('button', { name: /^RabbitMQ Java/ }).click();
  await opened.getByRole('link', { name: 'shop' }).waitFor({ state: 'detached' });
  const row = opened.getByRole('row').filter({ hasText: 'till-of-2019' });
  await row.getByText('5.1.0').waitFor();
  await picture('old-client');
  assert.deepEqual(await violations(opened), []);
  assert.deepEqual(at.faults, []);
});
