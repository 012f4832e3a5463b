// amqplib over TLS, with a client's certificate as the login.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const amqp = require('amqplib');

const file = (name) => fs.readFileSync(path.join(process.env.TLS_FILES, name));

async function main() {
  const tls = { ca: [file('ours.pem')], cert: file('alice.pem'), key: file('alice.key') };
  const where = { protocol: 'amqps', hostname: 'localhost', port: Number(process.env.TLS_PORT) };
  const external = { ...tls, credentials: amqp.credentials.external() };
  for (const [name, options] of [['password', tls], ['certificate', external]]) {
    const connection = await amqp.connect({ ...where, username: 'guest', password: 'guest' }, options);
    const channel = await connection.createConfirmChannel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const body = Buffer.alloc(300_000, 7);
    channel.sendToQueue(queue, body);
    await channel.waitForConfirms();
    const message = await channel.get(queue, { noAck: true });
    if (!message.content.equals(body)) throw new Error('another body');
    await connection.close();
    console.log(`ok amqplib-tls ${name}`);
  }
}

main().catch((error) => {
  console.log(`not ok amqplib-tls: ${error.message}`);
  process.exit(1);
});
