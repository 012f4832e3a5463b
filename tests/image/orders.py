"""Orders over a quorum queue through HAProxy, from a client that connects again whenever it must."""

import os
import sys
import time

import pika
from pika.exceptions import AMQPError

URL = os.environ["AMQP_URL"]
QUEUE = "orders.quorum"
ARGUMENTS = {"x-queue-type": "quorum", "x-quorum-initial-group-size": 3}
PATIENCE = 60


def connect():
    end = time.monotonic() + PATIENCE
    while True:
        try:
            connection = pika.BlockingConnection(pika.URLParameters(URL + "?heartbeat=10&blocked_connection_timeout=30"))
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare(QUEUE, durable=True, arguments=ARGUMENTS)
            return connection, channel
        except (AMQPError, OSError) as error:
            if time.monotonic() > end:
                raise
            print(f"not yet: {error!r}", file=sys.stderr, flush=True)
            time.sleep(0.1)


def declare():
    connection, channel = connect()
    channel.basic_publish("", QUEUE, b"first", pika.BasicProperties(delivery_mode=2), mandatory=True)
    method, _, body = channel.basic_get(QUEUE, auto_ack=True)
    assert body == b"first", body
    connection.close()


def address():
    """Who the broker says that this client is, by its own list of connections."""
    import base64
    import json
    import urllib.request

    connection, _ = connect()
    request = urllib.request.Request("http://127.0.0.1:15672/api/connections")
    user = URL.split("//")[1].split("@")[0]
    request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = json.load(urllib.request.urlopen(request))
        if found:
            print(found[0]["peer_host"])
            break
        time.sleep(0.1)
    connection.close()


def load(stop):
    """Publishes and takes orders by turns until a file is there; prints a line for each that came."""
    connection, channel = connect()
    confirmed, seen, number, again = set(), set(), 0, 0
    while True:
        try:
            if not os.path.exists(stop):
                body = str(number).encode()
                channel.basic_publish("", QUEUE, body, pika.BasicProperties(delivery_mode=2), mandatory=True)
                confirmed.add(number)
                number += 1
            method, _, body = channel.basic_get(QUEUE)
            if method is None:
                if os.path.exists(stop):
                    break
                continue
            channel.basic_ack(method.delivery_tag)
            seen.add(int(body))
            print(int(body), flush=True)
        except (AMQPError, OSError) as error:
            again += 1
            print(f"reconnected after {error!r}", file=sys.stderr, flush=True)
            connection, channel = connect()
            # What was under way may or may not be there; its number is used once more.
    missing = confirmed - seen
    print(f"{len(confirmed)} confirmed, {len(missing)} missing, connected again {again} times", file=sys.stderr)
    sys.exit(1 if missing else 0)


{"declare": declare, "address": address, "load": load}[sys.argv[1]](*sys.argv[2:])
