"""rstream on the stream protocol: publishing, replaying, filters, groups and super streams."""

import asyncio
import base64
import http.client
import json
import os
import urllib.parse

import pika
from rstream import (
    AMQPMessage,
    CompressionType,
    Consumer,
    ConsumerOffsetSpecification,
    FilterConfiguration,
    OffsetSpecification,
    OffsetType,
    Producer,
    amqp_decoder,
)
from rstream.exceptions import OffsetNotFound, StreamAlreadyExists, StreamDoesNotExist

from checks import URL, Checks, equal, unique

HOST, PORT = os.environ["STREAM_ADDRESS"].rsplit(":", 1)
WHERE = {"host": HOST, "port": int(PORT), "username": "guest", "password": "guest"}
PATIENCE = 20
checks = Checks("rstream")


def check(function):
    """Registers a coroutine."""

    def run():
        asyncio.run(asyncio.wait_for(function(), 60))

    run.__name__ = function.__name__
    return checks.check(run)


def at(offset):
    return ConsumerOffsetSpecification(OffsetType.OFFSET, offset)


FIRST = ConsumerOffsetSpecification(OffsetType.FIRST, None)


async def publish(producer, stream, bodies, **named):
    for body in bodies:
        await producer.send_wait(stream, AMQPMessage(body=body), **named)


async def read(stream, count, offset=FIRST, **wishes):
    """The first messages from there, with their offsets."""
    consumer = Consumer(**WHERE)
    await consumer.start()
    messages, done = [], asyncio.Event()

    async def on_message(message, context):
        messages.append((context.offset, bytes(message.body)))
        if len(messages) >= count:
            done.set()

    await consumer.subscribe(stream, on_message, decoder=amqp_decoder, offset_specification=offset, **wishes)
    await asyncio.wait_for(done.wait(), PATIENCE)
    await consumer.close()
    return messages


@check
async def what_is_published_is_read_again_and_again():
    async with Producer(**WHERE) as producer:
        stream = unique("rstream")
        await producer.create_stream(stream, arguments={"max-length-bytes": 1_000_000_000})
        bodies = [b"%d" % number for number in range(500)]
        await producer.send_batch(stream, [AMQPMessage(body=body) for body in bodies])
        await publish(producer, stream, [b"last"])
        expected = list(enumerate([*bodies, b"last"]))
        for _ in range(2):
            equal(await read(stream, 501), expected)
        equal(await read(stream, 1, at(500)), expected[500:])
        await producer.delete_stream(stream)


@check
async def refusals_are_the_exceptions_of_the_client():
    async with Producer(**WHERE) as producer:
        stream = unique("rstream")
        await producer.create_stream(stream)
        try:
            await producer.create_stream(stream)
            raise AssertionError("created twice")
        except StreamAlreadyExists:
            pass
        await producer.delete_stream(stream)
        try:
            await producer.delete_stream(stream)
            raise AssertionError("deleted twice")
        except StreamDoesNotExist:
            pass


@check
async def batches_are_kept_as_they_came():
    async with Producer(**WHERE) as producer:
        stream = unique("rstream")
        await producer.create_stream(stream)
        bodies = [b"%d" % number for number in range(100)]
        messages = [AMQPMessage(body=body) for body in bodies]
        await producer.send_sub_entry(stream, compression_type=CompressionType.Gzip, sub_entry_messages=messages)
        await publish(producer, stream, [b"after"])
        got = await read(stream, 101)
        equal([offset for offset, _ in got], list(range(101)))
        equal(sorted(body for _, body in got), sorted([*bodies, b"after"]))
        await producer.delete_stream(stream)


@check
async def a_named_publisher_is_written_once():
    async with Producer(**WHERE) as producer:
        stream = unique("rstream")
        await producer.create_stream(stream)
        for number in [1, 2, 2, 1, 3, 4]:
            message = AMQPMessage(body=b"%d" % number)
            message.publishing_id = number
            await producer.send_wait(stream, message, publisher_name="me")
        equal([body for _, body in await read(stream, 4)], [b"1", b"2", b"3", b"4"])
        await producer.delete_stream(stream)


@check
async def offsets_are_stored():
    async with Producer(**WHERE) as producer:
        stream = unique("rstream")
        await producer.create_stream(stream)
        consumer = Consumer(**WHERE)
        await consumer.start()
        try:
            await consumer.query_offset(stream, "reader")
            raise AssertionError("nothing was stored")
        except OffsetNotFound:
            pass
        for offset in [42, 7]:
            await consumer.store_offset(stream, "reader", offset)
            while await stored(consumer, stream) != offset:
                await asyncio.sleep(0.01)
        await consumer.close()
        await producer.delete_stream(stream)


async def stored(consumer, stream):
    try:
        return await consumer.query_offset(stream, "reader")
    except OffsetNotFound:
        return None


def api(method, path, body=None):
    """Asks the HTTP API."""
    where = urllib.parse.urlsplit(os.environ["API_URL"])
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=PATIENCE)
    login = base64.b64encode(f"{where.username}:{where.password}".encode()).decode()
    headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
    connection.request(method, where.path + path, json.dumps(body) if body is not None else None, headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status >= 400:
        raise AssertionError(f"{method} {path}: {answer.status} {text}")
    return json.loads(text) if text else None


@check
async def a_group_goes_on_where_it_is_set():
    async with Producer(**WHERE) as producer:
        stream = unique("rstream")
        await producer.create_stream(stream)
        await publish(producer, stream, [b"%d" % number for number in range(10)])
        consumer = Consumer(**WHERE)
        await consumer.start()
        await consumer.store_offset(stream, stream, 9)
        while await stored_under(consumer, stream, stream) != 9:
            pass
        group = api("GET", f"/stream/groups/%2F/{stream}")
        equal((group["lag"], group["partitions"][0]["stored_offset"]), (0, 9))
        api("POST", f"/stream/groups/%2F/{stream}/reset", {"offset": 4})
        equal(await consumer.query_offset(stream, stream), 4)
        equal(api("GET", f"/stream/groups/%2F/{stream}")["lag"], 5)
        goes_on = at(await consumer.query_offset(stream, stream) + 1)
        equal([offset for offset, _ in await read(stream, 5, goes_on)], [5, 6, 7, 8, 9])
        await consumer.close()
        await producer.delete_stream(stream)


async def stored_under(consumer, stream, name):
    try:
        return await consumer.query_offset(stream, name)
    except OffsetNotFound:
        return None


@check
async def a_super_stream_that_lives_gets_a_partition():
    name = unique("rstream")
    api("PUT", f"/stream/super-streams/%2F/{name}", {"binding-keys": "a,b"})
    api("POST", f"/stream/super-streams/%2F/{name}/partitions", {"binding-key": "c"})
    async with Producer(**WHERE) as producer:
        await publish(producer, f"{name}-c", [b"new"])
        equal([body for _, body in await read(f"{name}-c", 1)], [b"new"])
    api("DELETE", f"/stream/super-streams/%2F/{name}")


@check
async def a_filter_passes_over_chunks():
    async def value(message):
        return message.application_properties["colour"]

    def message(colour, number):
        return AMQPMessage(body=b"%s %d" % (colour.encode(), number), application_properties={"colour": colour})

    async with Producer(**WHERE, filter_value_extractor=value) as producer:
        stream = unique("rstream")
        await producer.create_stream(stream)
        for number in range(10):
            await producer.send_wait(stream, message("red", number))
            await producer.send_wait(stream, message("blue", number))
        wish = FilterConfiguration(values_to_filter=["blue"], match_unfiltered=False)
        got = await read(stream, 10, filter_input=wish)
        equal([body for _, body in got], [b"blue %d" % number for number in range(10)])
        await producer.delete_stream(stream)


@check
async def of_a_group_one_reads_and_the_next_goes_on():
    async with Producer(**WHERE) as producer:
        stream = unique("rstream")
        await producer.create_stream(stream)
        properties = {"single-active-consumer": "true", "name": "group"}
        heard = asyncio.Queue()

        async def begin(name):
            consumer = Consumer(**WHERE)
            await consumer.start()

            async def on_message(message, context):
                await heard.put((name, bytes(message.body)))

            async def on_turn(is_active, context):
                return OffsetSpecification(OffsetType.NEXT if name == "second" else OffsetType.FIRST, None)

            await consumer.subscribe(
                stream,
                on_message,
                decoder=amqp_decoder,
                offset_specification=FIRST,
                properties=properties,
                subscriber_name="group",
                consumer_update_listener=on_turn,
            )
            return consumer

        first, second = await begin("first"), await begin("second")
        await publish(producer, stream, [b"a", b"b"])
        equal([await asyncio.wait_for(heard.get(), PATIENCE) for _ in "ab"], [("first", b"a"), ("first", b"b")])
        await first.close()
        number = 0
        while heard.empty():
            number += 1
            await publish(producer, stream, [b"%d" % number])
        who, _ = heard.get_nowait()
        equal(who, "second")
        await second.close()
        await producer.delete_stream(stream)


@check
async def both_protocols_see_the_same():
    async with Producer(**WHERE) as producer:
        stream = unique("rstream")
        await producer.create_stream(stream)
        connection = pika.BlockingConnection(pika.URLParameters(URL))
        channel = connection.channel()
        channel.confirm_delivery()
        await publish(producer, stream, [b"from a stream"])
        channel.basic_publish("", stream, b"from a queue")
        equal(await read(stream, 2), [(0, b"from a stream"), (1, b"from a queue")])
        channel.basic_qos(prefetch_count=10)
        got = []
        for _, properties, body in channel.consume(stream, arguments={"x-stream-offset": "first"}):
            got.append((properties.headers["x-stream-offset"], body))
            if len(got) == 2:
                break
        equal(got, [(0, b"from a stream"), (1, b"from a queue")])
        connection.close()
        await producer.delete_stream(stream)


checks.run()
