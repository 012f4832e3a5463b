// Streams as operators see and steer them: all of them at one look, who reads and writes, messages at any offset or time, and
// where groups go on.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { desk, overhang, page, settled, signIn, until, violations, visit } from './support.mjs';
import { streamClient } from './stream-client.mjs';

let at;
let clients;

const publish = async (payloads) => {
  for (const payload of payloads) {
    await at.ask('POST', '/exchanges/%2F/amq.default/publish', { properties: {}, routing_key: 'log', payload, payload_encoding: 'string' });
  }
};
const group = () => at.ask('GET', '/stream/groups/%2F/billing');
const rows = (name) => at.opened.getByRole('row').filter({ hasText: name });
/** Opens the form for where billing goes on. */
const setOffset = async (where) => {
  await rows('billing').getByRole('button', { name: 'Set offset…' }).click();
  await at.panel.getByLabel('Read next').selectOption(where);
};
const confirm = () => at.panel.getByRole('button', { name: 'Set offset', exact: true }).click();

before(async () => {
  at = await desk();
  const { ask } = at;
  await ask('PUT', '/queues/%2F/log', { durable: true, arguments: { 'x-queue-type': 'stream' } });
  await ask('PUT', '/queues/%2F/no-stream', { durable: true });
  await publish(['a', 'b', 'c', 'd', 'e']);
  await ask('POST', '/stream/groups/%2F/billing/reset', { stream: 'log', offset: 1 });
});

after(async () => {
  await clients?.close();
  await at?.close();
});

test('a stream is added, and the list of streams has it with what it keeps', async () => {
  const { opened, panel, ask } = at;
  await visit(opened, '#/streams');
  await opened.getByRole('button', { name: 'New stream' }).click();
  await panel.getByRole('textbox', { name: /^Name/ }).fill('made');
  await panel.getByLabel('Name 1').fill('x-max-age');
  await panel.getByLabel('Value 1').fill('7D');
  await panel.getByRole('button', { name: 'Add stream' }).click();
  await opened.getByRole('link', { name: 'made' }).waitFor();
  const made = await ask('GET', '/queues/%2F/made');
  assert.deepEqual([made.type, made.arguments['x-max-age']], ['stream', '7D']);
  assert.equal(await opened.getByRole('link', { name: 'no-stream' }).count(), 0);
  const log = rows('log');
  await log.getByText('ok').waitFor();
  // Five messages, the last at offset 4; one group, three behind.
  await until('its group is known', async () => (await log.getByRole('cell').allTextContents()).includes('3'));
  const cells = await log.getByRole('cell').allTextContents();
  for (const value of ['5', '0', '4', '1 of 1']) assert.ok(cells.includes(value), `${value}: ${cells}`);
  await opened.getByRole('searchbox', { name: 'Filter streams' }).fill('messages>1');
  await opened.getByRole('link', { name: 'made' }).waitFor({ state: 'detached' });
  await opened.getByRole('link', { name: 'log', exact: true }).waitFor();
});

test('messages of a stream are looked at from an offset, the newest, and a time', async () => {
  const { opened, ask } = at;
  const { messages } = await ask('GET', '/queues/%2F/log/messages?from=4');
  const last = messages[0].enqueued_at;
  await until('a second has passed', () => Date.now() > last + 1100);
  await publish(['later']);
  await visit(opened, '#/queues/%2F/log?tab=messages');
  const offsets = () => opened.getByRole('article').evaluateAll((all) => all.map((each) => Number(each.getAttribute('aria-label').replace('Message ', ''))));
  const look = () => opened.getByRole('button', { name: 'Look', exact: true }).click();
  await look();
  await opened.getByRole('article').first().waitFor();
  assert.deepEqual(await offsets(), [0, 1, 2, 3, 4, 5]);
  await opened.getByLabel('Begin').selectOption('position');
  await opened.getByLabel('Offset', { exact: true }).fill('3');
  await look();
  await until('the first is 3', async () => (await offsets())[0] === 3);
  await opened.getByLabel('Begin').selectOption('last');
  await look();
  await until('the newest twenty are all', async () => (await offsets()).length === 6);
  await opened.getByLabel('Begin').selectOption('time');
  // A whole second after the fifth and not after the sixth.
  const since = new Date(Math.floor(last / 1000) * 1000 + 1000);
  await opened.getByLabel('Time', { exact: true }).fill(await opened.evaluate((ms) => {
    const local = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000);
    return local.toISOString().slice(0, 19);
  }, since.getTime()));
  await look();
  await until('only what came since', async () => (await offsets()).join() === '5');
  await opened.getByRole('article').getByText('later').waitFor();
  assert.deepEqual(await violations(opened), []);
  // Nothing was stored or taken for it, and what a queue has is not offered.
  assert.deepEqual((await ask('GET', '/stream/%2F/log/tracking')).offsets, { billing: 1 });
  for (const name of ['Get messages', 'Move messages, or bring dead letters back']) assert.equal(await opened.getByRole('heading', { name }).count(), 0);
});

test('groups are shown with their lag, connected or not, and go on where they are told', async () => {
  const { opened } = at;
  await visit(opened, '#/queues/%2F/log');
  await opened.getByRole('tab', { name: 'Readers and publishers' }).click();
  await rows('billing').getByText('empty').waitFor();
  const cells = await rows('billing').getByRole('cell').allTextContents();
  assert.ok(cells.includes('1') && cells.includes('4'), `${cells}`);
  await opened.getByText('Nobody publishes by the stream protocol now.').waitFor();
  assert.deepEqual(await violations(opened), []);
  await setOffset('next');
  await confirm();
  await until('the offset is set', async () => (await group()).lag === 0);
  assert.equal((await group()).partitions[0].stored_offset, 5);
  await opened.getByText('The offset of billing in log is set').waitFor();
  await setOffset('time');
  await at.panel.getByLabel('Since').fill('2001-01-01T00:00:00');
  await confirm();
  await until('it is at the oldest', async () => (await group()).partitions[0].stored_offset === 0);
  await setOffset('offset');
  await at.panel.getByLabel('Offset', { exact: false }).last().fill('3');
  await confirm();
  await until('it is at 3', async () => (await group()).partitions[0].stored_offset === 3);
});

test('what cannot be an offset is said in the form, and what was typed stays', async () => {
  await setOffset('offset');
  const field = at.panel.getByLabel('Offset', { exact: false }).last();
  await field.fill('yesterday');
  await confirm();
  await at.panel.getByRole('alert').getByText('An offset is a whole number').waitFor();
  assert.equal(await field.inputValue(), 'yesterday');
  await at.panel.getByRole('button', { name: 'Cancel' }).click();
  assert.equal((await group()).partitions[0].stored_offset, 3);
});

test('who reads and writes by the stream protocol is seen, and cut off', async () => {
  const { opened, ask, node } = at;
  clients = await streamClient(node.stream, 'shop-log');
  await clients.declarePublisher(1, 'writer', 'log');
  clients.publish(1, ['x', 'y', 'z']);
  await clients.subscribe(1, 'log', { name: 'billing' });
  await until('all is published', async () => (await ask('GET', '/stream/publishers'))[0]?.confirmed === 3);
  await until('the group is active', async () => (await group()).state === 'active');
  for (const width of [1280, 400]) {
    const other = await page(at.chrome, node.http, { width });
    await signIn(other.page, node.http);
    for (const [tab, seen] of [['', 'log'], ['groups', 'billing'], ['subscriptions', 'billing'], ['publishers', 'writer'], ['connections', 'shop-log']]) {
      await visit(other.page, `#/streams${tab && `?tab=${tab}`}`);
      await other.page.getByRole('row').filter({ hasText: seen }).first().waitFor();
      await settled(other.page);
      assert.deepEqual(await violations(other.page), [], `${tab} ${width}`);
      assert.ok((await overhang(other.page)) <= 0, `${tab} ${width} scrolls sideways`);
    }
    assert.deepEqual(other.faults, []);
    await other.close();
  }
  // A member reads: the form says so.
  await visit(opened, '#/streams?tab=groups');
  await rows('billing').getByText('active').waitFor();
  await setOffset('first');
  await at.panel.getByText(/1 member of the group read now/).waitFor();
  await confirm();
  await at.panel.getByRole('alert').waitFor();
  await at.panel.getByLabel('Even while a member reads').check();
  await confirm();
  await until('it is set all the same', async () => (await group()).partitions[0].stored_offset === 0);
  // RabbitMQ's address of the connections.
  await visit(opened, '#/stream/connections');
  await opened.getByRole('link', { name: /shop-log/ }).click();
  await opened.getByRole('heading', { level: 1, name: 'shop-log' }).waitFor();
  await rows('writer').waitFor();
  await rows('billing').waitFor();
  assert.deepEqual(await violations(opened), []);
  await opened.getByRole('button', { name: 'Close…' }).click();
  await at.panel.getByRole('button', { name: 'Close shop-log' }).click();
  await opened.getByText('Nobody is connected by the stream protocol.').waitFor();
  await until('it is cut off', async () => (await ask('GET', '/stream/connections')).length === 0);
});

test('a super stream is made, given a partition and deleted', async () => {
  const { opened, panel, ask } = at;
  await visit(opened, '#/streams?tab=super');
  await opened.getByRole('button', { name: 'New super stream' }).click();
  await panel.getByRole('textbox', { name: /^Name/ }).fill('invoices');
  await panel.getByLabel(/^How many/).fill('2');
  await panel.getByLabel('Name 1').fill('x-max-age');
  await panel.getByLabel('Value 1').fill('1D');
  await panel.getByRole('button', { name: 'Add super stream' }).click();
  await opened.getByRole('link', { name: 'invoices-1' }).waitFor();
  assert.deepEqual(await violations(opened), []);
  assert.equal((await ask('GET', '/queues/%2F/invoices-0')).arguments['x-max-age'], '1D');
  await rows('invoices').getByRole('button', { name: 'Add partition…' }).click();
  await panel.getByRole('button', { name: 'Add partition' }).click();
  await until('there are three', async () => (await ask('GET', '/stream/super-streams'))[0].partitions.length === 3);
  await opened.getByRole('link', { name: 'invoices-2' }).waitFor();
  await rows('invoices').getByRole('button', { name: 'Delete…' }).click();
  await panel.getByRole('textbox').fill('invoices');
  await panel.getByRole('button', { name: 'Delete invoices' }).click();
  await until('its streams are gone', async () => !(await ask('GET', '/queues/%2F')).some(({ name }) => name.startsWith('invoices')));
});

test('what a group has stored is forgotten', async () => {
  const { opened } = at;
  await until('nobody reads', async () => (await group()).state === 'empty');
  await visit(opened, '#/streams?tab=groups');
  await rows('billing').getByText('empty').waitFor();
  await rows('billing').getByRole('button', { name: 'Forget…' }).click();
  await at.panel.getByRole('button', { name: 'Forget billing' }).click();
  await opened.getByText(/Nobody reads a stream under a name/).waitFor();
  await assert.rejects(group(), { status: 404 });
  // Only what was refused above.
  assert.deepEqual(at.faults.filter((fault) => !/400 \(Bad Request\).*reset$/.test(fault)), []);
});
