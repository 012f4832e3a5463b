// rabbitmq-stream-js-client: streams, names, offsets and super streams.
'use strict';

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const { connect, Offset } = require('rabbitmq-stream-js-client');

const [hostname, port] = process.env.STREAM_ADDRESS.split(':');
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

/** Runs with a client of its own. */
async function connected(run) {
  const login = { hostname, port: Number(port), username: 'guest', password: 'guest', vhost: '/', heartbeat: 0 };
  const client = await connect(login);
  try {
    await run(client);
  } finally {
    await client.close();
  }
}

/** The first messages of a stream. */
async function read(client, stream, count, offset) {
  const bodies = [];
  let done;
  const all = new Promise((resolve) => { done = resolve; });
  const consumer = await client.declareConsumer({ stream, offset }, (message) => {
    bodies.push(message.content.toString());
    if (bodies.length === count) done();
  });
  await within(all, 'messages');
  await consumer.close();
  return bodies;
}

check('publish and read', () => connected(async (client) => {
  const stream = unique('js');
  await client.createStream({ stream, arguments: { 'max-age': '1h' } });
  const publisher = await client.declarePublisher({ stream });
  const expected = Array.from({ length: 1000 }, (_, number) => `m${number}`);
  for (const body of expected) await publisher.send(Buffer.from(body));
  await publisher.flush();
  assert.deepEqual(await read(client, stream, 1000, Offset.first()), expected);
  assert.deepEqual(await read(client, stream, 10, Offset.offset(990n)), expected.slice(990));
  await publisher.close();
  await client.deleteStream({ stream });
}));

check('a name remembers how far it came', () => connected(async (client) => {
  const stream = unique('js');
  await client.createStream({ stream, arguments: {} });
  const publisher = await client.declarePublisher({ stream, publisherRef: 'me' });
  assert.equal(await publisher.getLastPublishingId(), 0n);
  for (const id of [1n, 2n, 2n, 3n]) await publisher.send(Buffer.from(`m${id}`), { publishingId: id });
  await publisher.flush();
  assert.deepEqual(await read(client, stream, 3, Offset.first()), ['m1', 'm2', 'm3']);
  assert.equal(await publisher.getLastPublishingId(), 3n);
  await publisher.close();
  await client.deleteStream({ stream });
}));

check('offsets', () => connected(async (client) => {
  const stream = unique('js');
  await client.createStream({ stream, arguments: {} });
  const consumer = await client.declareConsumer({ stream, consumerRef: 'r', offset: Offset.first() }, () => {});
  await assert.rejects(consumer.queryOffset());
  await consumer.storeOffset(7n);
  assert.equal(await consumer.queryOffset(), 7n);
  await consumer.close();
  assert.equal((await client.streamStatsRequest(stream)).firstChunkId, -1n);
  await client.deleteStream({ stream });
}));

check('refusals', () => connected(async (client) => {
  const stream = unique('js');
  await assert.rejects(client.declarePublisher({ stream }), /not found/);
  await assert.rejects(client.deleteStream({ stream }), /code 2/);
  await client.createStream({ stream, arguments: {} });
  await client.deleteStream({ stream });
}));

check('a super stream', () => connected(async (client) => {
  const streamName = unique('js');
  await client.createSuperStream({ streamName }, undefined, 3);
  const partitions = await client.queryPartitions({ superStream: streamName });
  assert.deepEqual(partitions, [0, 1, 2].map((number) => `${streamName}-${number}`));
  const key = (_, options) => options.messageProperties.messageId;
  const publisher = await client.declareSuperStreamPublisher({ superStream: streamName }, key);
  for (let id = 0; id < 30; id += 1) {
    await publisher.send(Buffer.from(`m${id}`), { messageProperties: { messageId: `k${id}` } });
  }
  const bodies = new Set();
  let done;
  const all = new Promise((resolve) => { done = resolve; });
  const wish = { superStream: streamName, consumerRef: 'group', offset: Offset.first() };
  const consumer = await client.declareSuperStreamConsumer(wish, (message) => {
    bodies.add(message.content.toString());
    if (bodies.size === 30) done();
  });
  await within(all, 'messages of all partitions');
  await consumer.close();
  await publisher.close();
  await client.deleteSuperStream({ streamName });
}));

(async () => {
  let failed = 0;
  for (const { name, run } of checks) {
    try {
      await within(run(), name);
      console.log(`ok stream-js ${name}`);
    } catch (error) {
      failed += 1;
      console.error(error);
      console.log(`not ok stream-js ${name}: ${error.message.split('\n')[0]}`);
    }
  }
  process.exit(failed ? 1 : 0);
})();
