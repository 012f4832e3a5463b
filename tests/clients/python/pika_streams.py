"""pika on a stream: what a script does that publishes and replays."""

import contextlib
import datetime

import pika
from pika import exceptions

from checks import URL, Checks, equal, unique

checks = Checks("pika-streams")


@contextlib.contextmanager
def channel():
    connection = pika.BlockingConnection(pika.URLParameters(URL))
    try:
        yield connection.channel()
    finally:
        if connection.is_open:
            connection.close()


@contextlib.contextmanager
def stream(channel, **arguments):
    name = unique("stream")
    arguments = {word.replace("_", "-"): value for word, value in arguments.items()}
    channel.queue_declare(name, durable=True, arguments={"x-queue-type": "stream", **arguments})
    try:
        yield name
    finally:
        with globals()["channel"]() as another:
            another.queue_delete(name)


def fill(channel, name, numbers):
    channel.confirm_delivery()
    for number in numbers:
        channel.basic_publish("", name, b"%d" % number, pika.BasicProperties(headers={"number": number}))


def read(channel, name, offset, count, prefetch=10):
    """The next messages from there, each acknowledged: their offsets and bodies."""
    channel.basic_qos(prefetch_count=prefetch)
    messages = []
    for method, properties, body in channel.consume(name, arguments={"x-stream-offset": offset}, inactivity_timeout=20):
        assert method is not None, f"only {len(messages)} of {count} came"
        messages.append((properties.headers["x-stream-offset"], body))
        channel.basic_ack(method.delivery_tag)
        if len(messages) == count:
            break
    channel.cancel()
    return messages


def numbered(numbers):
    return [(number, b"%d" % number) for number in numbers]


@checks.check
def publish_and_replay():
    with channel() as ch, stream(ch, x_max_age="1h", x_max_length_bytes=100_000_000) as name:
        fill(ch, name, range(100))
        for offset, first in (("first", 0), (40, 40), ("1h", 0), (datetime.datetime(2020, 1, 1), 0)):
            equal(read(ch, name, offset, 100 - first), numbered(range(first, 100)))
        equal(read(ch, name, "first", 100, prefetch=1), numbered(range(100)))


@checks.check
def two_readers_read_all():
    with channel() as ch, stream(ch) as name, channel() as other:
        fill(ch, name, range(50))
        equal(read(ch, name, "first", 50), numbered(range(50)))
        equal(read(other, name, "first", 50), numbered(range(50)))


@checks.check
def no_prefetch_is_refused():
    with channel() as ch, stream(ch) as name:
        with channel() as other:
            try:
                other.basic_consume(name, lambda *_: None)
            except exceptions.ChannelClosedByBroker as closed:
                equal(closed.reply_code, 406)
            else:
                raise AssertionError("it was taken")


@checks.check
def a_deleted_stream_cancels():
    with channel() as ch, channel() as other:
        name = unique("stream")
        ch.queue_declare(name, durable=True, arguments={"x-queue-type": "stream"})
        other.basic_qos(prefetch_count=1)
        cancelled = []
        other.add_on_cancel_callback(lambda frame: cancelled.append(frame))
        other.basic_consume(name, lambda *_: None)
        ch.queue_delete(name)
        other.connection.process_data_events(time_limit=10)
        equal(len(cancelled), 1)


checks.run()
