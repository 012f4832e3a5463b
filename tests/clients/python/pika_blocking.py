"""pika's BlockingConnection: what a plain script does with a broker."""

import contextlib
import datetime
import decimal
import time

import pika
from pika import exceptions

from checks import URL, Checks, equal, unique

checks = Checks("pika-blocking")


@contextlib.contextmanager
def channel(**parameters):
    """A connection and a channel of its own."""
    url = pika.URLParameters(URL)
    for name, value in parameters.items():
        setattr(url, name, value)
    connection = pika.BlockingConnection(url)
    try:
        yield connection.channel()
    finally:
        if connection.is_open:
            connection.close()


def exclusive_queue(channel, **arguments):
    arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
    return channel.queue_declare("", exclusive=True, arguments=arguments).method.queue


def take(channel, queue):
    """All messages that are ready."""
    bodies = []
    while True:
        method, _, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return bodies
        bodies.append(body)


@checks.check
def server_properties():
    with channel() as ch:
        properties = ch.connection._impl.server_properties
        equal(properties["product"], "RabbitMQ")
        assert properties["version"].startswith("4."), properties
        for capability in ("publisher_confirms", "basic.nack", "consumer_cancel_notify", "connection.blocked"):
            assert properties["capabilities"][capability] is True, properties


@checks.check
def publish_and_consume():
    with channel() as ch:
        queue = exclusive_queue(ch)
        ch.basic_qos(prefetch_count=10)
        for number in range(100):
            ch.basic_publish("", queue, b"%d" % number)
        got = []
        for method, _, body in ch.consume(queue, inactivity_timeout=20):
            assert method is not None, "no delivery in time"
            got.append(int(body))
            ch.basic_ack(method.delivery_tag)
            if len(got) == 100:
                break
        equal(got, list(range(100)))
        equal(ch.cancel(), 0)


@checks.check
def callbacks():
    with channel() as ch:
        queue = exclusive_queue(ch)
        got = []

        def on_message(ch, method, properties, body):
            got.append(body)
            ch.basic_ack(method.delivery_tag)
            if len(got) == 3:
                ch.stop_consuming()

        ch.basic_consume(queue, on_message)
        for body in (b"a", b"b", b"c"):
            ch.basic_publish("", queue, body)
        ch.start_consuming()
        equal(got, [b"a", b"b", b"c"])


@checks.check
def properties_and_headers():
    with channel() as ch:
        queue = exclusive_queue(ch)
        headers = {
            "text": "grüße",
            "number": -7,
            "long": 1 << 40,
            "true": True,
            "none": None,
            "list": [1, "two", {"three": 3}],
            "table": {"inner": {"deep": "x"}},
            "bytes": b"\x00\xff",
            "decimal": decimal.Decimal("3.14"),
            "time": datetime.datetime(2024, 1, 2, 3, 4, 5),
        }
        sent = pika.BasicProperties(
            content_type="application/json",
            content_encoding="utf-8",
            headers=headers,
            delivery_mode=2,
            priority=5,
            correlation_id="correlation",
            reply_to="answers",
            expiration="60000",
            message_id="id",
            timestamp=1_700_000_000,
            type="kind",
            user_id="guest",
            app_id="app",
        )
        ch.basic_publish("", queue, b"", sent)
        _, got, body = ch.basic_get(queue, auto_ack=True)
        equal(body, b"")
        equal(got.__dict__, sent.__dict__)


@checks.check
def large_body():
    with channel() as ch:
        queue = exclusive_queue(ch)
        body = bytes(range(256)) * (5 * 4096)
        ch.confirm_delivery()
        ch.basic_publish("", queue, body)
        _, _, got = ch.basic_get(queue, auto_ack=True)
        assert got == body, f"{len(got)} bytes came back"


@checks.check
def confirms():
    with channel() as ch:
        ch.confirm_delivery()
        queue = exclusive_queue(ch, x_max_length=1, x_overflow="reject-publish")
        ch.basic_publish("", queue, b"fits", mandatory=True)
        try:
            ch.basic_publish("", queue, b"does not", mandatory=True)
        except exceptions.NackError:
            pass
        else:
            raise AssertionError("the full queue took another message")
        equal(take(ch, queue), [b"fits"])


@checks.check
def returns():
    with channel() as ch:
        ch.confirm_delivery()
        try:
            ch.basic_publish("amq.direct", unique("nowhere"), b"back", mandatory=True)
        except exceptions.UnroutableError as error:
            (returned,) = error.messages
            equal((returned.method.reply_code, returned.method.reply_text), (312, "NO_ROUTE"))
            equal(returned.body, b"back")
        else:
            raise AssertionError("it was not returned")


@checks.check
def reject_and_nack():
    with channel() as ch:
        queue = exclusive_queue(ch)
        for body in (b"a", b"b"):
            ch.basic_publish("", queue, body)
        first, _, _ = ch.basic_get(queue)
        ch.basic_reject(first.delivery_tag, requeue=True)
        again, _, body = ch.basic_get(queue)
        equal((again.redelivered, body), (True, b"a"))
        ch.basic_nack(again.delivery_tag, requeue=False)
        equal(take(ch, queue), [b"b"])


@checks.check
def dead_letters():
    with channel() as ch:
        dead = exclusive_queue(ch)
        queue = exclusive_queue(ch, x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
        ch.basic_publish("", queue, b"a")
        method, _, _ = ch.basic_get(queue)
        ch.basic_reject(method.delivery_tag, requeue=False)
        for method, properties, body in ch.consume(dead, auto_ack=True, inactivity_timeout=20):
            assert method is not None, "no dead letter in time"
            equal(body, b"a")
            death = properties.headers["x-death"][0]
            equal((death["queue"], death["reason"], death["count"]), (queue, "rejected", 1))
            break


@checks.check
def exclusive():
    with channel() as owner, channel() as other:
        queue = exclusive_queue(owner)
        try:
            other.queue_declare(queue, passive=True)
        except exceptions.ChannelClosedByBroker as error:
            equal(error.reply_code, 405)
        else:
            raise AssertionError("another connection may look at it")
        assert other.connection.is_open
        equal(owner.queue_declare(queue, passive=True).method.message_count, 0)


@checks.check
def errors_close_the_channel_only():
    with channel() as ch:
        try:
            ch.queue_declare(unique("missing"), passive=True)
        except exceptions.ChannelClosedByBroker as error:
            equal(error.reply_code, 404)
            assert error.reply_text.startswith("NOT_FOUND - no queue "), error.reply_text
        else:
            raise AssertionError("the queue exists")
        exclusive_queue(ch.connection.channel())


@checks.check
def wrong_password():
    url = pika.URLParameters(URL)
    url.credentials = pika.PlainCredentials("guest", "wrong")
    try:
        pika.BlockingConnection(url)
    except exceptions.ProbableAuthenticationError as error:
        assert "ACCESS_REFUSED" in repr(error), repr(error)
    else:
        raise AssertionError("let in")


@checks.check
def direct_reply_to():
    with channel() as asking, channel() as answering:
        queue = exclusive_queue(answering)
        answers = []
        asking.basic_consume("amq.rabbitmq.reply-to", lambda *answer: answers.append(answer), auto_ack=True)
        properties = pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id="7")
        asking.basic_publish("", queue, b"ask", properties)
        for method, properties, body in answering.consume(queue, auto_ack=True, inactivity_timeout=20):
            assert method is not None, "no question in time"
            answer = pika.BasicProperties(correlation_id=properties.correlation_id)
            answering.basic_publish("", properties.reply_to, body + b"ed", answer)
            break
        asking.connection.process_data_events(time_limit=20)
        ((_, _, properties, body),) = answers
        equal((properties.correlation_id, body), ("7", b"asked"))


@checks.check
def heartbeats():
    with channel(heartbeat=1) as ch:
        # Only heartbeats for longer than a silent peer is borne.
        end = time.monotonic() + 4
        while time.monotonic() < end:
            ch.connection.process_data_events(time_limit=0.5)
        equal(take(ch, exclusive_queue(ch)), [])


@checks.check
def consumer_cancel_notification():
    with channel() as ch, channel() as other:
        queue = unique("pika")
        ch.queue_declare(queue)
        cancelled = []
        ch.add_on_cancel_callback(cancelled.append)
        ch.basic_consume(queue, lambda *message: None)
        other.queue_delete(queue)
        ch.connection.process_data_events(time_limit=20)
        equal(len(cancelled), 1)


@checks.check
def transactions():
    with channel() as ch:
        queue = exclusive_queue(ch)
        ch.tx_select()
        ch.basic_publish("", queue, b"kept")
        ch.tx_commit()
        ch.basic_publish("", queue, b"dropped")
        ch.tx_rollback()
        equal(take(ch, queue), [b"kept"])


@checks.check
def exchanges():
    with channel() as ch:
        exchange, queue = unique("pika"), exclusive_queue(ch)
        ch.exchange_declare(exchange, "topic", auto_delete=True)
        ch.queue_bind(queue, exchange, "paid.*")
        for key in ("paid.now", "paid", "open.now"):
            ch.basic_publish(exchange, key, key.encode())
        equal(take(ch, queue), [b"paid.now"])
        ch.queue_unbind(queue, exchange, "paid.*")
        try:
            ch.exchange_declare(exchange, "topic", passive=True)
        except exceptions.ChannelClosedByBroker as error:
            equal(error.reply_code, 404)
        else:
            raise AssertionError("an auto-delete exchange without bindings")


@checks.check
def many_channels():
    with channel() as ch:
        queue = exclusive_queue(ch)
        channels = [ch.connection.channel() for _ in range(100)]
        for other in channels:
            other.basic_publish("", queue, b"x")
            other.queue_declare(queue, passive=True)
        equal(len(take(ch, queue)), 100)


checks.run()
