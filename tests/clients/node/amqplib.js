// amqplib: its channel, its confirm channel and its callbacks.
'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const crypto = require('node:crypto');
const amqp = require('amqplib');
const callbacks = require('amqplib/callback_api');

const URL = process.env.AMQP_URL;
const PATIENCE = 20_000;
const unique = (word) => `${word}-${crypto.randomBytes(6).toString('hex')}`;
const checks = [];
const check = (name, run) => checks.push({ name, run });

/** Fails when a promise takes too long. */
function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not in time`)), PATIENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Runs with a connection of its own. */
async function connected(run, options = '') {
  const connection = await amqp.connect(URL + options);
  connection.on('error', () => {});
  try {
    await run(connection);
  } finally {
    await connection.close().catch(() => {});
  }
}

/** The next `count` messages of a consumer, acked. */
async function receive(channel, queue, count) {
  const messages = [];
  let done;
  const all = new Promise((resolve) => { done = resolve; });
  const { consumerTag } = await channel.consume(queue, (message) => {
    messages.push(message);
    channel.ack(message);
    if (messages.length === count) done();
  });
  await within(all, 'deliveries');
  await channel.cancel(consumerTag);
  return messages;
}

check('server properties', () => connected(async (connection) => {
  const properties = connection.connection.serverProperties;
  assert.equal(properties.product, 'RabbitMQ');
  assert.equal(properties.capabilities.publisher_confirms, true);
}));

check('publish and consume', () => connected(async (connection) => {
  const channel = await connection.createChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  await channel.prefetch(5);
  for (let number = 0; number < 100; number += 1) channel.sendToQueue(queue, Buffer.from(`${number}`));
  const messages = await receive(channel, queue, 100);
  assert.deepEqual(messages.map((message) => Number(message.content)), [...Array(100).keys()]);
  assert.equal((await channel.checkQueue(queue)).messageCount, 0);
}));

check('get', () => connected(async (connection) => {
  const channel = await connection.createConfirmChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  assert.equal(await channel.get(queue), false);
  channel.sendToQueue(queue, Buffer.from('a'));
  await channel.waitForConfirms();
  const message = await channel.get(queue);
  assert.equal(message.content.toString(), 'a');
  channel.nack(message);
  const again = await channel.get(queue, { noAck: true });
  assert.equal(again.fields.redelivered, true);
}));

check('confirm channel', () => connected(async (connection) => {
  const channel = await connection.createConfirmChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  let confirmed = 0;
  for (let number = 0; number < 200; number += 1) {
    channel.publish('', queue, Buffer.alloc(1000), { persistent: number % 2 === 0 }, (error) => {
      if (!error) confirmed += 1;
    });
  }
  await within(channel.waitForConfirms(), 'confirms');
  assert.equal(confirmed, 200);
  assert.equal((await channel.purgeQueue(queue)).messageCount, 200);
}));

check('a full queue refuses', () => connected(async (connection) => {
  const channel = await connection.createConfirmChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true, maxLength: 1, overflow: 'reject-publish' });
  channel.sendToQueue(queue, Buffer.from('fits'));
  await channel.waitForConfirms();
  channel.sendToQueue(queue, Buffer.from('does not'));
  await assert.rejects(within(channel.waitForConfirms(), 'confirms'));
}));

check('returns', () => connected(async (connection) => {
  const channel = await connection.createConfirmChannel();
  const returned = once(channel, 'return');
  channel.publish('amq.direct', unique('nowhere'), Buffer.from('back'), { mandatory: true, messageId: 'id' });
  const [message] = await within(returned, 'a return');
  assert.equal(message.fields.replyText, 'NO_ROUTE');
  assert.equal(message.content.toString(), 'back');
  assert.equal(message.properties.messageId, 'id');
  await channel.waitForConfirms();
}));

check('headers', () => connected(async (connection) => {
  const channel = await connection.createConfirmChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  const headers = {
    text: 'grüße',
    number: -5,
    big: 2 ** 40,
    fraction: 1.5,
    truth: true,
    nothing: null,
    list: [1, 'two', { three: 3 }],
    table: { inner: { deep: 'x' } },
    bytes: Buffer.from([0, 255]),
  };
  const properties = { headers, priority: 3, correlationId: 'c', replyTo: 'r', expiration: '60000', type: 't', appId: 'a', timestamp: 1_700_000_000 };
  channel.sendToQueue(queue, Buffer.alloc(0), properties);
  const [message] = await receive(channel, queue, 1);
  assert.deepEqual(message.properties.headers, headers);
  for (const name of ['priority', 'correlationId', 'replyTo', 'expiration', 'type', 'appId', 'timestamp']) {
    assert.deepEqual(message.properties[name], properties[name], name);
  }
}));

check('large body', () => connected(async (connection) => {
  const channel = await connection.createConfirmChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  const body = crypto.randomBytes(5 << 20);
  channel.sendToQueue(queue, body);
  const [message] = await receive(channel, queue, 1);
  assert.ok(body.equals(message.content));
}));

check('dead letters', () => connected(async (connection) => {
  const channel = await connection.createConfirmChannel();
  const { queue: dead } = await channel.assertQueue('', { exclusive: true });
  const { queue } = await channel.assertQueue('', { exclusive: true, messageTtl: 50, deadLetterExchange: '', deadLetterRoutingKey: dead });
  channel.sendToQueue(queue, Buffer.from('brief'));
  const [message] = await receive(channel, dead, 1);
  assert.equal(message.properties.headers['x-death'][0].reason, 'expired');
}));

check('exchanges bound to exchanges', () => connected(async (connection) => {
  const channel = await connection.createConfirmChannel();
  const [outer, inner] = [unique('outer'), unique('inner')];
  await channel.assertExchange(outer, 'topic', { autoDelete: true });
  await channel.assertExchange(inner, 'fanout', { autoDelete: true });
  const { queue } = await channel.assertQueue('', { exclusive: true });
  await channel.bindQueue(queue, inner, '');
  await channel.bindExchange(inner, outer, 'paid.#');
  channel.publish(outer, 'paid.now', Buffer.from('yes'));
  channel.publish(outer, 'open', Buffer.from('no'));
  await channel.waitForConfirms();
  const messages = await receive(channel, queue, 1);
  assert.equal(messages[0].content.toString(), 'yes');
  assert.equal((await channel.checkQueue(queue)).messageCount, 0);
  await channel.unbindExchange(inner, outer, 'paid.#');
}));

check('errors close the channel only', () => connected(async (connection) => {
  const broken = await connection.createChannel();
  const error = once(broken, 'error');
  await assert.rejects(broken.checkQueue(unique('missing')), /404 \(NOT-FOUND\)/);
  const [{ code }] = await within(error, 'an error');
  assert.equal(code, 404);
  const channel = await connection.createChannel();
  await channel.assertQueue('', { exclusive: true });
}));

check('exclusive queues', () => connected((owner) => connected(async (other) => {
  const channel = await owner.createChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  const refused = await other.createChannel();
  refused.on('error', () => {});
  await assert.rejects(refused.checkQueue(queue), /405 \(RESOURCE-LOCKED\)/);
})));

check('direct reply-to', () => connected(async (connection) => {
  const asking = await connection.createChannel();
  const answering = await connection.createChannel();
  const { queue } = await answering.assertQueue('', { exclusive: true });
  await answering.consume(queue, (message) => {
    const { replyTo, correlationId } = message.properties;
    answering.sendToQueue(replyTo, Buffer.from(`${message.content}ed`), { correlationId });
  }, { noAck: true });
  const answer = new Promise((resolve) => {
    asking.consume('amq.rabbitmq.reply-to', resolve, { noAck: true }).then(() => {
      asking.sendToQueue(queue, Buffer.from('ask'), { replyTo: 'amq.rabbitmq.reply-to', correlationId: '7' });
    });
  });
  const message = await within(answer, 'an answer');
  assert.equal(message.content.toString(), 'asked');
  assert.equal(message.properties.correlationId, '7');
}));

check('a consumer hears that its queue is gone', () => connected(async (connection) => {
  const channel = await connection.createChannel();
  const queue = unique('amqplib');
  await channel.assertQueue(queue, { durable: false });
  let cancelled;
  const gone = new Promise((resolve) => { cancelled = resolve; });
  await channel.consume(queue, cancelled);
  await channel.deleteQueue(queue);
  assert.equal(await within(gone, 'the cancel'), null);
}));

check('recover', () => connected(async (connection) => {
  const channel = await connection.createConfirmChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  channel.sendToQueue(queue, Buffer.from('a'));
  await channel.waitForConfirms();
  await channel.get(queue);
  await channel.recover();
  const again = await channel.get(queue, { noAck: true });
  assert.equal(again.fields.redelivered, true);
}));

check('heartbeats', () => connected(async (connection) => {
  await new Promise((resolve) => { setTimeout(resolve, 3500); });
  const channel = await connection.createChannel();
  await channel.assertQueue('', { exclusive: true });
}, '?heartbeat=1'));

check('wrong password', async () => {
  const url = URL.replace('guest:guest', 'guest:wrong');
  await assert.rejects(amqp.connect(url), /ACCESS[_-]REFUSED/);
});

check('callbacks', () => within(new Promise((resolve, reject) => {
  callbacks.connect(URL, (error, connection) => {
    if (error) return reject(error);
    return connection.createChannel((failed, channel) => {
      if (failed) return reject(failed);
      return channel.assertQueue('', { exclusive: true }, (refused, { queue }) => {
        if (refused) return reject(refused);
        channel.consume(queue, () => connection.close(resolve), { noAck: true });
        return channel.sendToQueue(queue, Buffer.from('a'));
      });
    });
  });
}), 'the callbacks'));

(async () => {
  let failed = 0;
  for (const { name, run } of checks) {
    try {
      await run();
      console.log(`ok amqplib ${name}`);
    } catch (error) {
      failed += 1;
      console.error(error);
      console.log(`not ok amqplib ${name}: ${String(error.message).split('\n')[0]}`);
    }
  }
  process.exit(failed ? 1 : 0);
})();
