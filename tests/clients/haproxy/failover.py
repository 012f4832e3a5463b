"""pika behind HAProxy: a script with the usual retry goes on whatever happens to a node."""

import contextlib
import tempfile
import threading
import time
import traceback

import pika
from pika import exceptions

from checks import Checks, unique
from history import History
from nodes import PATIENCE, Nodes, until

checks = Checks("haproxy")
# Confirms and deliveries between two blows.
SOME = 200
# How long a paused node is away: enough to be given up by the others.
PAUSE_SECONDS = 5
# What a script catches to try again: the broker is away, the connection or the channel was closed.
RETRIED = (exceptions.AMQPError, OSError)
QUORUM = {"x-queue-type": "quorum"}


@contextlib.contextmanager
def channel(url):
    parameters = pika.URLParameters(url)
    parameters.heartbeat = 10
    parameters.socket_timeout = 5
    connection = pika.BlockingConnection(parameters)
    try:
        yield connection.channel()
    finally:
        if connection.is_open:
            connection.close()


class Client(threading.Thread):
    """Does its work on one connection after the other until it is told to stop."""

    def __init__(self, work, *arguments):
        super().__init__(daemon=True)
        self.work, self.arguments = work, arguments
        self.stopping = threading.Event()
        self.failure = None
        self.start()

    def run(self):
        try:
            while not self.stopping.is_set():
                with contextlib.suppress(*RETRIED):
                    self.work(self.stopping, *self.arguments)
                time.sleep(0.1)
        except Exception:
            self.failure = traceback.format_exc()

    def end(self):
        self.stopping.set()
        self.join(PATIENCE)
        assert not self.failure, self.failure
        assert not self.is_alive(), "a client hangs"


def publish(stopping, url, queue, history):
    with channel(url) as ch:
        ch.confirm_delivery()
        session, number = history.session(), 0
        while not stopping.is_set():
            message = (session, number)
            number += 1
            with history.lock:
                history.sent.add(message)
            properties = pika.BasicProperties(delivery_mode=2)
            with contextlib.suppress(exceptions.NackError):
                ch.basic_publish("", queue, "%d %d" % message, properties)
                with history.lock:
                    history.confirmed.add(message)


def consume(stopping, url, queue, history):
    with channel(url) as ch:
        ch.basic_qos(prefetch_count=20)
        session = history.session()
        for method, _, body in ch.consume(queue, inactivity_timeout=0.2):
            if stopping.is_set():
                # What the library has fetched and not handed out goes back to the queue.
                ch.cancel()
                return
            if method:
                message = tuple(map(int, body.split()))
                with history.lock:
                    history.deliveries.append((session, message, method.redelivered))
                ch.basic_ack(method.delivery_tag)


def ready(url, queue):
    """Messages that are ready; none if there is no answer now."""
    with contextlib.suppress(*RETRIED):
        with channel(url) as ch:
            return ch.queue_declare(queue, passive=True).method.message_count
    return None


def declared(url, queue):
    with contextlib.suppress(*RETRIED):
        with channel(url) as ch:
            return bool(ch.queue_declare(queue, durable=True, arguments=QUORUM))
    return False


def survived(nodes, harm):
    """Clients work while `harm` is done to each node in turn, and everything is as it must be."""
    queue, history = unique("orders"), History()
    until("the queue declared", lambda: declared(nodes.url, queue))
    publishers = [Client(publish, nodes.url, queue, history) for _ in range(3)]
    consumers = [Client(consume, nodes.url, queue, history) for _ in range(3)]

    def goes_on():
        confirms, deliveries = len(history.confirmed) + SOME, len(history.deliveries) + SOME
        until("more confirms", lambda: len(history.confirmed) >= confirms)
        until("more deliveries", lambda: len(history.deliveries) >= deliveries)

    goes_on()
    for node in nodes.all():
        harm(node, goes_on)
        nodes.all_ready()
        goes_on()
    for client in publishers:
        client.end()
    with contextlib.suppress(AssertionError):
        # What does not come in time is found to be lost below.
        until("everything delivered", lambda: history.is_complete() and ready(nodes.url, queue) == 0)
    for client in consumers:
        client.end()
    # What they had not looked at is back.
    with channel(nodes.url) as ch:
        session = history.session()
        while True:
            method, _, body = ch.basic_get(queue)
            if method is None:
                break
            history.deliveries.append((session, tuple(map(int, body.split())), method.redelivered))
            ch.basic_ack(method.delivery_tag)
    left = ready(nodes.url, queue)
    found = history.violations(left)
    assert not found, f"{len(found)} violations: {found[:10]}"


def main():
    with tempfile.TemporaryDirectory(prefix="warren-haproxy-") as directory, Nodes(directory) as nodes:

        def shown_if_wrong(function):
            """The logs are gone with the directory: they are told while they are there."""

            def run():
                try:
                    function()
                except Exception:
                    nodes.show_logs()
                    raise

            run.__name__ = function.__name__
            return checks.check(run)

        @shown_if_wrong
        def each_node_is_killed():
            def harm(node, goes_on):
                nodes.kill(node)
                goes_on()
                nodes.start(node)

            survived(nodes, harm)

        @shown_if_wrong
        def each_node_is_paused():
            def harm(node, goes_on):
                nodes.pause(node)
                time.sleep(PAUSE_SECONDS)
                goes_on()
                nodes.resume(node)

            survived(nodes, harm)

        @shown_if_wrong
        def each_node_is_stopped_in_order():
            def harm(node, goes_on):
                nodes.stop(node)
                goes_on()
                nodes.start(node)

            survived(nodes, harm)

        checks.run()


if __name__ == "__main__":
    main()
