// A shop on a broker: exchanges, queues that get on and queues that do not, connections with names.
// Used by the tests and for pictures. `node tests/traffic.mjs amqp://… [STREAM PORT]` runs it until it is stopped.
import amqp from 'amqplib';
import { streamClient } from './stream-client.mjs';

/** A name that would be code if a page made HTML of it. */
export const HOSTILE = '<img src=x onerror=window.hacked=1>"\' ${1} \u202e end';
/** Lines, and what is not seen. */
export const LINES = 'two\nlines\tand a\u0000 zero';
export const LONG = `a.very.long.name.${'that.goes.on.and.on.'.repeat(8)}until.the.end`;

const DURABLE = { durable: true };

/** Declares all, and keeps a slow but steady traffic going. Gives what stops it. */
export async function start(url, streamPort) {
  const open = (name) => amqp.connect(url, { clientProperties: { connection_name: name } });
  const [shop, workers, stuck, odd] = await Promise.all(['shop', 'billing-worker', 'payments-worker', HOSTILE].map(open));
  for (const each of [shop, workers, stuck, odd]) each.on('error', () => undefined);
  const channel = await shop.createConfirmChannel();
  await declare(channel);
  const timers = [];
  // The node may go away before its clients do.
  for (const each of [shop, workers]) each.on('close', () => timers.forEach(clearTimeout));
  let number = 0;
  const publish = (key, extra) => {
    number += 1;
    channel.publish('orders', key, Buffer.from(JSON.stringify({ id: number, big: 9007199254740993n.toString(), customer: 'Zoë', items: [1, 2, 3] })), {
      persistent: true, contentType: 'application/json', messageId: `m${number}`, headers: { attempt: 1, region: 'eu' }, ...extra,
    }, () => undefined);
  };
  for (let at = 0; at < 40; at += 1) publish('order.paid.eu');
  for (let at = 0; at < 12; at += 1) publish('order.created.eu');
  timers.push(setInterval(() => ['order.created.eu', 'order.paid.eu', 'order.paid.us'].forEach((key) => publish(key)), 100));
  timers.push(setInterval(() => channel.publish('orders', 'nobody.wants.it', Buffer.from('x')), 500));

  const billing = await workers.createChannel();
  await billing.prefetch(20);
  await billing.consume('billing', (message) => message && billing.ack(message), { consumerTag: 'billing-1' });
  const mail = await workers.createChannel();
  await mail.prefetch(1);
  await mail.consume('mail', (message) => message && timers.push(setTimeout(() => mail.ack(message), 400)), { consumerTag: 'mail-1' });
  // It takes its prefetch and never acknowledges.
  const payments = await stuck.createChannel();
  await payments.prefetch(5);
  await payments.consume('payments', () => undefined, { consumerTag: 'payments-1' });
  const rejecting = await workers.createChannel();
  await rejecting.prefetch(5);
  await rejecting.consume('fraud', (message) => message && rejecting.reject(message, false), { consumerTag: 'fraud-1' });
  const auditing = await workers.createChannel();
  await auditing.prefetch(100);
  await auditing.consume('journal', (message) => message && auditing.ack(message), { consumerTag: 'audit', arguments: { 'x-stream-offset': 'first' } });
  const hostile = await odd.createChannel();
  await hostile.consume(HOSTILE, () => undefined, { consumerTag: HOSTILE, noAck: true, arguments: { note: HOSTILE } });
  const readers = streamPort ? await streaming(streamPort) : [];
  return async () => {
    timers.forEach(clearTimeout);
    await Promise.allSettled(readers.map((each) => each.close()));
    await Promise.allSettled([shop, workers, stuck, odd].map((each) => each.close()));
  };
}

/** Clients of the stream protocol: one that writes a little, one of a group that reads, and a group that was here before. */
async function streaming(port) {
  const [writer, reader] = await Promise.all(['till-7', 'audit-1'].map((name) => streamClient(port, name)));
  await writer.declarePublisher(1, 'till-7', 'journal');
  writer.publish(1, Array.from({ length: 200 }, (_, at) => JSON.stringify({ till: 7, receipt: at })));
  reader.storeOffset('yesterdays-report', 'journal', 10);
  await reader.subscribe(1, 'journal', { name: 'audit' });
  return [writer, reader];
}

async function declare(channel) {
  await channel.assertExchange('orders', 'topic', { ...DURABLE, alternateExchange: 'unrouted' });
  await channel.assertExchange('unrouted', 'fanout', DURABLE);
  await channel.assertExchange('dlx', 'direct', DURABLE);
  await channel.assertExchange(HOSTILE, 'headers', { durable: false, autoDelete: false });
  const queue = (name, options = {}) => channel.assertQueue(name, { ...DURABLE, ...options });
  await queue('billing', { arguments: { 'x-queue-type': 'quorum' } });
  await queue('mail', { messageTtl: 3_600_000 });
  await queue('payments', { deadLetterExchange: 'dlx', deadLetterRoutingKey: 'dead', maxLength: 100_000 });
  await queue('fraud', { deadLetterExchange: 'dlx', deadLetterRoutingKey: 'dead' });
  await queue('dead');
  await queue('nobody-reads', { maxPriority: 5 });
  await queue('unrouted');
  await queue('empty');
  await queue(LONG);
  await queue(HOSTILE, { durable: false, exclusive: false });
  await queue('lines');
  await channel.bindQueue('lines', 'orders', LINES, { [LINES]: LINES });
  await channel.sendToQueue('lines', Buffer.from(LINES), { messageId: LINES, headers: { [LINES]: LINES, '': '' } });
  await queue('journal', { arguments: { 'x-queue-type': 'stream', 'x-max-age': '7D' } });
  await channel.bindQueue('billing', 'orders', 'order.created.*');
  await channel.bindQueue('mail', 'orders', 'order.paid.#');
  await channel.bindQueue('payments', 'orders', 'order.paid.*');
  await channel.bindQueue('fraud', 'orders', 'order.created.*');
  await channel.bindQueue('nobody-reads', 'orders', 'order.#');
  await channel.bindQueue('journal', 'orders', '#');
  await channel.bindQueue('dead', 'dlx', 'dead');
  await channel.bindQueue('unrouted', 'unrouted', '');
  await channel.bindQueue(HOSTILE, HOSTILE, HOSTILE, { 'x-match': 'all', note: HOSTILE });
  await channel.sendToQueue('dead', Buffer.from([0, 1, 2, 255, 254]), { contentType: 'application/octet-stream' });
  await channel.sendToQueue(HOSTILE, Buffer.from(HOSTILE), { headers: { note: HOSTILE } });
}

if (process.argv[1] === import.meta.filename) {
  await start(process.argv[2] ?? 'amqp://guest:guest@127.0.0.1:5672', Number(process.argv[3]));
  console.log('traffic is running; stop it with Ctrl C');
}
