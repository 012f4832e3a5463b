"""pika's SelectConnection: a publisher with confirms and a consumer on one event loop."""

import pika

from checks import URL, Checks, equal, unique

checks = Checks("pika-select")
MESSAGES = 500


class Flow:
    """Opens a connection and two channels, publishes all, consumes all, and closes."""

    def __init__(self):
        self.queue = unique("select")
        self.unconfirmed = set()
        self.confirmed = 0
        self.multiple = 0
        self.returned = []
        self.got = []
        self.cancelled = 0
        self.ready_channels = 0
        self.failure = None
        self.connection = pika.SelectConnection(
            pika.URLParameters(URL),
            on_open_callback=self.on_open,
            on_open_error_callback=self.fail,
            on_close_callback=self.on_close,
        )
        self.connection.ioloop.call_later(60, lambda: self.fail(None, "not done after 60 s"))

    def fail(self, _, error):
        if self.failure is None:
            self.failure = error
        self.connection.ioloop.stop()

    def on_close(self, _, reason):
        if not isinstance(reason, pika.exceptions.ConnectionClosedByClient):
            self.failure = reason
        self.connection.ioloop.stop()

    def on_open(self, connection):
        connection.channel(on_open_callback=self.on_publisher)

    def on_publisher(self, channel):
        self.publisher = channel
        channel.add_on_return_callback(self.on_return)
        channel.queue_declare(self.queue, auto_delete=True, callback=self.on_declared)

    def on_declared(self, _):
        self.publisher.confirm_delivery(self.on_confirm, callback=self.on_confirms)

    def on_confirms(self, _):
        self.connection.channel(on_open_callback=self.on_consumer)

    def on_consumer(self, channel):
        self.consumer = channel
        channel.add_on_cancel_callback(self.on_cancelled)
        channel.basic_qos(prefetch_count=50, callback=self.on_qos)

    def on_qos(self, _):
        self.consumer.basic_consume(self.queue, self.on_message, callback=self.on_consuming)

    def on_consuming(self, _):
        self.publisher.basic_publish("", unique("nowhere"), b"back", mandatory=True)
        self.unconfirmed.add(1)
        for number in range(MESSAGES):
            self.publisher.basic_publish("", self.queue, b"%d" % number)
            self.unconfirmed.add(number + 2)

    def on_return(self, channel, method, properties, body):
        self.returned.append((method.reply_code, body))

    def on_confirm(self, frame):
        method = frame.method
        if not isinstance(method, pika.spec.Basic.Ack):
            self.fail(None, f"not an ack: {method}")
            return
        upto = method.delivery_tag
        tags = {tag for tag in self.unconfirmed if tag <= upto} if method.multiple else {upto}
        self.multiple += method.multiple
        assert tags <= self.unconfirmed, "confirmed twice"
        self.unconfirmed -= tags
        self.confirmed += len(tags)
        self.end_if_done()

    def on_message(self, channel, method, properties, body):
        self.got.append(int(body))
        # Every tenth ack is for the ten before it.
        if len(self.got) % 10 == 0:
            channel.basic_ack(method.delivery_tag, multiple=True)
        self.end_if_done()

    def end_if_done(self):
        if len(self.got) == MESSAGES and self.confirmed == MESSAGES + 1 and not self.cancelled:
            # The queue is deleted under its consumer, who hears of it.
            self.publisher.queue_delete(self.queue)

    def on_cancelled(self, _):
        self.cancelled += 1
        self.connection.close()


flow = Flow()


@checks.check
def runs_to_its_end():
    flow.connection.ioloop.start()
    equal(flow.failure, None)


@checks.check
def every_message_came_in_order():
    equal(flow.got, list(range(MESSAGES)))


@checks.check
def every_message_was_confirmed_once():
    equal((flow.confirmed, flow.unconfirmed), (MESSAGES + 1, set()))


@checks.check
def the_unroutable_one_came_back():
    equal(flow.returned, [(312, b"back")])


@checks.check
def the_consumer_was_told_of_the_end_of_its_queue():
    equal(flow.cancelled, 1)


checks.run()
