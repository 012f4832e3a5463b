// A client of the stream protocol, as small as the tests need it: it publishes, subscribes, and stores offsets.
import { connect } from 'node:net';

const KEY = {
  declarePublisher: 1, publish: 2, subscribe: 7, deliver: 8, credit: 9, storeOffset: 10, peerProperties: 17, saslHandshake: 18, saslAuthenticate: 19, tune: 20, open: 21, heartbeat: 23,
};
/** In the key of an answer. */
const ANSWER = 0x8000;
const OK = 1;

const u8 = (value) => Buffer.from([value]);
const u16 = (value) => { const bytes = Buffer.alloc(2); bytes.writeUInt16BE(value); return bytes; };
const u32 = (value) => { const bytes = Buffer.alloc(4); bytes.writeUInt32BE(value); return bytes; };
const u64 = (value) => { const bytes = Buffer.alloc(8); bytes.writeBigUInt64BE(BigInt(value)); return bytes; };
const text = (value) => Buffer.concat([u16(Buffer.byteLength(value)), Buffer.from(value)]);
const bytes = (value) => Buffer.concat([u32(value.length), value]);
const pairs = (of) => Buffer.concat([u32(Object.keys(of).length), ...Object.entries(of).flatMap(([key, value]) => [text(key), text(value)])]);
/** A body as AMQP 1.0 has it. */
const message = (body) => Buffer.concat([Buffer.from([0, 0x53, 0x75, 0xb0]), bytes(Buffer.from(body))]);

/** Connects as guest. `name` is how it calls itself. */
export async function streamClient(port, name, host = '127.0.0.1') {
  const socket = connect(port, host);
  await new Promise((done, failed) => { socket.once('connect', done); socket.once('error', failed); });
  const waiting = new Map();
  let input = Buffer.alloc(0);
  socket.on('error', () => undefined);
  socket.on('data', (data) => {
    input = Buffer.concat([input, data]);
    while (input.length >= 4 && input.length >= 4 + input.readUInt32BE(0)) {
      const frame = input.subarray(4, 4 + input.readUInt32BE(0));
      input = input.subarray(4 + frame.length);
      const key = frame.readUInt16BE(0);
      if (key === KEY.tune) send(KEY.tune, frame.subarray(4));
      else if (key === KEY.heartbeat) send(KEY.heartbeat);
      // A chunk costs a credit, which is given back at once.
      else if (key === KEY.deliver) send(KEY.credit, frame.subarray(4, 5), u16(1));
      else if (key & ANSWER) waiting.get(frame.readUInt32BE(4))?.(frame.readUInt16BE(8));
    }
  });
  const send = (key, ...parts) => {
    const body = Buffer.concat([u16(key), u16(1), ...parts]);
    socket.write(Buffer.concat([u32(body.length), body]));
  };
  let last = 0;
  const ask = async (key, ...parts) => {
    last += 1;
    const answered = new Promise((done) => { waiting.set(last, done); });
    send(key, u32(last), ...parts);
    const code = await answered;
    if (code !== OK) throw new Error(`the stream request ${key} was answered ${code}`);
  };
  await ask(KEY.peerProperties, pairs({ connection_name: name, product: 'stream test', version: '1' }));
  await ask(KEY.saslHandshake);
  await ask(KEY.saslAuthenticate, text('PLAIN'), bytes(Buffer.from('\0guest\0guest')));
  await ask(KEY.open, text('/'));
  let published = 0;
  return {
    declarePublisher: (id, reference, stream) => ask(KEY.declarePublisher, u8(id), text(reference), text(stream)),
    publish: (id, bodies) => send(KEY.publish, u8(id), u32(bodies.length), ...bodies.flatMap((body) => [u64(published += 1), bytes(message(body))])),
    /** From the first message on. */
    subscribe: (id, stream, properties = {}) => ask(KEY.subscribe, u8(id), text(stream), u16(1), u16(10), pairs(properties)),
    storeOffset: (reference, stream, offset) => send(KEY.storeOffset, text(reference), text(stream), u64(offset)),
    close: () => new Promise((done) => { socket.end(done); }),
  };
}
