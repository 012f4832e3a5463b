// Every form sent, and its effect read back over the API.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import amqp from 'amqplib';
import { api, broker, browser, page, PATIENCE, signIn, violations, visit } from './support.mjs';

let node;
let chrome;
let ask;
let tab;
let opened;

before(async () => {
  node = await broker();
  ask = api(node.http);
  chrome = await browser();
  tab = await page(chrome, node.http);
  opened = tab.page;
  await signIn(opened, node.http);
});

after(async () => {
  await chrome?.close();
  await node?.stop();
});

/** Waits until something holds. */
async function until(what, holds) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const found = await holds().catch(() => undefined);
    if (found) return found;
    if (Date.now() > deadline) assert.fail(`never: ${what}`);
    await new Promise((done) => { setTimeout(done, 50); });
  }
}

const dialog = () => opened.getByRole('dialog');

test('a wrong password is said to be wrong', async () => {
  const { page: other, close } = await page(chrome, node.http);
  await other.goto(node.http);
  await other.getByLabel('User').fill('guest');
  await other.getByLabel('Password').fill('not it');
  await other.getByRole('button', { name: 'Sign in' }).click();
  await other.getByRole('alert').getByText('No such user, or another password.').waitFor();
  assert.equal(await other.getByLabel('User').inputValue(), 'guest');
  await close();
});

test('a queue is added, with arguments', async () => {
  await visit(opened, '#/queues');
  await opened.getByRole('button', { name: 'New queue' }).first().click();
  await dialog().getByLabel('Type', { exact: true }).selectOption('classic');
  await dialog().getByRole('textbox', { name: /^Name \(/ }).fill('added');
  await dialog().getByLabel('Name 1').fill('x-max-length');
  await dialog().getByLabel('Value 1').fill('12');
  await dialog().getByLabel('Type 1').selectOption('number');
  await dialog().getByRole('button', { name: 'Add queue' }).click();
  await opened.getByRole('link', { name: 'added' }).waitFor();
  const queue = await ask('GET', '/queues/%2F/added');
  assert.deepEqual(queue.arguments, { 'x-max-length': 12, 'x-queue-type': 'classic' });
  assert.equal(queue.durable, true);
});

test('what the server refuses stays in the form, with its reason', async () => {
  await visit(opened, '#/queues');
  await opened.getByRole('button', { name: 'New queue' }).first().click();
  await dialog().getByLabel('Type', { exact: true }).selectOption('classic');
  await dialog().getByRole('textbox', { name: /^Name \(/ }).fill('added');
  await dialog().getByRole('button', { name: 'Add queue' }).click();
  await dialog().getByRole('alert').getByText(/inequivalent arg 'x-max-length'/).waitFor();
  assert.equal(await dialog().getByRole('textbox', { name: /^Name \(/ }).inputValue(), 'added');
  await opened.keyboard.press('Escape');
  assert.equal(await dialog().count(), 0);
});

test('an exchange is added, bound and published to', async () => {
  await visit(opened, '#/exchanges');
  await opened.getByRole('button', { name: 'New exchange' }).click();
  await dialog().getByRole('textbox', { name: /^Name \(/ }).fill('made');
  await dialog().getByLabel('Type', { exact: true }).selectOption('topic');
  await dialog().getByRole('button', { name: 'Add exchange' }).click();
  await opened.getByRole('link', { name: 'made' }).click();

  await opened.getByRole('button', { name: 'New binding' }).click();
  await dialog().getByRole('textbox', { name: /^Name \(/ }).fill('added');
  await dialog().getByLabel('Binding key').fill('a.*');
  await dialog().getByRole('button', { name: 'Bind', exact: true }).click();
  await opened.getByRole('link', { name: 'added' }).waitFor();
  const bindings = await ask('GET', '/exchanges/%2F/made/bindings/source');
  assert.deepEqual(bindings.map((each) => [each.destination, each.routing_key]), [['added', 'a.*']]);

  await opened.getByRole('tab', { name: 'Publish' }).click();
  await opened.getByLabel('Routing key').fill('a.b');
  await opened.getByLabel('Body', { exact: true }).fill('{"n":9007199254740993}');
  await opened.getByRole('group', { name: 'Headers' }).getByLabel('Name 1').fill('region');
  await opened.getByRole('group', { name: 'Headers' }).getByLabel('Value 1').fill('eu');
  await opened.getByRole('button', { name: 'Publish' }).click();
  await opened.getByText('Published, and routed').waitFor();
  const [message] = await ask('POST', '/queues/%2F/added/get', { count: 1, ackmode: 'ack_requeue_true', encoding: 'auto' });
  assert.equal(message.payload, '{"n":9007199254740993}');
  assert.deepEqual([message.routing_key, message.properties.headers, message.properties.delivery_mode], ['a.b', { region: 'eu' }, 2]);

  await opened.getByLabel('Routing key').fill('elsewhere');
  await opened.getByRole('button', { name: 'Publish' }).click();
  await opened.getByRole('alert').getByText(/no queue took it/).waitFor();
});

test('messages are looked at, and nothing changes', async () => {
  await ask('PUT', '/queues/%2F/looked', {});
  for (const body of ['first', 'second', 'third']) {
    await ask('POST', '/exchanges/%2F/amq.default/publish', { routing_key: 'looked', payload: body, payload_encoding: 'string', properties: { headers: { kind: body } } });
  }
  await visit(opened, '#/queues/%2F/looked?tab=messages');
  await opened.getByRole('button', { name: 'Look', exact: true }).click();
  await opened.getByText('third', { exact: true }).first().waitFor();
  assert.equal(await opened.getByRole('article').count(), 3);
  await opened.getByLabel('Containing', { exact: true }).fill('second');
  await opened.getByRole('button', { name: 'Look', exact: true }).click();
  await opened.getByText('first', { exact: true }).first().waitFor({ state: 'detached' });
  assert.equal(await opened.getByRole('article').count(), 1);
  const got = await ask('POST', '/queues/%2F/looked/get', { count: 3, ackmode: 'ack_requeue_false', encoding: 'auto' });
  assert.deepEqual(got.map((each) => [each.payload, each.redelivered]), [['first', false], ['second', false], ['third', false]]);
});

test('messages are got, and numbers keep every digit', async () => {
  await visit(opened, '#/queues/%2F/added?tab=messages');
  await opened.getByRole('button', { name: 'Get', exact: true }).click();
  await opened.getByText('"n": 9007199254740993').waitFor();
  await opened.getByText('redelivered', { exact: true }).waitFor();
  assert.equal((await ask('GET', '/queues/%2F/added')).messages, 1);
});

test('a binding is taken away', async () => {
  await visit(opened, '#/queues/%2F/added?tab=bindings');
  await opened.getByRole('button', { name: 'Unbind…' }).click();
  await dialog().getByRole('button', { name: 'Unbind added' }).click();
  await until('the binding is gone', async () => (await ask('GET', '/exchanges/%2F/made/bindings/source')).length === 0);
});

test('a queue is purged by the keyboard alone, after its name is typed', async () => {
  await visit(opened, '#/queues');
  await opened.keyboard.press('/');
  await opened.keyboard.type('adde');
  await opened.getByRole('link', { name: 'added' }).waitFor();
  await opened.getByRole('link', { name: 'added' }).focus();
  await opened.keyboard.press('Enter');
  await opened.getByRole('button', { name: 'Purge…' }).focus();
  await opened.keyboard.press('Enter');
  await dialog().getByText('1 ready message will be gone from added.').waitFor();
  assert.equal(await opened.evaluate(() => document.activeElement.textContent), 'Keep');
  const purge = dialog().getByRole('button', { name: 'Purge 1 message from added' });
  assert.ok(await purge.isDisabled());
  await dialog().getByRole('textbox').focus();
  await opened.keyboard.type('added');
  await opened.keyboard.press('Enter');
  await until('the queue is empty', async () => (await ask('GET', '/queues/%2F/added')).messages === 0);
  await dialog().waitFor({ state: 'detached' });
  await until('the focus is back', async () => (await opened.evaluate(() => document.activeElement.textContent)) === 'Purge…');
});

test('signing in by the keyboard alone; back and forward go through pages, and a reload stays', async () => {
  const other = await page(chrome, node.http);
  const { page: tab } = other;
  await tab.goto(`${node.http}#/exchanges`);
  await tab.getByRole('button', { name: 'Sign in' }).waitFor();
  await until('the field has the focus', () => tab.evaluate(() => document.activeElement.matches('input')));
  await tab.keyboard.type('guest');
  await tab.keyboard.press('Tab');
  await tab.keyboard.type('guest');
  await tab.keyboard.press('Enter');
  await tab.getByRole('heading', { level: 1, name: 'Exchanges' }).waitFor();
  await visit(tab, '#/queues?filter=adde');
  await tab.getByRole('link', { name: 'added' }).click();
  await tab.getByRole('heading', { level: 1, name: 'added' }).waitFor();
  await tab.goBack();
  await tab.getByRole('heading', { level: 1, name: 'Queues and Streams' }).waitFor();
  assert.equal(await tab.getByRole('searchbox').inputValue(), 'adde');
  await tab.goBack();
  await tab.getByRole('heading', { level: 1, name: 'Exchanges' }).waitFor();
  await tab.goForward();
  await tab.goForward();
  await tab.getByRole('heading', { level: 1, name: 'added' }).waitFor();
  await tab.reload();
  await tab.getByRole('heading', { level: 1, name: 'added' }).waitFor();
  assert.deepEqual(other.faults, []);
  await other.close();
});

test('a queue that is gone is said to be gone, with the way back', async () => {
  await visit(opened, '#/queues/%2F/added');
  await ask('DELETE', '/queues/%2F/added');
  await opened.getByRole('button', { name: 'Refresh now' }).click();
  await opened.getByText(/There is no queue added/).waitFor();
  await opened.getByRole('link', { name: 'To all queues' }).click();
  await opened.getByRole('heading', { name: 'Queues and Streams' }).waitFor();
});

test('chosen queues are deleted together', async () => {
  for (const name of ['one', 'two', 'three']) await ask('PUT', `/queues/%2F/${name}`, {});
  await visit(opened, '#/queues?filter=' + encodeURIComponent('/^(one|two)$/'));
  await opened.getByRole('link', { name: 'two' }).waitFor();
  assert.equal(await opened.getByRole('link', { name: 'three' }).count(), 0);
  await opened.getByLabel('Choose all rows of this page').check();
  await opened.getByText('2 chosen').waitFor();
  await opened.getByRole('button', { name: 'Delete…' }).click();
  await dialog().getByRole('textbox').fill('2');
  await dialog().getByRole('button', { name: 'Delete 2 queues' }).click();
  await until('they are gone', async () => {
    const left = (await ask('GET', '/queues/%2F')).map((each) => each.name);
    return left.includes('three') && !left.includes('one') && !left.includes('two');
  });
});

test('what is chosen spans pages, and all that match are purged and deleted by a job', async () => {
  const names = Array.from({ length: 60 }, (_, at) => `bulk.${String(at).padStart(2, '0')}`);
  const queues = names.map((name) => ({ name, vhost: '/', durable: true, auto_delete: false, arguments: {} }));
  await ask('POST', '/definitions', { queues: [...queues, { ...queues[0], name: 'bulky-not' }] });
  for (const name of ['bulk.00', 'bulk.59', 'bulky-not']) {
    await ask('POST', '/exchanges/%2F/amq.default/publish', { properties: {}, routing_key: name, payload: 'x', payload_encoding: 'string' });
  }
  await visit(opened, '#/queues?filter=' + encodeURIComponent('/^bulk[.]/'));
  const chosen = opened.getByRole('region', { name: 'Chosen rows' });
  await opened.getByLabel('Choose / bulk.01', { exact: true }).check();
  await opened.getByRole('button', { name: 'Next' }).click();
  await opened.getByLabel('Choose / bulk.59', { exact: true }).check();
  await chosen.getByText('2 chosen, 1 of them not on this page').waitFor();
  await opened.getByRole('button', { name: 'Previous' }).click();
  await opened.getByRole('link', { name: 'bulk.00' }).waitFor();
  await opened.getByLabel('Choose all rows of this page').check();
  await chosen.getByText('51 chosen').waitFor();
  await chosen.getByRole('button', { name: 'Choose all 60 that match' }).click();
  await chosen.getByText('60 chosen').waitFor();
  await chosen.getByRole('button', { name: 'Purge…' }).click();
  await dialog().getByText('2 ready messages of 60 queues will be gone.').waitFor();
  await dialog().getByRole('textbox').fill('60');
  await dialog().getByRole('button', { name: 'Purge 60 queues' }).click();
  await opened.getByText('60 of 60').waitFor();
  const left = async () => (await ask('GET', '/queues/%2F')).filter((each) => each.name.startsWith('bulk'));
  await until('two are empty', async () => (await left()).reduce((sum, each) => sum + (each.messages ?? 0), 0) === 1);
  await opened.getByRole('button', { name: 'Hide' }).click();
  await opened.getByLabel('Choose all rows of this page').check();
  await chosen.getByRole('button', { name: 'Choose all 60 that match' }).click();
  await chosen.getByRole('button', { name: 'Delete…' }).click();
  await dialog().getByRole('textbox').fill('60');
  await dialog().getByRole('button', { name: 'Delete 60 queues' }).click();
  await until('only the other is left', async () => (await left()).map((each) => each.name).join() === 'bulky-not');
  await ask('DELETE', '/queues/%2F/bulky-not');
});

test('messages are looked at from a time on', async () => {
  await ask('PUT', '/queues/%2F/timed', { durable: true });
  const publish = (payload) => ask('POST', '/exchanges/%2F/amq.default/publish', { properties: {}, routing_key: 'timed', payload, payload_encoding: 'string' });
  await publish('early');
  const begun = Date.now();
  await until('more than two seconds have passed', async () => Date.now() > begun + 3200);
  await publish('late');
  await visit(opened, '#/queues/%2F/timed?tab=messages');
  await opened.getByLabel('Begin').selectOption('time');
  const field = await opened.evaluate((ms) => new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 19), begun + 2000);
  await opened.getByLabel('Time', { exact: true }).fill(field);
  await opened.getByRole('button', { name: 'Look', exact: true }).click();
  await opened.getByRole('article').getByText('late').waitFor();
  assert.equal(await opened.getByRole('article').count(), 1);
  await ask('DELETE', '/queues/%2F/timed');
});

test('an exchange is deleted', async () => {
  await visit(opened, '#/exchanges/%2F/made');
  await opened.getByRole('button', { name: 'Delete…' }).click();
  await dialog().getByRole('button', { name: 'Delete made' }).click();
  await until('it is gone', async () => !(await ask('GET', '/exchanges/%2F')).some((each) => each.name === 'made'));
});

test('a connection is closed with a reason that its client hears', async () => {
  const connection = await amqp.connect(node.amqp, { clientProperties: { connection_name: 'victim' } });
  // Being closed by an operator is no error to this client: it hears it as the end.
  const heard = new Promise((done) => { connection.on('close', done); });
  await visit(opened, '#/connections');
  await opened.getByRole('link', { name: 'victim' }).click();
  await opened.getByRole('button', { name: 'Close…' }).click();
  await dialog().getByLabel('Reason, which the client is told').fill('out with the old');
  await dialog().getByRole('button', { name: 'Close victim' }).click();
  assert.match((await heard).message, /out with the old/);
});

test('order, page and filter stand in the address, and a reload keeps them', async () => {
  for (let at = 0; at < 60; at += 1) await ask('PUT', `/queues/%2F/row-${String(at).padStart(2, '0')}`, {});
  await visit(opened, '#/queues?filter=row');
  await opened.getByRole('link', { name: 'row-49' }).waitFor();
  await opened.getByRole('button', { name: 'Name', exact: false }).first().click();
  await opened.getByRole('link', { name: 'row-59' }).waitFor();
  await opened.getByRole('button', { name: 'Next' }).click();
  await opened.getByRole('link', { name: 'row-09' }).waitFor();
  assert.equal(await opened.getByRole('link', { name: 'row-59' }).count(), 0);
  const address = opened.url();
  assert.match(address, /filter=row.*page=2|page=2.*filter=row/);
  await opened.goto('about:blank');
  await opened.goto(address);
  await opened.getByRole('button', { name: 'Sign in' }).or(opened.getByRole('link', { name: 'row-09' })).first().waitFor();
});

test('the router says where a message would go', async () => {
  await ask('PUT', '/queues/%2F/eu', {});
  await ask('POST', '/bindings/%2F/e/amq.topic/q/eu', { routing_key: 'order.*.eu' });
  await visit(opened, '#/exchanges/%2F/amq.topic?tab=route');
  await opened.getByLabel('Routing key').fill('order.paid.eu');
  await opened.getByRole('button', { name: 'Test the route' }).click();
  await opened.getByText('It would go to 1 queue').waitFor();
  await opened.getByLabel('Routing key').fill('order.paid.us');
  await opened.getByRole('button', { name: 'Test the route' }).click();
  await opened.getByText('It would go nowhere').waitFor();
  await opened.getByText('the routing key does not fit the pattern').waitFor();
  assert.equal((await ask('GET', '/queues/%2F/eu')).messages, 0);
});

test('messages that are chosen are moved, and no others', async () => {
  for (const name of ['from', 'to']) await ask('PUT', `/queues/%2F/${name}`, { durable: true });
  for (const payload of ['one', 'two', 'three']) {
    await ask('POST', '/exchanges/%2F/amq.default/publish', { properties: {}, routing_key: 'from', payload, payload_encoding: 'string' });
  }
  await visit(opened, '#/queues/%2F/from?tab=messages');
  await opened.getByRole('button', { name: 'Look', exact: true }).click();
  const card = opened.getByRole('article').filter({ hasText: 'two' });
  await card.getByRole('checkbox').check();
  await opened.getByText('1 chosen').waitFor();
  assert.deepEqual(await violations(opened), []);
  await opened.getByLabel('To', { exact: true }).selectOption('queue');
  await opened.getByRole('textbox', { name: /^Queue/ }).fill('to');
  await opened.getByRole('button', { name: 'Count first' }).click();
  await dialog().getByRole('textbox').fill('from');
  await dialog().getByRole('button', { name: 'Move 1 message out of from' }).click();
  const bodies = async (name) => (await ask('GET', `/queues/%2F/${name}/messages`)).messages.map(({ body }) => body).join();
  await until('it has moved', async () => (await bodies('to')) === 'two' && (await bodies('from')) === 'one,three');
  for (const name of ['from', 'to']) await ask('DELETE', `/queues/%2F/${name}`);
});

test('messages are moved, as many as was said before', async () => {
  for (const name of ['from', 'to']) await ask('PUT', `/queues/%2F/${name}`, {});
  for (const body of ['a', 'b', 'c']) await ask('POST', '/exchanges/%2F/amq.default/publish', { routing_key: 'from', payload: body, payload_encoding: 'string', properties: {} });
  await visit(opened, '#/queues/%2F/from?tab=messages');
  await opened.getByLabel('To', { exact: true }).selectOption('queue');
  await opened.getByRole('textbox', { name: /^Queue/ }).fill('to');
  await opened.getByRole('button', { name: 'Count first' }).click();
  await dialog().getByRole('cell', { name: '3', exact: true }).waitFor();
  await dialog().getByRole('textbox').fill('from');
  await dialog().getByRole('button', { name: 'Move 3 messages out of from' }).click();
  await opened.getByText('3 of 3').waitFor();
  await until('all are there', async () => (await ask('GET', '/queues/%2F/to')).messages === 3 && (await ask('GET', '/queues/%2F/from')).messages === 0);
});
