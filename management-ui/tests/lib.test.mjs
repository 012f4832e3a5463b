// What reads, writes and rounds values, without a browser.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createServer } from 'vite';

let vite;
let format;
let filter;
let json;
let csv;

before(async () => {
  vite = await createServer({ root: new URL('..', import.meta.url).pathname, server: { middlewareMode: true, ws: false, watch: null }, appType: 'custom', logLevel: 'error' });
  const load = (name) => vite.ssrLoadModule(`/src/lib/${name}.ts`);
  [format, filter, json, csv] = await Promise.all(['format', 'filter', 'json', 'csv'].map(load));
});

after(() => vite?.close());

test('values read as people read them', () => {
  assert.equal(format.count(12345), '12,345');
  assert.equal(format.count(undefined), '–');
  assert.equal(format.count(0), '0');
  assert.equal(format.rate(1234), '1.2 k/s');
  assert.equal(format.rate(0), '0/s');
  assert.equal(format.bytes(3.4 * 1024 ** 2), '3.4 MiB');
  assert.equal(format.bytes(512), '512 B');
  assert.equal(format.age(14 * 60_000), '14 min');
  assert.equal(format.age(90_061_000), '1 d 1 h');
  assert.equal(format.counted(1, 'queue'), '1 queue');
  assert.equal(format.counted(2, 'queue'), '2 queues');
});

test('a filter knows words, patterns and tokens', () => {
  assert.deepEqual(filter.parse('pay ready>1000 type:quorum'), { name: 'pay', isPattern: false, tokens: ['ready>1000', 'type:quorum'] });
  assert.deepEqual(filter.parse('/^a b$/ consumers=0'), { name: '^a b$', isPattern: true, tokens: ['consumers=0'] });
  assert.deepEqual(filter.chips('x ready>1'), ['x', 'ready>1']);
  assert.equal(filter.toggled('x ready>1', 'ready>1'), 'x');
  assert.equal(filter.toggled('x', 'health:stuck'), 'x health:stuck');
  // A value with spaces stands between quotes, which are not sent.
  const chip = filter.tokenOf('client_properties.product', 'RabbitMQ .NET');
  assert.equal(chip, 'client_properties.product:"RabbitMQ .NET"');
  assert.deepEqual(filter.parse(`pay ${chip} ready>1`), { name: 'pay', isPattern: false, tokens: [chip, 'ready>1'] });
  assert.equal(filter.toggled(`pay ${chip}`, chip), 'pay');
  assert.equal(filter.plainToken(chip), 'client_properties.product:RabbitMQ .NET');
  assert.deepEqual(filter.parse('"x y').tokens, []);
});

test('fields for times read and hold times in the zone that is shown', () => {
  assert.equal(format.momentOf('2026-01-31T12:00:00', true), Date.UTC(2026, 0, 31, 12));
  assert.equal(format.fieldOf(Date.UTC(2026, 0, 31, 12), true), '2026-01-31T12:00:00');
  const local = new Date(2026, 6, 1, 8, 30, 15).getTime();
  assert.equal(format.momentOf(format.fieldOf(local, false), false), local);
  assert.throws(() => format.momentOf('', false), /A date and a time/);
});

test('JSON is laid out without touching a digit', () => {
  assert.equal(json.pretty('{"a":9007199254740993,"b":[],"c":[1,{"d":"x, {y}: \\"z\\""}]}'),
    '{\n  "a": 9007199254740993,\n  "b": [],\n  "c": [\n    1,\n    {\n      "d": "x, {y}: \\"z\\""\n    }\n  ]\n}');
  assert.equal(json.pretty('hello'), null);
  assert.equal(json.pretty('{broken'), null);
  assert.equal(json.hex(new Uint8Array([0, 65, 255])), '000000  00 41 ff                                         .A.');
});

test('a spreadsheet gets text where it would run a formula', () => {
  assert.equal(csv.csv([['a', 'b'], ['=1+1', 'x,"y"'], ['-3', -3]]), 'a,b\r\n\'=1+1,"x,""y"""\r\n\'-3,-3');
});
