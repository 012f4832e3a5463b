// Users: added, given rights and limits, changed, deleted; each read back over the API.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import amqp from 'amqplib';
import { desk, settled, until, visit } from './support.mjs';

let at;

before(async () => {
  at = await desk();
  await at.ask('PUT', '/vhosts/shop', {});
});

after(() => at?.close());

const card = (title) => at.panel.locator('.card', { has: at.opened.getByRole('heading', { name: title, exact: true }) });

test('a user is added with a password, tags and the right to a vhost', async () => {
  const { opened, panel, ask } = at;
  await visit(opened, '#/users');
  await opened.getByRole('button', { name: 'New user' }).click();
  await panel.getByRole('textbox', { name: /^Name/ }).fill('ann');
  await panel.getByLabel(/^Password \(/).fill('secret');
  await panel.getByLabel(/^Password again/).fill('another');
  await panel.getByLabel(/^monitoring:/).check();
  await panel.getByLabel('Other tags').fill('night, shift');
  await panel.getByRole('group', { name: 'May do everything in' }).getByLabel('/', { exact: true }).check();
  await panel.getByRole('button', { name: 'Add user' }).click();
  await panel.getByText('The password and the password again are not the same').waitFor();
  await panel.getByLabel(/^Password again/).fill('secret');
  await panel.getByRole('button', { name: 'Add user' }).click();
  await opened.getByRole('link', { name: 'ann', exact: true }).waitFor();
  assert.deepEqual((await ask('GET', '/users/ann')).tags, ['monitoring', 'night', 'shift']);
  assert.deepEqual(await ask('GET', '/users/ann/permissions'), [{ user: 'ann', vhost: '/', configure: '.*', write: '.*', read: '.*' }]);
  const connection = await amqp.connect(at.node.amqp.replace('guest:guest', 'ann:secret'));
  await connection.close();
});

test('a name that is taken is not taken again', async () => {
  const { opened, panel, ask } = at;
  const before = await ask('GET', '/users/ann');
  await visit(opened, '#/users');
  await opened.getByRole('button', { name: 'New user' }).click();
  await panel.getByRole('textbox', { name: /^Name/ }).fill('ann');
  await panel.getByLabel('Signs in with').selectOption('none');
  await panel.getByRole('button', { name: 'Add user' }).click();
  await panel.getByText('There is a user of the name ann already').waitFor();
  assert.deepEqual(await ask('GET', '/users/ann'), before);
  await opened.keyboard.press('Escape');
});

test('permissions are set and cleared', async () => {
  const { opened, panel, ask } = at;
  await visit(opened, '#/users/ann');
  const permissions = card('Permissions');
  await permissions.getByText('Set permissions').first().click();
  await permissions.getByLabel('vhost', { exact: true }).selectOption('shop');
  await permissions.getByLabel('Configure').fill('');
  await permissions.getByLabel('Write').fill('^orders$');
  await permissions.getByRole('button', { name: 'Set permissions' }).click();
  await permissions.getByRole('link', { name: 'shop' }).waitFor();
  assert.deepEqual(await ask('GET', '/permissions/shop/ann'), { user: 'ann', vhost: 'shop', configure: '', write: '^orders$', read: '.*' });
  await permissions.getByRole('button', { name: 'Clear permissions of ann in shop…' }).click();
  await panel.getByRole('button', { name: 'Clear permissions of ann', exact: true }).click();
  await permissions.getByRole('link', { name: 'shop' }).waitFor({ state: 'detached' });
  assert.deepEqual((await ask('GET', '/users/ann/permissions')).map(({ vhost }) => vhost), ['/']);
});

test('a topic permission is set and cleared', async () => {
  const { opened, panel, ask } = at;
  await visit(opened, '#/users/ann');
  const topics = card('Topic permissions');
  await topics.getByText('Set topic permission').first().click();
  await topics.getByLabel('vhost', { exact: true }).selectOption('/');
  await topics.getByLabel('Write').fill('^eu\\.');
  await topics.getByRole('button', { name: 'Set topic permission' }).click();
  await topics.getByRole('link', { name: 'amq.topic' }).waitFor();
  assert.deepEqual(await ask('GET', '/users/ann/topic-permissions'), [{ user: 'ann', vhost: '/', exchange: 'amq.topic', write: '^eu\\.', read: '.*' }]);
  await topics.getByRole('button', { name: 'Clear topic permission of ann for amq.topic…' }).click();
  await panel.getByRole('button', { name: 'Clear topic permission of ann', exact: true }).click();
  await until('it is cleared', async () => (await ask('GET', '/users/ann/topic-permissions')).length === 0);
});

test('limits are set and taken away', async () => {
  const { opened, ask } = at;
  await visit(opened, '#/users/ann');
  const limits = card('Limits');
  await limits.getByLabel('max-connections').fill('many');
  await limits.getByRole('button', { name: 'Save limits' }).click();
  await limits.getByText('max-connections has to be a whole number').waitFor();
  await limits.getByLabel('max-connections').fill('2');
  await limits.getByRole('button', { name: 'Save limits' }).click();
  await until('the limit is there', async () => (await ask('GET', '/user-limits/ann'))[0]?.value['max-connections'] === 2);
  await visit(opened, '#/users');
  await opened.getByText('2 connections').waitFor();
  await visit(opened, '#/users/ann');
  await limits.getByLabel('max-connections').fill('');
  await limits.getByRole('button', { name: 'Save limits' }).click();
  await until('it is gone', async () => (await ask('GET', '/user-limits/ann')).length === 0);
});

test('tags change and the password stays; then the password goes', async () => {
  const { opened, ask } = at;
  const before = await ask('GET', '/users/ann');
  await visit(opened, '#/users/ann');
  const form = card('Password and tags');
  const answers = [];
  opened.on('response', (answer) => answer.url().endsWith('/api/users/ann') && answers.push(answer.request().method()));
  /** Saves, and waits until the page has read again what it shows. */
  const save = async () => {
    answers.length = 0;
    await form.getByRole('button', { name: 'Save user' }).click();
    await until('it is saved and read', () => answers.lastIndexOf('GET') > answers.indexOf('PUT') && answers.includes('PUT'));
    await settled(opened);
  };
  await form.getByLabel(/^policymaker:/).check();
  await save();
  await until('the tag is there', async () => (await ask('GET', '/users/ann')).tags.includes('policymaker'));
  assert.equal((await ask('GET', '/users/ann')).password_hash, before.password_hash);
  await form.getByLabel('Signs in with').selectOption('hash');
  await form.getByLabel(/^Hash \(/).fill('kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR');
  await save();
  await until('the hash is there', async () => (await ask('GET', '/users/ann')).password_hash === 'kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR');
  await form.getByLabel('Signs in with').selectOption('none');
  await save();
  await until('there is none', async () => (await ask('GET', '/users/ann')).password_hash === '');
});

test('connections of a user are closed, and the user deleted', async () => {
  const { opened, panel, ask, node } = at;
  await ask('PUT', '/users/bob', { password: 'bob', tags: '' });
  await ask('PUT', '/permissions/%2F/bob', { configure: '.*', write: '.*', read: '.*' });
  const connection = await amqp.connect(node.amqp.replace('guest:guest', 'bob:bob'));
  connection.on('error', () => undefined);
  const closed = new Promise((done) => { connection.on('close', done); });
  await visit(opened, '#/users/bob');
  await panel.getByRole('button', { name: 'Close connections…' }).click();
  await panel.getByRole('button', { name: 'Close 1 connection of bob' }).click();
  await closed;
  await panel.getByText('0 connections').waitFor();
  await panel.getByRole('button', { name: 'Delete…' }).click();
  const sure = panel.getByRole('button', { name: 'Delete user bob' });
  assert.ok(await sure.isDisabled());
  await panel.getByLabel('Type bob to go on').fill('bob');
  await sure.click();
  await panel.first().waitFor({ state: 'detached' });
  await opened.getByRole('link', { name: 'bob', exact: true }).waitFor({ state: 'detached' });
  await until('bob is gone', async () => !(await ask('GET', '/users')).some(({ name }) => name === 'bob'));
});

test('you cannot delete yourself, and the filter holds while a panel opens and closes', async () => {
  const { opened, panel } = at;
  await visit(opened, '#/users?filter=gues');
  await opened.getByRole('link', { name: 'guest', exact: true }).click();
  assert.ok(await panel.getByRole('button', { name: 'Delete…' }).isDisabled());
  assert.match(opened.url(), /#\/users\/guest\?filter=gues$/);
  await opened.keyboard.press('Escape');
  await panel.waitFor({ state: 'detached' });
  assert.match(opened.url(), /#\/users\?filter=gues$/);
  assert.deepEqual(at.faults, []);
});
