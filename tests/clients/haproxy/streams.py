"""rstream behind HAProxy: clients of the stream protocol find the leader through it, also when that is another."""

import asyncio
import tempfile
import traceback

from checks import Checks, equal, unique
from nodes import PATIENCE, Nodes, until
from rstream import (
    AMQPMessage,
    Consumer,
    ConsumerOffsetSpecification,
    OffsetType,
    Producer,
    amqp_decoder,
)

checks = Checks("streams-haproxy")
COUNT = 400


def where(nodes):
    """HAProxy sends a connection to any node; the library tries again until it is the one that is advertised."""
    return {
        "host": nodes.host,
        "port": 5552,
        "username": "guest",
        "password": "guest",
        "load_balancer_mode": True,
    }


def leader(nodes, asked, stream):
    members = nodes.ask(asked, f"stream/%2F/{stream}/status") or []
    names = [member["node"] for member in members if member["role"] == "writer"]
    return int(names[0].rpartition("n")[2]) if names else None


async def create(nodes, stream):
    async with Producer(**where(nodes)) as producer:
        await producer.create_stream(stream, exists_ok=True)


async def publish(nodes, stream, numbers):
    """As a script does it: with a new connection when something goes wrong, and the same numbers."""
    left = list(numbers)
    while left:
        try:
            async with Producer(**where(nodes)) as producer:
                while left:
                    message = AMQPMessage(body=b"%d" % left[0])
                    message.publishing_id = left[0]
                    await asyncio.wait_for(producer.send_wait(stream, message, publisher_name="counter"), 10)
                    left.pop(0)
        except Exception:
            traceback.print_exc()
            await asyncio.sleep(0.5)


async def read(nodes, stream, count):
    consumer, got, done = Consumer(**where(nodes)), [], asyncio.Event()
    await consumer.start()

    async def on_message(message, context):
        got.append((context.offset, int(bytes(message.body))))
        if len(got) >= count:
            done.set()

    first = ConsumerOffsetSpecification(OffsetType.FIRST, None)
    await consumer.subscribe(stream, on_message, decoder=amqp_decoder, offset_specification=first)
    await asyncio.wait_for(done.wait(), PATIENCE)
    await consumer.close()
    return got


def main():
    with tempfile.TemporaryDirectory(prefix="warren-haproxy-") as directory, Nodes(directory) as nodes:

        @checks.check
        def the_leader_is_killed_and_its_successor_found():
            try:
                stream = unique("log")
                asyncio.run(asyncio.wait_for(create(nodes, stream), PATIENCE))
                until("the stream is led", lambda: leader(nodes, 1, stream))
                first = leader(nodes, 1, stream)
                other = next(node for node in nodes.all() if node != first)
                asyncio.run(asyncio.wait_for(publish(nodes, stream, range(1, COUNT)), PATIENCE))
                nodes.kill(first)
                # The last that was confirmed comes again, and is written once.
                asyncio.run(asyncio.wait_for(publish(nodes, stream, range(COUNT - 1, 2 * COUNT)), 2 * PATIENCE))
                assert leader(nodes, other, stream) not in (None, first)
                got = asyncio.run(asyncio.wait_for(read(nodes, stream, 2 * COUNT - 1), 2 * PATIENCE))
                equal(got, [(number - 1, number) for number in range(1, 2 * COUNT)])
            except BaseException:
                nodes.show_logs()
                raise

        checks.run()


if __name__ == "__main__":
    main()
